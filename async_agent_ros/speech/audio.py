"""Blocks of audio and the conversions between formats. Everything inside is int16 mono."""
from dataclasses import dataclass
from typing import Optional

import numpy as np

RATE = 16_000
"""Hz that voice activity detection and recognition work at."""

NS_PER_S = 1_000_000_000


class AudioError(Exception):
    """Audio cannot be captured, read or played. The message names the thing and the remedy."""


@dataclass(frozen=True)
class Block:
    """A stretch of mono PCM."""

    samples: np.ndarray
    """int16, full scale +-32767."""
    first_sample: int
    """Index of the first sample since the stream began; a jump is a loss."""
    stamp_ns: int
    """When the first sample was captured or becomes audible, in the clock of its owner."""
    rate: int = RATE
    """Hz."""


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Return samples as int16; floats have a full scale of 1.0 and are clipped."""
    if samples.dtype == np.int16:
        return samples
    return (np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16)


def to_float(samples: np.ndarray) -> np.ndarray:
    """Return int16 samples as float32 with a full scale of 1.0."""
    if samples.dtype == np.float32:
        return samples
    return samples.astype(np.float32) / 32768.0


def to_mono(samples: np.ndarray, channels: int) -> np.ndarray:
    """Return the mean of the channels of interleaved (or two-dimensional) int16 samples."""
    if channels == 1:
        return samples.reshape(-1)
    frames = samples.reshape(-1, channels)
    return frames.mean(axis=1).astype(np.int16)


def resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Return a whole recording at another rate. Raises AudioError where soxr is missing."""
    if from_rate == to_rate or not len(samples):
        return samples
    return _soxr(from_rate).resample(samples, from_rate, to_rate)


class Resampler:
    """Streaming rate conversion of int16 mono; the same rate passes through untouched."""

    def __init__(self, from_rate: int, to_rate: int = RATE, *, quality: str = 'MQ'):
        self.from_rate, self.to_rate = from_rate, to_rate
        self._taken = self._given = 0
        self._stream: Optional[object] = None
        if from_rate != to_rate:
            self._stream = _soxr(from_rate).ResampleStream(
                from_rate, to_rate, 1, dtype='int16', quality=quality)

    def __call__(self, samples: np.ndarray, last: bool = False) -> np.ndarray:
        """Convert the next stretch; `last` gives out what the filter still holds."""
        if self._stream is None:
            return samples
        out = self._stream.resample_chunk(samples, last=last)
        self._taken += len(samples)
        self._given += len(out)
        return out

    @property
    def held_ns(self) -> int:
        """Time that the filter holds back: what it gives next was taken so much earlier."""
        if self._stream is None:
            return 0
        return (self._taken * NS_PER_S // self.from_rate - self._given * NS_PER_S // self.to_rate)


def _soxr(rate: int):
    try:
        import soxr
    except ImportError:
        raise AudioError(f'audio at {rate} Hz cannot be converted: the package soxr is missing. '
                         'Install it (pip install soxr), or deliver 16000 Hz mono.') from None
    return soxr
