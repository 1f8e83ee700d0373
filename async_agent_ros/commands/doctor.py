"""`async-agent doctor`: what is here, what is missing, and how to get it."""
import importlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Callable, List, Tuple

from async_agent_ros import bringup, models

OK, NOTE, BAD = 'ok', 'note', 'MISSING'
_COLOURS = {OK: 32, NOTE: 33, BAD: 31}

RECOGNISERS = (('faster_whisper', 'faster-whisper', 'speech'),)
VOICES = (('piper', 'piper-tts', 'piper'), ('hibari', 'hibari-tts', 'speech'))
LOCAL_ENGINES = (('xllamacpp', 'xllamacpp', 'llama'), ('transformers', 'transformers',
                                                       'transformers'))
REMOTE_ENGINES = (('openai', 'openai', 'openai'),)
LEAST_FREE_BYTES = 1 << 30


@dataclass(frozen=True)
class Check:
    """One finding. `BAD` means that the agent cannot run at all; `NOTE`, that a part cannot."""

    topic: str
    level: str
    text: str
    remedy: str = ''


def add_arguments(parser) -> None:
    """Declare the options of `async-agent doctor`."""
    parser.add_argument('--namespace', default='/agent', help='namespace of the agent')
    parser.add_argument('--wait', type=float, default=3.0, metavar='SECONDS',
                        help='how long to look for a running agent (default: 3)')


def check_python() -> List[Check]:
    """Check the interpreter."""
    text = f'{platform.python_version()} in {sys.prefix}'
    if sys.version_info < (3, 10):
        return [Check('Python', BAD, text, 'Python 3.10 or later is needed')]
    return [Check('Python', OK, text)]


def check_ros() -> List[Check]:
    """Check rclpy, the middleware, this package's interfaces, its executables, the domain."""
    try:
        import rclpy
        middleware = rclpy.get_rmw_implementation_identifier()
    except ImportError as error:
        return [Check('ROS 2', BAD, f'rclpy cannot be imported: {error}',
                      'source the setup.bash of your ROS 2, or install this package with pip in a '
                      'virtual environment, which brings ROS 2 along')]
    except Exception as error:
        return [Check('ROS 2', BAD, f'no middleware: {error}',
                      'install rmw_fastrtps_cpp, or set RMW_IMPLEMENTATION to one that is there')]
    checks = [Check('ROS 2', OK, f'{_ros_version()}, middleware {middleware}')]
    try:
        from async_agent_ros.msg import LedgerEntry
        from rclpy.type_support import check_for_type_support
        check_for_type_support(LedgerEntry)
        checks.append(Check('interfaces', OK, 'async_agent_ros.msg and their type support'))
    except Exception as error:
        checks.append(Check('interfaces', BAD, f'async_agent_ros.msg: {error}',
                            'build and install this package again: make, pip install . or colcon '
                            'build'))
    checks += _check_executables()
    domain = os.environ.get('ROS_DOMAIN_ID', '0 (not set)')
    reach = os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET (not set)')
    checks.append(Check('network', OK, f'ROS_DOMAIN_ID {domain}, discovery range {reach}'))
    return checks


def _ros_version():
    try:
        version = metadata.version('ros-rclpy')
    except metadata.PackageNotFoundError:
        return f'{os.environ.get("ROS_DISTRO", "distribution not known (ROS_DISTRO not set)")}'
    distro = next((d for d in ('humble', 'jazzy', 'kilted', 'lyrical')
                   if _version(f'ros-{d}-rclpy')), '')
    return f'{distro} from pip, rclpy {version}'.strip()


def _check_executables():
    from async_agent_ros.supervisor import child_environment, find_command, SupervisorError
    try:
        for name in bringup.ALL_NODES:
            find_command(bringup.NodeSpec(name), child_environment())
    except SupervisorError as error:
        return [Check('nodes', BAD, str(error))]
    return [Check('nodes', OK, ', '.join(bringup.ALL_NODES))]


def check_audio() -> List[Check]:
    """Check PortAudio and the default devices; without them files and topics still work."""
    files_work = '; WAV files and topics work without it'
    try:
        import sounddevice
    except ModuleNotFoundError:
        return [Check('audio', NOTE, 'the Python module sounddevice is missing' + files_work,
                      'pip install "async_agent_ros[speech]"')]
    except OSError:
        return [Check('audio', NOTE, 'the library PortAudio is missing' + files_work,
                      'apt install libportaudio2')]
    checks = []
    for kind, word in (('input', 'microphone'), ('output', 'speaker')):
        try:
            name = sounddevice.query_devices(kind=kind)['name']
            checks.append(Check(word, OK, name))
        except Exception:
            checks.append(Check(
                word, NOTE, 'no device' + files_work,
                'plug one in; in a container pass /dev/snd, or start PipeWire (apt install '
                'pipewire pipewire-alsa wireplumber)'))
    return checks


def _version(distribution):
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ''


def _import(candidates):
    """Return what imports as (distribution, version) pairs, and a remark for what does not."""
    works, remarks = [], []
    for module, distribution, extra in candidates:
        try:
            importlib.import_module(module)
            works.append((distribution, _version(distribution)))
        except ModuleNotFoundError:
            remarks.append(f'pip install "async_agent_ros[{extra}]"')
        except Exception as error:
            remarks.append(f'{distribution} is installed but does not import: {error}')
    return works, remarks


def _check_software(topic, candidates, without):
    works, remarks = _import(candidates)
    if works:
        return Check(topic, OK, ', '.join(' '.join(pair).strip() for pair in works))
    return Check(topic, NOTE, f'no software for it; {without}', ' or '.join(dict.fromkeys(remarks)))


def check_speech() -> List[Check]:
    """Check the software of recogniser and voice."""
    return [_check_software('recogniser', RECOGNISERS, 'speech is not understood, text is'),
            _check_software('voice', VOICES, 'the agent answers in text only')]


def check_models() -> List[Check]:
    """Check that there is a model for each role."""
    checks = []
    for role in models.ROLES[:2]:
        checks.append(_check_role(role, NOTE))
    return checks


def _check_role(role, level):
    title = role if role.endswith('model') else f'{role} model'
    here = [m.name for m in models.CATALOGUE.values() if m.role == role and models.is_present(m)]
    if here:
        return Check(title, OK, ', '.join(here))
    return Check(title, level, f'none under {models.root()}',
                 f'async-agent models get {models.DEFAULTS[role]}')


def check_language_model() -> List[Check]:
    """Check engines and models for language: one local pair, or a client for a server."""
    local, local_remarks = _import(LOCAL_ENGINES)
    remote, remote_remarks = _import(REMOTE_ENGINES)
    if not local and not remote:
        return [Check('engine', BAD, 'no software that runs a language model',
                      ' or '.join(dict.fromkeys(local_remarks + remote_remarks)))]
    text = ', '.join(' '.join(pair).strip() for pair in local + remote)
    checks = [Check('engine', OK, text)]
    if local:
        checks.append(_check_role('language model', NOTE if remote else BAD))
    else:
        checks.append(Check('language model', NOTE, 'only through a server (engine openai)',
                            local_remarks[0]))
    return checks


def check_gpu() -> List[Check]:
    """Look for a GPU; none is no fault."""
    found = []
    if shutil.which('nvidia-smi'):
        query = ['nvidia-smi', '--query-gpu=name,memory.total', '--format=csv,noheader']
        try:
            answer = subprocess.run(query, capture_output=True, text=True, timeout=10)
            found = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
        except (OSError, subprocess.TimeoutExpired):
            pass
    # Imported by the check of the engines, if it is there at all.
    torch = sys.modules.get('torch')
    if torch is not None and torch.cuda.is_available():
        return [Check('GPU', OK, f'{torch.cuda.get_device_name()}, torch {torch.__version__}')]
    if found:
        return [Check('GPU', NOTE, f'{"; ".join(found)}, but no torch with CUDA',
                      'pip install "async_agent_ros[transformers]" with the CUDA build of torch, '
                      'and device:=cuda; the engine llama_cpp runs on the CPU')]
    return [Check('GPU', OK, f'none; the models run on {os.cpu_count()} CPU cores')]


def check_disk() -> List[Check]:
    """Check the room for models, runs and the middleware's shared memory."""
    checks = []
    places = (('models', models.root(), LEAST_FREE_BYTES),
              ('runs', pathlib.Path.cwd(), LEAST_FREE_BYTES),
              ('shared memory', pathlib.Path('/dev/shm'), 64 << 20))
    for what, path, least in places:
        while not path.exists() and path != path.parent:
            path = path.parent
        free = shutil.disk_usage(path).free
        text = f'{what}: {free / 1e9:.1f} GB free in {path}'
        remedy = ('' if free >= least else
                  f'free some room there ({least / 1e9:.1f} GB are wanted)')
        checks.append(Check('disk', NOTE if remedy else OK, text, remedy))
    return checks


def check_running(namespace: str, wait_s: float) -> List[Check]:
    """Look for a running agent; none is no fault."""
    from async_agent_ros.commands import nodes
    running = nodes.discover(namespace, wait_s)
    if not running:
        return [Check('running agent', OK, f'none in {namespace}')]
    missing = [name for name in bringup.ALL_NODES if name not in running]
    text = ', '.join(f'{name} ({state})' if state else name for name, state in running.items())
    if missing:
        return [Check('running agent', NOTE, f'{text}; not there: {", ".join(missing)}',
                      f'async-agent up --nodes {",".join(missing)}')]
    return [Check('running agent', OK, text)]


def run(args) -> int:
    """Print every check as it is made; 1 only when the agent cannot run."""
    steps: Tuple[Callable[[], List[Check]], ...] = (
        check_python, check_ros, check_audio, check_speech, check_models, check_language_model,
        check_gpu, check_disk)
    worst = OK
    for step in steps:
        for check in step():
            _show(check)
            worst = BAD if BAD in (worst, check.level) else (
                NOTE if NOTE in (worst, check.level) else OK)
    if 'rclpy' in sys.modules:
        try:
            for check in check_running(args.namespace, args.wait):
                _show(check)
        except Exception as error:
            _show(Check('running agent', NOTE, f'cannot look for one: {error}'))
    print({OK: '\neverything is here',
           NOTE: '\nthe agent can run; what is marked "note" is missing or limited',
           BAD: '\nthe agent cannot run until what is marked "MISSING" is there'}[worst])
    return 1 if worst == BAD else 0


def _show(check):
    mark = f'[{check.level:^7}]'
    if sys.stdout.isatty() and not os.environ.get('NO_COLOR'):
        mark = f'\x1b[{_COLOURS[check.level]}m{mark}\x1b[0m'
    print(f'{mark} {check.topic:<20} {check.text}', flush=True)
    if check.remedy:
        print(f'{"":9} {"":<20} -> {check.remedy}', flush=True)
