"""The tables: splits share no template and no tool name, and every template can be filled."""
from dataclasses import replace
import itertools
import random

from async_agent_ros.core.tools import Example, ToolSpec
from async_agent_ros.core.words import Effect
from async_agent_ros.training import tables
from async_agent_ros.training.catalogues import invented
from async_agent_ros.training.own_tools import own_tools, read_catalogue
import pytest


def _templates(split):
    tongue = tables.language(split)
    found = set()
    for kind, phrases in tongue.phrases.items():
        if kind != 'chores':
            found.update(p[0] if isinstance(p, list) else p for p in phrases)
    for concept in tongue.concepts:
        found.update((*concept.ask, *concept.say))
    return {' '.join(t.lower().split()) for t in found}


@pytest.mark.parametrize('pair', list(itertools.combinations(tables.SPLITS, 2)), ids='-'.join)
def test_splits_share_no_template_and_no_tool_name(pair):
    first, second = pair
    assert not _templates(first) & _templates(second)
    names = [{n for c in tables.language(s).concepts for n in c.names} for s in pair]
    assert not names[0] & names[1]
    syllables = [set(tables.language(s).syllables) for s in pair]
    assert not syllables[0] & syllables[1]
    drawn = [{t.spec.name for i in range(60)
              for t in invented(random.Random(i), tables.language(s), 5, 1.0)} for s in pair]
    assert len(drawn[0]) > 100 and not drawn[0] & drawn[1]


@pytest.mark.parametrize('split', tables.SPLITS)
def test_every_template_can_be_filled_and_every_call_passes_its_schema(split):
    rng = random.Random(3)
    for tool in invented(rng, tables.language(split), 99):
        for template in (*tool.concept.ask, *tool.concept.say):
            for _ in range(5):
                values = tool.draw(rng, template)
                assert '{' not in tables.fill(template, values)
                assert tool.spec.check_arguments(tool.arguments(values)) is None
        result = tool.result(rng, values)
        assert set(result) == set(tool.concept.result)
        for told in tool.concept.told:
            assert '{' not in tables.fill(told, {**values, **result})


def test_a_robot_may_know_its_places_by_longer_names_and_results_hold_no_others():
    places = set(tables.language('train').lists['places'])
    longer = 0
    for seed in range(40):
        for tool in invented(random.Random(seed), tables.language('train'), 6):
            known = tool.known['places']
            longer += not set(known) <= places
            assert all(p in places or p.split(' ', 1)[1] in places for p in known)
            for values in tool.allowed.values():
                assert values.listed != 'places' or set(values.choices) == set(known)
    assert longer
    for tool in invented(random.Random(1), tables.language('test'), 6):
        assert set(tool.known['places']) <= set(tables.language('test').lists['places'])


@pytest.mark.parametrize('split', tables.SPLITS)
def test_what_the_prompt_shows_as_examples_is_not_what_is_said(split):
    rng = random.Random(7)
    counts, whole = set(), {c.names: c for c in tables.language(split).concepts}
    for tool in (t for _ in range(30) for t in invented(rng, tables.language(split), 8)):
        counts.add(len(tool.spec.examples))
        concept = whole[tool.concept.names]
        said = {*tool.concept.ask, *tool.concept.say}
        shown = {*concept.ask, *concept.say} - said
        assert tool.concept.ask and len(shown) == len(tool.spec.examples)
        for example in tool.spec.examples:
            assert tool.spec.check_arguments(example.arguments) is None
            back = {name: canonical for canonical, name in tool.names.items()}
            values = {back[k]: v for k, v in example.arguments.items()}
            assert example.say.rstrip('.?').lower() in {
                tables.fill(t, values).lower() for t in shown}
    assert {0, 1} <= counts <= {0, 1, 2}


def test_fields_of_results_have_other_names_on_other_robots():
    rng = random.Random(1)
    named = {}
    for tool in (t for _ in range(60) for t in invented(rng, tables.language('train'), 8)):
        for name, values in tool.concept.result.items():
            if getattr(values, 'listed', ''):
                named.setdefault(tool.concept.names, set()).add(name)
                assert name in tool.spec.result_schema['properties']
                assert name not in tool.concept.args
    assert sum(len(names) > 1 for names in named.values()) > len(named) / 2


def test_own_tools_learn_from_their_examples_alone():
    spec = ToolSpec('water', 'Water a plant.', {
        'type': 'object', 'properties': {
            'plant': {'type': 'string', 'enum': ['fern', 'rose']},
            'litres': {'type': 'integer', 'minimum': 1, 'maximum': 3}},
        'required': ['plant', 'litres']}, {
        'type': 'object', 'properties': {'left_percent': {'type': 'number'}}},
        Effect.STATE_CHANGING, examples=(
            {'say': 'Please give the fern 2 litres.', 'arguments': {'plant': 'fern', 'litres': 2}},
            {'say': 'Does the rose need 1 litre?', 'arguments': {'plant': 'rose', 'litres': 1}}))
    spec = ToolSpec.from_json({**spec.__dict__, 'duplicates': None, 'effect': 'state_changing'})
    tool, = own_tools([spec], None)
    assert tool.concept.ask == ('give the {plant} {litres} litres',)
    assert tool.concept.say == ('does the {plant} need {litres} litre',)
    assert tool.concept.told == ('Done: left {left_percent} percent.',)


def test_an_example_means_what_it_does_not_name():
    spec = ToolSpec('set_vents', 'Move the vents.', {'type': 'object', 'properties': {
        'percent': {'type': 'integer', 'minimum': 0, 'maximum': 100}, 'side': {
            'enum': ['north', 'south']}}, 'required': ['percent']}, examples=(
        Example('Shut the vents.', {'percent': 0}),
        Example('Open the vents to 40 percent.', {'percent': 40}),
        Example('Air the roses.', {'percent': 50, 'side': 'north'})))
    tool, = own_tools([spec], None)
    rng = random.Random(1)
    assert tool.draw(rng, 'would you shut the vents') == {'percent': 0}
    assert tool.draw(rng, 'air the roses please') == {'percent': 50, 'side': 'north'}
    assert len({tool.draw(rng, tool.concept.ask[1])['percent'] for _ in range(20)}) > 5


def test_what_a_tool_of_the_robot_finds_out_is_told_by_the_names_of_its_fields():
    def told(fields, effect=Effect.READ_ONLY):
        properties = {n: {'type': t} for n, t in fields.items()}
        tool, = own_tools([ToolSpec('look', 'Look.', result_schema={'properties': properties},
                                    effect=effect)], None)
        return tool.concept.told[0]
    assert told({'air_c': 'number', 'humidity_percent': 'integer'}) == (
        'Air {air_c} degrees and humidity {humidity_percent} percent.')
    assert told({'pieces': 'integer'}, Effect.STATE_CHANGING) == 'Done: {pieces} pieces.'
    assert told({'arrived_at': 'string'}) == 'Arrived at {arrived_at}.'
    assert told({}) == 'Value: {value}.'
    assert told({}, Effect.STATE_CHANGING) == 'Done: look.'


@pytest.mark.parametrize('name, doing', (
    ('drive_to', 'driving to {where}'), ('water', 'watering {where}'),
    ('set_vents', 'setting vents'), ('grab', 'grabbing {where}'), ('dock', 'docking {where}'),
    ('tie_up', 'tying up {where}')))
def test_what_a_tool_of_the_robot_does_is_said_by_its_verb(name, doing):
    spec = ToolSpec(name, 'Do.', {'type': 'object', 'properties': {
        'where': {'type': 'string', 'enum': ['here', 'there']}}, 'required': ['where']},
        effect=Effect.STATE_CHANGING)
    tool, = own_tools([spec], None)
    assert tool.concept.gerund == doing and tool.concept.ack == (f'I am {doing}.',)
    asking, = own_tools([replace(spec, effect=Effect.CONFIRM)], None)
    assert asking.concept.ack == ('',)    # nothing is done before the person has said yes


def test_a_tool_without_examples_still_has_a_template():
    tool, = own_tools([ToolSpec('stir_pot', 'Stir.', {
        'type': 'object', 'properties': {'n': {'type': 'integer'}}, 'required': ['n']})], None)
    assert tool.concept.ask == ('stir pot {n}',)


def test_what_is_wrong_with_a_file_of_tools_is_said(tmp_path):
    for text, said in (('tools: []', 'no list of tools'), ('[{name: Bad Name}]', 'unusable'),
                       ('{', 'neither YAML nor JSON')):
        path = tmp_path / 'tools.yaml'
        path.write_text(text)
        with pytest.raises(tables.TableError, match=said):
            read_catalogue(path)
    with pytest.raises(tables.TableError, match='cannot be read'):
        read_catalogue(tmp_path / 'none.yaml')
