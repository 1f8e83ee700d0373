"""Recognisers side by side: word errors, latency of partials and finals, and what they cost."""
import time
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np

from async_agent_ros import models
from async_agent_ros.bench.common import rows
from async_agent_ros.bench.common.room import People, trimmed
from async_agent_ros.bench.common.words import plain_words, word_errors
from async_agent_ros.speech.audio import RATE, resample
from async_agent_ros.speech.recognizer import make_recognizer
from async_agent_ros.speech.streaming import Transcriber
from async_agent_ros.speech.voice import make_voice, VoiceSettings

SENTENCES = (
    'What is your battery level?', 'Please drive to the kitchen and look for a red cup.',
    'Can you bring me a glass of water?', 'How many people are in the living room right now?',
    'Go back to the charging station, please.', 'Turn around and follow me to the office.',
    'Pick up the blue box and put it on the table.', 'Where did you leave my keys this morning?',
    'Wake me up in twenty minutes.', 'Stop, there is somebody behind you.',
    'Tell me a story about a lighthouse.', 'Is the front door still open?',
    'Take the small bottle, not the large one.', 'Remind me to call my sister at six.',
    'What did you see on your way to the garden?', 'Move a little closer to the window.',
    'Which of the chairs is broken?', 'Send a message to Anna that dinner is ready.',
    'Drive slowly, the floor is wet.', 'Thank you, that was very helpful.')
SPEEDS = (0.85, 1.0, 1.25)
NOISES = ((None, 'clean'), (20.0, 'SNR 20 dB'), (10.0, 'SNR 10 dB'))
PERIOD_S = 0.3
SILENCE_S = 0.1
"""Silence after which the text of a pause is asked for."""


def speakers(voice: str) -> Iterator[Tuple[str, np.ndarray]]:
    """Yield every sentence, spoken by two voices at several speeds and pitches in turn."""
    people = People()
    robots = [make_voice(voice, models.find, VoiceSettings(
        rate=rate, noise_scale=0.0, noise_w_scale=0.0, first_clause_chars=200), threads=1)
        for rate in SPEEDS]
    for robot in robots:
        robot.load()
    for number, text in enumerate(SENTENCES):
        yield text, people.say(((text, 0.0),), number)
        robot = robots[number % len(robots)]
        pcm = np.concatenate([chunk.pcm for chunk in robot.synthesize(text)])
        yield text, trimmed(resample(pcm, robot.sample_rate, RATE))


def with_noise(samples: np.ndarray, snr_db: Any, rng: np.random.Generator) -> np.ndarray:
    """Return speech with silence at both ends and noise (pink, as rooms have it) over all."""
    pad = np.zeros(int(0.3 * RATE))
    whole = np.concatenate([pad, samples, pad])
    if snr_db is not None:
        spectrum = np.fft.rfft(rng.normal(0.0, 1.0, len(whole)))
        spectrum /= np.sqrt(np.maximum(1.0, np.arange(len(spectrum))))
        noise = np.fft.irfft(spectrum, len(whole))
        power = np.mean(samples.astype(float) ** 2) / 10.0 ** (snr_db / 10.0)
        whole = whole + noise * np.sqrt(power / np.mean(noise ** 2))
    return np.clip(whole, -32767, 32767).astype(np.int16)


def measure(bench: str, names: Sequence[str], voice: str, seed: int) -> List[rows.Row]:
    """Return the rows of all recognisers; each hears the same speech."""
    spoken = list(speakers(voice))
    made: List[rows.Row] = []
    for name in names:
        recognizer = make_recognizer(name, models.find)
        recognizer.load()
        rng = np.random.default_rng(seed)
        for snr_db, mode in NOISES:
            errors = words = 0
            for text, samples in spoken:
                said = plain_words(text)
                told = recognizer.transcribe(with_noise(samples, snr_db, rng)).text
                errors, words = errors + word_errors(said, plain_words(told)), words + len(said)
            made.append(rows.single(bench, 'wer_percent', name, mode, '%', words,
                                    100.0 * errors / words))
        made += _streamed(bench, name, recognizer, [s for _, s in spoken[::2]])
        recognizer.close()
    return made


def _streamed(bench: str, name: str, recognizer, spoken: Sequence[np.ndarray]) -> List[rows.Row]:
    """Hear the sentences as asr does: rounds while they are spoken, one in the pause behind."""
    times: Dict[str, List[float]] = {'partial_ms': [], 'final_ms': []}
    cpu_s = speech_s = 0.0
    step, pad = int(PERIOD_S * RATE), np.zeros(int(0.3 * RATE), np.int16)
    for samples in spoken:
        whole = np.concatenate([pad, samples, np.zeros(int(SILENCE_S * RATE), np.int16)])
        own = getattr(recognizer, 'transcriber', None)
        hearing = own() if own else Transcriber(recognizer)
        begun_s = time.process_time()
        for end in range(len(pad) + step, len(whole), step):
            start_s = time.perf_counter()
            hearing.revise(whole[:end], quick=True)
            times['partial_ms'].append((time.perf_counter() - start_s) * 1e3)
        start_s = time.perf_counter()
        hearing.pause(whole)
        times['final_ms'].append((time.perf_counter() - start_s) * 1e3)
        cpu_s += time.process_time() - begun_s
        speech_s += len(samples) / RATE
    made = [rows.distribution(bench, metric, name, 'clean', 'ms', taken)
            for metric, taken in times.items()]
    made.append(rows.single(bench, 'cpu_s_per_speech_s', name, 'clean', 's', len(spoken),
                            cpu_s / speech_s))
    return made
