"""Where files of the package's config folder are, and the prompt format that they hold."""
import pathlib
from typing import Any

from async_agent_ros.core.chatml import PromptFormat
from async_agent_ros.training.tables import TableError


def config_file(name: str) -> pathlib.Path:
    """Return a file of config/: in the source tree, or in the package's share directory."""
    beside = pathlib.Path(__file__).resolve().parents[2] / 'config' / name
    if beside.is_file():
        return beside
    from ament_index_python.packages import get_package_share_directory
    return pathlib.Path(get_package_share_directory('async_agent_ros')) / 'config' / name


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
