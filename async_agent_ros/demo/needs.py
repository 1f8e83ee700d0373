"""What a demo needs before it starts: models. Missing ones are named and, if wanted, fetched."""
import sys
from types import SimpleNamespace
from typing import Any, List, Mapping

import yaml

from async_agent_ros import bringup, models, tuned_models

MODEL = 'sim_robot-0.5b'
"""Language model of the demo: it was trained for the tools of the simulated robot."""

_PARAMETERS = {'asr': 'model', 'tts': 'voice', 'dispatcher': 'model'}
_ROLES = {'asr': 'recogniser', 'tts': 'voice', 'dispatcher': 'language model'}


def chosen_model(args: Any) -> str:
    """
    Return the language model of a demo's command line; '': that of the parameter file.

    The one that was trained for the simulated robot is meant where nothing else is said.
    """
    other = args.params_file or args.bridge or args.engine in ('openai', 'scripted')
    return args.model or ('' if other else MODEL)


def demo_models() -> List[str]:
    """Return the names of the models that the demo downloads."""
    return [models.DEFAULTS['recogniser'], models.DEFAULTS['voice'],
            tuned_models.packaged()[MODEL].base]


def _from_file(path: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the parameters of each node in a parameter file, whatever its namespace."""
    with open(path, encoding='utf-8') as file:
        content = yaml.safe_load(file) or {}
    found = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            nested = value if 'ros__parameters' in value else None
            for node, inner in ([(name, nested)] if nested else value.items()):
                if isinstance(inner, Mapping):
                    found[node.rsplit('/', 1)[-1]] = inner.get('ros__parameters') or {}
    return found


def needed_models(settings: bringup.Settings) -> List[str]:
    """Return the names of the models that the chosen nodes will load."""
    given = _from_file(settings.params_file or bringup.default_params_file())
    names = []
    for node in bringup.selected_nodes(settings):
        if node not in _PARAMETERS:
            continue
        parameters = given.get(node, {})
        name = parameters.get(_PARAMETERS[node]) or models.DEFAULTS[_ROLES[node]]
        if node == 'dispatcher':
            engine = settings.engine or parameters.get('engine', '')
            if engine in ('openai', 'scripted'):
                continue
            name = settings.model or name
            tuned = tuned_models.find(name)
            name = tuned.base if tuned else name
        if name.partition(':')[0] != 'hibari':
            names.append(name)
    return names


def missing_models(settings: bringup.Settings) -> List[str]:
    """Return the needed models that are not here."""
    missing = []
    for name in needed_models(settings):
        try:
            models.find(name)
        except models.UnknownModelError:
            raise
        except models.ModelMissingError:
            missing.append(name)
    return missing


def have_models(settings: bringup.Settings, *, fetch: bool = False) -> bool:
    """
    Tell whether all models are here, after offering to fetch those that are not.

    `fetch` fetches without asking. Raises the errors of models.get() and models.find().
    """
    missing = missing_models(settings)
    if not missing:
        return True
    size_mb = sum(models.lookup(n).download_bytes for n in missing if n in models.CATALOGUE) / 1e6
    print(f'missing: {", ".join(missing)} ({size_mb:,.0f} MB to download)', flush=True)
    if not fetch and sys.stdin.isatty():
        fetch = input('Download now? [Y/n] ').strip().lower() in ('', 'y', 'yes')
    if not fetch:
        print(f'get them with: async-agent models get {" ".join(missing)}', file=sys.stderr)
        return False
    from async_agent_ros.commands import models as command
    command.run(SimpleNamespace(action='get', names=missing))
    return True
