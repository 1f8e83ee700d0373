"""
Cases for the evaluation: a ledger up to a point, and the calls that are right there.

`templates`: the robot's own tools, templates of the split `test`. `new_tools`: invented tools with
names and templates of `test`. `natural` and those numbered after it: commands written by hand for
the simulated robot; a file of such commands is a workload for any robot. Nothing of them was
trained on, but in `templates` the examples of a robot's own tools where there are no phrases.
"""
from dataclasses import dataclass
import json
import pathlib
import re
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

from async_agent_ros.core import operands, spoken_time
from async_agent_ros.core.built_in import TOOLS as BUILT_IN
from async_agent_ros.core.chatml import Call, Parser, PromptFormat, Rejected, Remove, Renderer
from async_agent_ros.core.chatml import Text
from async_agent_ros.core.ledger import Entry, MAIN
from async_agent_ros.core.tools import canonical_json, ToolSpec
from async_agent_ros.core.words import Effect, Kind
from async_agent_ros.training import shapes, synthesize
from async_agent_ros.training.paths import load_yaml
from async_agent_ros.training.tables import read_yaml, TableError

NATURAL = ('natural', 'natural_2', 'natural_3', 'natural_4')
"""Sets that were written by hand, each in a file of that name."""
WORKLOADS = ('templates', 'new_tools', *NATURAL)
S = 1_000_000_000
UNFAIR = ('clock', 'both', 'fork', 'spawn')
"""Shapes that need tools which the prompt of the packaged base models hides."""
Plan = List[Tuple[str, Any]]
_ARTICLE = re.compile(r'(the|an?) (?=\w)')
"""The menu is the same document as `menu`."""


@dataclass(frozen=True)
class Case:
    """What the model reads, and what is right."""

    name: str
    workload: str
    kind: str
    """'words', 'partial' (words that go on), 'final' or 'told' (something happened)."""
    entries: Tuple[Entry, ...]
    now_ns: int
    specs: Tuple[ToolSpec, ...]
    right: Tuple[Tuple[Tuple[str, Any], ...], ...]
    """Plans that are right: the calls that stand after the answer."""
    standing: Tuple[Tuple[str, str, Any], ...] = ()
    first_seq: int = -1
    heard: str = ''
    reference: str = ''
    """What the planner wrote, for cases that were played."""

    def prompt(self, form: PromptFormat, stream: bool) -> str:
        """Return the prompt; a model that knows no partial words reads them as an utterance."""
        renderer = Renderer(form)
        renderer.feed(self.entries if stream or self.first_seq < 0 else self._plain())
        return renderer.prompt(self.now_ns)

    def _plain(self) -> Tuple[Entry, ...]:
        return (*self.entries[:self.first_seq],
                Entry(self.first_seq, self.now_ns, Kind.USER, self.heard, name='speech'))


@dataclass(frozen=True)
class Answer:
    """What a model wrote, taken apart."""

    calls: Tuple[Tuple[str, str, Any], ...]
    removed: Tuple[str, ...]
    text: str
    rejected: str

    @classmethod
    def parse(cls, output: str, form: PromptFormat) -> 'Answer':
        """Take an output apart with the agent's own parser."""
        parser = Parser(form)
        found = parser.feed(output) + parser.finish()
        return cls(tuple((e.id, e.name, e.arguments) for e in found if isinstance(e, Call)),
                   tuple(e.id for e in found if isinstance(e, Remove)),
                   ''.join(e.text for e in found if isinstance(e, Text)).strip(),
                   next((e.reason for e in found if isinstance(e, Rejected)), ''))

    def plan(self, standing: Sequence[Tuple[str, str, Any]]) -> Dict[str, Tuple[str, Any]]:
        """Return the calls that stand after it, by id."""
        calls = {i: (name, arguments) for i, name, arguments in standing}
        for call_id in self.removed:
            calls.pop(call_id, None)
        for number, (call_id, name, arguments) in enumerate(self.calls):
            calls[call_id or f'new{number}'] = (name, arguments)
        return calls


def comparable(plan: Mapping[str, Tuple[str, Any]], running: Mapping[str, str]) -> Tuple:
    """
    Return a plan so that equal plans are equal: ids do not matter, nor does the order.

    Operands name the tool of the call that they are taken from; `cancel` names the tool.
    """
    def named(operand: operands.Operand) -> str:
        name = plan[operand.call_id][0] if operand.call_id in plan else operand.call_id
        return str(operands.Operand(name, operand.path))
    found = []
    for name, arguments in plan.values():
        arguments = operands.replace(arguments, named)
        if name == 'cancel' and isinstance(arguments, Mapping):
            target = arguments.get('call')
            alone = [n for n in running.values()].count(running.get(target, '')) == 1
            arguments = {**arguments, 'call': running[target] if alone else target}
        if name == 'set_timer' and isinstance(arguments, Mapping):
            arguments = {k: _time(k, v) for k, v in arguments.items()}
        found.append((name, canonical_json(_normal(arguments))))
    return tuple(sorted(found))


def _time(name: str, said: Any) -> Any:
    """Return a time in one form: "an hour" is "3600 s", "ten to six" is "05:50:00"."""
    if isinstance(said, str) and name in ('after', 'every'):
        seconds = spoken_time.duration_s(said)
        return said if seconds is None else f'{seconds:g} s'
    time = spoken_time.time_of_day(said) if isinstance(said, str) and name == 'at' else None
    return said if time is None else f'{time.hour:02}:{time.minute:02}:{time.second:02}'


def _normal(value: Any) -> Any:
    """Return a value with 4.0 as 4, and text without case, article and spaces around it."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        return _ARTICLE.sub('', ' '.join(value.lower().split()))
    if isinstance(value, Mapping):
        return {k: _normal(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_normal(v) for v in value]
    return value


def running(case: Case) -> Dict[str, str]:
    """Return the tools of the calls that run, by id."""
    renderer = Renderer()
    renderer.feed(case.entries)
    return {c.call_id: c.name for c in renderer.running.values()}


# -- played conversations -------------------------------------------------------------------------
def played(workload: str, count: int, seed: int, robot: synthesize.Robot,
           form: PromptFormat) -> List[Case]:
    """Return cases from conversations of the split `test`: half of the words, half partial."""
    found: List[Case] = []
    own = 1.0 if workload == 'templates' else 0.0
    for stream in (0.0, 1.0):
        recipe = synthesize.Recipe(seed=seed, stream=stream, own=own, text=0.0, only=tuple(
            n for n in shapes.SHAPES if n not in UNFAIR))
        mine: List[Case] = []
        index = 0
        while len(mine) < count // 2 + (count % 2 if stream else 0):
            mine += _cases(workload, recipe, index, robot, form)
            index += 1
        found += mine[:count // 2 + (count % 2 if stream else 0)]
    return found


def _cases(workload, recipe, index, robot, form) -> List[Case]:
    one = synthesize.play(recipe, 'test', index, robot, form)
    ledger = one.simulation.kernel.state.ledger
    specs = (*(t.spec for t in one.tools), *BUILT_IN.values())
    made = []
    for turn in one.simulation.turns:
        case = _case(workload, turn, ledger, specs, f'{workload}-{index}', one.simulation.format)
        if case is not None:
            made.append(case)
        if recipe.stream and 'speech' in turn.triggers:
            break    # later utterances have a history that not every prompt can show
    if recipe.stream:
        # of the many partial words that ask for nothing yet, one
        nothing = [c for c in made if c.kind == 'partial' and not c.right[0]]
        made = [c for c in made if c not in nothing[:-1]]
    return made


def _case(workload, turn, ledger, specs, name, form) -> Optional[Case]:
    if turn.instance != MAIN or not turn.completion:
        return None
    kind = 'partial' if turn.triggers == ('partial',) else 'told'
    if 'speech' in turn.triggers:
        kind = 'final' if turn.first_seq >= 0 else 'words'
    plan = Answer.parse(turn.completion, form).plan(turn.standing)
    heard = ''
    if turn.first_seq >= 0:
        words = [e.content for e in ledger[turn.first_seq:turn.context_seq]
                 if e.kind == Kind.USER]
        heard = words[-1] if kind == 'final' else ' '.join(words)
    case = Case(f'{name}-{turn.generation_id}', workload, kind, tuple(ledger[:turn.context_seq]),
                turn.now_ns, tuple(specs), (), turn.standing, turn.first_seq, heard,
                turn.completion)
    right = comparable(plan, running(case))
    return Case(**{**case.__dict__, 'right': (right,)})


# -- written by hand ------------------------------------------------------------------------------
def natural(count: int, specs: Sequence[ToolSpec], name: str = NATURAL[0]) -> List[Case]:
    """Return hand-written cases over the simulated robot, spread over the whole set."""
    return _by_hand(name, read_yaml(f'{name}.yaml'), count, specs)


def of_file(path: str, count: int, specs: Sequence[ToolSpec]) -> List[Case]:
    """
    Return cases from a file of commands like data/natural.yaml, spread over the whole of it.

    Raises TableError naming the entry that does not say which calls of which tools are right.
    """
    entries = load_yaml(path)
    if not isinstance(entries, list) or not entries:
        raise TableError(f'{path} must be a list of commands: - ["words", {{tool: {{argument: '
                         'value}}]')
    known = {s.name for s in (*specs, *BUILT_IN.values())}
    for entry in entries:
        _check(entry, known, path)
    return _by_hand(pathlib.Path(path).stem, entries, count, specs)


def _check(entry: Any, known: Collection[str], path: str) -> None:
    if not isinstance(entry, list) or not entry or not isinstance(entry[0], str):
        raise TableError(f'{path}: {entry!r} must be a list that begins with the words')
    options = _options(entry) if all(isinstance(c, dict) for c in entry[1:]) else [entry[1:]]
    if not isinstance(options, list) or not all(isinstance(o, list) for o in options):
        raise TableError(f'{path}: {entry[0]!r}: any must be a list of lists of calls')
    for call in (c for option in options for c in option):
        if not isinstance(call, dict) or not all(isinstance(a, dict) for a in call.values()):
            raise TableError(f'{path}: {entry[0]!r}: {call!r} must be {{tool: {{argument: '
                             'value}}}')
        for name in call:
            if name not in known:
                raise TableError(f'{path}: {entry[0]!r}: there is no tool {name!r}; known are '
                                 f'{", ".join(sorted(known))}')


def _options(entry: Sequence[Any]) -> Sequence[Sequence[Any]]:
    """Return the lists of calls each of which is right."""
    calls = entry[1:]
    return calls[0]['any'] if calls and 'any' in calls[0] else [calls]


def _by_hand(name: str, entries: Sequence[Sequence[Any]], count: int,
             specs: Sequence[ToolSpec]) -> List[Case]:
    count = min(count or len(entries), len(entries))
    chosen = [entries[i * len(entries) // count] for i in range(count)]
    every = (*specs, *BUILT_IN.values())
    head = (Entry(0, 0, Kind.SYSTEM, json.dumps({
        'added': [s.to_json() for s in (*BUILT_IN.values(), *specs)], 'removed': [],
        'server': '/agent/robot'}), name='tools'),)
    made = []
    for number, entry in enumerate(chosen):
        right = tuple(comparable({f'c{i}': (tool, _by_id(arguments, option))
                                  for i, (tool, arguments) in enumerate(
                                      item for call in option for item in call.items())}, {})
                      for option in _options(entry))
        made.append(Case(f'{name}-{number}', name, 'words', (
            *head, Entry(1, 6 * S, Kind.USER, entry[0], name='speech')), 6 * S + S // 2, every,
            right))
    return made


def _by_id(arguments, option):
    names = [name for call in option for name in call]
    return operands.replace(arguments, lambda o: str(operands.Operand(
        f'c{names.index(o.call_id)}' if o.call_id in names else o.call_id, o.path)))


def changes_world(name: str, specs: Sequence[ToolSpec]) -> bool:
    """Tell whether calls of a tool change something."""
    return any(s.name == name and s.effect != Effect.READ_ONLY for s in specs)
