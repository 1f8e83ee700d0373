"""What an engine takes can be set: no option of an engine is missing among the parameters."""
import importlib
import inspect

import pytest

from async_agent_ros.llm import factory
from async_agent_ros.nodes import dispatcher_parameters

FROM_ELSEWHERE = {'model', 'script', 'call_marker', 'call_ids', 'seed', 'connect_timeout_s',
                  'read_timeout_s'}
"""From the prompt file, or not worth a parameter."""


def options_of(name):
    module, class_name, _, _ = factory.ENGINES[name]
    engine = getattr(importlib.import_module(module), class_name)
    return set(inspect.signature(engine).parameters)


@pytest.mark.parametrize('name', sorted(set(factory.ENGINES) - {'scripted'}))    # it has a file
def test_every_option_of_an_engine_is_a_parameter(name):
    options = options_of(name)
    assert options - FROM_ELSEWHERE <= set(dispatcher_parameters._OF_ENGINES)


def test_no_parameter_is_for_an_engine_that_is_not_there():
    known = set().union(*map(options_of, factory.ENGINES))
    assert set(dispatcher_parameters._OF_ENGINES) <= known
