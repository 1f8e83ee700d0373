"""Compares two runs turn by turn: latency, calls, answers."""
from dataclasses import dataclass, field
from difflib import SequenceMatcher
import statistics
import textwrap
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from async_agent_ros.core.tools import canonical_json
from async_agent_ros.record.runs import Run, Turn
from async_agent_ros.watch.speculation import total

_WIDTH = 100


class Pair(NamedTuple):
    """The same words of the person in both runs; None where a run lacks them."""

    recorded: Optional[Turn]
    other: Optional[Turn]

    @property
    def text(self) -> str:
        """What the person said."""
        return (self.recorded or self.other).text

    @property
    def same_calls(self) -> bool:
        """Whether both runs called the same tools with the same arguments, in this order."""
        return _calls(self.recorded) == _calls(self.other)

    @property
    def same_answer(self) -> bool:
        """Whether both runs said the same words."""
        return _answer(self.recorded) == _answer(self.other)


def _calls(turn: Optional[Turn]) -> List[Any]:
    return [(c['name'], canonical_json(c['arguments'])) for c in turn.calls] if turn else []


def _answer(turn: Optional[Turn]) -> str:
    return ' '.join(' '.join(turn.answers).split()) if turn else ''


def pair_turns(recorded: Sequence[Turn], other: Sequence[Turn]) -> List[Pair]:
    """Return the turns of two runs side by side, matched by what the person said, in order."""
    def words(turns):
        return [' '.join(t.text.lower().split()) for t in turns]

    pairs: List[Pair] = []
    matcher = SequenceMatcher(None, words(recorded), words(other), autojunk=False)
    for tag, a, a_end, b, b_end in matcher.get_opcodes():
        if tag == 'equal':
            pairs += [Pair(*both) for both in zip(recorded[a:a_end], other[b:b_end])]
        else:
            # As many on both sides are the same words, recognised in another way.
            same = a_end - a == b_end - b
            pairs += [Pair(*both) for both in zip(recorded[a:a_end], other[b:b_end]) if same]
            pairs += [Pair(turn, None) for turn in recorded[a:a_end] if not same]
            pairs += [Pair(None, turn) for turn in other[b:b_end] if not same]
    return pairs


@dataclass
class Comparison:
    """Two runs; `label` names what the second one was held with."""

    recorded: Run
    other: Run
    label: str = 'what-if'
    remarks: List[str] = field(default_factory=list)

    @property
    def pairs(self) -> List[Pair]:
        """The turns side by side."""
        return pair_turns(self.recorded.turns, self.other.turns)

    def summary(self) -> Dict[str, Any]:
        """Return medians (seconds) and counts."""
        pairs = self.pairs
        both = [p for p in pairs if p.recorded and p.other]
        timed = [p for p in both
                 if p.recorded.latency_s is not None and p.other.latency_s is not None]
        return {
            'turns': len(pairs), 'in_both': len(both),
            'same_calls': sum(p.same_calls for p in both),
            'same_answer': sum(p.same_answer for p in both),
            'timed': len(timed),
            'median_latency_s': _median([p.recorded.latency_s for p in timed]),
            'median_latency_what_if_s': _median([p.other.latency_s for p in timed]),
            'speculation': total(t.speculation for t in self.recorded.turns)._asdict(),
            'speculation_what_if': total(t.speculation for t in self.other.turns)._asdict()}

    def to_json(self) -> Dict[str, Any]:
        """Return everything as a JSON object; times in seconds."""
        return {
            'recorded': {'source': str(self.recorded.history.source),
                         'session': self.recorded.history.session},
            'what_if': {'session': self.other.history.session, 'label': self.label},
            'summary': self.summary(), 'remarks': self.remarks,
            'turns': [{
                'person': p.text, 'what_if_heard': p.other.text if p.other else None,
                'source': (p.recorded or p.other).source,
                'same_calls': p.same_calls, 'same_answer': p.same_answer,
                'recorded': p.recorded.to_json() if p.recorded else None,
                'what_if': p.other.to_json() if p.other else None} for p in self.pairs]}

    def table(self) -> str:
        """Return the comparison as text."""
        width = max(len('recorded'), len(self.label))
        lines: List[str] = []
        for number, pair in enumerate(self.pairs, 1):
            lines.append(f'{number:>3}  person: {pair.text}')
            if pair.recorded and pair.other and pair.other.text != pair.text:
                lines.append(f'     {self.label} heard: {pair.other.text}')
            for name, turn in (('recorded', pair.recorded), (self.label, pair.other)):
                mark = ' ' if name == 'recorded' else _mark(pair)
                lines += _turn_lines(f'   {mark} {name:<{width}}', turn)
        s = self.summary()
        lines += ['', f'{s["turns"]} turns, {s["in_both"]} in both; of these the calls are the '
                  f'same in {s["same_calls"]}, the words in {s["same_answer"]}']
        if s['timed']:
            lines.append(f'median latency of {s["timed"]} answers: recorded '
                         f'{s["median_latency_s"]:.2f} s, {self.label} '
                         f'{s["median_latency_what_if_s"]:.2f} s')
        for name, run in (('recorded', self.recorded), (self.label, self.other)):
            made = total(t.speculation for t in run.turns)
            if made.made:
                early = sum(t.speculation.early for t in run.turns)
                lines.append(f'{name} before the words were final: {early} of {len(run.turns)} '
                             f'answers begun; {made._replace(early=False).text()}')
        return '\n'.join(lines + [f'note: {remark}' for remark in self.remarks])


def _median(values: List[float]) -> Optional[float]:
    return round(statistics.median(values), 3) if values else None


def _mark(pair: Pair) -> str:
    return '=' if pair.same_calls and pair.same_answer else '~' if pair.same_calls else '!'


def _turn_lines(head: str, turn: Optional[Turn]) -> List[str]:
    if turn is None:
        return [f'{head}  (did not come to this)']
    latency = f'{turn.latency_s:6.2f} s' if turn.latency_s is not None else '     –  '
    parts = [_call_text(call) for call in turn.calls]
    if turn.answers:
        parts.append('"' + _answer(turn) + '"' + (' (cut off)' if turn.interrupted else ''))
    if turn.speculation.made:
        parts.append(f'({turn.speculation.text()})')
    indent = ' ' * (len(head) + 11)
    body: List[str] = []
    for part in parts or ['(nothing)']:
        body += textwrap.wrap(part, max(30, _WIDTH - len(indent))) or ['']
    return [f'{head}  {latency} {body[0]}'] + [indent + line for line in body[1:]]


def _call_text(call: Dict[str, Any]) -> str:
    arguments = ', '.join(f'{k}={v}' for k, v in call['arguments'].items())
    elapsed = f' in {call["elapsed_s"]:.1f} s' if call['elapsed_s'] is not None else ''
    return f'{call["name"]}({arguments}) {call["status"] or "still running"}{elapsed}'
