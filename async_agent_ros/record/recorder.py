"""The node behind `async-agent record`: raw subscriptions of everything the agent does."""
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Optional, Sequence

from rclpy.node import Node

from async_agent_ros import __version__
from async_agent_ros.record import topics
from async_agent_ros.record.bag import BagWriter

DISCOVERY_PERIOD_S = 1.0
_DRAIN_MESSAGES = 500


class Recorder(Node):
    """
    Records the agent in `namespace` into the new bag directory `path`.

    The known topics are subscribed at once; every other topic below the namespace (the simulated
    robot's pose and battery, tools of other servers), and those named in `extra`, when they show
    up. Topics of audio are left out unless `audio` is true; the bag is split into files of
    `max_file_bytes`, if any. Raises BagError when the bag cannot be
    written; `on_error` is told when it has to stop early, from another thread.
    """

    def __init__(self, path: Path, *, namespace: str = '/agent', audio: bool = True,
                 extra: Sequence[str] = (), max_file_bytes: int = 0,
                 on_error: Callable[[str], None] = lambda text: None):
        super().__init__('recorder', namespace=namespace, enable_rosout=False)
        self._ns = namespace
        self._audio = audio
        self._extra = set(extra)
        self._warned = set()
        self._subscriptions_by_name: Dict[str, object] = {}
        self._offered: Dict[str, list] = {}
        self._lock = threading.Lock()
        self.bag = BagWriter(path, on_error=on_error, max_file_bytes=max_file_bytes, custom_data={
            'async_agent_ros': __version__, 'namespace': namespace})
        for topic in topics.TOPICS:
            if audio or not topic.audio:
                self._subscribe(topics.absolute(topic.name, namespace), topic.msgtype, topic.qos)
        self._timer = self.create_timer(DISCOVERY_PERIOD_S, self.discover)

    def discover(self) -> None:
        """Subscribe to topics that have appeared."""
        prefix = self._ns.rstrip('/') + '/'
        skipped = {topics.absolute(t.name, self._ns) for t in topics.TOPICS
                   if t.audio and not self._audio}
        for name, types in self.get_topic_names_and_types():
            if name in self._subscriptions_by_name or name in skipped or '/_' in name:
                continue
            if not (name.startswith(prefix) or name in self._extra):
                continue
            offered = [i.qos_profile for i in self.get_publishers_info_by_topic(name)]
            if len(types) == 1 and offered:
                self._subscribe(name, types[0], topics.adapt(offered))

    def _subscribe(self, name, msgtype, profile):
        try:
            cls = topics.message_class(msgtype)
        except (ImportError, AttributeError, ValueError):
            if name not in self._warned:
                self._warned.add(name)
                print(f'not recorded: {name}, its type {msgtype} is not installed here',
                      file=sys.stderr, flush=True)
            return
        # rclpy wants a callback that takes the message and its info; the holder knows which one.
        holder = partial(self._take, name, msgtype)
        self._subscriptions_by_name[name] = self.create_subscription(
            cls, name, lambda data, info: holder(data, info), profile, raw=True)

    def _take(self, name, msgtype, data, info):
        self._write(name, msgtype, data, info)
        # One wake-up of rclpy's executor per message limits it to some 1,700 messages a second.
        subscription = self._subscriptions_by_name[name]
        with subscription.handle:
            for _ in range(_DRAIN_MESSAGES):
                taken = subscription.handle.take_message(subscription.msg_type, True)
                if taken is None:
                    return
                self._write(name, msgtype, *taken)

    def _write(self, name, msgtype, data, info):
        if self.get_clock().ros_time_is_active:
            stamp_ns = self.get_clock().now().nanoseconds
        else:
            stamp_ns = info['received_timestamp'] or time.time_ns()
        offered = self._offered.get(name)
        if offered is None:
            offered = self._offered[name] = list(dict.fromkeys(
                topics.bag_qos(i.qos_profile) for i in self.get_publishers_info_by_topic(name)))
        self.bag.write(name, msgtype, offered, stamp_ns, bytes(data))

    def shut_down(self) -> None:
        """Take what has arrived, then close the bag."""
        for name, subscription in self._subscriptions_by_name.items():
            with subscription.handle:
                while True:
                    taken = subscription.handle.take_message(subscription.msg_type, True)
                    if taken is None:
                        break
                    self._write(name, self._msgtype(subscription), *taken)
        self.bag.close()

    @staticmethod
    def _msgtype(subscription) -> str:
        cls = subscription.msg_type
        return f'{cls.__module__.split(".")[0]}/msg/{cls.__name__}'


def summary(recorder: Optional[Recorder]) -> str:
    """Return one line about a closed recording."""
    bag = recorder.bag
    lost = f', {bag.dropped} lost' if bag.dropped else ''
    return f'{bag.path}: {bag.written} messages{lost}'
