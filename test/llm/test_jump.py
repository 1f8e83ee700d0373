"""An output cut into stretches is the output, and every stretch is what its grammar allows."""
import json

from hypothesis import given, strategies as st
import pytest

from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.llm.jump import Stretches

NAVIGATE = ToolSpec('navigate_to', arguments_schema={
    'type': 'object', 'required': ['place'],
    'properties': {'place': {'type': 'string'}, 'speed': {'type': 'number'}}})
BATTERY = ToolSpec('get_battery')
TIMER = ToolSpec('set_timer', arguments_schema={
    'type': 'object', 'properties': {'seconds': {'type': 'integer'}}})
FIND = ToolSpec('find_object', arguments_schema={
    'type': 'object', 'required': ['object'],
    'properties': {'object': {'type': 'string', 'enum': ['cup', 'red cup']}}})
PLACE = ToolSpec('place', arguments_schema={
    'type': 'object', 'required': ['object', 'where'],
    'properties': {'object': {'type': 'string'}, 'where': {'type': 'string'}}})
TOOLS = (NAVIGATE, BATTERY, TIMER, FIND, PLACE)


def call(name, number, **arguments):
    return f'CALL {json.dumps({"id": f"c{number}", "name": name, "arguments": arguments})}'


def cut(text, tools=TOOLS, ids=True, number=0):
    """Return each stretch, what a model writes there, and whether the output ends with it."""
    stretches = Stretches(tools, ids=ids, number=number)
    stretch, found = stretches.first(), []
    while stretch is not None:
        assert text.startswith(stretch.forced), (stretch, text)
        text = text[len(stretch.forced):]
        end = min([text.find(s) for s in stretch.stops if s in text] or [len(text)])
        found.append((stretch, text[:end], end == len(text)))
        text = text[end:]
        stretch = None if stretch.over else stretches.after(found[-1][1])
    assert not text
    return found


ONE = call('find_object', 1, object='red cup')
OUTPUTS = [
    'On my way.',
    '<pause>',
    ONE,
    f'Let me see.\n{ONE}\nOne moment.',
    f'{ONE}\n' + call('navigate_to', 2, place='$c1.room'),
    call('place', 12, object='cup', where='table') + f'\n{ONE}',
    call('get_battery', 3) + f'\n{ONE}\nREMOVE c2\nSure.',
    call('navigate_to', 3, place='kitchen', speed=0.5) + f'\n{ONE}',
    'REMOVE c2\n' + call('set_timer', 4, seconds=30),
    call('find_object', 1, object='my "best" cup'),
    call('find_object', 1, object='Käthes Tasse'),
]


@pytest.mark.parametrize('text', OUTPUTS)
def test_the_stretches_are_the_output(text):
    assert ''.join(s.forced + written for s, written, _ in cut(text)) == text


@pytest.mark.parametrize('text', OUTPUTS)
def test_every_stretch_is_what_its_grammar_allows(accepts, text):
    for stretch, read, whole in cut(text):
        if not stretch.over:
            assert accepts(stretch.grammar, read, whole), (stretch, read)


def test_a_model_chooses_less_than_half_of_a_call():
    written = sum(len(w) for _, w, _ in cut(ONE))
    assert written < len(ONE) / 2


def test_a_call_behind_one_with_choices_is_cut_too():
    text = call('set_timer', 1, seconds=30) + f'\n{ONE}'
    assert [w for _, w, _ in cut(text)][-3:] == ['1', 'find_object', ' "red cup"}}']


def test_a_number_that_is_known_is_not_written():
    text = call('get_battery', 7) + '\n' + call('find_object', 8, object='cup') + '\nOne moment.'
    assert [w for _, w, _ in cut(text, number=7)][:4] == [
        'CALL', 'get_battery', ' {}}\n', 'find_object']


def test_only_names_of_the_catalogue_can_be_written(accepts):
    names = cut(ONE)[2][0]
    assert accepts(names.grammar, 'place"', whole=False)
    assert not accepts(names.grammar, 'fly"', whole=False)


def test_without_ids_a_call_begins_with_its_name():
    text = 'CALL {"name": "find_object", "arguments": {"object": "cup"}}'
    assert [w for _, w, _ in cut(text, ids=False)] == ['CALL', 'find_object', ' "cup"}}']


@given(st.lists(st.one_of(
    st.sampled_from(['Hello.', 'One moment, please.', 'REMOVE c1']),
    st.builds(lambda n, v: call('find_object', n, object=v), st.integers(1, 99),
              st.text('abcdef $.,', min_size=1, max_size=12)),
    st.builds(lambda n, v, w: call('place', n, object=v, where=w), st.integers(1, 99),
              st.text('abc $.', min_size=1), st.text('abc $.', min_size=1)),
    st.builds(lambda n: call('get_battery', n), st.integers(1, 9999))), min_size=1, max_size=5))
def test_any_output_can_be_cut(lines):
    text = '\n'.join(lines)
    assert ''.join(s.forced + written for s, written, _ in cut(text)) == text
