"""
What a recorded run did: its turns, its executed calls, its voice.

All of it follows from stepping the recorded events through the kernel once more and watching the
effects, so that nothing has to be guessed from times.
"""
from dataclasses import dataclass, field
import statistics
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

from async_agent_ros.core import effects, events
from async_agent_ros.core.kernel import Kernel
from async_agent_ros.core.ledger import Entry, Ledger, MAIN
from async_agent_ros.core.state import NS_PER_S
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Kind
from async_agent_ros.record.history import History
from async_agent_ros.watch.speculation import DRAFT, Speculation, total

BUILT_IN_SERVER = 'agent'


@dataclass
class RecordedCall:
    """A call that was sent to its tool, and what came back; times in seconds since then."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    started_ns: int
    progress: List[Tuple[float, float, str]] = field(default_factory=list)
    """(seconds, progress, text)"""
    duration_s: float = 0.0
    status: str = ''
    """'' when the recording ended before the call."""
    error_code: int = 0
    error_msg: str = ''
    result: Any = None


@dataclass
class Turn:
    """Something that the person said, and all that came of it."""

    text: str
    source: str
    seq: int
    start_ns: int
    """True end of the person's speech, or arrival of the text."""
    text_s: Optional[float] = None
    """Seconds until the first words of an answer were there."""
    audio_s: Optional[float] = None
    """Seconds until the first of them was audible."""
    calls: List[Dict[str, Any]] = field(default_factory=list)
    answers: List[str] = field(default_factory=list)
    interrupted: bool = False
    speculation: Speculation = Speculation()
    """What was done before the words were final."""

    @property
    def latency_s(self) -> Optional[float]:
        """Seconds until the person heard something, or read it where there is no voice."""
        return self.audio_s if self.audio_s is not None else self.text_s

    def to_json(self) -> Dict[str, Any]:
        """Return a JSON object; times in seconds."""
        return {'latency_s': _rounded(self.latency_s), 'text_s': _rounded(self.text_s),
                'audio_s': _rounded(self.audio_s), 'calls': self.calls,
                'answer': ' '.join(self.answers), 'interrupted': self.interrupted,
                'speculation': self.speculation._asdict()}


def _rounded(value: Optional[float]) -> Optional[float]:
    return None if value is None else round(value, 3)


@dataclass
class Voice:
    """How the recorded voice spoke."""

    first_audio_s: float = 0.0
    """From the release of a text to its first audible sample, median."""
    chars_per_s: float = 0.0
    """0: heard whole at once, as on a screen."""


class Run:
    """Steps a history and gathers what happened. Entries, turns and calls are in order."""

    def __init__(self, history: History):
        self.history = history
        self.turns: List[Turn] = []
        self.calls: List[RecordedCall] = []
        self.specs: Dict[str, ToolSpec] = {}
        """Every tool that was ever in the catalogue, the built-in ones apart."""
        self.voice: Optional[Voice] = None
        self._turn_of: Dict[int, Turn] = {}
        self._turn_of_call: Dict[str, Turn] = {}
        self._generation_of_call: Dict[str, int] = {}
        self._executed: Dict[str, RecordedCall] = {}
        self._said: Dict[int, Tuple[int, int, str]] = {}    # segment -> stamp, generation, text
        self._heard_ns: Dict[int, int] = {}
        self._first_audio_s: List[float] = []
        self._speeds: List[float] = []
        self._spoken = False
        self._drafts: Set[int] = set()
        """Generations on words that are not final; one that is used gets its turn later."""
        self._early: List[Entry] = []
        """Entries of such generations in a context that grows with the words (mode stream)."""
        self._speech_end_ns = 0
        kernel = Kernel(Ledger(history.earlier))
        for entry in history.earlier:
            self._on_entry(kernel, entry)
        for event in history.events:
            self._before(kernel, event)
            for effect in kernel.step(event):
                self._on_effect(kernel, event, effect)
        if self._spoken:
            self.voice = Voice(_median(self._first_audio_s), _median(self._speeds))

    # -- events -----------------------------------------------------------------------------------
    def _before(self, kernel: Kernel, event: events.Event) -> None:
        if isinstance(event, events.TextGenerated):
            turn = self._turn_of.get(event.generation_id)
            running = kernel.state.active == event.generation_id
            if turn is not None and running and turn.text_s is None and event.text.strip():
                turn.text_s = (event.stamp_ns - turn.start_ns) / NS_PER_S
        elif isinstance(event, events.SpeechStopped):
            self._speech_end_ns = event.speech_end_ns
        elif isinstance(event, events.SpeechProgressed):
            self._on_progress(event)
        elif isinstance(event, events.PeerChanged):
            self._spoken |= event.peer == 'tts' and event.alive
        elif isinstance(event, (events.CallProgressed, events.CallEnded)):
            call = self._executed.get(event.call_id)
            if call is not None and not call.status:
                after_s = (event.stamp_ns - call.started_ns) / NS_PER_S
                if isinstance(event, events.CallProgressed):
                    call.progress.append((after_s, event.progress, event.text))
                else:
                    call.duration_s, call.status = after_s, event.status
                    call.error_code, call.error_msg = event.error_code, event.error_msg
                    call.result = event.result

    def _on_progress(self, event: events.SpeechProgressed) -> None:
        released_ns, generation_id, text = self._said.get(event.segment_id, (0, 0, ''))
        if not released_ns:
            return
        at_ns = event.at_ns or event.stamp_ns
        if event.state == 'started':
            self._heard_ns[event.segment_id] = at_ns
            turn = self._turn_of.get(generation_id)
            if turn is not None and turn.audio_s is None:
                turn.audio_s = (at_ns - turn.start_ns) / NS_PER_S
            first = min((s for s, v in self._said.items() if v[1] == generation_id))
            if first == event.segment_id:    # the others wait for those before them
                self._first_audio_s.append((at_ns - released_ns) / NS_PER_S)
        elif event.state == 'finished' and event.segment_id in self._heard_ns:
            spoken_s = (at_ns - self._heard_ns[event.segment_id]) / NS_PER_S
            # At once, as on a screen, is a speed too: none.
            self._speeds.append(len(text) / spoken_s if spoken_s > 0.05 else 0.0)

    # -- effects ----------------------------------------------------------------------------------
    def _on_effect(self, kernel: Kernel, event: events.Event, effect: effects.Effect) -> None:
        if isinstance(effect, effects.Append):
            self._on_entry(kernel, effect.entry)
        elif isinstance(effect, effects.Generate) and effect.speculative:
            self._drafts.add(effect.generation_id)
        elif isinstance(effect, effects.Generate):
            self._on_generate(kernel, effect.generation_id)
        elif isinstance(effect, effects.TurnMeasured):
            turn, made = self._turn_of.get(effect.generation_id), Speculation.of(
                {**effect.counts, 'speculation_paused': effect.speculation_paused})
            if turn is not None and effect.complete and made.made:
                turn.speculation = total([turn.speculation, made])
        elif isinstance(effect, effects.Say):
            if self._adopt(kernel, effect.generation_id):
                turn = self._turn_of[effect.generation_id]
                turn.text_s = (event.stamp_ns - turn.start_ns) / NS_PER_S
            self._said[effect.segment_id] = (event.stamp_ns, effect.generation_id, effect.text)
        elif isinstance(effect, effects.Execute):
            call = RecordedCall(effect.call_id, effect.spec.name, effect.arguments,
                                event.stamp_ns)
            self._executed[effect.call_id] = call
            self.calls.append(call)

    def _adopt(self, kernel: Kernel, generation_id: int) -> bool:
        """Give a draft that the conversation uses its turn; tell whether it was a draft."""
        if generation_id not in self._drafts or not self.turns:
            return False
        self._drafts.discard(generation_id)
        turn = self.turns[-1]
        if turn.source == 'speech' and self._speech_end_ns:
            turn.start_ns = self._speech_end_ns
        self._turn_of[generation_id] = turn
        return True

    def _on_generate(self, kernel: Kernel, generation_id: int) -> None:
        answer = kernel.state.answers.get(generation_id)
        waiting = answer.waiting if answer is not None else ()
        turn = self.turns[-1] if self.turns else None
        persons = [w for w in waiting if w.is_person]
        if persons:
            last = max(persons, key=lambda w: w.seq)
            turn = next((t for t in self.turns if t.seq == last.seq), turn)
            if turn is not None and last.speech_end_ns:
                turn.start_ns = last.speech_end_ns
        else:
            for each in waiting:
                entry = kernel.state.ledger[each.seq]
                turn = self._turn_of_call.get(entry.call_id, turn)
        if turn is not None:
            self._turn_of[generation_id] = turn

    def _on_entry(self, kernel: Kernel, entry: Entry) -> None:
        if entry.instance == MAIN and entry.generation_id in self._drafts:
            if entry.kind in (Kind.CALL, Kind.ASSISTANT) and not self._streams(kernel, entry):
                self._adopt(kernel, entry.generation_id)
            elif entry.kind == Kind.CALL:
                self._early.append(entry)
        if entry.kind == Kind.RESULT and any(e.call_id == entry.call_id for e in self._early):
            self._early.append(entry)
        if entry.kind == Kind.USER and entry.name == 'partial':
            return
        if entry.kind == Kind.USER:
            self.turns.append(Turn(entry.content, entry.name, entry.seq, entry.stamp_ns))
            early, self._early = self._early, []
            for each in early:
                if each.kind == Kind.CALL:
                    self._turn_of[each.generation_id] = self.turns[-1]
                    self._on_call(each)
                else:
                    self._on_result(each)
        elif entry.kind == Kind.SYSTEM and entry.name == 'tools':
            change = entry.data
            if change.get('server') != BUILT_IN_SERVER:
                for value in change.get('added', ()):
                    self.specs[value['name']] = ToolSpec.from_json(value)
        elif entry.kind == Kind.CALL:
            self._on_call(entry)
        elif entry.kind == Kind.RESULT:
            self._on_result(entry)
        elif entry.kind == Kind.ASSISTANT and entry.instance == MAIN and entry.content.strip():
            turn = self._turn_of.get(entry.generation_id)
            if turn is not None:
                turn.answers.append(entry.content.strip())
        elif entry.kind == Kind.INTERRUPT:
            turn = self._turn_of.get(entry.generation_id)
            if turn is not None:
                turn.interrupted = True

    def _streams(self, kernel: Kernel, entry: Entry) -> bool:
        """Tell whether an entry was written while the person was still speaking."""
        answer = kernel.state.answers.get(entry.generation_id)
        return answer is not None and answer.partial

    def _on_call(self, entry: Entry) -> None:
        turn = self._turn_of.get(entry.generation_id)
        if turn is None or entry.instance == DRAFT:
            return
        self._turn_of_call[entry.call_id] = turn
        arguments = entry.data.get('arguments', {})
        for call in turn.calls:
            if call['call_id'] == entry.call_id:    # an edit
                call['name'], call['arguments'] = entry.name, arguments
                return
        turn.calls.append({'call_id': entry.call_id, 'name': entry.name, 'arguments': arguments,
                           'status': '', 'elapsed_s': None})

    def _on_result(self, entry: Entry) -> None:
        data = entry.data
        turn = self._turn_of_call.get(entry.call_id)
        for call in turn.calls if turn is not None else ():
            if call['call_id'] == entry.call_id:
                call['status'], call['elapsed_s'] = str(entry.status), data.get('elapsed_s')
        executed = self._executed.get(entry.call_id)
        if executed is not None and not executed.status:    # lost, or given up by the kernel
            executed.status = str(entry.status)
            executed.duration_s = (entry.stamp_ns - executed.started_ns) / NS_PER_S
            executed.error_msg, executed.result = data.get('error_msg', ''), data.get('result')


def _median(values: List[float]) -> float:
    return statistics.median(values) if values else 0.0
