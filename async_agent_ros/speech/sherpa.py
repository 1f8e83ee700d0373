"""
A recogniser that was made for streaming: sherpa-onnx, with weights from a folder.

It hears every sample once, so a second of speech costs the same wherever it stands, and its words
come while they are spoken. The end of a turn is declared elsewhere, its own detector is off.
"""
from pathlib import Path
import time
from typing import Any, Dict, List, Optional, Union

import numpy as np

from .audio import RATE, to_float
from .onnx_file import metadata, OnnxFileError
from .recognizer import Recognition, RecognizerError
from .streaming import Revision, spans

FLUSH_S = 0.6
"""Silence that brings out the last words: such a network looks ahead, or works in pieces."""

_MODELS = 'https://k2-fsa.github.io/sherpa/onnx/pretrained_models/'
_TRANSDUCERS = ('conformer', 'lstm', 'zipformer', 'zipformer2')


def is_sherpa(path: Path) -> bool:
    """Return whether a folder holds such weights (and no CTranslate2 model)."""
    return path.is_dir() and not (path / 'model.bin').exists() and (
        (path / 'tokens.txt').exists() or any(path.glob('*.onnx')))


class SherpaOnnx:
    """A streaming transducer, zipformer2-ctc or paraformer, recognised by its files."""

    def __init__(self, path: Union[str, Path], *, language: str = '', device: str = 'cpu',
                 threads: int = 2):
        self._path, self._language = Path(path), language
        self._provider = 'cuda' if device == 'cuda' else 'cpu'
        self._threads = threads
        self._kind = ''
        self._recognizer: Any = None

    def load(self) -> None:
        """Look at the files, then load them: the library ends the process at a wrong one."""
        files = self._files()
        try:
            import sherpa_onnx
        except ImportError as error:
            raise RecognizerError(f"the model in '{self._path}' needs the package sherpa-onnx "
                                  f'({error}). Install it: pip install '
                                  "'async_agent_ros[sherpa]'") from None
        make = getattr(sherpa_onnx.OnlineRecognizer, f'from_{self._kind}')
        try:
            self._recognizer = make(
                **files, num_threads=self._threads, sample_rate=RATE, feature_dim=80,
                enable_endpoint_detection=False, decoding_method='greedy_search',
                provider=self._provider)
        except Exception as error:    # the library's own, and those of onnxruntime inside it
            raise RecognizerError(f"the model in '{self._path}' cannot be loaded: {error}. "
                                  f'Fetch it again ({_MODELS})') from None
        self.transcribe(np.zeros(RATE, np.float32))

    def describe(self) -> str:
        """Name the model, its kind and device."""
        return f'sherpa-onnx {self._path.name}, {self._kind} on {self._provider}'

    def transcribe(self, samples: np.ndarray, *, quick: bool = False) -> Recognition:
        """Return the text of a whole piece of speech."""
        start_s = time.perf_counter()
        hearing = self.transcriber()
        hearing.finish(samples)
        return Recognition(hearing.heard, -1.0, self._language,
                           '' if hearing.heard else 'no words', time.perf_counter() - start_s)

    def transcriber(self) -> 'StreamTranscriber':
        """Return what follows one utterance."""
        if self._recognizer is None:
            raise RecognizerError('the recogniser is not loaded: call load() first')
        return StreamTranscriber(self._recognizer, self._language)

    def close(self) -> None:
        """Free the weights."""
        self._recognizer = None

    # -- the files ---------------------------------------------------------------------------------
    def _files(self) -> Dict[str, str]:
        if not self._path.is_dir():
            raise RecognizerError(f"'{self._path}' does not exist. Unpack a streaming model there "
                                  f'({_MODELS}), or set `model` to whisper-tiny.en')
        encoder, decoder, joiner = map(self._find, ('encoder', 'decoder', 'joiner'))
        tokens = self._path / 'tokens.txt'
        if joiner or encoder:
            self._kind = 'transducer' if joiner else 'paraformer'
            files = {'encoder': encoder, 'decoder': decoder}
            if joiner:
                files['joiner'] = joiner
        else:
            self._kind = 'zipformer2_ctc'
            files = {'model': self._find('model') or self._find('')}
        for name, path in files.items():
            if path is None:
                raise RecognizerError(
                    f"'{self._path}' holds no {name}*.onnx, which a {self._kind} model needs. "
                    f'Fetch all of its files ({_MODELS})')
        self._check_tokens(tokens)
        for name, path in files.items():
            self._check_model(name, path)
        return {'tokens': str(tokens), **{name: str(path) for name, path in files.items()}}

    def _find(self, begin: str) -> Optional[Path]:
        found: List[Path] = sorted(p for p in self._path.glob('*.onnx')
                                   if p.name.startswith(begin))
        # Of two precisions, the small one runs faster on a CPU.
        small = [p for p in found if '.int8.' in p.name]
        chosen = small if small and self._provider == 'cpu' else found
        return chosen[0] if chosen else None

    @staticmethod
    def _check_tokens(tokens: Path) -> None:
        if not tokens.is_file():
            raise RecognizerError(f"'{tokens}' is missing: it belongs to the model ({_MODELS})")
        try:
            lines = tokens.read_text('utf-8').splitlines()
            numbers = [int(line.split()[-1]) for line in lines if line.strip()]
        except (ValueError, UnicodeDecodeError):
            numbers = []
        if not numbers:
            raise RecognizerError(f"'{tokens}' is no list of tokens (a symbol and a number in "
                                  f'each line). Fetch it again ({_MODELS})')

    def _check_model(self, name: str, path: Path) -> None:
        try:
            facts = metadata(path)
        except OnnxFileError as error:
            raise RecognizerError(f"'{path}' is no ONNX model: {error}. Fetch it again "
                                  f'({_MODELS})') from None
        needs = {('transducer', 'encoder'): ('model_type',),
                 ('transducer', 'decoder'): ('vocab_size', 'context_size'),
                 ('zipformer2_ctc', 'model'): ('model_type', 'encoder_dims', 'decode_chunk_len'),
                 ('paraformer', 'encoder'): ('lfr_window_size', 'encoder_output_size')}
        missing = [key for key in needs.get((self._kind, name), ()) if key not in facts]
        kind = facts.get('model_type', '')
        if missing:
            raise RecognizerError(f"'{path}' is not made for streaming with sherpa-onnx: it lacks "
                                  f"{', '.join(missing)} in its metadata. Choose a model from "
                                  f'the online ones: {_MODELS}')
        if self._kind == 'transducer' and name == 'encoder' and kind not in _TRANSDUCERS:
            raise RecognizerError(f"'{path}' is of the type '{kind}': it must be one of "
                                  f"{', '.join(_TRANSDUCERS)}. Choose an online model: {_MODELS}")


class StreamTranscriber:
    """The text of one utterance; each sample is heard once. Called from one thread."""

    def __init__(self, recognizer: Any, language: str):
        self._recognizer, self._language = recognizer, language
        self._stream = recognizer.create_stream()
        self._fed = 0
        self._text = ''
        self.covered = -1
        """Samples whose words are known to be in the text, -1 before the first pause."""

    @property
    def heard(self) -> str:
        """The words so far."""
        return self._text

    def revise(self, samples: np.ndarray, *, quick: bool = False) -> Revision:
        """Hear the new samples of the utterance; the last word may still grow."""
        elapsed_s = self._hear(samples)
        ends = [end for _, end in spans(self._text)[:-1]]
        return self._revision(ends[-1] if ends else 0, elapsed_s)

    def pause(self, samples: Optional[np.ndarray] = None) -> Revision:
        """Hear them, and a silence that brings out all words: the person may have finished."""
        elapsed_s = self._flush(samples)
        return self._revision(len(self._text), elapsed_s)

    def finish(self, samples: Optional[np.ndarray] = None) -> Revision:
        """Return the last text; without samples nothing was said since the last pause."""
        return self.pause(samples)

    def _flush(self, samples: Optional[np.ndarray]) -> float:
        if samples is None:
            return 0.0
        elapsed_s = self._hear(samples, np.zeros(int(FLUSH_S * RATE), np.float32))
        self.covered = len(samples)
        return elapsed_s

    def _hear(self, samples: np.ndarray, *more: np.ndarray) -> float:
        start_s = time.perf_counter()
        try:
            for piece in (to_float(samples[self._fed:]), *more):
                if len(piece):
                    self._stream.accept_waveform(RATE, piece)
            self._fed = max(self._fed, len(samples))
            while self._recognizer.is_ready(self._stream):
                self._recognizer.decode_stream(self._stream)
            text = self._recognizer.get_result(self._stream).strip()
        except Exception as error:    # the library's own, and those of onnxruntime inside it
            raise RecognizerError(f'sherpa-onnx failed: {error}') from None
        # Most of these models know capitals only.
        self._text = text.lower() if text.isupper() else text
        return time.perf_counter() - start_s

    def _revision(self, stable_chars: int, elapsed_s: float) -> Revision:
        return Revision(self._text, stable_chars, -1.0, self._language,
                        '' if self._text else 'no words', elapsed_s)
