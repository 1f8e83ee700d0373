"""
The language of synthetic conversations: tables that people can read and extend.

One file per split (data/train.yaml, valid.yaml, test.yaml), and more concepts in a folder with the
name of the split; the splits share no template and no tool name. A file holds word lists, frames
around requests, what people say about running calls, small talk, and `concepts`: what a tool is
for, and how people speak of it.

A concept: `names` and `describe` (one of each is taken), `effect`, `args` ({canonical name|synonym:
values}), `ask` (clauses after "please"), `say` (whole sentences), `there` ({argument: clauses for
when its value comes from another call}), `ack`, `gerund`, `inf`, `left` (unit of the progress),
`result`, `told`, `fail`, `slow` (seconds, least and most), `spoken` ({value: names that people have
for it}), `after` (tools that it waits for when both are asked for in one breath), `where`
({argument: clauses for when its value is where {it} is, which has to be found first}), `with_it`
({tool: clauses for when the robot has just got something by that tool}). {name} in a text is the
value of an argument or of a field of the result.
"""
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
import re
from typing import Any, Dict, List, Mapping, Sequence, Tuple

SPLITS = ('train', 'valid', 'test')
_SLOT = re.compile(r'\{(\w+)\}')


class TableError(Exception):
    """A table or catalogue cannot be used. The message names the file, the entry and the remedy."""


@dataclass(frozen=True)
class Values:
    """Which values an argument or a field of a result can have."""

    kind: str
    """'enum', 'text', 'int', 'num' or 'bool'."""
    choices: Tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float = 1.0
    optional: bool = False
    listed: str = ''
    """The word list that the values come from: calls that share one can depend on each other."""

    def draw(self, rng) -> Any:
        """Return a value."""
        if self.choices:
            return rng.choice(self.choices)
        if self.kind == 'bool':
            return rng.random() < 0.5
        if self.kind == 'num':
            return round(rng.uniform(self.low, self.high), 1)
        return int(rng.randrange(int(self.low), int(self.high) + 1, int(self.step)))


@dataclass(frozen=True)
class Concept:
    """What a tool is for and how people speak of it; see the head of this module."""

    names: Tuple[str, ...]
    describe: Tuple[str, ...]
    effect: str
    args: Mapping[str, Tuple[Tuple[str, ...], Values]]
    """Canonical name -> (names that the argument may have, values)."""
    ask: Tuple[str, ...]
    say: Tuple[str, ...] = ()
    there: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    ack: Tuple[str, ...] = ('',)
    gerund: str = ''
    inf: str = ''
    left: str = ''
    result: Mapping[str, Any] = field(default_factory=dict)
    told: Tuple[str, ...] = ()
    fail: Tuple[str, ...] = ('it did not work',)
    slow: Tuple[float, float] = (0.5, 5.0)
    spoken: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    """Value -> the names that people have for it, the value itself where they use it too."""
    after: Tuple[str, ...] = ()
    """Tools that it waits for when both are asked for in one breath: grasping for driving."""
    where: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    """Argument -> clauses about the place of {it}: "go to the room where the {it} is"."""
    with_it: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    """Tool -> clauses about what the robot has got by it: "bring it to the {place}"."""
    meant: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Clause -> values that it means without naming them: "shut the vents" is 0 percent."""


@dataclass(frozen=True)
class Language:
    """The tables of one split."""

    split: str
    phrases: Mapping[str, Sequence[Any]]
    lists: Mapping[str, Tuple[str, ...]]
    syllables: Tuple[str, ...]
    concepts: Tuple[Concept, ...]

    def say(self, rng, what: str, **values: Any) -> str:
        """Return one of the phrases of a kind, filled in."""
        return fill(rng.choice(list(self.phrases[what])), values)


FILLERS = ('um', 'uh', 'er', 'like', 'you know', 'hmm', 'well')
OPENERS = ('um,', 'uh,', 'so,', 'okay,', 'hey,', 'right,', 'oh,', 'listen,', 'yeah so,', 'er,')
"""Filler words are no templates: all splits share them."""


def slots(text: str) -> List[str]:
    """Return the names in braces."""
    return _SLOT.findall(text)


def fill(text: str, values: Mapping[str, Any]) -> str:
    """Put values into a template; a slot without a value stays."""
    return _SLOT.sub(lambda m: spoken(values[m[1]]) if m[1] in values else m[0], text)


def spoken(value: Any) -> str:
    """Return a value as it is said: 4.0 is four, true is yes, lists are enumerated."""
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (list, tuple)):
        words = [spoken(v) for v in value]
        return ' and '.join([', '.join(words[:-1]), words[-1]] if len(words) > 1 else words)
    if isinstance(value, Mapping):
        return ', '.join(f'{k.replace("_", " ")} {spoken(v)}' for k, v in value.items())
    return str(value)


def read_yaml(name: str) -> Any:
    """Return a table of this package, parsed."""
    import yaml
    # the parser in C takes a tenth of the time
    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    return yaml.load(_data(name).read_text('utf-8'), loader)


def _data(name: str):
    return resources.files('async_agent_ros.training') / 'data' / name


@lru_cache(maxsize=None)
def language(split: str) -> Language:
    """Return the tables of a split; raises TableError naming what is wrong."""
    if split not in SPLITS:
        raise TableError(f'there is no split {split!r}; known are {", ".join(SPLITS)}')
    value = read_yaml(f'{split}.yaml')
    lists = {k: tuple(v) for k, v in value.pop('lists').items()}
    syllables = tuple(value.pop('syllables'))
    tables = {f'{split}.yaml': value.pop('concepts')}
    if _data(split).is_dir():
        more = sorted(f'{split}/{file.name}' for file in _data(split).iterdir()
                      if file.name.endswith('.yaml'))
        tables.update((name, read_yaml(name)) for name in more)
    concepts = tuple(concept(c, lists, f'data/{name}') for name, of in tables.items() for c in of)
    return Language(split, value, lists, syllables, concepts)


def values_of(value: Any, lists: Mapping[str, Tuple[str, ...]], where: str) -> Values:
    """Return the values that an entry of a table names."""
    if isinstance(value, (list, tuple)):
        return Values('enum', tuple(str(v) for v in value))
    if isinstance(value, str):
        return Values('enum', (value,))
    optional = bool(value.get('optional'))
    if 'list' in value:
        listed = value['list']
        if listed not in lists:
            raise TableError(f'{where}: there is no list {listed!r}; known are {sorted(lists)}')
        return Values('enum', lists[listed], listed=listed, optional=optional)
    if 'text' in value:
        return Values('text', tuple(value['text']), optional=optional)
    if 'bool' in value:
        return Values('bool', optional=optional)
    for kind in ('int', 'num'):
        if kind in value:
            low, high, *step = value[kind]
            return Values(kind, low=low, high=high, step=step[0] if step else 1, optional=optional)
    raise TableError(f'{where}: {value!r} names no values; give a list, {{list: name}}, '
                     '{text: [...]}, {int: [low, high, step]} or {num: [low, high]}')


def concept(value: Dict[str, Any], lists: Mapping[str, Tuple[str, ...]], where: str) -> Concept:
    """Return the concept that an entry of a table describes."""
    value = dict(value)
    where = f'{where}, concept {(value.get("names") or ["?"])[0]}'
    args = {}
    for names, values in (value.pop('args', None) or {}).items():
        synonyms = tuple(names.split('|'))
        args[synonyms[0]] = (synonyms, values_of(values, lists, where))
    result = {name: v if isinstance(v, str) and slots(v) else values_of(v, lists, where)
              for name, v in (value.pop('result', None) or {}).items()}
    try:
        made = Concept(
            names=tuple(value.pop('names')), describe=tuple(value.pop('describe')), args=args,
            result=result, there={k: tuple(v) for k, v in value.pop('there', {}).items()},
            slow=tuple(value.pop('slow', (0.5, 5.0))),
            where={k: tuple(v) for k, v in value.pop('where', {}).items()},
            with_it={k: tuple(v) for k, v in value.pop('with_it', {}).items()},
            **{k: tuple(map(str, v)) if isinstance(v, list) else v for k, v in value.items()})
    except (KeyError, TypeError) as error:
        raise TableError(f'{where}: {error}; see the head of training/tables.py') from error
    known = set(args) | set(result)
    for text in (*made.ask, *made.say, *made.ack, *made.told, made.gerund, made.inf):
        wrong = set(slots(text)) - known
        if wrong:
            raise TableError(f'{where}: {text!r} has no value for {", ".join(sorted(wrong))}')
    return made
