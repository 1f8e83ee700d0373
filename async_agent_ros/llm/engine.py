"""What an engine is: it streams the text of one generation and stops within one token."""
import threading
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping, Protocol, Sequence


PAUSE_PENALTY = 0.7
"""
Taken from the logit of `<pause>` in a reaction: a call is written when the model finds it at least
half as likely as to wait for more words. A read that is called too early costs a moment's
computing, one that is called late the person waits for; but a plan that is made too early is not
always taken back, so it is no more than that (docs/speculation.md).
"""


class EngineError(Exception):
    """The engine cannot do what is asked. The message names the thing and the remedy."""


class ModelMissingError(EngineError):
    """No model is there. The message says how to get one."""


@dataclass
class GenerationStats:
    """Filled in by the engine while it works; times in seconds, -1.0 or 0 when unknown."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    finish_reason: str = ''


@dataclass(frozen=True)
class GenerationRequest:
    """One generation: the whole prompt as text, for the context of one agent instance."""

    instance: str
    prompt: str
    max_tokens: int = 256
    stop: Sequence[str] = ('<|im_end|>',)
    tools: Sequence[Any] = ()
    """ToolSpecs that calls are constrained to, where the engine can."""
    next_call: int = 0
    """The number that the first call has in its id, 0: the model says which."""
    reacts: bool = False
    """It is a reaction to words that go on: the output may be `<pause>`, nothing yet."""
    guess: str = ''
    """What the output may begin with: an engine that can checks it faster than it writes."""
    stats: GenerationStats = field(default_factory=GenerationStats)


@dataclass(frozen=True)
class EngineInfo:
    """For diagnostics and result files."""

    engine: str
    model: str
    device: str
    context_tokens: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


class Engine(Protocol):
    """A language model. Methods are called from worker threads, never from a ROS callback."""

    def load(self) -> None:
        """Load the weights; raises ModelMissingError or EngineError."""

    def info(self) -> EngineInfo:
        """Describe what is loaded."""

    def stream(self, request: GenerationRequest, abort: threading.Event) -> Iterator[str]:
        """
        Yield pieces of text as they are decoded, without the stop string.

        Ends soon (one token, or one prefill chunk) after `abort` is set. The engine keeps the
        KV cache of each instance and prefills only what differs from its last prompt and output.
        Raises EngineError when it fails.
        """

    def forget(self, instance: str) -> None:
        """Drop the cache of an instance that has ended."""

    def close(self) -> None:
        """Free the weights."""
