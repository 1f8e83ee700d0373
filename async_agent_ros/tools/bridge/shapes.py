"""From the class of a message to its shape."""
import importlib
from typing import Any, Dict, Mapping

from rosidl_parser import definition as rosidl

from async_agent_ros.tools.bridge import friendly
from async_agent_ros.tools.bridge.definitions import documentation
from async_agent_ros.tools.bridge.interfaces import full_name, InterfaceError
from async_agent_ros.tools.bridge.objects import Field, Object
from async_agent_ros.tools.bridge.values import Bool, Choice, Integer, Items, Octet, Real
from async_agent_ros.tools.bridge.values import Seconds, Shape, Stamp, Text

_INTEGERS = {f'{sign}int{bits}': ((0, 2 ** bits - 1) if sign else
                                  (-2 ** (bits - 1), 2 ** (bits - 1) - 1))
             for sign in ('', 'u') for bits in (8, 16, 32, 64)}
_INTEGERS.update(char=(0, 255))

LONGEST = 64
"""Items of a list in a result; longer ones are summarised, unless the file says otherwise."""


def message_shape(cls, *, raw=frozenset(), frame: str = '', longest: int = LONGEST,
                  arguments: bool = False) -> Shape:
    """
    Return the shape of a message class.

    :param raw: paths of fields that are shown as the interface has them ('' is the whole).
    :param frame: default frame of headers; '': map, or base_link beside a twist.
    :param longest: items of a list in JSON before it is summarised.
    :param arguments: it is what a caller gives: stamps of headers are not asked for.
    """
    return _Maker(raw, frame, longest, arguments).message(cls, '', False)


class _Maker:

    def __init__(self, raw, frame, longest, arguments):
        self._raw, self._frame, self._longest = raw, frame, longest
        self._arguments = arguments

    def message(self, cls, path, raw):
        raw = raw or path in self._raw
        name = full_name(cls)
        if name == 'builtin_interfaces/msg/Time':
            return Stamp()
        if name == 'builtin_interfaces/msg/Duration':
            return Seconds()
        if not raw and name in friendly.MAKERS:
            return friendly.MAKERS[name](arguments=self._arguments)
        about = documentation(cls)
        names = list(cls.get_fields_and_field_types())
        constants = groups(cls, names)
        fields = []
        for field_name, slot in zip(names, cls.SLOT_TYPES):
            place = f'{path}.{field_name}' if path else field_name
            shape = self._shape(slot, place, raw)
            if field_name in constants and isinstance(shape, (Integer, Text)):
                shape = Choice(shape, constants[field_name])
            fields.append(Field(field_name, shape, about.fields.get(field_name, '')))
            self._default(cls, fields[-1])
        if not raw:
            friendly.lift(name, fields, self._frame)
        return Object(fields, lambda values: cls(**values),
                      lambda message: {n: getattr(message, n) for n in names})

    def _shape(self, slot, path, raw):
        if isinstance(slot, rosidl.BasicType):
            return _basic(slot.typename)
        if isinstance(slot, rosidl.AbstractGenericString):
            return Text(getattr(slot, 'maximum_size', None) if slot.has_maximum_size() else None,
                        isinstance(slot, rosidl.AbstractWString))
        if isinstance(slot, (rosidl.NamespacedType, rosidl.NamedType)):
            return self.message(_class_of(slot), path, raw)
        item = self._shape(slot.value_type, path, raw)
        if isinstance(slot, rosidl.Array):
            return Items(item, slot.size, slot.size, longest=self._longest)
        bound = slot.maximum_size if isinstance(slot, rosidl.BoundedSequence) else None
        return Items(item, 0, bound, longest=self._longest)

    @staticmethod
    def _default(cls, field):
        default = getattr(cls, f'{field.name.upper()}__DEFAULT', None)
        if default is not None:
            field.shown_default = field.shape.to_json(default)


def _basic(typename):
    if typename in _INTEGERS:
        return Integer(*_INTEGERS[typename])
    if typename in ('float', 'double', 'long double'):
        return Real(single=typename == 'float')
    return {'boolean': Bool, 'octet': Octet}[typename]()


def _class_of(slot):
    package, *folders, name = slot.namespaced_name()
    try:
        return getattr(importlib.import_module('.'.join([package, *folders])), name)
    except (ImportError, AttributeError) as error:
        raise InterfaceError(f'{"/".join([package, *folders, name])} cannot be imported: '
                             f'{error}; install the package {package}') from None


def constants_of(cls) -> Dict[str, Any]:
    """Return the constants of a message class."""
    metaclass = type(cls)
    return dict(vars(metaclass).get(f'_{metaclass.__name__}__constants', {}))


def groups(cls, field_names) -> Dict[str, Mapping[str, Any]]:
    """
    Return the constants that name the values of a field, by field, without their prefix.

    The convention of .msg files: constants that begin with the field's name, as MODE_IDLE and
    MODE_RUN for `mode`. Two at least, of the field's type and of different values. Bit masks,
    whose values can be combined, are left as numbers.
    """
    types = dict(zip(cls.get_fields_and_field_types(), cls.SLOT_TYPES))
    by_field: Dict[str, Dict[str, Any]] = {}
    # the longest field name first: STATUS_CODE_X belongs to status_code, not to status
    for constant, value in constants_of(cls).items():
        owner = next((f for f in sorted(field_names, key=len, reverse=True)
                      if constant.startswith(f.upper() + '_')), None)
        if owner is None or isinstance(value, (bool, float, bytes)):
            continue
        slot = types[owner]
        fits = (isinstance(slot, rosidl.AbstractGenericString) if isinstance(value, str) else
                isinstance(slot, rosidl.BasicType) and slot.typename in _INTEGERS)
        if fits:
            by_field.setdefault(owner, {})[constant[len(owner) + 1:]] = value
    return {name: values for name, values in by_field.items()
            if len(values) > 1 and len(set(values.values())) == len(values)
            and not _bit_mask(values.values())}


def _bit_mask(values):
    numbers = [v for v in values if isinstance(v, int) and v != 0]
    return (len(numbers) > 2 and all(v > 0 and v & (v - 1) == 0 for v in numbers)
            and max(numbers) >= 4)
