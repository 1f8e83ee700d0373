"""
The robot's own tools in synthetic conversations, as they are and as they would be elsewhere.

They come from a file (what `list_tools` returns, as JSON or YAML) or from a running agent; how
people ask for them comes from their examples, and from a file of phrases where there is one.
"""
from dataclasses import replace
import json
import pathlib
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from async_agent_ros.core.tools import Example, ToolSpec
from async_agent_ros.core.words import Effect
from async_agent_ros.training.catalogues import qualified, QUESTION, SimTool
from async_agent_ros.training.tables import Concept, Language, slots, TableError, Values, values_of

_RESULT_WORDS = ('ready', 'number four', 'the north side', 'green', 'half open')
LIKELY_LIST = {
    **dict.fromkeys(('place', 'room', 'location', 'destination'), 'places'),
    **dict.fromkeys(('object', 'item', 'thing'), 'things'),
    **dict.fromkeys(('person', 'who', 'recipient'), 'people')}
"""Which word list holds other values for an argument of a robot's own tool, by its name."""
_NUMBERS = ('int', 'num')
_PREPOSITIONS = ('at', 'by', 'down', 'for', 'in', 'into', 'off', 'on', 'onto', 'out', 'over', 'to',
                 'up', 'with')
_UNITS = {'m': 'metres', 's': 'seconds', 'percent': 'percent', 'cm': 'centimetres',
          'deg': 'degrees', 'c': 'degrees', 'celsius': 'degrees', 'kg': 'kilograms',
          'min': 'minutes'}


def read_catalogue(path: pathlib.Path) -> List[ToolSpec]:
    """
    Return the tools in a JSON or YAML file: a list of ToolSpec objects, or {tools: [...]}.

    Raises TableError that names the file and what is wrong.
    """
    import yaml
    try:
        value = yaml.safe_load(pathlib.Path(path).read_text('utf-8'))
    except OSError as error:
        raise TableError(f'the tools cannot be read from {path}: {error.strerror}') from error
    except yaml.YAMLError as error:
        raise TableError(f'{path} is neither YAML nor JSON: {error}') from error
    if isinstance(value, Mapping):
        value = value.get('tools')
    if not isinstance(value, list) or not value:
        raise TableError(f'{path} holds no list of tools; write one with: async-agent train tools '
                         f'-o {path}')
    made = []
    for entry in value:
        try:
            made.append(ToolSpec.from_json(entry))
        except (KeyError, TypeError, ValueError) as error:
            raise TableError(f'{path}: a tool is unusable ({error}): {entry!r:.120}') from error
    return made


def own_tools(specs: Sequence[ToolSpec], phrases: Optional[Mapping[str, Any]],
              split: str = 'train') -> List[SimTool]:
    """Return the robot's own tools as people speak of them in a split."""
    tables = {s.name: dict((phrases or {}).get(s.name) or {}) for s in specs}
    lists: Dict[str, Tuple[Any, ...]] = {}
    for spec in specs:
        for name, listed in (tables[spec.name].get('lists') or {}).items():
            schema = (spec.arguments_schema.get('properties') or {}).get(name) or {}
            lists.setdefault(listed, tuple(schema.get('enum') or ('one', 'two', 'three')))
    return [_own(spec, tables[spec.name], split, lists) for spec in specs]


def elsewhere(rng, language: Language, specs: Sequence[ToolSpec]) -> List[ToolSpec]:
    """
    Return a robot's own tools as they would be in another building.

    Rooms, things and people that a schema lists are partly others; two schemas with the same list
    keep it the same. A model then reads the list instead of learning it, so it goes on working when
    the map of the robot changes.
    """
    changed: Dict[Tuple[Any, ...], Tuple[Any, ...]] = {}
    made = []
    for spec in specs:
        properties = dict(spec.arguments_schema.get('properties') or {})
        for name, schema in properties.items():
            words = language.lists.get(LIKELY_LIST.get(name, ''), ())
            here = tuple(schema.get('enum') or ()) if isinstance(schema, Mapping) else ()
            if not words or not here:
                continue
            if here not in changed:
                changed[here] = _others(rng, language, LIKELY_LIST[name], here)
            properties[name] = {**schema, 'enum': list(changed[here])}
        made.append(replace(spec, examples=tuple(_moved(rng, e, properties) for e in spec.examples),
                            arguments_schema={**spec.arguments_schema, 'properties': properties}))
    return made


def _moved(rng, example: Example, properties: Mapping[str, Any]) -> Example:
    """Return an example with values that the schemas of the other building list."""
    text, arguments = example.say, dict(example.arguments)
    for name, value in example.arguments.items():
        listed = properties.get(name, {}).get('enum') or ()
        if listed and value not in listed:
            arguments[name] = rng.choice(listed)
            text = text.replace(str(value), str(arguments[name]))
    return Example(text, arguments)


def _others(rng, language: Language, listed: str, here: Sequence[Any]) -> Tuple[Any, ...]:
    """Return some of the values that there are here and some that are not, in any order."""
    words = [w for w in language.lists[listed] if w not in here]
    found = [v for v in here if rng.random() < 0.6]
    found += [qualified(rng, language, listed, w) for w in rng.sample(words, rng.randint(2, 6))]
    qualifiers = (language.phrases.get('qualified') or {}).get(listed, ())
    if len(qualifiers) > 1 and rng.random() < 0.4:
        # two of a kind, to be told apart by the whole name
        found += [f'{q} {found[-1]}' for q in rng.sample(qualifiers, 2)]
        found.remove(found[-3])
    rng.shuffle(found)
    return tuple(dict.fromkeys(found))


def _own(spec: ToolSpec, table: Mapping[str, Any], split: str,
         lists: Mapping[str, Tuple[Any, ...]]) -> SimTool:
    properties = spec.arguments_schema.get('properties') or {}
    required = set(spec.arguments_schema.get('required') or ())
    listed = table.get('lists') or {}
    texts = table.get('values') or {}
    allowed = {}
    for name, schema in properties.items():
        values = _values(schema, name not in required, listed.get(name, ''),
                         [*texts.get(name, ()), *(e.arguments[name] for e in spec.examples
                                                  if name in e.arguments)])
        if values is not None:
            allowed[name] = values
    words = spec.name.replace('_', ' ')
    ask, say, meant = _asked(spec, table.get(split) or {})
    if not (ask or say):
        ask = [' '.join([words, *(f'{{{n}}}' for n in allowed if n in required)])]
    result = {n: v if isinstance(v, str) and slots(v) else values_of(v, lists, spec.name)
              for n, v in (table.get('result') or {}).items()} or _result_fields(spec)
    reads = spec.effect == Effect.READ_ONLY
    if reads and not result:
        # its schema says nothing; a result is to be told all the same
        result = {'value': Values('num', low=1, high=99)}
    do, doing = _named_by_verb(words, [n for n in allowed if n in required and allowed[n].kind in (
        'enum', 'text')]) if not reads else (words, f'busy with {words}')
    made = Concept(
        (spec.name,), (spec.description,), str(spec.effect),
        {n: ((n,), v) for n, v in allowed.items()}, tuple(ask), tuple(say),
        {k: tuple(v) for k, v in (table.get('there') or {}).items()},
        tuple(table.get('ack') or [
            f'I am {doing}.' if spec.effect == Effect.STATE_CHANGING else '']),
        table.get('gerund', doing), table.get('inf', do), table.get('left', ''),
        result, tuple(table.get('told') or [_generic_told(words, result, reads)]),
        tuple(table.get('fail') or ['it did not work']),
        tuple(table.get('slow') or ((0.1, 1.5) if reads else (3.0, 20.0))),
        {k: tuple(v) for k, v in (table.get('spoken') or {}).items()},
        tuple(table.get('after') or ()),
        {k: tuple(v) for k, v in (table.get('where') or {}).items()},
        {k: tuple(v) for k, v in (table.get('with_it') or {}).items()}, meant)
    return SimTool(spec, made, {n: n for n in allowed}, allowed, lists)


def _asked(spec: ToolSpec, own: Mapping[str, Any]) -> Tuple[
        List[str], List[str], Dict[str, Dict[str, Any]]]:
    """Return the clauses and the sentences with which people ask for a tool, and what they mean."""
    ask, say = list(own.get('ask') or ()), list(own.get('say') or ())
    meant: Dict[str, Dict[str, Any]] = {}
    if not (ask or say):
        for example in spec.examples:
            text, question = _template(example)
            (say if question else ask).append(text)
            unnamed = {k: v for k, v in example.arguments.items() if k not in slots(text)}
            if unnamed:
                meant[text] = unnamed
    return ask, say, meant


def _named_by_verb(words: str, arguments: Sequence[str]) -> Tuple[str, str]:
    """
    Return what a tool does and is doing, for names that begin with a verb, as those of acts do.

    "drive to {place}" and "driving to {place}"; with an object in the name "set vents" is enough.
    """
    verb, *rest = words.split()
    if arguments and (not rest or rest[-1] in _PREPOSITIONS):
        rest.append(f'{{{arguments[0]}}}')
    elif rest and rest[-1] in _PREPOSITIONS:
        rest.pop()
    if verb.endswith('ie'):
        stem = f'{verb[:-2]}y'
    elif verb.endswith('e') and not verb.endswith(('ee', 'oe', 'ye')):
        stem = verb[:-1]
    else:    # set, grab, stop
        stem = verb + verb[-1] * bool(re.fullmatch('[^aeiou]+[aeiou][^aeiouwxy]', verb))
    return ' '.join([verb, *rest]), ' '.join([f'{stem}ing', *rest])


def _generic_told(words: str, result: Mapping[str, Any], reads: bool) -> str:
    """Return how a result is told that nothing is known of but the names of its fields."""
    parts = []
    for name in list(result)[:3]:
        *label, unit = name.split('_')
        if unit in _UNITS and label:
            parts.append(f'{" ".join(label)} {{{name}}} {_UNITS[unit]}')
        elif not label and unit.endswith('s') and getattr(result[name], 'kind', '') in _NUMBERS:
            parts.append(f'{{{name}}} {unit}')    # litres, pieces
        else:
            colon = '' if unit in _PREPOSITIONS else ':'    # arrived at
            parts.append(f'{" ".join([*label, unit])}{colon} {{{name}}}')
    told = ' and '.join(parts) or words
    return f'{told[0].upper()}{told[1:]}.' if reads and parts else f'Done: {told}.'


def _values(schema: Any, optional: bool, listed: str, seen: Sequence[Any]) -> Optional[Values]:
    if not isinstance(schema, Mapping):
        schema = {}
    if schema.get('enum'):
        return Values('enum', tuple(schema['enum']), optional=optional, listed=listed)
    kind = schema.get('type')
    if kind in ('integer', 'number'):
        low = schema.get('minimum', schema.get('exclusiveMinimum', 0) + 1)
        high = schema.get('maximum', low + 20)
        return Values('int' if kind == 'integer' else 'num', low=low, high=high, optional=optional)
    if kind == 'boolean':
        return Values('bool', optional=optional)
    texts = tuple(dict.fromkeys(v for v in seen if isinstance(v, str)))
    if kind == 'string' and texts:
        return Values('text', texts, optional=optional, listed=listed)
    if optional:
        return None
    if kind == 'string':
        return Values('text', ('one', 'two', 'three'), listed=listed)
    return None


def _result_fields(spec: ToolSpec) -> Dict[str, Any]:
    fields = {}
    for name, of in ((spec.result_schema or {}).get('properties') or {}).items():
        values = _values(of, True, '', _RESULT_WORDS)
        if values is not None:
            fields[name] = values
    return fields


def _template(example: Example) -> Tuple[str, bool]:
    """Return an example as a template, and whether it is a question."""
    text = example.say.strip().rstrip('.!?')
    for name, value in sorted(example.arguments.items(), key=lambda i: -len(str(i[1]))):
        text = re.sub(re.escape(str(value)), f'{{{name}}}', text, count=1, flags=re.I)
    question = bool(QUESTION.match(text))
    first = text.split(' ')[0]
    if first.istitle() and first != 'I':
        text = text[0].lower() + text[1:]
    return text.removeprefix('please '), question


def as_json(specs: Sequence[ToolSpec]) -> str:
    """Return the text of a file that read_catalogue() takes."""
    return json.dumps({'tools': [s.to_json() for s in specs]}, indent=1, ensure_ascii=False) + '\n'
