"""Feedback of an action as a share of the work done, and a short text."""
import string
from typing import Any, Mapping, Tuple

from async_agent_ros.tools.bridge.options import field_at, OptionError
from async_agent_ros.tools.bridge.shapes import message_shape

LONGEST_TEXT = 160
LONGEST_LIST = 8


class FeedbackText:
    """
    Says what feedback means, by the file's `feedback`, or from all of its fields.

    :param options: `text` a template such as '{distance_remaining:.1f} m left' or the name of a
        field; `fraction` or `percent` the name of a field.
    Raises OptionError.
    """

    def __init__(self, cls, options: Mapping[str, str]):
        self._shape = message_shape(cls, longest=LONGEST_LIST)
        self._template = options.get('text', '')
        self._fraction = options.get('fraction') or options.get('percent') or ''
        self._scale = 1.0 if options.get('fraction') else 0.01
        if self._template and '{' not in self._template:
            self._template = '{' + self._template + '}'
        try:
            paths = [(name, spec) for _, name, spec, _ in
                     string.Formatter().parse(self._template) if name is not None]
        except ValueError as error:
            raise OptionError(f'feedback.text: {error}') from None
        for path, _ in paths:
            self._find('text', path)
        if self._fraction:
            word = 'fraction' if options.get('fraction') else 'percent'
            field = self._find(word, self._fraction)
            if field.shape.schema().get('type') not in ('number', 'integer'):
                raise OptionError(f'feedback.{word}: {self._fraction} is not a number')

    def _find(self, option, path):
        try:
            return field_at(self._shape, path)
        except OptionError as error:
            raise OptionError(f'feedback.{option}: {error}') from None

    def of(self, message: Any) -> Tuple[float, str]:
        """Return share (0.0 to 1.0, -1.0 unknown) and text."""
        values = self._shape.to_json(message)
        share = -1.0
        if self._fraction:
            number = _at(values, self._fraction)
            if isinstance(number, (int, float)):
                share = min(1.0, max(0.0, number * self._scale))
        if self._template:
            return share, _Template().vformat(self._template, (), values)[:LONGEST_TEXT]
        return share, _short(values)


class _Template(string.Formatter):
    """Fills in dotted paths of a JSON value; what cannot be formatted is shown as it is."""

    def get_field(self, field_name, args, kwargs):
        value = _at(kwargs, field_name)
        return f'{value["length"]} items' if _is_summary(value) else value, field_name

    def format_field(self, value, format_spec):
        try:
            return super().format_field(value, format_spec)
        except (ValueError, TypeError):
            return str(value)


def _at(value, path):
    for step in path.split('.'):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _is_summary(value):
    return isinstance(value, dict) and 'length' in value and 'note' in value


def _short(values: Mapping[str, Any]) -> str:
    """Return all values on one line, cut where it gets long."""
    text = ', '.join(_words(values))
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT - 1] + '…'


def _words(values, prefix=''):
    for key, value in values.items():
        if _is_summary(value):
            yield f'{prefix}{key}: {value["length"]} items'
        elif isinstance(value, dict):
            yield from _words(value, f'{prefix}{key}.')
        elif isinstance(value, list):
            yield f'{prefix}{key}: ' + ' '.join(
                str(v) if not isinstance(v, (dict, list)) else '…' for v in value)
        elif value not in ('', None):
            yield f'{prefix}{key}: {value}'
