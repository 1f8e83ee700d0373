"""The shape of a message: named fields, which the bridge's file can fix, rename or hide."""
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from async_agent_ros.tools.bridge.values import FieldError, Shape

UNSET = object()


@dataclass
class Field:
    """One field of a message, as the model sees it."""

    name: str
    """In the message."""
    shape: Shape
    description: str = ''
    key: str = ''
    """In JSON; the name when empty."""
    required: Optional[bool] = None
    """None: where its shape is, and it has no default."""
    default: Any = UNSET
    """JSON value when it is not given. UNSET: as the message has it."""
    shown_default: Any = UNSET
    """The default that the interface itself has, for the schema."""
    fixed: Any = UNSET
    """JSON value that it always has; then it is not shown."""
    hidden: bool = False
    lifted: bool = False
    """Its own fields stand in its place."""

    def __post_init__(self):
        self.key = self.key or self.name

    @property
    def visible(self) -> bool:
        """Whether it is part of the JSON."""
        return not self.hidden and self.fixed is UNSET

    @property
    def must_be_given(self) -> bool:
        """Whether it is an error to leave it out."""
        if self.required is not None:
            return self.required
        return (self.shape.required and self.default is UNSET
                and self.shown_default is UNSET)


class Object(Shape):
    """
    Fields, and how a message comes from their values and back.

    :param build: makes the message from the values that are there, by field name.
    :param split: returns the values of a message, by field name; a missing one is not shown.
    :param check: raises FieldError for values that do not go together, given (JSON, path).
    """

    def __init__(self, fields: List[Field], build: Callable[[Dict[str, Any]], Any],
                 split: Callable[[Any], Dict[str, Any]],
                 check: Optional[Callable[[Dict[str, Any], str], None]] = None):
        self.fields = fields
        self._build, self._split, self._check = build, split, check

    @property
    def required(self):
        """Whether any of its fields is."""
        return any(f.must_be_given for _, f in self.entries())

    def entries(self) -> Iterator[Tuple[str, Field]]:
        """Yield what is visible, by its key in JSON, with lifted fields in place."""
        for field in self.fields:
            if not field.visible:
                continue
            if field.lifted:
                yield from field.shape.entries()
            else:
                yield field.key, field

    def find(self, key: str) -> Optional[Field]:
        """Return the field of a key or name, visible or not, also among lifted ones."""
        for field in self.fields:
            if key in (field.key, field.name) and not field.lifted:
                return field
        for field in self.fields:
            if field.lifted:
                found = field.shape.find(key)
                if found is not None:
                    return found
        return next((f for f in self.fields if key == f.name), None)

    def schema(self):
        properties = {}
        required = []
        for key, field in self.entries():
            schema = dict(field.shape.schema())
            if field.description:
                schema['description'] = field.description
            default = field.shown_default if field.default is UNSET else field.default
            if default is not UNSET:
                schema['default'] = default
            properties[key] = schema
            if field.must_be_given:
                required.append(key)
        return {'type': 'object', 'properties': properties,
                **({'required': required} if required else {}), 'additionalProperties': False}

    def to_ros(self, value, path, around):
        if not isinstance(value, dict):
            raise FieldError(path, 'must be an object')
        known = [key for key, _ in self.entries()]
        for key in value:
            if key not in known:
                raise FieldError(_join(path, key), 'is not known; '
                                 + (f'there are {", ".join(known)}' if known
                                    else 'there are no arguments'))
        if self._check is not None:
            self._check(value, path)
        values = {}
        for field in self.fields:
            converted = self._field_to_ros(field, value, path, around)
            if converted is not UNSET:
                values[field.name] = converted
        return self._build(values)

    def _field_to_ros(self, field, value, path, around):
        place = _join(path, field.key)
        if field.fixed is not UNSET:
            return field.shape.to_ros(field.fixed, place, around.from_file())
        if field.visible and field.lifted:
            keys = {key for key, _ in field.shape.entries()}
            return field.shape.to_ros({k: v for k, v in value.items() if k in keys}, path, around)
        if field.visible and field.key in value:
            return field.shape.to_ros(value[field.key], place, around)
        if field.default is not UNSET:
            return field.shape.to_ros(field.default, place, around.from_file())
        if field.visible and field.must_be_given and not around.lenient:
            raise FieldError(place, 'is required')
        if isinstance(field.shape, Object) and not field.shape.required:
            return field.shape.to_ros({}, place, around)    # headers inside are filled
        return UNSET

    def to_json(self, value):
        values = self._split(value)
        result = {}
        for field in self.fields:
            if not field.visible or field.name not in values:
                continue
            converted = field.shape.to_json(values[field.name])
            if field.lifted:
                result.update(converted)
            else:
                result[field.key] = converted
        return result


def _join(path, key):
    return f'{path}.{key}' if path else key
