"""`async-agent bench`: measure, as a table and as JSON."""
import importlib
import pkgutil
from pathlib import Path
from typing import Dict

from async_agent_ros import bench as package
from async_agent_ros.bench.common import output, rows
from async_agent_ros.bench.common.machine import machine_row


def benches() -> Dict[str, object]:
    """Return the modules of all benches by name. They import what is heavy only in run()."""
    return {info.name: importlib.import_module(f'{package.__name__}.{info.name}')
            for info in pkgutil.iter_modules(package.__path__) if not info.ispkg}


def first_line(module) -> str:
    """Return the first line of a module's docstring, without its full stop."""
    return module.__doc__.strip().splitlines()[0].rstrip('.')


def add_arguments(parser) -> None:
    """Declare a subcommand per bench, with the bench's own options and --json."""
    subparsers = parser.add_subparsers(dest='bench', metavar='NAME')
    for name, module in benches().items():
        line = first_line(module).replace('%', '%%')
        sub = subparsers.add_parser(name, help=line, description=line + '.')
        module.add_arguments(sub)
        sub.add_argument('--json', type=Path, metavar='FILE',
                         help='also write the rows to this file, as a JSON list')


def run(args) -> int:
    """Run one bench and show its rows; without a name list the benches."""
    known = benches()
    if not args.bench:
        width = max(map(len, known))
        for name, module in known.items():
            print(f'{name:<{width}}  {first_line(module)}')
        print('\nasync-agent bench NAME --help tells the options')
        return 0
    if args.json and not args.json.absolute().parent.is_dir():
        # said now, and not after minutes of measuring
        raise output.OutputError(f'{args.json.absolute().parent} is no folder: make it, or give '
                                 '--json another path')
    module = known[args.bench]
    measured = rows.checked(module.run(args))
    settings = {k: v for k, v in vars(args).items() if k not in ('command', 'run', 'json', 'bench')}
    models = module.models(args) if hasattr(module, 'models') else _models(args)
    machine = machine_row(args.bench, {k: str(v) if isinstance(v, Path) else v
                                       for k, v in settings.items()}, models)
    output.show(machine, measured)
    if args.json:
        output.write_json(args.json, machine, measured)
        print(f'written to {args.json}')
    return 0


def _models(args) -> Dict[str, str]:
    chosen = getattr(args, 'model', None) or []
    return {'language': ', '.join([chosen] if isinstance(chosen, str) else chosen)}
