"""Shapes of single values and lists: their JSON Schema, and JSON <-> the Python of rclpy."""
import array
import math
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Mapping, Optional

import numpy

from builtin_interfaces.msg import Duration, Time

NS_PER_S = 1_000_000_000
FIRST_ITEMS = 3
"""How many items of a list that is too long are shown."""


class FieldError(ValueError):
    """A value does not fit; the message begins with the path of the field."""

    def __init__(self, path: str, problem: str):
        super().__init__(f'{path or "arguments"}: {problem}')
        self.path, self.problem = path, problem


@dataclass(frozen=True)
class Surroundings:
    """What a message takes from where it is made."""

    now: Callable[[], Time] = Time
    """The time on the ROS clock."""
    lenient: bool = False
    """The value is from the bridge's file: what it leaves out is as in an empty message."""

    def from_file(self) -> 'Surroundings':
        """Return the same for values that stand in the file."""
        return replace(self, lenient=True)


class Shape:
    """One type: schema() for the model, to_ros() for arguments, to_json() for results."""

    required = True
    """Whether it must be given where nothing names a default."""

    def schema(self) -> Dict[str, Any]:
        """Return the JSON Schema."""
        raise NotImplementedError

    def to_ros(self, value: Any, path: str, around: Surroundings) -> Any:
        """Return the value as rclpy wants it; raises FieldError."""
        raise NotImplementedError

    def to_json(self, value: Any) -> Any:
        """Return a value of a message as what json.dumps takes, without NaN and infinity."""
        raise NotImplementedError


class Bool(Shape):
    """A bool."""

    def schema(self):
        return {'type': 'boolean'}

    def to_ros(self, value, path, around):
        if not isinstance(value, bool):
            raise FieldError(path, 'must be true or false')
        return value

    def to_json(self, value):
        return bool(value)


@dataclass
class Integer(Shape):
    """An integer of a range."""

    minimum: int
    maximum: int

    def schema(self):
        return {'type': 'integer', 'minimum': self.minimum, 'maximum': self.maximum}

    def to_ros(self, value, path, around):
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise FieldError(path, 'must be a whole number')
        if not self.minimum <= value <= self.maximum:
            raise FieldError(path, f'must be between {self.minimum} and {self.maximum}, '
                                   f'not {value}')
        return value

    def to_json(self, value):
        return int(value)


class Octet(Integer):
    """A byte, which rclpy takes as bytes of length 1."""

    def __init__(self):
        super().__init__(0, 255)

    def to_ros(self, value, path, around):
        return bytes([super().to_ros(value, path, around)])

    def to_json(self, value):
        return value[0] if isinstance(value, (bytes, bytearray)) else int(value)


WORDS = {'nan': math.nan, 'inf': math.inf, '-inf': -math.inf}
"""How JSON has what it has no number for."""


@dataclass
class Real(Shape):
    """A float of 32 or 64 bits."""

    single: bool = False

    def schema(self):
        return {'type': 'number'}

    def to_ros(self, value, path, around):
        if isinstance(value, str) and value in WORDS:
            return WORDS[value]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise FieldError(path, 'must be a number')
        try:
            value = float(value)
        except OverflowError:
            raise FieldError(path, 'is too large a number') from None
        if self.single and math.isfinite(value) and abs(value) > 3.402823466e38:
            raise FieldError(path, 'is too large a number for 32 bits')
        return float(numpy.float32(value)) if self.single else value

    def to_json(self, value):
        value = float(value)
        if not math.isfinite(value):
            return 'nan' if math.isnan(value) else 'inf' if value > 0 else '-inf'
        # the shortest text of the 32 bits: 0.1 rather than 0.10000000149011612
        return float(str(numpy.float32(value))) if self.single else value


@dataclass
class Text(Shape):
    """A string, perhaps with a bound in bytes (wide: in characters)."""

    maximum: Optional[int] = None
    wide: bool = False

    def schema(self):
        return {'type': 'string', **({'maxLength': self.maximum} if self.maximum else {})}

    def to_ros(self, value, path, around):
        if not isinstance(value, str):
            raise FieldError(path, 'must be a text')
        if '\0' in value:
            raise FieldError(path, 'must not contain a zero character')
        try:
            length = len(value.encode())
        except UnicodeEncodeError:
            raise FieldError(path, 'is not valid Unicode') from None
        if self.maximum and (len(value) if self.wide else length) > self.maximum:
            raise FieldError(path, f'must not be longer than {self.maximum}')
        return value

    def to_json(self, value):
        return value.encode('utf-8', 'replace').decode()


@dataclass
class Choice(Shape):
    """Values with names: constants of the interface, or given in the file."""

    base: Shape
    values: Mapping[str, Any]

    def schema(self):
        return {'type': 'string', 'enum': list(self.values)}

    def to_ros(self, value, path, around):
        if isinstance(value, str) and value in self.values:
            value, around = self.values[value], around.from_file()
        elif isinstance(value, (str, bool)) or value not in self.values.values():
            raise FieldError(path, f'must be one of {", ".join(self.values)}')
        return self.base.to_ros(value, path, around)

    def to_json(self, value):
        value = self.base.to_json(value)
        return next((name for name, known in self.values.items() if known == value), value)


@dataclass
class Restricted(Shape):
    """One of some values, as a list `enum` in the file says."""

    base: Shape
    values: list

    def schema(self):
        return {**{k: v for k, v in self.base.schema().items() if k == 'type'},
                'enum': self.values}

    def to_ros(self, value, path, around):
        if value not in self.values:
            raise FieldError(path, f'must be one of {", ".join(map(str, self.values))}')
        return self.base.to_ros(value, path, around)

    def to_json(self, value):
        return self.base.to_json(value)


@dataclass
class Within(Shape):
    """A number within bounds that the file sets."""

    base: Shape
    minimum: float = -math.inf
    maximum: float = math.inf

    def schema(self):
        bounds = {'minimum': self.minimum, 'maximum': self.maximum}
        return {**self.base.schema(), **{k: v for k, v in bounds.items() if math.isfinite(v)}}

    def to_ros(self, value, path, around):
        converted = self.base.to_ros(value, path, around)
        if not self.minimum <= WORDS.get(value, value) <= self.maximum:    # a NaN is neither
            bounds = [f'at {word} {bound:g}' for word, bound in
                      (('least', self.minimum), ('most', self.maximum)) if math.isfinite(bound)]
            raise FieldError(path, f'must be {" and ".join(bounds)}, not {value}')
        return converted

    def to_json(self, value):
        return self.base.to_json(value)


@dataclass
class Items(Shape):
    """An array of a fixed length, or a sequence with or without a bound."""

    item: Shape
    minimum: int = 0
    maximum: Optional[int] = None
    longest: int = 64
    """In JSON; what is longer is summarised."""

    def schema(self):
        bounds = {'minItems': self.minimum} if self.minimum else {}
        if self.maximum is not None:
            bounds['maxItems'] = self.maximum
        return {'type': 'array', 'items': self.item.schema(), **bounds}

    def to_ros(self, value, path, around):
        if not isinstance(value, (list, tuple)):
            raise FieldError(path, 'must be a list')
        if self.minimum == self.maximum and len(value) != self.minimum:
            raise FieldError(path, f'must have {self.minimum} items, not {len(value)}')
        if self.maximum is not None and len(value) > self.maximum:
            raise FieldError(path, f'must have at most {self.maximum} items, not {len(value)}')
        return [self.item.to_ros(item, f'{path}[{i}]', around) for i, item in enumerate(value)]

    def to_json(self, value):
        if len(value) > self.longest:
            return self._summary(value)
        return [self.item.to_json(item) for item in value]

    def _summary(self, value):
        """Describe a list that is too long for a conversation: a scan, an image, a cloud."""
        summary = {'length': len(value),
                   'note': f'summarised: {len(value)} values are not shown'}
        if isinstance(value, array.array) and value.typecode == 'B' or isinstance(
                value, (bytes, bytearray)) or isinstance(self.item, Octet):
            summary['note'] = f'summarised: {len(value)} bytes are not shown'
            return summary
        if isinstance(self.item, (Real, Integer)):
            numbers = numpy.asarray(value)
            finite = numbers[numpy.isfinite(numbers)]
            if len(finite):
                summary.update(minimum=self.item.to_json(finite.min()),
                               maximum=self.item.to_json(finite.max()))
            if len(finite) < len(numbers):
                summary['not_finite'] = int(len(numbers) - len(finite))
            return summary
        summary['first'] = [self.item.to_json(item) for item in value[:FIRST_ITEMS]]
        summary['note'] = f'summarised: {len(value) - FIRST_ITEMS} more items are not shown'
        return summary


class Stamp(Shape):
    """A builtin_interfaces/Time as seconds since 1970 (or since the simulation began)."""

    required = False

    def schema(self):
        return {'anyOf': [{'type': 'number', 'minimum': 0}, {'enum': ['now']}]}

    def to_ros(self, value, path, around):
        if value == 'now':
            return around.now()
        total_ns = _nanoseconds(value, path, "must be seconds, or 'now'")
        sec, nanosec = divmod(total_ns, NS_PER_S)
        if not 0 <= sec < 1 << 31:
            raise FieldError(path, 'must be a time between 1970 and 2038')
        return Time(sec=sec, nanosec=nanosec)

    def to_json(self, value):
        return value.sec + value.nanosec / NS_PER_S


class Seconds(Shape):
    """A builtin_interfaces/Duration as seconds."""

    def schema(self):
        return {'type': 'number'}

    def to_ros(self, value, path, around):
        sec, nanosec = divmod(_nanoseconds(value, path, 'must be seconds, a number'), NS_PER_S)
        if not -(1 << 31) <= sec < 1 << 31:
            raise FieldError(path, 'is too long a time')
        return Duration(sec=sec, nanosec=nanosec)

    def to_json(self, value):
        return value.sec + value.nanosec / NS_PER_S


def _nanoseconds(value, path, problem):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise FieldError(path, problem)
    whole = math.floor(value)
    return whole * NS_PER_S + round((value - whole) * NS_PER_S)
