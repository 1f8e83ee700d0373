"""A world of tools that take their time and then answer: latencies are drawn once per call."""
import random
from typing import Any, Callable, Mapping, Tuple

from async_agent_ros.bench.workloads import Job, Refused
from async_agent_ros.core.tools import canonical_json

LATENCY_S = (0.5, 1.0)
"""Between which the latency of a tool is drawn, as in arXiv 2605.13360."""


class Store:
    """A world without motion: functions of the arguments, and a state that some of them change."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]], state: Any, seed: int,
                 latency_s: Tuple[float, float] = LATENCY_S):
        self._functions = functions
        self._state = state
        self._seed = seed
        self._latency_s = latency_s

    def begin(self, tool: str, arguments: Mapping[str, Any], now_s: float) -> Job:
        """Start a tool. Equal calls of a seed take equally long, whoever asks and when."""
        draw = random.Random(f'{self._seed} {tool} {canonical_json(arguments)}')
        return Job(tool, arguments, now_s + draw.uniform(*self._latency_s))

    def end(self, job: Job, now_s: float) -> Any:
        """Call the tool's function; a KeyError is a thing that is not there."""
        try:
            return self._functions[job.tool](self._state, **job.arguments)
        except KeyError as error:
            raise Refused(f'there is no {error.args[0]}') from None

    def cancel(self, job: Job, now_s: float) -> None:
        """Nothing has happened yet."""

    def state(self) -> Any:
        """Return what the tools have changed."""
        return self._state
