"""The map of the simulated world: rooms, doors, objects, and ways between them."""
import heapq
import math
from dataclasses import dataclass, field
from typing import AbstractSet, Dict, List, Mapping, Optional, Sequence, Tuple

import yaml

Point = Tuple[float, float]
"""x and y in metres."""


class MapError(ValueError):
    """The map file is wrong; the message names file, place and remedy."""


@dataclass(frozen=True)
class Thing:
    """An object: in which room, and on what."""

    room: str
    on: str = 'floor'


@dataclass(frozen=True)
class SimMap:
    """Nodes are rooms and doors; edges are straight lines between a room and its doors."""

    rooms: Mapping[str, Point]
    surfaces: Mapping[str, Sequence[str]]
    doors: Mapping[str, Point]
    edges: Mapping[str, Sequence[str]]
    objects: Mapping[str, Thing]
    dock: str
    start: str
    battery_percent: float = 100.0
    positions: Mapping[str, Point] = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, 'positions', {**self.rooms, **self.doors})

    def distance(self, a: str, b: str) -> float:
        """Return metres between two nodes, straight."""
        return math.dist(self.positions[a], self.positions[b])

    def way(self, starts: Mapping[str, float], goal: str,
            blocked: AbstractSet[str] = frozenset()) -> Optional[List[str]]:
        """
        Return the shortest list of nodes to the goal, or None when there is none.

        `starts` are the nodes that can be reached at once, with the metres to them; blocked nodes
        are avoided.
        """
        heap = [(metres, node, (node,)) for node, metres in starts.items() if node not in blocked]
        heapq.heapify(heap)
        done = set()
        while heap:
            metres, node, path = heapq.heappop(heap)
            if node == goal:
                return list(path)
            if node in done:
                continue
            done.add(node)
            for other in self.edges[node]:
                if other not in done and other not in blocked:
                    heapq.heappush(
                        heap, (metres + self.distance(node, other), other, path + (other,)))
        return None


def load_map(path) -> SimMap:
    """Read a map file. Raises MapError, naming what is wrong, or OSError."""
    with open(path, encoding='utf-8') as file:
        try:
            data = yaml.safe_load(file)
        except yaml.YAMLError as error:
            raise MapError(f'{path} is not YAML: {error}') from None
    try:
        return parse_map(data)
    except MapError as error:
        raise MapError(f'{path}: {error}') from None


def parse_map(data) -> SimMap:
    """Check and convert the content of a map file. Raises MapError."""
    data = _mapping(data, 'the map', 'rooms', 'doors', 'objects', 'dock', 'robot')
    rooms: Dict[str, Point] = {}
    surfaces: Dict[str, List[str]] = {}
    for name, room in _mapping(data.get('rooms'), 'rooms').items():
        room = _mapping(room, f'rooms.{name}', 'position', 'surfaces')
        rooms[name] = _point(room.get('position'), f'rooms.{name}.position')
        surfaces[name] = [str(s) for s in room.get('surfaces') or []]
    if not rooms:
        raise MapError('rooms is empty: name at least one room with its position')

    def room_name(name, where):
        if name not in rooms:
            raise MapError(f'{where} is {name!r}, which is no room; rooms are {", ".join(rooms)}')
        return name

    doors: Dict[str, Point] = {}
    edges: Dict[str, List[str]] = {name: [] for name in rooms}
    for name, door in _mapping(data.get('doors') or {}, 'doors').items():
        door = _mapping(door, f'doors.{name}', 'between', 'position')
        if name in rooms:
            raise MapError(f'doors.{name} has the name of a room')
        doors[name] = _point(door.get('position'), f'doors.{name}.position')
        edges[name] = []
        between = door.get('between')
        if not isinstance(between, list) or len(between) != 2:
            raise MapError(f'doors.{name}.between must be two rooms')
        for room in between:
            edges[name].append(room_name(room, f'doors.{name}.between'))
            edges[room].append(name)
    objects = {}
    for name, thing in _mapping(data.get('objects') or {}, 'objects').items():
        thing = _mapping(thing, f'objects.{name}', 'room', 'surface')
        room = room_name(thing.get('room'), f'objects.{name}.room')
        # not 'on', which YAML 1.1 takes for true
        on = thing.get('surface', 'floor')
        if on != 'floor' and on not in surfaces[room]:
            raise MapError(f'objects.{name}.surface is {on!r}, but {room} has '
                           f'{", ".join(surfaces[room]) or "no surfaces"}')
        objects[name] = Thing(room, on)
    robot = _mapping(data.get('robot') or {}, 'robot', 'start', 'battery_percent')
    start = room_name(robot.get('start', next(iter(rooms))), 'robot.start')
    battery = robot.get('battery_percent', 100.0)
    if not isinstance(battery, (int, float)) or not 0 <= battery <= 100:
        raise MapError(f'robot.battery_percent is {battery!r}: it must be 0 to 100')
    return SimMap(rooms=rooms, surfaces=surfaces, doors=doors, edges=edges, objects=objects,
                  dock=room_name(data.get('dock', start), 'dock'), start=start,
                  battery_percent=float(battery))


def _mapping(value, where, *keys):
    if not isinstance(value, dict):
        raise MapError(f'{where} must be a mapping, not {value!r}')
    unknown = [key for key in value if keys and key not in keys]
    if unknown:
        raise MapError(f'{where} has the unknown key {unknown[0]!r}; keys are {", ".join(keys)}')
    return value


def _point(value, where) -> Point:
    if (not isinstance(value, list) or len(value) != 2
            or not all(isinstance(v, (int, float)) for v in value)):
        raise MapError(f'{where} must be [x, y] in metres, not {value!r}')
    return float(value[0]), float(value[1])
