"""
The @tool decorator: a typed Python function becomes a tool with a JSON Schema.

Knows nothing of ROS, so tools can be imported, called and tested like any other function.
ToolServer (server.py) puts them on the ROS graph.
"""
import asyncio
import collections.abc
import inspect
import json
import types
import typing
from dataclasses import replace
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Tuple, Union

import pydantic
import pydantic_core

from async_agent_ros.core.tools import Example, ToolSpec
from async_agent_ros.core.words import Busy, Duplicates, Effect
from async_agent_ros.tools.context import InvalidArguments, Progress, ToolCancelled, ToolContext
from async_agent_ros.tools.docstrings import parse_docstring
from async_agent_ros.tools.schemas import tidy_schema


class ToolDefinitionError(TypeError):
    """The function cannot be made into a tool; the message says why."""


def _hints(function) -> Dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as error:
        raise ToolDefinitionError(
            f'the annotations of {function.__qualname__} cannot be resolved: {error}') from error


def _result_annotation(annotation):
    """Return the type of the value that the call ends with, or None when undeclared."""
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin in (collections.abc.Generator, collections.abc.Iterator, collections.abc.Iterable,
                  collections.abc.AsyncGenerator, collections.abc.AsyncIterator,
                  collections.abc.AsyncIterable):
        if origin is collections.abc.Generator and len(arguments) == 3:
            return arguments[2]
        return None
    if annotation in (None, type(None), inspect.Signature.empty, Any):
        return None
    return annotation


def _is_context(annotation) -> bool:
    # Optional too: Python 3.10 makes that of a parameter whose default is None
    origin = typing.get_origin(annotation)
    if origin in (Union, types.UnionType):
        kinds = [k for k in typing.get_args(annotation) if k is not type(None)]
        return len(kinds) == 1 and _is_context(kinds[0])
    return origin is None and inspect.isclass(annotation) and issubclass(annotation, ToolContext)


class Tool:
    """A function with its ToolSpec. Still callable like the function itself."""

    def __init__(self, function: Callable, *, name=None, description=None,
                 effect=Effect.STATE_CHANGING, motion=False, timeout_s=0.0, duplicates=None,
                 resources=(), when_busy=Busy.QUEUE, max_per_minute=0.0, cancel_on_barge_in=False,
                 wait_for_final=False, examples=()):
        self.function = function
        self.__doc__ = function.__doc__
        self.__name__ = name or function.__name__
        self.__wrapped__ = function
        self._bound: Tuple[Any, ...] = ()
        self._context_parameter: Optional[str] = None
        doc = parse_docstring(function.__doc__ or '')
        self._model = self._arguments_model(doc.parameters)
        hints = _hints(function)
        result = _result_annotation(hints.get('return'))
        try:
            result_schema = None if result is None else tidy_schema(
                pydantic.TypeAdapter(result).json_schema(mode='serialization'))
            self.spec = ToolSpec(
                name=self.__name__,
                description=description if description is not None else doc.description,
                arguments_schema=tidy_schema(self._model.model_json_schema()),
                result_schema=result_schema,
                effect=Effect(effect), timeout_s=float(timeout_s), motion=bool(motion),
                duplicates=Duplicates(duplicates) if duplicates else None,
                cancel_on_barge_in=bool(cancel_on_barge_in),
                wait_for_final=bool(wait_for_final), resources=tuple(resources),
                when_busy=Busy(when_busy), max_per_minute=float(max_per_minute),
                examples=tuple(_example(e) for e in examples))
        except (ValueError, pydantic.errors.PydanticUserError) as error:
            raise ToolDefinitionError(
                f'tool {self.__name__}: {_first_line(error)}') from error
        if max_per_minute < 0:
            raise ToolDefinitionError(f'tool {self.__name__}: max_per_minute is '
                                      f'{max_per_minute}; use 0.0 for no limit')
        if timeout_s < 0:
            raise ToolDefinitionError(
                f'tool {self.__name__}: timeout_s is {timeout_s}; use 0.0 for no limit')
        for example in self.spec.examples:
            try:
                self._model.model_validate(dict(example.arguments))
            except pydantic.ValidationError as error:
                raise ToolDefinitionError(
                    f'tool {self.__name__}: example {example.say!r} does not fit: '
                    f'{_explain(error)}') from error

    def _arguments_model(self, descriptions: Mapping[str, str]):
        hints = _hints(self.function)
        parameters = list(inspect.signature(self.function).parameters.values())
        if parameters and parameters[0].name == 'self':
            parameters = parameters[1:]
        fields = {}
        for parameter in parameters:
            annotation = hints.get(parameter.name, Any)
            if _is_context(annotation):
                self._context_parameter = parameter.name
                continue
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise ToolDefinitionError(
                    f'tool {self.__name__}: parameter {parameter.name} has no name for JSON; '
                    'use ordinary parameters')
            if parameter.name not in hints:
                raise ToolDefinitionError(
                    f'tool {self.__name__}: parameter {parameter.name} has no type annotation')
            default = (... if parameter.default is parameter.empty else parameter.default)
            field = pydantic.Field(default, description=descriptions.get(parameter.name))
            if isinstance(default, pydantic.fields.FieldInfo):
                field = default
            fields[parameter.name] = (annotation, field)
        try:
            return pydantic.create_model(
                f'{self.__name__}_arguments', __config__=pydantic.ConfigDict(extra='forbid'),
                **fields)
        except (pydantic.errors.PydanticUserError, NameError) as error:
            raise ToolDefinitionError(
                f'tool {self.__name__}: {_first_line(error)}') from error

    def __get__(self, instance, owner=None):
        """Bind to an instance, as a method is."""
        if instance is None:
            return self
        bound = object.__new__(Tool)
        bound.__dict__.update(self.__dict__)
        bound._bound = (instance,)
        return bound

    def __call__(self, *args, **kwargs):
        """Call the function itself."""
        return self.function(*self._bound, *args, **kwargs)

    def __repr__(self):
        return f'<tool {self.spec.name}>'

    @property
    def is_async(self) -> bool:
        """Whether it runs on the server's asyncio loop rather than in a thread of its own."""
        return (inspect.iscoroutinefunction(self.function)
                or inspect.isasyncgenfunction(self.function))

    def with_spec(self, **changes) -> 'Tool':
        """Return the same tool with other fields of its spec, e.g. name or effect."""
        other = object.__new__(Tool)
        other.__dict__.update(self.__dict__)
        other.spec = replace(self.spec, **changes)
        return other

    def parse(self, arguments: Any) -> Dict[str, Any]:
        """
        Return the keyword arguments for the function, validated and converted.

        `arguments` is a JSON text or an already parsed value. Raises InvalidArguments.
        """
        if isinstance(arguments, (str, bytes)):
            try:
                arguments = json.loads(arguments or '{}')
            except ValueError as error:
                raise InvalidArguments(f'the arguments are not JSON: {error}') from None
        if not isinstance(arguments, dict):
            raise InvalidArguments(
                f'the arguments must be a JSON object, not {json.dumps(arguments)[:80]}')
        try:
            model = self._model.model_validate(arguments)
        except pydantic.ValidationError as error:
            raise InvalidArguments(_explain(error)) from None
        return {name: getattr(model, name) for name in type(model).model_fields}

    def run(self, arguments: Mapping[str, Any], context: ToolContext) -> Any:
        """Run a sync tool with parsed arguments to its end, and return its value."""
        value = self.function(*self._bound, **self._with_context(arguments, context))
        if not inspect.isgenerator(value):
            return value
        last = None
        try:
            while True:
                try:
                    item = next(value)
                except StopIteration as stop:
                    return last if stop.value is None else stop.value
                if isinstance(item, Progress):
                    context.report(item.progress, item.text)
                else:
                    last = item
                context.check_cancelled()
        finally:
            value.close()

    async def run_async(self, arguments: Mapping[str, Any], context: ToolContext) -> Any:
        """Run an async tool with parsed arguments to its end, and return its value."""
        value = self.function(*self._bound, **self._with_context(arguments, context))
        try:
            if not inspect.isasyncgen(value):
                return await value
            last = None
            async for item in value:
                if isinstance(item, Progress):
                    context.report(item.progress, item.text)
                else:
                    last = item
                context.check_cancelled()
            return last
        except asyncio.CancelledError:
            raise ToolCancelled(context.cancel_reason or 'cancelled') from None

    @staticmethod
    def result_json(value: Any) -> str:
        """
        Return the JSON text of a result; raises TypeError when it has none.

        The declared type makes the schema but does not filter the value: what the tool says
        is passed on whole.
        """
        try:
            return pydantic_core.to_json(value, inf_nan_mode='null').decode()
        except pydantic_core.PydanticSerializationError as error:
            raise TypeError(
                f'the result of type {type(value).__name__} has no JSON form: {error}') from None

    def _with_context(self, arguments, context):
        arguments = dict(arguments)
        if self._context_parameter is not None:
            arguments[self._context_parameter] = context
        return arguments


def _example(value) -> Example:
    if isinstance(value, Example):
        return value
    say, arguments = value
    return Example(say, dict(arguments))


def _first_line(error) -> str:
    return str(error).splitlines()[0]


def _explain(error: pydantic.ValidationError) -> str:
    problems = []
    for item in error.errors(include_url=False):
        place = '.'.join(str(part) for part in item['loc']) or 'arguments'
        problem = {'missing': 'is required', 'extra_forbidden': 'is not known'}.get(
            item['type'], item['msg'][:1].lower() + item['msg'][1:])
        if item['type'] not in ('missing', 'extra_forbidden'):
            problem += f', not {json.dumps(item["input"], default=str)[:80]}'
        problems.append(f'{place}: {problem}')
    return '; '.join(problems)


def tool(function: Optional[Callable] = None, *, name: Optional[str] = None,
         description: Optional[str] = None, effect: Union[Effect, str] = Effect.STATE_CHANGING,
         motion: bool = False, timeout_s: float = 0.0,
         duplicates: Union[Duplicates, str, None] = None, resources: Iterable[str] = (),
         when_busy: Union[Busy, str] = Busy.QUEUE, max_per_minute: float = 0.0,
         cancel_on_barge_in: bool = False, wait_for_final: bool = False,
         examples: Iterable = ()):
    """
    Make a typed function a tool.

    :param name: defaults to the function's name, [a-z][a-z0-9_]*.
    :param description: defaults to the docstring without its parameter lines.
    :param effect: 'read_only' (may run early and for nothing), 'state_changing' or 'confirm'
        (needs the person's yes). Undeclared counts as state-changing.
    :param motion: it moves the robot, so a stop word cancels it.
    :param timeout_s: seconds until it counts as failed; 0.0 is no limit.
    :param duplicates: what becomes of a call that equals a running one: 'allow', 'reject',
        'join' or 'replace'.
    :param resources: names of what it holds while it runs, e.g. ['base'].
    :param when_busy: what becomes of a call while another one holds its resources: 'queue',
        'refuse' or 'replace' (the other one is cancelled).
    :param max_per_minute: executions in any 60 s, more are refused; 0.0 is no limit.
    :param cancel_on_barge_in: cancel it whenever the person interrupts.
    :param wait_for_final: a read-only tool that may not begin before the person has finished,
        because a call that is guessed early would give its arguments away.
    :param examples: pairs of what a person says and the arguments that it should lead to.
    Raises ToolDefinitionError, at import, for a function that has no schema.
    """
    options = {'name': name, 'description': description, 'effect': effect, 'motion': motion,
               'timeout_s': timeout_s, 'duplicates': duplicates, 'resources': tuple(resources),
               'when_busy': when_busy, 'max_per_minute': max_per_minute,
               'cancel_on_barge_in': cancel_on_barge_in, 'wait_for_final': wait_for_final,
               'examples': tuple(examples)}
    if function is not None:
        return Tool(function, **options)
    return lambda decorated: Tool(decorated, **options)
