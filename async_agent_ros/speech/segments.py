"""Segments of speech: their audio, what was heard of them, and the reports about that."""
from dataclasses import dataclass, field
from typing import List, Tuple

import numpy as np

STARTED = 'started'
PLAYING = 'playing'
PAUSED = 'paused'
RESUMED = 'resumed'
FINISHED = 'finished'
STOPPED = 'stopped'
FAILED = 'failed'


@dataclass(frozen=True)
class Report:
    """What became of a segment, measured where it is audible."""

    segment_id: int
    generation_id: int
    epoch: int
    state: str
    heard_chars: int
    played_s: float
    duration_s: float
    """-1.0 while not all of it is synthesised."""
    stamp_ns: int
    error_code: int = 0
    error_msg: str = ''


@dataclass
class Segment:
    """A piece of text on its way to the ear."""

    segment_id: int
    generation_id: int
    epoch: int
    written_chars: int
    interruptible: bool
    pieces: List[np.ndarray] = field(default_factory=list)
    marks: List[Tuple[int, int]] = field(default_factory=list)
    total: int = 0
    complete: bool = False
    rendered: int = 0
    heard: int = 0
    started: bool = False
    reported: int = 0
    error_code: int = 0
    error_msg: str = ''

    def take(self, count: int) -> np.ndarray:
        """Return up to `count` samples from the render position, without moving it."""
        parts, at, end = [], 0, self.rendered + count
        for piece in self.pieces:
            lo, hi = max(self.rendered - at, 0), min(end - at, len(piece))
            if lo < hi:
                parts.append(piece[lo:hi])
            at += len(piece)
            if at >= end:
                break
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)

    def heard_chars(self) -> int:
        """Characters of the written text that were audible, at a word boundary."""
        if self.complete and not self.error_code and self.heard >= self.total:
            return self.written_chars
        told = 0
        for sample, chars in self.marks:
            if sample > self.heard:
                break
            told = chars
        return told


@dataclass
class Span:
    """Samples of a segment that were handed to the sink."""

    segment: Segment
    first: int
    count: int
    audible_ns: int


def stamped(report: Report, stamp_ns: int) -> Report:
    """Return the report with another time."""
    return Report(**{**report.__dict__, 'stamp_ns': stamp_ns})
