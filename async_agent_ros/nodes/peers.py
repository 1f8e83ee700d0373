"""Who is there: leases of tool servers, liveliness of the agent's own nodes."""
import time
from typing import Callable, Dict, Iterable, Set, Tuple

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:    # ROS 2 Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

from async_agent_ros.core import events
from async_agent_ros.msg import ToolAnnouncement
from async_agent_ros.tools.discovery import FOUND_WITHIN_S
from async_agent_ros.tools.msgs import spec_from_msg

YOUNG_S = 2 * FOUND_WITHIN_S
"""
For so long the silence of a peer that was just found is doubted: to count a living dispatcher as
dead loses every call that runs, and on a busy machine all takes longer.
"""


class ToolServers:
    """
    Turns announcements into events, and silence beyond the lease into a loss.

    Leases run on the steady clock: they are about processes, not about simulated time.
    """

    def __init__(self, post: Callable[[events.Event], None], now: Callable[[], int],
                 warn: Callable[[str], None], *, grace_s: float = 12.0):
        """
        Begin with no servers.

        `grace_s` is the lease of servers known from an earlier life of the manager: it must find
        them before it can hear them, which takes seconds on a busy machine.
        """
        self._post = post
        self._now = now
        self._warn = warn
        self._grace_s = grace_s
        self._deadline: Dict[str, float] = {}
        self._silent: Set[str] = set()
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
        """
        Post the loss of every server whose lease has run out; called by a timer.

        One look is not enough: where this process stood still, signs of life wait unread behind
        the timer, and are read before the next one.
        """
        now_s = time.monotonic()
        silent = {s for s, deadline_s in self._deadline.items() if deadline_s < now_s}
        lost, self._silent = sorted(silent & self._silent), silent - self._silent
        for server in lost:
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


class PeerWatch:
    """
    Posts PeerChanged when one of the agent's own nodes comes or vanishes.

    A process that was killed counts as alive until its lease ends, often longer than its
    successor takes to come: a loss is told also when another one is already alive. Signs of life
    are among what gets lost while two processes find each other: the silence of one that was only
    just found is believed when it lasts, or when another one comes.
    """

    def __init__(self, peer: str, post: Callable[[events.Event], None], now: Callable[[], int], *,
                 steady: Callable[[], float] = time.monotonic):
        """`now` gives the stamp of events, nanoseconds; `steady` the time of leases, seconds."""
        self._peer, self._post, self._now, self._steady = peer, post, now, steady
        self._alive = self._doubtful = False
        self._found_s = 0.0

    @property
    def callbacks(self) -> SubscriptionEventCallbacks:
        """For the subscription to a topic that the peer publishes with a lease."""
        return SubscriptionEventCallbacks(liveliness=self.on_change)

    def on_change(self, info) -> None:
        """Take a liveliness event of the subscription."""
        came, silent = info.alive_count_change, info.not_alive_count_change
        if silent > 0 and info.alive_count == 0 and self._young:
            self._doubtful = True
        elif silent > 0 or came < 0:
            self._tell(False)
        elif silent < 0 and came > 0:
            self._doubtful = False    # it is heard again
        elif came > 0 and self._doubtful:
            self._tell(False)
        if came > 0:
            self._found_s = self._steady()
        if info.alive_count > 0:
            self._tell(True)

    def check(self) -> None:
        """Tell the loss of a peer that has been in doubt for long enough; called by a timer."""
        if self._doubtful and not self._young:
            self._tell(False)

    @property
    def _young(self) -> bool:
        return self._steady() - self._found_s < YOUNG_S

    def _tell(self, alive: bool) -> None:
        self._doubtful = False
        if alive != self._alive:
            self._alive = alive
            self._post(events.PeerChanged(self._now(), peer=self._peer, alive=alive))
