"""
What a good model would write: the calls that can be known from the words so far, and the answer.

It reads the entries of its prompt, nothing else: words, calls, results. It knows the plan of the
item, but of every call only from the word on at which it can be known.
"""
from dataclasses import dataclass, field
import json
import random
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence

from async_agent_ros.bench.workloads import Item, PlanCall, Workload
from async_agent_ros.core import operands
from async_agent_ros.core.ledger import Entry
from async_agent_ros.core.words import Kind, Status

PARTIAL = 'partial'
"""Name of the user entries that hold words of an utterance that goes on."""
PAUSE = '<pause>'
_IN_TEXT = re.compile(r'\$[A-Za-z_]\w*(?:\.\w+)*')


@dataclass
class Seen:
    """A call that stands in the prompt."""

    call_id: str
    tool: str
    arguments: Mapping[str, Any]
    status: str = ''
    """Terminal status, '' while it runs."""
    result: Any = None


@dataclass
class Situation:
    """What a prompt tells, since the person began to speak."""

    words: int = 0
    final: bool = True
    calls: Dict[str, Seen] = field(default_factory=dict)
    said: int = 0
    """Messages with text of the agent."""

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> 'Situation':
        """Fold the entries of one turn."""
        found = cls()
        for entry in entries:
            if entry.kind == Kind.USER:
                count = len(entry.content.split())
                found.final = entry.name != PARTIAL
                found.words = count if found.final else found.words + count
            elif entry.kind == Kind.CALL:
                found.calls[entry.call_id] = Seen(entry.call_id, entry.name,
                                                  entry.data.get('arguments', {}))
            elif entry.kind == Kind.RESULT and entry.call_id in found.calls:
                call = found.calls[entry.call_id]
                call.status, call.result = entry.status, entry.data.get('result')
            elif entry.kind == Kind.RETRACT:
                found.calls.pop(entry.call_id, None)
            elif entry.kind == Kind.ASSISTANT and entry.content.strip():
                found.said += 1
        return found


class Planner:
    """
    Writes for one item.

    `side_by_side`: all calls that can be known, with operands for results. Otherwise one call at a
    time, with the values of the results that it has waited for.
    """

    def __init__(self, workload: Workload, item: Item, *, side_by_side: bool = True):
        self._workload = workload
        self._item = item
        self._side_by_side = side_by_side

    def write(self, entries: Sequence[Entry]) -> str:
        """Return the whole output for a prompt that holds these entries."""
        situation = Situation.of(entries)
        item = self._item
        matched = _match(item, situation)
        lines, ids = [], {plan_id: seen.call_id for plan_id, seen in matched.items()}
        free = []
        for call in item.calls:
            seen = matched.get(call.call_id)
            if seen and not self._meant(call, situation.words):
                lines.append(f'REMOVE {seen.call_id}')
                free += [(call.tool, seen.call_id)] * (not seen.status)
        written = []
        for call in item.calls:
            if not self._meant(call, situation.words) or call.call_id in matched:
                continue
            if not self._side_by_side and (written or any(
                    not s.status for s in situation.calls.values())):
                break
            if not self._may_be_written(call, matched, ids):
                continue
            call_id = next((i for tool, i in free if tool == call.tool), '')
            if call_id:    # the same tool with other arguments: an edit, not a removal
                free.remove((call.tool, call_id))
                lines.remove(f'REMOVE {call_id}')
            ids[call.call_id] = call_id or _fresh(call.call_id, situation)
            lines.append(call_line(ids[call.call_id], call, self._arguments(call, matched, ids)))
            written.append(call)
        text = self._text(situation, matched, ids, bool(written))
        lines += [text] if text else []
        return '\n'.join(lines) or ('' if situation.final else PAUSE)

    @staticmethod
    def _meant(call: PlanCall, words: int) -> bool:
        return call.known <= words and (call.withdrawn is None or words < call.withdrawn)

    def _may_be_written(self, call: PlanCall, matched, ids) -> bool:
        for needed in call.after:
            if needed not in matched or matched[needed].status != Status.SUCCEEDED:
                return False
        return all(o in ids for o in call.operands) and (
            self._side_by_side or all(o in matched and matched[o].status for o in call.operands))

    def _arguments(self, call: PlanCall, matched, ids) -> Any:
        def value(operand):
            if self._side_by_side:
                return str(operands.Operand(ids[operand.call_id], operand.path))
            seen = matched[operand.call_id]
            return operands.part(operand, seen.result) if seen.status == Status.SUCCEEDED else ''
        return operands.replace(call.arguments, value)

    def _text(self, situation: Situation, matched, ids, calling: bool) -> str:
        item = self._item
        if not situation.final or situation.words < item.complete:
            return ''
        now = {c.call_id for c in self._workload.counted(item)}
        ended = all(c.call_id in matched and matched[c.call_id].status for c in item.plan)
        if not item.tells:
            if not situation.said:
                return item.answer if now <= set(ids) else ''
            return 'Done.' if ended and situation.said == 1 and not calling else ''
        if not ended or situation.said:
            return ''
        if any(matched[c.call_id].status != Status.SUCCEEDED for c in item.plan):
            return 'Sorry, that did not work.'
        return fill(item.answer, {c.call_id: matched[c.call_id].result for c in item.plan})


class Adversary:
    """A model that wants to act at once, and changes its mind with every word."""

    def __init__(self, workload: Workload, item: Item, seed: int):
        self._workload = workload
        self._item = item
        self._random = random.Random(f'adversary {seed} {item.name}')

    def write(self, entries: Sequence[Entry]) -> str:
        """Return calls of every kind, whatever the person has said so far."""
        situation, draw = Situation.of(entries), self._random
        lines = []
        for _ in range(draw.randint(1, 3)):
            call = draw.choice(self._item.calls)
            call_id = draw.choice(['a', 'b', 'c', *list(situation.calls)[-3:], ''])
            choice = draw.random()
            if choice < 0.15:
                lines.append(f'REMOVE {call_id or "a"}')
            elif choice < 0.25:
                lines.append(draw.choice(('Done.', 'I have sent it.', 'CALL {"name": ', PAUSE)))
            else:
                arguments = operands.replace(call.arguments, lambda o: str(operands.Operand(
                    draw.choice(['a', 'b', call_id or 'c']), o.path)) if draw.random() < 0.3
                    else 'something')
                lines.append(call_line(call_id, call, arguments))
        return '\n'.join(lines)


def call_line(call_id: str, call: PlanCall, arguments: Any) -> str:
    """Return a call as a model writes it."""
    named = {'id': call_id} if call_id else {}
    return 'CALL ' + json.dumps({**named, 'name': call.tool, 'arguments': arguments},
                                ensure_ascii=False)


def fill(text: str, results: Mapping[str, Any]) -> str:
    """Return an answer with the results in the place of its operands."""
    def value(match):
        operand = operands.parse(match[0])
        return str(operands.part(operand, results[operand.call_id]))
    return _IN_TEXT.sub(value, text)


def _fresh(call_id: str, situation: Situation) -> str:
    while call_id in situation.calls:
        call_id += 'x'
    return call_id


def _match(item: Item, situation: Situation) -> Dict[str, Seen]:
    """Find which call of the plan each call of the prompt is; a failed or retracted one is none."""
    left = [s for s in situation.calls.values()
            if s.status in ('', Status.SUCCEEDED, Status.FAILED)]
    found: Dict[str, Seen] = {}
    # Equal arguments first, then operands that may stand for anything; what is meant before what
    # only seemed so.
    for alike in (_equal, _alike):
        for call in sorted(item.calls, key=lambda c: c.withdrawn is not None):
            seen: Optional[Seen] = next((s for s in left if s.tool == call.tool
                                         and alike(s.arguments, call.arguments)), None)
            if seen and call.call_id not in found:
                left.remove(seen)
                found[call.call_id] = seen
    return found


def _equal(given: Any, planned: Any) -> bool:
    return given == planned


def _alike(given: Any, planned: Any) -> bool:
    """Compare arguments; an operand on either side is like everything."""
    if operands.parse(given) or operands.parse(planned):
        return True
    if isinstance(planned, Mapping):
        return (isinstance(given, Mapping) and set(given) == set(planned)
                and all(_alike(given[k], planned[k]) for k in planned))
    if isinstance(planned, List):
        return (isinstance(given, List) and len(given) == len(planned)
                and all(map(_alike, given, planned)))
    return given == planned
