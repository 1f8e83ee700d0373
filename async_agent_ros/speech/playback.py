"""
What is queued, what plays, and what was really heard. Knows neither devices nor clocks.

A sink calls render() for the next samples and says when they will be audible; poll() then tells
what became audible meanwhile. Pause and stop act on the next render(), so within one block.
"""
import threading
from collections import deque
from typing import Deque, List, Optional

import numpy as np

from .audio import NS_PER_S
from .segments import FAILED, FINISHED, PAUSED, PLAYING, Report, RESUMED, Segment, Span
from .segments import stamped, STARTED, STOPPED

FADE_S = 0.003
"""Ramp at pause, resume and stop: a cut in the middle of a wave clicks."""


class Playback:
    """A queue of segments that is heard in order. All methods may be called from any thread."""

    def __init__(self, rate: int, *, fade_s: float = FADE_S, report_s: float = 0.1):
        self.rate = rate
        self._fade = int(fade_s * rate)
        self._report_every = int(report_s * rate)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._queue: Deque[Segment] = deque()
        self._spans: Deque[Span] = deque()
        self._reports: List[Report] = []
        self._tail = np.zeros(0, np.int16)
        self._fade_in = False
        self._paused = False
        self._held: Optional[Segment] = None
        self._epoch = 0
        self._last_ns = 0
        self.underruns = 0
        """Times that a segment's next samples were not synthesised in time."""
        self._starving = False
        self._gain = self.volume = 1.0
        """Factor on what is rendered; a change is a ramp over one block."""

    # -- the producer ----------------------------------------------------------------------

    def add(self, segment_id: int, *, written_chars: int, generation_id: int = 0, epoch: int = 0,
            interruptible: bool = True, now_ns: int = 0) -> bool:
        """
        Queue a segment whose audio follows; False when its epoch is over.

        Then it is reported as stopped, unheard.
        """
        with self._lock:
            segment = Segment(segment_id, generation_id, epoch, written_chars, interruptible)
            if epoch < self._epoch:
                self._report(segment, STOPPED, now_ns)
                self._changed.notify_all()
                return False
            self._queue.append(segment)
            return True

    def append(self, segment_id: int, pcm: np.ndarray, marks=()) -> bool:
        """Add audio with (sample, chars) marks relative to it; False when the segment is gone."""
        with self._lock:
            segment = self._find(segment_id)
            if segment is None:
                return False
            segment.marks += [(segment.total + s, c) for s, c in marks]
            segment.pieces.append(pcm)
            segment.total += len(pcm)
            self._changed.notify_all()
            return True

    def complete(self, segment_id: int, *, error_code: int = 0, error_msg: str = '') -> None:
        """Say that all audio of the segment is there, or that it failed after what is there."""
        with self._lock:
            segment = self._find(segment_id)
            if segment is not None:
                segment.error_code, segment.error_msg = error_code, error_msg
                segment.complete = True
                self._changed.notify_all()

    def has(self, segment_id: int) -> bool:
        """Return whether the segment is queued or plays."""
        with self._lock:
            return self._find(segment_id) is not None

    def wait_below(self, seconds: float, timeout_s: float) -> bool:
        """Wait until less than so much audio is ahead; False on timeout."""
        limit = seconds * self.rate
        with self._lock:
            return self._changed.wait_for(
                lambda: sum(s.total - s.rendered for s in self._queue) < limit, timeout_s)

    def _find(self, segment_id) -> Optional[Segment]:
        return next((s for s in self._queue if s.segment_id == segment_id), None)

    # -- the commands ----------------------------------------------------------------------

    def pause(self, *, fade: bool = True) -> None:
        """Hold at the next block; an uninterruptible segment that has begun is finished first."""
        with self._lock:
            if self._paused:
                return
            self._paused = True
            self._hold(fade)
            self._changed.notify_all()

    def resume(self) -> None:
        """Go on from where it paused."""
        with self._lock:
            if not self._paused:
                return
            self._paused = False
            held, self._held = self._held, None
            if held is not None and held in self._queue:
                self._report(held, RESUMED, 0)
                self._fade_in = True
            self._changed.notify_all()

    def stop(self, epoch: int, *, fade: bool = True) -> None:
        """Drop what is older than `epoch`, and end a pause; uninterruptible lines are finished."""
        with self._lock:
            self._epoch = max(self._epoch, epoch)
            current = self._queue[0] if self._queue else None
            for segment in [s for s in self._queue
                            if s.epoch < self._epoch and s.interruptible]:
                if segment is current:
                    self._drop_current(segment, fade)
                self._queue.remove(segment)
                self._report(segment, STOPPED, self._last_ns if segment.rendered else 0)
            self._paused, self._held = False, None
            self._changed.notify_all()

    def drop_all(self) -> None:
        """Stop everything, uninterruptible segments too: the sink is going to close."""
        with self._lock:
            if self._queue:
                self._drop_current(self._queue[0], fade=False)
            for segment in self._queue:
                self._report(segment, STOPPED, self._last_ns if segment.rendered else 0)
            self._queue.clear()
            self._paused, self._held = False, None
            self._changed.notify_all()

    def fail_all(self, code: int, message: str, now_ns: int) -> None:
        """End every segment as failed: the sink is gone."""
        with self._lock:
            self._advance(now_ns)
            self._spans.clear()
            for segment in self._queue:
                segment.error_code, segment.error_msg = code, message
                self._report(segment, FAILED, now_ns)
            self._queue.clear()
            self._tail = self._tail[:0]
            self._changed.notify_all()

    def cut_back(self, now_ns: int) -> None:
        """
        Take back what was rendered and is not audible yet: the sink has dropped its buffer.

        For devices, before pause() or stop(), so that the position is what was heard.
        """
        with self._lock:
            self._advance(now_ns)
            while self._spans:
                span = self._spans.popleft()
                span.segment.rendered = min(span.segment.rendered,
                                            max(span.segment.heard, span.first))
            self._tail = self._tail[:0]
            self._last_ns = now_ns

    def _hold(self, fade=True):
        if self._held is None and self._queue:
            segment = self._queue[0]
            if segment.interruptible and segment.rendered and self._unrendered(segment):
                self._cut(segment, fade)
                self._held = segment
                self._report(segment, PAUSED, self._last_ns)

    def _drop_current(self, segment, fade):
        if segment.rendered and self._held is not segment:
            self._cut(segment, fade)

    def _cut(self, segment, fade):
        """Let the segment fade out after what was rendered, which counts as heard."""
        tail = segment.take(self._fade if fade else 0)
        self._tail = (tail * np.linspace(1.0, 0.0, len(tail))).astype(np.int16)
        self._advance(self._last_ns)

    @staticmethod
    def _unrendered(segment):
        return segment.rendered < segment.total or not segment.complete

    def interruptible_now(self, epoch: Optional[int] = None) -> bool:
        """Return whether what plays now may be cut, by a stop of `epoch` where one is given."""
        with self._lock:
            segment = self._queue[0] if self._queue else None
            return (segment is not None and segment.interruptible
                    and (epoch is None or segment.epoch < epoch))

    # -- the sink --------------------------------------------------------------------------

    def wanted(self) -> bool:
        """Return whether a sink has something to do now: samples to play or reports to fetch."""
        with self._lock:
            return self._wanted()

    def wait_wanted(self, timeout_s: Optional[float] = None) -> bool:
        """Wait until wanted(); False on timeout."""
        with self._lock:
            return self._changed.wait_for(self._wanted, timeout_s)

    def wake(self) -> None:
        """Make waiting threads look again."""
        with self._lock:
            self._changed.notify_all()

    def _wanted(self):
        if len(self._tail) or self._spans or self._reports:
            return True
        if self._queue and self._queue[0].total and self._over(self._queue[0]):
            return True
        segment = self._playable()
        return segment is not None and (segment.total > 0 or segment.complete)

    @staticmethod
    def _over(segment):
        return segment.complete and segment.heard >= segment.total

    def _playable(self) -> Optional[Segment]:
        for segment in self._queue:
            if segment.rendered < segment.total or not segment.complete or not segment.total:
                break
        else:
            return None
        if self._paused and (segment.interruptible or not segment.rendered):
            return None
        return segment

    def render(self, count: int, audible_ns: int) -> np.ndarray:
        """Return the next `count` samples, the first of which becomes audible at `audible_ns`."""
        out = np.zeros(count, np.int16)
        with self._lock:
            at = min(count, len(self._tail))
            out[:at], self._tail = self._tail[:at], self._tail[at:]
            while at < count:
                segment = self._playable()
                if segment is None:
                    if self._paused:
                        self._hold()
                    break
                samples = segment.take(count - at)
                if not len(samples):
                    if segment.total == 0 and segment.complete:
                        self._end_silent(segment, audible_ns)
                        continue
                    if segment.rendered and not self._starving:
                        self._starving = True
                        self.underruns += 1
                    break
                self._starving = False
                if self._fade_in:
                    self._fade_in = False
                    ramp = np.linspace(0.0, 1.0, min(self._fade, len(samples)))
                    samples = samples.copy()
                    samples[:len(ramp)] = (samples[:len(ramp)] * ramp).astype(np.int16)
                if at + len(samples) < count and self._runs_dry(segment, len(samples)):
                    # What comes next is late: do not break off in the middle of a wave.
                    samples = self._faded_out(samples)
                    self._fade_in = True
                out[at:at + len(samples)] = samples
                self._spans.append(Span(
                    segment, segment.rendered, len(samples),
                    audible_ns + at * NS_PER_S // self.rate))
                segment.rendered += len(samples)
                at += len(samples)
            self._last_ns = audible_ns + count * NS_PER_S // self.rate
            self._changed.notify_all()
            before, self._gain = self._gain, self.volume
        if before == self._gain == 1.0:
            return out
        return np.clip(out * np.linspace(before, self._gain, count), -32768, 32767).astype(
            np.int16)

    @staticmethod
    def _runs_dry(segment: Segment, count: int) -> bool:
        return not segment.complete and segment.rendered + count >= segment.total

    def _faded_out(self, samples: np.ndarray) -> np.ndarray:
        ramp = np.linspace(1.0, 0.0, min(self._fade, len(samples)))
        samples = samples.copy()
        if len(ramp):
            samples[-len(ramp):] = (samples[-len(ramp):] * ramp).astype(np.int16)
        return samples

    def poll(self, now_ns: int) -> List[Report]:
        """Return what became audible until now, in order."""
        with self._lock:
            self._advance(now_ns)
            reports, self._reports = self._reports, []
            # A report that is about a command alone is stamped when it is fetched.
            return [r if r.stamp_ns else stamped(r, now_ns) for r in reports]

    def _advance(self, now_ns):
        while self._spans and self._spans[0].audible_ns <= now_ns:
            span = self._spans[0]
            segment = span.segment
            if not segment.started:
                segment.started = True
                self._report(segment, STARTED, span.audible_ns)
            audible = min(span.count, (now_ns - span.audible_ns) * self.rate // NS_PER_S)
            end_ns = span.audible_ns + span.count * NS_PER_S // self.rate
            if end_ns <= now_ns:
                audible = span.count
            segment.heard = max(segment.heard, span.first + audible)
            if audible < span.count:
                break
            self._spans.popleft()
            if self._over(segment):
                if segment in self._queue:
                    self._queue.remove(segment)
                self._report(segment, FAILED if segment.error_code else FINISHED, end_ns)
            elif segment.heard - segment.reported >= self._report_every:
                self._report(segment, PLAYING, end_ns)
        # Completed only after its last sample was audible.
        while self._queue and not self._spans:
            segment = self._queue[0]
            if not (segment.total and self._over(segment)):
                break
            self._queue.popleft()
            self._report(segment, FAILED if segment.error_code else FINISHED, now_ns)

    def _end_silent(self, segment, audible_ns):
        self._queue.remove(segment)
        self._report(segment, FAILED if segment.error_code else FINISHED, audible_ns)

    def _report(self, segment, state, stamp_ns):
        segment.reported = segment.heard
        self._reports.append(Report(
            segment.segment_id, segment.generation_id, segment.epoch, state,
            segment.heard_chars(), segment.heard / self.rate,
            segment.total / self.rate if segment.complete else -1.0, stamp_ns,
            segment.error_code, segment.error_msg))
