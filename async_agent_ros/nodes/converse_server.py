"""The manager's side of the Converse action: any node can talk to the agent."""
from typing import Callable, Dict

from rclpy.action import ActionServer, CancelResponse, GoalResponse

from async_agent_ros.action import Converse
from async_agent_ros.core import effects, events
from async_agent_ros.msg import LedgerEntry
from async_agent_ros.nodes import qos


class ConverseServer:
    """Turns goals into UserText events and ends them with the kernel's TurnEnded effects."""

    def __init__(self, node, post: Callable[[events.Event], None], now: Callable[[], int]):
        """Serve `converse` on the node."""
        self._post = post
        self._now = now
        self._open: Dict[str, object] = {}
        self._first_seq: Dict[str, int] = {}
        self._server = ActionServer(
            node, Converse, 'converse', execute_callback=lambda handle: Converse.Result(),
            goal_callback=lambda goal: GoalResponse.ACCEPT,
            cancel_callback=self._on_cancel, handle_accepted_callback=self._on_accepted,
            feedback_pub_qos_profile=qos.EVENT,
            # Retained results slow the server down; nobody asks for them after this.
            result_timeout=10)

    def _on_accepted(self, handle) -> None:
        request_id = bytes(handle.goal_id.uuid).hex()
        if not handle.request.text.strip():
            self._finish(handle, Converse.Result(
                error_code=Converse.Result.ERROR_EMPTY_TEXT,
                error_msg='the text is empty: say something'))
            return
        self._open[request_id] = handle
        self._post(events.UserText(self._now(), text=handle.request.text, source='converse',
                                   request_id=request_id,
                                   wait_for_calls=handle.request.wait_for_calls))

    def _on_cancel(self, handle) -> CancelResponse:
        self._post(events.InterruptRequested(self._now(), scope='speech',
                                             reason='converse goal cancelled'))
        return CancelResponse.ACCEPT

    def on_entry(self, message: LedgerEntry, first_seq_of: Callable[[str], int]) -> None:
        """Send an entry to the goals whose turn it belongs to."""
        for request_id, handle in self._open.items():
            first = first_seq_of(request_id)
            if 0 <= first <= message.seq:
                handle.publish_feedback(Converse.Feedback(entry=message))

    def on_turn_ended(self, effect: effects.TurnEnded) -> None:
        """Answer the goal."""
        handle = self._open.pop(effect.request_id, None)
        if handle is not None:
            self._finish(handle, Converse.Result(
                error_code=effect.error_code, error_msg=effect.error_msg, reply=effect.reply,
                heard=effect.heard, first_seq=effect.first_seq, next_seq=effect.next_seq))

    @staticmethod
    def _finish(handle, result) -> None:
        def execute(goal_handle):
            if goal_handle.is_cancel_requested:
                goal_handle.canceled()
            elif result.error_code in (Converse.Result.ERROR_NONE,):
                goal_handle.succeed()
            else:
                goal_handle.abort()
            return result
        # Deferred execution: nothing waits inside a callback.
        handle.execute(execute)
