"""A stream that another thread reads: whoever takes it from here never waits for an abort."""
import queue
from typing import Any, Iterator

DONE = object()
"""What the reading thread puts last."""
_POLL_S = 0.01


def until_abort(items: 'queue.SimpleQueue', abort: Any) -> Iterator[Any]:
    """Yield what comes into a queue until DONE or the abort; `abort` has an event's `is_set`."""
    while not abort.is_set():
        try:
            item = items.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        if item is DONE:
            return
        yield item
