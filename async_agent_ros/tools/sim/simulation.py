"""The world on a clock, for several threads."""
import contextlib
import threading
from typing import Iterator

from async_agent_ros.tools.sim.world import World


class Simulation:
    """
    Keeps a world at the time of a clock.

    time_scale is seconds of the world per second of the clock: 1.0 but in tests.
    """

    def __init__(self, world: World, clock, *, time_scale: float = 1.0):
        self.time_scale = float(time_scale)
        self._world = world
        self._clock = clock
        self._start_s = None
        self._seen_s = None
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def world(self) -> Iterator[World]:
        """Hold the world, advanced to now. Short: nothing else sees it meanwhile."""
        with self._lock:
            now_s = self._clock.now_s()
            if self._start_s is None or now_s < self._start_s or self._seen_s == 0.0:
                # The first look, or simulated time that began (0 until the first /clock), or
                # began again: go on from here.
                self._start_s = now_s - self._world.now_s / self.time_scale
            self._seen_s = now_s
            self._world.advance((now_s - self._start_s) * self.time_scale)
            yield self._world

    def clock_s(self, world_s: float) -> float:
        """Return seconds of the clock for seconds of the world."""
        return world_s / self.time_scale
