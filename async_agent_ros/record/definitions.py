"""Full text and hash of message definitions, from the share/ directories of installed packages."""
import os
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, Tuple

from rosbags.typesys import get_types_from_msg, get_typestore, Stores

SEPARATOR = '=' * 80

_FIELD_TYPE = re.compile(r'^\s*([A-Za-z][A-Za-z0-9_/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+[a-z]')
_PRIMITIVES = frozenset(
    'bool byte char float32 float64 int8 uint8 int16 uint16 int32 uint32 int64 uint64 string '
    'wstring'.split())


class UnknownTypeError(Exception):
    """A message type whose definition is not installed. The message names type and remedy."""


@lru_cache(maxsize=None)
def share_dirs() -> Tuple[Path, ...]:
    """Return the share/ directories to look in: sourced workspaces first, then this Python's."""
    prefixes = [p for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    prefixes.append(sys.prefix)
    found = (Path(prefix) / 'share' for prefix in dict.fromkeys(prefixes))
    return tuple(path for path in found if path.is_dir())


def _read(msgtype: str) -> str:
    package, _, name = msgtype.split('/')
    for share in share_dirs():
        path = share / package / 'msg' / f'{name}.msg'
        if path.is_file():
            return path.read_text(encoding='utf-8')
    raise UnknownTypeError(
        f'no definition of {msgtype} is installed (looked for {package}/msg/{name}.msg in '
        f'{", ".join(map(str, share_dirs()))}): install the package {package}, or source the '
        'workspace that holds it')


def _used_types(text: str, package: str) -> List[str]:
    used = []
    for line in text.splitlines():
        match = _FIELD_TYPE.match(line.partition('#')[0])
        if not match or match[1] in _PRIMITIVES:
            continue
        parts = match[1].split('/')
        used.append(f'{parts[0] if len(parts) > 1 else package}/msg/{parts[-1]}')
    return used


@lru_cache(maxsize=None)
def definition(msgtype: str) -> Tuple[str, str]:
    """
    Return the text that rosbag2 stores for a type ('pkg/msg/Name') and its RIHS01 hash.

    The text is the .msg file, comments and all, followed by those of every type it uses. Raises
    UnknownTypeError when a file is not installed.
    """
    texts: Dict[str, str] = {}
    todo = [msgtype]
    while todo:
        current = todo.pop(0)
        if current in texts:
            continue
        texts[current] = _read(current)
        todo += _used_types(texts[current], current.split('/')[0])
    store = get_typestore(Stores.EMPTY)
    for name, text in texts.items():
        if name not in store.fielddefs:
            store.register(get_types_from_msg(text, name))
    full = texts[msgtype]
    for name, text in list(texts.items())[1:]:
        full = f'{full.rstrip()}\n{SEPARATOR}\nMSG: {name.replace("/msg/", "/")}\n{text}'
    return full, store.hash_rihs01(msgtype)
