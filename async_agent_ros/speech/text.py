"""Text as it is written to text as it is spoken, without losing where each word came from."""
import bisect
import re
from typing import Callable, List, Match, Sequence, Tuple, Union

_ONES = ('zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen '
         'fifteen sixteen seventeen eighteen nineteen').split()
_TENS = 'zero ten twenty thirty forty fifty sixty seventy eighty ninety'.split()
_SCALES = ((10 ** 12, 'trillion'), (10 ** 9, 'billion'), (10 ** 6, 'million'), (1000, 'thousand'))
_ORDINALS = {'one': 'first', 'two': 'second', 'three': 'third', 'five': 'fifth', 'eight': 'eighth',
             'nine': 'ninth', 'twelve': 'twelfth'}


def number_words(value: int) -> str:
    """Return an integer in English words: 142 -> 'one hundred forty two'."""
    if value < 0:
        return 'minus ' + number_words(-value)
    if value < 20:
        return _ONES[value]
    if value < 100:
        tens, ones = divmod(value, 10)
        return _TENS[tens] + (f' {_ONES[ones]}' if ones else '')
    if value < 1000:
        hundreds, rest = divmod(value, 100)
        return f'{_ONES[hundreds]} hundred' + (f' {number_words(rest)}' if rest else '')
    for scale, name in _SCALES:
        if value >= scale:
            if value >= scale * 1000:
                break
            count, rest = divmod(value, scale)
            return f'{number_words(count)} {name}' + (f' {number_words(rest)}' if rest else '')
    return ' '.join(_ONES[int(d)] for d in str(value))


def ordinal_words(value: int) -> str:
    """Return an ordinal in English words: 23 -> 'twenty third'."""
    head, _, last = number_words(value).rpartition(' ')
    if last in _ORDINALS:
        last = _ORDINALS[last]
    else:
        last = last[:-1] + 'ieth' if last.endswith('y') else last + 'th'
    return f'{head} {last}'.strip()


def _decimal(whole: str, fraction: str) -> str:
    whole = whole.replace(',', '')
    if len(whole) > 1 and whole.startswith('0') or len(whole) > 15:
        words = ' '.join(_ONES[int(d)] for d in whole)
    else:
        words = number_words(int(whole))
    if fraction:
        words += ' point ' + ' '.join(_ONES[int(d)] for d in fraction)
    return words


# Unit: singular, plural. After a number only; letter case matters (m is not M).
_UNITS = {
    '%': ('percent', 'percent'), '°C': ('degree Celsius', 'degrees Celsius'),
    '°F': ('degree Fahrenheit', 'degrees Fahrenheit'), '°': ('degree', 'degrees'),
    'mm': ('millimeter', 'millimeters'), 'cm': ('centimeter', 'centimeters'),
    'dm': ('decimeter', 'decimeters'), 'm': ('meter', 'meters'), 'km': ('kilometer', 'kilometers'),
    'm/s': ('meter per second', 'meters per second'),
    'km/h': ('kilometer per hour', 'kilometers per hour'),
    'm²': ('square meter', 'square meters'), 'm^2': ('square meter', 'square meters'),
    'cm²': ('square centimeter', 'square centimeters'),
    'm³': ('cubic meter', 'cubic meters'), 'm^3': ('cubic meter', 'cubic meters'),
    'm/s²': ('meter per second squared', 'meters per second squared'),
    'm/s^2': ('meter per second squared', 'meters per second squared'),
    'ft': ('foot', 'feet'), 'mi': ('mile', 'miles'), 'mph': ('mile per hour', 'miles per hour'),
    'lb': ('pound', 'pounds'), 'lbs': ('pound', 'pounds'), 'oz': ('ounce', 'ounces'),
    't': ('ton', 'tons'), 'mg': ('milligram', 'milligrams'), 'µm': ('micrometer', 'micrometers'),
    'µs': ('microsecond', 'microseconds'), 'rpm': ('R P M', 'R P M'),
    'bar': ('bar', 'bar'), 'hPa': ('hectopascal', 'hectopascals'), 'Pa': ('pascal', 'pascals'),
    'dB': ('decibel', 'decibels'), 'MHz': ('megahertz', 'megahertz'),
    'GHz': ('gigahertz', 'gigahertz'), 'mV': ('millivolt', 'millivolts'),
    'mA': ('milliampere', 'milliamperes'), 'kWh': ('kilowatt hour', 'kilowatt hours'),
    'N·m': ('newton meter', 'newton meters'), 'kN': ('kilonewton', 'kilonewtons'),
    'l/min': ('liter per minute', 'liters per minute'), 'KB': ('kilobyte', 'kilobytes'),
    'kB': ('kilobyte', 'kilobytes'), 'TB': ('terabyte', 'terabytes'),
    'Mbit/s': ('megabit per second', 'megabits per second'),
    'fps': ('frame per second', 'frames per second'), '‰': ('per mille', 'per mille'),
    'rad/s': ('radian per second', 'radians per second'), 'rad': ('radian', 'radians'),
    'deg': ('degree', 'degrees'), 'deg/s': ('degree per second', 'degrees per second'),
    'ms': ('millisecond', 'milliseconds'), 's': ('second', 'seconds'),
    'sec': ('second', 'seconds'), 'min': ('minute', 'minutes'), 'h': ('hour', 'hours'),
    'g': ('gram', 'grams'), 'kg': ('kilogram', 'kilograms'), 'N': ('newton', 'newtons'),
    'Nm': ('newton meter', 'newton meters'), 'V': ('volt', 'volts'), 'A': ('ampere', 'amperes'),
    'Ah': ('ampere hour', 'ampere hours'), 'mAh': ('milliampere hour', 'milliampere hours'),
    'W': ('watt', 'watts'), 'Wh': ('watt hour', 'watt hours'), 'kW': ('kilowatt', 'kilowatts'),
    'Hz': ('hertz', 'hertz'), 'kHz': ('kilohertz', 'kilohertz'), 'L': ('liter', 'liters'),
    'l': ('liter', 'liters'), 'ml': ('milliliter', 'milliliters'),
    'MB': ('megabyte', 'megabytes'), 'GB': ('gigabyte', 'gigabytes'),
    '€': ('euro', 'euros'),
}
_NUMBER = r'(?P<sign>(?<![\w.])[-−])?(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<fraction>\d+))?'
_UNIT = '|'.join(re.escape(u) for u in sorted(_UNITS, key=len, reverse=True))
_ABBREVIATIONS = {
    'e.g.': 'for example', 'i.e.': 'that is', 'etc.': 'et cetera', 'approx.': 'approximately',
    'vs.': 'versus', 'Dr.': 'Doctor', 'Mr.': 'Mister', 'Mrs.': 'Missis', 'Ms.': 'Miss',
    'Prof.': 'Professor', 'max.': 'maximum', 'min.': 'minimum', 'incl.': 'including',
    'a.m.': 'a m', 'p.m.': 'p m', 'Jan.': 'January', 'Feb.': 'February', 'Aug.': 'August',
    'Sept.': 'September', 'Oct.': 'October', 'Nov.': 'November', 'Dec.': 'December',
    'w/': 'with', 'w/o': 'without', 'ETA': 'E T A', 'URL': 'U R L', 'LED': 'L E D',
    'USB': 'U S B', 'ID': 'I D', 'GPS': 'G P S', 'AI': 'A I', 'CPU': 'C P U', 'GPU': 'G P U',
    'TV': 'T V', 'ROS': 'ross', 'OK': 'okay',
}
_EMOJI = ('[\U0001F000-\U0001FAFF\U00002600-\U000027BF\U00002300-\U000023FF\U00002B00-\U00002BFF'
          '\U0000FE00-\U0000FE0F\U0000200D\U000020E3\U000E0000-\U000E007F\U0001F1E6-\U0001F1FF]')


def _quantity(match: Match) -> str:
    whole, fraction = match['whole'], match['fraction'] or ''
    words = ('minus ' if match['sign'] else '') + _decimal(whole, fraction)
    singular, plural = _UNITS[match['unit']]
    one = whole.replace(',', '') == '1' and not fraction
    return f'{words} {singular if one else plural}'


def _plain_number(match: Match) -> str:
    return ('minus ' if match['sign'] else '') + _decimal(match['whole'], match['fraction'] or '')


def _clock(match: Match) -> str:
    hours, minutes = int(match[1]), int(match[2])
    if hours > 23 or minutes > 59:
        return f'{number_words(hours)} {number_words(minutes)}'
    if minutes == 0:
        suffix = "o'clock" if hours <= 12 else 'hundred'
        return f'{number_words(hours)} {suffix}'
    tens = f'oh {number_words(minutes)}' if minutes < 10 else number_words(minutes)
    return f'{number_words(hours)} {tens}'


_CURRENCIES = {'$': ('dollar', 'cents'), '€': ('euro', 'cents'), '£': ('pound', 'pence')}


def _money(match: Match) -> str:
    name, small = _CURRENCIES[match[1]]
    words = f"{_decimal(match[2], '')} {name}{'' if match[2] == '1' else 's'}"
    return words + (f' and {number_words(int(match[3]))} {small}' if match[3] else '')


_MONTHS = ('January February March April May June July August September October November '
           'December').split()


def _year(year: int) -> str:
    if 1100 <= year < 2000 or 2010 <= year < 2100:
        high, low = divmod(year, 100)
        rest = number_words(low) if low > 9 else f'oh {number_words(low)}' if low else 'hundred'
        return f'{number_words(high)} {rest}'
    return number_words(year)


def _date(match: Match) -> str:
    year, month, day = (int(match[i]) for i in (1, 2, 3))
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return ' '.join(number_words(n) for n in (year, month, day))
    return f'{_MONTHS[month - 1]} {ordinal_words(day)}, {_year(year)}'


def _dotted(match: Match) -> str:
    return ' ' + ' point '.join(_decimal(part, '') for part in match[0].split('.'))


_FRACTIONS = {'½': 'a half', '¼': 'a quarter', '¾': 'three quarters', '⅓': 'a third',
              '⅔': 'two thirds'}
_PARTS = {2: 'half', 4: 'quarter'}


def _fraction(match: Match) -> str:
    count, parts = int(match[1]), int(match[2])
    if not 1 <= count < parts <= 20:
        return f'{number_words(count)} {number_words(parts)}'
    name = _PARTS.get(parts) or ordinal_words(parts)
    return f"{number_words(count)} {name}{'' if count == 1 else 's'}"


Replacement = Union[str, Callable[[Match], str]]

_RULES: Sequence[Tuple['re.Pattern', Replacement]] = tuple(
    (re.compile(pattern, re.MULTILINE), replacement) for pattern, replacement in (
        # What is not language: code, markup, links, pictures.
        (r'```[\s\S]*?(?:```|\Z)', ' '),
        (r'<\|[^|>]*\|>|</?[a-zA-Z][^<>]{0,80}>', ' '),
        (r'!?\[([^\]]*)\]\([^)]*\)', lambda m: m[1]),
        (r'https?://\S+|www\.\S+', ' a link '),
        (r'(?<=[\w)`*])[ \t]*\n+(?=\s*\S)', ',\n'),  # lines of a list: a pause between
        (r'^\s{0,3}#{1,6}\s+', ''),
        (r'^\s*(?:[-*+•]|\d{1,2}[.)])\s+(?=\S)', ''),
        (r'^\s*>\s?', ''),
        (r'^\s*(?:[-*_]\s*){3,}$', ' '),
        (r'\|?[ \t]*:?-{3,}:?[ \t]*(?:\||$)', ' '),
        (r'^(\s*(?:[-*+]\s+)?)\[[ xX]\]', ' '),
        (r'&(?:amp;)', '&'), (r'&(?:nbsp|lt|gt|quot|#\d+);', ' '),
        (r'\*{1,3}|`+|~~', ''),
        (r'(?<!\w)_+(?=\w)|(?<=\w)_+(?!\w)', ''),
        (r'(?<=\w)_+(?=\w)', ' '),
        (r'\|', ', '),
        (_EMOJI, ' '),
        (r'(?<!\w)[:;]-?[)(DP](?!\w)', ' '),
        # Signs that are read.
        (r'→|->|=>', ' to '), (r'≈|~(?=\s?\d)', 'about '), (r'\s&\s', ' and '), (r'×', ' times '),
        (r'±', ' plus or minus '), (r'≥', ' at least '), (r'≤', ' at most '),
        (r'(?<=\w)\s?=\s?(?=[\w-])', ' equals '), (r'\band/or\b', 'or'),
        (r'(?<=[A-Za-z]{3})/(?=[A-Za-z]{3})', ' or '), (r'(?<=\d)\s?\+\s?(?=\d)', ' plus '),
        (r'(?<![\w.])(' + '|'.join(
            re.escape(a) for a in sorted(_ABBREVIATIONS, key=len, reverse=True)) + r')(?!\w)',
         lambda m: _ABBREVIATIONS[m[1]]),
        # Numbers.
        (r'\b(\d{1,2}):(\d{2})(?::\d{2})?\b(?!:)', _clock),
        (r'([$€£])\s?(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d{2}))?(?![\d.]*\d)', _money),
        (r'\b(\d{4})-(\d{2})-(\d{2})\b', _date),
        (r'(?<![\d.])\d+(?:\.\d+){2,}', _dotted),
        (r'(?<![\w./])(\d{1,2})/(\d{1,2})(?![\w/])', _fraction),
        (r'[½¼¾⅓⅔]', lambda m: f' {_FRACTIONS[m[0]]}'),
        (r'(?:#|\b[Nn]o\.)\s?(?=\d)', 'number '),
        (r'\b(\d{1,9})(?:st|nd|rd|th)\b', lambda m: ordinal_words(int(m[1]))),
        (r'(?<=\d)\s?[-–—]\s?(?=\d)', ' to '),
        (_NUMBER + r'\s?(?P<unit>' + _UNIT + r')(?![\w/])', _quantity),
        (r'(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])', ' '),
        (_NUMBER, _plain_number),
        (r'[{}\[\]<>\\^#=@]', ' '),
        (r'[“”«»"]', ''), (r'[‘’]', "'"), (r'\s*[—–]\s*', ', '), (r'…', '...'),
        (r'(\s*,){2,}', ','), (r'\s+(?=[,.;:!?])', ''), (r'\s+', ' '),
    ))


class Spoken:
    """Text to speak, each character of which knows how much of the written text it completes."""

    def __init__(self, text: str, origin: Sequence[int], written_chars: int):
        self.text = text
        self.origin = list(origin)
        """For each character: characters of the written text that are told once it is heard."""
        self.written_chars = written_chars

    def substitute(self, pattern: 're.Pattern', replacement: Replacement) -> 'Spoken':
        """Return it with every match replaced; a replacement tells its match when it ends."""
        parts: List[str] = []
        origin: List[int] = []
        at = 0
        for match in pattern.finditer(self.text):
            parts.append(self.text[at:match.start()])
            origin += self.origin[at:match.start()]
            new = replacement if isinstance(replacement, str) else replacement(match)
            parts.append(new)
            before = self.origin[match.start() - 1] if match.start() else 0
            after = self.origin[match.end() - 1] if match.end() else 0
            origin += [before] * max(0, len(new) - 1) + [after] * (1 if new else 0)
            at = match.end()
        parts.append(self.text[at:])
        origin += self.origin[at:]
        return Spoken(''.join(parts), origin, self.written_chars)

    def words(self) -> List[Tuple[int, int, int]]:
        """Return (start, end, written characters told) of each word, in order."""
        return [(m.start(), m.end(), max(self.origin[m.start():m.end()]))
                for m in re.finditer(r'\S+', self.text)]


def speakable(text: str) -> Spoken:
    """Return the text as it is spoken: no markup, no emoji, numbers and units in words."""
    spoken = Spoken(text, range(1, len(text) + 1), len(text))
    for pattern, replacement in _RULES:
        spoken = spoken.substitute(pattern, replacement)
    if not re.search(r'\w', spoken.text):
        return Spoken('', [], len(text))
    return spoken


_SENTENCE = re.compile(r'[.!?]+[)\'"]*(?=\s|$)')
_CLAUSE = re.compile(r'[,;:][)\'"]*(?=\s)|\s(?=(?:and|but|because|so|which|while|then|or)\s)')


def clauses(text: str, *, first_chars: int = 40, chars: int = 120) -> List[Tuple[int, int]]:
    """
    Return where to cut the text for synthesis: (start, end) pairs that cover it.

    Sentences stay whole when short. The first piece is kept near `first_chars`, because nothing
    is heard before it is synthesised; later ones near `chars`.
    """
    cuts = sorted({m.end() for m in _SENTENCE.finditer(text)} | {len(text)})
    pieces, start = [], 0
    for cut in cuts:
        while cut - start > (limit := first_chars if not pieces else chars):
            at = _best_cut(text, start, cut, limit)
            if at is None:
                break
            pieces.append((start, at))
            start = at
        if text[start:cut].strip():
            pieces.append((start, cut))
            start = cut
    return pieces


def _best_cut(text, start, end, limit):
    # Not within 10 characters of either end: a lone word sounds chopped off.
    candidates = [m.end() for m in _CLAUSE.finditer(text, start + 8, end - 8)]
    if not candidates:
        if end - start <= 2.5 * limit:
            return None
        space = text.rfind(' ', start + limit // 2, start + int(2.5 * limit))
        return space + 1 if space > 0 else None
    at = bisect.bisect_right(candidates, start + limit)
    return candidates[at - 1] if at else candidates[0]


def round_to_word(text: str, chars: int) -> int:
    """Return a position in the written text that does not cut a word: the last boundary before."""
    chars = min(chars, len(text))
    if 0 < chars < len(text):
        while chars < len(text) and not text[chars].isalnum() and not text[chars].isspace():
            chars += 1  # punctuation and markup belong to the word before
        if chars < len(text) and text[chars].isalnum() and text[chars - 1].isalnum():
            while chars > 0 and text[chars - 1].isalnum():
                chars -= 1
            chars = len(text[:chars].rstrip())
    return chars
