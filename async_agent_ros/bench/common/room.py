"""
A room for benchmarks: a person who speaks, noise, and a loudspeaker beside the microphone.

The person is the small permissive voice at several speeds and pitches. A thread publishes what the
microphone hears, in real time; what the robot plays comes back as an echo.
"""
import threading
import time
from typing import List, Optional, Sequence, Tuple

import numpy as np

from async_agent_ros.msg import Audio
from async_agent_ros.nodes.node_base import to_ns, to_time
from async_agent_ros.speech.audio import RATE, resample
from async_agent_ros.speech.person import Person
from async_agent_ros.speech.reference import Reference
from async_agent_ros.speech.voice import HibariVoice, VoiceSettings

BLOCK = RATE // 100
AUDIBLE = 200
"""Samples above this (-44 dB of full scale) are sound."""

Line = Sequence[Tuple[str, float]]
"""Stretches of speech, each with the silence after it in seconds."""


def sound_span(samples: np.ndarray, threshold: int = AUDIBLE) -> Tuple[int, int]:
    """Return the first audible sample and the one after the last; raises ValueError if none."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > threshold)
    if not len(loud):
        raise ValueError('there is no sound in it')
    return int(loud[0]), int(loud[-1]) + 1


def speech_ms(samples: np.ndarray, from_ms: float, to_ms: float) -> float:
    """Return how long somebody speaks in a part of a sound; pauses over 0.2 s are none."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > AUDIBLE)
    gaps = np.flatnonzero(np.diff(loud) > RATE // 5)
    begins, ends = loud[np.r_[0, gaps + 1]], loud[np.r_[gaps, len(loud) - 1]] + 1
    inside = np.minimum(ends, to_ms * RATE / 1e3) - np.maximum(begins, from_ms * RATE / 1e3)
    return float(inside.clip(0).sum()) * 1e3 / RATE


def trimmed(samples: np.ndarray) -> np.ndarray:
    """Return the samples without the silence at both ends."""
    first, end = sound_span(samples)
    return samples[first:end]


class People:
    """Speakers: (speed, pitch), the same samples each time."""

    SPEAKERS = ((1.0, 1.0), (0.9, 1.06), (1.15, 0.94), (1.05, 1.12))

    def __init__(self):
        self._voices = {}
        self._voice: Optional[HibariVoice] = None

    def say(self, line: Line, number: int) -> np.ndarray:
        """Return a line, spoken by one of them, as 16 kHz int16; the ends are speech."""
        speed, pitch = self.SPEAKERS[number % len(self.SPEAKERS)]
        if (speed, pitch) not in self._voices:
            self._voices[speed, pitch] = Person(HibariVoice(
                settings=VoiceSettings(rate=speed / pitch, first_clause_chars=200), seed=7))
        parts: List[np.ndarray] = []
        for text, pause_s in line:
            spoken = trimmed(self._voices[speed, pitch].say(text))
            # Played faster, a voice is higher; the speed was corrected for that.
            spoken = resample(spoken, int(RATE * pitch), RATE)
            parts += [spoken, np.zeros(int(pause_s * RATE), np.int16)]
        return trimmed(np.concatenate(parts))


def cough(rng: np.random.Generator) -> np.ndarray:
    """Return a sound without words: two bursts of coloured noise, 16 kHz int16."""
    bursts = [rng.normal(0.0, 1.0, int(s * RATE)) * np.exp(-np.arange(int(s * RATE)) / (s * 3200))
              for s in (0.2, 0.3)]
    sound = np.convolve(np.concatenate(bursts), rng.normal(0.0, 1.0, 40), 'same')
    return (sound / np.abs(sound).max() * 9000).astype(np.int16)


class Room:
    """
    The microphone: publishes on a topic what is heard, until close().

    `echo_db` is the level of the robot's voice at the microphone, relative to what it plays; None:
    a headset. `noise` is the mean amplitude of the background.
    """

    def __init__(self, publisher, *, echo_db: Optional[float] = None, echo_delay_s: float = 0.08,
                 noise: float = 15.0, seed: int = 0):
        self._publisher = publisher
        self._rng = np.random.default_rng(seed)
        self._gain = 0.0 if echo_db is None else 10.0 ** (echo_db / 20.0)
        self._delay_ns = int(echo_delay_s * 1e9)
        self.noise = noise
        self._reference = Reference()
        self._lock = threading.Lock()
        self._spoken: List[Tuple[int, np.ndarray]] = []
        self._closed = threading.Event()
        answer = self._rng.normal(0.0, 0.1, RATE // 20) * np.exp(-np.arange(RATE // 20) / 300.0)
        answer[0] = 1.0
        self._answer = answer / np.sqrt((answer ** 2).sum())
        self._thread = threading.Thread(target=self._run, name='microphone', daemon=True)
        self._thread.start()

    def played(self, message: Audio) -> None:
        """Let the loudspeaker play a block of audio_out."""
        self._reference.add(np.frombuffer(message.data, np.int16), rate=message.sample_rate,
                            first_sample=message.first_sample, stamp_ns=to_ns(message.stamp))

    def speak(self, samples: np.ndarray, after_s: float = 0.05) -> Tuple[int, int]:
        """Let the person speak soon; return when that begins and ends, nanoseconds."""
        start_ns = time.time_ns() + int(after_s * 1e9)
        with self._lock:
            self._spoken.append((start_ns, samples))
        return start_ns, start_ns + len(samples) * 1_000_000_000 // RATE

    def _heard(self, start_ns: int) -> np.ndarray:
        mic = self._rng.normal(0.0, self.noise, BLOCK)
        if self._gain:
            ring = len(self._answer) - 1
            played = self._reference.window(
                start_ns - self._delay_ns - ring * 1_000_000_000 // RATE, BLOCK + ring)
            if played.any():
                mic += self._gain * np.convolve(played, self._answer, 'valid')
        with self._lock:
            for begin_ns, samples in self._spoken:
                at = (start_ns - begin_ns) * RATE // 1_000_000_000
                first, end = max(0, at), min(len(samples), at + BLOCK)
                if first < end:
                    mic[first - at:end - at] += samples[first:end]
            self._spoken = [s for s in self._spoken
                            if s[0] + len(s[1]) * 1_000_000_000 // RATE > start_ns]
        return np.clip(mic, -32767, 32767).astype(np.int16)

    def _run(self) -> None:
        start_ns, number = time.time_ns(), 0
        while not self._closed.is_set():
            stamp_ns = start_ns + number * 10_000_000
            # A block is there when its last sample was captured.
            wait_s = (stamp_ns + 10_000_000 - time.time_ns()) / 1e9
            if wait_s > 0:
                self._closed.wait(wait_s)
            message = Audio(stamp=to_time(stamp_ns), source='room', first_sample=number * BLOCK,
                            sample_rate=RATE, channels=1)
            message.data.frombytes(self._heard(stamp_ns).tobytes())
            self._publisher.publish(message)
            number += 1

    def close(self) -> None:
        """End it."""
        self._closed.set()
        self._thread.join(timeout=2.0)
