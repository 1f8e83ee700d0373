"""Which entries are the context of an agent instance."""
from typing import Dict, Sequence

from async_agent_ros.core.ledger import Entry
from async_agent_ros.core.words import Kind


def parent_of(entries: Sequence[Entry], instance: str) -> str:
    """Return the instance that a fork shares the context of, '' for others."""
    entry = _beginning(entries, instance)
    return entry.data['parent'] if entry is not None and entry.kind == Kind.FORK else ''


def prefixes(entries: Sequence[Entry], instance: str) -> Dict[str, int]:
    """Return the ancestors whose entries a fork shares, and the seq up to which it does."""
    found: Dict[str, int] = {}
    entry = _beginning(entries, instance)
    until = len(entries)
    while entry is not None and entry.kind == Kind.FORK:
        until = min(until, entry.data['until_seq'])
        parent = entry.data['parent']
        found[parent] = until
        entry = _beginning(entries, parent)
    return found


def _beginning(entries, instance):
    return next((e for e in entries if e.instance == instance
                 and e.kind in (Kind.FORK, Kind.SPAWN)), None)
