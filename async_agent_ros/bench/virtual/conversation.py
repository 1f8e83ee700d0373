"""One spoken task, played against the real kernel on virtual time, and what came of it."""
from dataclasses import dataclass, field, replace
import heapq
import itertools
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from async_agent_ros.bench.virtual.engine import Job, Piece, Slot
from async_agent_ros.bench.virtual.oracle import ACCEPT_S
from async_agent_ros.bench.virtual.person import Ear, revisions
from async_agent_ros.bench.workloads import Item, Refused, Workload
from async_agent_ros.core import effects, events
from async_agent_ros.core.chatml import Begun, Call, Parser, PromptFormat, Rejected, Remove
from async_agent_ros.core.chatml import Renderer, Text
from async_agent_ros.core.kernel import Kernel
from async_agent_ros.core.ledger import Entry, MAIN
from async_agent_ros.core.settings import Settings
from async_agent_ros.core.tools import canonical_json
from async_agent_ros.core.words import Effect, Error, Kind, State, Status

NS_PER_S = 1_000_000_000
BEGIN_S = 1.0
"""When the person begins to speak."""
MOST_S = 300.0
"""A conversation that has not ended by then is stuck."""
UTTERANCE = 'u1'
TASKS = ('tool', 'token', 'person')


@dataclass
class Execution:
    """A tool that the kernel had executed."""

    call_id: str
    instance: str
    tool: str
    arguments: Mapping[str, Any]
    read_only: bool
    start_s: float
    early: bool
    """Before the final transcript."""
    end_s: Optional[float] = None
    status: str = ''
    used: bool = False
    """Its result stands in the conversation."""

    @property
    def key(self) -> Tuple[str, str]:
        """What makes two calls equal."""
        return self.tool, canonical_json(self.arguments)

    @property
    def seconds(self) -> float:
        """Tool-seconds that it took."""
        return (self.end_s if self.end_s is not None else self.start_s) - self.start_s


@dataclass
class Outcome:
    """Everything that was observed from the outside; times in seconds from the start."""

    speech_end_s: float
    final_s: float
    executions: List[Execution] = field(default_factory=list)
    results: Dict[str, Tuple[Tuple[str, str], float]] = field(default_factory=dict)
    """By call id: what succeeded in the conversation and was not retracted, and when."""
    accepted_s: Dict[Tuple[str, str], float] = field(default_factory=dict)
    said: List[Tuple[float, str]] = field(default_factory=list)
    state: Any = None
    draft_tokens: int = 0
    tokens: int = 0
    counts: Dict[str, float] = field(default_factory=dict)
    """What the kernel itself measured of the turn."""
    stuck: bool = False

    @property
    def results_s(self) -> Dict[Tuple[str, str], float]:
        """When the conversation had the result of a call, the first of equal ones."""
        found: Dict[Tuple[str, str], float] = {}
        for key, at_s in self.results.values():
            found.setdefault(key, at_s)
        return found

    @property
    def unsafe(self) -> int:
        """State-changing calls that were executed before the final transcript."""
        return sum(e.early and not e.read_only for e in self.executions)

    @property
    def answer(self) -> str:
        """All that was said."""
        return ''.join(text for _, text in self.said)


class Conversation:
    """The kernel with a simulated world around it."""

    def __init__(self, workload: Workload, item: Item, settings: Settings, source,
                 seed: int = 0, ear: Ear = Ear(), one_call: bool = False,
                 prompt_format: PromptFormat = PromptFormat()):
        """
        Make one; `source` writes (engine.py).

        `one_call`: each generation ends with its first call. What the model had planned besides
        follows call by call, each when the one before has ended.
        """
        self.ledger_of_calls: Dict[str, Tuple[str, Any]] = {}
        self._workload, self._item, self._settings = workload, item, settings
        self._format, self._one_call = prompt_format, one_call
        self._kernel = Kernel()
        self._world = workload.world(seed)
        self._source = source
        self._now_s = 0.0
        self._queue: List[Tuple[float, int, str, Callable[[], None]]] = []
        self._count = itertools.count()
        self._busy = 0
        """Things of TASKS in the queue."""
        self._timers: Dict[str, int] = {}
        self._held: Optional[Job] = None
        """Its output is held after a call."""
        self._jobs: Dict[str, Any] = {}
        self._running: Dict[str, Execution] = {}
        self._sources: Dict[str, str] = {}
        """Whose result a call has: its own, or that of an early one."""
        self._slot = Slot(source, lambda s, action: self._later(s, 'token', action),
                          self._piece, self._generation_ended)
        self._ear, self._seed = ear, seed
        self.outcome = Outcome(BEGIN_S + item.ends_s[-1],
                               BEGIN_S + ear.end_of_turn_s(item, seed))
        self._final = False

    @property
    def ledger(self):
        """The kernel's ledger."""
        return self._kernel.state.ledger

    def run(self) -> Outcome:
        """Play it to the end."""
        self._step(events.Started, session='bench', settings=self._settings.to_json())
        self._step(events.ToolsAnnounced, server='/bench', tools=tuple(
            replace(s, action_name=f'/bench/{s.name}').to_json()
            for s in self._workload.specs.values()))
        head = self._prompt(self._read(self.ledger.prefix()))
        self._source.warm(head[:-len('<|im_start|>assistant\n')])
        self._later(BEGIN_S, 'person', lambda: self._step(
            events.SpeechStarted, utterance_id=UTTERANCE))
        for number, revision in enumerate(revisions(self._item, self._ear, self._seed)):
            self._later(BEGIN_S + revision.at_s, 'person',
                        lambda n=number, r=revision: self._hear(n, r))
        while self._queue and not self._is_over():
            self._now_s, _, kind, action = heapq.heappop(self._queue)
            self._busy -= kind in TASKS
            if self._now_s > MOST_S:
                self.outcome.stuck = True
                break
            action()
        self._conclude()
        return self.outcome

    # -- the clock --------------------------------------------------------------------------------
    def _later(self, seconds: float, kind: str, action: Callable[[], None]) -> None:
        self._busy += kind in TASKS
        heapq.heappush(self._queue, (self._now_s + seconds, next(self._count), kind, action))

    def _is_over(self) -> bool:
        state = self._kernel.state
        return not (self._busy or state.waiting or self._slot.waiting or self._slot.current
                    or state.phase != State.IDLE)

    def _step(self, kind, **fields) -> None:
        event = kind(round(self._now_s * NS_PER_S) + NS_PER_S, **fields)
        for effect in self._kernel.step(event):
            handler = getattr(self, '_on_' + type(effect).__name__, None)
            if handler is not None:
                handler(effect)

    # -- the person -------------------------------------------------------------------------------
    def _hear(self, number: int, revision) -> None:
        if revision.final:
            self._final = True
            self._step(events.SpeechStopped, utterance_id=UTTERANCE,
                       speech_end_ns=round(self.outcome.speech_end_s * NS_PER_S) + NS_PER_S)
        self._step(events.TranscriptUpdated, utterance_id=UTTERANCE, revision=number,
                   text=revision.text, stable_chars=revision.stable_chars, final=revision.final)

    def _on_Say(self, effect: effects.Say) -> None:
        self.outcome.said.append((self._now_s, effect.text))

    # -- the model --------------------------------------------------------------------------------
    def _read(self, entries) -> Renderer:
        renderer = Renderer(self._format)
        renderer.feed(entries)
        return renderer

    def _prompt(self, renderer: Renderer) -> str:
        return renderer.prompt(round(self._now_s * NS_PER_S) + NS_PER_S)

    def _on_Generate(self, effect: effects.Generate) -> None:
        assumed = [replace(e, instance=MAIN) for e in getattr(effect, 'assumed', ())]
        entries: List[Entry] = [
            *(e for e in self.ledger.prefix(effect.context_seq) if e.instance == MAIN), *assumed]
        speculative = getattr(effect, 'speculative', False)
        context = self._read(entries)
        job = Job(effect.generation_id, effect.epoch, speculative, self._prompt(context), entries,
                  tuple(self._workload.specs.values()), next_call=context.next_call,
                  reacts=speculative and not assumed)
        job.parser = Parser(self._format, reacts=job.reacts,
                            tell_begun=effect.tell_begun)
        if self._held and not job.speculative:
            held, self._held = self._held, None
            job.pieces = self._go_on(job, held)
        self._slot.submit(job)

    def _go_on(self, job: Job, held: Job) -> Iterator[Piece]:
        """Yield the rest of a held output if another call comes, else a new output."""
        fresh, job.parser = job.parser, held.parser
        head, begins, marker = [], '', self._format.call_marker
        for piece in held.pieces:
            head.append(piece)
            begins = ''.join(text for _, text in head).lstrip()
            if len(begins) >= len(marker) or not marker.startswith(begins):
                break
        if begins.startswith(marker):
            yield from head
            yield from held.pieces
        else:
            held.pieces.close()
            job.parser = fresh
            yield from self._source.open(job)

    def _on_AbortGeneration(self, effect: effects.AbortGeneration) -> None:
        self._slot.abort(lambda job: job.generation_id == effect.generation_id)

    def _on_Interrupt(self, effect: effects.Interrupt) -> None:
        if effect.action == 'stop':
            self._slot.abort(lambda job: not job.speculative and job.epoch < effect.epoch)

    def _piece(self, job: Job, text: str) -> bool:
        about = {'generation_id': job.generation_id, 'epoch': job.epoch}
        if not job.begun:
            job.begun = True
            self._step(events.FirstToken, **about)
        return self._publish(job, job.parser.feed(text)) or job.parser.done

    def _publish(self, job: Job, found) -> bool:
        """Step what was parsed; tell whether the output must end here."""
        about = {'generation_id': job.generation_id, 'epoch': job.epoch}
        for one in found:
            if isinstance(one, Text):
                self._step(events.TextGenerated, text=one.text, **about)
            elif isinstance(one, Call):
                self._step(events.CallGenerated, call_id=one.id, name=one.name,
                           arguments=one.arguments, **about)
                if self._one_call:
                    job.held = not job.speculative
                    return True
            elif isinstance(one, Begun):
                self._step(events.LineBegun, call_id=one.id, **about)
            elif isinstance(one, Remove):
                self._step(events.CallRemoved, call_id=one.id, **about)
            elif isinstance(one, Rejected):
                self._step(events.OutputRejected, raw=one.raw, reason=one.reason, **about)
        return False

    def _generation_ended(self, job: Job, reason: str) -> None:
        if job.held:
            self._held = job
        elif reason != 'aborted':
            self._publish(job, job.parser.finish())
        self.outcome.tokens += job.output_tokens
        self.outcome.draft_tokens += job.output_tokens if job.speculative else 0
        self._step(events.GenerationEnded, generation_id=job.generation_id, epoch=job.epoch,
                   finish_reason=reason, prompt_tokens=job.prompt_tokens,
                   cached_tokens=job.cached_tokens, output_tokens=job.output_tokens,
                   decode_s=job.decode_s)

    # -- the tools --------------------------------------------------------------------------------
    def _on_Execute(self, effect: effects.Execute) -> None:
        run = Execution(effect.call_id, effect.instance, effect.spec.name, effect.arguments,
                        effect.spec.effect == Effect.READ_ONLY, self._now_s, not self._final)
        self.outcome.executions.append(run)
        self._running[effect.call_id] = run
        self._later(ACCEPT_S, 'tool', lambda: self._accept(run))
        try:
            job = self._world.begin(run.tool, run.arguments, self._now_s)
        except Refused as refused:
            self._later(ACCEPT_S, 'tool', lambda error=str(refused): self._end_call(
                run, Status.FAILED, Error.TOOL_FAILED, error))
            return
        self._jobs[effect.call_id] = job
        self._later(job.end_s - self._now_s, 'tool', lambda: self._end_job(run, job))

    def _accept(self, run: Execution) -> None:
        if not run.status:
            self._step(events.CallAccepted, call_id=run.call_id)

    def _end_job(self, run: Execution, job) -> None:
        if run.status:
            return
        try:
            result = self._world.end(job, self._now_s)
        except Refused as refused:
            self._end_call(run, Status.FAILED, Error.TOOL_FAILED, str(refused))
            return
        self._end_call(run, Status.SUCCEEDED, result=result)

    def _end_call(self, run: Execution, status: Status, code: int = 0, error: str = '',
                  result: Any = None) -> None:
        if run.status:
            return
        run.end_s, run.status = self._now_s, str(status)
        self._running.pop(run.call_id, None)
        self._step(events.CallEnded, call_id=run.call_id, status=str(status), error_code=code,
                   error_msg=error, result=result)

    def _on_CancelCall(self, effect: effects.CancelCall) -> None:
        run = self._running.get(effect.call_id)
        if run is None:
            return
        job = self._jobs.get(effect.call_id)
        if job is not None:
            self._world.cancel(job, self._now_s)
        self._later(ACCEPT_S, 'tool', lambda: self._end_call(
            run, Status.CANCELLED, Error.CANCELLED, 'cancelled'))

    # -- timers and observation -------------------------------------------------------------------
    def _on_SetTimer(self, effect: effects.SetTimer) -> None:
        number = self._timers[effect.timer_id] = next(self._count)
        wait_s = max(0.0, (effect.at_ns - NS_PER_S) / NS_PER_S - self._now_s)
        self._later(wait_s, 'timer', lambda: self._fire(effect.timer_id, number))

    def _on_ClearTimer(self, effect: effects.ClearTimer) -> None:
        self._timers.pop(effect.timer_id, None)

    def _fire(self, timer_id: str, number: int) -> None:
        if self._timers.get(timer_id) == number:
            del self._timers[timer_id]
            self._step(events.TimerFired, timer_id=timer_id)

    def _on_Append(self, effect: effects.Append) -> None:
        entry = effect.entry
        if entry.kind == Kind.CALL:
            self.ledger_of_calls[entry.call_id] = (entry.name, entry.data.get('arguments'))
        elif entry.kind == Kind.COMMIT and 'arguments' in entry.data:
            name, _ = self.ledger_of_calls[entry.call_id]
            self.ledger_of_calls[entry.call_id] = (name, entry.data['arguments'])
        if entry.instance != MAIN or entry.call_id not in self.ledger_of_calls:
            return
        name, arguments = self.ledger_of_calls[entry.call_id]
        key = name, canonical_json(arguments)
        if entry.kind == Kind.RETRACT:
            self.outcome.results.pop(entry.call_id, None)
        elif entry.kind == Kind.NOTIFICATION and entry.name == 'accepted':
            self.outcome.accepted_s.setdefault(key, self._now_s)
        elif entry.kind == Kind.RESULT and entry.status == Status.SUCCEEDED:
            source = entry.data.get('taken_from') or entry.call_id
            run = next((e for e in self.outcome.executions if e.call_id == source), None)
            # The arguments that ran: those of the call may be operands still.
            self.outcome.results[entry.call_id] = (run.key if run else key), self._now_s
            self._sources[entry.call_id] = source

    def _on_TurnMeasured(self, effect: effects.TurnMeasured) -> None:
        for key, value in effect.counts.items():
            self.outcome.counts[key] = self.outcome.counts.get(key, 0) + value

    def _conclude(self) -> None:
        if self._held:
            self._held.pieces.close()
        self.outcome.state = self._world.state()
        for run in self.outcome.executions:
            run.end_s = self._now_s if run.end_s is None else run.end_s
            run.used = any(self._sources[c] == run.call_id for c in self.outcome.results)
