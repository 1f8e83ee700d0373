"""The manager's side of call_command and call_event: orders out, until the dispatcher answers."""
import copy
import time
from typing import Callable, Dict, List, NamedTuple

from rclpy.clock import Clock, ClockType

from async_agent_ros.msg import CallCommand, CallEvent

REPEAT_S = 0.5
"""Between two repetitions while nothing is known of a dispatcher that reads the orders."""

BEGIN_WITHIN_S = 5.0
"""Later than this nobody expects any more that a call begins: it is only asked about."""

LOST_AFTER_S = 12.0
"""
Without an answer for so long a call is lost. A dispatcher that has the order is silent for 10 s at
most, while it looks for the server and waits for its answer.
"""


class _Order(NamedTuple):
    since_s: float
    message: CallCommand


class CallOrders:
    """
    Publishes orders, and repeats them until the dispatcher has answered one.

    A node that has just started may be found by its peers seconds late, topic by topic, and what
    it publishes until then is lost. The first answer to an order proves that orders and answers
    arrive; what was ordered before it and had no answer of its own is then repeated once more, and
    from then on nothing is. The dispatcher executes an order only once, whatever is repeated.
    `lost(call_id)` is told of a call that nobody answered for.
    """

    def __init__(self, node, publish: Callable[[CallCommand], None],
                 lost: Callable[[str], None]):
        """Create the timer on the node."""
        self._publish, self._lost = publish, lost
        self._heard = False
        self._unanswered: Dict[str, List[_Order]] = {}
        # Patience with processes is real time, also when the ROS clock is simulated.
        self._timer = node.create_timer(REPEAT_S, self._repeat,
                                        clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._timer.cancel()

    def send(self, order: CallCommand) -> None:
        """Publish an order."""
        self._publish(order)
        if self._heard:
            return
        if not self._unanswered:
            self._timer.reset()
        self._unanswered.setdefault(order.call_id, []).append(_Order(time.monotonic(), order))

    def on_event(self, event: CallEvent) -> None:
        """Take note of an answer."""
        if self._heard or event.call_id not in self._unanswered:
            return
        self._heard = True
        cancelled = self._unanswered[event.call_id][-1].message.command == CallCommand.CANCEL
        if event.event == CallEvent.ENDED or not cancelled:
            del self._unanswered[event.call_id]
        self._repeat()
        self._unanswered.clear()

    def forget(self) -> None:
        """Count the dispatcher as one that has not answered yet: it vanished."""
        self._heard = False
        self._unanswered.clear()

    def _repeat(self) -> None:
        now_s = time.monotonic()
        for call_id, orders in list(self._unanswered.items()):
            if now_s - orders[-1].since_s > LOST_AFTER_S:
                del self._unanswered[call_id]
                self._lost(call_id)
                continue
            # The latest first: what is cancelled by the time it is heard of does not begin.
            for since_s, order in reversed(orders):
                if order.command == CallCommand.EXECUTE and now_s - since_s > BEGIN_WITHIN_S:
                    order = copy.deepcopy(order)
                    order.command = CallCommand.FIND
                self._publish(order)
        if self._heard or not self._unanswered:
            self._timer.cancel()
