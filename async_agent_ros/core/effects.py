"""Effects: all that the kernel ever asks for. The manager carries them out in order."""
from dataclasses import dataclass, field
from typing import Any, Mapping, Tuple

from async_agent_ros.core.ledger import Entry
from async_agent_ros.core.tools import ToolSpec


@dataclass(frozen=True)
class Effect:
    """Base of all effects."""


@dataclass(frozen=True)
class Append(Effect):
    """The entry stands in the ledger: make it durable, then publish it."""

    entry: Entry


@dataclass(frozen=True)
class Generate(Effect):
    """Start a generation; its prompt holds the entries with seq < context_seq."""

    generation_id: int
    epoch: int
    context_seq: int
    instance: str
    speculative: bool = False
    """It yields to everything else."""
    assumed: Tuple[Entry, ...] = ()
    """Entries to follow in the prompt, as the ledger may come to hold them."""
    tell_begun: bool = False
    """Tell the beginnings of lines: a plan waits until the model goes on to something else."""


@dataclass(frozen=True)
class AbortGeneration(Effect):
    """End a generation that is not needed any more."""

    generation_id: int


@dataclass(frozen=True)
class Interrupt(Effect):
    """Pause, resume or stop; see Interrupt.msg."""

    action: str
    epoch: int
    scope: str = 'speech'
    reason: str = ''


@dataclass(frozen=True)
class Say(Effect):
    """Speak a piece of text."""

    segment_id: int
    generation_id: int
    epoch: int
    text: str
    interruptible: bool = True


@dataclass(frozen=True)
class Prepare(Effect):
    """Have the sound of a text ready, if nothing else is to do: it may be said soon."""

    epoch: int
    text: str


@dataclass(frozen=True)
class Execute(Effect):
    """Run a call: its commit entry is written."""

    call_id: str
    instance: str
    spec: ToolSpec
    arguments: Mapping[str, Any]
    commit_seq: int


@dataclass(frozen=True)
class FindCall(Effect):
    """Ask whether a call that ran when the manager died still runs, or how it ended."""

    call_id: str
    instance: str
    spec: ToolSpec
    commit_seq: int


@dataclass(frozen=True)
class CancelCall(Effect):
    """Cancel a call that was sent for execution; its terminal status still comes."""

    call_id: str
    retract_seq: int


@dataclass(frozen=True)
class SetTimer(Effect):
    """Send TimerFired(timer_id) at `at_ns` or later; replaces a timer of the same id."""

    timer_id: str
    at_ns: int


@dataclass(frozen=True)
class ClearTimer(Effect):
    """Forget a timer; harmless when there is none."""

    timer_id: str


@dataclass(frozen=True)
class StateChanged(Effect):
    """Something of the visible state changed: publish it."""


@dataclass(frozen=True)
class TurnEnded(Effect):
    """What a Converse goal waits for: its turn is over. `error_code` as in Converse.action."""

    request_id: str
    error_code: int
    error_msg: str
    reply: str
    heard: str
    first_seq: int
    next_seq: int


@dataclass(frozen=True)
class TurnMeasured(Effect):
    """Latencies of an answer, nanoseconds since the session clock's epoch; 0 where none."""

    generation_id: int
    trigger: str
    complete: bool
    interrupted: bool
    stamps_ns: Mapping[str, int] = field(default_factory=dict)
    """speech_end, declared, trigger, requested, first_token, first_sentence, first_audio."""
    counts: Mapping[str, float] = field(default_factory=dict)
    """prompt_tokens, cached_tokens, output_tokens, decode_s, calls; Plan.counts(), early."""
    speculation_paused: Tuple[str, ...] = ()
    """Tools whose guesses were wrong too often."""


@dataclass(frozen=True)
class Ignored(Effect):
    """The event changed nothing, and why: stale, late or unknown. For logs at debug level."""

    reason: str
    details: Tuple[str, ...] = ()
