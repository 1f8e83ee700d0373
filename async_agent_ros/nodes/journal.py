"""
The journal: every event and the ledger entries that it caused, on disk before anyone sees them.

One JSON line per event, written with one system call, so that a killed process leaves whole lines
and at most one torn one, which is cut off at the next start.
"""
import errno
import json
import os
from pathlib import Path
from typing import Iterable, Iterator, List, NamedTuple, Optional, Sequence

from async_agent_ros import __version__
from async_agent_ros.core import events
from async_agent_ros.core.ledger import Entry, Ledger
from async_agent_ros.core.session import ended_in_order

FORMAT = 1
SUFFIX = '.journal.jsonl'


class JournalError(Exception):
    """The journal cannot be read. The message names the file, the line and the remedy."""


class Record(NamedTuple):
    """One event, its place in the order of consumption, and the entries that it caused."""

    index: int
    event: events.Event
    entries: Sequence[Entry]


def record_line(index: int, event: events.Event, entries: Iterable[Entry]) -> str:
    """Return the line of a record."""
    return json.dumps({'index': index, 'type': type(event).__name__, 'event': event.to_json(),
                       'entries': [e.to_json() for e in entries]},
                      separators=(',', ':'), ensure_ascii=False) + '\n'


class Journal:
    """Appends records. When the disk refuses, records wait in memory, in order."""

    def __init__(self, path: Path, session: str, *, sync: bool = False):
        """Open or create the file; `sync` flushes to the device with every record."""
        self.path = Path(path)
        self._sync = sync
        self._waiting: List[bytes] = []
        self.error: Optional[str] = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        if os.fstat(self._file).st_size == 0:
            header = {'format': FORMAT, 'session': session, 'version': __version__}
            self._waiting.append((json.dumps(header) + '\n').encode())

    @property
    def waiting(self) -> int:
        """Number of records that the disk has not taken yet."""
        return len(self._waiting)

    def write(self, index: int, event: events.Event, entries: Iterable[Entry]) -> bool:
        """Append a record; False when it, or one before it, still waits for the disk."""
        self._waiting.append(record_line(index, event, entries).encode())
        return self.flush()

    def flush(self) -> bool:
        """Write what waits; on failure `error` tells why and what to do."""
        while self._waiting:
            size = os.fstat(self._file).st_size
            data = self._waiting[0]
            try:
                written = os.write(self._file, data)
                if written < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if self._sync:
                    os.fdatasync(self._file)
            except OSError as error:
                self._cut_back(size)
                self.error = (f'cannot write the ledger to {self.path}: {error.strerror}; '
                              'free space there or set the parameter ledger_dir')
                return False
            self._waiting.pop(0)
        self.error = None
        return True

    def _cut_back(self, size: int) -> None:
        try:
            os.ftruncate(self._file, size)
        except OSError:
            pass    # not a regular file; a torn line is cut off at the next start anyway

    def close(self) -> None:
        """Write what waits, as far as the disk takes it, and close the file."""
        self.flush()
        os.close(self._file)


def read(path: Path) -> Iterator[Record]:
    """
    Yield the records of a journal; a torn last line is left out.

    Raises JournalError for a file of another format or with a broken line in the middle.
    """
    with open(path, 'rb') as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b'\n'):
                return
            try:
                value = json.loads(line)
                if number == 1:
                    if value.get('format') != FORMAT:
                        raise JournalError(
                            f'{path} has journal format {value.get("format")!r}, this version '
                            f'reads {FORMAT}: use the version {value.get("version")} for it')
                    continue
                yield Record(value['index'], events.from_json(value['type'], value['event']),
                             [Entry.from_json(e) for e in value['entries']])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise JournalError(f'{path}, line {number}: not a record ({error}); '
                                   'restore the file or move it away') from None


def recover(path: Path) -> 'tuple[Ledger, int]':
    """Return the ledger of a journal and the next record index; cuts off a torn last line."""
    ledger, index = Ledger(), 0
    for record in read(path):
        index = record.index + 1
        for entry in record.entries:
            ledger.append(entry)
    with open(path, 'rb+') as file:
        data = file.read()
        file.truncate(data.rfind(b'\n') + 1)
    return ledger, index


def latest(directory: Path) -> Optional[Path]:
    """Return the journal in a directory that was written last, or None."""
    found = sorted(Path(directory).glob('*' + SUFFIX), key=lambda p: p.stat().st_mtime)
    return found[-1] if found else None


def session_of(path: Path) -> str:
    """Return the session id that a journal's name carries."""
    return Path(path).name[:-len(SUFFIX)]


def unfinished(path: Path) -> bool:
    """Tell whether the session of a journal was not shut down in good order."""
    ledger, _ = recover(path)
    return bool(len(ledger)) and not ended_in_order(ledger)
