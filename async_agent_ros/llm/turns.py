"""
Whose turn it is at a model that several agent instances share.

The conversation with the person goes first: while it generates, helpers get no pass of their own
(they may go along in its passes, joint.py). Among themselves they take turns, pass by pass.
"""
import contextlib
import threading
from collections import deque
from typing import Callable, Deque, Iterator

FIRST = 'main'
"""The instance that talks with the person."""

_POLL_S = 0.02


class Turns:
    """One pass at a time; `first` instances before all others."""

    def __init__(self):
        self._changed = threading.Condition()
        self._busy = False
        self._first_sessions = 0
        self._queues: 'dict[bool, Deque[object]]' = {True: deque(), False: deque()}

    @property
    def first_is_here(self) -> bool:
        """Whether the conversation with the person generates: helpers must make room."""
        return self._first_sessions > 0

    @contextlib.contextmanager
    def session(self, first: bool) -> Iterator[None]:
        """Tell that an instance generates, from its request to its last token."""
        with self._changed:
            self._first_sessions += first
        try:
            yield
        finally:
            with self._changed:
                self._first_sessions -= first
                self._changed.notify_all()

    @contextlib.contextmanager
    def turn(self, first: bool, abort: threading.Event,
             over: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """
        Wait for a pass and hold it; gives False when `abort` was set before it came.

        Or when it is not needed any more: `over` is asked again after every pass of the others.
        """
        ticket = object()
        queue = self._queues[first]
        with self._changed:
            queue.append(ticket)
            try:
                while not self._may_go(first, ticket):
                    if abort.is_set() or over():
                        break
                    self._changed.wait(_POLL_S)
                mine = self._may_go(first, ticket) and not (abort.is_set() or over())
                self._busy = self._busy or mine
            finally:
                queue.remove(ticket)
        try:
            yield mine
        finally:
            if mine:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _may_go(self, first, ticket):
        if self._busy or self._queues[first][0] is not ticket:
            return False
        return first or not (self._first_sessions or self._queues[True])

    def wait_until_free(self, abort: threading.Event) -> bool:
        """Wait until the conversation with the person is silent; False when aborted."""
        with self._changed:
            while self._first_sessions and not abort.is_set():
                self._changed.wait(_POLL_S)
        return not abort.is_set()
