"""Words that were said and words that were understood."""
import re
from typing import List, Sequence

_FILLERS = {'um', 'uh', 'erm', 'hm'}
_DIGITS = dict(zip('0123456789', 'zero one two three four five six seven eight nine'.split()))


def plain_words(text: str) -> List[str]:
    """Return the words in lower case, numbers digit by digit, without fillers."""
    text = re.sub(r'\d', lambda m: f' {_DIGITS[m[0]]} ', text.lower().replace('’', "'"))
    return [w for w in re.findall(r"[a-z']+", text) if w not in _FILLERS]


def word_errors(said: Sequence[str], understood: Sequence[str]) -> int:
    """Return the substitutions, insertions and deletions that turn one into the other."""
    before = list(range(len(understood) + 1))
    for i, word in enumerate(said, 1):
        row = [i]
        for j, other in enumerate(understood, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (word != other)))
        before = row
    return before[-1]


def words_told(intended: Sequence[str], recognised: Sequence[str]) -> int:
    """Return how many words of `intended` a recording of its beginning holds."""
    return min(range(len(intended) + 1),
               key=lambda n: (word_errors(intended[:n], recognised), abs(n - len(recognised))))
