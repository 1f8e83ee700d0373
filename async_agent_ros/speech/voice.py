"""Text to speech: the protocol of a voice, Piper and Hibari."""
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, List, Optional, Protocol, Sequence, Tuple, Union

import numpy as np

from .audio import to_int16
from .text import clauses, round_to_word, speakable, Spoken


_SILENT = 100
"""Samples up to this, -50 dB of full scale, are silence at the beginning of speech."""


class VoiceError(Exception):
    """Text cannot be spoken. The message names the thing and the remedy."""


class VoiceMissingError(VoiceError):
    """No voice is there. The message says how to get one."""


@dataclass(frozen=True)
class VoiceSettings:
    """How a voice speaks."""

    rate: float = 1.0
    """Speed: 2.0 is twice as fast."""
    noise_scale: float = 0.667
    """Liveliness of the sound; with both scales 0 the same text gives the same samples."""
    noise_w_scale: float = 0.8
    """Liveliness of the rhythm."""
    first_clause_chars: int = 30
    """Aimed length of the first piece that is synthesised: shorter is heard sooner."""
    sentence_pause_s: float = 0.1
    """Silence added after a sentence."""


@dataclass(frozen=True)
class SpeechChunk:
    """Audio of a clause and where its words end."""

    pcm: np.ndarray
    """int16 mono at the voice's rate."""
    marks: Tuple[Tuple[int, int], ...]
    """(sample at which a word has ended, characters of the written text told by then), rising."""


class Voice(Protocol):
    """Turns text into sound. Methods are called from one worker thread."""

    sample_rate: int
    """Hz; known after load()."""
    settings: VoiceSettings
    """May be replaced by others between two texts."""

    def load(self) -> None:
        """Load the weights; raises VoiceError."""

    def synthesize(self, text: str) -> Iterator[SpeechChunk]:
        """Yield the audio of a text clause by clause; raises VoiceError. '' yields nothing."""

    def describe(self) -> str:
        """Name the voice, for people."""


def _clause_spans(spoken: Spoken, settings: VoiceSettings) -> List[Tuple[int, int]]:
    return clauses(spoken.text, first_chars=settings.first_clause_chars)


def _chunk(written: str, spoken: Spoken, span: Tuple[int, int], audio: np.ndarray,
           word_ends: Optional[Sequence[int]], settings: VoiceSettings,
           sample_rate: int) -> SpeechChunk:
    """Join audio and text of a clause; `word_ends` are samples, one per word, or None."""
    pcm = to_int16(audio)
    start, end = span
    words = [w for w in spoken.words() if start <= w[0] < end]
    if word_ends is None or len(word_ends) != len(words):
        word_ends = proportional_ends(
            [w[1] - w[0] for w in words], len(pcm), word_ends or ())
    # Voices begin with silence: nobody should wait for that.
    lead = _leading_silence(pcm, sample_rate) if not spoken.text[:start].strip() else 0
    pcm = pcm[lead:]
    marks, told = [], 0
    for sample, (_, _, chars) in zip(word_ends, words):
        told = max(told, round_to_word(written, chars))
        marks.append((max(0, min(int(sample) - lead, len(pcm))), told))
    if spoken.text[start:end].rstrip().endswith(('.', '!', '?')) and settings.sentence_pause_s:
        pause = np.zeros(int(settings.sentence_pause_s * sample_rate), np.int16)
        pcm = np.concatenate([pcm, pause])
    if end >= len(spoken.text.rstrip()):
        # The last clause completes the text, markup at its end included.
        sample = marks[-1][0] if marks else len(pcm)
        marks = marks[:-1] + [(sample, spoken.written_chars)]
    return SpeechChunk(pcm, tuple(marks))


def _leading_silence(pcm: np.ndarray, sample_rate: int) -> int:
    """Return the samples before the first sound, less 10 ms; 0 where there is no sound."""
    sound = np.flatnonzero(np.abs(pcm.astype(np.int32)) > _SILENT)
    return max(0, int(sound[0]) - sample_rate // 100) if len(sound) else 0


def proportional_ends(lengths: Sequence[int], total: int, known: Sequence[int] = ()) -> List[int]:
    """
    Return where words of the given lengths in characters end in `total` samples.

    `known` are real word ends that do not match the words one to one (a voice joins 'of the' to
    one, and speaks '80' as one): each estimate snaps to the nearest of them that is near.
    """
    whole = sum(lengths) + max(0, len(lengths) - 1)
    ends, at = [], 0
    reach = total / max(1, len(lengths))
    for length in lengths:
        at += length
        estimate = total * at / max(1, whole)
        at += 1
        near = min(known, key=lambda k: abs(k - estimate), default=None)
        if near is not None and abs(near - estimate) < reach / 2:
            estimate = near
        ends.append(int(max(estimate, ends[-1] if ends else 0)))
    if ends:
        ends[-1] = total
    return ends


def _with_extra_output(model: bytes, tensor: str) -> bytes:
    """
    Return an ONNX model with one more tensor among its outputs.

    Protocol buffers merge what is appended: a second `graph` (field 7) that holds one `output`
    (field 12) with a name (field 1) adds to the first. That saves the package onnx and the
    seconds that it takes to parse the model.
    """
    def field(number: int, data: bytes) -> bytes:
        size, head = len(data), bytes([number << 3 | 2])
        while size > 127:
            head, size = head + bytes([size & 127 | 128]), size >> 7
        return head + bytes([size]) + data

    return model + field(7, field(12, field(1, tensor.encode())))


class PiperVoice:
    """Piper: a voice file of about 60 MB, 20 times faster than speech on two cores."""

    _DURATIONS = '/Ceil_output_0'
    """Frames per phoneme inside the network of every Piper voice."""

    def __init__(self, path: Union[str, Path], settings: VoiceSettings = VoiceSettings(), *,
                 threads: int = 2):
        self._path, self.settings, self._threads = Path(path), settings, threads
        self.sample_rate = 22_050
        self._voice: Any = None
        self._piper: Any = None
        self._length_scale = 1.0
        self.aligned = False
        """Word ends come from the voice itself, not from the number of characters."""

    def load(self) -> None:
        """Load voice and dictionary, and speak a word, so that the first sentence is not slow."""
        path = self._path
        if path.is_dir():
            files = sorted(path.glob('*.onnx'))
            if not files:
                raise VoiceMissingError(f"'{path}' holds no Piper voice (*.onnx). Get one: "
                                        'async-agent models get piper-joe')
            path = files[0]
        config_path = Path(f'{path}.json')
        for needed in (path, config_path):
            if not needed.is_file():
                raise VoiceMissingError(f"'{needed}' does not exist. Get a voice: "
                                        'async-agent models get piper-joe')
        try:
            import onnxruntime
            import piper
            from piper.config import PiperConfig
        except ImportError as error:
            raise VoiceMissingError(
                f'the package piper-tts is missing ({error}). Install it (its licence is '
                "GPL-3.0-or-later): pip install 'async_agent_ros[piper]', or set the parameter "
                '`voice` to hibari') from None
        try:
            config = PiperConfig.from_dict(json.loads(config_path.read_text('utf-8')))
            session = self._session(onnxruntime, path)
        except Exception as error:  # onnxruntime raises types of its own
            raise VoiceError(f"the voice '{path}' cannot be loaded: {error}. Fetch it again: "
                             'async-agent models get piper-joe') from None
        self._voice = piper.PiperVoice(session=session, config=config)
        self.sample_rate = config.sample_rate
        self._piper, self._length_scale = piper, config.length_scale
        for _ in self.synthesize('Ready to talk.'):
            pass

    def _session(self, onnxruntime, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # Idle worker threads must sleep: spinning costs a core between sentences.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        providers = ['CPUExecutionProvider']
        model = path.read_bytes()
        try:
            session = onnxruntime.InferenceSession(
                _with_extra_output(model, self._DURATIONS), options, providers=providers)
            self.aligned = True
        except Exception:  # another export: its tensor has another name
            session = onnxruntime.InferenceSession(model, options, providers=providers)
        return session

    def describe(self) -> str:
        """Name the voice."""
        return f'piper {self._path.name}, {self.sample_rate} Hz'

    def synthesize(self, text: str) -> Iterator[SpeechChunk]:
        """Yield the audio of a text clause by clause."""
        if self._voice is None:
            raise VoiceError('the voice is not loaded: call load() first')
        spoken, settings = speakable(text), self.settings
        config = self._piper.SynthesisConfig(
            length_scale=self._length_scale / settings.rate, noise_scale=settings.noise_scale,
            noise_w_scale=settings.noise_w_scale)
        for span in _clause_spans(spoken, settings):
            audio, ends, at = [], [], 0
            aligned = self.aligned
            for part in self._voice.synthesize(
                    spoken.text[span[0]:span[1]].strip(), config,
                    include_alignments=self.aligned):
                audio.append(part.audio_float_array)
                if part.phoneme_alignments is None:
                    aligned = False
                else:
                    ends += [at + e for e in _word_ends(part.phoneme_alignments)]
                at += len(part.audio_float_array)
            if audio:
                yield _chunk(text, spoken, span, np.concatenate(audio),
                             ends if aligned else None, settings, self.sample_rate)


def _word_ends(alignments) -> List[int]:
    ends, at, sounds = [], 0, False
    for item in alignments:
        if item.phoneme == ' ':
            if sounds:
                ends.append(at)
            sounds = False
        elif item.phoneme not in '^$' and item.phoneme.isalpha():
            sounds = True
        at += item.num_samples
    if sounds:
        ends.append(at)
    return ends


class HibariVoice:
    """Hibari: small, Apache-2.0, comes with its voice; words are placed by their characters."""

    sample_rate = 24_000

    def __init__(self, name: str = '', settings: VoiceSettings = VoiceSettings(), *,
                 seed: Optional[int] = None):
        self._name, self.settings, self._seed = name or 'heart', settings, seed
        self._voice: Any = None

    def load(self) -> None:
        """Load the voice and speak a word."""
        try:
            import hibari
        except ImportError as error:
            raise VoiceMissingError(f'the package hibari-tts is missing ({error}). Install it: '
                                    'pip install hibari-tts') from None
        if self._name not in hibari.voices.VOICES:
            raise VoiceMissingError(f"Hibari has no voice '{self._name}'. It has: "
                                    f"{', '.join(sorted(hibari.voices.VOICES))}")
        try:
            self._voice = hibari.Hibari(voice=self._name)
        except (RuntimeError, OSError) as error:
            raise VoiceMissingError(f"the voice '{self._name}' is not here: {error}. The voice "
                                    "'heart' comes with the package.") from None
        self._voice('Ready.', seed=0)

    def describe(self) -> str:
        """Name the voice."""
        return f'hibari {self._name}, {self.sample_rate} Hz'

    def synthesize(self, text: str) -> Iterator[SpeechChunk]:
        """Yield the audio of a text clause by clause."""
        if self._voice is None:
            raise VoiceError('the voice is not loaded: call load() first')
        spoken, settings = speakable(text), self.settings
        for span in _clause_spans(spoken, settings):
            audio = self._voice(spoken.text[span[0]:span[1]].strip(),
                                speed=settings.rate, seed=self._seed)
            if len(audio):
                yield _chunk(text, spoken, span, audio, None, settings, self.sample_rate)


def make_voice(voice: str, find, settings: VoiceSettings = VoiceSettings(), *,
               threads: int = 2) -> Voice:
    """
    Return the voice that a name stands for: 'hibari', 'hibari:NAME', a path or a model's name.

    `find` resolves a model name to a folder (async_agent_ros.models.find) and may raise its error.
    """
    if voice == 'hibari' or voice.startswith('hibari:'):
        return HibariVoice(voice.partition(':')[2], settings)
    path = Path(os.path.expanduser(voice))
    if path.exists() or os.sep in voice or voice.endswith('.onnx'):
        return PiperVoice(path, settings, threads=threads)
    return PiperVoice(find(voice), settings, threads=threads)
