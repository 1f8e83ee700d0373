"""The ledger: append-only entries, and what follows from them by folding."""
import json
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from async_agent_ros.core.words import Kind

MAIN = 'main'
DRAFT = 'draft'
"""The instance of what is done about words that are not final."""


@dataclass(frozen=True)
class Entry:
    """One entry; the fields are those of LedgerEntry.msg. `content` is text or a JSON text."""

    seq: int
    stamp_ns: int
    kind: Kind
    content: str = ''
    instance: str = MAIN
    call_id: str = ''
    name: str = ''
    generation_id: int = 0
    epoch: int = 0
    about_seq: int = -1
    status: str = ''

    @property
    def data(self) -> Any:
        """The content parsed as JSON; raises ValueError for entries that hold text."""
        return json.loads(self.content)

    def to_json(self) -> Dict[str, Any]:
        """Return a JSON object with every field, in the order of declaration."""
        return {'seq': self.seq, 'stamp_ns': self.stamp_ns, 'kind': str(self.kind),
                'instance': self.instance, 'call_id': self.call_id, 'name': self.name,
                'generation_id': self.generation_id, 'epoch': self.epoch,
                'about_seq': self.about_seq, 'status': self.status, 'content': self.content}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> 'Entry':
        """Invert to_json()."""
        return cls(**{**value, 'kind': Kind(value['kind'])})

    def line(self) -> str:
        """Return the one JSON line of this entry; equal ledgers are equal line by line."""
        return json.dumps(self.to_json(), separators=(',', ':'), ensure_ascii=False)


class Ledger:
    """Entries in order. Append only: seq is checked, nothing is ever changed or removed."""

    def __init__(self, entries: Sequence[Entry] = ()):
        self._entries: List[Entry] = []
        for entry in entries:
            self.append(entry)

    def append(self, entry: Entry) -> None:
        """Add the next entry; raises ValueError when its seq is not the next one."""
        if entry.seq != self.next_seq:
            raise ValueError(f'entry {entry.seq} does not follow {self.next_seq - 1}')
        self._entries.append(entry)

    @property
    def next_seq(self) -> int:
        """The seq that the next entry must have."""
        return len(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, seq):
        return self._entries[seq]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def prefix(self, until_seq: Optional[int] = None) -> Sequence[Entry]:
        """Return the entries with seq < until_seq (all when None)."""
        return self._entries[:until_seq]

    def text(self) -> str:
        """Return the whole ledger as JSON lines; the form in which two ledgers are compared."""
        return ''.join(entry.line() + '\n' for entry in self._entries)
