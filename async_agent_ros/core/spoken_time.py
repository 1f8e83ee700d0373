"""
Time spans and times of day as people say them, so that no language model has to calculate.

"an hour and a half", "90 s", "half past six", "7:30 pm". Small models copy such words rightly and
turn them into seconds wrongly. Total: what is not understood is None.
"""
import re
from typing import List, NamedTuple, Optional, Tuple

LONGEST_S = 365 * 86_400
_UNITS_S = {'second': 1, 'sec': 1, 's': 1, 'minute': 60, 'min': 60, 'm': 60, 'hour': 3600,
            'hr': 3600, 'h': 3600, 'day': 86_400, 'd': 86_400, 'week': 604_800}
_ONES = ('zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen '
         'fifteen sixteen seventeen eighteen nineteen').split()
_TENS = 'twenty thirty forty fifty sixty seventy eighty ninety'.split()
_NUMBERS = {**{w: n for n, w in enumerate(_ONES)}, **{w: 20 + 10 * n for n, w in enumerate(_TENS)},
            'fourty': 40}
_FRACTIONS = {'half': 0.5, 'quarter': 0.25, 'third': 1 / 3}
_AROUND = re.compile(r'^(?:in|after|for|every|each|about|the next|next|the|exactly) |'
                     r"(?:'s?|s')? (?:time|from now|later|long|please)$")
_DIGITS = re.compile(r'(\d{1,2})(?:[:.](\d{2}))?(?:[:.](\d{2}))?')
_HALF = re.compile(r' ?(?:(a\.?m\.?|in the morning)|'
                   r'(p\.?m\.?|in the (?:afternoon|evening)|at night))$')


class TimeOfDay(NamedTuple):
    """A time of day; `either` half of the day is meant if nothing says which."""

    hour: int
    minute: int
    second: int = 0
    either: bool = False


def duration_s(text: str) -> Optional[float]:
    """Return the seconds of a time span in words or digits, or None."""
    words = _plain(text)
    while _AROUND.search(words):
        words = _AROUND.sub('', words).strip()
    total = 0.0
    last = 0.0
    left = re.sub(r'(?<=\d)(?=[a-z])|(?<=[a-z])(?=\d)', ' ', words).split()
    while left:
        if total and left[0] == 'and' and left[1:]:
            left = left[1:]
        if total and left in (['a', 'half'], ['half'], ['a', 'quarter'], ['a', 'third']):
            return total + last * _FRACTIONS[left[-1]]    # an hour and a half
        count, left = _count(left)
        unit = _unit(left[0]) if left else None
        if count is None or unit is None:
            return None
        last = unit
        total += count * unit
        left = left[1:]
    return total or None


def time_of_day(text: str) -> Optional[TimeOfDay]:
    """Return a time of day in words or digits, or None."""
    words = _plain(text)
    words = re.sub(r'^(?:at|by|for|tomorrow at|today at) ', '', words)
    words = re.sub(r' (?:tomorrow|today|sharp|please)$', '', words)
    if words in ('noon', 'midday', 'midnight'):
        return TimeOfDay(0 if words == 'midnight' else 12, 0)
    half = _HALF.search(words)
    if words.endswith(' tonight'):
        words, evening = words[:-len(' tonight')], True
    else:
        evening = bool(half and half[2])
    if half:
        words = words[:half.start()]
    words = re.sub(r' ?o\'? ?clock$', '', words)
    found = _digits(words) or _said(words.split())
    if found is None or not (found.hour < 24 and found.minute < 60 and found.second < 60):
        return None
    if half or evening:
        if not 1 <= found.hour <= 12:
            return found._replace(either=False)
        return found._replace(hour=found.hour % 12 + 12 * evening, either=False)
    return found


def check_span(text: str) -> None:
    """Raise ValueError if a text is no time span between a second and a year."""
    seconds = duration_s(text)
    if seconds is None or not 1 <= seconds <= LONGEST_S:
        raise ValueError(f'{text!r} is no time span from a second to a year; say it as in '
                         "'10 minutes' or 'an hour and a half'")


def check_time(text: str) -> None:
    """Raise ValueError if a text is no time of day."""
    if time_of_day(text) is None:
        raise ValueError(f"{text!r} is no time of day; say it as in '19:30' or 'half past six'")


def _plain(text: str) -> str:
    return ' '.join(re.sub(r'[,!?]|\.$|(?<=[a-z])-(?=[a-z])', ' ', text.lower()).split())


def _unit(word: str) -> Optional[float]:
    return _UNITS_S.get(word) or _UNITS_S.get(word.removesuffix('s').removesuffix("'"))


def _count(words: List[str]) -> Tuple[Optional[float], List[str]]:
    """Return the number that a list of words begins with, and the words behind it."""
    if _unit(words[0]) is not None and words[0] not in ('s', 'm', 'h', 'd'):
        return 1.0, words    # "every hour"
    number, rest = _number(words)
    if words[0] in ('a', 'an', 'one') and words[1:2] == ['hundred']:
        return 100.0, words[2:]
    if words[0] in ('a', 'an'):
        number, rest = 1.0, words[1:]
        if rest[:1] == ['couple']:
            return 2.0, _without_of(rest[1:])
        if rest[:1] == ['dozen']:
            return 12.0, rest[1:]
    if words[0] in _FRACTIONS:
        number, rest = 1.0, words
    if number is None:
        return None, words
    name = rest[0].removesuffix('s') if rest else ''
    if name in _FRACTIONS and words[0] != name or words[0] in _FRACTIONS:
        return number * _FRACTIONS[name], _without_of(rest[1:])    # three quarters of an hour
    if rest[:1] == ['and'] and rest[1:2] in (['a'], ['one']) and rest[2:3]:
        if rest[2] in _FRACTIONS:    # one and a half hours
            return number + _FRACTIONS[rest[2]], rest[3:]
    return number, rest


def _without_of(words: List[str]) -> List[str]:
    words = words[1:] if words[:1] == ['of'] else words
    return words[1:] if words[:1] in (['a'], ['an']) else words


def _number(words: List[str]) -> Tuple[Optional[float], List[str]]:
    """Return a number without fractions in digits or words: 90, twenty five, a hundred."""
    if re.fullmatch(r'\d{1,9}(\.\d{1,6})?', words[0]):
        return float(words[0]), words[1:]
    if words[0] not in _NUMBERS:
        return None, words
    number, rest = float(_NUMBERS[words[0]]), words[1:]
    if words[0] in _TENS and rest and 0 < _NUMBERS.get(rest[0], 0) < 10:
        number, rest = number + _NUMBERS[rest[0]], rest[1:]
    return number, rest


def _digits(words: str) -> Optional[TimeOfDay]:
    found = _DIGITS.fullmatch(words)
    if not found:
        return None
    hour = int(found[1])
    # 07:30 is of the 24 hour clock, 7:30 may be said of both halves of the day
    either = 1 <= hour <= 12 and not found[1].startswith('0')
    return TimeOfDay(hour, int(found[2] or 0), int(found[3] or 0), either)


def _said(words: List[str]) -> Optional[TimeOfDay]:
    """Return "quarter past seven", "ten to six", "seven thirty", "seven"."""
    for side in ('past', 'to'):
        if side in words:
            at = words.index(side)
            minutes, hour = _minutes(words[:at]), _whole(words[at + 1:])
            if minutes is None or hour is None or not 1 <= hour <= 12:
                return None
            hour, minutes = (hour, minutes) if side == 'past' else ((hour - 2) % 12 + 1,
                                                                    60 - minutes)
            return TimeOfDay(hour, minutes, 0, True)
    if not words:
        return None
    hour, rest = _number(words[:1])
    if hour is None or hour != int(hour) or hour > 23:
        return None
    if rest or words[1:]:
        minute = _whole(words[2:] if words[1] in ('oh', 'o') else words[1:])
        if minute is None or not 0 <= minute < 60:
            return None
    else:
        minute = 0
    return TimeOfDay(int(hour), minute, 0, 1 <= hour <= 12)


def _minutes(words: List[str]) -> Optional[int]:
    words = [w for w in words if w not in ('a', 'minutes', 'minute')]
    if words in (['half'], ['quarter']):
        return round(60 * _FRACTIONS[words[0]])
    minutes = _whole(words)
    return minutes if minutes is not None and 0 < minutes < 60 else None


def _whole(words: List[str]) -> Optional[int]:
    if not words:
        return None
    number, rest = _number(words)
    return int(number) if number is not None and not rest and number == int(number) else None
