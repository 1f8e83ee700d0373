"""Keeps the latest message of a topic, whatever quality of service its publishers offer."""
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from rclpy.serialization import deserialize_message

from async_agent_ros.tools.bridge.quality import key, QUIET_SUBSCRIPTION, to_subscribe


class Received:
    """One message as it came: bytes until somebody wants it."""

    def __init__(self, data: bytes, cls, sent_ns: int):
        self._data, self._cls = data, cls
        self.sent_ns = sent_ns
        """Wall-clock time at which the publisher sent it, in ns since 1970."""

    @property
    def age_s(self) -> float:
        """Seconds since it was sent."""
        return max(0.0, (time.time_ns() - self.sent_ns) * 1e-9)

    def message(self) -> Any:
        """Return the message itself; it is read only now, since most are never asked for."""
        return deserialize_message(self._data, self._cls)


class Listener:
    """Subscriptions to one topic that follow its publishers. All in the executor's thread."""

    def __init__(self, node, cls, topic: str, options: Mapping[str, Any]):
        self._node, self._cls, self._topic, self._options = node, cls, topic, options
        self._subscriptions: Dict[Tuple, Any] = {}
        self._waiting: List[Callable[[Received], None]] = []
        self.latest: Optional[Received] = None
        self.publishers = 0
        """Of this type, as the graph had it at the last look."""
        self.others: List[str] = []
        """Types of publishers of the topic that are not of this type."""

    def look(self) -> None:
        """Subscribe to fit the publishers that are there now."""
        infos = self._node.get_publishers_info_by_topic(self._topic)
        package, folder = self._cls.__module__.split('.')[:2]
        mine = f'{package}/{folder}/{self._cls.__name__}'
        self.others = sorted({i.topic_type for i in infos if i.topic_type != mine})
        fitting = [i for i in infos if i.topic_type == mine]
        self.publishers = len(fitting)
        if not fitting and self._subscriptions:
            return    # the same publisher may come back
        wanted = {key(q): q for q in to_subscribe([i.qos_profile for i in fitting],
                                                  self._options)}
        for old in [k for k in self._subscriptions if k not in wanted]:
            self._node.destroy_subscription(self._subscriptions.pop(old))
        for each, qos in wanted.items():
            if each not in self._subscriptions:
                self._subscriptions[each] = self._node.create_subscription(
                    self._cls, self._topic, self._receive, qos, raw=True,
                    event_callbacks=QUIET_SUBSCRIPTION)

    def _receive(self, data, info):
        sent_ns = info['source_timestamp'] or time.time_ns()
        received = Received(data, self._cls, sent_ns)
        # an old one may come late, to the second of two subscriptions
        if self.latest is None or received.sent_ns >= self.latest.sent_ns:
            self.latest = received
        waiting, self._waiting = self._waiting, []
        for tell in waiting:
            tell(received)

    def on_next(self, tell: Callable[[Received], None]) -> None:
        """Call once with the next message."""
        self._waiting.append(tell)

    def forget(self, tell: Callable[[Received], None]) -> None:
        """Do not call any more."""
        if tell in self._waiting:
            self._waiting.remove(tell)

    @property
    def idle(self) -> bool:
        """Whether nobody waits."""
        return not self._waiting

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
