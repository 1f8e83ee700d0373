"""Tool specs: round trip through JSON, safe defaults, arguments checked by name."""
from hypothesis import given, strategies as st
import pytest

from async_agent_ros.core.tools import canonical_json, Example, ToolSpec
from async_agent_ros.core.words import Duplicates, Effect

SPEC = ToolSpec(
    'pick_up', 'Pick up an object.',
    {'type': 'object', 'properties': {'object': {'type': 'string', 'enum': ['cup', 'book']},
                                      'force': {'type': 'number', 'maximum': 10}},
     'required': ['object'], 'additionalProperties': False},
    effect=Effect.CONFIRM, duplicates=Duplicates.JOIN, timeout_s=2.5, motion=True,
    resources=('arm',), examples=(Example('Take the cup', {'object': 'cup'}),))


def test_a_spec_comes_back_from_json():
    assert ToolSpec.from_json(SPEC.to_json()) == SPEC


@pytest.mark.parametrize('effect', ['', 'harmless', None])
def test_an_unknown_effect_counts_as_state_changing(effect):
    spec = ToolSpec.from_json({'name': 'x', 'effect': effect})
    assert spec.effect == Effect.STATE_CHANGING
    assert spec.duplicate_policy == Duplicates.REJECT


@pytest.mark.parametrize('name', ['', 'Navigate', '2go', 'go-to', 'go to', 'go\n'])
def test_a_bad_name_is_refused(name):
    with pytest.raises(ValueError, match='not usable'):
        ToolSpec(name)


@pytest.mark.parametrize('arguments,named', [
    ({}, 'object'), ({'object': 'elephant'}, 'elephant'), ({'object': 'cup', 'force': 11}, '11'),
    ({'object': 'cup', 'speed': 1}, 'speed'), ([], 'object'), (None, 'object'), ('cup', 'object')])
def test_wrong_arguments_are_named(arguments, named):
    assert named in SPEC.check_arguments(arguments)


def test_right_arguments_pass():
    assert SPEC.check_arguments({'object': 'cup', 'force': 1.5}) is None


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                      lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(st.dictionaries(st.text(), VALUES))
def test_equal_arguments_have_one_text(value):
    turned = dict(reversed(list(value.items())))
    assert canonical_json(value) == canonical_json(turned)
