"""Verify: recorded events, stepped through the kernel, give the recorded ledger, or where not."""
from dataclasses import dataclass
import json
from typing import Dict, List, Optional

from async_agent_ros.core.ledger import Entry
from async_agent_ros.core.replay import Difference, first_difference, steps
from async_agent_ros.record.history import Cause, History

CONTEXT_ENTRIES = 3
"""Entries that are shown before and after the first difference."""

_WIDTH = 160
_WHOLE = 600
"""Characters of an entry that are shown whole."""


@dataclass
class Verdict:
    """What came of stepping a session again."""

    history: History
    replayed: List[Entry]
    difference: Optional[Difference] = None
    recorded_cause: Optional[Cause] = None
    """The event that caused the entry then."""
    replayed_cause: Optional[Cause] = None
    """The event that causes it now."""
    failure: str = ''
    """Why the kernel could not step an event."""

    @property
    def same(self) -> bool:
        """Whether the ledgers are equal byte for byte."""
        return self.difference is None and not self.failure


def verify(history: History) -> Verdict:
    """Step the events of a session and compare the ledger."""
    replayed = list(history.earlier)
    causes: Dict[int, Cause] = {}
    failure = ''
    stepped = steps(history.events, history.earlier)
    for cause in history.causes:
        try:
            entries = next(stepped)
        except Exception as error:    # any error of the kernel is a finding here
            failure = (f'the kernel cannot step event {cause.index} '
                       f'({type(cause.event).__name__}): {type(error).__name__}: {error}')
            break
        replayed += entries
        causes.update((entry.seq, cause) for entry in entries)
    difference = first_difference(history.entries, replayed)
    verdict = Verdict(history, replayed, difference, failure=failure)
    if difference is not None:
        verdict.replayed_cause = causes.get(difference.seq)
        verdict.recorded_cause = next(
            (c for c in history.causes
             if c.first_seq <= difference.seq < c.first_seq + c.entry_count), None)
    return verdict


def describe(verdict: Verdict) -> str:
    """Return the verdict for people: one line, or the first difference in its context."""
    history = verdict.history
    head = f'{history.source}: session {history.session}, {len(history.causes)} events'
    remarks = [f'  note: {remark}' for remark in history.remarks]
    if verdict.same:
        return '\n'.join([f'{head}, {len(history.entries)} entries: the same, byte for byte',
                          *remarks])
    lines = [f'{head}: NOT the same']
    if verdict.difference is not None:
        lines += _difference_lines(verdict)
    if verdict.failure:
        lines.append(f'  {verdict.failure}')
    return '\n'.join(lines + remarks)


def _difference_lines(verdict: Verdict) -> List[str]:
    difference, recorded = verdict.difference, verdict.history.entries
    seq = difference.seq
    lines = [f'  first difference: entry {seq}']
    for entry in recorded[max(0, seq - CONTEXT_ENTRIES):seq]:
        lines.append(_short('  ', entry))
    lines += [_whole('expected', difference.recorded, difference.replayed),
              _whole('got', difference.replayed, difference.recorded)]
    for entry in recorded[seq + 1:seq + 1 + CONTEXT_ENTRIES]:
        lines.append(_short('  ', entry))
    if difference.recorded is not None and difference.replayed is not None:
        old, new = difference.recorded.to_json(), difference.replayed.to_json()
        lines.append('  fields that differ: '
                     + ', '.join(name for name in old if old[name] != new[name]))
    then, now = verdict.recorded_cause, verdict.replayed_cause
    if then is not None and now is not None and then.index == now.index:
        lines.append(_cause('caused by', then, verdict))
    else:
        lines.append(_cause('caused then by', then, verdict))
        lines.append(_cause('caused now by', now, verdict))
    return lines


def _short(mark: str, entry: Entry) -> str:
    about = ' '.join(x for x in (entry.call_id, entry.name, entry.status) if x)
    text = f'{mark}{entry.seq:>6}  {entry.kind} {about} {entry.content}'
    return text if len(text) <= _WIDTH else text[:_WIDTH - 1] + '…'


def _whole(word: str, entry: Optional[Entry], other: Optional[Entry]) -> str:
    """Return the entry, of a long one the part around the first difference."""
    line = entry.line() if entry is not None else '(no entry)'
    if len(line) > _WHOLE:
        beside = other.line() if other is not None else ''
        at = next((i for i, (a, b) in enumerate(zip(line, beside)) if a != b), len(beside))
        begin = max(0, min(at, len(line)) - _WHOLE // 2)
        end = begin + _WHOLE
        line = ('…' if begin else '') + line[begin:end] + ('…' if end < len(line) else '')
    return f'  {word:<9} {line}'


def _cause(word: str, cause: Optional[Cause], verdict: Verdict) -> str:
    if cause is None:
        return f'  {word} no event'
    start = verdict.history.causes[0].event.stamp_ns
    payload = {k: v for k, v in cause.event.to_json().items() if k != 'stamp_ns'}
    text = json.dumps(payload, ensure_ascii=False, default=repr)
    return (f'  {word} event {cause.index}: {type(cause.event).__name__} at '
            f'+{(cause.event.stamp_ns - start) / 1e9:.3f} s '
            + (text if len(text) <= 2000 else text[:1999] + '…'))


def describe_disagreement(verdicts: List[Verdict]) -> str:
    """Return where two recordings of one session tell different ledgers, '' when they agree."""
    for index, one in enumerate(verdicts):
        for other in verdicts[index + 1:]:
            a, b = one.history, other.history
            length = min(len(a.entries), len(b.entries))
            if a.session == b.session and first_difference(a.entries[:length], b.entries[:length]):
                seq = first_difference(a.entries[:length], b.entries[:length]).seq
                return (f'{a.source} and {b.source} differ from entry {seq} on:\n'
                        f'{_whole("one", a.entries[seq], b.entries[seq])}\n'
                        f'{_whole("other", b.entries[seq], a.entries[seq])}')
    return ''
