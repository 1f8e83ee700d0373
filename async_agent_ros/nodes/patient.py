"""A publisher that a node may use before its reader has been found."""
import collections
import threading
import time
from typing import Any, Callable, Deque

from rclpy.clock import Clock, ClockType

from async_agent_ros.tools.discovery import FOUND_WITHIN_S

LOOK_PERIOD_S = 0.02


class PatientPublisher:
    """
    Keeps what a young node publishes until the node `reader` has subscribed, in order.

    Other readers, such as a recorder, may be there before. Messages are kept until FOUND_WITHIN_S
    after the start; then they go out to whoever is there. publish() may be called from any thread.
    """

    def __init__(self, node, publisher, reader: str):
        """Create the timer on the node; `reader` is the name of the node to wait for."""
        self._node, self._publisher, self._reader = node, publisher, reader
        self._lock = threading.Lock()
        self._kept: Deque[Any] = collections.deque()
        self._found = False
        self._until_s = time.monotonic() + FOUND_WITHIN_S
        # Patience with processes is real time, also when the ROS clock is simulated.
        self._timer = node.create_timer(LOOK_PERIOD_S, self._look,
                                        clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._timer.cancel()

    def publish(self, message: Any) -> None:
        """Publish a message, now or when the reader is there."""
        with self._lock:
            if self._is_time():
                self._publisher.publish(message)
            else:
                self._kept.append(message)
                self._timer.reset()

    def discard(self, condition: Callable[[Any], bool]) -> None:
        """Forget the messages that are still kept and for which the condition holds."""
        with self._lock:
            self._kept = collections.deque(m for m in self._kept if not condition(m))

    def _is_time(self) -> bool:
        """Tell whether messages may go out; those that were kept go first."""
        if not self._found:
            self._found = time.monotonic() > self._until_s or any(
                end.node_name == self._reader for end in
                self._node.get_subscriptions_info_by_topic(self._publisher.topic_name))
        while self._found and self._kept:
            self._publisher.publish(self._kept.popleft())
        return self._found

    def _look(self) -> None:
        with self._lock:
            if self._is_time():
                self._timer.cancel()
