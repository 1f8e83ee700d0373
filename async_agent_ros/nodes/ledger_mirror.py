"""A copy of the ledger for a reader: from the topic, with gaps fetched from the service."""
import threading
import time
from typing import Callable, Dict, List, Optional

from async_agent_ros.core.ledger import Entry, MAIN
from async_agent_ros.core.words import Kind
from async_agent_ros.msg import LedgerEntry
from async_agent_ros.nodes import qos
from async_agent_ros.nodes.convert import entry_from_msg
from async_agent_ros.srv import GetLedger

RETRY_S = 0.5
"""Between two requests for the same gap."""
_SLICE_S = 0.02


class LedgerMirror:
    """
    Holds the entries of the present session, without gaps, in order.

    Callbacks of the node fill it; other threads wait for a seq with wait_for(). `on_session` is
    called, in whichever thread noticed, when another session begins, and `on_end(instance)` when
    a helper has ended.
    """

    def __init__(self, node, *, callback_group=None,
                 on_session: Optional[Callable[[], None]] = None,
                 on_end: Callable[[str], None] = lambda instance: None):
        self._node = node
        self._on_end = on_end
        self._on_session = on_session
        self._changed = threading.Condition()
        self._entries: List[Entry] = []
        self._early: Dict[int, Entry] = {}
        self._session = ''
        self._asked_at_s = 0.0
        self._client = node.create_client(GetLedger, 'get_ledger', callback_group=callback_group)
        self._subscription = node.create_subscription(
            LedgerEntry, 'ledger', self._on_entry, qos.LEDGER, callback_group=callback_group,
            qos_overriding_options=qos.OVERRIDABLE)

    @property
    def session(self) -> str:
        """The session id, '' before the first entry."""
        return self._session

    @property
    def next_seq(self) -> int:
        """Entries below this seq are here."""
        return len(self._entries)

    def entries(self, from_seq: int, until_seq: int) -> List[Entry]:
        """Return the entries with from_seq <= seq < until_seq that are here."""
        with self._changed:
            return self._entries[from_seq:until_seq]

    def wait_for(self, session: str, until_seq: int, timeout_s: float,
                 abort: threading.Event) -> bool:
        """
        Wait until all entries of the session below until_seq are here.

        Not to be called from a callback. False when time is up or `abort` is set.
        """
        deadline = time.monotonic() + timeout_s
        waited = False
        with self._changed:
            while session != self._session or len(self._entries) < until_seq:
                left_s = deadline - time.monotonic()
                if left_s <= 0.0 or abort.is_set():
                    return False
                if waited:  # the topic had its chance
                    self._fetch()
                self._changed.wait(min(left_s, _SLICE_S))
                waited = True
        return True

    def _on_entry(self, msg: LedgerEntry) -> None:
        self._add([msg], msg.session)

    def _add(self, messages, session: str) -> None:
        renewed, ended = False, []
        with self._changed:
            if session != self._session:
                renewed = bool(self._session)
                self._session = session
                self._entries, self._early = [], {}
            for msg in messages:
                try:
                    entry = entry_from_msg(msg)
                except ValueError as error:
                    self._node.get_logger().error(
                        f'ledger entry {msg.seq} cannot be read ({error}): is the manager of '
                        'another version?', throttle_duration_sec=10.0)
                    continue
                if entry.seq >= len(self._entries):
                    self._early[entry.seq] = entry
            while len(self._entries) in self._early:
                entry = self._early.pop(len(self._entries))
                self._entries.append(entry)
                if entry.kind == Kind.END and not entry.generation_id and entry.instance != MAIN:
                    ended.append(entry.instance)
            if self._early:
                self._fetch()
            self._changed.notify_all()
        if renewed and self._on_session is not None:
            self._on_session()
        for instance in ended:
            self._on_end(instance)

    def _fetch(self) -> None:
        now_s = time.monotonic()
        if now_s - self._asked_at_s < RETRY_S or not self._client.service_is_ready():
            return
        self._asked_at_s = now_s
        future = self._client.call_async(GetLedger.Request(from_seq=len(self._entries)))
        future.add_done_callback(self._on_entries)

    def _on_entries(self, future) -> None:
        # an exception in a done callback would end the process
        try:
            response = future.result()
            if response is None:
                return
            if response.error_code != GetLedger.Response.ERROR_NONE and (
                    response.session == self._session):
                self._node.get_logger().warning(f'get_ledger: {response.error_msg}')
            self._asked_at_s = 0.0
            self._add(response.entries, response.session)
        except Exception as error:
            self._node.get_logger().error(f'the ledger cannot be fetched: {error!r}')
