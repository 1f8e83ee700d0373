"""
Commands to the simulated robot in disfluent speech: its own tools and world, a map of more things.

Reads take what they take on the simulated robot. A motion counts until the robot sets off (its goal
is accepted): how long it drives then is the same for everybody.
"""
from typing import Any, Dict, List, Mapping

from async_agent_ros.bench.workloads import Job, Refused
from async_agent_ros.core.tools import ToolSpec

READ_S = 0.05
"""Battery and pose: a message there and back."""


class _Frozen:
    """A clock for tools of which only the description is wanted."""

    @staticmethod
    def now_s() -> float:
        return 0.0


def _world(data: Mapping[str, Any]):
    from async_agent_ros.tools.sim.map import parse_map
    from async_agent_ros.tools.sim.world import World
    return World(parse_map(data['map']))


def specs(data: Mapping[str, Any]) -> List[ToolSpec]:
    """Return the descriptions of sim_robot's own tools, with this map's names."""
    from async_agent_ros.tools.sim.simulation import Simulation
    from async_agent_ros.tools.sim.tools import build_tools
    return [t.spec for t in build_tools(Simulation(_world(data), _Frozen()))]


class RobotWorld:
    """The simulated world, carried out on virtual time instead of in threads."""

    def __init__(self, world):
        self._world = world

    def begin(self, tool: str, arguments: Mapping[str, Any], now_s: float) -> Job:
        """Start a motion or a read; raises Refused as the robot does."""
        from async_agent_ros.tools.sim import tools, world as sim
        world = self._world
        world.advance(now_s)
        reads = {'look_around': tools.LOOK_S, 'find_object': tools.FIND_S,
                 'get_battery': READ_S, 'get_pose': READ_S}
        if tool in reads:
            return Job(tool, arguments, now_s + reads[tool])
        try:
            if tool in ('navigate_to', 'dock'):
                goal = world.map.dock if tool == 'dock' else arguments['place']
                motion = world.drive(goal, tool, dock=tool == 'dock')
                return Job(tool, arguments, now_s + world.seconds_left(motion) + 1e-6, motion)
            arm = world.start_arm(tool, arguments['object'], arguments.get('where', ''))
            return Job(tool, arguments, arm.until_s, arm)
        except sim.Refused as refused:
            raise Refused(str(refused)) from None

    def end(self, job: Job, now_s: float) -> Any:
        """Return what the robot has seen, or where it is now."""
        from async_agent_ros.tools.sim import world as sim
        world = self._world
        world.advance(now_s)
        if job.tool in ('pick_up', 'place'):
            try:
                world.finish_arm(job.detail)
            except sim.Refused as refused:
                raise Refused(str(refused)) from None
            return {'object': job.arguments['object']}
        if job.detail is not None:
            if job.detail.ended is not sim.End.ARRIVED:
                raise Refused(f'the drive ended as {job.detail.ended}')
            return {'arrived_at': job.detail.goal}
        return self._read(job.tool, job.arguments)

    def _read(self, tool: str, arguments: Mapping[str, Any]) -> Dict[str, Any]:
        world = self._world
        if tool == 'look_around':
            return {'place': world.room, 'objects': world.seen()}
        if tool == 'get_battery':
            return {'percent': round(world.battery_percent), 'charging': world.docked}
        if tool == 'get_pose':
            return {'place': world.room, 'moving': world.moving}
        thing = arguments['object']
        if world.held == thing:
            return {'object': thing, 'place': world.room, 'on': 'gripper'}
        return {'object': thing, 'place': world.objects[thing].room, 'on': world.objects[thing].on}

    def cancel(self, job: Job, now_s: float) -> None:
        """Stop the robot where it is."""
        self._world.advance(now_s)
        if job.tool in ('pick_up', 'place'):
            self._world.stop_arm(job.detail)
        elif job.detail is not None:
            self._world.stop(job.detail)

    def state(self) -> Any:
        """Return where everything is in the end; the charge depends on time and does not count."""
        world = self._world
        return {'room': world.room, 'moving': world.moving, 'docked': world.docked,
                'held': world.held,
                'objects': {name: [thing.room, thing.on]
                            for name, thing in sorted(world.objects.items())}}


def make_world(data: Mapping[str, Any], seed: int) -> RobotWorld:
    """Return the robot in its starting place; nothing is drawn."""
    return RobotWorld(_world(data))
