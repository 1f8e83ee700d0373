"""
Writes the bag that rosbag2 would: MCAP and metadata.yaml, from raw serialised messages.

No ROS in here: types come as names, messages as CDR bytes.
"""
import errno
import os
import queue
import tempfile
import threading
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from rosbags.interfaces import Qos
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

from async_agent_ros.record.definitions import definition
from async_agent_ros.record.parts import close_part, list_parts, open_part, Part, part_of

RESERVE_BYTES = 4 * 2**20
"""Disk space kept for closing the bag when the disk fills up: one chunk, index and summary."""

CHUNK_PERIOD_S = 1.0
"""A chunk goes to disk at least this often, so that a killed recorder loses no more than that."""

QUEUE_MESSAGES = 100_000

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class BagError(Exception):
    """The bag cannot be written. The message names the file and the remedy."""


class _ReservedFile:
    """
    An append-only file with a reserve of disk space beside it.

    When the disk is full the reserve is given up and the write is finished with it: `full` tells
    that it is time to close. What had been promised to the caller is on disk in any case.
    """

    def __init__(self, path: Path, reserve_bytes: int = RESERVE_BYTES):
        self.full = False
        self._position = path.stat().st_size
        self._file = open(path, 'ab', buffering=0)
        # Without a name from the start: its space is free again when this process is killed.
        self._reserve = tempfile.TemporaryFile(dir=path.parent, buffering=0)
        try:
            os.posix_fallocate(self._reserve.fileno(), 0, reserve_bytes)
        except OSError as error:
            self.close()
            raise BagError(f'cannot write {path}: {error.strerror}; free at least '
                           f'{reserve_bytes >> 20} MiB or choose another directory') from error

    def write(self, data) -> int:
        start, view = self._position, memoryview(data)
        while view:
            try:
                written = self._file.write(view)
            except OSError as error:
                if error.errno in _NO_SPACE and not self.full:
                    self.full = True
                    self._reserve.close()
                    continue
                # Half a record would make what comes after it unreadable.
                self._file.truncate(start)
                self._position = start
                raise
            self._position += written
            view = view[written:]
        return self._position - start

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._file.close()
        self._reserve.close()


class BagWriter:
    """
    Writes messages into a new bag from a thread of its own; write() never waits for the disk.

    Raises BagError when the directory exists or cannot be written. `on_error` is called once, from
    the writer's thread, with a message for people when the bag had to be closed early. A file is
    closed and the next one begun when it has `max_file_bytes`; 0: one file, however large.
    """

    def __init__(self, path: Path, *, on_error: Callable[[str], None] = lambda message: None,
                 custom_data: Optional[Dict[str, str]] = None,
                 reserve_bytes: int = RESERVE_BYTES, max_file_bytes: int = 0):
        self.path = Path(path)
        self.written = 0
        """Messages handed to the file."""
        self.dropped = 0
        """Messages that did not fit into the queue, or came after an error."""
        self.error = ''
        self._on_error = on_error
        self._reserve_bytes, self._max_file_bytes = reserve_bytes, max_file_bytes
        self._finished: List[Part] = []
        try:
            self._writer = Writer(self.path, version=9, storage_plugin=StoragePlugin.MCAP)
            for key, value in (custom_data or {}).items():
                self._writer.set_custom_data(key, value)
            self._writer.open()
            storage = self._writer.storage
            storage.bio.close()
            # The magic bytes and the header are already there: close() flushed them.
            if max_file_bytes:
                first = self.path / f'{self.path.name}_0.mcap'
                storage.path = storage.path.rename(first)
            storage.bio = self._file = _ReservedFile(storage.path, reserve_bytes)
        except WriterError:
            raise BagError(f'{self.path} exists already: choose another name') from None
        except OSError as error:
            raise BagError(f'cannot write {self.path}: {error.strerror}') from error
        self._queue: queue.Queue = queue.Queue(QUEUE_MESSAGES)
        self._connections: Dict[tuple, object] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name='bag writer', daemon=True)
        self._thread.start()

    def write(self, topic: str, msgtype: str, qos: Sequence[Qos], stamp_ns: int,
              data: bytes) -> None:
        """Queue one serialised message; `qos` is what its publishers offer."""
        if self.error:
            self.dropped += 1
            return
        try:
            self._queue.put_nowait((topic, msgtype, qos, stamp_ns, data))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what is queued, the index and metadata.yaml. Safe to call twice."""
        self._closing.set()
        self._thread.join()

    def _run(self):
        try:
            self._write_queue()
        except Exception as error:
            self._fail(f'recording stopped: {error}')
        try:
            last = part_of(self._writer.storage)
            self._writer.close()
            if self._finished:
                list_parts(self._writer.metapath, [*self._finished, last])
        except Exception as error:
            self._writer.abort()
            self._fail(f'{self.path} has no index ({error}); its messages up to here are readable')
        finally:
            self._file.close()

    def _write_queue(self):
        next_chunk = time.monotonic() + CHUNK_PERIOD_S
        while True:
            try:
                item = self._queue.get(timeout=0.2)
            except queue.Empty:
                if self._closing.is_set():
                    return
                item = None
            if item is not None:
                self._write_one(*item)
            if time.monotonic() >= next_chunk:
                next_chunk = time.monotonic() + CHUNK_PERIOD_S
                if self._writer.storage.chunk.msgs:
                    self._writer.storage.close_chunk()
            if self._file.full:
                self._fail(f'recording stopped: no space left for {self.path}; '
                           'what was recorded until now is complete and readable')
                return

    def _write_one(self, topic, msgtype, qos, stamp_ns, data):
        connection = self._connections.get((topic, msgtype))
        if connection is None:
            text, type_hash = definition(msgtype)
            connection = self._writer.add_connection(
                topic, msgtype, msgdef=text, rihs01=type_hash, offered_qos_profiles=qos)
            self._connections[topic, msgtype] = connection
        storage = self._writer.storage
        if self._max_file_bytes and storage.message_end_time and (
                self._file.tell() + storage.chunk.bio.tell() + len(data) > self._max_file_bytes):
            self._next_part()
        self._writer.write(connection, stamp_ns, data)
        self.written += 1

    def _next_part(self):
        old = self._writer.storage
        self._finished.append(part_of(old))
        close_part(old, self._writer.version)
        self._file.close()
        number = len(self._finished)
        new = open_part(self.path / f'{self.path.name}_{number}.mcap', old)
        new.bio = self._file = _ReservedFile(new.path, self._reserve_bytes)
        self._writer.storage = new

    def _fail(self, message):
        if not self.error:
            self.error = message
            self._on_error(message)
