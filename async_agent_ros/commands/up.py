"""`async-agent up`: start the nodes of the agent as processes and keep them running."""
import os
import signal
import sys
import threading

from async_agent_ros import bringup
from async_agent_ros.supervisor import NEVER_RESTART, RestartPolicy, Supervisor

_COLOURS = (36, 33, 35, 32, 34, 31)
_AT_ONCE = ((signal.SIGKILL, 5.0),)


def add_bringup_arguments(parser) -> None:
    """Add the arguments of the launch file as options."""
    for argument in bringup.ARGUMENTS:
        parser.add_argument(
            '--' + argument.name.replace('_', '-'), *filter(None, [argument.alias]),
            default=argument.default, choices=argument.choices or None,
            help=argument.description.replace('%', '%%')
            + (f' (default: {argument.default})' if argument.default else ''))


def settings_from(args) -> bringup.Settings:
    """Return the settings that those options say; raises BringupError by name."""
    return bringup.Settings.from_text({a.name: getattr(args, a.name) for a in bringup.ARGUMENTS})


def add_arguments(parser) -> None:
    """Declare the options of `async-agent up`."""
    add_bringup_arguments(parser)
    parser.add_argument('--no-restart', action='store_true',
                        help='leave a node that died where it is')


class _Terminal:
    """Prints whole lines with the node's name before them, in colour on a terminal."""

    def __init__(self, names):
        self._width = max(map(len, names), default=0)
        self._lock = threading.Lock()
        colour = sys.stdout.isatty() and not os.environ.get('NO_COLOR')
        self._codes = {name: _COLOURS[i % len(_COLOURS)] if colour else 0
                       for i, name in enumerate(names)}

    def line(self, node, text):
        label = f'[{node}]'.ljust(self._width + 2)
        code = self._codes.get(node, 0)
        with self._lock:
            print(f'\x1b[{code}m{label}\x1b[0m {text}' if code else f'{label} {text}', flush=True)


def run(args) -> int:
    """Run until Ctrl-C or until no node is left; 1 when a node could not be kept running."""
    specs = bringup.agent_nodes(settings_from(args))
    terminal = _Terminal([spec.name for spec in specs])
    failed = []

    def on_event(event):
        if event.kind == 'failed':
            failed.append(event.node)
        terminal.line(event.node, f'-- {event.kind}: {event.text}')

    supervisor = Supervisor(specs, output=terminal.line, on_event=on_event,
                            restart=NEVER_RESTART if args.no_restart else RestartPolicy())
    asked = []

    def on_signal(number, _):
        asked.append(number)
        if len(asked) > 1:
            raise KeyboardInterrupt

    previous = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        supervisor.start()
        while not asked and not supervisor.wait(0.3):
            pass
        if asked:
            print('ending the nodes (once more to kill them) ...', flush=True)
        supervisor.stop()
    except KeyboardInterrupt:
        supervisor.stop(_AT_ONCE)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 1 if failed and not asked else 0
