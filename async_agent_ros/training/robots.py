"""Whose tools are learned: the simulated robot's, those of a file, or those of a running agent."""
import pathlib
from typing import List, Optional

from async_agent_ros.bringup import config_file
from async_agent_ros.core.built_in import TOOLS as BUILT_IN
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.training.own_tools import read_catalogue
from async_agent_ros.training.paths import load_yaml
from async_agent_ros.training.synthesize import Robot
from async_agent_ros.training.tables import read_yaml, TableError


def sim_robot() -> Robot:
    """Return the simulated robot's tools and how people speak of them."""
    return Robot(sim_specs(), read_yaml('sim_robot.yaml'))


def sim_specs() -> List[ToolSpec]:
    """Return the simulated robot's tools; needs what the robot needs, no running node."""
    from async_agent_ros.tools.sim.map import load_map
    from async_agent_ros.tools.sim.simulation import Simulation
    from async_agent_ros.tools.sim.tools import build_tools
    from async_agent_ros.tools.sim.world import World

    class Clock:
        def now_s(self):
            return 0.0
    world = World(load_map(config_file('sim_map.yaml')))
    return [t.spec for t in build_tools(Simulation(world, Clock()))]


def live_specs(namespace: str = '/agent', wait_s: float = 5.0) -> List[ToolSpec]:
    """Return the tools that a running agent can call, without the agent's own."""
    import rclpy
    from async_agent_ros.srv import ListTools
    from async_agent_ros.tools.msgs import spec_from_msg
    context = rclpy.Context()
    context.init(args=None)
    node = rclpy.create_node('_async_agent_train', namespace=namespace, context=context,
                             enable_rosout=False, start_parameter_services=False)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        client = node.create_client(ListTools, 'list_tools')
        if not client.wait_for_service(timeout_sec=wait_s):
            raise TableError(f'no agent answers under {namespace}; start one with: async-agent up, '
                             'or give a file of tools')
        future = client.call_async(ListTools.Request())
        executor.spin_until_future_complete(future, timeout_sec=wait_s)
        if not future.done() or future.result() is None:
            raise TableError(f'{namespace}/list_tools does not answer; is dialog_manager alive?')
        specs = [spec_from_msg(m) for m in future.result().tools]
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
    return [s for s in specs if s.name not in BUILT_IN]


def robot_of(tools: str, phrases: Optional[str] = None, namespace: str = '/agent') -> Robot:
    """Return the robot that an option names: 'sim', 'live', 'none' or the path of a file."""
    if tools == 'none':
        return Robot()
    table = load_yaml(phrases) if phrases else None
    if tools == 'sim':
        robot = sim_robot()
        return Robot(robot.specs, table or robot.phrases)
    specs = live_specs(namespace) if tools == 'live' else read_catalogue(pathlib.Path(tools))
    if not specs:
        raise TableError(f'{tools}: there are no tools to learn')
    return Robot(specs, table or {})
