"""Reads the bridge's YAML file. A broken tool is a problem that is told; the others stand."""
import pathlib
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Tuple

import yaml

from async_agent_ros.core.tools import NAME_PATTERN
from async_agent_ros.core.words import Busy, Duplicates, Effect
from async_agent_ros.tools.bridge.interfaces import KINDS

MODES = ('latest', 'next', 'publish')
WAIT_S = {'service': 10.0, 'latest': 5.0, 'next': 60.0, 'publish': 0.0, 'action': 0.0}
"""Default `timeout_s`: how long a service, a message or an action may take; 0.0: no limit."""


class BridgeFileError(Exception):
    """The file as a whole cannot be used; the message names it and the remedy."""


@dataclass(frozen=True)
class Entry:
    """One tool of the file, checked as far as that goes without its interface."""

    name: str
    kind: str
    """'action', 'service' or 'topic'."""
    graph_name: str
    """Of the action, service or topic; absolute."""
    type: str = ''
    """'pkg/action/Name'; '': as the graph says."""
    mode: str = ''
    """Of a topic: 'latest', 'next' or 'publish'."""
    description: str = ''
    effect: Effect = Effect.STATE_CHANGING
    timeout_s: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    """Those of any tool: motion, resources, …; the keys are those of _OPTIONS."""
    examples: Tuple[Mapping[str, Any], ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    feedback: Mapping[str, Any] = field(default_factory=dict)
    publish: Mapping[str, Any] = field(default_factory=dict)
    qos: Mapping[str, Any] = field(default_factory=dict)
    frame: str = ''
    success: str = 'success'
    """Bool field of a service's response or action's result that tells a failure; '': none."""
    max_age_s: float = 0.0
    subscribe: str = ''

    @property
    def what(self) -> str:
        """What it bridges, for people: 'action /navigate_to_pose'."""
        return f'{self.kind} {self.graph_name}'


@dataclass(frozen=True)
class BridgeFile:
    """The usable tools of a file, and what is wrong with the others."""

    path: str
    entries: Tuple[Entry, ...] = ()
    problems: Tuple[str, ...] = ()
    """Each names file, tool, field and remedy."""


class _Problem(ValueError):
    pass


def load(path) -> BridgeFile:
    """Read a file. Raises BridgeFileError when there is no tool in it to speak of."""
    path = pathlib.Path(path).expanduser()
    try:
        table = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise BridgeFileError(f'cannot read {path}: {error.strerror}') from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BridgeFileError(f'{path} is not YAML: {error}') from None
    if not isinstance(table, Mapping) or not isinstance(table.get('tools'), list):
        raise BridgeFileError(f'{path} needs a list `tools` (see docs/bridge.md)')
    entries: Dict[str, Entry] = {}
    problems: List[str] = []
    for unknown in set(table) - {'tools', 'frame'}:
        problems.append(f'{path}: {unknown} is not known; the file has tools and frame')
    for number, given in enumerate(table['tools'], 1):
        name = given.get('name') if isinstance(given, Mapping) else None
        label = f'{path}: tool {name or f"number {number}"}'
        try:
            entry = _entry(given, str(table.get('frame') or ''))
            if entry.name in entries:
                raise _Problem(f'name: there is another tool {entry.name!r} in this file; '
                               'rename one of them')
        except _Problem as problem:
            problems.append(f'{label}: {problem}')
        else:
            entries[entry.name] = entry
    return BridgeFile(str(path), tuple(entries.values()), tuple(problems))


_PUBLISH = {'count': int, 'rate_hz': float, 'duration_s': (float, dict), 'zero_at_end': bool,
            'wait_s': float, 'subscribers': int}
_QOS = {'reliability': ('reliable', 'best_effort'), 'durability': ('volatile', 'transient_local'),
        'depth': int}
_OPTIONS = {'motion': bool, 'resources': list, 'when_busy': tuple(str(b) for b in Busy),
            'max_per_minute': float, 'duplicates': tuple(str(d) for d in Duplicates),
            'cancel_on_barge_in': bool, 'wait_for_final': bool}
_RESULT = {'only': list, 'hidden': list, 'longest': int, 'raw': list}
_FEEDBACK = {'text': str, 'fraction': str, 'percent': str}
_TOP = {'name': str, 'description': str, 'type': str, 'mode': MODES,
        'effect': tuple(str(e) for e in Effect), 'timeout_s': float, 'arguments': dict,
        'result': dict, 'feedback': dict, 'publish': dict, 'qos': dict, 'examples': list,
        'frame': str, 'success': str, 'max_age_s': float,
        'subscribe': ('always', 'on_call'), **{kind: str for kind in KINDS}, **_OPTIONS}
_WORDS = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text',
          list: 'a list', dict: 'a table'}


def _checked(table, allowed, place=''):
    """Return the table with numbers as floats; raises _Problem for what does not fit."""
    result = {}
    for key, value in table.items():
        if key not in allowed:
            near = [k for k in allowed if k.replace('_', '') == str(key).lower().replace('_', '')]
            raise _Problem(f'{place}{key} is not known; '
                           + (f'do you mean {near[0]}?' if near
                              else f'there are {", ".join(allowed)}'))
        result[key] = _value(f'{place}{key}', value, allowed[key])
    return result


def _value(place, value, wanted):
    if isinstance(wanted, tuple) and isinstance(wanted[0], str):
        if value not in wanted:
            raise _Problem(f'{place} is {value!r}: it must be one of {", ".join(wanted)}')
        return value
    kinds = wanted if isinstance(wanted, tuple) else (wanted,)
    for kind in kinds:
        if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            if not 0.0 <= value < float('inf'):
                raise _Problem(f'{place} is {value}: it must not be negative')
            return float(value)
        if isinstance(value, kind) and not (kind is int and (isinstance(value, bool)
                                                             or value < 0)):
            return value
    if value is None and kinds == (dict,):
        return {}
    raise _Problem(f'{place} is {value!r}: it must be {" or ".join(_WORDS[k] for k in kinds)}')


def _entry(given, frame) -> Entry:
    if not isinstance(given, Mapping):
        raise _Problem('must be a table with name, description and action, service or topic')
    kinds = [kind for kind in KINDS if kind in given]
    if len(kinds) != 1:
        raise _Problem('name the one thing that it bridges: action: /name, service: /name or '
                       'topic: /name')
    values = _checked(given, _TOP)
    kind = kinds[0]
    name = values.get('name', '')
    if not NAME_PATTERN.match(name):
        raise _Problem(f'name is {name!r}: use lower case letters, digits and _, a letter first')
    mode = values.get('mode', '')
    if kind == 'topic' and not mode:
        raise _Problem(f'mode is missing: a topic needs one of {", ".join(MODES)}')
    if kind != 'topic' and mode:
        raise _Problem(f'mode is for topics, this is {_article(kind)}; remove it')
    for key, kinds_of_it in (('publish', ('publish',)), ('feedback', ('action',)),
                             ('max_age_s', ('latest',)), ('subscribe', ('latest', 'next')),
                             ('success', ('action', 'service')),
                             ('qos', MODES)):
        if key in values and (mode or kind) not in kinds_of_it:
            raise _Problem(f'{key} has no meaning for {_article(mode or kind)}; remove it')
    read_only = mode in ('latest', 'next')
    effect = Effect(values.get('effect') or ('read_only' if read_only else 'state_changing'))
    graph_name = values[kind]
    if not graph_name.strip('/') or any(c.isspace() for c in graph_name):
        raise _Problem(f'{kind} is {graph_name!r}: give the name as on the graph, as /name')
    examples = []
    for i, example in enumerate(values.get('examples', ())):
        if not isinstance(example, Mapping) or not isinstance(example.get('say'), str) \
                or not isinstance(example.get('arguments', {}), Mapping):
            raise _Problem(f'examples[{i}] must be a table with say (a text) and arguments')
        examples.append({'say': example['say'], 'arguments': dict(example.get('arguments', {}))})
    return Entry(
        name=name, kind=kind, graph_name='/' + graph_name.lstrip('/'),
        type=values.get('type', ''), mode=mode, description=values.get('description', '').strip(),
        effect=effect, timeout_s=values.get('timeout_s', WAIT_S[mode or kind]),
        options={k: v for k, v in values.items() if k in _OPTIONS}, examples=tuple(examples),
        arguments=values.get('arguments', {}),
        result=_checked(values.get('result', {}), _RESULT, 'result.'),
        feedback=_checked(values.get('feedback', {}), _FEEDBACK, 'feedback.'),
        publish=_checked(values.get('publish', {}), _PUBLISH, 'publish.'),
        qos=_checked(values.get('qos', {}), _QOS, 'qos.'),
        frame=values.get('frame', frame), success=values.get('success', 'success'),
        max_age_s=values.get('max_age_s', 0.0), subscribe=values.get('subscribe', ''))


def _article(word):
    return {'action': 'an action', 'service': 'a service'}.get(word, f'a topic with mode {word}')
