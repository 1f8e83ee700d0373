"""Speech to text: the protocol of a recogniser, and Whisper on a short encoder window."""
import math
import os
import re
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import List, Protocol, Union

import numpy as np

from .audio import RATE, to_float

WINDOW_S = 10.0
"""
Seconds the encoder looks at. Whisper was trained on 30 s, but CTranslate2 takes less: 10 s cost a
third of the time with the same errors; from 8 s down it begins to repeat itself.
"""
_FULL_WINDOW_S = 30.0
PIECE_S = 9.0
"""Longer speech is recognised in pieces, so that one fits the window with a margin."""

_MIN_PIECE_S = 5.0
_HOP = 160


class RecognizerError(Exception):
    """Speech cannot be recognised. The message names the thing and the remedy."""


@dataclass(frozen=True)
class Recognition:
    """What was understood of one utterance."""

    text: str
    """'' when nothing was understood."""
    confidence: float = -1.0
    """Mean probability of the tokens, 0.0 to 1.0; -1.0 unknown."""
    language: str = ''
    """BCP 47, '' unknown."""
    rejected: str = ''
    """Why a text was thrown away as noise, '' otherwise."""
    elapsed_s: float = 0.0


class Recognizer(Protocol):
    """Turns utterances into text. Methods are called from one worker thread."""

    def load(self) -> None:
        """Load the weights; raises RecognizerError."""

    def transcribe(self, samples: np.ndarray, *, quick: bool = False) -> Recognition:
        """
        Return the text of 16 kHz mono samples (int16 or float32); raises RecognizerError.

        `quick`: more is to come, so rather no text than one that takes long.
        """

    def describe(self) -> str:
        """Name the model and device, for people."""

    def close(self) -> None:
        """Free the weights."""


# What Whisper writes under noise, breath and silence: captions of the videos it learned from.
_PHANTOMS = re.compile(
    r'(?:thank you(?: (?:so|very) much)?(?: for (?:watching|listening))?|thanks(?: for watching)?'
    r'|please subscribe.*|subscribe.*|(?:like and )?subscribe|see you (?:next time|later)'
    r"|i'?ll see you (?:next time|in the next.*)|bye(?: bye)?|you|the|so|oh|uh|um|hmm?|mm"
    r'|subtitles? by.*|captions? by.*|transcribed by.*|amara org.*|www.*|music|applause'
    r"|silence|blank audio|beep|i'?m sorry|okay|\d)")
_SOUND_TAG = re.compile(r'\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|♪[^♪]*♪?')


def reject_reason(text: str, *, no_speech: float, mean_logprob: float, speech_s: float) -> str:
    """
    Return why the text is taken for a phantom of the recogniser, or '' to believe it.

    `no_speech` is the model's probability of silence, `mean_logprob` the mean log probability of
    the tokens, `speech_s` the length of what was recognised.
    """
    plain = ' '.join(re.findall(r"[\w']+", text.lower()))
    if not plain:
        return 'no words'
    if no_speech > 0.6 and mean_logprob < -0.8:
        return f'no speech (probability {no_speech:.2f})'
    raw = text.encode()
    if repeats(text) and len(raw) > 48 and len(raw) / len(zlib.compress(raw)) > 2.4:
        return 'repeats itself'
    words = plain.split()
    if len(words) / max(speech_s, 0.3) > 9.0:
        return f'{len(words)} words in {speech_s:.1f} s'
    if mean_logprob < -1.6:
        return f'unsure (log probability {mean_logprob:.2f})'
    # People do say "thank you" and "okay": believe it where it was heard well.
    doubtful = mean_logprob < -0.75 or no_speech > 0.6 or (no_speech > 0.25 and mean_logprob < -0.3)
    if doubtful and _PHANTOMS.fullmatch(plain):
        return 'known phantom of noise'
    return ''


def repeats(text: str) -> bool:
    """Return whether three or more words come twice in a row, or one word five times."""
    words = re.findall(r"[\w']+", text.lower())
    if any(words[i:i + 5] == words[i:i + 1] * 5 for i in range(len(words) - 4)):
        return True
    return any(words[i:i + n] == words[i + n:i + 2 * n]
               for n in range(3, len(words) // 2 + 1) for i in range(len(words) - 2 * n + 1))


def is_phantom(text: str) -> bool:
    """Return whether the text is one that recognisers invent; people say some of them too."""
    plain = ' '.join(re.findall(r"[\w']+", text.lower()))
    return not plain or bool(_PHANTOMS.fullmatch(plain))


def cut_at_pause(samples: np.ndarray) -> int:
    """
    Return where to cut speech that is longer than PIECE_S: the quietest place in reach.

    0 when it is not longer.
    """
    longest, shortest = int(PIECE_S * RATE), int(_MIN_PIECE_S * RATE)
    if len(samples) <= longest:
        return 0
    width = RATE // 10
    stretch = to_float(samples[shortest:longest])
    frames = stretch[:len(stretch) // width * width].reshape(-1, width)
    return shortest + int(np.argmin((frames ** 2).sum(axis=1))) * width + width // 2


def split_long(samples: np.ndarray) -> List[np.ndarray]:
    """Cut samples into pieces that fit the window, each at the quietest place in reach."""
    pieces = []
    while at := cut_at_pause(samples):
        pieces.append(samples[:at])
        samples = samples[at:]
    pieces.append(samples)
    return pieces


class FasterWhisper:
    """Whisper through CTranslate2, on WINDOW_S of encoder instead of 30 s."""

    def __init__(self, path: Union[str, Path], *, language: str = 'en', device: str = 'auto',
                 compute_type: str = 'default', threads: int = 1):
        self._path, self._language = Path(path), language
        self._device, self._compute_type, self._threads = device, compute_type, threads
        self._model = None
        self._tokenizer = None
        self._prompt: List[int] = []
        self._suppress: List[int] = [-1]

    def load(self) -> None:
        """Load the folder and run it once, so that the first utterance is not the slow one."""
        if not (self._path / 'model.bin').is_file():
            raise RecognizerError(
                f"'{self._path}' holds no Whisper model for CTranslate2 (no model.bin). Get one: "
                'async-agent models get whisper-base')
        os.environ.setdefault('HF_HUB_OFFLINE', '1')
        try:
            from faster_whisper import WhisperModel
            from faster_whisper.tokenizer import Tokenizer
        except ImportError as error:
            raise RecognizerError(
                f'the package faster-whisper is missing ({error}). Install it: '
                "pip install 'async_agent_ros[speech]'") from None
        compute = self._compute_type
        if compute == 'default':
            compute = 'int8' if self._device in ('cpu', 'auto') else 'int8_float16'
        try:
            self._model = WhisperModel(
                str(self._path), device=self._device, compute_type=compute,
                cpu_threads=self._threads, local_files_only=True)
        except (RuntimeError, ValueError, OSError) as error:
            raise RecognizerError(
                f"the Whisper model in '{self._path}' cannot be loaded on device "
                f"'{self._device}' as {compute}: {error}. Set `compute_device` to cpu, "
                'or fetch the model again: async-agent models get whisper-base') from None
        multilingual = self._model.model.is_multilingual
        if not multilingual:
            self._language = 'en'
        try:
            self._tokenizer = Tokenizer(
                self._model.hf_tokenizer, multilingual, task='transcribe', language=self._language)
        except ValueError:
            raise RecognizerError(f"Whisper knows no language '{self._language}'. Use a code such "
                                  "as 'en' or 'de'.") from None
        self._prompt = self._model.get_prompt(self._tokenizer, [], without_timestamps=True)
        self.transcribe(np.zeros(RATE, np.float32))

    def describe(self) -> str:
        """Name the model and device."""
        device = self._model.model.device if self._model else self._device
        return f'{self._path.name} on {device}, window {WINDOW_S:.0f} s'

    def transcribe(self, samples: np.ndarray, *, quick: bool = False) -> Recognition:
        """Return the text; long speech is cut at its pauses."""
        if self._model is None:
            raise RecognizerError('the recogniser is not loaded: call load() first')
        start = time.perf_counter()
        texts, logprobs, rejected = [], [], ''
        for piece in split_long(to_float(samples)):
            try:
                text, logprob, no_speech = self._piece(piece, WINDOW_S)
                if repeats(text) and quick:
                    text = ''
                elif repeats(text):
                    # The price of the short window, rarely: the full one knows better.
                    text, logprob, no_speech = self._piece(piece, _FULL_WINDOW_S)
            except RuntimeError as error:
                raise RecognizerError(f'the recogniser failed: {error}. Try the parameter '
                                      '`compute_device`: cpu') from None
            text = _SOUND_TAG.sub('', text).strip()
            why = reject_reason(text, no_speech=no_speech, mean_logprob=logprob,
                                speech_s=len(piece) / RATE)
            if why:
                rejected = rejected or f'{why}: {text!r}'
            else:
                texts.append(text)
                logprobs.append(logprob)
        confidence = math.exp(sum(logprobs) / len(logprobs)) if logprobs else 0.0
        return Recognition(
            ' '.join(texts), min(1.0, confidence), self._language, '' if texts else rejected,
            time.perf_counter() - start)

    def _piece(self, samples: np.ndarray, window_s: float):
        frames = int(window_s * RATE) // _HOP
        features = self._model.feature_extractor(samples)[:, :frames]
        if features.shape[1] < frames:
            features = np.pad(features, ((0, 0), (0, frames - features.shape[1])))
        encoded = self._model.encode(features)
        # A repetition would run to the limit: nobody speaks more than about 6 tokens a second.
        limit = 12 + int(6 * len(samples) / RATE)
        # CTranslate2 takes the half of `max_length` for the output of Whisper.
        result = self._model.model.generate(
            encoded, [self._prompt], beam_size=1, max_length=2 * limit, suppress_blank=True,
            suppress_tokens=self._suppress, return_scores=True, return_no_speech_prob=True)[0]
        tokens = [t for t in result.sequences_ids[0] if t < self._tokenizer.eot]
        return (self._tokenizer.decode(tokens).strip(), result.scores[0],
                result.no_speech_prob)

    def close(self) -> None:
        """Free the weights."""
        self._model = self._tokenizer = None


def make_recognizer(model: str, find, **options) -> Recognizer:
    """
    Return the recogniser for a model name or a folder.

    A folder with ONNX files and tokens.txt, or `sherpa:FOLDER`, is for sherpa-onnx, any other for
    Whisper. `find` resolves a name to a folder (async_agent_ros.models.find) and may raise its own
    error.
    """
    from .sherpa import is_sherpa, SherpaOnnx
    kind, _, rest = model.partition(':')
    path = Path(os.path.expanduser(rest if kind == 'sherpa' else model))
    if kind == 'sherpa' or is_sherpa(path):
        return SherpaOnnx(path, **options)
    is_path = path.is_dir() or os.sep in model
    return FasterWhisper(path if is_path else find(model), **options)
