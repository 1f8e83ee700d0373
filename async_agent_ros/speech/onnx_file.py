"""What an ONNX file says about itself, without loading it: a library may end the process at it."""
import io
from pathlib import Path
from typing import BinaryIO, Dict, Tuple

_GRAPH, _FACTS = 7, 14
"""Fields of the message ModelProto."""


class OnnxFileError(Exception):
    """The file is no ONNX model. The message says why."""


def metadata(path: Path) -> Dict[str, str]:
    """Return the metadata of a model; raises OnnxFileError."""
    found: Dict[str, str] = {}
    seen = set()
    size = path.stat().st_size
    with open(path, 'rb') as file:
        while file.tell() < size:
            number, kind = divmod(_varint(file), 8)
            seen.add(number)
            if kind == 0:
                _varint(file)
                continue
            if kind != 2:
                raise OnnxFileError('it is of another format')
            length = _varint(file)
            if file.tell() + length > size:
                raise OnnxFileError('it is cut short')
            if number == _FACTS:
                key, value = _pair(file.read(length))
                found[key] = value
            else:
                file.seek(length, 1)
    if _GRAPH not in seen:
        raise OnnxFileError('it holds no graph')
    return found


def _varint(file: BinaryIO) -> int:
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte or shift > 63:
            raise OnnxFileError('it is of another format, or cut short')
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
        shift += 7


def _pair(data: bytes) -> Tuple[str, str]:
    """Return key and value of a StringStringEntryProto."""
    file, parts = io.BytesIO(data), {}
    while file.tell() < len(data):
        number = _varint(file) // 8
        parts[number] = file.read(_varint(file)).decode('utf-8', 'replace')
    return parts.get(1, ''), parts.get(2, '')
