"""Calls written under the grammar are calls of the catalogue, in both notations."""
import json

import pytest

from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.llm import grammar

NAVIGATE = ToolSpec('navigate_to', arguments_schema={
    'type': 'object', 'required': ['place'],
    'properties': {'place': {'type': 'string', 'enum': ['kitchen', 'living room']},
                   'speed': {'type': 'number', 'exclusiveMinimum': 0, 'title': 'Speed'}}})
BATTERY = ToolSpec('get_battery')
TIMER = ToolSpec('set_timer', arguments_schema={
    'type': 'object', 'properties': {
        'seconds': {'type': 'integer'}, 'label': {'anyOf': [{'type': 'string'},
                                                            {'type': 'null'}]}}})
TOOLS = (NAVIGATE, BATTERY, TIMER)

GOOD = [
    'On my way.',
    'CALL {"name": "get_battery", "arguments": {}}',
    'CALL {"name": "navigate_to", "arguments": {"place": "living room"}}',
    'CALL {"name": "navigate_to", "arguments": {"place": "kitchen", "speed": 0.5}}',
    'CALL {"name": "set_timer", "arguments": {"seconds": 30}}',
    'CALL {"name": "set_timer", "arguments": {"label": null}}',
    'Sure.\nCALL {"name": "get_battery", "arguments": {}}\n'
    'CALL {"name": "set_timer", "arguments": {"seconds": 3, "label": "tea"}}',
    'Come on, Carl: CA is not CALIFORNIA, it is CALm.',
]
BAD = [
    'CALL {"name": "fly", "arguments": {}}',
    'CALL {"name": "navigate_to", "arguments": {}}',
    'CALL {"name": "navigate_to", "arguments": {"place": "kitchen", "colour": "red"}}',
    'CALL {"name": "set_timer", "arguments": {"seconds": 1.5}}',
    'CALL navigate_to',
    '{"name": "get_battery", "arguments": {}}',
]


@pytest.mark.parametrize('text', GOOD)
def test_lark_accepts(accepts, text):
    assert accepts(grammar.lark(TOOLS), text)


@pytest.mark.parametrize('text', BAD)
def test_lark_rejects(accepts, text):
    assert not accepts(grammar.lark(TOOLS), text)


def test_a_value_that_is_not_there_is_written_and_refused_by_the_check(accepts):
    text = 'CALL {"name": "navigate_to", "arguments": {"place": "moon"}}'
    assert accepts(grammar.lark(TOOLS), text)
    assert 'moon' in NAVIGATE.check_arguments(json.loads(text[5:])['arguments'])


def test_without_tools_only_text_is_left(accepts):
    assert accepts(grammar.lark(()), 'I have no tools.')
    assert not accepts(grammar.lark(()), GOOD[1])


def test_with_ids_calls_may_be_edited_and_removed(accepts):
    text = grammar.lark(TOOLS, ids=True)
    assert accepts(text, 'REMOVE c3\nCALL {"id": "c4", "name": "get_battery", "arguments": {}}')
    assert accepts(text, 'CALL {"id": "c1", "name": "get_battery", "arguments": {}}\n<pause>')
    assert not accepts(grammar.lark(TOOLS), 'REMOVE c3 {')


def test_with_ids_an_argument_may_be_a_part_of_another_result(accepts):
    tools = [ToolSpec('lift', 'Lift.', {
        'type': 'object', 'properties': {'cm': {'type': 'integer'}}, 'required': ['cm']})]
    text = 'CALL {"id": "c2", "name": "lift", "arguments": {"cm": "$c1.height.0"}}'
    assert accepts(grammar.lark(tools, ids=True), text)
    assert accepts(grammar.lark(tools, ids=True), text.replace('"$c1.height.0"', '12'))
    assert not accepts(grammar.lark(tools, ids=True), text.replace('$c1.height.0', 'high'))
    assert not accepts(grammar.lark(tools), text)


def test_marker_is_a_setting(accepts):
    text = grammar.lark(TOOLS, marker='<tool>')
    assert accepts(text, '<tool> {"name": "get_battery", "arguments": {}}')
    assert not accepts(text, '<tool> get_battery')


def test_accepted_calls_pass_the_check_of_arguments(accepts):
    specs = {t.name: t for t in TOOLS}
    for text in GOOD:
        for line in text.splitlines():
            if line.startswith('CALL '):
                call = json.loads(line[5:])
                assert specs[call['name']].check_arguments(call['arguments']) is None
