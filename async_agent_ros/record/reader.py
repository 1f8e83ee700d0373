"""Reads a bag without ROS: messages in the order of recording, decoded by the bag's own types."""
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from mcap.exceptions import McapError
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from rosbags.typesys import get_types_from_msg, get_typestore, Stores

from async_agent_ros.record.definitions import SEPARATOR


_MAGIC = b'\x89MCAP0\r\n'


class BagReadError(Exception):
    """The bag cannot be read. The message names the path and the remedy."""


@dataclass(frozen=True)
class Record:
    """One message of a bag."""

    topic: str
    msgtype: str
    stamp_ns: int
    """When it was recorded, nanoseconds since the epoch."""
    data: bytes


def find_bag(path: Path) -> Path:
    """
    Return the directory of the bag: `path` itself, its bag/, or the one that holds the file.

    Raises BagReadError when there is none.
    """
    path = Path(path)
    if path.is_file() and path.suffix == '.mcap':
        return path.parent
    for candidate in (path, path / 'bag'):
        if candidate.is_dir() and any(candidate.glob('*.mcap')):
            return candidate
    raise BagReadError(f'no bag in {path}: give the directory that holds metadata.yaml and the '
                       '.mcap file, or the folder of a run')


class BagReader:
    """
    Reads all files of a bag, also of one whose recorder was killed: then `complete` is False.

    Types are registered from the definitions in the bag, so that neither ROS nor the version of
    the package that recorded it has to be installed.
    """

    def __init__(self, path: Path):
        self.path = find_bag(path)
        self.complete = True
        self.offered: Dict[str, str] = {}
        """Topic -> quality of service of its publishers, YAML as rosbag2 writes it."""
        self._definitions: Dict[str, str] = {}
        self._hashes: Dict[str, str] = {}
        self._store = get_typestore(Stores.EMPTY)

    def records(self, wanted: Optional[Callable[[str], bool]] = None) -> Iterator[Record]:
        """Yield the messages of all topics, or of those for which wanted(topic) is true."""
        for file in sorted(self.path.glob('*.mcap'), key=_number):
            yield from self._read_file(file, wanted)

    def _read_file(self, file, wanted):
        schemas: Dict[int, Schema] = {}
        channels: Dict[int, Tuple[Channel, str]] = {}
        with open(file, 'rb') as stream:
            begun = stream.read(len(_MAGIC)) == _MAGIC
            stream.seek(0)
            try:
                for record in StreamReader(stream).records:
                    if isinstance(record, Message):
                        channel, msgtype = channels[record.channel_id]
                        if wanted is None or wanted(channel.topic):
                            yield Record(channel.topic, msgtype, record.log_time, record.data)
                    elif isinstance(record, Schema):
                        schemas[record.id] = record
                        self._definitions[record.name] = record.data.decode()
                    elif isinstance(record, Channel):
                        channels[record.id] = (record, schemas[record.schema_id].name)
                        self.offered[record.topic] = record.metadata.get(
                            'offered_qos_profiles', '')
            except (McapError, EOFError) as error:
                if not begun:    # else its recorder was killed before the first chunk
                    raise BagReadError(f'{file} is not a bag: {error!r}') from error
                self.complete = False

    def decode(self, record: Record) -> Any:
        """Return the message as an object with its fields; arrays are numpy arrays."""
        if record.msgtype not in self._store.fielddefs:
            self._register(record.msgtype)
        return self._store.deserialize_cdr(record.data, record.msgtype)

    def type_hash(self, msgtype: str) -> str:
        """Return the RIHS01 hash of a type as the bag defines it; raises KeyError without it."""
        if msgtype not in self._hashes:
            if msgtype not in self._store.fielddefs:
                self._register(msgtype)
            self._hashes[msgtype] = self._store.hash_rihs01(msgtype)
        return self._hashes[msgtype]

    def _register(self, msgtype):
        own, *others = self._definitions[msgtype].split(SEPARATOR + '\n')
        texts = [(msgtype, own)]
        for other in others:
            first, _, text = other.partition('\n')
            package, name = first.removeprefix('MSG: ').strip().split('/')
            texts.append((f'{package}/msg/{name}', text))
        for name, text in texts:
            if name not in self._store.fielddefs:
                self._store.register(get_types_from_msg(text, name))

    def messages(self, topics: Sequence[str] = ()) -> Iterator[Tuple[str, int, Any]]:
        """Yield (topic, stamp_ns, message) of the given topics (all when empty)."""
        wanted = set(topics)
        for record in self.records(wanted.__contains__ if wanted else None):
            yield record.topic, record.stamp_ns, self.decode(record)


def _number(file: Path):
    # name_10 comes after name_9
    return [int(x) if x.isdigit() else x for x in re.split(r'(\d+)', file.stem)]


def stamp_ns(stamp: Any) -> int:
    """Return a decoded builtin_interfaces/Time as nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def ledger_lines(entries: Sequence[Any]) -> List[str]:
    """
    Return the JSON lines of LedgerEntry messages, the form of a ledger file.

    Takes rclpy messages as well as decoded ones; the order of keys is that of core.ledger.Entry.
    """
    lines = []
    for entry in entries:
        value = {'seq': int(entry.seq), 'stamp_ns': stamp_ns(entry.stamp), 'kind': entry.kind,
                 'instance': entry.instance, 'call_id': entry.call_id, 'name': entry.name,
                 'generation_id': int(entry.generation_id), 'epoch': int(entry.epoch),
                 'about_seq': int(entry.about_seq), 'status': entry.status,
                 'content': entry.content}
        lines.append(json.dumps(value, separators=(',', ':'), ensure_ascii=False))
    return lines
