"""
The thread that recognises, so that listening never waits for it.

Rounds of partial recognition are skipped while it is busy, never queued; the end of an utterance is
never skipped.
"""
import threading
from collections import deque
from dataclasses import dataclass
from typing import Callable, Deque, Optional

import numpy as np

from .audio import RATE
from .endpointing import Endpointer
from .recognizer import Recognizer
from .streaming import Revision, Transcriber

MARGIN = RATE * 6 // 100
"""Samples after the end of speech that must have been recognised too: detectors are early."""


@dataclass
class Utterance:
    """A stretch of speech from its onset to its final transcript."""

    utterance_id: str
    onset: int
    """First sample of its speech."""
    onset_ns: int
    endpointer: Endpointer
    transcriber: Optional[Transcriber] = None
    revisions: int = 0
    asked: int = 0
    """Sample up to which recognition was asked for last."""
    skipping: bool = False
    """The round that is due now was skipped."""
    shown: Optional[Revision] = None
    """The last revision."""


@dataclass
class Job:
    """Audio of an utterance to recognise."""

    utterance: Utterance
    samples: np.ndarray
    """From before the onset on."""
    end: int
    """Sample of the stream after the last one here."""
    quick: bool = False
    """The person still speaks: another job follows soon."""
    pause: bool = False
    """The person is silent and may have finished: all of it is shown as stable."""
    final: bool = False
    nothing: bool = False
    """No voice was in it: nothing is to recognise."""
    speech_end: int = 0
    speech_end_ns: int = 0


OnRevision = Callable[[Job, Revision], None]
"""Gets the text after every round that understood words, and the final one in any case; called from
the thread."""


class RecognitionThread:
    """Recognises one job at a time."""

    def __init__(self, recognizer: Optional[Recognizer], on_revision: OnRevision,
                 on_error: Callable[[str], None]):
        self._recognizer = recognizer
        self._on_revision, self._on_error = on_revision, on_error
        self._changed = threading.Condition()
        self._waiting: Optional[Job] = None
        self._finals: Deque[Job] = deque()
        self._busy = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name='recognition', daemon=True)
        self.skipped = 0
        """Rounds of partial recognition that were skipped because the last one was not done."""
        self.last_s = 0.0
        """How long the last recognition took."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the thread after the finals that are owed."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=timeout_s)

    @property
    def idle(self) -> bool:
        """Nothing is being recognised, and nothing waits."""
        with self._changed:
            return not (self._busy or self._waiting or self._finals)

    def ask(self, job: Job) -> None:
        """Recognise soon; a job that waits already is dropped for this newer one."""
        with self._changed:
            self._waiting = job
            self._changed.notify()

    def finish(self, job: Job) -> None:
        """Recognise the end of an utterance."""
        job.final = True
        with self._changed:
            if self._waiting is not None and self._waiting.utterance is job.utterance:
                self._waiting = None
            self._finals.append(job)
            self._changed.notify()

    def _next(self) -> Optional[Job]:
        with self._changed:
            self._busy = False
            while not (self._finals or self._waiting):
                if self._closed:
                    return None
                self._changed.wait()
            self._busy = True
            if self._finals:
                return self._finals.popleft()
            job, self._waiting = self._waiting, None
            return job

    def _run(self):
        while (job := self._next()) is not None:
            if self._closed and not job.final:
                continue
            try:
                revision = self._recognise(job)
            except Exception as error:    # the final is owed in any case
                self._on_error(f'recognition failed: {error}')
                revision = Revision('', 0)
                job.utterance.endpointer.heard('', job.end)    # nothing to wait for
            self._show(job, revision)

    def _recognise(self, job: Job) -> Revision:
        if self._recognizer is None:
            job.utterance.endpointer.heard('', job.end)
            return Revision('', 0)
        if job.nothing:
            return Revision('', 0, rejected='no voice')
        utterance = job.utterance
        if utterance.transcriber is None:
            # One that was made for streaming follows the utterance itself.
            own = getattr(self._recognizer, 'transcriber', None)
            utterance.transcriber = own() if own else Transcriber(self._recognizer)
        transcriber = utterance.transcriber
        # No speech since it was recognised: that counts, and takes no time.
        speech_end = len(job.samples) - (job.end - job.speech_end)
        samples = None if transcriber.covered >= speech_end + MARGIN else job.samples
        if job.final:
            revision = transcriber.finish(samples)
        elif job.pause:
            revision = transcriber.pause(samples)
        else:
            revision = transcriber.revise(job.samples, quick=job.quick)
        if not job.final and transcriber.covered >= 0:
            end = job.end - len(job.samples) + transcriber.covered
            utterance.endpointer.heard(transcriber.heard, end - MARGIN)
        self.last_s = revision.elapsed_s or self.last_s
        self._on_error('')
        return revision

    def _show(self, job: Job, revision: Revision) -> None:
        utterance = job.utterance
        if job.quick and not revision.text and utterance.shown:
            # In haste nothing was understood: what was understood before still holds.
            revision = utterance.shown
        # The same words again tell that no others were said meanwhile.
        if job.final or revision.text:
            utterance.shown = revision
            self._on_revision(job, revision)
            utterance.revisions += 1
