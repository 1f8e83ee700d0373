"""
Events: all that the kernel ever learns about the world.

Each is a frozen dataclass of JSON values; `stamp_ns` is the ROS time at which the manager took
note of it. Stepping the same events in the same order gives the same ledger, byte for byte.
"""
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Dict, Mapping, Tuple, Type


@dataclass(frozen=True)
class Event:
    """Base of all events."""

    PRIORITY: ClassVar[int] = 3
    """0 stop and interrupt, 1 the person, 2 own output, 3 results and notifications, 4 timers."""

    stamp_ns: int

    def to_json(self) -> Dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)


# -- the session ----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Started(Event):
    """The manager starts, or starts again with the entries of an earlier life in its ledger."""

    PRIORITY: ClassVar[int] = 0
    session: str = ''
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of core.settings.Settings that differ from the default."""


@dataclass(frozen=True)
class SettingsChanged(Event):
    """Somebody has set parameters of the kernel while the session runs."""

    PRIORITY: ClassVar[int] = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    """As in Started."""


@dataclass(frozen=True)
class StorageChanged(Event):
    """The ledger can (again) or cannot be written to disk."""

    PRIORITY: ClassVar[int] = 0
    writable: bool = True
    message: str = ''


@dataclass(frozen=True)
class Stopping(Event):
    """The manager shuts down in good order."""

    PRIORITY: ClassVar[int] = 0


# -- interruption ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class InterruptRequested(Event):
    """Somebody (a button, another node) asks the agent to stop."""

    PRIORITY: ClassVar[int] = 0
    scope: str = 'speech'
    reason: str = ''


@dataclass(frozen=True)
class CancelRequested(Event):
    """Somebody (a button) asks one call to stop; what is said goes on."""

    PRIORITY: ClassVar[int] = 0
    call_id: str = ''
    reason: str = ''


# -- the person -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class SpeechStarted(Event):
    """The person's sound began; whether it is words is not known yet."""

    PRIORITY: ClassVar[int] = 1
    utterance_id: str = ''


@dataclass(frozen=True)
class SpeechStopped(Event):
    """The end of the utterance was declared; `speech_end_ns` is its true end."""

    PRIORITY: ClassVar[int] = 1
    utterance_id: str = ''
    speech_end_ns: int = 0


@dataclass(frozen=True)
class TranscriptUpdated(Event):
    """A revision of what was recognised. An empty final one: nothing was understood."""

    PRIORITY: ClassVar[int] = 1
    utterance_id: str = ''
    revision: int = 0
    text: str = ''
    stable_chars: int = 0
    final: bool = False


@dataclass(frozen=True)
class UserText(Event):
    """Text that counts as an utterance; `request_id` is the Converse goal that sent it, if any."""

    PRIORITY: ClassVar[int] = 1
    text: str = ''
    source: str = 'text'
    request_id: str = ''
    wait_for_calls: bool = False


# -- own output -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class FirstToken(Event):
    """The engine has produced the first token of a generation."""

    PRIORITY: ClassVar[int] = 2
    generation_id: int = 0
    epoch: int = 0


@dataclass(frozen=True)
class LineBegun(Event):
    """The model begins a line: text, or the call of an id. Removals are told when whole."""

    PRIORITY: ClassVar[int] = 2
    generation_id: int = 0
    epoch: int = 0
    call_id: str = ''


@dataclass(frozen=True)
class TextGenerated(Event):
    """A sentence or clause of the answer is complete."""

    PRIORITY: ClassVar[int] = 2
    generation_id: int = 0
    epoch: int = 0
    text: str = ''


@dataclass(frozen=True)
class CallGenerated(Event):
    """The JSON of a call is complete. An empty call_id leaves the numbering to the kernel."""

    PRIORITY: ClassVar[int] = 2
    generation_id: int = 0
    epoch: int = 0
    call_id: str = ''
    name: str = ''
    arguments: Any = field(default_factory=dict)


@dataclass(frozen=True)
class CallRemoved(Event):
    """The model withdraws a call."""

    PRIORITY: ClassVar[int] = 2
    generation_id: int = 0
    epoch: int = 0
    call_id: str = ''


@dataclass(frozen=True)
class OutputRejected(Event):
    """The model wrote something that cannot be parsed."""

    PRIORITY: ClassVar[int] = 2
    generation_id: int = 0
    epoch: int = 0
    raw: str = ''
    reason: str = ''


@dataclass(frozen=True)
class GenerationEnded(Event):
    """The engine is done. `error_code` is as in Generate.action; counts are 0 when unknown."""

    PRIORITY: ClassVar[int] = 2
    generation_id: int = 0
    epoch: int = 0
    finish_reason: str = 'stop'
    error_code: int = 0
    error_msg: str = ''
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    decode_s: float = 0.0


@dataclass(frozen=True)
class SpeechProgressed(Event):
    """The sink reports on a segment; `state` is as in SpeechProgress.msg."""

    PRIORITY: ClassVar[int] = 2
    segment_id: int = 0
    state: str = ''
    heard_chars: int = 0
    at_ns: int = 0
    error_msg: str = ''


# -- tools ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ToolsAnnounced(Event):
    """A server tells which tools it has now (ToolSpec.to_json() each)."""

    server: str = ''
    tools: Tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class ToolServerLost(Event):
    """A server left (`stopped`) or has given no sign of life within its lease."""

    server: str = ''
    stopped: bool = False


@dataclass(frozen=True)
class CallAccepted(Event):
    """The tool's server has accepted the goal."""

    call_id: str = ''


@dataclass(frozen=True)
class CallProgressed(Event):
    """Feedback of a running call; progress 0.0 to 1.0, -1.0 unknown."""

    call_id: str = ''
    progress: float = -1.0
    text: str = ''


@dataclass(frozen=True)
class CallEnded(Event):
    """The terminal status of an executed call: succeeded, failed, cancelled or lost."""

    call_id: str = ''
    status: str = 'succeeded'
    error_code: int = 0
    error_msg: str = ''
    result: Any = None


@dataclass(frozen=True)
class PeerChanged(Event):
    """A node of the agent ('asr', 'tts', 'dispatcher') came or vanished."""

    peer: str = ''
    alive: bool = True


# -- time -----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class TimerFired(Event):
    """A timer that the kernel set has expired."""

    PRIORITY: ClassVar[int] = 4
    timer_id: str = ''


TYPES: Dict[str, Type[Event]] = {
    cls.__name__: cls for cls in (
        Started, SettingsChanged, StorageChanged, Stopping, InterruptRequested,
        CancelRequested, SpeechStarted, SpeechStopped, TranscriptUpdated, UserText,
        FirstToken, LineBegun, TextGenerated, CallGenerated, CallRemoved, OutputRejected,
        GenerationEnded, SpeechProgressed, ToolsAnnounced, ToolServerLost, CallAccepted,
        CallProgressed, CallEnded, PeerChanged, TimerFired)}
"""Every event type by name; a test checks that none is missing."""


def from_json(name: str, value: Mapping[str, Any]) -> Event:
    """Invert to_json(); raises KeyError for an unknown type, TypeError for unknown fields."""
    cls = TYPES[name]
    if cls is ToolsAnnounced:
        value = {**value, 'tools': tuple(value.get('tools', ()))}
    return cls(**value)
