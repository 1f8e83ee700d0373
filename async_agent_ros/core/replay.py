"""Replay: step recorded events through the kernel again and compare the ledger."""
from typing import Iterable, NamedTuple, Optional, Sequence

from async_agent_ros.core.events import Event
from async_agent_ros.core.kernel import Kernel
from async_agent_ros.core.ledger import Entry, Ledger


class Difference(NamedTuple):
    """The first place at which a replayed ledger differs from the recorded one."""

    seq: int
    recorded: Optional[Entry]
    replayed: Optional[Entry]


def replay(events: Iterable[Event]) -> Ledger:
    """Return the ledger that the events give."""
    kernel = Kernel()
    for event in events:
        kernel.step(event)
    return kernel.state.ledger


def first_difference(recorded: Sequence[Entry], replayed: Sequence[Entry]) -> Optional[Difference]:
    """Return where two ledgers differ first, or None when they are equal byte for byte."""
    for seq in range(max(len(recorded), len(replayed))):
        old = recorded[seq] if seq < len(recorded) else None
        new = replayed[seq] if seq < len(replayed) else None
        if old is None or new is None or old.line() != new.line():
            return Difference(seq, old, new)
    return None
