"""What the tools of the bridge have in common: ToolSpec, arguments to message, result to JSON."""
import asyncio
import copy
import dataclasses
import json
from typing import Any, Dict

from async_agent_ros.core.chatml_text import tool_line
from async_agent_ros.core.tools import Example, ToolSpec
from async_agent_ros.core.words import Busy, Duplicates
from async_agent_ros.tools.bridge.config import Entry
from async_agent_ros.tools.bridge.options import apply_arguments, apply_result, OptionError
from async_agent_ros.tools.bridge.options import raw_paths
from async_agent_ros.tools.bridge.shapes import LONGEST, message_shape
from async_agent_ros.tools.bridge.values import FieldError, Surroundings
from async_agent_ros.tools.context import InvalidArguments, ToolCancelled, ToolContext
from async_agent_ros.tools.sdk import Tool

TELLING = ('error_msg', 'error_message', 'error_string', 'message', 'status_message', 'text')
"""Fields of results that say why something failed, in the order in which they are looked for."""

LONGEST_REASON = 400
LONGEST_LINE = 1500
"""Characters of a tool in the prompt that are worth a warning."""

_SPEC_FIELDS = {f.name for f in dataclasses.fields(ToolSpec)}


class BridgedTool(Tool):
    """
    A tool whose work is done elsewhere on the ROS graph.

    Runs on the asyncio loop of its server; whatever touches rclpy is handed to the executor's
    thread. Raises OptionError or InterfaceError when file and interface do not go together.
    """

    is_async = True
    """As Tool.is_async; there is no function to look at."""

    patience_s = 0.0
    """How much later than the tool itself the agent gives up on a call with a time limit."""

    def __init__(self, entry: Entry, argument_class, result_class, surroundings: Surroundings):
        self.entry = entry
        self._surroundings = surroundings
        self.arguments = self._arguments_shape(entry, argument_class)
        self.result = self._result_shape(entry, result_class)
        self.spec = self._spec(entry)
        self.__name__ = entry.name
        for example in self.spec.examples:
            problem = self.spec.check_arguments(dict(example.arguments))
            if problem:
                raise OptionError(f'example {example.say!r} does not fit: {problem}')

    def _arguments_shape(self, entry, cls):
        shape = message_shape(cls, arguments=True, raw=raw_paths(entry.arguments),
                              frame=entry.frame)
        try:
            apply_arguments(shape, entry.arguments)
        except OptionError as error:
            raise OptionError(f'arguments.{error}') from None
        return shape

    def _result_shape(self, entry, cls):
        shape = message_shape(cls, raw=frozenset(entry.result.get('raw', ())),
                              longest=entry.result.get('longest', LONGEST))
        try:
            apply_result(shape, only=entry.result.get('only', ()),
                         hidden=entry.result.get('hidden', ()))
        except OptionError as error:
            raise OptionError(f'result.{error}') from None
        return shape

    def _spec(self, entry) -> ToolSpec:
        options = dict(entry.options)
        if options.get('duplicates'):
            options['duplicates'] = Duplicates(options['duplicates'])
        if options.get('when_busy'):
            options['when_busy'] = Busy(options['when_busy'])
        options['resources'] = tuple(map(str, options.get('resources', ())))
        return ToolSpec(
            name=entry.name, description=entry.description or self.derived_description(),
            arguments_schema=self.arguments_schema(), result_schema=None, effect=entry.effect,
            timeout_s=entry.timeout_s + self.patience_s if entry.timeout_s else 0.0,
            examples=tuple(Example(e['say'], e['arguments']) for e in entry.examples),
            **{k: v for k, v in options.items() if k in _SPEC_FIELDS})

    def arguments_schema(self) -> Dict[str, Any]:
        """Return the JSON Schema of the arguments."""
        return self.arguments.schema()

    def derived_description(self) -> str:
        """Return a description where the file has none."""
        return f'Use the {self.entry.what}.'

    @property
    def burden(self) -> str:
        """What is to be said about a tool that takes too much of the prompt; '' if it does not."""
        length = len(tool_line(self.spec))
        if length <= LONGEST_LINE:
            return ''
        return (f'takes {length} characters of the prompt, which makes the agent slow and a small '
                'model err: hide or fix arguments that it need not know')

    def open(self, node, handover) -> None:
        """Create what is needed on the ROS graph. In the executor's thread, or before it runs."""

    def look(self) -> str:
        """Look at the graph, now and then, in the executor's thread; return what is missing."""
        return ''

    # What a ToolServer asks of a tool

    def with_spec(self, **changes):
        """Return the same tool with other fields of its spec."""
        other = copy.copy(self)
        other.spec = dataclasses.replace(self.spec, **changes)
        return other

    def __call__(self, *args, **kwargs):
        """Refuse: there is no function."""
        raise TypeError(f'{self.entry.name} bridges the {self.entry.what}; call it through its '
                        'tool server')

    def parse(self, arguments: Any) -> Any:
        """Return the message for the arguments (JSON text or value). Raises InvalidArguments."""
        if isinstance(arguments, (str, bytes)):
            try:
                arguments = json.loads(arguments or '{}')
            except ValueError as error:
                raise InvalidArguments(f'the arguments are not JSON: {error}') from None
        if not isinstance(arguments, dict):
            raise InvalidArguments(
                f'the arguments must be a JSON object, not {json.dumps(arguments)[:80]}')
        return self.message_of(arguments)

    def message_of(self, arguments: Dict[str, Any]) -> Any:
        """Return what run_async() takes."""
        try:
            return self.arguments.to_ros(arguments, '', self._surroundings)
        except FieldError as error:
            raise InvalidArguments(str(error)) from None

    async def run_async(self, arguments: Any, context: ToolContext) -> Any:
        """Do the call; a cancel comes as asyncio.CancelledError."""
        try:
            return await self.call(arguments, context)
        except asyncio.CancelledError:
            raise ToolCancelled(context.cancel_reason or 'cancelled') from None

    async def call(self, message: Any, context: ToolContext) -> Any:
        """Do the work; returns a JSON value."""
        raise NotImplementedError


def reason_in(result: Any) -> str:
    """Return why it failed, as the fields of a result tell it; '' if they do not."""
    if not isinstance(result, dict):
        return ''
    for name in TELLING:
        text = result.get(name)
        if isinstance(text, str) and text.strip():
            return text.strip()[:LONGEST_REASON]
    for inner in result.values():
        text = reason_in(inner)
        if text:
            return text
    codes = {k: v for k, v in result.items()
             if k.startswith(('error', 'status')) and isinstance(v, (int, str)) and v}
    return ', '.join(f'{k} {v}' for k, v in codes.items())
