"""
Tuned models: folders that say which adapter belongs on which base, and with which prompt.

`async-agent train learn` writes such a folder. Its path, or its name where it lies in config/models
or in the folder of models, is all that the dispatcher needs: `model: FOLDER`.
"""
from dataclasses import dataclass
import json
import pathlib
from typing import Any, Dict, Mapping, Optional

from async_agent_ros import bringup, models

FILE = 'model.json'
_KEYS = {'base', 'adapters', 'prompt'}


@dataclass(frozen=True)
class TunedModel:
    """What such a folder says."""

    name: str
    base: str
    """Name or path of the base model."""
    adapters: Mapping[str, str]
    """Path of the adapter by engine: a GGUF file (llama_cpp), a folder of peft (transformers)."""
    prompt_file: str
    """The prompt that it was trained with."""


def find(name: str) -> Optional[TunedModel]:
    """
    Return the tuned model of a name or path, None where that names another model or none.

    Raises models.ModelError where the folder does not say what it should.
    """
    for folder in _folders(name):
        file = folder / FILE
        if file.is_file():
            return _read(name, file)
    return None


def packaged() -> Dict[str, TunedModel]:
    """Return the tuned models that come with this package, by name."""
    folder = _packaged_folder()
    found = sorted(p.parent.name for p in folder.glob(f'*/{FILE}')) if folder else []
    return {name: _read(name, folder / name / FILE) for name in found}


def write(folder: pathlib.Path, base: str, adapters: Mapping[str, str], prompt: str) -> None:
    """Write the file; paths are relative to the folder."""
    (folder / FILE).write_text(json.dumps(
        {'base': base, 'adapters': dict(adapters), 'prompt': prompt}, indent=1) + '\n')


def _folders(name: str):
    if not name:
        return
    if '/' in name:
        yield pathlib.Path(name).expanduser()
        return
    folder = _packaged_folder()
    if folder:
        yield folder / name
    yield models.root() / name


def _packaged_folder() -> Optional[pathlib.Path]:
    try:
        folder = bringup.config_file('params.yaml').parent / 'models'
    except bringup.BringupError:
        return None
    return folder if folder.is_dir() else None


def _read(name: str, file: pathlib.Path) -> TunedModel:
    try:
        value: Any = json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise models.ModelError(f'{file} cannot be read: {error}') from None
    if not isinstance(value, dict) or not isinstance(value.get('base'), str) \
            or not isinstance(value.get('adapters'), dict) or set(value) - _KEYS:
        raise models.ModelError(
            f'{file} must hold "base" (a model), "adapters" (engine: path) and "prompt" (a file)')
    folder = file.parent
    missing = [p for p in (*value['adapters'].values(), value.get('prompt', ''))
               if p and not (folder / p).exists()]
    if missing:
        raise models.ModelError(f'{file} names {missing[0]}, which is not in {folder}; copy the '
                                'whole folder of the tuned model')
    prompt = folder / value['prompt'] if value.get('prompt') else \
        bringup.config_file('prompt_tuned.yaml')
    return TunedModel(name, value['base'],
                      {k: str(folder / v) for k, v in value['adapters'].items()}, str(prompt))
