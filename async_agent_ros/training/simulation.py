"""
A conversation on virtual time: the real kernel, a simulated person, voice and tools.

The clock is laid out in tokens: what the model writes takes one step of the token speed per token,
and goes through the real parser; words arrive at a speaking rate, results after their latency.
All rates are drawn per conversation, so that a model learns to hold on slow and on fast machines.
No tokenizer is needed: tokens are counted as pieces of at most five letters (actors.tokens).
"""
from dataclasses import dataclass
import heapq
import random
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from async_agent_ros.core import effects, events, lineage
from async_agent_ros.core.chatml import PromptFormat, Renderer
from async_agent_ros.core.kernel import Kernel
from async_agent_ros.core.ledger import MAIN
from async_agent_ros.core.settings import Settings
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Error, Kind, State
from async_agent_ros.training.actors import Run, Utterance, Voice, Writing
from async_agent_ros.training.catalogues import SimTool
from async_agent_ros.training.intents import Intent
from async_agent_ros.training.planner import Planner

S = 1_000_000_000
SERVER = '/agent/robot'
START_S = 1_700_000_000
MOST_EVENTS = 4000


@dataclass(frozen=True)
class Rates:
    """How fast things go, drawn once per conversation. Seconds, and things per second."""

    words_per_s: float
    tokens_per_s: float
    first_token_s: float
    chars_per_s: float
    transcript_s: float
    partial_s: float
    by_word: bool = False
    """Every word that has become stable is told, not every `partial_s`."""
    end_s: float = 0.3
    """From the last sound until the end of the utterance is declared."""

    @classmethod
    def draw(cls, rng: random.Random) -> 'Rates':
        """Return the rates of a machine and a person."""
        return cls(rng.uniform(1.8, 3.8), 2.0 ** rng.uniform(2.5, 7.0), rng.uniform(0.03, 1.0),
                   rng.uniform(13.0, 18.0), rng.uniform(0.05, 0.8), rng.uniform(0.25, 0.8),
                   rng.random() < 0.6, rng.uniform(0.3, 0.9))


@dataclass(frozen=True)
class Move:
    """Something that the person does when the conversation has come to a point."""

    when: str
    """'idle', 'quiet' (calls may run), 'running', 'speaking', 'asked', 'fired' (a timer)."""
    make: Callable[['Simulation'], Optional[Intent]]
    """Return what the person says, None: nothing."""
    after_s: Tuple[float, float] = (0.5, 3.0)


@dataclass(frozen=True)
class Turn:
    """One generation: what the model read and what it should write."""

    generation_id: int
    instance: str
    context_seq: int
    now_ns: int
    prompt: str
    completion: str
    triggers: Tuple[str, ...]
    intents: Tuple[Intent, ...]
    standing: Tuple[Tuple[str, str, Any], ...] = ()
    """(id, tool, arguments) of the calls that partial words have led to before it."""
    first_seq: int = -1
    """Where the utterance began, for partial and final words."""


class Simulation:
    """Plays one conversation. `turns` holds what the model had to write."""

    def __init__(self, rng: random.Random, tools: Sequence[SimTool], prompt_format: PromptFormat,
                 settings: Settings = Settings(), own: Sequence[ToolSpec] = (),
                 rates: Optional[Rates] = None, fail: float = 0.12, text: bool = False):
        """`own`: specs that are announced besides, `text`: the person types."""
        self.rng = rng
        self.rates = rates or Rates.draw(rng)
        self.tools = {t.spec.name: t for t in tools}
        self.format = prompt_format
        self.fail = fail
        self.fail_next = False
        self.text = text
        self.kernel = Kernel()
        self.now_ns = START_S * S + rng.randrange(86400) * S
        self.turns: List[Turn] = []
        self.planner = Planner(rng, self.kernel.state)
        self._heap: List[Tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._timers: Dict[str, int] = {}
        self._renderers: Dict[str, Renderer] = {}
        self.generating: Dict[int, bool] = {}
        self.alive: Dict[str, bool] = {}
        self._spoken: List[Intent] = []
        self.heard: Optional[Intent] = None
        """What the person says just now, or said last."""
        self._moves: List[Move] = []
        self._planned = False
        self._utterance = 0
        self._voice = Voice(self)
        self.step(events.Started, session='s', settings=settings.to_json())
        self.planner.state = self.kernel.state
        self.step(events.PeerChanged, peer='tts')
        self.step(events.ToolsAnnounced, server=SERVER,
                  tools=tuple(t.spec.to_json() for t in tools))

    # -- the heap ---------------------------------------------------------------------------------
    def later(self, after_s: float, what: Callable[[], None]) -> None:
        """Do something after a while."""
        self._order += 1
        heapq.heappush(self._heap, (self.now_ns + max(1, round(after_s * S)), self._order, what))

    def step(self, kind, **fields) -> None:
        """Step an event and carry out what the kernel asks for."""
        self.now_ns += 1000
        for effect in self.kernel.step(kind(self.now_ns, **fields)):
            handler = getattr(self, '_do_' + type(effect).__name__, None)
            if handler is not None:
                handler(effect)

    def play(self, moves: Sequence[Move]) -> List[Turn]:
        """Play the moves to the end; return the generations."""
        self._moves = list(moves)
        for _ in range(MOST_EVENTS):
            self._plan_next()
            if not self._heap:
                if not self._moves:
                    break
                self._speak_next()    # what it waits for will not come
                continue
            if not self._moves and not self._planned and self._only_timers():
                break
            self.now_ns, _, what = heapq.heappop(self._heap)
            what()
        return self.turns

    def _only_timers(self) -> bool:
        state = self.kernel.state
        busy = [c for c in state.calls.values() if c.spec.name != 'set_timer']
        return (not busy and state.active is None and not state.waiting and not state.segments
                and not state.person_has_floor and not state.instances)

    # -- the person -------------------------------------------------------------------------------
    def _plan_next(self) -> None:
        if self._planned or not self._moves or not self._fits(self._moves[0].when):
            return
        self._planned = True
        self.later(self.rng.uniform(*self._moves[0].after_s), self._speak_next)

    def _fits(self, when: str) -> bool:
        state = self.kernel.state
        if state.person_has_floor or self._utterance_goes_on():
            return False
        talks = bool(state.segments) or state.active is not None or bool(state.waiting)
        running = [c for c in state.calls.values() if c.executing]
        if when == 'speaking':
            return self._voice.speaking
        if when == 'asked':
            return any(c.phase == 'confirming' for c in state.calls.values()) \
                and not self._voice.speaking
        if when == 'running':
            return bool(running) and not talks
        if when == 'quiet':
            return not talks
        if when == 'fired' and any(c.spec.name == 'set_timer' for c in running):
            return False
        return not talks and not [c for c in running if c.spec.name != 'set_timer']

    def _utterance_goes_on(self) -> bool:
        return bool(self._spoken)

    def _speak_next(self) -> None:
        self._planned = False
        if not self._moves:
            return
        move = self._moves.pop(0)
        intent = move.make(self)
        if intent is not None:
            self.speak(intent)

    def speak(self, intent: Intent) -> None:
        """Let the person say something."""
        self._spoken.append(intent)
        self.heard = intent
        if self.text:
            self.step(events.UserText, text=intent.text)
            return
        self._utterance += 1
        Utterance(self, f'u{self._utterance}', intent).begin()

    def _do_Append(self, effect: effects.Append) -> None:
        entry = effect.entry
        self.planner.note(entry)
        if entry.kind == Kind.USER and entry.name in ('speech', 'text') and self._spoken:
            self.planner.intents[entry.seq] = self._spoken.pop(0)
        elif entry.kind == Kind.NOTIFICATION and entry.name == 'backchannel' and self._spoken:
            self._spoken.pop(0)

    # -- the model --------------------------------------------------------------------------------
    def _do_Generate(self, effect: effects.Generate) -> None:
        renderer = self.renderer(effect.instance, effect.context_seq)
        answer = self.kernel.state.answers[effect.generation_id]
        intents = tuple(self.planner.intents[w.seq] for w in answer.waiting
                        if w.seq in self.planner.intents)
        prompt = renderer.prompt(self.now_ns)
        standing, first_seq = self._standing(answer, effect.context_seq)
        if answer.partial:
            intents = (self.heard,)
            completion = self.planner.react(effect.generation_id, renderer, self.heard)
        else:
            completion = self.planner.complete(effect.generation_id, renderer)
        self.turns.append(Turn(
            effect.generation_id, effect.instance, effect.context_seq, self.now_ns, prompt,
            completion, ('partial',) if answer.partial else tuple(
                w.trigger for w in answer.waiting), intents, standing, first_seq))
        self.generating[effect.generation_id] = True
        Writing(self, effect.generation_id, effect.epoch, completion,
                effect.tell_begun).begin()

    def _standing(self, answer, context_seq: int):
        """Return the calls of the utterance that the ledger holds, and where it began."""
        stream = self.kernel.state.stream
        if stream is None or not (answer.partial or any(w.is_person for w in answer.waiting)):
            return (), -1
        standing = {}
        for entry in self.kernel.state.ledger[stream.first_seq:context_seq]:
            if entry.kind == Kind.CALL and entry.generation_id in stream.generations:
                standing[entry.call_id] = (entry.call_id, entry.name, entry.data['arguments'])
            elif entry.kind == Kind.RETRACT:
                standing.pop(entry.call_id, None)
        return tuple(standing.values()), stream.first_seq

    def renderer(self, instance: str, context_seq: int) -> Renderer:
        """Return the renderer of an instance, fed up to a seq, as the dispatcher keeps it."""
        entries = self.kernel.state.ledger
        renderer = self._renderers.get(instance)
        if renderer is None:
            prefixes = lineage.prefixes(entries[:context_seq], instance)
            renderer = self._renderers[instance] = Renderer(self.format, instance, prefixes)
        renderer.feed(entries[renderer.next_seq:context_seq])
        return renderer

    def writes(self, generation_id: int) -> bool:
        """Tell whether a generation goes on."""
        return self.generating.get(generation_id, False)

    def _do_AbortGeneration(self, effect) -> None:
        if self.generating.get(effect.generation_id):
            self.generating[effect.generation_id] = False
            ids = {'generation_id': effect.generation_id, 'epoch': self.kernel.state.epoch}
            self.later(0.01, lambda: self.step(
                events.GenerationEnded, finish_reason='aborted', **ids))

    def _do_Interrupt(self, effect) -> None:
        self._voice.interrupt(effect.action)
        if effect.action == 'stop':
            for generation_id in self.generating:
                answer = self.kernel.state.answers.get(generation_id)
                if answer is None or answer.instance == MAIN:
                    self.generating[generation_id] = False

    def _do_Say(self, effect) -> None:
        self._voice.say(effect)

    # -- tools ------------------------------------------------------------------------------------
    def _do_Execute(self, effect) -> None:
        tool = self.tools[effect.spec.name]
        act = self.planner.acts.get(effect.call_id)
        Run(self, effect.call_id, tool, act, effect.arguments).begin()

    def _do_CancelCall(self, effect) -> None:
        if self.alive.pop(effect.call_id, False):
            self.later(0.1, lambda: self.step(
                events.CallEnded, call_id=effect.call_id, status='cancelled',
                error_code=Error.CANCELLED, error_msg='cancelled'))

    # -- time -------------------------------------------------------------------------------------
    def _do_SetTimer(self, effect) -> None:
        self._timers[effect.timer_id] = version = self._order
        self.later((effect.at_ns - self.now_ns) / S, lambda: self._fire(effect.timer_id, version))

    def _do_ClearTimer(self, effect) -> None:
        self._timers.pop(effect.timer_id, None)

    def _fire(self, timer_id: str, version: int) -> None:
        if self._timers.get(timer_id) == version:
            del self._timers[timer_id]
            self.step(events.TimerFired, timer_id=timer_id)

    @property
    def phase(self) -> State:
        """The state of the dialogue."""
        return self.kernel.state.phase
