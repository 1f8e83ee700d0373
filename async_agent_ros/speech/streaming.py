"""
Text while it is spoken, from a recogniser that knows only whole pieces of speech.

Local agreement: a word is stable once two successive hypotheses agree on it and on all before it.
Speech longer than the recogniser's window is cut at a pause; what lies before the cut is recognised
for the last time then, so that a long utterance costs as much per second as a short one.
"""
import difflib
import re
from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np

from .audio import RATE
from .recognizer import cut_at_pause, is_phantom, Recognition, Recognizer

_WORD = re.compile(r"\w+(?:['’.:-]\w+)*")
_TOKEN = re.compile(r'\S+')

_UNSURE = 0.4
"""Mean probability of the tokens below which words of unfinished speech are not shown."""


@dataclass(frozen=True)
class Revision:
    """What is understood of an utterance so far."""

    text: str
    stable_chars: int
    """Length of the prefix that no later revision changes; all of it: nothing more may come."""
    confidence: float = -1.0
    language: str = ''
    rejected: str = ''
    """Why a text was thrown away as noise, '' otherwise."""
    elapsed_s: float = 0.0


def spans(text: str) -> List[Tuple[str, int]]:
    """Return each word in lower case without punctuation, and where it ends in the text."""
    found = []
    for token in _TOKEN.finditer(text):
        words = list(_WORD.finditer(token[0]))
        if words:
            plain = ''.join(w[0] for w in words).lower().replace('’', "'")
            found.append((plain, token.start() + words[-1].end()))
    return found


class Agreement:
    """The stable prefix of a stretch of speech; what is stable keeps its very characters."""

    def __init__(self):
        self.stable = ''
        self._words: List[str] = []
        self._last: List[str] = []

    def take(self, text: str) -> str:
        """Take the next hypothesis of all of the stretch; return it behind the stable prefix."""
        words = spans(text)
        plain = [word for word, _ in words]
        # The last word of a hypothesis may be a half one: it proves nothing.
        agreed = 0
        for old, new in zip(self._last[:-1], plain):
            if old != new:
                break
            agreed += 1
        self._last = plain
        whole = self._join(text, words)
        if agreed > len(self._words) and plain[:len(self._words)] == self._words:
            end = words[agreed - 1][1]
            begin = words[len(self._words) - 1][1] if self._words else 0
            self.stable += text[begin:end] if self._words else text[:end].lstrip()
            self._words = plain[:agreed]
        return whole

    def finish(self, text: str) -> str:
        """Return the last hypothesis behind the stable prefix."""
        return self._join(text, spans(text))

    def split(self, text: str) -> Tuple[str, 'Agreement']:
        """
        End the stretch with the last hypothesis of its first part; return it and the rest.

        Words may be stable that come after the first part: they go on in the new stretch.
        """
        plain = [word for word, _ in spans(text)]
        covered = 0
        matcher = difflib.SequenceMatcher(None, self._words, plain, autojunk=False)
        for block in matcher.get_matching_blocks():
            if block.size:
                covered = block.a + len(plain) - block.b
        rest = Agreement()
        if not 0 < covered < len(self._words):
            return self.finish(text), rest
        ends = [end for _, end in spans(self.stable)]
        # Signs behind a word belong to it.
        at = next(m.start() for m in _TOKEN.finditer(self.stable) if m.end() >= ends[covered])
        rest.stable, rest._words = self.stable[at:], self._words[covered:]
        return self.stable[:at].rstrip(), rest

    def _join(self, text: str, words: List[Tuple[str, int]]) -> str:
        if not self._words:
            return text
        after = self._aligned([word for word, _ in words])
        return self.stable + (text[words[after - 1][1]:] if after else f' {text}'.rstrip())

    def _aligned(self, plain: List[str]) -> int:
        """Return how many words of a hypothesis tell what is stable already."""
        count = len(self._words)
        if plain[:count] == self._words:
            return count
        after = 0
        matcher = difflib.SequenceMatcher(None, self._words, plain, autojunk=False)
        for block in matcher.get_matching_blocks():
            if block.size:
                # Behind the last match, the words that differ stand for one another.
                after = block.b + block.size + count - (block.a + block.size)
        return min(after or count, len(plain))


class Transcriber:
    """The text of one utterance as it grows. All methods are called from one thread."""

    def __init__(self, recognizer: Recognizer):
        self._recognizer = recognizer
        self._agreement = Agreement()
        self._done: List[str] = []
        self._confidences: List[float] = []
        self._cut = 0
        self._tail = Recognition('')
        self.covered = -1
        """Samples of the utterance that were recognised last, -1 before the first time."""

    def revise(self, samples: np.ndarray, *, quick: bool = False) -> Revision:
        """
        Recognise the utterance so far, 16 kHz mono; raises RecognizerError.

        `quick`: another revision follows soon.
        """
        elapsed_s = self._recognise(samples, quick)
        seconds = (len(samples) - self._cut) / RATE
        tail = self._agreement.take(self._believed(self._tail, seconds))
        return self._revision(tail, self._agreement.stable, elapsed_s)

    def pause(self, samples: Optional[np.ndarray] = None) -> Revision:
        """
        Return a revision with all of it stable: the person is silent and may have finished.

        Without samples the last recognition counts. Where the person goes on, later revisions may
        still change words that were not agreed on.
        """
        if samples is None:
            elapsed_s, seconds = 0.0, (self.covered - self._cut) / RATE
            tail = self._agreement.finish(self._believed(self._tail, seconds))
        else:
            elapsed_s, seconds = self._recognise(samples, False), (len(samples) - self._cut) / RATE
            tail = self._agreement.take(self._believed(self._tail, seconds))
        return self._revision(tail, tail, elapsed_s)

    def finish(self, samples: Optional[np.ndarray] = None) -> Revision:
        """
        Return the last revision, all of it stable; the last hypothesis is believed as it is.

        Without samples the last recognition counts: nothing was said since.
        """
        elapsed_s = 0.0 if samples is None else self._recognise(samples, False)
        tail = self._agreement.finish(self._tail.text)
        return self._revision(tail, tail, elapsed_s)

    @property
    def heard(self) -> str:
        """The last hypothesis, whether or not it was believed."""
        return ' '.join(part for part in (*self._done, self._tail.text) if part)

    def _recognise(self, samples: np.ndarray, quick: bool) -> float:
        elapsed_s = 0.0
        while at := cut_at_pause(samples[self._cut:]):
            result = self._recognizer.transcribe(samples[self._cut:self._cut + at])
            elapsed_s += result.elapsed_s
            self._cut += at
            text, self._agreement = self._agreement.split(result.text)
            self._commit(text, result)
        self._tail = self._recognizer.transcribe(samples[self._cut:], quick=quick)
        # What was thrown away in haste must not be taken for silence.
        self.covered = len(samples) if self._tail.text or not quick else -1
        return elapsed_s + self._tail.elapsed_s

    def _revision(self, tail: str, stable: str, elapsed_s: float) -> Revision:
        whole = ' '.join(part for part in (*self._done, tail) if part)
        fixed = ' '.join(part for part in (*self._done, stable) if part)
        known = [c for c in (*self._confidences, self._tail.confidence) if c >= 0.0]
        return Revision(
            whole, len(fixed), sum(known) / len(known) if known else -1.0, self._tail.language,
            '' if whole else self._tail.rejected, elapsed_s)

    def _commit(self, text: str, result: Recognition) -> None:
        if text:
            self._done.append(text)
            self._confidences.append(result.confidence)

    @staticmethod
    def _believed(result: Recognition, seconds: float) -> str:
        """Return the text, or '' for one that the beginning of a word may have suggested."""
        if seconds < 2.0 and (is_phantom(result.text) or 0.0 <= result.confidence < _UNSURE):
            return ''
        return result.text
