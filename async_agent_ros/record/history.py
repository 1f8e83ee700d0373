"""
What the kernel of a recorded run went through: its events and its ledger, from bag or journal.

What was written by another version, or in another format, is refused: its events could be read,
but they would not mean the same to the kernel of this one.
"""
from dataclasses import dataclass, field
import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from async_agent_ros import __version__
from async_agent_ros.core.events import Event, from_json
from async_agent_ros.core.ledger import Entry
from async_agent_ros.core.words import Kind
from async_agent_ros.record.definitions import definition
from async_agent_ros.record.reader import BagReader, BagReadError, find_bag, stamp_ns

EVENT_TYPE = 'async_agent_ros/msg/KernelEvent'
ENTRY_TYPE = 'async_agent_ros/msg/LedgerEntry'
JOURNAL_SUFFIX = '.journal.jsonl'


class HistoryError(Exception):
    """The recording cannot be stepped again. The message names file, reason and remedy."""


class Cause(NamedTuple):
    """An event as it was recorded, and which entries it caused then."""

    index: int
    event: Event
    first_seq: int
    entry_count: int

    @property
    def next_seq(self) -> int:
        """The seq after its entries; 0 when it caused none."""
        return self.first_seq + self.entry_count if self.entry_count else 0


@dataclass
class History:
    """One session of a recording."""

    source: Path
    session: str
    version: str
    causes: List[Cause] = field(default_factory=list)
    """Consecutive; the first is a Started."""
    earlier: List[Entry] = field(default_factory=list)
    """Entries of a life of the manager before the first event."""
    entries: List[Entry] = field(default_factory=list)
    """The recorded ledger from seq 0, as far as the events reach."""
    remarks: List[str] = field(default_factory=list)

    @property
    def events(self) -> List[Event]:
        """The events alone, in order of consumption."""
        return [cause.event for cause in self.causes]


def compatible(version: str) -> bool:
    """Tell whether the kernel of this version means the same by the events of that one."""
    return version.split('.')[:2] == __version__.split('.')[:2]


def load(path: Path) -> List[History]:
    """
    Return the sessions of a bag, a journal, or the folder of a run (its journal and its bag).

    Raises HistoryError or BagReadError.
    """
    path = Path(path)
    if path.is_file() and path.suffix != '.mcap':
        return [from_journal(path)]
    journals = sorted(path.glob(f'journal/*{JOURNAL_SUFFIX}')) + sorted(
        path.glob(f'*{JOURNAL_SUFFIX}')) if path.is_dir() else []
    found = [from_journal(journal) for journal in journals]
    try:
        bag = find_bag(path)
    except BagReadError as error:
        if found:
            return found
        raise BagReadError(f'{error}; or give a journal (*{JOURNAL_SUFFIX})') from None
    return found + from_bag(bag)


def from_journal(path: Path) -> History:
    """Return the session of a journal; raises HistoryError."""
    # Late: nodes/ needs rclpy for other things, and a bag is verified without it.
    from async_agent_ros.nodes import journal
    try:
        with open(path, encoding='utf-8') as file:
            header = json.loads(file.readline() or '{}')
        if not isinstance(header, dict) or 'format' not in header:
            raise ValueError('its first line is no header')
    except (OSError, ValueError) as error:
        raise HistoryError(f'{path} is not a journal: {error}; give a *{JOURNAL_SUFFIX} file, a '
                           'bag, or the folder of a run') from None
    if header['format'] == journal.FORMAT:    # the reader says what is wrong with another one
        _check_version(path, header.get('version', ''))
    history = History(Path(path), header.get('session', ''), header.get('version', ''))
    try:
        for index, event, entries in journal.read(path):
            history.entries.extend(entries)
            history.causes.append(
                Cause(index, event, entries[0].seq if entries else 0, len(entries)))
    except journal.JournalError as error:
        raise HistoryError(str(error)) from None
    _check_order(history)
    return history


def _check_version(source, version) -> None:
    if not compatible(version):
        raise HistoryError(
            f'{source} was recorded with version {version or "(none given)"} of async_agent_ros, '
            f'this is {__version__}: events of another version do not mean the same. Replay it '
            'with the version that recorded it')


def from_bag(path: Path) -> List[History]:
    """Return the sessions of a bag, in order; raises HistoryError or BagReadError."""
    reader = BagReader(path)
    events: Dict[str, Dict[int, object]] = {}
    entries: Dict[str, Dict[int, Entry]] = {}
    for record in reader.records():
        if record.msgtype not in (EVENT_TYPE, ENTRY_TYPE):
            continue
        if reader.type_hash(record.msgtype) != definition(record.msgtype)[1]:
            raise HistoryError(
                f'{path} defines {record.msgtype} in another way than this version '
                f'({__version__}): replay it with the version that recorded it')
        message = reader.decode(record)
        if record.msgtype == EVENT_TYPE:
            events.setdefault(message.session, {})[int(message.index)] = message
        else:
            _keep(path, entries.setdefault(message.session, {}), _entry(message))
    if not events:
        raise HistoryError(f'{path} holds no kernel events: record the topic kernel_events too '
                           '(async-agent record does), or verify the journal of dialog_manager')
    return [_session(path, session, messages, entries.get(session, {}), reader.complete)
            for session, messages in events.items()]


def _entry(m) -> Entry:
    return Entry(seq=int(m.seq), stamp_ns=stamp_ns(m.stamp), kind=Kind(m.kind), content=m.content,
                 instance=m.instance, call_id=m.call_id, name=m.name,
                 generation_id=int(m.generation_id), epoch=int(m.epoch),
                 about_seq=int(m.about_seq), status=m.status)


def _keep(path, known: Dict[int, Entry], entry: Entry) -> None:
    # The ledger is latched: after a restart of the manager entries may come twice.
    if known.setdefault(entry.seq, entry) != entry:
        raise HistoryError(f'{path} holds two entries {entry.seq} of one session that differ')


def _session(path, session, messages, entries: Dict[int, Entry], complete: bool) -> History:
    indices = sorted(messages)
    history = History(Path(path), session, messages[indices[0]].version)
    for index in indices:
        m = messages[index]
        _check_version(path, m.version)
        try:
            event = from_json(m.type, json.loads(m.payload_json))
        except (ValueError, KeyError, TypeError) as error:
            raise HistoryError(f'{path}, event {index} ({m.type}): this version ({__version__}) '
                               f'does not know it: {error}') from None
        history.causes.append(
            Cause(index, event, int(m.first_seq), int(m.entry_count)))
    _check_order(history)
    _fit_entries(history, entries, complete)
    return history


def _check_order(history: History) -> None:
    """Let the events begin with the first Started, and refuse gaps."""
    causes = history.causes
    start = next((i for i, c in enumerate(causes) if type(c.event).__name__ == 'Started'), None)
    if start is None:
        raise HistoryError(
            f'{history.source}: the start of session {history.session} was not recorded, so its '
            'events cannot be stepped again: verify the journal of dialog_manager instead')
    if start:
        history.remarks.append(f'{start} events before the manager started anew are left out')
        del causes[:start]
    for before, after in zip(causes, causes[1:]):
        if after.index != before.index + 1:
            raise HistoryError(
                f'{history.source}: events {before.index + 1} to {after.index - 1} of session '
                f'{history.session} are missing, so it cannot be stepped further: messages were '
                'lost while it was recorded; verify the journal of dialog_manager instead')


def _fit_entries(history: History, entries: Dict[int, Entry], complete: bool) -> None:
    """Take the entries that the recorded events reach, and those before the first event."""
    end = max((c.next_seq for c in history.causes), default=0)
    first = next((c.first_seq for c in history.causes if c.entry_count), 0)
    missing: Optional[int] = next((s for s in range(end) if s not in entries), None)
    if missing is not None:
        # Only of a recorder that was killed may the end be uneven.
        if complete or missing < first:
            raise HistoryError(
                f'{history.source}: entry {missing} of session {history.session} is missing: '
                'messages were lost while it was recorded; verify the journal instead')
        history.causes = [c for c in history.causes if c.next_seq <= missing]
        history.remarks.append(f'the recording was cut off; compared up to entry {missing - 1}')
        end = missing
    beyond = sum(1 for seq in entries if seq >= end)
    if beyond and missing is None:
        history.remarks.append(f'{beyond} entries at the end have no recorded event: the '
                               'recording ended between them')
    history.entries = [entries[seq] for seq in range(end)]
    history.earlier = history.entries[:first]
