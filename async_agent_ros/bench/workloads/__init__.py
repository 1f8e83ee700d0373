"""
Spoken tasks with their ideal plans: what the person says, when, and what a perfect agent would do.

A workload is a YAML file and a world. In the file the person's words hold marks: `(0.6)` is a pause
in seconds, `[a]` stands where call `a` of the plan can be known, `[-a]` where the person has taken
it back. A call whose arguments hold operands (`$a.number`) needs the results of others.
"""
from dataclasses import dataclass, field
import importlib
from pathlib import Path
import re
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Protocol, Sequence, Tuple

from async_agent_ros.core import operands
from async_agent_ros.core.tools import canonical_json, ToolSpec
from async_agent_ros.core.words import Effect
import yaml

NAMES = ('assistant', 'twohop', 'robot')
WORD_S, LETTER_S = 0.2, 0.2 / 4.5
"""A word takes the first and the second per letter: 2.5 words a second in English."""
_MARK = re.compile(r'\[(-?)(\w+)\]\Z')
_PAUSE = re.compile(r'\((\d+(?:\.\d+)?)\)\Z')


def word_s(word: str) -> float:
    """Return how long a word takes to say."""
    return WORD_S + LETTER_S * len(word.strip('.,?!'))


class WorkloadError(Exception):
    """A workload is wrong. The message names file, item and remedy."""


@dataclass(frozen=True)
class PlanCall:
    """A call of the ideal plan, or one that only seemed to be meant."""

    call_id: str
    tool: str
    arguments: Mapping[str, Any]
    known: int
    """Words of the utterance from which on it can be known."""
    withdrawn: Optional[int] = None
    """Words after which it is not meant any more; None: it is part of the plan."""
    after: Tuple[str, ...] = ()
    """Calls that must have ended before, though it needs nothing of their results."""

    @property
    def operands(self) -> FrozenSet[str]:
        """The calls whose results it needs."""
        return frozenset(o.call_id for o in operands.find(self.arguments))


@dataclass(frozen=True)
class Item:
    """One spoken task."""

    name: str
    words: Tuple[str, ...]
    ends_s: Tuple[float, ...]
    """When each word has been said, from the beginning of the first."""
    calls: Tuple[PlanCall, ...]
    """In the order in which they can be known."""
    answer: str
    """What a good answer says; operands in it stand for results."""
    expect: str = ''
    """What the answer must hold, '' when only deeds count."""

    @property
    def plan(self) -> List[PlanCall]:
        """The calls that are meant in the end."""
        return [c for c in self.calls if c.withdrawn is None]

    @property
    def tells(self) -> bool:
        """Tell whether the answer needs results; else it only says that it will be done."""
        return '$' in self.answer

    @property
    def complete(self) -> int:
        """Words after which nothing of the plan is open any more."""
        return max([c.known for c in self.calls]
                   + [c.withdrawn for c in self.calls if c.withdrawn is not None])

    def call(self, call_id: str) -> PlanCall:
        """Return a call by its id."""
        return next(c for c in self.calls if c.call_id == call_id)


@dataclass(frozen=True)
class Job:
    """A tool at work in a world."""

    tool: str
    arguments: Mapping[str, Any]
    end_s: float
    detail: Any = None


class Refused(Exception):
    """The world does not allow it. The message is the tool's error."""


class World(Protocol):
    """What the tools of a workload read and change, on virtual time (seconds)."""

    def begin(self, tool: str, arguments: Mapping[str, Any], now_s: float) -> Job:
        """Start a tool; raises Refused."""

    def end(self, job: Job, now_s: float) -> Any:
        """Let what the tool does happen, and return its result; raises Refused."""

    def cancel(self, job: Job, now_s: float) -> None:
        """Stop a tool before its end."""

    def state(self) -> Any:
        """Return what the task is judged by: a JSON value."""


@dataclass(frozen=True)
class Ideal:
    """What a perfect agent does to an item's world."""

    arguments: Mapping[str, Mapping[str, Any]]
    """With values for the operands, by call id."""
    results: Mapping[str, Any]
    durations_s: Mapping[str, float]
    state: Any

    def executed(self, item: Item) -> List[Tuple[str, str]]:
        """Return the calls of the plan as (tool, canonical arguments)."""
        return sorted((c.tool, canonical_json(self.arguments[c.call_id])) for c in item.plan)


@dataclass
class Workload:
    """Tools, tasks, and the making of a fresh world for each."""

    name: str
    specs: Mapping[str, ToolSpec]
    items: Sequence[Item]
    module: Any = field(repr=False)
    data: Mapping[str, Any] = field(repr=False, default_factory=dict)

    def world(self, seed: int) -> World:
        """Return a fresh world; the seed draws the latencies of its tools."""
        return self.module.make_world(self.data, seed)

    def read_only(self, call: PlanCall) -> bool:
        """Tell whether the tool of a call only reads."""
        return self.specs[call.tool].effect == Effect.READ_ONLY

    def moves(self, call: PlanCall) -> bool:
        """Tell whether it moves a robot: such a call counts until the robot sets off."""
        return self.specs[call.tool].motion

    def counted(self, item: Item) -> List[PlanCall]:
        """Return the calls that latency is taken to: all but those that wait for a motion."""
        late = {c.call_id for c in item.plan if self.moves(c)}
        found = []
        for call in item.plan:
            if late & (call.operands | set(call.after)):
                late.add(call.call_id)
            else:
                found.append(call)
        return found

    def ideal(self, item: Item, seed: int) -> Ideal:
        """Carry out the plan call by call in a world of its own; raises WorkloadError."""
        world, now_s = self.world(seed), 0.0
        arguments: Dict[str, Any] = {}
        results: Dict[str, Any] = {}
        durations: Dict[str, float] = {}
        try:
            for call in item.plan:
                given = operands.replace(call.arguments, lambda o: operands.part(
                    o, results[o.call_id]))
                problem = self.specs[call.tool].check_arguments(given)
                if problem:
                    raise Refused(problem)
                job = world.begin(call.tool, given, now_s)
                durations[call.call_id] = job.end_s - now_s
                arguments[call.call_id], now_s = given, job.end_s
                results[call.call_id] = world.end(job, now_s)
        except (Refused, operands.OperandError, KeyError) as error:
            raise WorkloadError(f'{self.name}, {item.name}: the plan fails at {call.call_id}: '
                                f'{error}') from None
        return Ideal(arguments, results, durations, world.state())


def load(name: str) -> Workload:
    """Return a workload by name; raises WorkloadError."""
    if name not in NAMES:
        raise WorkloadError(f'unknown workload {name!r}; known are {", ".join(NAMES)}')
    module = importlib.import_module(f'{__name__}.{name}')
    path = Path(__file__).with_name(f'{name}.yaml')
    data = yaml.safe_load(path.read_text(encoding='utf-8'))
    specs = {s.name: s for s in module.specs(data)}
    items = []
    for number, value in enumerate(data['items'], 1):
        try:
            items.append(parse_item(f'{name}{number:02}', value, data))
            unknown = [c.tool for c in items[-1].calls if c.tool not in specs]
            if unknown:
                raise WorkloadError(f'unknown tool {unknown[0]}')
        except (WorkloadError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise WorkloadError(f'{path.name}, item {number}: {error}') from None
    return Workload(name, specs, tuple(items), module, data)


def parse_item(name: str, value: Mapping[str, Any], data: Mapping[str, Any]) -> Item:
    """Read one item of a file; raises WorkloadError."""
    words: List[str] = []
    ends: List[float] = []
    now_s, known, withdrawn = 0.0, {}, {}
    for token in value['say'].split():
        mark, pause = _MARK.match(token), _PAUSE.match(token)
        if mark:
            (withdrawn if mark[1] else known)[mark[2]] = len(words)
        elif pause:
            now_s += float(pause[1])
        else:
            now_s += word_s(token)
            words.append(token)
            ends.append(round(now_s, 3))
    calls = []
    for call_id, what in value['plan'].items():
        after = what.pop('after', ()) if len(what) > 1 else ()
        [(tool, arguments)] = what.items()
        if call_id not in known:
            raise WorkloadError(f'no [{call_id}] stands in the words')
        calls.append(PlanCall(call_id, tool, arguments or {}, known[call_id],
                              withdrawn.get(call_id), (after,) if isinstance(after, str)
                              else tuple(after)))
    strangers = sorted((set(known) | set(withdrawn)) - set(value['plan']))
    if strangers:
        raise WorkloadError(f'the plan has no call {strangers[0]}')
    calls.sort(key=lambda c: c.known)
    return Item(name, tuple(words), tuple(ends), tuple(calls),
                str(value.get('answer', data.get('answer', 'Okay.'))),
                str(value.get('expect', '')))
