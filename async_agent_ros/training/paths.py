"""Files of the package's config folder, and the prompt format that they hold."""
import pathlib
from typing import Any

from async_agent_ros.bringup import config_file
from async_agent_ros.core.chatml import PromptFormat
from async_agent_ros.training.tables import TableError


def load_yaml(path: str) -> Any:
    """Return a YAML file: a path, or the name of a file of config/. Raises TableError."""
    import yaml
    given = pathlib.Path(path)
    try:
        return yaml.safe_load((given if given.is_file() else config_file(path)).read_text('utf-8'))
    except OSError as error:
        raise TableError(f'{path} cannot be read: {error.strerror}; give the path of a YAML file'
                         ) from error
    except yaml.YAMLError as error:
        raise TableError(f'{path} is no YAML: {error}') from error


def load_format(path: str) -> PromptFormat:
    """Return the prompt format of a prompt file."""
    try:
        return PromptFormat.from_mapping((load_yaml(path) or {}).get('format'))
    except ValueError as error:
        raise TableError(f'{path}: {error}') from error
