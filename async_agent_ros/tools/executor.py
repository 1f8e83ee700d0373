"""CallExecutor: carries out CallCommands with ExecuteTool action clients, tells CallEvents."""
import collections
import time
from typing import Callable, Dict, Optional, Set, Tuple

from action_msgs.msg import GoalStatus
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType

from async_agent_ros.action import ExecuteTool
from async_agent_ros.core.words import Error, Status
from async_agent_ros.msg import CallCommand, CallEvent, ToolAnnouncement
from async_agent_ros.tools import call_life
from async_agent_ros.tools.call_client import CallClient
from async_agent_ros.tools.call_life import CallLife, Stage
from async_agent_ros.tools.msgs import ANNOUNCEMENTS, SERVICES

TICK_S = 0.1
"""Period of looking after calls; there is no timer while there are none."""

MAX_UNANSWERED = 8
"""
Goals on the way to one action at once: servers that keep the default service depth of 10 drop
more than that silently.
"""

LEASE_MARGIN_S = 0.25
REMEMBER = 10_000
"""Ended calls whose repeated EXECUTE is still recognised."""

_STATUS = {GoalStatus.STATUS_SUCCEEDED: 'succeeded', GoalStatus.STATUS_CANCELED: 'cancelled',
           GoalStatus.STATUS_ABORTED: 'aborted'}

Key = Tuple[str, str]
"""Session and call id."""


class _Call:
    """A call with what belongs to it on the ROS side."""

    def __init__(self, command: CallCommand, life: CallLife):
        self.command = command
        self.life = life
        self.goal_handle = None
        self.key = (command.session, command.call_id)
        self.queued = False


class _Server:
    """A tool server that announced itself."""

    def __init__(self, announcement: ToolAnnouncement, steady_s: float):
        self.lease_s = announcement.lease_s
        self.incarnation = announcement.incarnation
        self.alive_s = steady_s
        self.actions = {tool.action_name for tool in announcement.tools}


class CallExecutor:
    """
    Executes calls for the dispatcher; at home in the thread of the node's executor.

    handle() takes CallCommands; publish_event gets CallEvents: at most one ACCEPTED, any number
    of FEEDBACK, exactly one ENDED per call, and again the last of ACCEPTED and ENDED whenever an
    order is repeated. Action clients are made when a server announces
    itself, so that the first call need not wait for discovery. Nothing here blocks.
    """

    def __init__(self, node, publish_event: Callable[[CallEvent], None], *,
                 callback_group: Optional[CallbackGroup] = None,
                 steady: Callable[[], float] = time.monotonic):
        self._node = node
        self._publish_event = publish_event
        self._group = callback_group
        self._steady = steady
        self._log = node.get_logger().get_child('calls')
        self._calls: Dict[Key, _Call] = {}
        self._known: 'collections.OrderedDict[Key, Optional[CallEvent]]' = (
            collections.OrderedDict())    # with its ENDED event, once it has ended
        self._early_cancels: 'collections.OrderedDict[Key, None]' = collections.OrderedDict()
        self._clients: Dict[str, CallClient] = {}
        self._servers: Dict[str, _Server] = {}
        self._unanswered: Dict[str, Set[Key]] = {}       # goals on the way, by action
        self._held_back: Dict[str, 'collections.deque[_Call]'] = {}
        self._ticked_s = steady()
        self._announcements = node.create_subscription(
            ToolAnnouncement, 'tools', self._on_announcement, ANNOUNCEMENTS,
            callback_group=callback_group)
        # Patience with processes is real time, also when the ROS clock is simulated.
        self._timer = node.create_timer(TICK_S, self._tick, callback_group=callback_group,
                                        clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._timer.cancel()

    @property
    def running(self) -> Dict[str, str]:
        """Call ids that have not ended, and the stage of each."""
        return {key[1]: call.life.stage.value for key, call in self._calls.items()}

    @property
    def servers(self) -> Dict[str, bool]:
        """Announced tool servers, and whether all their actions can be called already."""
        return {name: all(action in self._clients and self._clients[action].server_is_ready()
                          for action in server.actions)
                for name, server in list(self._servers.items())}

    def handle(self, command: CallCommand) -> None:
        """Take an order; a repeated one changes nothing, and is answered with what is known."""
        key = (command.session, command.call_id)
        if command.command == CallCommand.EXECUTE:
            self._execute(key, command)
        elif command.command == CallCommand.CANCEL:
            call = self._calls.get(key)
            if call is not None:
                self._do(call, call.life.cancel(self._steady()))
            elif key not in self._known:
                _remember(self._early_cancels, key)
        elif command.command == CallCommand.FIND:
            self._find(key, command)
        else:
            self._log.error(f'call {command.call_id}: unknown command {command.command!r}; '
                            'it is ignored')

    def _find(self, key, command):
        """Tell a restarted manager how the call stands; never execute it."""
        if key in self._known:
            self._tell_again(key)
            return
        self._publish_event(CallEvent(
            event=CallEvent.ENDED, call_id=command.call_id, status=str(Status.LOST),
            error_code=Error.LOST, result_json='null',
            error_msg='this dispatcher never saw the call: whether it ran is unknown',
            stamp=self._node.get_clock().now().to_msg()))

    def _tell_again(self, key):
        """Tell a manager that may not have heard it how a call stands."""
        call, ended = self._calls.get(key), self._known[key]
        if ended is not None:
            self._publish_event(ended)
        elif call is not None and call.life.stage is Stage.RUNNING:
            self._tell(call, CallEvent.ACCEPTED)

    def close(self, reason: str = 'the dispatcher stops') -> None:
        """End every call as lost (those not begun as cancelled) and let go of the graph."""
        for call in list(self._calls.values()):
            self._do(call, call.life.close(reason))
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._announcements)
        for client in self._clients.values():
            client.destroy()
        self._clients.clear()

    def _execute(self, key, command):
        if key in self._known:
            self._tell_again(key)
            return
        _remember(self._known, key)
        call = _Call(command, CallLife(
            command.name, command.action_name, command.timeout_s,
            now_s=self._now_s(), steady_s=self._steady()))
        if not self._calls:
            self._ticked_s = self._steady()
            self._timer.reset()
        self._calls[key] = call
        if key in self._early_cancels:
            del self._early_cancels[key]
            self._do(call, call.life.cancel(self._steady()))
            return
        try:
            self._client(command.action_name)
        except Exception as error:    # e.g. a name that is none; said, not raised
            self._do(call, call.life.failed(
                f'{command.action_name!r} cannot be called: {error}', self._steady()))
            return
        self._look_after(call)

    def _client(self, action_name) -> CallClient:
        client = self._clients.get(action_name)
        if client is None:
            client = CallClient(
                self._node, ExecuteTool, action_name, callback_group=self._group,
                goal_service_qos_profile=SERVICES, result_service_qos_profile=SERVICES,
                cancel_service_qos_profile=SERVICES)
            self._clients[action_name] = client
        return client

    # Servers

    def _on_announcement(self, announcement):
        old = self._servers.get(announcement.server)
        if announcement.stopping:
            # Its calls get their results, or vanish with it: tick() sees which.
            self._servers.pop(announcement.server, None)
            self._drop_clients(old.actions if old else ())
            return
        server = _Server(announcement, self._steady())
        if old is not None:
            # A call outlives its tool's announcement: it still ends, or is lost, with the server.
            server.actions |= old.actions & {
                call.command.action_name for call in self._calls.values()}
        self._servers[announcement.server] = server
        if old is not None and old.actions != server.actions:
            self._drop_clients(old.actions - server.actions)
        for action_name in server.actions:
            try:
                self._client(action_name)
            except Exception as error:
                self._log.error(f'{announcement.server} announces a tool at {action_name!r}, '
                                f'which cannot be called: {error}')
        if old is not None and old.incarnation != server.incarnation:
            for call in list(self._calls.values()):
                if call.command.action_name in old.actions:
                    self._do(call, call.life.server_restarted(
                        f'the tool server {announcement.server} was restarted'))

    def _drop_clients(self, action_names):
        used = {call.command.action_name for call in self._calls.values()}
        for action_name in set(action_names) - used:
            client = self._clients.pop(action_name, None)
            if client is not None:
                client.destroy()

    # Time

    def _tick(self):
        steady_s = self._steady()
        stalled_s = steady_s - self._ticked_s - 2 * TICK_S
        self._ticked_s = steady_s
        for name, server in list(self._servers.items()):
            if stalled_s > 0.0:
                # This process stood still: announcements may wait unread behind this timer.
                server.alive_s += stalled_s
            if server.lease_s > 0.0 and (
                    steady_s - server.alive_s > server.lease_s + LEASE_MARGIN_S):
                self._lose(name, server)
        for call in list(self._calls.values()):
            self._look_after(call)
        if not self._calls:
            self._timer.cancel()

    def _lose(self, name, server):
        del self._servers[name]
        for call in list(self._calls.values()):
            if call.command.action_name in server.actions:
                self._do(call, call.life.server_lost(
                    f'the tool server {name} is gone: no sign of life for '
                    f'{server.lease_s:g} s'))
        self._drop_clients(server.actions)

    def _look_after(self, call):
        action_name = call.command.action_name
        client = self._clients.get(action_name)
        handle = call.goal_handle
        unanswered = self._unanswered.setdefault(action_name, set())
        before = call.life.stage
        self._do(call, call.life.tick(
            self._now_s(), self._steady(),
            server_ready=client is not None and client.server_is_ready(),
            may_send=len(unanswered) < MAX_UNANSWERED,
            done=handle is not None and handle.status in _STATUS))
        if before is Stage.WAITING and call.life.stage is Stage.WAITING and not call.queued:
            call.queued = True
            self._held_back.setdefault(action_name, collections.deque()).append(call)

    def _answered(self, call):
        """Make room for the next goal on the way to the same action."""
        action_name = call.command.action_name
        unanswered = self._unanswered.get(action_name, set())
        unanswered.discard(call.key)
        held_back = self._held_back.get(action_name)
        while held_back and len(unanswered) < MAX_UNANSWERED:
            following = held_back.popleft()
            following.queued = False
            if following.life.stage is Stage.WAITING:
                self._look_after(following)
                if following.life.stage is Stage.WAITING:
                    break    # no server; tick() looks again

    def _now_s(self):
        return self._node.get_clock().now().nanoseconds * 1e-9

    # Actions of the call's life

    def _do(self, call, actions):
        for action in actions:
            try:
                self._do_one(call, action)
            except Exception as error:
                self._log.error(f'call {call.command.call_id}: {error!r}')
                if isinstance(action, call_life.SendGoal):
                    self._do(call, call.life.failed(str(error), self._steady()))

    def _do_one(self, call, action):
        if isinstance(action, call_life.SendGoal):
            goal = ExecuteTool.Goal(session=call.command.session, call_id=call.command.call_id,
                                    arguments_json=call.command.arguments_json)
            self._unanswered.setdefault(call.command.action_name, set()).add(call.key)
            self._then(call, self._client(call.command.action_name).send_goal_async(
                goal, feedback_callback=self._guard(call, self._on_feedback)),
                self._on_goal_response)
        elif isinstance(action, call_life.CancelGoal):
            self._then(call, call.goal_handle.cancel_goal_async(), None)
        elif isinstance(action, call_life.RequestResult):
            self._then(call, call.goal_handle.get_result_async(), self._on_result)
        elif isinstance(action, call_life.Accepted):
            self._tell(call, CallEvent.ACCEPTED)
        elif isinstance(action, call_life.Feedback):
            self._tell(call, CallEvent.FEEDBACK, progress=action.progress, text=action.text)
        else:
            self._calls.pop(call.key, None)
            self._known[call.key] = self._tell(
                call, CallEvent.ENDED, status=str(action.status),
                error_code=int(action.error_code), error_msg=action.error_msg,
                result_json=action.result_json)
            self._answered(call)

    def _tell(self, call, event, **fields) -> CallEvent:
        message = CallEvent(event=event, call_id=call.command.call_id,
                            stamp=self._node.get_clock().now().to_msg(), **fields)
        self._publish_event(message)
        return message

    def _then(self, call, future, callback):
        future.add_done_callback(self._guard(
            call, lambda call, done: callback(call, done.result()) if callback else done.result()))

    def _guard(self, call, callback):
        """Return a callback that never raises: an exception in one can end the process."""
        def guarded(argument):
            try:
                callback(call, argument)
            except Exception as error:
                self._log.error(f'call {call.command.call_id}: {error!r}')
        return guarded

    def _on_goal_response(self, call, goal_handle):
        if call.life.stage is Stage.SENT and goal_handle.accepted:
            call.goal_handle = goal_handle
        self._do(call, call.life.goal_response(goal_handle.accepted, self._steady()))
        self._answered(call)

    def _on_feedback(self, call, message):
        feedback = message.feedback
        self._do(call, call.life.feedback(feedback.progress, feedback.text, self._steady()))

    def _on_result(self, call, response):
        result = response.result
        self._do(call, call.life.result(
            _STATUS.get(response.status, 'unknown'), result.error_code, result.error_msg,
            result.result_json))


def _remember(known, key):
    known[key] = None
    while len(known) > REMEMBER:
        known.popitem(last=False)
