"""The @tool decorator: schemas, arguments, results, progress, cancellation. No ROS."""
import asyncio
import enum
import json
import threading
from typing import Annotated, Dict, Generator, List, Literal, Optional

import pydantic
import pytest

from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Effect
from async_agent_ros.tools import (Progress, tool, ToolCancelled, ToolContext,
                                   ToolDefinitionError)
from async_agent_ros.tools.context import InvalidArguments
from async_agent_ros.tools.docstrings import parse_docstring
from async_agent_ros.tools.schemas import tidy_schema


class Colour(enum.Enum):
    RED = 'red'
    BLUE = 'blue'


class Point(pydantic.BaseModel):
    """A point."""

    x: float
    y: float = 0.0


@tool(effect='read_only', examples=[('Paint it red', {'what': 'door', 'colour': 'red'})])
def paint(what: str, colour: Colour, coats: Annotated[int, pydantic.Field(ge=1, le=3)] = 1,
          finish: Literal['matt', 'gloss'] = 'matt', at: Optional[Point] = None,
          context: ToolContext = None) -> Dict[str, str]:
    """
    Paint a thing.

    Takes a while.

    Args:
        what: the thing
            to paint
        coats (int): how many

    Returns:
        nothing of interest
    """
    return {'painted': what, 'colour': colour.value, 'type': type(at).__name__}


def test_a_tool_can_ask_for_times_as_people_say_them():
    @tool
    def bake(span: Annotated[str, pydantic.Field(json_schema_extra={'format': 'time-span'})]):
        """Bake."""
    assert bake.spec.check_arguments({'span': 'an hour and a half'}) is None
    assert "span: 'soon' is no time span" in bake.spec.check_arguments({'span': 'soon'})


def test_schema_of_a_typed_function():
    spec = paint.spec
    assert spec.name == 'paint' and spec.effect is Effect.READ_ONLY
    assert spec.description == 'Paint a thing. Takes a while.'
    schema = spec.arguments_schema
    properties = schema['properties']
    assert set(properties) == {'what', 'colour', 'coats', 'finish', 'at'}
    assert schema['required'] == ['what', 'colour']
    assert schema['additionalProperties'] is False
    assert properties['what'] == {'type': 'string', 'description': 'the thing to paint'}
    assert properties['colour']['enum'] == ['red', 'blue']
    assert properties['coats'] == {'type': 'integer', 'minimum': 1, 'maximum': 3, 'default': 1,
                                   'description': 'how many'}
    assert properties['finish']['enum'] == ['matt', 'gloss']
    point = properties['at']['anyOf'][0]
    assert point['properties']['x'] == {'type': 'number'}
    assert '$ref' not in json.dumps(schema) and 'title' not in json.dumps(schema)
    assert spec.result_schema['type'] == 'object'
    assert spec.check_arguments({'what': 'door', 'colour': 'red'}) is None


def test_the_context_may_be_optional_and_a_list_is_none():
    @tool
    def f(xs: List[int], context: Optional[ToolContext] = None) -> int:
        """Sum."""
        return sum(xs) + (context is not None)
    assert list(f.spec.arguments_schema['properties']) == ['xs']
    assert f.run(f.parse({'xs': [1, 2]}), ToolContext()) == 4 and f([1]) == 1


def test_options_stand_in_the_spec():
    @tool(effect='read_only', wait_for_final=True, resources=['line'], when_busy='refuse',
          max_per_minute=3)
    def search(words: str) -> list:
        """Ask a stranger."""
        return [words]
    assert search.spec.wait_for_final and not paint.spec.wait_for_final
    assert search.spec.resources == ('line',) and search.spec.max_per_minute == 3.0
    assert ToolSpec.from_json(search.spec.to_json()) == search.spec


def test_arguments_are_converted_and_the_function_stays_callable():
    arguments = paint.parse('{"what": "door", "colour": "blue", "at": {"x": 1}}')
    assert arguments['colour'] is Colour.BLUE and arguments['at'] == Point(x=1.0)
    value = paint.run(arguments, ToolContext())
    assert value == {'painted': 'door', 'colour': 'blue', 'type': 'Point'}
    assert paint('wall', Colour.RED)['painted'] == 'wall'


@pytest.mark.parametrize('arguments, words', [
    ('{"what": 3', ['not JSON']),
    ('[1]', ['must be a JSON object']),
    ('{"what": "x", "colour": "green", "coats": 9}',
     ['colour: ', "'red' or 'blue'", 'not "green"', 'coats: ', 'less than or equal to 3', 'not 9']),
    ('{"extra": 1}', ['what: is required', 'colour: is required', 'extra: is not known']),
])
def test_arguments_that_do_not_fit_are_named_each(arguments, words):
    with pytest.raises(InvalidArguments) as caught:
        paint.parse(arguments)
    for word in words:
        assert word in str(caught.value)


def test_no_arguments_may_be_the_empty_text():
    @tool
    def ring() -> None:
        """Ring."""
    assert ring.parse('') == {}
    assert ring.spec.effect is Effect.STATE_CHANGING
    assert ring.spec.arguments_schema == {
        'type': 'object', 'properties': {}, 'additionalProperties': False}


@pytest.mark.parametrize('make, words', [
    (lambda: tool(lambda x: x, name='f'), 'x has no type annotation'),
    (lambda: tool(lambda: 1, name='Bad-Name'), 'Bad-Name'),
    (lambda: tool(lambda: 1, name='f', effect='harmless'), 'harmless'),
    (lambda: tool(lambda: 1, name='f', timeout_s=-1.0), 'timeout_s'),
    (lambda: tool(lambda: 1, name='f', examples=[('do', {'a': 1})]), 'a: is not known'),
])
def test_a_tool_that_cannot_be_is_refused_at_definition(make, words):
    with pytest.raises(ToolDefinitionError, match=words):
        make()


def test_parameters_without_a_json_form_are_refused():
    with pytest.raises(ToolDefinitionError, match="'threading.Event'"):
        @tool
        def hold(lock: threading.Event) -> None:
            """Hold."""


def test_a_generator_reports_and_returns():
    @tool
    def count(to: int) -> Generator[Progress, None, List[int]]:
        """Count."""
        for i in range(to):
            yield Progress(i / to, f'{i}')
        return list(range(to))

    seen = []
    assert count.run(count.parse({'to': 2}), ToolContext(report=seen.append)) == [0, 1]
    assert seen == [Progress(0.0, '0'), Progress(0.5, '1')]
    assert count.spec.result_schema == {'type': 'array', 'items': {'type': 'integer'}}


def test_a_cancelled_generator_is_closed():
    closed = []

    @tool
    def count() -> Generator[Progress, None, None]:
        """Count."""
        try:
            while True:
                yield Progress()
        finally:
            closed.append(True)

    context = ToolContext()
    context.cancel('enough')
    with pytest.raises(ToolCancelled, match='enough'):
        count.run({}, context)
    assert closed == [True]


def test_async_tools_and_async_generators():
    @tool
    async def nap(context: ToolContext) -> int:
        """Nap."""
        await context.sleep(0.0)
        return 7

    @tool
    async def steps():
        """Step."""
        yield Progress(0.5)
        yield {'done': True}

    seen = []
    assert nap.is_async and steps.is_async
    assert asyncio.run(nap.run_async({}, ToolContext())) == 7
    assert asyncio.run(steps.run_async({}, ToolContext(report=seen.append))) == {'done': True}
    assert seen == [Progress(0.5)]


def test_wait_wakes_on_cancel():
    context = ToolContext()
    ended = threading.Event()

    def work():
        with pytest.raises(ToolCancelled, match='stop'):
            context.wait(3600.0)
        ended.set()
    threading.Thread(target=work, daemon=True).start()
    context.cancel('stop')
    assert ended.wait(5.0)
    assert context.cancelled and context.cancel_reason == 'stop'


class SimulatedClock:
    simulated = True

    def __init__(self):
        self.time_s = 0.0

    def now_s(self):
        return self.time_s


def test_wait_follows_a_simulated_clock():
    clock = SimulatedClock()
    context = ToolContext(clock=clock)
    ended = threading.Event()
    thread = threading.Thread(target=lambda: (context.wait(100.0), ended.set()), daemon=True)
    thread.start()
    clock.time_s = 99.0
    context.wake()
    assert not ended.wait(0.05)
    while not ended.is_set():    # the thread may have begun its wait at 99 s
        clock.time_s += 101.0
        context.wake()
        ended.wait(0.05)


def test_methods_can_be_tools():
    class Lamp:
        def __init__(self):
            self.on = False

        @tool(name='switch_lamp')
        def switch(self, on: bool) -> str:
            """Switch the lamp."""
            self.on = on
            return 'done'

    lamp = Lamp()
    bound = lamp.switch
    assert bound.spec.name == 'switch_lamp'
    assert bound.run(bound.parse({'on': True}), ToolContext()) == 'done' and lamp.on
    assert Lamp().switch.run({'on': False}, ToolContext()) == 'done' and lamp.on


def test_results_have_a_json_form_or_say_why_not():
    assert json.loads(paint.result_json({'a': 'b'})) == {'a': 'b'}

    @tool
    def where() -> Point:
        """Tell."""
    assert json.loads(where.result_json(Point(x=1.0))) == {'x': 1.0, 'y': 0.0}
    assert json.loads(where.result_json('not a point')) == 'not a point'
    assert json.loads(where.result_json(float('nan'))) is None
    with pytest.raises(TypeError, match='Event'):
        where.result_json(threading.Event())


def test_docstring_styles():
    doc = parse_docstring("""Do it.

    :param place: where to
        do it
    :returns: something
    """)
    assert doc.description == 'Do it.' and doc.parameters == {'place': 'where to do it'}
    doc = parse_docstring("""Do it.

    Args:
        a (str): first: of all
        b: second
    More words.
    """)
    assert doc.parameters == {'a': 'first: of all', 'b': 'second'}
    assert doc.description == 'Do it. More words.'
    assert parse_docstring('').description == ''


def test_a_recursive_schema_keeps_its_definition():
    class Tree(pydantic.BaseModel):
        title: str
        children: List['Tree'] = []

    schema = tidy_schema(pydantic.create_model('M', tree=(Tree, ...)).model_json_schema())
    assert schema['properties']['tree'] == {'$ref': '#/$defs/Tree'}
    assert schema['$defs']['Tree']['properties']['title'] == {'type': 'string'}
