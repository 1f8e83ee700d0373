"""
Tool catalogues for synthetic conversations: invented ones, and the robot's own.

An invented catalogue takes concepts of a split and gives them names, argument names and schemas,
often made of syllables that mean nothing: so a model learns to read schemas, not names. The robot's
own tools come from a file (what `list_tools` returns, as JSON or YAML) or from a running agent; how
people ask for them comes from their examples, and from a file of phrases where there is one.
"""
from dataclasses import dataclass, field, replace
import json
import pathlib
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from async_agent_ros.core.tools import Example, ToolSpec
from async_agent_ros.core.words import Effect
from async_agent_ros.training.tables import (
    Concept, fill, Language, slots, TableError, Values, values_of)

_QUESTION = re.compile(
    r'(what|where|who|how|when|which|is|are|do|does|did|have|has|can you see|any)\b', re.I)
_RESULT_WORDS = ('ready', 'number four', 'the north side', 'green', 'half open')
LIKELY_LIST = {
    **dict.fromkeys(('place', 'room', 'location', 'destination'), 'places'),
    **dict.fromkeys(('object', 'item', 'thing'), 'things'),
    **dict.fromkeys(('person', 'who', 'recipient'), 'people')}
"""Which word list holds other values for an argument of a robot's own tool, by its name."""
FIELDS = {'places': ('place', 'spot', 'location', 'found_in', 'where', 'room', 'site'),
          'things': ('thing', 'item', 'object', 'what'),
          'people': ('person', 'name', 'who', 'contact')}
"""Names that a field of a result has in some catalogues, by the list that its values are from."""
_UNITS = {'m': 'metres', 's': 'seconds', 'percent': 'percent', 'cm': 'centimetres',
          'deg': 'degrees', 'c': 'degrees', 'celsius': 'degrees', 'kg': 'kilograms',
          'min': 'minutes'}


@dataclass(frozen=True)
class SimTool:
    """A tool of a simulated robot: what the model reads of it, and what it means."""

    spec: ToolSpec
    concept: Concept
    names: Mapping[str, str] = field(default_factory=dict)
    """Canonical name of an argument -> its name in the schema."""
    allowed: Mapping[str, Values] = field(default_factory=dict)
    """Canonical name of an argument -> the values that this robot takes."""
    known: Mapping[str, Tuple[Any, ...]] = field(default_factory=dict)
    """Word list -> the words of it that this robot knows; results hold no others."""

    @property
    def reads(self) -> bool:
        """Tell whether a call changes nothing."""
        return self.spec.effect == Effect.READ_ONLY

    def draw(self, rng, template: str) -> Dict[str, Any]:
        """Return values for the slots of a template and for what must be given besides."""
        return {name: values.draw(rng) for name, values in self.allowed.items()
                if name in slots(template) or not values.optional}

    def arguments(self, values: Mapping[str, Any]) -> Dict[str, Any]:
        """Return the arguments of a call, by the names of the schema."""
        return {self.names.get(k, k): v for k, v in values.items() if k in self.allowed}

    def result(self, rng, values: Mapping[str, Any]) -> Any:
        """Return what a call gives."""
        made = {}
        for name, of in self.concept.result.items():
            if isinstance(of, Values):
                made[name] = rng.choice(self.known.get(of.listed) or (of.draw(rng),))
            else:
                whole = slots(of) and of == '{' + slots(of)[0] + '}'
                made[name] = values.get(slots(of)[0]) if whole else fill(of, values)
        return made


def invented(rng, language: Language, count: int, odd_names: float = 0.3,
             pairs: float = 0.4) -> List[SimTool]:
    """
    Return a catalogue of `count` tools of a split.

    `odd_names` of them have names that mean nothing; in `pairs` of the catalogues there is a tool
    that can take what another one finds.
    """
    chosen = rng.sample(language.concepts, min(count, len(language.concepts)))
    if rng.random() < pairs:
        pair = rng.choice(_pairs(language))
        chosen = [*pair, *(c for c in chosen if c not in pair)][:max(2, count)]
        rng.shuffle(chosen)
    known = {name: tuple(_qualified(rng, language, name, word) for word in
                         rng.sample(words, min(len(words), rng.randint(3, 8))))
             for name, words in language.lists.items()}
    made: List[SimTool] = []
    for one in chosen:
        odd = rng.random() < odd_names
        name = _word(rng, language) if odd else rng.choice(one.names)
        if any(t.spec.name == name for t in made):
            name = f'{name}_{rng.choice(language.syllables)}'
        made.append(_instance(rng, language, one, name, odd, known))
    return made


def _qualified(rng, language, listed: str, word: str) -> str:
    qualifiers = (language.phrases.get('qualified') or {}).get(listed)
    if not qualifiers or rng.random() >= 0.3 or word[-1].isdigit():
        return word
    return f'{rng.choice(qualifiers)} {word}'


def _pairs(language):
    return [(first, second) for first in language.concepts for second in language.concepts
            if first is not second and first.effect == 'read_only' and first.ask and any(
                getattr(v, 'listed', '') and v.listed == second.args[name][1].listed
                for v in first.result.values() for name in second.there)]


def _word(rng, language):
    parts = [''.join(rng.sample(language.syllables, 2)) for _ in range(rng.choice((1, 2)))]
    return '_'.join(parts)


def _instance(rng, language, one, name, odd, known) -> SimTool:
    one = _renamed(rng, one)
    names, allowed, properties = {}, {}, {}
    for canonical, (synonyms, values) in one.args.items():
        mine = _word(rng, language) if odd and rng.random() < 0.3 else rng.choice(synonyms)
        while mine in names.values():
            mine = f'{mine}_2'
        names[canonical] = mine
        if values.listed:
            values = Values('enum', known[values.listed], optional=values.optional,
                            listed=values.listed)
        # some robots list what they know, others take any word
        listed = values.kind == 'enum' and (not values.listed or rng.random() < 0.75)
        properties[mine] = _schema(values, listed, canonical)
        if values.kind == 'enum' and not listed:
            values = Values('text', values.choices, optional=values.optional, listed=values.listed)
        allowed[canonical] = values
    required = [names[c] for c, v in allowed.items() if not v.optional]
    spec = ToolSpec(
        name, rng.choice(one.describe),
        {'type': 'object', 'properties': dict(sorted(properties.items())), 'required': required,
         'additionalProperties': False},
        result_schema={'type': 'object', 'properties': {
            n: _result_schema(v, one) for n, v in one.result.items()}} if one.result else None,
        effect=Effect(one.effect))
    examples, one = _examples(rng, one, names, allowed)
    return SimTool(replace(spec, examples=examples), one, names, allowed, known)


def _renamed(rng, one: Concept) -> Concept:
    """
    Return the concept with other names for what its result holds of places, things and people.

    Calls that need calls name these fields, which are to be read in the schema.
    """
    result, told = {}, one.told
    for name, values in one.result.items():
        other = rng.choice(FIELDS.get(getattr(values, 'listed', ''), (name,)))
        if rng.random() < 0.5 or other in one.result or other in one.args or other in result:
            other = name
        result[other] = values
        told = tuple(t.replace(f'{{{name}}}', f'{{{other}}}') for t in told)
    return replace(one, result=result, told=told)


def _examples(rng, one: Concept, names: Mapping[str, str],
              allowed: Mapping[str, Values]) -> Tuple[Tuple[Example, ...], Concept]:
    """
    Return examples of what people say to a tool, and the concept without their wordings.

    The prompt shows them, so what is said to the tool is always something else: a model then
    learns to hear what is alike. Some tools have none, as on real robots.
    """
    needed = {c for c, v in allowed.items() if not v.optional}
    fitting = [a for a in (*one.ask, *one.say) if set(slots(a)) == needed]
    made: List[Example] = []
    for template in rng.sample(fitting, min(len(fitting), rng.choice((0, 1, 2, 2)))):
        left = [a for a in one.ask if a != template]
        if template in one.ask and not left:
            continue    # every tool must be asked for somehow
        one = replace(one, ask=tuple(left), say=tuple(a for a in one.say if a != template))
        values = {c: allowed[c].draw(rng) for c in sorted(needed)}
        text = fill(template, values)
        end = '?' if _QUESTION.match(template) else rng.choice(('', '.'))
        made.append(Example(text[0].upper() + text[1:] + end,
                            {names[c]: v for c, v in values.items()}))
    return tuple(made), one


def _schema(values: Values, listed: bool, meaning: str) -> Dict[str, Any]:
    if listed:
        return {'type': 'string', 'enum': list(values.choices)}
    if values.kind == 'int':
        return {'type': 'integer', 'minimum': int(values.low), 'maximum': int(values.high),
                'description': meaning.replace('_', ' ')}
    if values.kind == 'num':
        return {'type': 'number', 'minimum': values.low, 'maximum': values.high}
    if values.kind == 'bool':
        return {'type': 'boolean'}
    return {'type': 'string', 'description': meaning.replace('_', ' ')}


def _result_schema(values, one) -> Dict[str, Any]:
    if not isinstance(values, Values):
        named = slots(values)
        values = one.args[named[0]][1] if named and named[0] in one.args else Values('text')
    return {'type': {'int': 'integer', 'num': 'number', 'bool': 'boolean'}.get(
        values.kind, 'string')}


# -- the robot's own tools ------------------------------------------------------------------------
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
        made.append(replace(spec, examples=tuple(_there(rng, e, properties) for e in spec.examples),
                            arguments_schema={**spec.arguments_schema, 'properties': properties}))
    return made


def _there(rng, example: Example, properties: Mapping[str, Any]) -> Example:
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
    found += [_qualified(rng, language, listed, w) for w in rng.sample(words, rng.randint(2, 6))]
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
    ask, say = _asked(spec, table.get(split) or {})
    if not (ask or say):
        ask = [' '.join([words, *(f'{{{n}}}' for n in allowed if n in required)])]
    result = {n: v if isinstance(v, str) and slots(v) else values_of(v, lists, spec.name)
              for n, v in (table.get('result') or {}).items()} or _result_fields(spec)
    reads = spec.effect == Effect.READ_ONLY
    made = Concept(
        (spec.name,), (spec.description,), str(spec.effect),
        {n: ((n,), v) for n, v in allowed.items()}, tuple(ask), tuple(say),
        {k: tuple(v) for k, v in (table.get('there') or {}).items()},
        tuple(table.get('ack') or ['I am on it.' if spec.effect == Effect.STATE_CHANGING else '']),
        table.get('gerund', f'busy with {words}'), table.get('inf', words), table.get('left', ''),
        result, tuple(table.get('told') or [_generic_told(words, result)]),
        tuple(table.get('fail') or ['it did not work']),
        tuple(table.get('slow') or ((0.1, 1.5) if reads else (3.0, 20.0))),
        {k: tuple(v) for k, v in (table.get('spoken') or {}).items()},
        tuple(table.get('after') or ()))
    return SimTool(spec, made, {n: n for n in allowed}, allowed, lists)


def _asked(spec: ToolSpec, own: Mapping[str, Any]) -> Tuple[List[str], List[str]]:
    """Return the clauses and the sentences with which people ask for a tool."""
    ask, say = list(own.get('ask') or ()), list(own.get('say') or ())
    if not (ask or say):
        for example in spec.examples:
            text, question = _template(example)
            (say if question else ask).append(text)
    return ask, say


def _generic_told(words: str, result: Mapping[str, Any]) -> str:
    parts = []
    for name in list(result)[:3]:
        *label, unit = name.split('_')
        known = _UNITS.get(unit)
        subject = ' '.join(label if known and label else [*label, unit])
        unit_words = f' {known}' if known and known != subject else ''
        parts.append(f'{subject} is {{{name}}}{unit_words}')
    return f'The {" and ".join(parts)}.' if parts else f'Done: {words}.'


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
    question = bool(_QUESTION.match(text))
    first = text.split(' ')[0]
    if first.istitle() and first != 'I':
        text = text[0].lower() + text[1:]
    return text.removeprefix('please '), question


def as_json(specs: Sequence[ToolSpec]) -> str:
    """Return the text of a file that read_catalogue() takes."""
    return json.dumps({'tools': [s.to_json() for s in specs]}, indent=1, ensure_ascii=False) + '\n'
