"""Show: publishes the raw messages of a bag again, with their timing and their QoS."""
import threading
import time
from typing import Callable, Dict, Iterable, Iterator, List, Optional

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile
from rclpy.qos import ReliabilityPolicy
from rosbags.interfaces import QosDurability, QosLiveliness, QosReliability
from rosbags.rosbag2.metadata import parse_qos
from rosgraph_msgs.msg import Clock

from async_agent_ros.bringup import ALL_NODES
from async_agent_ros.nodes.node_base import to_time
from async_agent_ros.record.definitions import definition, UnknownTypeError
from async_agent_ros.record.reader import BagReader, Record
from async_agent_ros.record.topics import message_class

NS_PER_S = 1_000_000_000
CLOCK_PERIOD_S = 0.01
LOOK_PERIOD_S = 1.0
"""How often it is checked that no agent runs where the orders of a bag are published."""

DISCOVERY_S = 0.5
ACKNOWLEDGE_S = 2.0
_DEPTHS = {'ledger': 5000, 'kernel_events': 5000, 'state': 1}
_DEPTH = 1000
_FOREVER_S = 10**9


class ShowError(Exception):
    """The bag cannot be shown here. The message says why, and the remedy."""


def living(node: Node, namespace: str) -> List[str]:
    """Return the nodes of an agent that runs in a namespace, as far as they are discovered."""
    return sorted(name for name, space in node.get_node_names_and_namespaces()
                  if space == namespace and name in ALL_NODES)


def offered_profile(topic: str, text: str) -> QoSProfile:
    """
    Return the profile to publish a topic with, from what its publishers offered.

    Where they differed, the weaker is taken. The depth is not in the bag; it is that of the
    agent's own topics, and deep for others.
    """
    offered = parse_qos(text) if text else []
    reliable = all(q.reliability != QosReliability.BEST_EFFORT for q in offered)
    latched = bool(offered) and all(
        q.durability == QosDurability.TRANSIENT_LOCAL for q in offered)
    profile = QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=_DEPTHS.get(topic.rsplit('/', 1)[-1], _DEPTH),
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE))
    leases = [q.liveliness_lease_duration for q in offered
              if q.liveliness == QosLiveliness.AUTOMATIC]
    if offered and len(leases) == len(offered):
        longest = max(leases, key=lambda t: (t.sec, t.nsec))
        if longest.sec < _FOREVER_S:
            profile.liveliness = LivelinessPolicy.AUTOMATIC
            profile.liveliness_lease_duration = Duration(
                seconds=longest.sec, nanoseconds=longest.nsec)
    return profile


def recorded_namespace(reader: BagReader) -> str:
    """Return the namespace of the agent in a bag that was read through, '' without one."""
    for topic in sorted(reader.offered):
        if topic.endswith('/ledger'):
            return topic[:-len('/ledger')]
    return ''


class Player:
    """
    Publishes a bag from the thread that calls play().

    `start_s` skips that much; of what comes before it only the latched topics (ledger, state,
    tools) are published, at once, so that a viewer knows how it stands. `topics` are full names,
    or names relative to the recorded namespace; all when empty. `namespace` is published under
    in place of the recorded one. `on_remark` is told what is left out.
    """

    def __init__(self, node: Node, reader: BagReader, *, rate: float = 1.0, start_s: float = 0.0,
                 clock: bool = False, topics: Iterable[str] = (), namespace: str = '',
                 on_remark: Callable[[str], None] = lambda text: None):
        self._node, self._reader = node, reader
        self._rate, self._start_s, self._on_remark = rate, start_s, on_remark
        self._publishers: Dict[str, Optional[object]] = {}
        self._latched = set()
        self.published = 0
        # Once through the bag: its topics, and the time at which it begins.
        self._begin_ns: Optional[int] = None
        types: Dict[str, str] = {}
        for record in reader.records():
            self._begin_ns = (record.stamp_ns if self._begin_ns is None
                              else min(self._begin_ns, record.stamp_ns))
            types.setdefault(record.topic, record.msgtype)
        self._recorded_ns = recorded_namespace(reader)
        self._namespace = namespace or self._recorded_ns
        wanted = {t if t.startswith('/') else f'{self._recorded_ns}/{t}' for t in topics}
        unknown = sorted(wanted - set(types))
        if unknown:
            raise ShowError(f'{reader.path} holds no {", ".join(unknown)}; its topics are: '
                            f'{", ".join(sorted(types))}')
        for topic in sorted(wanted or types):
            if not (clock and topic == '/clock'):
                self._publishers[topic] = self._publisher(topic, types[topic])
        if not any(self._publishers.values()):
            raise ShowError(f'nothing of {reader.path} can be published here')
        self._clock = node.create_publisher(Clock, '/clock', 10) if clock else None

    def _publisher(self, topic: str, msgtype: str):
        try:
            if self._reader.type_hash(msgtype) != definition(msgtype)[1]:
                self._on_remark(f'{topic} is left out: the bag defines {msgtype} in another way '
                                'than it is installed here')
                return None
            cls = message_class(msgtype)
        except (UnknownTypeError, ImportError, AttributeError) as error:
            self._on_remark(f'{topic} is left out: {error}')
            return None
        profile = offered_profile(topic, self._reader.offered.get(topic, ''))
        if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL:
            self._latched.add(topic)
        return self._node.create_publisher(cls, self._renamed(topic), profile)

    def _renamed(self, topic: str) -> str:
        prefix = self._recorded_ns + '/'
        if self._namespace != self._recorded_ns and topic.startswith(prefix):
            return f'{self._namespace}/{topic[len(prefix):]}'
        return topic

    def play(self, stop: threading.Event, delay_s: float = 1.0) -> None:
        """
        Publish everything, or until `stop` is set; raises ShowError when an agent runs here.

        `delay_s` passes first, for the subscribers to be found; half a second at least, for a
        living agent to be found.
        """
        stop.wait(max(delay_s, DISCOVERY_S))
        self._look()
        begin_ns = self._begin_ns + round(self._start_s * NS_PER_S)
        start_s = next_look_s = time.monotonic()
        for record in self._wanted(begin_ns):
            at_s = start_s + max(0, record.stamp_ns - begin_ns) / NS_PER_S / self._rate
            if not self._wait_until(at_s, stop, start_s, begin_ns):
                break
            if time.monotonic() >= next_look_s + LOOK_PERIOD_S:
                next_look_s = time.monotonic()
                self._look()
            self._publishers[record.topic].publish(record.data)
            self.published += 1
        for publisher in self._all():
            if not stop.is_set():
                publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))

    def _all(self) -> List[object]:
        return [p for p in self._publishers.values() if p is not None]

    def _wanted(self, begin_ns: int) -> Iterator[Record]:
        for record in self._reader.records(lambda t: self._publishers.get(t) is not None):
            if record.stamp_ns >= begin_ns or record.topic in self._latched:
                yield record

    def _wait_until(self, at_s, stop, start_s, begin_ns) -> bool:
        """Wait, publishing /clock meanwhile; False when it is to stop."""
        while not stop.is_set():
            now_s = time.monotonic()
            if self._clock is not None:
                shown_s = (min(now_s, at_s) - start_s) * self._rate
                self._clock.publish(Clock(clock=to_time(begin_ns + round(shown_s * NS_PER_S))))
            left_s = at_s - now_s
            if left_s <= 0:
                return True
            stop.wait(min(left_s, CLOCK_PERIOD_S) if self._clock is not None else left_s)
        return False

    def _look(self) -> None:
        """Refuse to give the recorded orders to a living agent."""
        found = living(self._node, self._namespace)
        if found:
            raise ShowError(
                f'an agent runs in {self._namespace} ({", ".join(found)}): it would '
                'carry out what was recorded. Set another ROS_DOMAIN_ID, or show the bag under '
                'another name with --namespace /replay')
