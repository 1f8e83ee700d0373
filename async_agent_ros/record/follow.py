"""Follows a running agent: every topic decoded, the ledger without gaps, fed into an AgentView."""
import threading
import time
from typing import Callable, Dict, List, Optional

from rclpy.node import Node

from async_agent_ros.msg import LedgerEntry
from async_agent_ros.record.topics import absolute, message_class, TOPICS
from async_agent_ros.srv import GetLedger
from async_agent_ros.watch.view import AgentView, Line

_NOT_FOLLOWED = frozenset(
    ('kernel_events', 'audio_in', 'audio_out', '/diagnostics', '/rosout', 'call_command',
     'call_event', 'interrupt_request', 'cancel_call', 'text_in'))

GAP_PERIOD_S = 0.25
GAP_PATIENCE_S = 3.0
"""After this a request for missing entries is given up: its manager may have died meanwhile."""


class DeadlineError(Exception):
    """What was waited for did not come in time. The message names it."""


class AgentFollower:
    """
    Subscribes to the agent of a node's namespace and keeps `view` up to date.

    The callbacks only fold a message into the view; other threads read it under `changed` (a
    condition that is notified after every message) or wait with wait_for(). `on_lines` gets the
    lines of every message, in the executor's thread.
    """

    def __init__(self, node: Node, *, on_lines: Callable[[List[Line]], None] = lambda lines: None):
        self.view = AgentView()
        self.changed = threading.Condition()
        self._node = node
        self._on_lines = on_lines
        self._early: Dict[int, LedgerEntry] = {}
        self._request: Optional[object] = None
        self._requested_s = 0.0
        namespace = node.get_namespace()
        for topic in TOPICS:
            if topic.name in _NOT_FOLLOWED:
                continue
            callback = self._ledger if topic.name == 'ledger' else self._apply(topic.name)
            node.create_subscription(message_class(topic.msgtype),
                                     absolute(topic.name, namespace), callback, topic.qos)
        self._get_ledger = node.create_client(GetLedger, absolute('get_ledger', namespace))
        self._timer = node.create_timer(GAP_PERIOD_S, self._fill_gap)

    def _apply(self, name):
        def callback(message):
            with self.changed:
                lines = self._fold(name, message)
            self._tell(lines)
        return callback

    def _fold(self, name, message):
        lines = self.view.apply(name, message)
        self.changed.notify_all()
        return lines

    def _tell(self, lines):
        # Not under the lock: who shows lines may hold a lock of its own while it reads the view.
        if lines:
            self._on_lines(lines)

    @property
    def _next_seq(self) -> int:
        return self.view.ledger[-1].seq + 1 if self.view.ledger else 0

    def _ledger(self, entry):
        with self.changed:
            if self.view.ledger and entry.session != self.view.ledger[-1].session:
                self.view.new_session()    # the manager was started anew, without its ledger
                self._early.clear()
            if entry.seq >= self._next_seq:
                self._early[entry.seq] = entry
            lines = []
            while self._next_seq in self._early:
                lines += self._fold('ledger', self._early.pop(self._next_seq))
        self._tell(lines)

    def _fill_gap(self):
        with self.changed:
            waiting, next_seq = bool(self._early), self._next_seq
        if (self._request is not None
                and time.monotonic() - self._requested_s > GAP_PATIENCE_S):
            self._get_ledger.remove_pending_request(self._request)
            self._request = None
        if waiting and self._request is None and self._get_ledger.service_is_ready():
            self._requested_s = time.monotonic()
            self._request = self._get_ledger.call_async(GetLedger.Request(from_seq=next_seq))
            self._request.add_done_callback(self._on_gap)

    def _on_gap(self, future):
        if future is self._request:
            self._request = None
        response = future.result()
        for entry in (response.entries if response else ()):
            self._ledger(entry)

    def wait_for(self, condition: Callable[[AgentView], bool], timeout_s: float,
                 what: str) -> None:
        """
        Block until condition(view) holds; not to be called from a callback.

        Raises DeadlineError, naming `what`, after timeout_s.
        """
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while not condition(self.view):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise DeadlineError(f'{what}: not within {timeout_s:g} s')
                self.changed.wait(left)


def fetch_ledger(client, timeout_s: float = 5.0, max_entries: int = 500) -> List[LedgerEntry]:
    """
    Return the whole ledger from a GetLedger client whose node another thread spins.

    Raises DeadlineError when the service does not answer.
    """
    entries: List[LedgerEntry] = []
    while True:
        if not client.wait_for_service(timeout_sec=timeout_s):
            raise DeadlineError(f'service {client.srv_name}: not within {timeout_s:g} s')
        done = threading.Event()
        future = client.call_async(
            GetLedger.Request(from_seq=len(entries), max_entries=max_entries))
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout_s):
            raise DeadlineError(f'answer of {client.srv_name}: not within {timeout_s:g} s')
        response = future.result()
        entries.extend(response.entries)
        if not response.entries or len(entries) >= response.next_seq:
            return entries
