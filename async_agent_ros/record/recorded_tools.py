"""Tools that answer as they did in a recorded run: same results, same progress, same duration."""
from dataclasses import replace
import json
import threading
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from async_agent_ros.core.tools import canonical_json, ToolSpec
from async_agent_ros.core.words import Effect, Error
from async_agent_ros.record.runs import RecordedCall
from async_agent_ros.tools.context import ToolCancelled, ToolContext, ToolError
from async_agent_ros.tools.sdk import Tool

CANCEL_GRACE_S = 10.0
"""
A call that was cancelled in the recording waits this much longer than it did there for being
cancelled again; how it would have ended, the recording does not tell.
"""


class RecordedCalls:
    """The recorded calls that have not been given out yet. Thread-safe."""

    def __init__(self, calls: Sequence[RecordedCall]):
        self._left: Dict[str, List[RecordedCall]] = {}
        self._counts: Dict[str, int] = {}
        for call in calls:
            self._left.setdefault(call.name, []).append(call)
            self._counts[call.name] = self._counts.get(call.name, 0) + 1
        self._answers: Dict[Tuple[str, str], RecordedCall] = {}
        self._lock = threading.Lock()
        self.remarks: List[str] = []
        """What was answered by another call's result, or not at all."""

    def take(self, name: str, arguments: Mapping[str, Any],
             read_only: bool = False) -> RecordedCall:
        """
        Return the first unused call with these arguments, else the next of that tool.

        What only reads gets the latest equal result again before it gets another one: an agent
        that speculates looks more often. Raises ToolError when the recording holds no further one.
        """
        wanted = canonical_json(arguments)
        with self._lock:
            left = self._left.get(name, [])
            for call in left:
                if canonical_json(call.arguments) == wanted:
                    left.remove(call)
                    if call.status == 'succeeded':
                        self._answers[name, wanted] = call
                    return call
            count = self._counts.get(name, 0)
            again = self._answers.get((name, wanted)) if read_only else None
            if again is not None:
                return again    # to look a second time changes nothing
            if not left:
                self.remarks.append(f'{name}({wanted}) has no recorded result')
                raise ToolError(f'the recording holds no result for this call: {name} was called '
                                f'{count} time{"" if count == 1 else "s"} there')
            call = left.pop(0)
            self.remarks.append(f'{name}({wanted}) was answered with the recorded result of '
                                f'{name}({canonical_json(call.arguments)})')
            return call


class RecordedTool(Tool):
    """A tool of a recorded run. Its spec is the recorded one; `calls` are shared by all tools."""

    is_async = False

    def __init__(self, spec: ToolSpec, calls: RecordedCalls):
        self.spec = spec
        self.__name__ = spec.name
        self.__doc__ = spec.description
        self._calls = calls

    def with_spec(self, **changes) -> 'RecordedTool':
        """Return the same tool with other fields of its spec."""
        return RecordedTool(replace(self.spec, **changes), self._calls)

    def parse(self, arguments: Any) -> Dict[str, Any]:
        """Return the arguments; they were checked against the schema by the agent."""
        return json.loads(arguments or '{}')

    def run(self, arguments: Mapping[str, Any], context: ToolContext) -> Any:
        """Report what was reported, when it was, and end as the recorded call ended."""
        call = self._calls.take(self.spec.name, arguments,
                                self.spec.effect is Effect.READ_ONLY)
        since_s = 0.0
        try:
            for at_s, progress, text in call.progress:
                context.wait(max(0.0, at_s - since_s))
                since_s = max(since_s, at_s)
                context.report(progress, text)
            context.wait(max(0.0, call.duration_s - since_s))
            if call.status == 'cancelled':
                context.wait(CANCEL_GRACE_S)
        except ToolCancelled as error:
            if call.status == 'cancelled':
                raise ToolCancelled(call.error_msg or str(error), call.result) from None
            raise
        if call.status == 'succeeded':
            return call.result
        if call.status in ('failed', 'lost'):
            raise ToolError(call.error_msg or f'the recorded call {call.status}',
                            call.error_code or Error.TOOL_FAILED, call.result)
        how = (f'it was cancelled after {call.duration_s:.1f} s' if call.status == 'cancelled'
               else 'the recording ends before it')
        raise ToolError(f'the recording does not tell how this call would have ended: {how}')
