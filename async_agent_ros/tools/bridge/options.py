"""What the bridge's file says about single fields of arguments and results."""
from typing import Any, Iterable, List, Mapping

from async_agent_ros.tools.bridge.objects import Field, Object, UNSET
from async_agent_ros.tools.bridge.values import Choice, FieldError, Items, Restricted
from async_agent_ros.tools.bridge.values import Surroundings, Within

_FILE = Surroundings(lenient=True)

FIELD_OPTIONS = ('rename', 'fixed', 'hidden', 'description', 'default', 'enum', 'flatten', 'raw',
                 'minimum', 'maximum', 'optional', 'only')
"""Options of one argument."""


class OptionError(ValueError):
    """An option does not fit the interface; the message names the field and the remedy."""


def raw_paths(options: Mapping[str, Mapping[str, Any]]) -> frozenset:
    """Return the paths of fields that are to be shown as the interface has them."""
    return frozenset(path for path, o in options.items() if isinstance(o, Mapping)
                     and o.get('raw') is True)


def field_at(shape, path: str) -> Field:
    """Return the field at a dotted path, through lists too. Raises OptionError."""
    field = None
    for step in path.split('.'):
        shape = _innermost(shape)
        found = shape.find(step) if isinstance(shape, Object) else None
        if found is None:
            there = sorted(key for key, _ in shape.entries()) if isinstance(shape, Object) else ()
            raise OptionError(f'{path}: there is no field {step!r}'
                              + (f'; there are {", ".join(there)}' if there else ''))
        field, shape = found, found.shape
    return field


def apply_arguments(shape: Object, options: Mapping[str, Any]) -> None:
    """Fix, hide, rename and describe fields. Raises OptionError naming field and option."""
    # paths are those of the interface: find all before the first is renamed
    found = [(path, field_at(shape, path), given or {}) for path, given in options.items()]
    for path, field, given in found:
        if not isinstance(given, Mapping):
            raise OptionError(f'{path}: must be a table of options: {", ".join(FIELD_OPTIONS)}')
        for option in given:
            if option not in FIELD_OPTIONS:
                raise OptionError(f'{path}: there is no option {option!r}; there are '
                                  f'{", ".join(FIELD_OPTIONS)}')
        _apply(path, field, given)
    _check_keys(shape, '')
    for path, field, _ in found:
        _try(path, 'fixed', field, field.fixed)
        _try(path, 'default', field, field.default)


def _apply(path, field, given):
    if 'enum' in given:
        field.shape = _enum(path, field, given['enum'])
        field.lifted = False    # one value stands for them all
    for option in ('minimum', 'maximum'):
        if option in given:
            field.shape = _within(path, field.shape, option, given[option])
    if 'rename' in given:
        if not isinstance(given['rename'], str) or not given['rename'].isidentifier():
            raise OptionError(f'{path}: rename must be a name of letters, digits and _')
        field.key = given['rename']
    if 'description' in given:
        field.description = str(given['description'])
    for option in ('hidden', 'flatten', 'raw', 'optional'):
        if option in given and not isinstance(given[option], bool):
            raise OptionError(f'{path}: {option} must be true or false')
    if 'only' in given:
        _only(path, field.shape, given['only'])
    if 'hidden' in given:
        field.hidden = given['hidden']
    if 'flatten' in given:
        if given['flatten'] and not isinstance(field.shape, Object):
            raise OptionError(f'{path}: flatten is for messages, this field is none')
        field.lifted = given['flatten']
    if 'default' in given:
        field.default, field.required = given['default'], False
    if given.get('optional'):
        field.required = False
    if 'fixed' in given:
        field.fixed = given['fixed']


def _only(path, shape, names):
    if not isinstance(shape, Object) or not isinstance(names, list):
        raise OptionError(f'{path}: only is a list of fields, for messages')
    kept = {id(field_at(shape, name)) for name in names}
    _keep(shape, kept)


def _enum(path, field, values):
    base = field.shape.base if isinstance(field.shape, Choice) else field.shape
    if isinstance(values, Mapping) and values:
        shape = Choice(base, dict(values))
    elif isinstance(values, list) and values:
        if isinstance(field.shape, Choice) and all(v in field.shape.values for v in values):
            return Choice(base, {v: field.shape.values[v] for v in values})
        shape = Restricted(base, list(values))
    else:
        raise OptionError(f'{path}: enum must be a list of values, or a table name: value')
    for value in (values.values() if isinstance(values, Mapping) else values):
        try:
            base.to_ros(value, path, _FILE)
        except FieldError as error:
            raise OptionError(f'{path}: enum value {value!r} {error.problem}') from None
    return shape


def _within(path, shape, option, bound):
    if isinstance(bound, bool) or not isinstance(bound, (int, float)) \
            or shape.schema().get('type') not in ('number', 'integer'):
        raise OptionError(f'{path}: {option} is a number, for fields that are numbers')
    return Within(shape, **{option: bound})


def _check_keys(shape, path):
    if not isinstance(shape, Object):
        return
    keys: List[str] = []
    for key, field in shape.entries():
        if key in keys:
            raise OptionError(f'{path}{key}: two fields have this name; rename one of them')
        keys.append(key)
        _check_keys(_innermost(field.shape), f'{path}{key}.')


def _try(path, option, field, value):
    if value is UNSET:
        return
    try:
        field.shape.to_ros(value, path, _FILE)
    except FieldError as error:
        raise OptionError(f'{path}: {option}: {error.problem}'
                          + (f' (at {error.path})' if error.path != path else '')) from None


def apply_result(shape: Object, *, only: Iterable[str] = (), hidden: Iterable[str] = ()) -> None:
    """Leave out what a result need not show. Raises OptionError."""
    only = list(only)
    if only:
        kept = {id(field_at(shape, path)) for path in only}
        _keep(shape, kept)
    for path in hidden:
        field_at(shape, path).hidden = True


def _keep(shape, kept) -> None:
    """Hide what is not kept and has nothing inside that is."""
    for field in shape.fields:
        if id(field) in kept:
            continue
        inner = _innermost(field.shape)
        if _holds(inner, kept):
            _keep(inner, kept)
        else:
            field.hidden = True


def _holds(shape, kept) -> bool:
    return isinstance(shape, Object) and any(
        id(f) in kept or _holds(_innermost(f.shape), kept) for f in shape.fields)


def _innermost(shape):
    while isinstance(shape, Items):
        shape = shape.item
    return shape
