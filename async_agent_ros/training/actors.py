"""Who plays along in a simulated conversation: the pen, the person's mouth, tools, a voice."""
import re
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple

from async_agent_ros.core import effects, events
from async_agent_ros.core.chatml import Begun, Call, Parser, Rejected, Remove, Text
from async_agent_ros.core.words import Error
from async_agent_ros.training.catalogues import SimTool
from async_agent_ros.training.intents import Act, Intent

S = 1_000_000_000
STABLE_S = 0.3
"""A word that was heard so long ago does not change any more."""
LAG_S = 0.05
"""A recogniser needs so long."""
SILENT_S = 0.15
"""After so long a silence no word is going to change."""
_TOKEN = re.compile(r'\s?[^\W_]{1,5}|\s?[^\w\s]|_|\s')


def tokens(text: str) -> List[str]:
    """Return a text in pieces of about a token."""
    pieces = _TOKEN.findall(text)
    # what the pattern leaves out would be lost
    return pieces if ''.join(pieces) == text else list(text)


class Writing:
    """A generation under way: tokens at the token speed, through the parser, to the kernel."""

    def __init__(self, sim: Any, generation_id: int, epoch: int, text: str,
                 tell_begun: bool = False):
        self.sim = sim
        self.ids = {'generation_id': generation_id, 'epoch': epoch}
        self.parser = Parser(sim.format, tell_begun=tell_begun)
        self.pieces = tokens(text)
        self.count = len(self.pieces)

    def begin(self) -> None:
        """Schedule the first token."""
        self.sim.later(self.sim.rates.first_token_s, self._token)

    def _token(self) -> None:
        sim = self.sim
        if not sim.writes(self.ids['generation_id']):
            return
        if not self.pieces:
            for event in self.parser.finish():
                self._publish(event)
            sim.generating[self.ids['generation_id']] = False
            sim.step(events.GenerationEnded, output_tokens=self.count, **self.ids)
            return
        if len(self.pieces) == self.count:
            sim.step(events.FirstToken, **self.ids)
        for event in self.parser.feed(self.pieces.pop(0)):
            if sim.writes(self.ids['generation_id']):
                self._publish(event)
        sim.later(1.0 / sim.rates.tokens_per_s, self._token)

    def _publish(self, event) -> None:
        if isinstance(event, Text):
            self.sim.step(events.TextGenerated, text=event.text, **self.ids)
        elif isinstance(event, Call):
            self.sim.step(events.CallGenerated, name=event.name, call_id=event.id,
                          arguments=event.arguments, **self.ids)
        elif isinstance(event, Begun):
            self.sim.step(events.LineBegun, call_id=event.id, **self.ids)
        elif isinstance(event, Remove):
            self.sim.step(events.CallRemoved, call_id=event.id, **self.ids)
        elif isinstance(event, Rejected):
            raise ValueError(f'the planner wrote what cannot be parsed: {event.raw!r} '
                             f'({event.reason})')


class Utterance:
    """Words of the person: sound, partial transcripts at the speaking rate, the final one."""

    def __init__(self, sim: Any, utterance_id: str, intent: Intent):
        self.sim = sim
        self.id = utterance_id
        self.intent = intent
        self.revision = 0
        self.words: List[Tuple[float, str]] = []
        at_s, text = 0.0, ''
        for stage in intent.stages:
            for word in re.findall(r'\s*\S+', stage.words):
                text += word
                at_s += sim.rng.uniform(0.7, 1.4) / sim.rates.words_per_s
                self.words.append((at_s, text))
            at_s += stage.pause_s
        self.length_s = self.words[-1][0]

    def begin(self) -> None:
        """Let the sound begin."""
        sim = self.sim
        sim.step(events.SpeechStarted, utterance_id=self.id)
        rates = sim.rates
        end_s = self.length_s + rates.end_s
        if rates.by_word:
            times = [at_s + STABLE_S for at_s, _ in self.words]
        else:
            times = [rates.partial_s * i for i in range(1, int(end_s / rates.partial_s) + 1)]
        for at_s in times:
            if at_s + LAG_S < end_s:
                sim.later(at_s + LAG_S, self._partial(at_s))
        sim.later(end_s, self._end)

    def _partial(self, at_s: float) -> Callable[[], None]:
        heard = [text for s, text in self.words if s <= at_s]
        # a recogniser shows all of it as stable when the person has fallen silent
        silent = at_s - self.length_s > SILENT_S
        stable = [text for s, text in self.words if silent or s <= at_s - STABLE_S + 1e-6]

        def send():
            if heard and self.id in self.sim.kernel.state.speaking:
                text = heard[-1].rstrip('.,?')
                self.revision += 1
                self.sim.step(events.TranscriptUpdated, utterance_id=self.id, text=text,
                              revision=self.revision,
                              stable_chars=len(stable[-1].rstrip('.,?')) if stable else 0)
        return send

    def _end(self) -> None:
        sim = self.sim
        sim.step(events.SpeechStopped, utterance_id=self.id,
                 speech_end_ns=sim.now_ns - round(sim.rates.end_s * S))
        sim.later(sim.rates.transcript_s, self._final)

    def _final(self) -> None:
        text = self.intent.text
        self.sim.step(events.TranscriptUpdated, utterance_id=self.id, text=text, final=True,
                      revision=self.revision + 1, stable_chars=len(text))


class Run:
    """A call under way: accepted, progress, an end."""

    def __init__(self, sim: Any, call_id: str, tool: SimTool, act: Optional[Act],
                 arguments: Mapping[str, Any]):
        self.sim = sim
        self.call_id = call_id
        self.tool = tool
        back = {name: canonical for canonical, name in tool.names.items()}
        self.values = {back.get(k, k): v for k, v in arguments.items()}
        low, high = tool.concept.slow
        self.length_s = min(high, low * (high / low) ** sim.rng.random()) if low else high
        self.total = sim.rng.uniform(3.0, 30.0)
        self.fails = sim.fail_next or sim.rng.random() < sim.fail
        sim.fail_next = False

    def begin(self) -> None:
        """Let the server take the goal."""
        sim = self.sim
        sim.alive[self.call_id] = True
        sim.later(sim.rng.uniform(0.01, 0.1), lambda: self._if_alive(self._accepted))
        if self.fails:
            self.length_s *= sim.rng.uniform(0.2, 1.0)
        sim.later(0.1 + self.length_s, lambda: self._if_alive(self._end))
        if self.length_s > 2.0 and self.tool.concept.left:
            at_s = sim.rng.uniform(0.5, 1.5)
            while at_s < self.length_s:
                sim.later(0.1 + at_s, self._progress(at_s / self.length_s))
                at_s += sim.rng.uniform(0.5, 2.0)

    def _if_alive(self, what: Callable[[], None]) -> None:
        if self.sim.alive.get(self.call_id):
            what()

    def _accepted(self) -> None:
        self.sim.step(events.CallAccepted, call_id=self.call_id)

    def _progress(self, done: float) -> Callable[[], None]:
        unit = self.tool.concept.left
        if unit == 'percent':
            text = f'{done:.0%} done'.replace('%', ' percent')
        elif unit == 'minutes':
            text = f'{max(1, round(self.total * (1 - done)))} minutes left'
        else:
            text = f'{self.total * (1 - done):.1f} {unit} left'
        return lambda: self._if_alive(lambda: self.sim.step(
            events.CallProgressed, call_id=self.call_id, progress=round(done, 3), text=text))

    def _end(self) -> None:
        sim = self.sim
        sim.alive.pop(self.call_id)
        if self.fails:
            sim.step(events.CallEnded, call_id=self.call_id, status='failed',
                     error_code=Error.TOOL_FAILED, error_msg=sim.rng.choice(
                         self.tool.concept.fail))
        else:
            sim.step(events.CallEnded, call_id=self.call_id,
                     result=self.tool.result(sim.rng, self.values))


class Voice:
    """A voice that takes its time, can be paused and stopped, and tells what was heard."""

    def __init__(self, sim: Any):
        self.sim = sim
        self.queue: List[effects.Say] = []
        self.heard = 0.0
        self.started_ns = 0
        self.paused = False
        self.version = 0

    @property
    def speaking(self) -> bool:
        """Tell whether something is audible."""
        return bool(self.queue) and not self.paused

    def say(self, effect: effects.Say) -> None:
        """Queue a piece of text."""
        self.queue.append(effect)
        if len(self.queue) == 1:
            self._next()

    def _next(self) -> None:
        self.heard = 0.0
        if self.queue:
            segment_id = self.queue[0].segment_id
            version = self.version
            self.sim.later(0.15, lambda: version == self.version and self.sim.step(
                events.SpeechProgressed, segment_id=segment_id, state='started',
                at_ns=self.sim.now_ns))
            self._go_on()

    def _go_on(self) -> None:
        self.started_ns = self.sim.now_ns
        left = len(self.queue[0].text) - self.heard
        version = self.version
        self.sim.later(0.2 + left / self.sim.rates.chars_per_s, lambda: self._finished(version))

    def _finished(self, version: int) -> None:
        if version != self.version or not self.queue:
            return
        segment = self.queue.pop(0)
        self.sim.step(events.SpeechProgressed, segment_id=segment.segment_id, state='finished',
                      heard_chars=len(segment.text))
        if version == self.version:
            self._next()

    def interrupt(self, action: str) -> None:
        """Pause, resume or stop."""
        played = (self.sim.now_ns - self.started_ns) / S * self.sim.rates.chars_per_s
        if action == 'pause' and not self.paused:
            self.paused = True
            self.version += 1
            self.heard += played if self.queue else 0.0
        elif action == 'resume' and self.paused:
            self.paused = False
            if self.queue:
                self._go_on()
        elif action == 'stop':
            if not self.paused and self.queue:
                self.heard += played
            self.paused = False
            self.version += 1
            self._stop([s for s in self.queue if s.interruptible])

    def _stop(self, stopped: Sequence[effects.Say]) -> None:
        first, heard = self.queue[:1], self.heard
        self.queue = [s for s in self.queue if s not in stopped]
        for segment in stopped:
            # a voice stops between words
            chars = min(int(heard), len(segment.text)) if segment in first else 0
            chars = len(segment.text[:chars].rpartition(' ')[0])
            self.sim.later(0.02, self._stopped(segment.segment_id, chars))
        if self.queue:
            self._next()

    def _stopped(self, segment_id: int, chars: int) -> Callable[[], None]:
        return lambda: self.sim.step(events.SpeechProgressed, segment_id=segment_id,
                                     state='stopped', heard_chars=chars)
