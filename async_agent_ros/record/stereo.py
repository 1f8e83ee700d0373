"""The sound of a run as one stereo recording: the person on the left, the robot on the right."""
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, List, Tuple, Union

import numpy as np

RATE = 16_000
NS_PER_S = 1_000_000_000

GAP_S = 0.06
"""A block whose stamp is further from where the last one ended begins a new stretch."""

SOUND_LEVEL = 0.01
"""Full scale is 1.0; below this it is silence (-40 dB)."""


@dataclass
class _Stretch:
    """Blocks without a gap. The place is that of the first block; the others only follow it."""

    start_ns: int
    rate: int
    next_sample: int
    blocks: List[np.ndarray] = field(default_factory=list)
    samples: int = 0

    @property
    def end_ns(self) -> int:
        return self.start_ns + self.samples * NS_PER_S // self.rate


class Track:
    """One side of the conversation, gathered from Audio messages in their order."""

    def __init__(self) -> None:
        self._stretches: List[_Stretch] = []

    def add(self, message: Any) -> None:
        """Take in one Audio message (from rclpy or from a bag)."""
        data = np.asarray(message.data, np.int16)
        channels = max(1, int(message.channels))
        if channels > 1:
            frames = len(data) // channels
            data = data[:frames * channels].reshape(frames, channels).mean(axis=1)
            data = data.astype(np.int16)
        if not len(data) or not message.sample_rate:
            return
        start_ns = message.stamp.sec * NS_PER_S + message.stamp.nanosec
        first, rate = int(message.first_sample), int(message.sample_rate)
        last = self._stretches[-1] if self._stretches else None
        # Stamps jitter by a scheduler's delay, so within a stretch the sample count is the clock.
        if (last is None or rate != last.rate or first != last.next_sample
                or abs(start_ns - last.end_ns) > GAP_S * NS_PER_S):
            last = _Stretch(start_ns, rate, first)
            self._stretches.append(last)
        last.blocks.append(data)
        last.samples += len(data)
        last.next_sample = first + len(data)

    @property
    def span_ns(self) -> Tuple[int, int]:
        """First and last moment with audio; (0, 0) when there is none."""
        if not self._stretches:
            return 0, 0
        return self._stretches[0].start_ns, max(s.end_ns for s in self._stretches)

    def render(self, start_ns: int, end_ns: int, rate: int = RATE) -> np.ndarray:
        """Return the samples between two moments as int16; silence where there was nothing."""
        out = np.zeros(max(0, (end_ns - start_ns) * rate // NS_PER_S), np.int16)
        for stretch in self._stretches:
            samples = _resample(np.concatenate(stretch.blocks), stretch.rate, rate)
            at = (stretch.start_ns - start_ns) * rate // NS_PER_S
            if at < 0:
                samples, at = samples[-at:], 0
            samples = samples[:max(0, len(out) - at)]
            out[at:at + len(samples)] = samples
        return out

    def sounds(self, *, window_s: float = 0.01, join_s: float = 0.25,
               level: float = SOUND_LEVEL) -> List[Tuple[int, int]]:
        """
        Return where it sounds, as (onset, end) in nanoseconds: voice activity from outside.

        Silence shorter than join_s does not end a sound.
        """
        start_ns, end_ns = self.span_ns
        if start_ns == end_ns:
            return []
        samples = self.render(start_ns, end_ns)
        peaks = envelope(samples, round(window_s * RATE)) > level
        found: List[Tuple[int, int]] = []
        join = round(join_s / window_s)
        for index in np.flatnonzero(peaks):
            if found and index - found[-1][1] <= join:
                found[-1] = (found[-1][0], int(index) + 1)
            else:
                found.append((int(index), int(index) + 1))
        window_ns = int(window_s * NS_PER_S)
        return [(start_ns + a * window_ns, start_ns + b * window_ns) for a, b in found]


def _resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    if from_rate == to_rate:
        return samples
    try:
        import soxr
        return soxr.resample(samples, from_rate, to_rate)
    except ImportError:
        count = len(samples) * to_rate // from_rate
        places = np.arange(count) * (from_rate / to_rate)
        return np.interp(places, np.arange(len(samples)), samples).astype(np.int16)


def envelope(samples: np.ndarray, window: int) -> np.ndarray:
    """Return the peak of every window, full scale 1.0."""
    count = len(samples) // window
    if not count:
        return np.zeros(0, np.float32)
    frames = samples[:count * window].reshape(count, window).astype(np.int32)
    return (np.abs(frames).max(axis=1) / 32768.0).astype(np.float32)


def mix(person: Track, robot: Track, start_ns: int, end_ns: int, rate: int = RATE) -> np.ndarray:
    """Return frames of (left person, right robot)."""
    return np.stack([person.render(start_ns, end_ns, rate), robot.render(start_ns, end_ns, rate)],
                    axis=1)


def write_stereo(path: Union[str, Path], frames: np.ndarray, rate: int = RATE) -> None:
    """Write int16 frames as a WAV file."""
    with wave.open(str(path), 'wb') as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.ascontiguousarray(frames, '<i2').tobytes())
