"""Voice activity: Silero per 32 ms frame, and the segmenter that makes utterances of it."""
import bisect
import os
from dataclasses import dataclass
from typing import Callable, List, Optional, Union

import numpy as np

from .audio import AudioError, Block, NS_PER_S, RATE, to_float

FRAME = 512
"""Samples of a frame: 32 ms, the only length that Silero takes at 16 kHz."""

_CONTEXT = 64


class SileroVad:
    """Silero v6 as it comes with faster-whisper: 0.15 ms a frame. The state is carried along."""

    def __init__(self):
        self._session = None
        self.reset()

    def load(self) -> None:
        """Load the network; raises AudioError when a package is missing."""
        try:
            import importlib.util
            import onnxruntime
            # Found, not imported: the package itself would load a recogniser.
            package = importlib.util.find_spec('faster_whisper')
            if package is None:
                raise ImportError('faster_whisper')
        except ImportError as error:
            raise AudioError('voice activity detection needs the packages onnxruntime and '
                             f'faster-whisper ({error}). Install them: '
                             "pip install 'async_agent_ros[speech]'") from None
        path = os.path.join(os.path.dirname(package.origin), 'assets', 'silero_vad_v6.onnx')
        if not os.path.exists(path):
            raise AudioError(f"'{path}' is missing: this faster-whisper carries another "
                             'voice activity model. Install faster-whisper==1.2.1')
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(
            path, options, providers=['CPUExecutionProvider'])

    def reset(self) -> None:
        """Begin a new stream."""
        self._h = np.zeros((1, 1, 128), np.float32)
        self._c = np.zeros((1, 1, 128), np.float32)
        self._context = np.zeros(_CONTEXT, np.float32)

    def __call__(self, frame: np.ndarray) -> float:
        """Return the probability of speech in the next FRAME float samples."""
        out, self._h, self._c = self._session.run(None, {
            'input': np.concatenate([self._context, frame])[None], 'h': self._h, 'c': self._c})
        self._context = frame[-_CONTEXT:]
        return float(np.ravel(out)[0])


@dataclass(frozen=True)
class VadSettings:
    """What counts as speech and what as its end."""

    onset_threshold: float = 0.4
    """Probability from which on a frame is speech while there was none."""
    offset_threshold: float = 0.35
    """Probability below which a frame is silence while there was speech."""
    sure_threshold: float = 0.5
    """Probability from which on a single frame starts an utterance."""
    min_speech_s: float = 0.064
    """Speech shorter than this, seconds, is a click and starts nothing."""
    end_silence_s: float = 0.6
    """Silence that ends an utterance."""
    early_silence_s: float = 0.096
    """Silence after which recognition may begin on speculation."""
    pre_roll_s: float = 0.3
    """Audio before the onset that belongs to the utterance: detectors come late."""
    max_utterance_s: float = 28.0
    """An utterance that lasts longer is split."""
    confirm_s: float = 0.35
    """A sound that was taken for speech on suspicion must turn out to be a voice in this time."""


@dataclass(frozen=True)
class Onset:
    """Speech began at sample `onset`; it is known since sample `known`, or only suspected."""

    onset: int
    known: int
    probability: float
    suspected: bool = False


@dataclass(frozen=True)
class Confirmed:
    """What was suspected is a voice."""

    known: int


@dataclass(frozen=True)
class Lull:
    """Speech that ended at sample `end` may be over, or go on."""

    onset: int
    end: int
    known: int


@dataclass(frozen=True)
class Offset:
    """The utterance is over; its speech ended at sample `end`, without the silence window."""

    onset: int
    end: int
    known: int
    probability: float
    split: bool = False
    nothing: bool = False
    """It was suspected, and no voice followed."""


Change = Union[Onset, Confirmed, Lull, Offset]


class Segmenter:
    """Makes utterances of probabilities. Knows only frames: no audio, no clock."""

    def __init__(self, settings: VadSettings):
        self.settings = settings
        self.end_silence_s = settings.end_silence_s
        """Silence that ends the utterance: what was said may change it from frame to frame."""
        self._at = 0
        self.reset(0)

    def reset(self, at: int) -> None:
        """Forget everything; the next frame begins at sample `at`."""
        self._at = at
        self._onset: Optional[int] = None
        self._run = 0
        self._speaking = False
        self._end = at
        self._lulled = False
        self._suspected = -1
        self._sum = 0.0
        self._frames = 0

    def suspect(self, onset: int, known: int) -> List[Change]:
        """
        Begin an utterance on other grounds than a voice, unless one is open.

        It ends soon when no voice follows.
        """
        if self._speaking:
            return []
        # Frames that looked like speech already belong to it.
        self._onset = max(self._end, min(onset, known if self._onset is None else self._onset))
        self._speaking, self._lulled, self._end = True, False, max(self._end, known)
        self._suspected = known
        return [Onset(self._onset, known, self._mean(), suspected=True)]

    @property
    def suspected(self) -> bool:
        """The open utterance is not known to be a voice."""
        return self._suspected >= 0

    @property
    def speaking(self) -> bool:
        """An utterance is open."""
        return self._speaking

    @property
    def last_speech(self) -> int:
        """End of the last frame that was speech, in samples."""
        return self._end

    def step(self, probability: float) -> List[Change]:
        """Take the next frame and return what it changed, in order."""
        start, self._at = self._at, self._at + FRAME
        settings, changes = self.settings, []
        if not self._speaking:
            if probability < settings.onset_threshold:
                # A dip below the onset but above the offset does not end a run.
                if probability < settings.offset_threshold or self._onset is None:
                    self._onset, self._run, self._sum, self._frames = None, 0, 0.0, 0
                    return changes
            if self._onset is None:
                self._onset = start
            self._run += FRAME
            self._count(probability)
            if (self._run >= settings.min_speech_s * RATE
                    or probability >= settings.sure_threshold):
                self._speaking, self._lulled, self._end = True, False, self._at
                changes.append(Onset(self._onset, self._at, self._mean()))
            return changes
        self._count(probability)
        if self.suspected:
            if probability >= settings.onset_threshold:
                self._suspected = -1
                changes.append(Confirmed(self._at))
            elif self._at - self._suspected >= settings.confirm_s * RATE:
                return [self._close(split=False)]
            else:
                return changes
        if probability >= settings.offset_threshold:
            self._end, self._lulled = self._at, False
        silence = self._at - self._end
        if silence >= self.end_silence_s * RATE:
            changes.append(self._close(split=False))
        elif self._at - self._onset >= settings.max_utterance_s * RATE:
            changes.append(self._close(split=True))
        elif silence >= settings.early_silence_s * RATE and not self._lulled:
            self._lulled = True
            changes.append(Lull(self._onset, self._end, self._at))
        return changes

    def finish(self) -> List[Change]:
        """End the open utterance now: the stream is over."""
        return [self._close(split=False)] if self._speaking else []

    def _count(self, probability):
        self._sum += probability
        self._frames += 1

    def _mean(self):
        return self._sum / max(1, self._frames)

    def _close(self, split):
        change = Offset(self._onset, self._end, max(self._at, self._end), self._mean(), split,
                        nothing=self.suspected)
        self._speaking, self._onset, self._run, self._suspected = False, None, 0, -1
        self._sum, self._frames = 0.0, 0
        return change


class SampleClock:
    """Tells when a sample was captured: the stamps of the blocks, and the rate between them."""

    def __init__(self, keep: int = 4096):
        self._indices: List[int] = []
        self._stamps: List[int] = []
        self._keep = keep

    def add(self, index: int, stamp_ns: int) -> None:
        """Sample `index` was captured at `stamp_ns`; indices rise."""
        self._indices.append(index)
        self._stamps.append(stamp_ns)
        if len(self._indices) > 2 * self._keep:
            del self._indices[:self._keep], self._stamps[:self._keep]

    def time_of(self, index: int) -> int:
        """Return the capture time of sample `index`, nanoseconds; 0 before the first block."""
        if not self._indices:
            return 0
        at = max(0, bisect.bisect_right(self._indices, index) - 1)
        return self._stamps[at] + (index - self._indices[at]) * NS_PER_S // RATE


class SpeechDetector:
    """
    Blocks in, utterances out: keeps the audio that an utterance will need.

    Sample indices in its changes count what it was fed; time_of() turns them into capture times.
    """

    def __init__(self, settings: VadSettings, probability: Callable[[np.ndarray], float]):
        self.settings = settings
        self._probability = probability
        self._segmenter = Segmenter(settings)
        self._clock = SampleClock()
        self._kept = np.zeros(0, np.int16)
        self._kept_at = 0
        self._next = 0
        self._scanned = 0
        self._expected: Optional[int] = None
        self.probability = 0.0

    @property
    def speaking(self) -> bool:
        """An utterance is open."""
        return self._segmenter.speaking

    @property
    def suspected(self) -> bool:
        """The open utterance is not known to be a voice."""
        return self._segmenter.suspected

    def suspect(self, seconds: float) -> List[Change]:
        """Begin an utterance: somebody has made a sound for so long, whatever it is."""
        return self._segmenter.suspect(max(0, self._next - int(seconds * RATE)), self._next)

    @property
    def last_speech(self) -> int:
        """End of the last frame that was speech, in samples."""
        return self._segmenter.last_speech

    @property
    def heard_to(self) -> int:
        """Samples that it was fed."""
        return self._next

    @property
    def end_silence_s(self) -> float:
        """Silence that ends the open utterance, seconds."""
        return self._segmenter.end_silence_s

    @end_silence_s.setter
    def end_silence_s(self, seconds: float) -> None:
        self._segmenter.end_silence_s = seconds

    def feed(self, block: Block) -> List[Change]:
        """Take the next block; a jump of its index ends an open utterance."""
        changes = []
        if self._expected is not None and block.first_sample != self._expected:
            changes += self.finish()
        self._expected = block.first_sample + len(block.samples)
        return changes + self._take(block.samples, block.stamp_ns)

    def feed_silence(self, samples: int, stamp_ns: int) -> List[Change]:
        """No block came: the time passes as silence, so that an open utterance can end."""
        return self._take(np.zeros(samples, np.int16), stamp_ns)

    def finish(self) -> List[Change]:
        """End the open utterance: the stream is over or jumps."""
        changes = self._segmenter.finish()
        self._segmenter.reset(self._scanned)
        return changes

    def audio(self, onset: int, end: int) -> np.ndarray:
        """Return the samples of an utterance up to `end`, with the pre-roll."""
        pre = int(self.settings.pre_roll_s * RATE)
        first = max(self._kept_at, onset - pre)
        last = min(self._next, end)
        return self._kept[first - self._kept_at:last - self._kept_at].copy()

    def time_of(self, sample: int) -> int:
        """Return the capture time of a sample, nanoseconds."""
        return self._clock.time_of(sample)

    def _take(self, samples, stamp_ns):
        if not len(samples):
            return []
        self._clock.add(self._next, stamp_ns)
        self._kept = np.concatenate([self._kept, samples])
        self._next += len(samples)
        changes = []
        while self._next - self._scanned >= FRAME:
            at = self._scanned - self._kept_at
            self._scanned += FRAME
            self.probability = self._probability(to_float(self._kept[at:at + FRAME]))
            changes += self._segmenter.step(self.probability)
        self._forget(changes)
        return changes

    def _forget(self, changes):
        # The audio of this call's changes is still asked for; drop only when nothing is open.
        if self._segmenter.speaking or changes:
            return
        keep = int((self.settings.pre_roll_s + self.settings.min_speech_s + 0.3) * RATE)
        if len(self._kept) > 2 * keep + RATE:
            drop = len(self._kept) - keep
            self._kept, self._kept_at = self._kept[drop:], self._kept_at + drop
