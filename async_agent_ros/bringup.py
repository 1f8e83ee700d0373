"""
What nodes make up the agent, written once.

launch/agent.launch.py and `async-agent up` both read it: the arguments a person can give, and the
nodes that follow from them. Nothing here starts anything or needs ROS.
"""
import json
import os
import pathlib
import sys
from dataclasses import dataclass, field, fields
from typing import Any, List, Mapping, Optional, Tuple

PACKAGE = 'async_agent_ros'
LOG_LEVELS = ('debug', 'info', 'warn', 'error', 'fatal')
SPEECH_NODES = ('asr', 'tts')
LIVE_AUDIO = ('device', 'topic')
ALL_NODES = ('asr', 'tts', 'dialog_manager', 'dispatcher', 'sim_robot')
BRIDGE = 'bridge'
"""A node more, when there is a file for it."""


class BringupError(Exception):
    """An argument cannot be used. The message names it and the remedy."""


@dataclass(frozen=True)
class NodeSpec:
    """One node process: what to run, where, and with which parameters."""

    executable: str
    package: str = PACKAGE
    namespace: str = '/agent'
    name: str = ''
    """Name of the node; that of the executable when empty."""
    params_file: str = ''
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """These win over the file."""
    remappings: Tuple[Tuple[str, str], ...] = ()
    log_level: str = 'info'
    rename: bool = False
    """Whether `name` must be passed on because it is not the executable's own."""

    def __post_init__(self):
        if not self.name:
            object.__setattr__(self, 'name', self.executable)
        elif self.name != self.executable:
            object.__setattr__(self, 'rename', True)

    def ros_arguments(self) -> List[str]:
        """Return the command-line arguments from --ros-args on."""
        words = ['--ros-args', '-r', f'__ns:={self.namespace}']
        if self.rename:
            words += ['-r', f'__node:={self.name}']
        for old, new in self.remappings:
            words += ['-r', f'{old}:={new}']
        if self.params_file:
            words += ['--params-file', self.params_file]
        for key, value in self.parameters.items():
            # JSON is YAML, and a quoted string stays a string even if it reads "1" or "on".
            words += ['-p', f'{key}:={json.dumps(value, ensure_ascii=False)}']
        return words + ['--log-level', self.log_level]


@dataclass(frozen=True)
class Argument:
    """One thing a person can set, for the launch file and the command line alike."""

    name: str
    default: str
    description: str
    choices: Tuple[str, ...] = ()
    alias: str = ''
    """A shorter option of the command line."""


ARGUMENTS = (
    Argument('namespace', '/agent', 'Namespace of all nodes, absolute'),
    Argument('params_file', '', 'Parameter file (YAML); empty: config/params.yaml of the package'),
    Argument('use_sim_time', 'false', 'Take the time from /clock', ('true', 'false')),
    Argument('log_level', 'info', 'Least severity that is logged', LOG_LEVELS),
    Argument('audio_in', '', "Where the person's speech comes from: 'device', 'topic' (audio_in) "
             'or the path of a WAV file; empty: as in the parameter file'),
    Argument('audio_out', '', "Where the agent's speech goes to: 'device', 'topic' (audio_out) "
             'or the path of a WAV file to write; empty: as in the parameter file'),
    Argument('model', '', 'Language model: a name from `async-agent models list`, a path, or the '
             'name that the server of engine openai knows; empty: as in the parameter file'),
    Argument('engine', '', 'What runs the language model: auto, llama_cpp, transformers, openai '
             'or scripted; empty: as in the parameter file'),
    Argument('device', '', "Where the language model runs: 'cpu', 'cuda', 'cuda:1'; empty: as in "
             'the parameter file'),
    Argument('nodes', 'all', "Which nodes: 'all', 'text' (no speech), or names with commas "
             f'between them, of: {", ".join(ALL_NODES)}'),
    Argument('autostart', 'true', 'Configure and activate the lifecycle nodes at once; false: '
             'leave them to a lifecycle manager', ('true', 'false')),
    Argument('sim_robot', 'true', 'Run the simulated robot and its tools', ('true', 'false')),
    Argument('bridge_file', '', 'YAML file that names actions, services and topics of the graph '
             'as tools (docs/bridge.md), for the node bridge; empty: none', alias='--bridge'),
)


@dataclass(frozen=True)
class Settings:
    """The values of ARGUMENTS, parsed; see their descriptions."""

    namespace: str = '/agent'
    params_file: str = ''
    use_sim_time: bool = False
    log_level: str = 'info'
    audio_in: str = ''
    audio_out: str = ''
    model: str = ''
    engine: str = ''
    device: str = ''
    nodes: str = 'all'
    autostart: bool = True
    sim_robot: bool = True
    bridge_file: str = ''

    @classmethod
    def from_text(cls, values: Mapping[str, str]) -> 'Settings':
        """Parse texts as they come from a command line; raises BringupError by name."""
        parsed = {}
        for each in fields(cls):
            if each.name not in values:
                continue
            text = values[each.name]
            if each.type in (bool, 'bool'):
                parsed[each.name] = _parse_bool(each.name, text)
            else:
                parsed[each.name] = text
        return cls(**parsed)


def _parse_bool(name, text):
    if isinstance(text, bool):
        return text
    lowered = text.strip().lower()
    if lowered in ('true', '1', 'yes', 'on'):
        return True
    if lowered in ('false', '0', 'no', 'off'):
        return False
    raise BringupError(f'{name} is {text!r}: it must be true or false')


def ament_prefix_path(env: Mapping[str, str]) -> str:
    """
    Return AMENT_PREFIX_PATH with this Python's own prefix added where ROS packages are in it.

    A sourced ROS sets it; the ROS wheels from PyPI do not, and the package index needs it.
    """
    prefixes = [p for p in env.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    if sys.prefix not in prefixes and os.path.isdir(
            os.path.join(sys.prefix, 'share', 'ament_index')):
        prefixes.append(sys.prefix)
    return os.pathsep.join(prefixes)


def share_directory() -> pathlib.Path:
    """Return the folder with launch/ and config/: the installed one, else the source tree."""
    try:
        from ament_index_python.packages import get_package_share_directory
        return pathlib.Path(get_package_share_directory(PACKAGE))
    except (ImportError, LookupError):
        pass
    installed = pathlib.Path(sys.prefix) / 'share' / PACKAGE
    if (installed / 'config').is_dir():
        return installed
    source = pathlib.Path(__file__).resolve().parent.parent
    if (source / 'config').is_dir():
        return source
    raise BringupError(f'the configuration of {PACKAGE} is not installed under {installed}; '
                       'install the package again, or source the workspace it is in')


def config_file(name: str) -> pathlib.Path:
    """Return a file of config/: that of the source tree where there is one, else the installed."""
    # an editable install runs the source tree's modules, so its configuration belongs to them
    beside = pathlib.Path(__file__).resolve().parent.parent / 'config' / name
    return beside if beside.is_file() else share_directory() / 'config' / name


def default_params_file() -> str:
    """Return the path of the package's own parameter file."""
    # An editable install runs the source tree's modules, so its parameters belong to them.
    source = pathlib.Path(__file__).resolve().parent.parent / 'config' / 'params.yaml'
    if source.is_file():
        return str(source)
    return str(share_directory() / 'config' / 'params.yaml')


def selected_nodes(settings: Settings) -> Tuple[str, ...]:
    """Return the names of the nodes to run; raises BringupError for a name that is not known."""
    if settings.nodes == 'all':
        names = list(ALL_NODES)
    elif settings.nodes == 'text':
        names = [n for n in ALL_NODES if n not in SPEECH_NODES]
    else:
        names = [n.strip() for n in settings.nodes.split(',') if n.strip()]
    unknown = [n for n in names if n not in ALL_NODES]
    if unknown or not names:
        raise BringupError(f'nodes is {settings.nodes!r}: it must be all, text, or some of '
                           f'{", ".join(ALL_NODES)}')
    chosen = tuple(n for n in ALL_NODES
                   if n in names and (n != 'sim_robot' or settings.sim_robot))
    return chosen + ((BRIDGE,) if settings.bridge_file else ())


def agent_nodes(settings: Optional[Settings] = None,
                more: Optional[Mapping[str, Mapping[str, Any]]] = None) -> Tuple[NodeSpec, ...]:
    """
    Return the nodes of the agent for these settings.

    `more` holds further parameters by node name; they win over settings and file.
    Raises BringupError when a setting is wrong or a file is not there.
    """
    settings = settings or Settings()
    if settings.log_level not in LOG_LEVELS:
        raise BringupError(f'log_level is {settings.log_level!r}: it must be one of '
                           f'{", ".join(LOG_LEVELS)}')
    if not settings.namespace.startswith('/') or settings.namespace.endswith('/'):
        raise BringupError(f'namespace is {settings.namespace!r}: it must begin with a slash and '
                           'not end with one, such as /agent')
    params_file = settings.params_file or default_params_file()
    if not pathlib.Path(params_file).is_file():
        raise BringupError(f'params_file is {params_file!r}: there is no such file')
    if settings.bridge_file and not pathlib.Path(settings.bridge_file).expanduser().is_file():
        raise BringupError(f'bridge_file is {settings.bridge_file!r}: there is no such file; '
                           'write one with async-agent tools import -o FILE')
    return tuple(
        NodeSpec(executable=name, namespace=settings.namespace, params_file=params_file,
                 parameters={**_parameters(name, settings), **(more or {}).get(name, {})},
                 log_level=settings.log_level)
        for name in selected_nodes(settings))


def _parameters(name, settings):
    """Return what the settings say about one node; what is not said is left to the file."""
    values = {}
    if settings.use_sim_time:
        values['use_sim_time'] = True
    if name in ('asr', 'tts', 'dispatcher'):
        values['autostart'] = settings.autostart
    if name == 'asr' and settings.audio_in:
        values.update({'source': settings.audio_in} if settings.audio_in in LIVE_AUDIO else
                      {'source': 'wav', 'wav_file': _absolute(settings.audio_in)})
    if name == 'tts' and settings.audio_out:
        values.update({'sinks': [settings.audio_out]} if settings.audio_out in LIVE_AUDIO else
                      {'sinks': ['wav'], 'wav_file': _absolute(settings.audio_out)})
    if name == BRIDGE:
        values['file'] = _absolute(settings.bridge_file)
    if name == 'dispatcher':
        values.update({key: value for key in ('engine', 'model', 'device')
                       if (value := getattr(settings, key))})
    return values


def _absolute(path):
    return str(pathlib.Path(path).expanduser().resolve())
