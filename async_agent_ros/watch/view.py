"""
What an observer knows about a running agent: a fold over the messages of its topics.

No ROS in here: apply() takes any objects with the fields of the messages, so a live agent and a
bag look the same. It returns what happened as lines of text, one per event worth telling.
"""
import json
from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional

from async_agent_ros.watch.speculation import DRAFT

NS_PER_S = 1_000_000_000

ONSET_TEXT = '(speech)'
"""Told when the person begins, before it is known what is said."""


class Line(NamedTuple):
    """One event for people: when (ROS time, nanoseconds), in which lane, what."""

    stamp_ns: int
    lane: str
    text: str


@dataclass
class Segment:
    """A piece of speech of the robot and what became of it."""

    segment_id: int
    generation_id: int = 0
    text: str = ''
    state: str = 'queued'
    heard_chars: int = 0
    played_s: float = 0.0
    duration_s: float = -1.0
    said_ns: int = 0
    started_ns: int = 0
    ended_ns: int = 0
    pauses: List[List[int]] = field(default_factory=list)
    """[held from, until] in nanoseconds; until is 0 while it is held."""

    @property
    def audible(self) -> bool:
        """Whether it plays now."""
        return self.state in ('started', 'playing', 'resumed')

    @property
    def ended(self) -> bool:
        """Whether nothing more of it will be heard."""
        return self.state in ('finished', 'stopped', 'failed')


@dataclass
class Utterance:
    """Something that the person said, as the recogniser has it."""

    utterance_id: str
    onset_ns: int = 0
    end_ns: int = 0
    text: str = ''
    final: bool = False
    final_ns: int = 0


@dataclass
class Call:
    """A tool call of the ledger."""

    call_id: str
    name: str
    instance: str = 'main'
    arguments: Any = None
    phase: str = 'pending'
    progress: float = -1.0
    feedback: str = ''
    status: str = ''
    """Terminal status, '' until there is one."""
    result: Any = None
    error: str = ''
    called_ns: int = 0
    started_ns: int = 0
    ended_ns: int = 0
    in_ledger: bool = False
    used_by: str = ''
    """The call that took the result of this early one."""

    @property
    def early(self) -> bool:
        """Whether it is a read on words that were not final: nobody has asked for it yet."""
        return self.instance == DRAFT


def to_ns(stamp: Any) -> int:
    """Return a builtin_interfaces/Time as nanoseconds."""
    return stamp.sec * NS_PER_S + stamp.nanosec


def compact(value: Any, limit: int = 60) -> str:
    """Return a JSON value as short text: 'room=kitchen, speed=0.5'."""
    if isinstance(value, dict):
        text = ', '.join(f'{k}={compact(v, limit)}' for k, v in value.items())
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[:limit - 1] + '…'


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {}


def content_of(entry: Any) -> Dict[str, Any]:
    """Return the JSON object in a ledger entry, {} when it holds something else."""
    value = _json(entry.content)
    return value if isinstance(value, dict) else {}


@dataclass
class AgentView:
    """The state of one agent as seen from outside."""

    session: str = ''
    state: str = ''
    state_since_ns: int = 0
    epoch: int = 0
    generation_id: int = 0
    playback_paused: bool = False
    person_speaking: bool = False
    utterances: Dict[str, Utterance] = field(default_factory=dict)
    segments: Dict[int, Segment] = field(default_factory=dict)
    calls: Dict[str, Call] = field(default_factory=dict)
    ledger: List[Any] = field(default_factory=list)
    metrics: Dict[int, Any] = field(default_factory=dict)
    interrupts: List[Any] = field(default_factory=list)
    tools: Dict[str, List[str]] = field(default_factory=dict)
    latest_ns: int = 0
    """The newest stamp of all messages: the present, also in simulated time or of a bag."""

    def apply(self, topic: str, message: Any) -> List[Line]:
        """Take in one message of the topic (last part of its name); unknown ones are ignored."""
        handler = getattr(self, '_on_' + topic.rsplit('/', 1)[-1], None)
        if handler is None:
            return []
        stamp = getattr(message, 'stamp', None)
        if stamp is not None:
            self.latest_ns = max(self.latest_ns, to_ns(stamp))
        return handler(message)

    def new_session(self) -> None:
        """Forget what belonged to a session that is over; its tools and state are told anew."""
        for part in (self.utterances, self.segments, self.calls, self.ledger, self.metrics,
                     self.interrupts):
            part.clear()
        self.latest_ns = 0

    @property
    def running_calls(self) -> List[Call]:
        """Calls without a terminal record, oldest first."""
        return [call for call in self.calls.values() if not call.status]

    @property
    def playing(self) -> Optional[Segment]:
        """The segment that is audible or paused now."""
        for segment in reversed(self.segments.values()):
            if segment.state in ('started', 'playing', 'resumed', 'paused'):
                return segment
        return None

    @property
    def quiet(self) -> bool:
        """Whether the agent has nothing left to say or to generate."""
        return (self.state == 'idle' and not self.person_speaking
                and all(s.ended for s in self.segments.values()))

    def _on_state(self, m):
        stamp = to_ns(m.stamp)
        changed = m.state != self.state
        self.session, self.epoch = m.session, m.epoch
        self.generation_id, self.playback_paused = m.generation_id, m.playback_paused
        if changed:
            self.state, self.state_since_ns = m.state, stamp
        for running in m.calls:
            call = self.calls.setdefault(running.call_id, Call(running.call_id, running.name))
            if call.status:
                continue
            call.phase, call.instance = running.phase, running.instance or call.instance
            call.progress = running.progress
            call.feedback = running.feedback
            call.called_ns = call.called_ns or to_ns(running.since)
            if call.arguments is None:
                call.arguments = _json(running.arguments_json)
        return [Line(stamp, 'state', m.state)] if changed else []

    def _on_speech_activity(self, m):
        utterance = self._utterance(m.utterance_id)
        utterance.onset_ns = to_ns(m.onset)
        if m.state == 'started':
            self.person_speaking = True
            return [Line(to_ns(m.stamp), 'person', ONSET_TEXT)]
        self.person_speaking = False
        utterance.end_ns = to_ns(m.end)
        return []

    def _on_transcript(self, m):
        utterance = self._utterance(m.utterance_id)
        changed = m.text != utterance.text
        utterance.text, utterance.final = m.text, m.final
        if m.final:
            utterance.final_ns = to_ns(m.stamp)
            return [Line(to_ns(m.stamp), 'person', m.text or '(nothing understood)')]
        return [Line(to_ns(m.stamp), 'person', m.text + ' …')] if changed else []

    def _utterance(self, utterance_id) -> Utterance:
        return self.utterances.setdefault(utterance_id, Utterance(utterance_id))

    def _on_say(self, m):
        if getattr(m, 'prepare', False):
            return []    # made ready, not said
        segment = self._segment(m)
        segment.text, segment.said_ns = m.text, to_ns(m.stamp)
        return []

    def _on_speech_progress(self, m):
        segment = self._segment(m)
        before, segment.state = segment.state, m.state
        stamp = to_ns(m.stamp)
        segment.heard_chars = max(segment.heard_chars, m.heard_chars)
        segment.played_s = max(segment.played_s, m.played_s)
        if m.duration_s >= 0:
            segment.duration_s = m.duration_s
        if m.state == 'paused':
            segment.pauses.append([stamp, 0])
        elif segment.pauses and not segment.pauses[-1][1]:
            segment.pauses[-1][1] = stamp
        if m.state == 'started':
            segment.started_ns = stamp
            return [Line(stamp, 'robot', segment.text.strip())]
        if segment.ended:
            segment.ended_ns = stamp
            if m.state == 'stopped' and before != 'queued':
                heard = segment.text[:segment.heard_chars].strip()
                return [Line(stamp, 'robot', f'… cut off, heard: "{heard}"')]
            if m.state == 'failed':
                return [Line(stamp, 'robot', f'failed: {m.error_msg}')]
        return []

    def _segment(self, m) -> Segment:
        return self.segments.setdefault(
            m.segment_id, Segment(m.segment_id, generation_id=m.generation_id))

    def _on_interrupt(self, m):
        self.interrupts.append(m)
        return [Line(to_ns(m.stamp), 'interrupt', f'{m.action} ({m.reason})')]

    def _on_metrics(self, m):
        first = m.turn_id not in self.metrics
        self.metrics[m.turn_id] = m
        if first and m.response_s >= 0:
            return [Line(to_ns(m.stamp), 'time', f'answered after {m.response_s:.2f} s')]
        return []

    def _on_tools(self, m):
        before = self.tools.get(m.server)
        now = [] if m.stopping else sorted(tool.name for tool in m.tools)
        self.tools[m.server] = now
        if now == (before or []):
            return []
        return [Line(to_ns(m.stamp), 'tools', f'{m.server}: {", ".join(now) or "left"}')]

    def _on_text_in(self, m):
        return []

    def _on_ledger(self, m):
        if self.ledger and m.session != self.ledger[-1].session:
            self.new_session()
        if self.ledger and m.seq <= self.ledger[-1].seq:
            return []
        self.session = m.session
        self.ledger.append(m)
        handler = getattr(self, '_entry_' + m.kind, None)
        text = handler(m, to_ns(m.stamp)) if handler else None
        if not text:
            return []
        lane = {'user': 'person', 'call': 'call', 'commit': 'call', 'retract': 'call',
                'result': 'call', 'notification': 'note', 'fork': 'helper', 'spawn': 'helper',
                'end': 'error' if m.generation_id else 'helper'}.get(m.kind, m.kind)
        if m.instance == DRAFT:
            lane = DRAFT
        return [Line(to_ns(m.stamp), lane, text)]

    def _call(self, m) -> Call:
        return self.calls.setdefault(m.call_id, Call(m.call_id, m.name, m.instance))

    def _entry_user(self, m, stamp):
        return m.content if m.name not in ('speech', 'partial') else None

    def _entry_call(self, m, stamp):
        call = self._call(m)
        edited, call.in_ledger = call.in_ledger, True
        call.name = m.name
        call.arguments = _json(m.content).get('arguments', {})
        call.called_ns = call.called_ns or stamp
        return f'{m.call_id} {m.name}({compact(call.arguments)})' + (' edited' if edited else '')

    def _entry_commit(self, m, stamp):
        call = self._call(m)
        call.started_ns = stamp
        if call.phase in ('pending', 'waiting', 'confirming'):
            call.phase = 'committed'

    def _entry_retract(self, m, stamp):
        self._call(m).phase = 'cancelling'
        return f'{m.call_id} withdrawn: {_json(m.content).get("reason", "")}'

    def _entry_notification(self, m, stamp):
        data = _json(m.content)
        if m.call_id and m.name in ('accepted', 'progress'):
            call = self._call(m)
            if not call.status:
                call.phase = 'running' if call.phase != 'cancelling' else call.phase
                call.progress = data.get('progress', call.progress)
                call.feedback = data.get('text', '') or call.feedback
            return None
        return f'{m.name}: {data.get("text", "")}'

    def _entry_result(self, m, stamp):
        call = self._call(m)
        data = _json(m.content)
        call.status, call.ended_ns, call.phase = m.status, stamp, ''
        call.result, call.error = data.get('result'), data.get('error_msg', '')
        taken_from = self.calls.get(data.get('taken_from', ''))
        if taken_from is not None:
            taken_from.used_by = call.call_id
        if call.status == 'succeeded':
            call.progress = 1.0
        detail = call.error or ('' if call.result is None else compact(call.result))
        return f'{m.call_id} {call.name} {m.status}' + (f': {detail}' if detail else '')

    def _entry_fork(self, m, stamp):
        return f'{m.instance} begins: {content_of(m).get("task", "")}'

    _entry_spawn = _entry_fork

    def _entry_end(self, m, stamp):
        data = content_of(m)
        if m.instance == DRAFT:
            meant = [data.get('text') or ''] + [
                f'{c.get("name")}({compact(c.get("arguments") or {})})'
                for c in data.get('calls') or ()]
            return (f'dropped, on "{data.get("assumed", "")}": '
                    + (' '.join(filter(None, meant)) or 'nothing yet'))
        if not m.generation_id and m.instance != 'main':
            report = data.get('report') or data.get('reason') or ''
            return f'{m.instance} {m.status}' + (f': {compact(report, 200)}' if report else '')
        if data.get('error_msg') and m.status == 'failed':
            return f'generation {m.generation_id} failed: {data["error_msg"]}'
        return None
