"""The command line `async-agent SUBCOMMAND`: one module of commands/ per subcommand."""
import argparse
import importlib
import os
import sys
from typing import Optional, Sequence

from async_agent_ros import __version__
from async_agent_ros.bringup import ament_prefix_path

COMMANDS = {
    'run': 'hold a whole spoken conversation with a simulated robot, and report on it',
    'chat': 'talk to the agent with the keyboard',
    'up': 'start the nodes of the agent and keep them running',
    'nodes': 'show what nodes make up the agent, and which of them run',
    'tools': 'show the tools that the running agent can call',
    'watch': 'watch and address a running agent in the terminal',
    'rqt': 'watch and address a running agent in a window',
    'doctor': 'check ROS, audio, models and GPU; say what is missing and how to get it',
    'models': 'list, download and locate the packaged models',
    'record': 'record a running agent: bag, ledger, audio',
    'report': 'make the HTML report of a recorded run',
    'replay': 'verify a recorded run, show it again, or let another model answer',
    'bench': 'measure, as a table and as JSON',
    'train': "teach a model the protocol and a robot's own tools",
}
"""Every subcommand and its line in --help. The module is imported only when it is used."""

EXTRAS = {
    'faster_whisper': 'speech', 'ctranslate2': 'speech', 'onnxruntime': 'speech',
    'soundfile': 'speech', 'soxr': 'speech', 'sounddevice': 'speech',
    'hibari': 'speech', 'piper': 'piper', 'onnx': 'piper', 'xllamacpp': 'llama',
    'torch': 'transformers', 'transformers': 'transformers', 'gguf': 'transformers',
    'peft': 'training',
    'accelerate': 'transformers', 'llguidance': 'transformers', 'openai': 'openai',
    'httpx': 'openai', 'rosbags': 'record', 'mcap': 'record', 'mcap_ros2': 'record',
    'rich': 'cli', 'textual': 'cli', 'PyQt5': 'gui', 'psutil': 'cli',
}
"""Optional modules and the extra of this package that brings them."""


def make_parser(chosen: Optional[str] = None) -> argparse.ArgumentParser:
    """Return the parser; only the chosen subcommand's module is imported for its arguments."""
    parser = argparse.ArgumentParser(
        prog='async-agent', description='A real-time voice agent for robots, on ROS 2.',
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=100))
    parser.add_argument('--version', action='version', version=f'%(prog)s {__version__}')
    subparsers = parser.add_subparsers(dest='command', metavar='SUBCOMMAND', required=True)
    for name, line in COMMANDS.items():
        sub = subparsers.add_parser(name, help=line, description=line[0].upper() + line[1:] + '.')
        if name == chosen:
            module = importlib.import_module(f'async_agent_ros.commands.{name}')
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser


def missing_module_message(module: str) -> str:
    """Return one line that says which module is missing and how to get it."""
    top = module.split('.')[0]
    if top in EXTRAS:
        return (f'this needs the Python module {top}; install it with: '
                f'pip install "async_agent_ros[{EXTRAS[top]}]"')
    if top == 'rclpy' or top.endswith('_msgs'):
        return (f'this needs ROS 2 ({top}); source its setup.bash, or install this package '
                'with pip in a virtual environment, which brings ROS 2 along')
    if module.startswith('async_agent_ros.'):
        return (f'this needs {module}, which this installation lacks; build and install the '
                'package again (pip install . or colcon build)')
    return f'this needs the Python module {module}; install it with: pip install {top}'


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run a subcommand; return its exit code. The errors of this package become one clear line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    prefixes = ament_prefix_path(os.environ)
    if prefixes:
        os.environ['AMENT_PREFIX_PATH'] = prefixes
    chosen = next((word for word in arguments if not word.startswith('-')), None)
    command = f'async-agent {chosen}' if chosen in COMMANDS else 'async-agent'
    try:
        args = make_parser(chosen).parse_args(arguments)
        return args.run(args) or 0
    except ModuleNotFoundError as error:
        message = missing_module_message(error.name or str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; nothing can be written to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # An exception of this package names the thing and the remedy; any other one is a defect.
        if not type(error).__module__.startswith('async_agent_ros'):
            raise
        message = str(error)
    print(f'{command}: {message}', file=sys.stderr)
    return 1


if __name__ == '__main__':
    sys.exit(main())
