"""Replay: step recorded events through the kernel again and compare the ledger."""
from typing import Iterable, Iterator, NamedTuple, Optional, Sequence, Tuple

from async_agent_ros.core.effects import Append
from async_agent_ros.core.events import Event
from async_agent_ros.core.kernel import Kernel
from async_agent_ros.core.ledger import Entry, Ledger


class Difference(NamedTuple):
    """The first place at which a replayed ledger differs from the recorded one."""

    seq: int
    recorded: Optional[Entry]
    replayed: Optional[Entry]


def steps(events: Iterable[Event], earlier: Sequence[Entry] = ()) -> Iterator[Tuple[Entry, ...]]:
    """
    Yield for each event the entries that it causes.

    `earlier` is the ledger of an earlier life of the manager; the first event must then be the
    Started that went on with it.
    """
    kernel = Kernel(Ledger(earlier))
    for event in events:
        yield tuple(e.entry for e in kernel.step(event) if isinstance(e, Append))


def replay(events: Iterable[Event], earlier: Sequence[Entry] = ()) -> Ledger:
    """Return the ledger that the events give."""
    ledger = Ledger(earlier)
    for entries in steps(events, earlier):
        for entry in entries:
            ledger.append(entry)
    return ledger


def first_difference(recorded: Sequence[Entry], replayed: Sequence[Entry]) -> Optional[Difference]:
    """Return where two ledgers differ first, or None when they are equal byte for byte."""
    for seq in range(max(len(recorded), len(replayed))):
        old = recorded[seq] if seq < len(recorded) else None
        new = replayed[seq] if seq < len(replayed) else None
        if old is None or new is None or old.line() != new.line():
            return Difference(seq, old, new)
    return None
