"""The simulated person: speech for demonstrations, tests and benchmarks."""
import wave
from pathlib import Path
from typing import Optional, Sequence, Tuple, Union

import numpy as np

from .audio import RATE, resample
from .voice import HibariVoice, Voice, VoiceSettings


class Person:
    """Speaks with the voice of Hibari, apart from the robot's, the same samples each time."""

    def __init__(self, voice: Optional[Voice] = None, *, rate: float = 1.0):
        self._voice = voice or HibariVoice(
            settings=VoiceSettings(rate=rate, first_clause_chars=200), seed=7)
        self._loaded = False

    def say(self, text: str) -> np.ndarray:
        """Return the speech as 16 kHz int16; raises VoiceError when the voice is missing."""
        if not self._loaded:
            self._voice.load()
            self._loaded = True
        pcm = [chunk.pcm for chunk in self._voice.synthesize(text)]
        whole = np.concatenate(pcm) if pcm else np.zeros(0, np.int16)
        return resample(whole, self._voice.sample_rate, RATE)

    def script(self, lines: Sequence[Tuple[float, str]], tail_s: float = 1.0) -> np.ndarray:
        """
        Return one recording of (start in seconds, text) lines, as 16 kHz int16.

        A line that begins before the last one has ended begins right after it.
        """
        audio = np.zeros(0, np.int16)
        for start_s, text in lines:
            gap = max(0, int(start_s * RATE) - len(audio))
            audio = np.concatenate([audio, np.zeros(gap, np.int16), self.say(text)])
        return np.concatenate([audio, np.zeros(int(tail_s * RATE), np.int16)])


def write_wav(path: Union[str, Path], samples: np.ndarray, rate: int = RATE) -> None:
    """Write int16 samples (frames x channels, or mono) as a WAV file."""
    with wave.open(str(path), 'wb') as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.ascontiguousarray(samples, '<i2').tobytes())
