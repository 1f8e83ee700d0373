"""
The simulated world: a pure model of robot, battery and objects.

It has no clock of its own: advance(now_s) moves it to a time. Motion is integrated exactly, so
the result does not depend on the steps in which the time is given. Seconds, metres, percent.
"""
import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, Dict, List, Optional, Set, Tuple

from async_agent_ros.tools.sim.map import Point, SimMap, Thing

IDLE_PERCENT_PER_S = 0.002
DRIVE_PERCENT_PER_M = 0.15
CHARGE_PERCENT_PER_S = 0.5
MIN_DRIVE_PERCENT = 5.0
ARM_S = {'pick_up': 4.0, 'place': 3.0}
DOCKING_S = 2.0


class Refused(Exception):
    """The world does not allow it; the message is for the person."""


class End(Enum):
    """How a motion ended."""

    ARRIVED = 'arrived'
    CANCELLED = 'cancelled'
    REPLACED = 'replaced'
    BLOCKED = 'blocked'
    EMPTY = 'empty'


@dataclass
class Motion:
    """A drive of the base to a room, or to the dock in it."""

    tool: str
    goal: str
    way: List[str]
    total_m: float
    started_s: float
    driven_m: float = 0.0
    docking_left_s: float = 0.0
    ended: Optional[End] = None
    ended_s: float = 0.0
    reason: str = ''

    @property
    def left_m(self) -> float:
        """Metres to go."""
        return max(0.0, self.total_m - self.driven_m)


@dataclass
class ArmJob:
    """A movement of the arm; its effect happens at the end."""

    tool: str
    thing: str
    on: str
    started_s: float
    until_s: float


class World:
    """State of the robot and of the things around it, at `now_s`."""

    def __init__(self, sim_map: SimMap, *, speed_m_s: float = 0.8, now_s: float = 0.0):
        self.map = sim_map
        self.speed_m_s = float(speed_m_s)
        self.now_s = now_s
        self.battery_percent = sim_map.battery_percent
        self.objects: Dict[str, Thing] = dict(sim_map.objects)
        self.held: Optional[str] = None
        self.blocked: Set[str] = set()
        self.arm_fails = False
        self.docked = False
        self.motion: Optional[Motion] = None
        self.arm: Optional[ArmJob] = None
        self.position: Point = sim_map.rooms[sim_map.start]
        self.yaw_rad = 0.0
        # Nodes at the ends of the line that the robot stands on; twice the same at a node.
        self.line: Tuple[str, str] = (sim_map.start, sim_map.start)

    @property
    def room(self) -> str:
        """The room whose centre is nearest to the robot."""
        return min(self.map.rooms, key=lambda r: math.dist(self.map.rooms[r], self.position))

    @property
    def at(self) -> Optional[str]:
        """The room in whose centre the robot stands, None between two."""
        a, b = self.line
        return a if a == b and a in self.map.rooms and not self.moving else None

    @property
    def moving(self) -> bool:
        """Whether the base moves now."""
        return self.motion is not None

    def where(self) -> str:
        """Return a description of the place, for people."""
        if self.line[0] == self.line[1]:
            return f'in the {self.line[0]}' if self.line[0] in self.map.rooms else (
                f'at the {self.line[0]}')
        return f'between the {self.line[0]} and the {self.line[1]}'

    # Motion

    def drive(self, goal: str, tool: str = 'navigate_to', *, dock: bool = False) -> Motion:
        """Start a drive to a room; a running drive ends as replaced. Raises Refused."""
        if goal not in self.map.rooms:
            raise Refused(f'I know no place called {goal}; I know {", ".join(self.map.rooms)}')
        if self.arm is not None:
            raise Refused(f'the arm is working: {self.arm.tool} of the {self.arm.thing} runs, '
                          'wait for it or cancel it')
        if self.battery_percent < MIN_DRIVE_PERCENT and not dock:
            raise Refused(f'the battery is too low to drive: {self.battery_percent:.0f} percent, '
                          f'at least {MIN_DRIVE_PERCENT:.0f} are needed; dock to charge')
        starts = {node: math.dist(self.position, self.map.positions[node]) for node in self.line}
        way = self.map.way(starts, goal, self.blocked)
        if way is None:
            names = ', '.join(sorted(self.blocked)) or 'the map has no door'
            raise Refused(f'there is no free way to the {goal}; blocked: {names}')
        points = [self.position] + [self.map.positions[node] for node in way]
        total = sum(math.dist(a, b) for a, b in zip(points, points[1:]))
        if self.motion is not None:
            self._end_motion(End.REPLACED, f'pre-empted by a new goal, the {goal}')
        self.docked = False
        self.motion = Motion(tool, goal, way, total, self.now_s,
                             docking_left_s=DOCKING_S if dock else 0.0)
        return self.motion

    def stop(self, motion: Motion, reason: str = 'cancelled') -> None:
        """Stop where the robot is, if this motion still runs."""
        if self.motion is motion:
            self._end_motion(End.CANCELLED, reason)

    def seconds_left(self, motion: Motion) -> float:
        """Return the time that the motion still takes when nothing gets in its way."""
        return motion.left_m / self.speed_m_s + motion.docking_left_s

    def _end_motion(self, end: End, reason: str = ''):
        motion, self.motion = self.motion, None
        motion.ended, motion.ended_s, motion.reason = end, self.now_s, reason

    # Arm

    def start_arm(self, tool: str, thing: str, on: str = '') -> ArmJob:
        """Start pick_up or place. Raises Refused."""
        if self.arm is not None:
            raise Refused(f'the arm is busy with {self.arm.tool} of the {self.arm.thing}')
        if self.motion is not None:
            raise Refused(f'the robot is driving to the {self.motion.goal} '
                          f'({self.motion.tool} runs); the arm works only while it stands')
        if self.at is None:
            raise Refused(f'the robot stands {self.where()}; drive to a room first')
        if tool == 'pick_up':
            if self.held is not None:
                raise Refused(f'the gripper already holds the {self.held}; place it first')
            if thing not in self.objects or self.objects[thing].room != self.at:
                here = ', '.join(self.seen()) or 'nothing'
                raise Refused(f'there is no {thing} in the {self.at}; I see {here}')
        else:
            if self.held is None:
                raise Refused('the gripper is empty, there is nothing to place')
            if self.held != thing:
                raise Refused(f'the gripper holds the {self.held}, not the {thing}')
            choices = [*self.map.surfaces[self.at], 'floor']
            if on not in choices:
                raise Refused(f'there is no {on} in the {self.at}; '
                              f'I can place it on {", ".join(choices)}')
        self.arm = ArmJob(tool, thing, on, self.now_s, self.now_s + ARM_S[tool])
        return self.arm

    def stop_arm(self, job: ArmJob) -> None:
        """Stop the arm, if this job still runs; nothing is gripped or let go."""
        if self.arm is job:
            self.arm = None

    def finish_arm(self, job: ArmJob) -> None:
        """Let the effect of the arm job happen. Raises Refused when the grip fails."""
        if self.arm is not job:
            raise Refused('the arm was stopped')
        self.arm = None
        if self.arm_fails:
            raise Refused(f'the gripper slipped off the {job.thing}; try again')
        if job.tool == 'pick_up':
            del self.objects[job.thing]
            self.held = job.thing
        else:
            self.held = None
            self.objects[job.thing] = Thing(self.at, job.on)

    # Senses

    def seen(self) -> Dict[str, str]:
        """Return the objects in the room where the robot is, and what each is on."""
        return {name: thing.on for name, thing in self.objects.items() if thing.room == self.room}

    def pose(self) -> Dict[str, Any]:
        """Return position and heading, and in which room that is."""
        return {'place': self.room, 'x_m': round(self.position[0], 2),
                'y_m': round(self.position[1], 2),
                'heading_deg': round(math.degrees(self.yaw_rad)) % 360,
                'moving': self.moving}

    # Time

    def advance(self, now_s: float) -> None:
        """Move the world to a time; a time before the present changes nothing."""
        left = now_s - self.now_s
        while left > 1e-9:
            left -= self._step(left)
        self.now_s = max(self.now_s, now_s)

    def _step(self, seconds: float) -> float:
        """Advance by at most `seconds`, at most to the next node, and return how many."""
        motion = self.motion
        if motion is None:
            rate = CHARGE_PERCENT_PER_S if self.docked else -IDLE_PERCENT_PER_S
            self._drain(-rate * seconds)
            self.now_s += seconds
            return seconds
        if not motion.way:
            used = min(seconds, motion.docking_left_s)
            motion.docking_left_s -= used
            self.now_s += used
            if motion.docking_left_s <= 1e-9:
                self.docked = motion.tool == 'dock'
                self._end_motion(End.ARRIVED)
            return used
        node = motion.way[0]
        if node in self.blocked:
            self._end_motion(End.BLOCKED, f'the way is blocked at the {node}')
            return 0.0
        target = self.map.positions[node]
        gap = math.dist(self.position, target)
        reach = min(gap, seconds * self.speed_m_s)
        empty = self.battery_percent <= 0.0
        if empty:
            self._end_motion(End.EMPTY, 'the battery is empty')
            return 0.0
        used = reach / self.speed_m_s
        if gap > 1e-9:
            dx, dy = target[0] - self.position[0], target[1] - self.position[1]
            self.yaw_rad = math.atan2(dy, dx)
        motion.driven_m += reach
        self._drain(DRIVE_PERCENT_PER_M * reach + IDLE_PERCENT_PER_S * used)
        self.now_s += used
        if gap - reach <= 1e-9:
            self.position = target
            motion.way.pop(0)
            self.line = (node, motion.way[0]) if motion.way else (node, node)
            if not motion.way and motion.docking_left_s <= 0.0:
                self._end_motion(End.ARRIVED)
        else:
            share = reach / gap
            self.position = (self.position[0] + dx * share, self.position[1] + dy * share)
            if self.line[0] == self.line[1] and node != self.line[0]:
                self.line = (self.line[0], node)
        return used

    def _drain(self, percent: float):
        self.battery_percent = min(100.0, max(0.0, self.battery_percent - percent))
