"""
Tool catalogues that are invented for synthetic conversations.

An invented catalogue takes concepts of a split and gives them names, argument names and schemas,
often made of syllables that mean nothing: so a model learns to read schemas, not names. The robot's
own tools: own_tools.py.
"""
from dataclasses import dataclass, field, replace
import re
from typing import Any, Dict, List, Mapping, Tuple

from async_agent_ros.core.tools import Example, ToolSpec
from async_agent_ros.core.words import Effect
from async_agent_ros.training.tables import (
    Concept, fill, Language, slots, Values)

QUESTION = re.compile(
    r'(what|where|who|how|when|which|is|are|do|does|did|have|has|can you see|any)\b', re.I)
FIELDS = {'places': ('place', 'spot', 'location', 'found_in', 'where', 'room', 'site'),
          'things': ('thing', 'item', 'object', 'what'),
          'people': ('person', 'name', 'who', 'contact')}
"""Names that a field of a result has in some catalogues, by the list that its values are from."""


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
        meant = next((v for c, v in self.concept.meant.items() if c in template), {})
        return {name: meant.get(name, values.draw(rng)) for name, values in self.allowed.items()
                if name in slots(template) or name in meant or not values.optional}

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
    known = {name: tuple(qualified(rng, language, name, word) for word in
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


def qualified(rng, language: Language, listed: str, word: str) -> str:
    """Return a word of a list by the longer name that some robots know it by, now and then."""
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
        mine = _word(rng, language) if odd and rng.random() < 0.5 else rng.choice(synonyms)
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
        end = '?' if QUESTION.match(template) else rng.choice(('', '.'))
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
