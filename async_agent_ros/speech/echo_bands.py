"""
How loud the robot's echo usually is, band by band, and what is louder than that.

Only loudness counts, so that a room that rings, or a loudspeaker that distorts, does no harm.
"""
import numpy as np

from .audio import RATE

LEARN = 40
"""Frames of the robot's voice in a band before its usual echo is known."""
_RING = 0.8
"""What is left of a sound in a room after 10 ms: 60 dB in 0.6 s."""
_AUDIBLE = 1e5
_NOISE = 1e5
"""Power of a background that is not known yet."""


class EchoBands:
    """Loudness of microphone and reference in bands, every 10 ms."""

    def __init__(self, window: int, low_hz: float, high_hz: float, bands: int):
        self.window = window
        """Samples of microphone and reference that take() looks at."""
        self._taper = np.hanning(window).astype(np.float32)
        edges = np.geomspace(low_hz, high_hz, bands + 1) * window / RATE
        self._edges = np.unique(edges.astype(int))
        count = len(self._edges) - 1
        self.lowest_hz = self._edges[:-1] * RATE / window
        """Where each band begins."""
        self._ringing = np.zeros(count)
        self._gain = np.full(count, -3.0)
        self._learned = np.zeros(count, int)
        self._quiet = np.zeros(0, np.int16)
        self._mute = 0
        self.noise = np.full(count, _NOISE)
        """Power of the background."""
        self.heard = np.zeros(count)
        """Power at the microphone."""
        self.usual = np.zeros(count)
        """Power of the echo that is to be expected."""

    @property
    def known(self) -> np.ndarray:
        """Tell of each band whether its usual echo is known."""
        return self._learned >= LEARN

    def forget(self) -> None:
        """Learn anew: what was learned was learned of other moments."""
        self._learned[:] = 0

    def listen(self, microphone: np.ndarray) -> None:
        """Take the next samples while the robot is silent: they tell the background."""
        self._quiet = np.concatenate([self._quiet, microphone])
        while len(self._quiet) >= self.window:
            window, self._quiet = self._quiet[:self.window], self._quiet[self.window:]
            if np.abs(window.astype(np.int32)).max() > 1:
                self._mute = 0
                heard, noise = self._power(window), self.noise
                self.noise = np.where(heard < noise, 0.6 * noise + 0.4 * heard, noise * 1.06)
            else:
                # Mute: that tells nothing, and behind it the background may be another one.
                self._mute += self.window
                if self._mute > RATE // 4:
                    self.noise = np.full_like(self.noise, _NOISE)

    def take(self, microphone: np.ndarray, played: np.ndarray) -> None:
        """Take the last `window` samples of the microphone, and what the robot played then."""
        self.heard = self._power(microphone)
        self._ringing = np.maximum(self._power(played), _RING * self._ringing)
        noise = self.noise
        self.noise = np.where(self.heard < noise, 0.9 * noise + 0.1 * self.heard, noise * 1.002)
        self.usual = 10.0 ** self._gain * self._ringing

    def learn(self, somebody: bool) -> None:
        """Follow the level below which four fifths of the echo lie; a person lifts it slowly."""
        fresh = self._learned < LEARN
        audible = (self._ringing > _AUDIBLE) & (fresh | (self.usual > self.noise))
        above = np.log10(self.heard / (self._ringing + 1.0) + 1e-9) > self._gain
        step = np.where(fresh, 0.15, 0.004 if somebody else 0.02)
        self._gain += np.where(audible, np.where(above, step, -step / 4.0), 0.0)
        self._learned += audible

    def _power(self, samples: np.ndarray) -> np.ndarray:
        bins = np.abs(np.fft.rfft(samples * self._taper)) ** 2
        return np.add.reduceat(bins, self._edges)[:-1]
