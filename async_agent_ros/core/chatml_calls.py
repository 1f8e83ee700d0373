"""The JSON of a call in a stream of characters: where it ends, and what it says."""
import json
import re
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Union

MOST_CALL_CHARS = 8000
"""A call longer than this is rejected: the model has lost its way."""

_NAME = re.compile(r'[A-Za-z_]\w*\Z')
_FIRST = re.compile(r'\{\s*"(\w+)"(?:\s*:\s*"([^"\\]*)")?')


@dataclass(frozen=True)
class Call:
    """A call whose JSON is closed and well-formed. `id` is '' when the model gave none."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Rejected:
    """Output that is no text and cannot be parsed; the reason is written for the model."""

    raw: str
    reason: str


OPEN, CLOSED, BROKEN, TOO_LONG = range(4)


class JsonScanner:
    """Finds the end of a JSON object, character by character."""

    def __init__(self):
        self.before = ''
        self.body = ''
        self.in_string = False
        self._escaped = False
        self._depth = 0
        self._new_line = False

    def feed(self, char: str) -> int:
        """Take a character; at BROKEN it does not belong to the object."""
        if not self.body:
            return self._feed_before(char)
        if self.in_string:
            if char == '\n':
                return BROKEN
            self.body += char
            if self._escaped:
                self._escaped = False
            elif char == '\\':
                self._escaped = True
            elif char == '"':
                self.in_string = False
            return self._size()
        if char == '\n':
            self._new_line = True
        elif self._new_line and not char.isspace():
            # pretty-printed JSON goes on over lines, a forgotten brace must not eat the answer
            self._new_line = False
            if char not in '"{}[],:':
                return BROKEN
        self.body += char
        if char == '"':
            self.in_string = True
        elif char in '{[':
            self._depth += 1
        elif char in '}]':
            self._depth -= 1
            if self._depth == 0:
                return CLOSED
        return self._size()

    def _feed_before(self, char: str) -> int:
        if char == '{':
            self.body, self._depth = char, 1
        elif char == '\n' and self.before.strip():
            return BROKEN
        else:
            self.before += char
        return TOO_LONG if len(self.before) > MOST_CALL_CHARS else OPEN

    def _size(self) -> int:
        return TOO_LONG if len(self.body) > MOST_CALL_CHARS else OPEN


def early_id(body: str) -> Optional[str]:
    """Return the id with which an unfinished call begins, '' for one without; None: not known."""
    first = _FIRST.match(body)
    if first is None:
        return None
    return first[2] if first[1] == 'id' else ''


def parsed_call(before: str, body: str, marker: str) -> Union[Call, Rejected]:
    """Return the call in `body`; `before` is what stood between the marker and the brace."""
    raw = ' '.join(t for t in (marker, before, body) if t)
    form = f'write {marker} {{"name": tool, "arguments": {{...}}}} on one line'
    if not body:
        return Rejected(raw, f'no JSON object follows {marker}; {form}')
    value = _loads(body)
    if isinstance(value, str):
        return Rejected(raw, f'broken JSON: {value}; {form}')
    named = before.rstrip('(: ')
    if named and 'name' not in value and _NAME.match(named):
        # CALL tool {...}: the object can only mean the arguments
        return Call('', named, value)
    name = value.get('name')
    if not isinstance(name, str) or not name.strip():
        return Rejected(raw, f'the call has no name; {form}')
    arguments = value.get('arguments', value.get('parameters', {}))
    if not isinstance(arguments, dict):
        return Rejected(raw, f'arguments must be a JSON object; {form}')
    call_id = value.get('id', '')
    if isinstance(call_id, bool) or not isinstance(call_id, (str, int)):
        call_id = ''
    return Call(str(call_id).strip(), name.strip(), arguments)


def _loads(body: str) -> Union[Mapping[str, Any], str]:
    """Return the object, or what is wrong with it."""
    problem: Optional[str] = None
    # Small models forget the last brace. It is added only behind another brace: anywhere else
    # the end may be missing (a cut number is still a number).
    for text in (body, body.rstrip() + '}') if body.rstrip().endswith('}') else (body,):
        try:
            value = json.loads(text, parse_constant=_no_constant)
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
            return value if isinstance(value, dict) else 'not an object'
        except (ValueError, RecursionError) as error:
            problem = problem or str(error) or type(error).__name__
    return str(problem)


def _no_constant(name: str):
    raise ValueError(f'{name} is not a JSON number')
