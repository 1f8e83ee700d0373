"""Comparison questions of one and two hops over a store of facts, as in HotpotQA: only reads."""
from typing import Any, List, Mapping

from async_agent_ros.bench.workloads import Refused
from async_agent_ros.bench.workloads.store import Store
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Effect

RULES = ('older', 'younger', 'higher', 'lower', 'larger', 'smaller', 'longer', 'shorter',
         'earlier', 'later', 'difference', 'same')
"""What `compare` can tell of two things: the name of one, a number, or yes and no."""
_LESS = ('older', 'lower', 'smaller', 'shorter', 'earlier')
_ANY = {'type': ['string', 'number']}


def specs(data: Mapping[str, Any]) -> List[ToolSpec]:
    """Return the tools."""
    text = {'type': 'string'}

    def reading(name, description, **properties):
        return ToolSpec(name, description, {
            'type': 'object', 'properties': properties, 'required': list(properties),
            'additionalProperties': False}, effect=Effect.READ_ONLY)

    return [
        reading('search', 'Find who or what stands in a relation to something, such as the '
                'director of a film', subject=text, relation=text),
        reading('lookup', 'Look up a fact about somebody or something', subject=text, fact=text),
        reading('compare', 'Compare two values: which of the two it is, or by how much',
                first=text, first_value=_ANY, second=text, second_value=_ANY,
                rule={'type': 'string', 'enum': list(RULES)})]


def make_world(data: Mapping[str, Any], seed: int) -> Store:
    """Return the store of facts."""
    facts = data['facts']

    def lookup(state, subject, fact):
        return {'value': facts[subject][fact]}

    def search(state, subject, relation):
        return {'name': facts[subject][relation]}

    return Store({'lookup': lookup, 'search': search, 'compare': _compare}, {}, seed)


def _compare(state, first, first_value, second, second_value, rule):
    if rule == 'same':
        return {'answer': 'yes' if first_value == second_value else 'no'}
    try:
        gap = float(first_value) - float(second_value)
    except ValueError:
        raise Refused(f'{rule} needs two numbers, not {first_value!r} and {second_value!r}'
                      ) from None
    if rule == 'difference':
        return {'answer': f'{abs(gap):g}'}
    return {'answer': first if (gap < 0) == (rule in _LESS) else second}
