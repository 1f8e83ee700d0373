"""Cut streamed text into pieces to speak: early for the first one, then sentence by sentence."""
import re
from dataclasses import dataclass
from typing import List

ABBREVIATIONS = frozenset(
    'dr mr mrs ms prof st jr sr vs etc approx e.g i.e a.m p.m u.s fig dept ext mt inc ltd'.split())
"""Words (lower case, without the last dot) after which a dot does not end a sentence."""

_SENTENCE_END = re.compile(r'[.!?…]+["\'”’)\]]*\Z')
_CLAUSE_END = re.compile(r'([,;:]|\s[-–—])["\'”’)\]]*\Z')
_WIDE_END = '。！？'
_LIST_NUMBER = re.compile(r'\s*\(?\d+[.)]\Z')
_INITIAL = re.compile(r'(?:^|\s)[A-Z]\.\Z')


@dataclass(frozen=True)
class Cutting:
    """Where speech is cut. Words are counted by white space."""

    first_clause_words: int = 2
    """The first piece may end at a comma after so many words: the voice starts early."""
    first_words: int = 10
    """The first piece ends at a space after so many words, comma or not."""
    clause_words: int = 14
    """Later pieces may end at a comma after so many words."""
    most_words: int = 40
    """Every piece ends at a space after so many words."""


class SentenceCutter:
    """Feed characters, get pieces; what comes out does not depend on how the text was chunked."""

    def __init__(self, cutting: Cutting = Cutting()):
        self._cutting = cutting
        self._buffer = ''
        self._first = True

    def feed(self, text: str) -> List[str]:
        """Take more text; return the pieces that it completed, each with its trailing space."""
        pieces = []
        for char in text:
            if char.isspace():
                char = '\n' if char == '\n' else ' '
                if not self._buffer:
                    continue
                if char == '\n' or self._ends():
                    pieces.append(self._take(' '))
                elif self._buffer[-1] != ' ':
                    self._buffer += char
            else:
                self._buffer += char
                if char in _WIDE_END:
                    pieces.append(self._take(''))
        return pieces

    def flush(self) -> List[str]:
        """End the text; return what is left of it."""
        return [self._take('')] if self._buffer.strip() else []

    def _take(self, space: str) -> str:
        piece = self._buffer.rstrip() + space
        self._buffer = ''
        self._first = False
        return piece

    def _ends(self) -> bool:
        text, cutting = self._buffer, self._cutting
        words = len(text.split())
        if words >= (cutting.first_words if self._first else cutting.most_words):
            return not self._open_number(text)
        if _SENTENCE_END.search(text):
            return not self._abbreviated(text)
        least = cutting.first_clause_words if self._first else cutting.clause_words
        return words >= least and bool(_CLAUSE_END.search(text))

    @staticmethod
    def _abbreviated(text: str) -> bool:
        if not text.endswith('.'):
            return False
        word = text.split()[-1].strip('("\'“‘').removesuffix('.').lower()
        return (word in ABBREVIATIONS or bool(_INITIAL.search(text))
                or bool(_LIST_NUMBER.fullmatch(text)))

    @staticmethod
    def _open_number(text: str) -> bool:
        # '10 percent', 'Dr. Who': do not cut between a number or title and its word
        word = text.split()[-1]
        return word[-1].isdigit() or SentenceCutter._abbreviated(text)
