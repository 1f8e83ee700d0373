"""
What a window or terminal shows of an agent, without either and without ROS: snapshots of a view.

It asks for a snapshot ten times a second, whatever the agent does meanwhile, so that a
burst of messages costs it nothing; it gets only the ledger entries that it has not seen.
"""
from collections import deque
from dataclasses import dataclass, field, replace
import time
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Set, Tuple

from async_agent_ros.watch.speculation import Speculation
from async_agent_ros.watch.view import AgentView, Call, Line, NS_PER_S, to_ns

STATES = ('idle', 'listening', 'generating', 'emitting')
KINDS = ('system', 'user', 'assistant', 'call', 'commit', 'retract', 'result', 'notification',
         'interrupt', 'fork', 'spawn', 'end')
STAGES = (('end_of_turn_s', 'end of turn'), ('recognition_s', 'recognition'),
          ('to_generate_s', 'to generation'), ('first_token_s', 'first token'),
          ('first_sentence_s', 'first sentence'), ('first_audio_s', 'first audio'))
"""Stages of TurnMetrics whose sum is the response, in order, and their names."""

TRANSITIONS = 30
TURNS = 40
LINES = 1000
"""Kept for a snapshot; what comes faster than it is shown is left out."""


class Row(NamedTuple):
    """A ledger entry as the table shows it."""

    seq: int
    seconds: float
    """Since the first entry."""
    kind: str
    instance: str
    call_id: str
    name: str
    status: str
    content: str

    def matches(self, hidden_kinds: Set[str], instance: str, words: str) -> bool:
        """
        Tell whether it is shown: kinds not hidden, the instance, all the words.

        '' is every instance, '!name' all but that one.
        """
        if self.kind in hidden_kinds or self.instance == instance[1:] and instance[:1] == '!':
            return False
        if instance[:1] not in ('', '!') and self.instance != instance:
            return False
        if not words:
            return True
        text = ' '.join((self.kind, self.call_id, self.name, self.status, self.content)).lower()
        return all(word in text for word in words.lower().split())


class Transition(NamedTuple):
    """A change of state: ROS time (nanoseconds), from, to, seconds that the former lasted."""

    stamp_ns: int
    before: str
    after: str
    lasted_s: float


class TurnBar(NamedTuple):
    """The latency of one answer, seconds; stages that did not happen are 0."""

    turn_id: int
    trigger: str
    response_s: float
    stages_s: Tuple[float, ...]
    interrupted: bool
    speculation: Speculation = Speculation()


@dataclass
class Snapshot:
    """How it stands now, and what is new."""

    session: str = ''
    alive: bool = False
    state: str = ''
    state_s: float = 0.0
    epoch: int = 0
    paused: bool = False
    person: str = ''
    """What the person says now, or said last."""
    robot: str = ''
    """What the robot says now."""
    heard_chars: int = 0
    cleared: bool = False
    """Another session: the rows that were there are gone."""
    rows: List[Row] = field(default_factory=list)
    """Entries since the last snapshot."""
    calls: List[Call] = field(default_factory=list)
    elapsed_s: Dict[str, float] = field(default_factory=dict)
    """Seconds since each running call entered the ledger."""
    transitions: List[Transition] = field(default_factory=list)
    turns: List[TurnBar] = field(default_factory=list)
    lines: List[Line] = field(default_factory=list)
    """What happened since the last snapshot, for people."""


class Feed:
    """
    Turns a view into snapshots. `take` and `on_lines` may be called from different threads.

    The view is read under `lock`, which its writer holds only while it folds in one message.
    """

    def __init__(self, view: AgentView, lock: Any, *, alive: Callable[[], bool] = lambda: True,
                 clock: Callable[[], float] = time.monotonic):
        self._view, self._lock = view, lock
        self._alive, self._clock = alive, clock
        self._session = ''
        self._seen = 0
        self._latest: Tuple[int, float] = (0, 0.0)
        self._transitions: Deque[Transition] = deque(maxlen=TRANSITIONS)
        self._state: Optional[Tuple[str, int]] = None
        self._start_ns = 0
        self._lines: Deque[Line] = deque(maxlen=LINES)

    def on_lines(self, lines: List[Line]) -> None:
        """Keep the lines, and note the changes of state among them."""
        self._lines.extend(lines)
        for line in lines:
            if line.lane != 'state':
                continue
            if self._state is not None:
                before, since_ns = self._state
                self._transitions.append(Transition(
                    line.stamp_ns, before, line.text,
                    max(0, line.stamp_ns - since_ns) / NS_PER_S))
            self._state = (line.text, line.stamp_ns)

    def _now_ns(self) -> int:
        """Give the agent's time: its newest stamp, going on with the clock of this machine."""
        if self._view.latest_ns != self._latest[0]:
            self._latest = (self._view.latest_ns, self._clock())
        latest_ns, at_s = self._latest
        return latest_ns + round((self._clock() - at_s) * NS_PER_S) if latest_ns else 0

    def take(self) -> Snapshot:
        """Return how it stands, and the rows since the last time."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        with self._lock:
            view, now_ns = self._view, self._now_ns()
            out = Snapshot(
                session=view.session, alive=self._alive(), state=view.state, epoch=view.epoch,
                state_s=max(0, now_ns - view.state_since_ns) / NS_PER_S if view.state else 0.0,
                paused=view.playback_paused, transitions=list(self._transitions), lines=lines)
            self._take_rows(out)
            self._take_speech(out)
            # what nobody has asked for stands last
            for call in sorted(view.running_calls, key=lambda call: call.early):
                out.calls.append(replace(call))
                out.elapsed_s[call.call_id] = (
                    max(0, now_ns - call.called_ns) / NS_PER_S if call.called_ns else 0.0)
            out.turns = [_bar(m) for m in list(view.metrics.values())[-TURNS:]
                         if m.response_s >= 0]
        return out

    def _take_rows(self, out: Snapshot) -> None:
        ledger = self._view.ledger
        session = ledger[-1].session if ledger else self._session
        if session != self._session or len(ledger) < self._seen:
            out.cleared = bool(self._session)
            self._session, self._seen = session, 0
            if out.cleared:
                self._transitions.clear()
                out.transitions = []
        if ledger and not self._seen:
            self._start_ns = to_ns(ledger[0].stamp)
        for entry in ledger[self._seen:]:
            out.rows.append(Row(
                int(entry.seq), (to_ns(entry.stamp) - self._start_ns) / NS_PER_S, entry.kind,
                entry.instance, entry.call_id, entry.name, entry.status, entry.content))
        self._seen = len(ledger)

    def _take_speech(self, out: Snapshot) -> None:
        view = self._view
        last = next(reversed(view.utterances.values()), None) if view.utterances else None
        if view.person_speaking:
            out.person = '● ' + (last.text if last and not last.final else '')
        else:    # typed words and spoken ones both end in the ledger
            out.person = next((e.content for e in reversed(view.ledger)
                               if e.kind == 'user' and e.name != 'partial'),
                              last.text if last is not None else '')
        playing = view.playing
        if playing is not None:
            out.robot, out.heard_chars = playing.text, playing.heard_chars


def _bar(m: Any) -> TurnBar:
    return TurnBar(int(m.turn_id), m.trigger, float(m.response_s),
                   tuple(max(0.0, float(getattr(m, name))) for name, _ in STAGES),
                   bool(m.interrupted), Speculation.of(m))


def nice_ceiling(value: float) -> float:
    """Return the end of an axis: the next of 1, 2 or 5 times a power of ten; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 1.0
    while power > value:
        power /= 10.0
    while power * 10.0 <= value:
        power *= 10.0
    for factor in (1.0, 2.0, 5.0, 10.0):
        if value <= power * factor * 1.0001:
            return power * factor
    return power * 10.0
