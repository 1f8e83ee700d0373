"""
Comments of interface fields, read from the installed .msg, .srv, .action or .idl text.

The generated Python has types, bounds, constants and defaults, but not the comments, where the
units and meanings stand. Without the text, as in a stripped image, descriptions are empty.
"""
import functools
import os
import pathlib
import re
import sys
from dataclasses import dataclass, field
from typing import Dict, List, Optional

LONGEST = 240
"""Characters of a description; longer ones are cut at a word."""

_FIELD = re.compile(r'^\s*([A-Za-z][\w/]*(?:<=\d+)?(?:\[[^\]]*\])?)\s+([A-Za-z]\w*)\s*(.*)$')
_SECTION_TITLE = re.compile(
    r'(the )?(goal|result|feedback|request|response)s?( definition)?[.:]?\Z', re.IGNORECASE)
_SECTIONS = {'srv': ('Request', 'Response'), 'action': ('Goal', 'Result', 'Feedback')}


@dataclass
class Documentation:
    """What the text of one message says."""

    message: str = ''
    """The first comment of the file, when it is not about the first field."""
    fields: Dict[str, str] = field(default_factory=dict)


def documentation(cls) -> Documentation:
    """Return the comments of a message class, also of a goal, result, request and so on."""
    package, folder = cls.__module__.split('.')[:2]
    name, _, section = cls.__name__.partition('_')
    return _read(package, folder, name).get(section, Documentation())


@functools.lru_cache(maxsize=None)
def _read(package: str, folder: str, name: str) -> Dict[str, Documentation]:
    share = _share(package)
    if share is None:
        return {}
    for suffix in (folder, 'idl'):
        path = share / folder / f'{name}.{suffix}'
        try:
            text = path.read_text(encoding='utf-8', errors='replace')
        except OSError:
            continue
        return parse_idl(text) if suffix == 'idl' else parse_text(text, folder)
    return {}


def _share(package: str) -> Optional[pathlib.Path]:
    prefixes = [p for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    for prefix in [*prefixes, sys.prefix]:
        path = pathlib.Path(prefix) / 'share' / package
        if path.is_dir():
            return path
    return None


def parse_text(text: str, folder: str = 'msg') -> Dict[str, Documentation]:
    """Parse .msg, .srv or .action text: documentation by section, '' for a message."""
    names = _SECTIONS.get(folder, ('',))
    parts = re.split(r'^---[ \t]*(?:#.*)?$', text, flags=re.MULTILINE)
    return {name: _section(part) for name, part in zip(names, parts)}


def _section(text: str) -> Documentation:
    found = Documentation()
    above: List[str] = []
    last = ''       # field whose comment an indented line goes on with
    first_block = True
    for line in text.splitlines():
        code, comment = _split(line)
        if not code.strip():
            if comment is None:
                if first_block and above and not found.fields:
                    found.message = _tidy(above)
                first_block = first_block and not above
                above, last = [], ''
            elif last and line[:1].isspace():
                found.fields[last] += ' ' + comment
            else:
                last = ''
                above.append(comment)
            continue
        match = _FIELD.match(code)
        if match is None or match.group(3).startswith('='):    # a constant
            above, last = [], ''
            continue
        last = match.group(2)
        about = [a for a in above if not _SECTION_TITLE.match(a.strip())]
        found.fields[last] = '\n'.join([*about, *([comment] if comment else [])])
        above = []
    found.fields = {name: _tidy(about.split('\n')) for name, about in found.fields.items()}
    return found


def _split(line: str):
    """Return code and comment (None without one); a # in quotes begins no comment."""
    quote = ''
    for i, char in enumerate(line):
        if quote:
            if char == quote and line[i - 1] != '\\':
                quote = ''
        elif char in '"\'' and line[:i].strip().startswith(('string', 'wstring')):
            quote = char
        elif char == '#':
            return line[:i], line[i + 1:].strip()
    return line, None


def _tidy(lines: List[str]) -> str:
    """Join the lines of a comment, without rules such as ------, to a description."""
    words = ' '.join(line.strip(' #\t') for line in lines
                     if re.search(r'\w', line)).split()
    text = ' '.join(words)
    if len(text) <= LONGEST:
        return text
    return text[:LONGEST].rsplit(' ', 1)[0] + ' …'


_IDL_STRUCT = re.compile(r'struct\s+(\w+)\s*\{(.*?)\n\s*\};', re.DOTALL)
_IDL_MEMBER = re.compile(r'((?:\s*@\w+\s*(?:\((?:[^()"]|"(?:[^"\\]|\\.)*")*\))?)*)'
                         r'\s*((?:[\w:]|<[^;]*>)+)\s+(\w+)(?:\[\d+\])?\s*;', re.DOTALL)
_IDL_TEXT = re.compile(r'@verbatim\s*\(\s*language\s*=\s*"comment"\s*,\s*text\s*=\s*'
                       r'((?:\s*"(?:[^"\\]|\\.)*")+)\s*\)', re.DOTALL)
_IDL_UNIT = re.compile(r'@unit\s*\(\s*(?:value\s*=\s*)?"([^"]*)"\s*\)')
_IDL_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


def parse_idl(text: str) -> Dict[str, Documentation]:
    """Parse .idl text: the @verbatim comments and @unit of every struct's members."""
    found = {}
    text = re.sub(r'^\s*(//|#).*$', '', text, flags=re.MULTILINE)
    for struct in _IDL_STRUCT.finditer(text):
        section = struct.group(1).partition('_')[2]
        about = Documentation()
        for member in _IDL_MEMBER.finditer(struct.group(2)):
            annotations, _, name = member.groups()
            comment = _IDL_TEXT.search(annotations)
            lines = ''
            if comment:
                lines = ''.join(_IDL_STRING.findall(comment.group(1)))
            unit = _IDL_UNIT.search(annotations)
            described = _tidy(lines.replace('\\n', '\n').replace('\\"', '"').split('\n'))
            if unit and f'[{unit.group(1)}]' not in described:
                described = f'{described} [{unit.group(1)}]'.strip()
            about.fields[name] = described
        found[section] = about
    return found
