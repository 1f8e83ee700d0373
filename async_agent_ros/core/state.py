"""The kernel's state: plain data, changed only inside Kernel.step()."""
from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Set, Tuple

from async_agent_ros.core import effects
from async_agent_ros.core.events import Event
from async_agent_ros.core.ledger import Entry, Ledger, MAIN
from async_agent_ros.core.plan import Plan
from async_agent_ros.core.settings import Settings
from async_agent_ros.core.tools import canonical_json, ToolSpec
from async_agent_ros.core.words import Kind, Phase, State

NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Waiting:
    """Something that a generation must answer: words of the person, a result, a notification."""

    seq: int
    trigger: str
    """'speech', 'text', 'result', 'accepted', 'timer' or 'notification'."""
    stamp_ns: int
    speech_end_ns: int = 0
    declared_ns: int = 0
    depth: int = 0
    """Generations since the person's last word that led here."""
    turns: FrozenSet[str] = frozenset()

    @property
    def is_person(self) -> bool:
        """Tell whether the person said it."""
        return self.trigger in ('speech', 'text', 'converse')


@dataclass
class Stretch:
    """A stretch of an answer's text between calls; one assistant entry."""

    text: str = ''
    seq: Optional[int] = None
    segments: List['Segment'] = field(default_factory=list)

    @property
    def heard(self) -> str:
        """The text up to the first character that was not audible."""
        parts = []
        for segment in self.segments:
            parts.append(segment.text[:segment.heard_chars])
            if segment.heard_chars < len(segment.text):
                break
        return ''.join(parts)


@dataclass
class Segment:
    """A piece of text that was released to tts."""

    segment_id: int
    generation_id: int
    text: str
    interruptible: bool = True
    heard_chars: int = 0


@dataclass
class Answer:
    """One generation and its speech, from the request to the last audible sample."""

    generation_id: int
    epoch: int
    context_seq: int
    requested_ns: int
    waiting: Tuple[Waiting, ...] = ()
    generating: bool = True
    stretches: List[Stretch] = field(default_factory=list)
    calls: int = 0
    interruptible: bool = True
    instance: str = MAIN
    ids: Dict[str, str] = field(default_factory=dict)
    """What the model calls its calls in here (an id, or the tool's name) -> call id."""
    stamps_ns: Dict[str, int] = field(default_factory=dict)
    counts: Dict[str, float] = field(default_factory=dict)
    finish: Dict[str, Any] = field(default_factory=dict)
    partial: bool = False
    """It reacts to words that are not final; nothing of it is said."""
    outputs: List[Event] = field(default_factory=list)
    """What a draft has written so far."""

    @property
    def depth(self) -> int:
        """Generations since the person's last word, this one included."""
        if any(w.is_person for w in self.waiting):
            return 0
        return max((w.depth for w in self.waiting), default=0)

    @property
    def turns(self) -> FrozenSet[str]:
        """The Converse goals that this answers."""
        return frozenset().union(*(w.turns for w in self.waiting))

    @property
    def has_text(self) -> bool:
        """Tell whether anything was said in it."""
        return any(s.text.strip() for s in self.stretches)


@dataclass
class Call:
    """A call without a terminal record."""

    call_id: str
    spec: ToolSpec
    arguments: Mapping[str, Any]
    instance: str
    phase: Phase
    since_ns: int
    call_seq: int
    generation_id: int
    depth: int = 0
    turns: FrozenSet[str] = frozenset()
    built_in: bool = False
    """It runs inside the kernel."""
    cleared: bool = False
    """Past its gate: it may start as soon as operands and resources are there."""
    resolved: bool = False
    """The arguments hold values, no operands (any more)."""
    with_operands: bool = False
    confirmed: bool = False
    waits_for: str = ''
    targets: Tuple[str, ...] = ()
    """The calls that a `wait` waits for."""
    commit_seq: int = -1
    committed_ns: int = 0
    progress: float = -1.0
    text: str = ''
    progress_ns: int = 0
    silent: Optional[Answer] = None
    """The answer that wrote it where that said nothing: then its acceptance is worth a word."""
    cancel_asked: bool = False
    found: bool = True
    """False after a restart, until its executor has answered for it."""
    joins: str = ''
    """The equal call whose result this one shares (duplicate policy `join`)."""
    joined: Tuple[str, ...] = ()

    @property
    def canonical(self) -> Tuple[str, str]:
        """What makes two calls equal."""
        return self.spec.name, canonical_json(self.arguments)

    @property
    def executing(self) -> bool:
        """Tell whether it was sent for execution."""
        return self.phase in (Phase.COMMITTED, Phase.RUNNING, Phase.CANCELLING)


@dataclass
class Instance:
    """A helper that works in the background; the conversation with the person is not in here."""

    name: str
    parent: str
    call_id: str
    """The fork or spawn call whose result is its report."""
    depth: int
    tools: Tuple[str, ...] = ()
    """The tools that it may call; empty: all."""
    active: Optional[int] = None
    waiting: List[Waiting] = field(default_factory=list)
    steps: int = 0
    report: str = ''


@dataclass(frozen=True)
class Assumption:
    """What the person seems to say."""

    utterance_id: str
    text: str
    words: Tuple[str, ...]
    whole: bool = False
    """Nothing more is being said: this may be all."""


@dataclass
class Draft:
    """What the agent would do if the assumption were all that the person says."""

    assumption: Assumption
    epoch: int
    context_seq: int
    answers: List[int] = field(default_factory=list)
    """Its generations; the later ones go on with the results of early calls."""
    planned: Dict[int, List[str]] = field(default_factory=dict)
    """By generation: which planned call each call is that it wrote, in order."""
    complete: bool = False
    """There is nothing more to do before the words are final."""
    prepared: bool = False


@dataclass
class Stream:
    """An utterance that enters the context while it is spoken."""

    utterance_id: str
    first_seq: int
    sent: str = ''
    seen: bool = False
    """The model has finished its reaction to all that was sent."""
    generations: Set[int] = field(default_factory=set)
    ids: Dict[str, str] = field(default_factory=dict)
    """What the model calls its calls in this utterance -> call id."""
    final: bool = False
    """The words are final: what they led to is work like any other."""
    answer: int = 0
    """The generation that answers the final words, 0 before."""
    past_edits: bool = False
    """What is being written has gone on from its edits to something new."""
    settled: bool = False
    """The model has read the final words and edits what it had planned before no more."""


@dataclass
class Cut:
    """A stop whose last word from the sink is still out."""

    reason: str
    scope: str
    answers: Set[int]
    segments: Set[int]


@dataclass(frozen=True)
class Words:
    """What the person said, ready for the ledger."""

    text: str
    source: str
    stamp_ns: int
    speech_end_ns: int = 0
    declared_ns: int = 0
    utterance_id: str = ''
    request_id: str = ''


@dataclass
class Turn:
    """A Converse goal under way."""

    request_id: str
    wait_for_calls: bool
    first_seq: int = -1
    reply: List[str] = field(default_factory=list)
    heard: List[str] = field(default_factory=list)
    error_code: int = 0
    error_msg: str = ''


@dataclass
class KernelState:
    """Everything that the kernel knows. Effects of the running step collect in `out`."""

    session: str = ''
    settings: Settings = field(default_factory=Settings)
    ledger: Ledger = field(default_factory=Ledger)
    now_ns: int = 0
    running: bool = False
    epoch: int = 0
    phase: State = State.IDLE
    storage_ok: bool = True
    paused: bool = False
    voice: bool = False
    """Whether a tts is there; without one, text counts as delivered when it is released."""

    catalogue: Dict[str, ToolSpec] = field(default_factory=dict)
    server_of: Dict[str, str] = field(default_factory=dict)
    refusals: Set[str] = field(default_factory=set)

    calls: Dict[str, Call] = field(default_factory=dict)
    ended_calls: Dict[str, str] = field(default_factory=dict)
    """Terminal status of every call that has ended."""
    result_seqs: Dict[str, int] = field(default_factory=dict)
    """Where the result of an ended call stands."""
    next_call: int = 1
    call_ended: bool = False
    """A call has ended in this step: others may have waited for it."""
    executions: Dict[str, List[int]] = field(default_factory=dict)
    """When the tools with a limited rate began of late."""
    instances: Dict[str, Instance] = field(default_factory=dict)
    """Living helpers, oldest first."""
    next_instance: int = 1
    grouping: bool = False
    """A result has come; others may follow at once and are told with it."""
    changed: bool = False
    """Something of the calls that AgentState shows has changed in this step."""

    next_generation: int = 1
    active: Optional[int] = None
    """The generation that the dispatcher works on."""
    answers: Dict[int, Answer] = field(default_factory=dict)
    segments: Dict[int, Segment] = field(default_factory=dict)
    next_segment: int = 1
    held: List[Tuple[int, str]] = field(default_factory=list)
    """(generation_id, text) that waits while the person has the floor."""

    speaking: Dict[str, int] = field(default_factory=dict)
    """Utterances that go on: id -> onset."""
    awaited: Dict[str, Tuple[int, int]] = field(default_factory=dict)
    """Utterances without a final transcript: id -> (true end, declared end)."""
    waiting: List[Waiting] = field(default_factory=list)
    deferred: List[Words] = field(default_factory=list)
    """Words of the person that enter the ledger after what they cut off."""
    cut: Optional[Cut] = None
    assumption: Optional[Assumption] = None
    """What the next draft is to be about."""
    draft: Optional[Draft] = None
    drafted_ns: int = 0
    """When the latest draft began."""
    plan: Optional[Plan] = None
    """Of the latest utterance."""
    next_early: int = 1
    dropped: Dict[int, Plan] = field(default_factory=dict)
    """Drafts that were aborted and whose token count is still to come."""
    stream: Optional[Stream] = None
    guesses: Dict[str, Tuple[bool, ...]] = field(default_factory=dict)
    """Of each tool: which of its latest guessed reads were right."""
    guessed_badly: Set[str] = field(default_factory=set)
    """Tools that are not executed early for now."""
    retrying: bool = False
    failures: int = 0
    """Generations in a row that no dispatcher took."""
    turns: Dict[str, Turn] = field(default_factory=dict)
    out: List[effects.Effect] = field(default_factory=list)

    @property
    def person_has_floor(self) -> bool:
        """Tell whether the person speaks or was just heard."""
        return bool(self.speaking or self.awaited)

    def emit(self, effect: effects.Effect) -> None:
        """Add an effect of this step."""
        self.out.append(effect)

    def append(self, kind: Kind, content: Any = '', **fields) -> Entry:
        """Write the next ledger entry; content that is not text becomes canonical JSON."""
        text = content if isinstance(content, str) else canonical_json(content)
        fields.setdefault('instance', MAIN)
        entry = Entry(seq=self.ledger.next_seq, stamp_ns=self.now_ns, kind=kind, content=text,
                      epoch=self.epoch, **fields)
        self.ledger.append(entry)
        self.changed = self.changed or bool(entry.call_id)
        self.emit(effects.Append(entry))
        return entry

    def set_timer(self, timer_id: str, after_s: float) -> None:
        """Have TimerFired(timer_id) come after `after_s` seconds."""
        self.emit(effects.SetTimer(timer_id, self.now_ns + round(after_s * NS_PER_S)))

    def clear_timer(self, timer_id: str) -> None:
        """Forget a timer."""
        self.emit(effects.ClearTimer(timer_id))

    def ignore(self, reason: str, *details: str) -> None:
        """Note that the event changed nothing, and why."""
        self.emit(effects.Ignored(reason, details))
