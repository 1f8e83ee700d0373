"""
Somebody makes a sound while the robot speaks: known within some hundredths of a second.

Voice activity detection waits for a voice, and "stop" begins with a hiss. A pause of the robot is
cheap and is taken back, so the first sound that is neither the robot's own nor the background is
enough to hold it; a voice must follow soon.
"""
from collections import deque
import math
from typing import Deque, Optional

import numpy as np

from .audio import RATE
from .echo_bands import EchoBands
from .echo_search import EchoSearch, FRAME, Presence

FRAMES_PER_S = RATE // FRAME
HELD_S = 0.04
"""How long a sound has lasted when it is known."""


class Loudness:
    """The power of a stream frame by frame, with the high tones lifted."""

    def __init__(self):
        self._last = 0.0

    def __call__(self, frame: np.ndarray) -> float:
        """Return the power of the next frame."""
        samples = frame.astype(np.float32)
        lifted = samples - 0.9 * np.concatenate([[self._last], samples[:-1]])
        self._last = samples[-1]
        return float(np.mean(lifted * lifted))


class Background:
    """The power of what is always there: the quietest moment of the last one or two seconds."""

    _FRAMES = 25
    _STRETCHES = 6

    def __init__(self):
        self._smooth = 0.0
        self._mute = 0
        self._least: Deque[float] = deque(maxlen=self._STRETCHES)
        self._now, self._count = math.inf, 0
        self.power = 0.0
        """0.0 while it is not known."""

    def take(self, power: float) -> None:
        """Take the power of the next frame."""
        if power < 1.0:
            # Mute: that tells nothing, and behind it the background may be another one.
            self._mute += 1
            return
        if self._mute > self._FRAMES:
            self._least.clear()
            self._smooth, self.power = power, 0.0
            self._now, self._count = math.inf, 0
        self._mute = 0
        self._smooth = 0.5 * self._smooth + 0.5 * power
        self._now, self._count = min(self._now, self._smooth), self._count + 1
        if self._count >= self._FRAMES:
            self._least.append(self._now)
            self._now, self._count = math.inf, 0
        if self._least:
            self.power = min(*self._least, self._now)


class EagerOnset:
    """
    Judges every FRAME of the microphone, from what the echo canceller knows.

    Three signs count: the frame without its echo is louder than the background, and the microphone
    is louder than the echo usually is, in some bands or in all of the high ones together. These
    hear the hiss that a canceller takes away together with the echo. Sounds that no voice followed
    (refuted) make it rest, each time for twice as long, so that a noisy place does not make the
    robot stutter.
    """

    _LOUDER = 10.0
    """Factor on the power of the background: 10 dB."""
    _LEAST = 600.0
    """Power, of samples squared with the high tones lifted, that is a sound at all."""
    _BAND_LOUDER = 6.3
    """The same factor in a band: 8 dB above echo and background."""
    _BANDS = 3
    """Bands that must be so loud."""
    _HISS_HZ, _HISS_LOUDER = 3000.0, 4.0
    """Above it a factor of 6 dB on the sum will do: that is steadier than a band."""
    _NEED, _OF = 3, 4
    """Frames of the last ones that must be so: a click is shorter."""
    _SETTLE = 150
    """Frames with an echo, until a canceller that has just found it takes all of it away."""
    _DISTURBED = 40
    """Rest after a gap in what is known of the robot's own voice: the echo comes later."""
    _CALM = 20
    """Frames without such a sound before the next one counts."""
    _REST_S, _LONGEST_S = 0.5, 30.0
    """Rest after a sound that was nothing; at most."""
    _FORGET_S = 20.0
    """Without another one for so long, the next rest is short again."""

    def __init__(self):
        self._bands = EchoBands(320, 150.0, 7600.0, 22)
        self._loudness, self._captured = Loudness(), Loudness()
        self._background, self._hiss_background = Background(), Background()
        self._high = self._bands.lowest_hz >= self._HISS_HZ
        self._hits = 0
        self._calm = self._CALM
        self._delay = self._heard = 0
        self._rest_s = self._REST_S
        self._resting = self._since = 0

    def listen(self, samples: np.ndarray) -> None:
        """Follow the background while the robot is silent."""
        for at in range(0, len(samples) - FRAME + 1, FRAME):
            self._background.take(self._captured(samples[at:at + FRAME]))
        self._bands.listen(samples)
        self._hits, self._calm = 0, self._CALM
        self._since += len(samples) // FRAME

    def take(self, cleaned: np.ndarray, search: Optional[EchoSearch]) -> bool:
        """
        Take a frame without its echo; return whether somebody has just begun to make a sound.

        `search` holds the frame as it was captured; None where no echo is cancelled.
        """
        hit = self._louder(cleaned, cleaned if search is None else search.mic[-FRAME:])
        if search is not None and search.presence is not Presence.ABSENT:
            hit = self._over_echo(search) or hit
            hit = hit and self._heard >= self._SETTLE
        self._hits = (self._hits << 1 | hit) & ((1 << self._OF) - 1)
        self._resting = max(0, self._resting - 1)
        self._since += 1
        found = bin(self._hits).count('1') >= self._NEED
        began = found and self._calm >= self._CALM and not self._resting
        self._calm = 0 if found else self._calm + 1
        return began

    def confirmed(self) -> None:
        """Take note that it was a voice."""
        self._rest_s = self._REST_S

    def disturbed(self) -> None:
        """Take note that the robot made a sound that is not known: its echo proves nothing."""
        self._resting = max(self._resting, self._DISTURBED)

    def refuted(self) -> None:
        """Take note that no voice followed."""
        if self._since > self._FORGET_S * FRAMES_PER_S:
            self._rest_s = self._REST_S
        self._since = 0
        self._resting = int(self._rest_s * FRAMES_PER_S)
        self._rest_s = min(self._LONGEST_S, 2.0 * self._rest_s)

    def _louder(self, cleaned: np.ndarray, captured: np.ndarray) -> bool:
        # With an echo a canceller takes away the background too: only what is captured tells it.
        floor, power = self._background.power, self._loudness(cleaned)
        self._background.take(self._captured(captured))
        return floor > 0.0 and power > max(self._LEAST, self._LOUDER * floor)

    def _over_echo(self, search: EchoSearch) -> bool:
        bands = self._bands
        if abs(search.delay - self._delay) > FRAME:
            bands.forget()
            self._heard = 0
        self._delay = search.delay
        self._heard += search.presence is Presence.PRESENT
        bands.take(search.mic[-bands.window:], search.delayed(bands.window))
        loud = bands.known & (bands.heard > self._BAND_LOUDER * (bands.usual + 4.0 * bands.noise))
        hit = int(loud.sum()) >= self._BANDS and float(bands.heard[loud].sum()) > self._LEAST
        hit = self._hiss() or hit
        if search.settled >= 2:
            bands.learn(hit)
        return hit

    def _hiss(self) -> bool:
        """Tell whether there is a hiss, such as "stop" begins with, too weak for single bands."""
        bands, floor = self._bands, self._hiss_background.power
        high = self._high & bands.known
        self._hiss_background.take(float(bands.heard[self._high].sum()))
        expected = self._HISS_LOUDER * (
            bands.usual[high].sum() + max(floor, bands.noise[high].sum()))
        return bool(floor > 0.0 and high.sum() >= self._BANDS
                    and bands.heard[high].sum() > max(self._LEAST, expected))
