"""
The life of one call at its executor: a pure state machine, total over any order of inputs.

Inputs are methods; each returns the actions to carry out, in order. Times come as arguments:
`now_s` on the ROS clock (the call's timeout), `steady_s` on the steady clock (patience with
processes, which do not stand still when simulated time does).
"""
import json
from dataclasses import dataclass
from enum import Enum
from typing import List, Union

from async_agent_ros.core.words import Error, Status
from async_agent_ros.tools.discovery import FOUND_WITHIN_S

RESPONSE_WAIT_S = 2.0
"""Patience with a goal or result response; then it is asked for again (calls are idempotent)."""

GOAL_ATTEMPTS = 3
VANISH_S = 2.5
"""A server that was seen on the graph and is gone for so long is lost."""

TIMEOUT_GRACE_S = 2.0
"""After a timeout's cancel, how long the server may still say how the call ended."""

FEEDBACK_PERIOD_S = 0.1
"""Feedback that comes faster is thinned out; the latest is never lost."""


class Stage(Enum):
    """How far the call has come."""

    WAITING = 'waiting'      # for the server to be there
    SENT = 'sent'            # no answer to the goal yet
    RUNNING = 'running'      # accepted
    ENDED = 'ended'


@dataclass(frozen=True)
class SendGoal:
    """Send the goal; may come again when no answer came."""


@dataclass(frozen=True)
class CancelGoal:
    """Ask the server to cancel the accepted goal; may come again."""


@dataclass(frozen=True)
class RequestResult:
    """Ask for the result of the accepted goal; may come again."""


@dataclass(frozen=True)
class Accepted:
    """The server has accepted. At most once, before any feedback."""


@dataclass(frozen=True)
class Feedback:
    """Progress of the running call."""

    progress: float
    text: str


@dataclass(frozen=True)
class Ended:
    """The end, exactly once; nothing follows."""

    status: Status
    error_code: int = Error.NONE
    error_msg: str = ''
    result_json: str = 'null'


Action = Union[SendGoal, CancelGoal, RequestResult, Accepted, Feedback, Ended]


class CallLife:
    """One call, from EXECUTE to its one end."""

    def __init__(self, name: str, action_name: str, timeout_s: float, *,
                 now_s: float, steady_s: float):
        self.name = name
        self.action_name = action_name
        self.stage = Stage.WAITING
        self.cancelling = False
        self._timeout_s = timeout_s
        self._began_s = now_s
        self._since_s = steady_s          # of the wait that goes on now
        self._attempts = 0
        self._timed_out_s = None          # steady time of the timeout's cancel
        self._cancel_sent_s = None
        self._gone_since_s = None         # the server left the graph
        self._feedback = None             # held back
        self._feedback_s = None           # steady time of the last one that was passed on
        self._done_since_s = None         # the status topic says that it has ended

    @property
    def ended(self) -> bool:
        """Whether the end was told."""
        return self.stage is Stage.ENDED

    # What the person, the model or the kernel wants

    def cancel(self, steady_s: float) -> List[Action]:
        """Take a CANCEL; it is remembered until there is a goal to cancel."""
        if self.ended:
            return []
        self.cancelling = True
        if self.stage is Stage.WAITING:
            return self._end(Ended(Status.CANCELLED, Error.CANCELLED,
                                   'cancelled before it began'))
        return self._send_cancel(steady_s)

    # What the server does

    def goal_response(self, accepted: bool, steady_s: float) -> List[Action]:
        """Take the answer to the goal; a second answer, after a repeated goal, is ignored."""
        if self.stage is not Stage.SENT:
            return []
        if not accepted:
            if self.cancelling and self._timed_out_s is None:
                return self._end(Ended(Status.CANCELLED, Error.CANCELLED,
                                       'cancelled before it began'))
            return self._end(Ended(Status.FAILED, Error.REJECTED,
                                   f'{self.action_name} refused the call'))
        self.stage = Stage.RUNNING
        self._since_s = steady_s
        actions: List[Action] = [Accepted(), RequestResult()]
        if self.cancelling:
            actions += self._send_cancel(steady_s)
        return actions + self._flush(steady_s)

    def feedback(self, progress: float, text: str, steady_s: float) -> List[Action]:
        """Take feedback; before the acceptance it is held back, at a high rate thinned out."""
        if self.ended:
            return []
        self._feedback = Feedback(progress, text)
        return self._flush(steady_s)

    def result(self, status: str, error_code: int, error_msg: str,
               result_json: str) -> List[Action]:
        """
        Take the result. `status` is the server's terminal status of the goal.

        'succeeded', 'cancelled', 'aborted', or 'unknown' when the server does not know the goal
        (any more), as after a restart.
        """
        if self.ended:
            return []
        result_json = _json_text(result_json)
        if status == 'succeeded':
            return self._end(Ended(Status.SUCCEEDED, Error.NONE, '', result_json))
        if status == 'cancelled' or (status == 'aborted' and error_code == Error.CANCELLED):
            if self._timed_out_s is not None:
                return self._end(self._timeout(result_json))
            return self._end(Ended(Status.CANCELLED, Error.CANCELLED, error_msg or 'cancelled',
                                   result_json))
        if status == 'aborted':
            return self._end(Ended(Status.FAILED, error_code or Error.UNKNOWN,
                                   error_msg or f'{self.name} failed without a reason',
                                   result_json))
        return self._end(self._lost('the server does not know the call any more: it was '
                                    'restarted, or its result was fetched too late'))

    def server_lost(self, reason: str) -> List[Action]:
        """End as lost: the server was declared dead."""
        if self.ended or self.stage is Stage.WAITING:
            return []
        return self._end(self._lost(reason))

    def server_restarted(self, reason: str) -> List[Action]:
        """End as lost what ran in the earlier process; a goal on the way may be for the new one."""
        return self._end(self._lost(reason)) if self.stage is Stage.RUNNING else []

    def failed(self, reason: str, steady_s: float) -> List[Action]:
        """Take an error of the middleware: before the goal is sent it ends, later is retried."""
        if self.stage is Stage.WAITING:
            return self._end(Ended(Status.FAILED, Error.SERVER_UNAVAILABLE, reason))
        return []    # tick() asks again

    def close(self, reason: str) -> List[Action]:
        """End now, because the executor itself ends."""
        if self.ended:
            return []
        if self.stage is Stage.WAITING:
            return self._end(Ended(Status.CANCELLED, Error.CANCELLED, reason))
        return self._end(self._lost(reason))

    # What time does

    def tick(self, now_s: float, steady_s: float, *, server_ready: bool,
             may_send: bool = True, done: bool = False) -> List[Action]:
        """
        Look at the clocks.

        `may_send` false holds the goal back although the server is there; `done` says that the
        goal's status on the graph is terminal.
        """
        if self.ended:
            return []
        if self._timed_out_s is None and 0.0 < self._timeout_s <= now_s - self._began_s:
            if self.stage is Stage.WAITING:
                return self._end(self._timeout())
            self.cancelling = True
            self._timed_out_s = steady_s
            return self._send_cancel(steady_s)
        if self._timed_out_s is not None and steady_s - self._timed_out_s >= TIMEOUT_GRACE_S:
            return self._end(self._timeout())
        if self.stage is Stage.WAITING:
            if server_ready:
                self._since_s = steady_s
                if not may_send:
                    return []
                self.stage = Stage.SENT
                self._attempts = 1
                return [SendGoal()]
            if steady_s - self._since_s >= FOUND_WITHIN_S:
                return self._end(Ended(
                    Status.FAILED, Error.SERVER_UNAVAILABLE,
                    f'no server answers on {self.action_name}: is its node running?'))
            return []
        if not server_ready:
            if self._gone_since_s is None:
                self._gone_since_s = steady_s
            if steady_s - self._gone_since_s >= VANISH_S:
                return self._end(self._lost('its server vanished while it ran'))
            return []
        came_back, self._gone_since_s = self._gone_since_s is not None, None
        if self.stage is Stage.SENT:
            if came_back or steady_s - self._since_s >= RESPONSE_WAIT_S:
                self._since_s = steady_s
                if self._attempts >= GOAL_ATTEMPTS:
                    return self._end(self._lost('the server never answered the goal'))
                self._attempts += 1
                return [SendGoal()]
            return []
        actions: List[Action] = []
        if came_back:    # perhaps another process under the same name, which will not know it
            actions.append(RequestResult())
        if done and self._done_since_s is None:
            self._done_since_s = steady_s
        if self._done_since_s is not None and steady_s - self._done_since_s >= RESPONSE_WAIT_S:
            self._done_since_s = steady_s
            actions.append(RequestResult())
        if self.cancelling and (self._cancel_sent_s is None
                                or steady_s - self._cancel_sent_s >= RESPONSE_WAIT_S):
            actions += self._send_cancel(steady_s)
        return actions + self._flush(steady_s)

    def _send_cancel(self, steady_s):
        if self.stage is not Stage.RUNNING:
            return []
        self._cancel_sent_s = steady_s
        return [CancelGoal()]

    def _flush(self, steady_s):
        if self.stage is not Stage.RUNNING or self._feedback is None or (
                self._feedback_s is not None
                and steady_s - self._feedback_s < FEEDBACK_PERIOD_S):
            return []
        feedback, self._feedback, self._feedback_s = self._feedback, None, steady_s
        return [feedback]

    def _end(self, ended):
        self.stage = Stage.ENDED
        return [ended]

    def _timeout(self, result_json='null'):
        return Ended(Status.FAILED, Error.TIMEOUT,
                     f'{self.name} did not end within {self._timeout_s:g} s and was asked to '
                     'stop', result_json)

    def _lost(self, reason):
        return Ended(Status.LOST, Error.LOST, f'{reason}; what {self.name} did is unknown')


def _json_text(text: str) -> str:
    """Return the text if it is JSON, else the JSON string of it: servers of other hands err."""
    if not text:
        return 'null'
    try:
        json.loads(text)
    except ValueError:
        return json.dumps(text, ensure_ascii=False)
    return text
