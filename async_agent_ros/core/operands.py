"""
Operands: `"$c2"` or `"$c2.field.0"` as an argument stands for the result of another call.

That makes the calls of a plan a directed graph (arXiv 2605.13360, section 3): a call runs as soon
as its operands are there.
"""
import re
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Tuple

_REFERENCE = re.compile(r'\$([A-Za-z_]\w*)((?:\.\w+)*)\Z')


class OperandError(Exception):
    """An operand has no value. The message says why, for the model to read."""


@dataclass(frozen=True)
class Operand:
    """The result of a call, or a part of it."""

    call_id: str
    path: Tuple[str, ...] = ()

    def __str__(self) -> str:
        return '.'.join((f'${self.call_id}', *self.path))


def parse(text: Any) -> 'Operand | None':
    """Return the operand that a value is, None when it is an ordinary value."""
    match = _REFERENCE.match(text) if isinstance(text, str) else None
    return Operand(match[1], tuple(match[2].split('.')[1:])) if match else None


def find(arguments: Any) -> Iterator[Operand]:
    """Yield the operands in a JSON value, in order."""
    operand = parse(arguments)
    if operand:
        yield operand
    elif isinstance(arguments, Mapping):
        for value in arguments.values():
            yield from find(value)
    elif isinstance(arguments, (list, tuple)):
        for value in arguments:
            yield from find(value)


def replace(arguments: Any, by: Callable[[Operand], Any]) -> Any:
    """Return the JSON value with by(operand) in the place of every operand."""
    operand = parse(arguments)
    if operand:
        return by(operand)
    if isinstance(arguments, Mapping):
        return {key: replace(value, by) for key, value in arguments.items()}
    if isinstance(arguments, (list, tuple)):
        return [replace(value, by) for value in arguments]
    return arguments


def part(operand: Operand, result: Any) -> Any:
    """Return the part of a result that the operand names; raises OperandError."""
    value = result
    for number, key in enumerate(operand.path):
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, (list, tuple)) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            place = Operand(operand.call_id, operand.path[:number])
            there = (', '.join(map(str, value)) if isinstance(value, Mapping)
                     else f'{len(value)} items' if isinstance(value, (list, tuple))
                     else 'no fields')
            raise OperandError(f'{operand} is not there: {place} has {there or "nothing"}')
    return value
