"""Who is there: leases of tool servers, liveliness of the agent's own nodes."""
import time
from typing import Callable, Dict, Iterable, Tuple

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:    # ROS 2 Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

from async_agent_ros.core import events
from async_agent_ros.msg import ToolAnnouncement
from async_agent_ros.tools.msgs import spec_from_msg


class ToolServers:
    """
    Turns announcements into events, and silence beyond the lease into a loss.

    Leases run on the steady clock: they are about processes, not about simulated time.
    """

    def __init__(self, post: Callable[[events.Event], None], now: Callable[[], int],
                 warn: Callable[[str], None], *, grace_s: float = 5.0):
        """`grace_s` is the lease of servers known from an earlier life of the manager."""
        self._post = post
        self._now = now
        self._warn = warn
        self._grace_s = grace_s
        self._deadline: Dict[str, float] = {}
        self._revision: Dict[str, Tuple[int, int]] = {}

    def expect(self, servers: Iterable[str]) -> None:
        """Count servers of a recovered catalogue as alive until their grace has passed."""
        for server in servers:
            self._deadline.setdefault(server, time.monotonic() + self._grace_s)

    def on_announcement(self, message: ToolAnnouncement) -> None:
        """Take note of a sign of life; post only what changes something."""
        server = message.server
        if message.stopping:
            if self._deadline.pop(server, None) is not None:
                self._lose(server, stopped=True)
            return
        self._deadline[server] = time.monotonic() + max(message.lease_s, 0.5)
        revision = (message.incarnation, message.revision)
        if self._revision.get(server) == revision:
            return
        self._revision[server] = revision
        tools = []
        for spec in message.tools:
            try:
                tools.append(spec_from_msg(spec).to_json())
            except ValueError as error:
                self._warn(f'{server} announces a tool that cannot be used: {error}')
        self._post(events.ToolsAnnounced(self._now(), server=server, tools=tuple(tools)))

    def check(self) -> None:
        """Post the loss of every server whose lease has run out."""
        now = time.monotonic()
        for server in [s for s, deadline in self._deadline.items() if deadline < now]:
            del self._deadline[server]
            self._warn(f'tool server {server} gives no sign of life: its tools are gone')
            self._lose(server)

    def _lose(self, server: str, stopped: bool = False) -> None:
        # The others are heard anew: a tool whose name was taken may have it now.
        self._revision.clear()
        self._post(events.ToolServerLost(self._now(), server=server, stopped=stopped))

    @property
    def alive(self):
        """Names of the servers that are there."""
        return sorted(self._deadline)


def liveliness_callbacks(peer: str, post: Callable[[events.Event], None],
                         now: Callable[[], int]) -> SubscriptionEventCallbacks:
    """
    Return subscription callbacks that post PeerChanged when the peer comes or vanishes.

    A process that was killed counts as alive until its lease ends, often longer than its
    successor takes to come: a loss is told also when another one is already alive.
    """
    known = {'alive': False}

    def on_change(info) -> None:
        if info.alive_count_change < 0 and known['alive']:
            known['alive'] = False
            post(events.PeerChanged(now(), peer=peer, alive=False))
        if info.alive_count > 0 and not known['alive']:
            known['alive'] = True
            post(events.PeerChanged(now(), peer=peer, alive=True))

    return SubscriptionEventCallbacks(liveliness=on_change)
