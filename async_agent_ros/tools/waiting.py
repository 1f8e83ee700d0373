"""Waiting by a clock that may be simulated, and that can be woken early."""
import asyncio
import threading
import time
from typing import Callable


class WallClock:
    """Real time, for tools that run without ROS."""

    simulated = False
    """Whether the time stands between two wake()s of whoever waits."""

    def now_s(self) -> float:
        """Return seconds since an arbitrary start."""
        return time.monotonic()


class Pause:
    """Waits until a time on a clock is reached, a condition holds, or wake() makes it look."""

    def __init__(self, clock):
        self._clock = clock
        self._lock = threading.Lock()
        self._sleepers = set()

    def wake(self) -> None:
        """Let every waiter look again at clock and condition. From any thread."""
        with self._lock:
            sleepers = list(self._sleepers)
        for sleeper in sleepers:
            sleeper()

    def wait(self, seconds: float, until: Callable[[], bool]) -> None:
        """Block for seconds of the clock, less when `until()` holds at a wake()."""
        event = threading.Event()
        wake = event.set
        with self._lock:
            self._sleepers.add(wake)
        try:
            deadline = self._clock.now_s() + seconds
            while not until():
                left = deadline - self._clock.now_s()
                if left <= 0:
                    return
                # Simulated time moves by wake(); the timeout covers a clock that was switched.
                event.wait(1.0 if self._clock.simulated else left)
                event.clear()
        finally:
            with self._lock:
                self._sleepers.discard(wake)

    async def sleep(self, seconds: float, until: Callable[[], bool]) -> None:
        """Wait like wait(), on an asyncio loop."""
        loop = asyncio.get_running_loop()
        event = asyncio.Event()

        def wake():
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:
                pass    # the loop is closed, nobody waits any more

        with self._lock:
            self._sleepers.add(wake)
        try:
            deadline = self._clock.now_s() + seconds
            while not until():
                left = deadline - self._clock.now_s()
                if left <= 0:
                    return
                try:
                    await asyncio.wait_for(event.wait(), 1.0 if self._clock.simulated else left)
                except asyncio.TimeoutError:
                    pass
                event.clear()
        finally:
            with self._lock:
                self._sleepers.discard(wake)
