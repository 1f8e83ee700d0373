"""Is there an echo of the robot in the microphone, and how late."""
import enum

import numpy as np

from .audio import RATE

FRAME = RATE // 100
"""Samples that are taken at once: 10 ms."""

REACH = RATE // 2
"""Longest delay, samples."""

_LISTEN = RATE
"""Stretch over which the echo is looked for."""
_STEP = 10
"""Frames of the robot's voice between two looks, while nothing is certain."""
_RARE = 50
"""The same, later."""
_ALIKE = 0.25
"""Least correlation of microphone and reference that is an echo."""
_LOOKS = 8
"""Looks in vain after which there is none: more than the longest delay."""
_LOUD = 300


class Presence(enum.Enum):
    """What is known of the echo."""

    UNKNOWN = 'unknown'
    ABSENT = 'absent'
    """Nothing of the robot's voice comes back: a headset, or a microphone far away."""
    PRESENT = 'present'


class History:
    """The last samples of a stream, in one piece without copying all of them every time."""

    def __init__(self, size: int):
        self._size = self._end = size
        self._data = np.zeros(3 * size, np.float32)

    def add(self, samples: np.ndarray) -> None:
        """Take the next samples, fewer than it keeps."""
        if self._end + len(samples) > len(self._data):
            self._data[:self._size] = self._data[self._end - self._size:self._end]
            self._end = self._size
        self._data[self._end:self._end + len(samples)] = samples
        self._end += len(samples)

    @property
    def last(self) -> np.ndarray:
        """Return as many of them as it keeps."""
        return self._data[self._end - self._size:self._end]


class EchoSearch:
    """Finds the delay at which microphone and reference are most alike."""

    def __init__(self):
        self._mic, self._ref = History(_LISTEN), History(_LISTEN + REACH)
        self._correlation = np.zeros(REACH)
        self._frames = self._in_vain = 0
        self.delay = 0
        """Samples by which the echo follows the reference."""
        self.settled = 0
        """Looks that have found the same delay."""
        self.presence = Presence.UNKNOWN

    def take(self, microphone: np.ndarray, reference: np.ndarray) -> None:
        """Take the next frame of both."""
        self._mic.add(microphone)
        self._ref.add(reference)
        if np.abs(self.ref[-FRAME:]).max() > _LOUD:
            self._frames += 1
            if self._frames >= (_RARE if self.settled > 10 else _STEP):
                self._frames = 0
                self._look()

    @property
    def mic(self) -> np.ndarray:
        """Return the last second of the microphone."""
        return self._mic.last

    @property
    def ref(self) -> np.ndarray:
        """Return the last one and a half seconds of the reference."""
        return self._ref.last

    def delayed(self, count: int) -> np.ndarray:
        """Return the reference as it is to be found in the last `count` samples of the mic."""
        end = len(self.ref) - self.delay
        return self.ref[end - count:end]

    def _look(self) -> None:
        size = 1 << (len(self.mic) + len(self.ref) - 1).bit_length()
        spectrum = np.fft.rfft(self.mic, size) * np.fft.rfft(self.ref, size).conj()
        # Half whitened: sharp for speech, without lifting the bands in which there is only noise.
        spectrum /= np.sqrt(np.abs(spectrum)) + 1e-6
        lags = np.fft.irfft(spectrum, size)
        # The reference begins REACH earlier: lag -REACH is no delay.
        found = np.abs(lags[-np.arange(1, REACH + 1)][::-1])
        self._correlation = 0.7 * self._correlation + found / (found.max() + 1e-9)
        delay = int(self._correlation.argmax())
        end = len(self.ref) - delay
        played = self.ref[end - _LISTEN:end]
        alike = abs(float(self.mic @ played)) / (
            float(np.linalg.norm(self.mic)) * float(np.linalg.norm(played)) + 1.0)
        if alike < _ALIKE:
            # Somebody else speaks, or there is no echo at all.
            self._in_vain += 1
            if self._in_vain >= _LOOKS and self.presence is Presence.UNKNOWN:
                self.presence = Presence.ABSENT
            return
        self._in_vain, self.presence = 0, Presence.PRESENT
        if abs(delay - self.delay) > FRAME:
            self.settled = 0
        self.delay = delay
        self.settled += 1
