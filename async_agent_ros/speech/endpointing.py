"""
When a turn is over: silence together with what was said. Knows words and durations, no audio.

A finished sentence ends soon; after "and", "to the", a comma, "um" or the digits of a number that
is being dictated the person is likely to go on, so the silence must last longer.
"""
import enum
import re
from dataclasses import dataclass
from typing import List, Optional, Tuple

_WORD = re.compile(r"\w+(?:['’-]\w+)*")


class Ending(enum.Enum):
    """What the last words say about the end of the turn."""

    FINISHED = 'finished'
    UNKNOWN = 'unknown'
    OPEN = 'open'


@dataclass(frozen=True)
class EndpointSettings:
    """Silence that ends an utterance, seconds, all of them counted from the end of speech."""

    min_s: float = 0.4
    """After a finished sentence, and when nothing was understood."""
    usual_s: float = 0.6
    """When the words do not tell, or are not known yet."""
    max_s: float = 1.2
    """After words that ask for more."""

    def __post_init__(self):
        """Bring the usual wait between the other two."""
        longest = max(self.min_s, self.max_s)
        object.__setattr__(self, 'max_s', longest)
        object.__setattr__(self, 'usual_s', min(max(self.usual_s, self.min_s), longest))


_CONJUNCTIONS = frozenset(
    'and or but because so if when while then that which who whose until unless although though '
    'than whether where since'.split())
_DETERMINERS = frozenset('a an the my your his her its our their this these those some any'.split())
_PREPOSITIONS = frozenset(
    'to from of with into onto at by for between near behind beside about under over per'.split())
_VERBS = frozenset(
    "is are was were am be i'm it's that's you're we're i'll you'll can could would should will"
    .split())
_FILLERS = frozenset('um uh uhm erm er hmm hm mm ah like well'.split())
_NUMBERS = frozenset(
    'zero oh one two three four five six seven eight nine ten eleven twelve thirteen fourteen '
    'fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty '
    'ninety hundred thousand double triple'.split())
_DICTATED = frozenset(
    'number numbers code pin phone telephone extension password account zip postcode digits '
    'dial'.split())
# A correction begins: "to the office, no," wants to hear where else.
_CORRECTION = re.compile(
    r"[\w'’]\s*[,.;:–—-]+\s*(?:oh )?(?:no(?:,? (?:wait|sorry))?|wait|sorry|i mean|or rather|rather"
    r'|actually)\W*$', re.IGNORECASE)
# The same without a comma: "drive to the office no." But: "then I will say no."
_SAYS = frozenset('say says said saying is was a be means mean or answer not to'.split())
# Short words that are a whole turn although they stand in the lists above.
_WHOLE = frozenset(('so', 'well', 'hm', 'hmm', 'mm', 'ah', 'mm-hm', 'that', 'this'))
# Such words end a question or an order too: What is that? Come over. Where is it at?
_ALSO_LAST = frozenset('so that this these those some any her then like well over about by near '
                       'behind under though who where when can could would should will are is was '
                       'am like ah than if or'.split())


def is_number(word: str) -> bool:
    """Return whether a word is a number in digits or letters."""
    return word in _NUMBERS or word.replace('-', '').isdigit()


def ending(text: str) -> Ending:
    """Judge how a recognised text ends; '' is UNKNOWN."""
    text = text.strip()
    words: List[str] = [w.replace('’', "'") for w in _WORD.findall(text.lower())]
    if not words:
        return Ending.UNKNOWN
    last = words[-1]
    if text.endswith((',', '-', '–', '—', '...', '…', ':')):
        return Ending.OPEN
    if _CORRECTION.search(text) or last == 'no' and len(words) > 3 and words[-2] not in _SAYS:
        return Ending.OPEN
    asked = text.endswith('?')
    if len(words) == 1 and last in _WHOLE:
        return Ending.UNKNOWN
    if not (asked and last in _ALSO_LAST):
        if last in _CONJUNCTIONS or last in _DETERMINERS:
            return Ending.OPEN
        if last in _FILLERS or last in _PREPOSITIONS and not asked:
            return Ending.OPEN
        if last in _VERBS and len(words) > 1 and not asked:
            return Ending.OPEN
    if _dictating(words):
        return Ending.OPEN
    return Ending.FINISHED if text.endswith(('.', '!', '?')) else Ending.UNKNOWN


def _dictating(words: List[str]) -> bool:
    """Tell whether the text ends in digits that are likely to go on."""
    if not is_number(words[-1]):
        return False
    run = 0
    for word in reversed(words):
        if not is_number(word):
            break
        run += max(1, len(re.sub(r'\D', '', word)))
    if run >= 10:
        return False    # as long as a telephone number: whole
    return run >= 3 or bool(_DICTATED & set(words))


def silence_needed_s(text: Optional[str], settings: EndpointSettings) -> float:
    """
    Return how long the silence must last after these words, seconds.

    None: the words up to the end of speech are not known (yet). '': nothing was understood.
    """
    if text is None:
        return settings.usual_s
    if not text.strip():
        return settings.min_s
    return {Ending.FINISHED: settings.min_s, Ending.UNKNOWN: settings.usual_s,
            Ending.OPEN: settings.max_s}[ending(text)]


class Endpointer:
    """How much silence ends one utterance; words may come from another thread."""

    def __init__(self, settings: EndpointSettings):
        self.settings = settings
        self._known: Tuple[int, Optional[str]] = (-1, None)
        self._asked = -1

    def asked(self, end: int) -> None:
        """Take note that the words up to sample `end` are on their way."""
        self._asked = end

    def heard(self, text: str, end: int) -> None:
        """Take the words of the utterance up to sample `end`."""
        if end >= self._known[0]:
            self._known = (end, text)

    def needed_s(self, speech_end: int) -> float:
        """Return the silence that must follow the speech that ended at sample `speech_end`."""
        end, text = self._known
        if end < speech_end <= self._asked:
            # Nobody could answer before they are there: no time is lost by waiting for them.
            return self.settings.max_s
        return silence_needed_s(text if end >= speech_end else None, self.settings)
