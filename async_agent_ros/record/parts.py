"""
The files of a bag that is split by size: each is a whole MCAP file with index and definitions.

The library writes bags of one file. What it does for the first one is done here for the others, and
metadata.yaml then lists them all, as rosbag2 does.
"""
import io
import os
from pathlib import Path
import tempfile
from typing import Any, Dict, List, NamedTuple

from rosbags.rosbag2.enums import CompressionMode
from rosbags.rosbag2.storage_mcap import McapWriter, write_channel, write_schema
from ruamel.yaml import YAML


class Part(NamedTuple):
    """A file of a bag; times in nanoseconds since the epoch."""

    name: str
    start_ns: int
    end_ns: int
    message_count: int

    def to_json(self) -> Dict[str, Any]:
        """Return its entry under `files` in metadata.yaml."""
        return {'path': self.name, 'message_count': self.message_count,
                'starting_time': {'nanoseconds_since_epoch': self.start_ns},
                'duration': {'nanoseconds': max(0, self.end_ns - self.start_ns)}}


def part_of(storage: McapWriter) -> Part:
    """Return what is in a file that is being written."""
    return Part(storage.path.name, storage.message_start_time, storage.message_end_time,
                sum(storage.channel_stats.values()))


def _yaml() -> YAML:
    yaml = YAML(typ='safe')
    yaml.default_flow_style = False
    return yaml


def close_part(storage: McapWriter, version: int) -> None:
    """Write the index of a file, and what it holds; then nothing more can be written to it."""
    part = part_of(storage)
    text = io.StringIO()
    _yaml().dump({'version': version, 'storage_identifier': 'mcap',
                  'relative_file_paths': [part.name], 'message_count': part.message_count,
                  'starting_time': {'nanoseconds_since_epoch': part.start_ns},
                  'duration': {'nanoseconds': part.end_ns - part.start_ns},
                  'files': [part.to_json()]}, text)
    storage.close(version, text.getvalue().strip())


def open_part(path: Path, before: McapWriter) -> McapWriter:
    """Return the file that follows another one; it begins with all definitions of that one."""
    # The library names a file after its directory; it is moved to its place before anyone looks.
    with tempfile.TemporaryDirectory(prefix='.next_', dir=path.parent) as folder:
        made = Path(folder) / path.stem
        made.mkdir()
        storage = McapWriter(made, CompressionMode.NONE)
        storage.bio.close()
        os.rename(storage.path, path)
    storage.path = path
    storage.schemas, storage.channels = before.schemas, before.channels
    storage.channel_stats = dict.fromkeys(before.channel_stats, 0)
    for schema in storage.schemas:
        write_schema(storage.chunk.bio, schema)
    for channel in storage.channels:
        write_channel(storage.chunk.bio, channel, storage.schemas)
    return storage


def list_parts(metadata: Path, parts: List[Part]) -> None:
    """Let metadata.yaml list these files."""
    value = _yaml().load(metadata.read_text(encoding='utf-8'))
    information = value['rosbag2_bagfile_information']
    information['relative_file_paths'] = [part.name for part in parts]
    information['files'] = [part.to_json() for part in parts]
    text = io.StringIO()
    _yaml().dump(value, text)
    temporary = metadata.with_suffix('.yaml.tmp')
    temporary.write_text(text.getvalue(), encoding='utf-8')
    temporary.replace(metadata)
