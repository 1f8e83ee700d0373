"""What the robot itself plays, laid on the clock of the microphone."""
import threading
from typing import Optional

import numpy as np

from .audio import AudioError, NS_PER_S, RATE, Resampler

JITTER_S = 0.03
"""Stamps of blocks that follow one another may be off by so much."""


class Reference:
    """
    The last seconds of the robot's own speech at 16 kHz, by time.

    One thread adds blocks as they become audible, another asks for what was audible when.
    """

    def __init__(self, keep_s: float = 4.0):
        self._size = int(keep_s * RATE)
        self._ring = np.zeros(self._size, np.int16)
        self._lock = threading.Lock()
        self._end = 0
        self._loud_end = -10 * self._size
        self._resampler: Optional[Resampler] = None
        self._expected = -1
        self._asked = 0
        self.missed = 0
        """Times that sound came too late, or was lost on the way: its echo is not known."""

    def add(self, samples: np.ndarray, *, rate: int, first_sample: int, stamp_ns: int) -> None:
        """Take int16 mono that becomes audible at `stamp_ns`; raises AudioError without soxr."""
        if not 4_000 <= rate <= 384_000:
            raise AudioError(f'the reference has {rate} Hz: it must be 4000 to 384000')
        at = stamp_ns * RATE // NS_PER_S
        with self._lock:
            follows = (first_sample == self._expected and self._resampler is not None
                       and self._resampler.from_rate == rate
                       and abs(at - self._end) < JITTER_S * RATE)
            # The first hundredth of a second may be late: nobody waits while the robot is silent.
            lost = 0 <= self._expected < first_sample
            self.missed += lost or self._asked - (self._end if follows else at) > RATE // 100
            self._expected = first_sample + len(samples)
            if not follows:
                # The quick filter: nothing of a block may wait inside it for the next one.
                self._resampler = Resampler(rate, RATE, quality='QQ')
                self._skip_to(at)
            self._write(self._resampler(samples))

    def _skip_to(self, at: int) -> None:
        if at > self._end:
            # Silence in between, as far as the ring reaches back.
            count = min(at - self._end, self._size)
            self._ring[np.arange(at - count, at) % self._size] = 0
        # A clock that was set back (simulated time) must not leave sound in the future.
        self._end, self._loud_end = at, min(self._loud_end, at)

    def _write(self, samples: np.ndarray) -> None:
        samples = samples[-self._size:]
        self._ring[np.arange(self._end, self._end + len(samples)) % self._size] = samples
        self._end += len(samples)
        if len(samples) and np.abs(samples.astype(np.int32)).max() > 30:
            self._loud_end = self._end

    def window(self, start_ns: int, count: int) -> np.ndarray:
        """Return `count` samples that were audible from `start_ns` on; silence where none were."""
        first = start_ns * RATE // NS_PER_S
        out = np.zeros(count, np.int16)
        with self._lock:
            self._asked = first + count
            lo, hi = max(first, self._end - self._size), min(first + count, self._end)
            if lo < hi:
                out[lo - first:hi - first] = self._ring[np.arange(lo, hi) % self._size]
        return out

    def late(self, end_ns: int, patience_s: float) -> int:
        """
        Return how many samples before `end_ns` are still on their way.

        Nothing is, when nothing has come for longer than `patience_s`: then the robot is silent.
        """
        with self._lock:
            missing = end_ns * RATE // NS_PER_S - self._end
        return missing if 0 < missing < patience_s * RATE else 0

    def audible(self, start_ns: int, tail_s: float) -> bool:
        """Return whether anything was audible in the `tail_s` before `start_ns`, or is since."""
        first = start_ns * RATE // NS_PER_S
        with self._lock:
            return self._loud_end > first - tail_s * RATE
