"""Many one-shot timers of the kernel on one ROS timer, so that simulated time works."""
from typing import Callable, Dict

from async_agent_ros.nodes.node_base import now_ns, NS_PER_S


class TimerQueue:
    """Calls `fire(timer_id)` when the node's clock has reached a timer's time."""

    def __init__(self, node, fire: Callable[[str], None]):
        """Create the ROS timer; it rests while nothing is set."""
        self._node = node
        self._fire = fire
        self._due_ns: Dict[str, int] = {}
        self._timer = node.create_timer(3600.0, self._on_timer)
        self._timer.cancel()

    def set(self, timer_id: str, at_ns: int) -> None:
        """Set or move a timer."""
        self._due_ns[timer_id] = at_ns
        self._schedule()

    def clear(self, timer_id: str) -> None:
        """Forget a timer."""
        if self._due_ns.pop(timer_id, None) is not None:
            self._schedule()

    def _schedule(self) -> None:
        self._timer.cancel()
        if self._due_ns:
            wait_ns = min(self._due_ns.values()) - now_ns(self._node)
            self._timer.timer_period_ns = max(1_000_000, min(wait_ns, 3600 * NS_PER_S))
            self._timer.reset()

    def _on_timer(self) -> None:
        now = now_ns(self._node)
        due = sorted((at, t) for t, at in self._due_ns.items() if at <= now)
        for _, timer_id in due:
            del self._due_ns[timer_id]
            self._fire(timer_id)
        self._schedule()
