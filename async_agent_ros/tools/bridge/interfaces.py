"""Loads the Python classes of ROS interfaces by name, with errors that say what to install."""
import importlib
import re

KINDS = {'action': 'action', 'service': 'srv', 'topic': 'msg'}
"""What a tool can be, and the folder of its interface type."""

_NAME = re.compile(r'([a-z][a-z0-9_]*)/(?:(msg|srv|action)/)?([A-Za-z][A-Za-z0-9_]*)\Z')


class InterfaceError(ValueError):
    """A type cannot be had; the message says why and what to do."""


def load(name: str, kind: str):
    """
    Return the class of 'pkg/action/Name' (or 'pkg/Name') for an 'action', 'service' or 'topic'.

    Raises InterfaceError.
    """
    folder = KINDS[kind]
    match = _NAME.match(name)
    if match is None:
        raise InterfaceError(f'type {name!r} is not the name of an interface: write it as '
                             f'package/{folder}/Name')
    package, given, short = match.groups()
    if given not in (None, folder):
        raise InterfaceError(f'type {name!r} is not the type of a {kind}: that is '
                             f'package/{folder}/Name')
    try:
        module = importlib.import_module(f'{package}.{folder}')
    except ModuleNotFoundError as error:
        if error.name == package:
            raise InterfaceError(
                f'type {name}: the package {package} is not installed here; install it (apt '
                f'install ros-$ROS_DISTRO-{package.replace("_", "-")}), or source the workspace '
                'that it is in') from None
        if error.name == f'{package}.{folder}':
            raise InterfaceError(f'type {name}: the package {package} has no {kind} '
                                 'types') from None
        raise InterfaceError(f'type {name}: {error}') from None
    except Exception as error:    # a broken installation must not take the other tools along
        raise InterfaceError(f'type {name} cannot be imported: {error}') from None
    found = getattr(module, short, None)
    if found is None:
        there = sorted(n for n in dir(module) if n[:1].isupper())
        near = [n for n in there if n.lower() == short.lower()] or there[:12]
        raise InterfaceError(f'type {name}: {package} has no such {kind} type; there are '
                             f'{", ".join(near) or "none"}')
    _import_typesupport(found, name)
    return found


def _import_typesupport(found, name):
    try:
        found.__class__.__import_type_support__()
    except Exception as error:
        raise InterfaceError(f'type {name}: its type support cannot be loaded: {error}') from None


def full_name(cls) -> str:
    """Return 'pkg/msg/Name' of a message class (of a goal: 'pkg/action/Name_Goal')."""
    package, folder = cls.__module__.split('.')[:2]
    return f'{package}/{folder}/{cls.__name__}'
