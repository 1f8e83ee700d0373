"""The manager's side of the Generate action: goals out, events for the kernel back in order."""
import json
import time
from types import SimpleNamespace
from typing import Callable, Dict, Optional
import uuid

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Time
from rclpy.action.client import ClientGoalHandle
from rclpy.clock import Clock, ClockType
from unique_identifier_msgs.msg import UUID

from async_agent_ros.action import Generate
from async_agent_ros.core import effects, events
from async_agent_ros.core.words import Error
from async_agent_ros.nodes.convert import entry_to_msg
from async_agent_ros.nodes.feedback import FeedbackClient
from async_agent_ros.tools.discovery import FOUND_WITHIN_S

LOOK_PERIOD_S = 0.02
"""Between two looks whether the dispatcher is there; only while a goal waits for it."""

ACCEPT_WAIT_S = 2.0
"""Wait for a goal to be accepted: a killed dispatcher still looks ready for a while."""

ASK_AGAIN_S = 1.0
"""
Silence of a generation, until its result is asked for again: the answers of a dispatcher that was
only just found get lost.
"""

FEEDBACK_WAIT_S = 0.5
"""Silence after a result, until feedback that it counts and that has not come is lost."""

FORGET_S = 60.0
"""Until the end of an aborted generation is not waited for any more."""


class _Pending:
    """A goal under way; its result waits until all feedback that it counts has come."""

    def __init__(self, effect: effects.Generate):
        """`epoch` is that of the goal: the events of its feedback carry it too."""
        self.effect = effect
        self.generation_id = effect.generation_id
        self.instance = effect.instance
        self.epoch = effect.epoch
        self.goal_id = UUID(uuid=list(uuid.uuid4().bytes))
        self.sent = False
        self.handle: Optional[ClientGoalHandle] = None
        self.aborted = False
        self.received = 0
        self.result: Optional[Generate.Result] = None
        self.heard_at_s = 0.0
        self.since_s = time.monotonic()
        """When it was asked for, then when it was sent."""
        self.asked_at_s = 0.0


class GenerateClient:
    """Sends goals and turns feedback and results into events by `post`."""

    def __init__(self, node, session: str, post: Callable[[events.Event], None],
                 now: Callable[[], int]):
        """Create the action client on the node; `now` gives the stamp of events, nanoseconds."""
        self._session = session
        self._post = post
        self._now = now
        self._pending: Dict[int, _Pending] = {}
        self._client = FeedbackClient(node, Generate, 'generate', self._on_feedback)
        # Patience with processes is real time, also when the ROS clock is simulated.
        self._looking = node.create_timer(LOOK_PERIOD_S, self._look,
                                          clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._looking.cancel()

    def start(self, effect: effects.Generate) -> None:
        """Ask the dispatcher for a generation; the kernel learns it when there is none."""
        # One slot per instance: whatever ran before has ended or is stale. What was aborted still
        # tells how much it wrote.
        for old in [p for p in self._pending.values()
                    if p.instance == effect.instance and not p.aborted]:
            del self._pending[old.generation_id]
        pending = self._pending[effect.generation_id] = _Pending(effect)
        if self._client.server_is_ready():
            self._send(pending)
        else:
            self._looking.reset()

    def _look(self) -> None:
        """Send what waited for the dispatcher, or tell that there is none."""
        unsent = [p for p in self._pending.values() if not p.sent]
        ready = bool(unsent) and self._client.server_is_ready()
        for pending in unsent:
            if ready:
                self._send(pending)
            elif time.monotonic() - pending.since_s > FOUND_WITHIN_S:
                self._fail(pending, Error.NO_DISPATCHER, 'no dispatcher serves the generate '
                           'action; start it, or see its log')
        if all(p.sent for p in self._pending.values()):
            self._looking.cancel()

    def _send(self, pending: _Pending) -> None:
        effect = pending.effect
        pending.sent, pending.since_s = True, time.monotonic()
        goal = Generate.Goal(
            session=self._session, instance=effect.instance,
            generation_id=effect.generation_id, epoch=effect.epoch, context_seq=effect.context_seq,
            speculative=effect.speculative, tell_begun=effect.tell_begun,
            assumed=[entry_to_msg(e, '') for e in effect.assumed])
        future = self._client.send_goal_async(goal, goal_uuid=pending.goal_id)
        future.add_done_callback(lambda f: self._guard(self._on_accepted, effect, f))

    def abort(self, generation_id: int) -> None:
        """End a generation; nothing more of it is posted but its end."""
        pending = self._pending.get(generation_id)
        if pending is None:
            return
        if not pending.sent:
            del self._pending[generation_id]
            return
        pending.aborted = True
        if pending.handle is not None:
            pending.handle.cancel_goal_async()

    def _guard(self, handler, effect, future) -> None:
        # An exception in a future's callback would end the process.
        try:
            handler(effect, future)
        except Exception as error:
            self._fail(effect, Error.GENERATE_UNKNOWN, f'the generate action failed: {error!r}')

    def _on_accepted(self, effect, future) -> None:
        handle = future.result()
        if not handle.accepted:
            self._fail(effect, Error.STALE, 'the dispatcher refused the goal')
            return
        pending = self._pending.get(effect.generation_id)
        if pending is not None:
            self._follow(pending, handle)

    def _follow(self, pending: _Pending, handle: ClientGoalHandle) -> None:
        pending.handle = handle
        if pending.aborted:
            self.abort(pending.generation_id)
        self._ask(pending)

    def _ask(self, pending: _Pending) -> None:
        """Ask for the result; the first answer counts."""
        pending.asked_at_s = time.monotonic()
        pending.handle.get_result_async().add_done_callback(
            lambda f: self._guard(self._on_result, pending.effect, f))

    def _on_feedback(self, feedback) -> None:
        pending = self._pending.get(feedback.generation_id)
        if pending is None or pending.aborted:
            return
        whole = feedback.index == pending.received
        pending.received += 1
        pending.heard_at_s = time.monotonic()
        event = self._event(feedback)
        if isinstance(event, events.LineBegun) and not whole:
            event = None    # what was lost may have been a removal: nothing may be committed by it
        if event is not None:
            self._post(event)
        self._finish_if_complete(pending)

    def _event(self, feedback) -> Optional[events.Event]:
        head = {'stamp_ns': self._now(), 'generation_id': feedback.generation_id,
                'epoch': feedback.epoch}
        kind = feedback.kind
        if kind == Generate.Feedback.KIND_FIRST_TOKEN:
            return events.FirstToken(**head)
        if kind == Generate.Feedback.KIND_BEGUN:
            return events.LineBegun(**head, call_id=feedback.call_id)
        if kind == Generate.Feedback.KIND_TEXT:
            return events.TextGenerated(**head, text=feedback.text)
        if kind == Generate.Feedback.KIND_REMOVE:
            return events.CallRemoved(**head, call_id=feedback.call_id)
        if kind == Generate.Feedback.KIND_CALL:
            try:
                arguments = json.loads(feedback.arguments_json or '{}')
            except ValueError as error:
                return events.OutputRejected(**head, raw=feedback.arguments_json,
                                             reason=f'arguments are not JSON: {error}')
            return events.CallGenerated(**head, call_id=feedback.call_id, name=feedback.name,
                                        arguments=arguments)
        if kind == Generate.Feedback.KIND_REJECTED:
            return events.OutputRejected(**head, raw=feedback.text, reason=feedback.reason)
        return None

    def _on_result(self, effect, future) -> None:
        pending = self._pending.get(effect.generation_id)
        if pending is None or pending.result is not None:
            return
        response = future.result()
        if response.status == GoalStatus.STATUS_UNKNOWN:
            if pending.aborted:
                del self._pending[pending.generation_id]    # as after FORGET_S
                return
            self._fail(effect, Error.NO_DISPATCHER, 'the dispatcher does not know the generation: '
                       'it was restarted, or the end of the output got lost')
            return
        pending.result = response.result
        pending.heard_at_s = time.monotonic()
        self._finish_if_complete(pending)

    def _finish_if_complete(self, pending: _Pending) -> None:
        """Post the end once no feedback is missing: the two come by different routes."""
        result = pending.result
        if result is None or (pending.received < result.feedback_count and not pending.aborted):
            return
        self._end(pending)

    def look_after(self) -> None:
        """Ask again for what is overdue, or post the end without it; called by a timer."""
        now_s = time.monotonic()
        for pending in [p for p in self._pending.values() if p.sent]:
            if pending.handle is None and now_s - pending.since_s > ACCEPT_WAIT_S:
                if not pending.received:
                    self._fail(pending, Error.NO_DISPATCHER, 'the dispatcher does not answer; '
                               'see its log')
                    continue
                # It works on the goal: only the answer was lost.
                self._follow(pending, ClientGoalHandle(
                    self._client, pending.goal_id, SimpleNamespace(accepted=True, stamp=Time())))
            if pending.aborted and now_s - pending.since_s > FORGET_S:
                del self._pending[pending.generation_id]
            elif pending.result is not None:
                if now_s - pending.heard_at_s > FEEDBACK_WAIT_S:
                    self._end(pending)
            elif (pending.handle is not None
                    and now_s - max(pending.heard_at_s, pending.asked_at_s) > ASK_AGAIN_S):
                self._ask(pending)

    def _end(self, pending: _Pending) -> None:
        self._pending.pop(pending.generation_id, None)
        result = pending.result
        missing = result.feedback_count - pending.received
        if missing > 0 and not result.error_code and not pending.aborted:
            # What was lost may have been a call: nothing of this generation may be committed.
            self._fail(pending, Error.ENGINE, f'{missing} of {result.feedback_count} pieces of the '
                       'output were lost on the way; is the machine overloaded?')
            return
        self._post(events.GenerationEnded(
            self._now(), generation_id=pending.generation_id, epoch=pending.epoch,
            finish_reason=result.finish_reason or 'stop', error_code=result.error_code,
            error_msg=result.error_msg, prompt_tokens=result.prompt_tokens,
            cached_tokens=result.cached_tokens, output_tokens=result.output_tokens,
            decode_s=round(result.decode_s, 6)))

    def _fail(self, effect, code: int, message: str) -> None:
        self._pending.pop(effect.generation_id, None)
        self._post(events.GenerationEnded(
            self._now(), generation_id=effect.generation_id, epoch=effect.epoch,
            finish_reason='error', error_code=code, error_msg=message))
