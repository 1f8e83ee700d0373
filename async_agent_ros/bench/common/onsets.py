"""
How soon a person over the robot's voice is noticed: the listener of asr, fed by hand.

No clock and no other process: the same figures on every machine, whatever else it does.
"""
from typing import Dict, List, Optional, Tuple

import numpy as np

from async_agent_ros import models
from async_agent_ros.bench.common import rows
from async_agent_ros.bench.common.room import cough, People
from async_agent_ros.bench.common.scenes import BACKCHANNELS, INTERRUPTIONS, STORY
from async_agent_ros.speech import echo
from async_agent_ros.speech.audio import Block, NS_PER_S, RATE, resample
from async_agent_ros.speech.listening import Listener, ListenSettings
from async_agent_ros.speech.onset import EagerOnset
from async_agent_ros.speech.recognition import RecognitionThread
from async_agent_ros.speech.reference import Reference
from async_agent_ros.speech.vad import SileroVad
from async_agent_ros.speech.voice import make_voice, VoiceSettings

NOISES = (10.0, 80.0)
"""Mean amplitudes of the background."""
BLOCK = RATE // 100
SETTLE_S, APART_S = 8.0, 4.0
ALONE_S, TALK_S, PAUSE_S = 48.0, 2.4, 1.6
"""At the end the robot is alone, and talks and pauses in turn."""
KINDS = ('interruption', 'backchannel', 'cough', 'click')


def sounds(rng: np.random.Generator) -> List[Tuple[str, np.ndarray]]:
    """Return what is heard over the robot, with its kind, in a random order."""
    people = People()
    found = [('interruption', people.say(((text, 0.0),), speaker))
             for text in INTERRUPTIONS for speaker in range(4)]
    found += [('backchannel', people.say(((text, 0.0),), speaker))
              for text in BACKCHANNELS if text for speaker in range(4)]
    found += [('cough', cough(rng)) for _ in range(10)]
    for _ in range(10):
        count = int(rng.uniform(0.01, 0.05) * RATE)
        burst = rng.normal(0.0, 1.0, count) * np.exp(-3.0 * np.arange(count) / count)
        found.append(('click', (burst / np.abs(burst).max() * 8000).astype(np.int16)))
    rng.shuffle(found)
    return found


class _Scene:
    """A microphone in which the robot talks on and on, and others make themselves heard."""

    def __init__(self, robot: np.ndarray, heard, echo_db: Optional[float], delay_s: float,
                 noise: float, rng: np.random.Generator):
        alone = int((SETTLE_S + APART_S * (len(heard) + 1)) * RATE)
        count = alone + int(ALONE_S * RATE)
        self.robot = np.resize(robot, count)
        for start in range(alone, count, int((TALK_S + PAUSE_S) * RATE)):
            self.robot[start:start + int(PAUSE_S * RATE)] = 0
        self.mic = rng.normal(0.0, noise, count)
        if echo_db is not None:
            ring = rng.normal(0.0, 0.1, RATE // 20) * np.exp(-np.arange(RATE // 20) / 300.0)
            ring[0] = 1.0
            ring *= 10.0 ** (echo_db / 20.0) / np.sqrt((ring ** 2).sum())
            late = int(delay_s * RATE)
            self.mic[late:] += np.convolve(self.robot, ring)[:count - late]
        self.events: List[Tuple[str, int, int]] = []
        for number, (kind, sound) in enumerate(heard):
            at = int((SETTLE_S + APART_S * number + rng.uniform(0.0, 1.0)) * RATE)
            self.mic[at:at + len(sound)] += sound
            self.events.append((kind, at, at + len(sound)))
        self.mic = np.clip(self.mic, -32767, 32767).astype(np.int16)

    def onsets(self, vad: SileroVad, eager: bool) -> List[int]:
        """Return the samples at which asr says that speech begins."""
        reference, found, at = Reference(), [], 0
        path = echo.EchoPath(echo.make_canceller('auto'), reference,
                             EagerOnset() if eager else None)
        recognition = RecognitionThread(None, lambda job, revision: None, lambda error: None)
        recognition.start()
        listener = Listener(
            ListenSettings(), vad, recognition, clock=lambda: 0, echo=path,
            on_started=lambda utterance, probability: found.append(at),
            on_stopped=lambda utterance, end_ns, probability: None,
            on_source=lambda message: None)
        vad.reset()
        for start in range(0, len(self.mic) - BLOCK, BLOCK):
            at, stamp_ns = start + BLOCK, 50 * NS_PER_S + start * NS_PER_S // RATE
            reference.add(self.robot[start:at], rate=RATE, first_sample=start, stamp_ns=stamp_ns)
            listener.feed(Block(self.mic[start:at], start, stamp_ns))
        recognition.stop()
        path.close()
        return found


def measure(bench: str, voice: str, echo_db: Optional[float], delay_s: float,
            seed: int) -> List[rows.Row]:
    """Return the rows: with the eager onset, and with voice activity detection alone."""
    speaker = make_voice(voice, models.find, VoiceSettings(noise_scale=0.0, noise_w_scale=0.0),
                         threads=1)
    speaker.load()
    robot = resample(np.concatenate([c.pcm for c in speaker.synthesize(STORY)]),
                     speaker.sample_rate, RATE)
    vad = SileroVad()
    vad.load()
    made: List[rows.Row] = []
    for noise in NOISES:
        rng = np.random.default_rng(seed)
        scene = _Scene(robot, sounds(rng), echo_db, delay_s, noise, rng)
        room = 'headset' if echo_db is None else f'echo {echo_db:g} dB'
        for eager in (True, False):
            mode = f'{room}, noise {noise:g}, {"eager" if eager else "voice only"}'
            made += _rows(bench, mode, scene, scene.onsets(vad, eager))
    return made


def _rows(bench: str, mode: str, scene: _Scene, onsets: List[int]) -> List[rows.Row]:
    late: Dict[str, List[float]] = {kind: [] for kind in KINDS}
    count: Dict[str, int] = {kind: 0 for kind in KINDS}
    of_robot = [at for at in onsets if at > SETTLE_S * RATE]
    for kind, begin, end in scene.events:
        count[kind] += 1
        found = [at for at in onsets if begin < at <= end + 0.3 * RATE]
        of_robot = [at for at in of_robot if not begin < at <= end + 0.6 * RATE]
        if found:
            late[kind].append((found[0] - begin) * 1e3 / RATE)
    made = [rows.distribution(bench, 'detection_ms', kind, mode, 'ms', taken)
            for kind, taken in late.items() if taken]
    made += [rows.single(bench, 'noticed_percent', kind, mode, '%', count[kind],
                         100.0 * len(late[kind]) / count[kind]) for kind in KINDS if count[kind]]
    minutes = (len(scene.mic) / RATE - SETTLE_S) / 60.0
    made.append(rows.single(bench, 'own_voice_onsets_per_min', 'nobody speaks', mode, 'count',
                            len(scene.events), len(of_robot) / minutes))
    return made
