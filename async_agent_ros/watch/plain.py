"""The run as plain lines, for logs and pipes: time, lane, text."""
import sys
from typing import Iterable, Optional, TextIO

from async_agent_ros.watch.view import Line, NS_PER_S

LANE_WIDTH = 9


def format_line(line: Line, start_ns: int) -> str:
    """Return ' 12.34  person     take this to the kitchen'."""
    # What a node stamped before it was discovered comes late.
    seconds = max(0, line.stamp_ns - start_ns) / NS_PER_S
    return f'{seconds:7.2f}  {line.lane:<{LANE_WIDTH}}  {line.text}'.rstrip()


class PlainWatch:
    """
    Prints every line as it comes. A context manager like LiveWatch, so that either can be used.

    Lanes in `hidden` are left out. The clock starts at the first line.
    """

    def __init__(self, stream: Optional[TextIO] = None, *, hidden: Iterable[str] = ()):
        self._stream = stream or sys.stdout
        self._hidden = frozenset(hidden)
        self._start_ns: Optional[int] = None

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._stream.flush()

    def follow(self, view, lock) -> None:
        """Accept the view of LiveWatch; lines are enough here."""

    def show(self, lines: Iterable[Line]) -> None:
        """Print lines."""
        for line in lines:
            if self._start_ns is None:
                self._start_ns = line.stamp_ns
            if line.lane not in self._hidden:
                self._print(format_line(line, self._start_ns))

    def tell(self, text: str) -> None:
        """Print a remark that is not part of the conversation."""
        self._print(f'-- {text}')

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def open_watch(stream: Optional[TextIO] = None, *, plain: bool = False) -> 'PlainWatch':
    """Return a LiveWatch for a terminal, a PlainWatch for a file or a pipe."""
    stream = stream or sys.stdout
    if plain or not stream.isatty():
        return PlainWatch(stream)
    try:
        from async_agent_ros.watch.live import LiveWatch
    except ImportError:
        return PlainWatch(stream)
    return LiveWatch(stream)
