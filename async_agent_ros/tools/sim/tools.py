"""What the simulated robot can do, as tools."""
from typing import Dict, List, Literal

from typing_extensions import TypedDict    # pydantic needs this one before Python 3.12

from async_agent_ros.tools.context import ToolCancelled, ToolContext, ToolError
from async_agent_ros.tools.sdk import Tool, tool
from async_agent_ros.tools.sim.simulation import Simulation
from async_agent_ros.tools.sim.world import ARM_S, End, Motion, Refused

REPORT_S = 0.5
"""Seconds of the clock between two reports of progress."""

LOOK_S = 1.5
FIND_S = 1.0


class Arrival(TypedDict):
    """Where the drive ended, how far and how long it was."""

    arrived_at: str
    distance_m: float
    duration_s: float


class Docked(TypedDict):
    """The charging dock and the battery."""

    docked_in: str
    battery_percent: float
    duration_s: float


class View(TypedDict):
    """What is in sight, object by object."""

    place: str
    objects: Dict[str, str]


class Finding(TypedDict):
    """Where an object was seen."""

    object: str
    place: str
    on: str


class Battery(TypedDict):
    """Charge of the battery."""

    percent: float
    charging: bool


class Pose(TypedDict):
    """Where the robot is."""

    place: str
    x_m: float
    y_m: float
    heading_deg: int
    moving: bool


def build_tools(simulation: Simulation) -> List[Tool]:
    """Return the tools of a robot in a world; places and objects are those of its map."""
    with simulation.world() as world:
        places = tuple(world.map.rooms)
        things = tuple(world.map.objects)
        surfaces = tuple(dict.fromkeys(
            s for room in world.map.surfaces.values() for s in room))
    # The names stand in the schema, so that a model sees them and a wrong one is refused early.
    Place = Literal[places]
    Thing = Literal[things] if things else str
    Surface = Literal[surfaces + ('floor',)]

    def follow(motion: Motion, context: ToolContext):
        """Report a drive until it ends; stop the robot when the call is cancelled."""
        try:
            while True:
                with simulation.world() as world:
                    if motion.ended is not None:
                        break
                    left_s = simulation.clock_s(world.seconds_left(motion))
                    left_m = motion.left_m
                if left_m > 0.05:
                    context.report(1.0 - left_m / motion.total_m, f'{left_m:.1f} m left')
                elif motion.tool == 'dock':
                    context.report(0.95, 'docking')
                context.wait(min(REPORT_S, left_s + 0.001))
        except ToolCancelled as cancelled:
            with simulation.world() as world:
                world.stop(motion, str(cancelled))
        with simulation.world() as world:
            where = world.where()
        if motion.ended in (End.CANCELLED, End.REPLACED):
            raise ToolCancelled(
                f'{motion.reason}; the robot ' + (
                    f'stopped {where}' if motion.ended is End.CANCELLED else f'was {where}'),
                {'stopped': where, 'distance_m': round(motion.driven_m, 1)})
        if motion.ended is not End.ARRIVED:
            raise ToolError(f'{motion.reason}; the robot stopped {where}')

    def duration(motion):
        return round(motion.ended_s - motion.started_s, 1)

    def use_arm(tool_name, thing, on, context):
        with simulation.world() as world:
            job = refusing(world.start_arm, tool_name, thing, on)
        total_s = ARM_S[tool_name]
        words = 'reaching for' if tool_name == 'pick_up' else 'putting down'
        try:
            while True:
                with simulation.world() as world:
                    left_s = job.until_s - world.now_s
                    if left_s <= 1e-9:
                        refusing(world.finish_arm, job)
                        return
                context.report(1.0 - left_s / total_s, f'{words} the {thing}')
                context.wait(min(REPORT_S, simulation.clock_s(left_s) + 0.001))
        except ToolCancelled as cancelled:
            with simulation.world() as world:
                world.stop_arm(job)
                held = world.held
            raise ToolCancelled(f'{cancelled}; the arm stopped',
                                {'holding': held}) from None

    @tool(effect='state_changing', motion=True, duplicates='join', resources=['base'],
          when_busy='replace', timeout_s=300.0,
          examples=[('Go to the garage', {'place': 'garage'} if 'garage' in places
                     else {'place': places[0]}),
                    (f'Please drive to the {places[0]}', {'place': places[0]})])
    def navigate_to(place: Place, context: ToolContext) -> Arrival:
        """
        Drive to a room. A new goal replaces a running one.

        Args:
            place: name of the room
        """
        with simulation.world() as world:
            motion = refusing(world.drive, place)
        follow(motion, context)
        return {'arrived_at': place, 'distance_m': round(motion.driven_m, 1),
                'duration_s': duration(motion)}

    @tool(effect='state_changing', motion=True, duplicates='join', resources=['base'],
          when_busy='replace', timeout_s=300.0, examples=[('Go and charge yourself', {})])
    def dock(context: ToolContext) -> Docked:
        """Drive to the charging dock and charge the battery."""
        with simulation.world() as world:
            motion = refusing(lambda: world.drive(world.map.dock, 'dock', dock=True))
        follow(motion, context)
        with simulation.world() as world:
            return {'docked_in': motion.goal, 'battery_percent': round(world.battery_percent, 1),
                    'duration_s': duration(motion)}

    @tool(name='pick_up', effect='state_changing', motion=True, duplicates='reject',
          resources=['arm'],
          timeout_s=60.0, examples=[(f'Pick up the {things[0]}', {'object': things[0]})]
          if things else ())
    def pick_up(object: Thing, context: ToolContext) -> Dict[str, str]:
        """
        Grasp an object in the room where the robot stands.

        Args:
            object: name of the object
        """
        use_arm('pick_up', object, '', context)
        return {'holding': object}

    @tool(effect='state_changing', motion=True, duplicates='reject', resources=['arm'],
          timeout_s=60.0,
          examples=[(f'Put the {things[0]} on the {surfaces[0]}',
                     {'object': things[0], 'where': surfaces[0]})] if things and surfaces else ())
    def place(object: Thing, where: Surface, context: ToolContext) -> Dict[str, str]:
        """
        Put down the held object in the room where the robot stands.

        Args:
            object: name of the held object
            where: what to put it on
        """
        use_arm('place', object, where, context)
        return {'placed': object, 'on': where}

    @tool(effect='read_only', timeout_s=10.0,
          examples=[('What do you see?', {}), ('Look around', {})])
    def look_around(context: ToolContext) -> View:
        """Look around with the camera: the objects in this room and what each is on."""
        context.report(0.0, 'looking around')
        context.wait(simulation.clock_s(LOOK_S))
        with simulation.world() as world:
            return {'place': world.room, 'objects': world.seen()}

    @tool(effect='read_only', timeout_s=5.0,
          examples=[('How much battery do you have left?', {})])
    def get_battery() -> Battery:
        """Read the charge of the battery, in percent."""
        with simulation.world() as world:
            return {'percent': round(world.battery_percent, 1), 'charging': world.docked}

    @tool(effect='read_only', timeout_s=5.0, examples=[('Where are you?', {})])
    def get_pose() -> Pose:
        """Tell where the robot is now and whether it is driving."""
        with simulation.world() as world:
            return world.pose()

    @tool(effect='read_only', timeout_s=10.0,
          examples=[(f'Where is the {things[-1]}?', {'object': things[-1]})] if things else ())
    def find_object(object: Thing, context: ToolContext) -> Finding:
        """
        Tell in which room an object was last seen.

        Args:
            object: name of the object
        """
        context.wait(simulation.clock_s(FIND_S))
        with simulation.world() as world:
            if world.held == object:
                return {'object': object, 'place': world.room, 'on': 'gripper'}
            thing = world.objects[object]
            return {'object': object, 'place': thing.room, 'on': thing.on}

    return [navigate_to, pick_up, place, look_around, find_object, get_battery, get_pose, dock]


def refusing(action, *arguments):
    """Call what may raise Refused, as a tool does."""
    try:
        return action(*arguments)
    except Refused as refused:
        raise ToolError(str(refused)) from None
