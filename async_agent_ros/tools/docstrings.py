"""Reads what a docstring says about a function and its parameters."""
import inspect
import re
from dataclasses import dataclass, field
from typing import Dict

# 'Args:' of Google style, 'Parameters:' as some write it
_SECTION = re.compile(r'(args|arguments|parameters|returns?|yields?|raises|notes?|examples?):\s*\Z',
                      re.IGNORECASE)
_GOOGLE = re.compile(r'(?P<name>\w+)\s*(\([^)]*\))?\s*:\s*(?P<text>.*)\Z')
_FIELD = re.compile(
    r':(param|parameter|arg|argument)\s+(\S+\s+)?(?P<name>\w+)\s*:\s*(?P<text>.*)\Z')
_OTHER_FIELD = re.compile(r':(returns?|rtype|raises?|type)\b.*')


@dataclass
class Docstring:
    """What was found: text for the model, and for each parameter."""

    description: str = ''
    parameters: Dict[str, str] = field(default_factory=dict)


def parse_docstring(text: str) -> Docstring:
    """Parse Google style ('Args:' with indented lines) and ':param name:' lines; never fails."""
    found = Docstring()
    words = []
    section = ''
    current = None    # parameter whose text goes on in the next lines
    indent = None     # of the parameter names in an 'Args:' section
    for line in inspect.cleandoc(text or '').splitlines():
        bare = line.strip()
        depth = len(line) - len(line.lstrip())
        heading = _SECTION.match(bare) if depth == 0 else None
        parameter = _FIELD.match(bare)
        if heading:
            section, current, indent = heading.group(1).lower(), None, None
        elif parameter:
            current = parameter.group('name')
            found.parameters[current] = parameter.group('text')
            section = 'fields'
        elif _OTHER_FIELD.match(bare):
            section, current = 'fields', None
        elif not bare:
            if section == 'fields':
                section, current = '', None
            elif section:
                current = None
        elif section == '':
            words.append(bare)
        elif section.startswith(('arg', 'param')) and (indent is None or depth <= indent):
            if depth == 0:    # back at the margin: ordinary text again
                section, current = '', None
                words.append(bare)
                continue
            indent = depth
            match = _GOOGLE.match(bare)
            current = match.group('name') if match else None
            if match:
                found.parameters[current] = match.group('text')
        elif current is not None:
            found.parameters[current] = f'{found.parameters[current]} {bare}'.strip()
        elif depth == 0 and section != 'fields':
            section = ''
            words.append(bare)
    found.description = ' '.join(words)
    return found
