"""One thread per agent instance that turns Generate goals into feedback, off the executor."""
import json
import queue
import threading
import time
from typing import Callable, Optional

from async_agent_ros.action import Generate
from async_agent_ros.core.chatml import Begun, Call, Parser, PromptFormat, Rejected, Remove
from async_agent_ros.core.chatml import Renderer, Text
from async_agent_ros.core.ledger import MAIN
from async_agent_ros.core import lineage
from async_agent_ros.core.sentences import Cutting
from async_agent_ros.llm.engine import Engine, EngineError, GenerationRequest, ModelMissingError
from async_agent_ros.nodes.convert import entry_from_msg
from async_agent_ros.nodes.ledger_mirror import LedgerMirror

_POLL_S = 0.02
MATCH_TIMEOUT_S = 0.4
"""Longest wait for the client's subscription to the feedback of its goal."""

WARM_AFTER_S = 0.5
"""Quiet time until what the next prompt begins with is read ahead of need."""


class EngineSlot:
    """The engine, which a thread loads while the node already answers."""

    def __init__(self):
        self.engine: Optional[Engine] = None
        self.error = ''
        self.error_code = Generate.Result.ERROR_NONE
        self.ready = threading.Event()
        """Set when loading has ended, well or not."""

    def load(self, make: Callable[[], Engine]) -> None:
        """Make and load the engine; never raises: the error is kept for goals and diagnostics."""
        try:
            engine = make()
            engine.load()
            self.engine = engine
        except ModelMissingError as error:
            self.error, self.error_code = str(error), Generate.Result.ERROR_NO_MODEL
        except Exception as error:
            # whatever a library raises while it loads, the node goes on and tells it
            known = isinstance(error, EngineError)
            self.error = str(error) if known else f'the engine does not load: {error!r}'
            self.error_code = Generate.Result.ERROR_NO_MODEL
        self.ready.set()

    def close(self) -> None:
        """Free the weights."""
        engine, self.engine = self.engine, None
        if engine is not None:
            engine.close()


class Generation:
    """A goal under way. `abort` ends it within a token; `reason` says why."""

    def __init__(self, goal_handle, stamp: Callable[[], object],
                 heard: Callable[[], bool] = lambda: True):
        """Take over a goal; `heard` tells whether anyone is connected to the feedback."""
        self.goal_handle = goal_handle
        self.goal: Generate.Goal = goal_handle.request
        self.abort = threading.Event()
        self.result = Generate.Result(prefill_s=-1.0)
        self.accepted_s = time.monotonic()
        self._stamp = stamp
        self._heard = heard

    def feedback(self, kind: str, **fields) -> None:
        """Publish one feedback message, at once and from this thread."""
        if not self.result.feedback_count:
            self._wait_for_client()
        self.goal_handle.publish_feedback(Generate.Feedback(
            generation_id=self.goal.generation_id, epoch=self.goal.epoch,
            index=self.result.feedback_count, kind=kind, stamp=self._stamp(), **fields))
        self.result.feedback_count += 1

    def _wait_for_client(self) -> None:
        # Right after discovery a goal can arrive before its client's subscription to the feedback
        # is matched; what is published then is lost for ever.
        deadline_s = time.monotonic() + MATCH_TIMEOUT_S
        while not self._heard() and time.monotonic() < deadline_s and not self.abort.is_set():
            self.abort.wait(_POLL_S)

    def publish(self, event) -> None:
        """Publish what the parser found."""
        feedback = Generate.Feedback
        if isinstance(event, Text):
            self.feedback(feedback.KIND_TEXT, text=event.text)
        elif isinstance(event, Call):
            self.feedback(feedback.KIND_CALL, call_id=event.id, name=event.name,
                          arguments_json=json.dumps(event.arguments, ensure_ascii=False))
        elif isinstance(event, Remove):
            self.feedback(feedback.KIND_REMOVE, call_id=event.id)
        elif isinstance(event, Begun):
            self.feedback(feedback.KIND_BEGUN, call_id=event.id)
        elif isinstance(event, Rejected):
            self.feedback(feedback.KIND_REJECTED, text=event.raw, reason=event.reason)

    def end(self, finish_reason: str, error_code: int = 0, error_msg: str = '') -> None:
        """Fill in the result."""
        self.result.finish_reason = finish_reason
        self.result.error_code, self.result.error_msg = error_code, error_msg


class InstanceWorker:
    """
    Generates for one instance, one goal at a time, in its own thread.

    `finished(generation)` is called in that thread when the result is filled in; `epoch()` gives
    the epoch in force.
    """

    def __init__(self, instance: str, slot: EngineSlot, mirror: LedgerMirror,
                 prompt_format: PromptFormat, *, epoch: Callable[[], int],
                 now_ns: Callable[[], int], max_tokens: Callable[[], int],
                 ledger_timeout_s: float, finished: Callable[[Generation], None], log):
        self._instance = instance
        self._slot = slot
        self._mirror = mirror
        self._format = prompt_format
        self._epoch = epoch
        self._now_ns = now_ns
        self._max_tokens = max_tokens
        self._ledger_timeout_s = ledger_timeout_s
        self._finished = finished
        self._log = log
        self._renderer = Renderer(prompt_format, instance)
        self._session = ''
        self._guess = ''
        self._warmed = ''
        self._looked = ('', -1)
        self._warming = threading.Event()
        self._queue: 'queue.SimpleQueue[Optional[Generation]]' = queue.SimpleQueue()
        self.current: Optional[Generation] = None
        self.ended = False
        self.prefilling = False
        """Whether the head of the prompt is being prefilled ahead of need."""
        self._thread = threading.Thread(
            target=self._work, name=f'generate {instance}', daemon=True)
        self._thread.start()

    def start(self, generation: Generation) -> None:
        """Take the next goal; one that still runs is cut short, its successor has the slot."""
        current, self.current = self.current, generation
        if current is not None:
            current.abort.set()
        self._queue.put(generation)
        self._warming.set()    # after it: see _read_ahead()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the thread and what it is doing."""
        current = self.current
        if current is not None:
            current.abort.set()
        self._queue.put(None)
        self._warming.set()
        self._thread.join(timeout_s)

    def release(self) -> None:
        """End the thread as soon as it can, and drop the cache: the instance has ended."""
        self.ended = True
        current = self.current
        if current is not None:
            current.abort.set()
        self._queue.put(None)

    def _work(self) -> None:
        while True:
            try:
                generation = self._queue.get(timeout=WARM_AFTER_S)
            except queue.Empty:
                if self._reads_ahead():
                    self._read_ahead()
                    continue
                generation = self._queue.get()
            if generation is None:
                if self.ended and self._slot.engine is not None:
                    self._slot.engine.forget(self._instance)
                return
            try:
                self._generate(generation)
            except Exception as error:
                # a goal always gets its end, whatever a library did
                self._log.error(f'generation {generation.goal.generation_id}: {error!r}')
                generation.end('error', Generate.Result.ERROR_UNKNOWN, repr(error))
            if self.current is generation:
                self.current = None
            self._finished(generation)

    # -- a generation -----------------------------------------------------------------------------
    def _generate(self, generation: Generation) -> None:
        goal, abort = generation.goal, generation.abort
        while not self._slot.ready.wait(_POLL_S):
            if abort.is_set():
                break
        if abort.is_set():
            generation.end('aborted')
        elif self._slot.engine is None:
            generation.end('error', self._slot.error_code or Generate.Result.ERROR_NO_MODEL,
                           self._slot.error or 'the engine is closed; configure the dispatcher')
        elif not self._mirror.wait_for(goal.session, goal.context_seq, self._ledger_timeout_s,
                                       abort):
            if abort.is_set():
                generation.end('aborted')
            else:
                generation.end(
                    'error', Generate.Result.ERROR_LEDGER_GAP,
                    f'the ledger of session {self._mirror.session or "(none)"} is known to seq '
                    f'{self._mirror.next_seq}, but the goal needs {goal.context_seq} of session '
                    f'{goal.session}; is dialog_manager alive and its get_ledger reachable?')
        # Only now: another session counts its epochs anew.
        elif goal.epoch < self._epoch() and self._instance == MAIN:
            generation.end('aborted', Generate.Result.ERROR_STALE,
                           f'epoch {goal.epoch} is over, {self._epoch()} is in force')
        else:
            self._stream(generation, self._context(goal))

    def _context(self, goal: Generate.Goal) -> Renderer:
        """Return the renderer of the goal's prompt; that of a draft is thrown away."""
        context_seq = goal.context_seq
        if self._session != self._mirror.session or self._renderer.next_seq > context_seq:
            self._session = self._mirror.session
            self._renderer = self._new_renderer(context_seq)
        self._renderer.feed(self._mirror.entries(self._renderer.next_seq, context_seq))
        if not goal.assumed:
            return self._renderer
        draft = self._renderer.branch()
        draft.feed(entry_from_msg(message) for message in goal.assumed)
        return draft

    def _new_renderer(self, context_seq: int) -> Renderer:
        if self._instance == MAIN:
            return Renderer(self._format)
        entries = self._mirror.entries(0, context_seq)
        parent, engine = lineage.parent_of(entries, self._instance), self._slot.engine
        if parent and hasattr(engine, 'fork'):
            engine.fork(parent, self._instance)    # the shared context is not read again
        return Renderer(self._format, self._instance, lineage.prefixes(entries, self._instance))

    def _stream(self, generation: Generation, context: Renderer) -> None:
        goal, result, abort = generation.goal, generation.result, generation.abort
        reacts = goal.speculative and not goal.assumed
        request = GenerationRequest(
            instance=self._instance, prompt=context.prompt(self._now_ns()),
            max_tokens=goal.max_tokens or self._max_tokens(), tools=tuple(context.shown_tools),
            next_call=context.next_call, reacts=reacts, guess=self._guess)
        written = ''
        parser = Parser(self._format, Cutting(), reacts=reacts, tell_begun=goal.tell_begun)
        first_s = last_s = 0.0
        stream = self._slot.engine.stream(request, abort)
        try:
            for piece in stream:
                last_s = time.monotonic()
                written += piece
                if abort.is_set():
                    break
                if not first_s:
                    first_s = last_s
                    generation.feedback(Generate.Feedback.KIND_FIRST_TOKEN)
                for event in parser.feed(piece):
                    generation.publish(event)
                if parser.done:
                    break
        except EngineError as error:
            too_long = 'context' in str(error)
            generation.end('error', Generate.Result.ERROR_CONTEXT_TOO_LONG if too_long
                           else Generate.Result.ERROR_ENGINE, str(error))
        except Exception as error:
            generation.end('error', Generate.Result.ERROR_ENGINE, f'the engine failed: {error!r}')
        finally:
            if hasattr(stream, 'close'):
                stream.close()
        # What was written on words that go on is likely to be written again.
        self._guess = max(written, self._guess, key=len) if goal.speculative else ''
        stats = request.stats
        result.prompt_tokens, result.cached_tokens = stats.prompt_tokens, stats.cached_tokens
        result.output_tokens = stats.output_tokens
        if first_s:
            result.prefill_s = first_s - generation.accepted_s
            result.decode_s = last_s - first_s
        if abort.is_set():
            generation.end('aborted')
        elif not result.error_code:
            for event in parser.finish():
                generation.publish(event)
            generation.end('length' if stats.finish_reason == 'length' else 'stop')

    # -- ahead of need ----------------------------------------------------------------------------
    def _reads_ahead(self) -> bool:
        """Tell whether the engine can read ahead, or is not loaded yet; not for helpers."""
        return self._instance == MAIN and (
            not self._slot.ready.is_set() or hasattr(self._slot.engine, 'warm'))

    def _read_ahead(self) -> None:
        """
        Read what the next prompt begins with while nobody waits for it.

        That is the head at first, which is long; in conversation, what was said and done since the
        last generation read its context.
        """
        until, session = self._mirror.next_seq, self._mirror.session
        if self._slot.engine is None or (session, until) == self._looked:
            return
        self._looked = session, until
        begun = self._session == session and self._renderer.next_seq <= until
        context = self._renderer.branch() if begun else Renderer(self._format, self._instance)
        context.feed(self._mirror.entries(context.next_seq, until))
        text = context.settled
        if not context.tools or text == self._warmed:
            return
        self._warming.clear()
        if not self._queue.empty():
            return    # what came before the line above would not stop it
        self.prefilling = not context.begun
        try:
            seconds = self._slot.engine.warm(self._instance, text, self._warming,
                                             keep=not context.begun)
        except Exception as error:
            self._log.warning(f'the prompt could not be prefilled: {error!r}')
            seconds = 0.0
        self._warmed = text
        if self.prefilling and not self._warming.is_set():
            self._log.info(f'the head of the prompt was prefilled in {seconds:.1f} s')
        self.prefilling = False
