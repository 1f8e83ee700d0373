"""
A language model on virtual time: one of fixed speed, or a real one whose computing is timed.

A source gives pieces of text, each with the seconds that it took. The slot runs one generation at a
time; a draft gives way to an answer within a token and goes on afterwards.
"""
from dataclasses import dataclass, field
import os
import re
import threading
import time
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

from async_agent_ros.llm.engine import GenerationRequest

Piece = Tuple[float, str]
_TOKEN = re.compile(r'<\|\w+\|>| ?[A-Za-z]+|\d| ?[^\w\s]{1,3}|\s|\w')
_CHARS_PER_TOKEN = 3.5


def tokens(text: str) -> List[str]:
    """Cut text into about the tokens of a language model (within a tenth, calls in JSON too)."""
    return _TOKEN.findall(text)


@dataclass
class Job:
    """A generation under way."""

    generation_id: int
    epoch: int
    speculative: bool
    prompt: str
    entries: Sequence[Any]
    tools: Sequence[Any] = ()
    next_call: int = 0
    """The number of its first call, 0: the model says which."""
    reacts: bool = False
    """To words that go on, and not to an utterance that is assumed to be whole."""
    aborted: bool = False
    begun: bool = False
    written: str = ''
    output_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    pieces: Optional[Iterator[Piece]] = None
    parser: Any = None
    held: bool = False
    """The output is not over: it may go on in a later job."""
    decode_s: float = 0.0


class TimedSource:
    """Writes what a planner says, at a fixed speed; what it has read before is not read again."""

    KEPT = 2
    """Contexts whose cache is kept: the conversation and its newest draft."""
    GUESSES = 8
    """Outputs of drafts with which a new output is compared, when it is verified."""

    def __init__(self, write: Callable[[Job], str], *, decode_per_s: float = 40.0,
                 prefill_per_s: float = 1500.0, verify: bool = False):
        """
        `write(job)` gives the whole output; speeds in tokens per second.

        `verify`: what a draft has in common with the one before is read, not written, as an engine
        can do that checks a guess of its output in one pass (prompt lookup).
        """
        self._write = write
        self._verify = verify
        self._guesses: List[List[str]] = []
        self._token_s = 1.0 / decode_per_s
        self._prefill_per_s = prefill_per_s
        self._kept: List[str] = []

    def warm(self, prompt: str) -> None:
        """Have the head of the prompt read before anybody speaks."""
        self._kept = [prompt]

    def open(self, job: Job) -> Iterator[Piece]:
        """Yield the output token by token; the last piece is the end token and empty."""
        shared = max((len(os.path.commonprefix((job.prompt, k))) for k in self._kept), default=0)
        new = len(tokens(job.prompt[shared:]))
        job.cached_tokens = round(shared / _CHARS_PER_TOKEN)
        job.prompt_tokens = job.cached_tokens + new
        prefill_s = new / self._prefill_per_s
        try:
            guesses = self._guesses if self._verify else []
            for number, token in enumerate([*tokens(self._write(job)), '']):
                guesses = [g for g in guesses if g[number:number + 1] == [token]]
                yield prefill_s + (1.0 / self._prefill_per_s if guesses else self._token_s), token
                prefill_s = 0.0
        finally:
            if job.speculative:
                self._guesses = [tokens(job.written), *self._guesses][:self.GUESSES]
            self._kept = [job.prompt + job.written, *self._kept][:self.KEPT]


class RealSource:
    """Takes text from an Engine when it is wanted, and tells how long the engine computed."""

    def __init__(self, engine, max_tokens: int = 160):
        self._engine = engine
        self._max_tokens = max_tokens

    def warm(self, prompt: str) -> None:
        """Have the head of the prompt read before anybody speaks; the time does not count."""
        if hasattr(self._engine, 'warm'):
            self._engine.warm('main', prompt)

    def open(self, job: Job) -> Iterator[Piece]:
        """Yield the output as it is decoded; drafts use the cache of the conversation."""
        abort = threading.Event()
        request = GenerationRequest('main', job.prompt, self._max_tokens, tools=tuple(job.tools),
                                    next_call=job.next_call, reacts=job.reacts)
        stream = self._engine.stream(request, abort)
        try:
            while True:
                began_s = time.perf_counter()
                piece = next(stream, None)
                took_s = time.perf_counter() - began_s
                job.prompt_tokens = request.stats.prompt_tokens
                job.cached_tokens = request.stats.cached_tokens
                yield took_s, piece or ''
                if piece is None:
                    return
        finally:
            abort.set()
            stream.close()


@dataclass
class Slot:
    """
    Runs one generation at a time, the person's answers before drafts.

    `later(seconds, action)` is the clock's; `piece(job, text)` takes what was written and tells
    whether the output is over; `ended(job, reason)` is called once for every job.
    """

    source: Any
    later: Callable[[float, Callable[[], None]], None]
    piece: Callable[[Job, str], bool]
    ended: Callable[[Job, str], None]
    current: Optional[Job] = None
    waiting: List[Job] = field(default_factory=list)
    busy: bool = False

    def submit(self, job: Job) -> None:
        """Take a generation; it starts when the slot is free."""
        self.waiting.append(job)
        self._next()

    def abort(self, wanted: Callable[[Job], bool]) -> None:
        """End the generations that are `wanted` to: a running one within its token."""
        for job in [j for j in self.waiting if wanted(j)]:
            self.waiting.remove(job)
            self._close(job, 'aborted')
        if self.current and wanted(self.current):
            self.current.aborted = True

    def _next(self) -> None:
        if self.busy:
            return
        job = self.current
        if job and job.speculative and any(not j.speculative for j in self.waiting):
            self.waiting.insert(0, job)
            job = self.current = None
        if job is None and self.waiting:
            job = next((j for j in self.waiting if not j.speculative), self.waiting[0])
            self.waiting.remove(job)
            self.current = job
        if job is None:
            return
        if job.pieces is None:
            job.pieces = self.source.open(job)
        took_s, text = next(job.pieces)
        job.decode_s += took_s if job.begun else 0.0
        self.busy = True
        self.later(took_s, lambda: self._arrived(job, text))

    def _arrived(self, job: Job, text: str) -> None:
        self.busy = False
        job.output_tokens += 1
        if job.aborted:
            self._finish(job, 'aborted')
        elif not text:
            self._finish(job, 'stop')
        else:
            job.written += text
            if self.piece(job, text):
                self._finish(job, 'stop')
        self._next()

    def _finish(self, job: Job, reason: str) -> None:
        self.current = None
        self._close(job, reason)

    def _close(self, job: Job, reason: str) -> None:
        if job.pieces is not None and not job.held:
            job.pieces.close()
        self.ended(job, reason)
