"""sim_robot: a simulated mobile manipulator that offers its abilities as tools."""
import math

from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import SetParametersResult
from sensor_msgs.msg import BatteryState

from async_agent_ros.bringup import config_file
from async_agent_ros.nodes.node_base import after_setting, declare, Diagnostics, OK, run_node
from async_agent_ros.nodes.node_base import WARN
from async_agent_ros.tools.server import ToolServer
from async_agent_ros.tools.sim.map import load_map
from async_agent_ros.tools.sim.simulation import Simulation
from async_agent_ros.tools.sim.tools import build_tools
from async_agent_ros.tools.sim.world import World

IDLE_PERIODS = 5
"""While nothing moves, only every fifth tick is published."""


class SimRobot(ToolServer):
    """
    A robot in a world of named rooms.

    Publishes ~/pose (geometry_msgs/PoseStamped, frame map) and ~/battery
    (sensor_msgs/BatteryState), at publish_rate_hz while it moves and a fifth of that else.
    """

    def __init__(self, name: str = 'sim_robot', **node_options):
        super().__init__(name, **node_options)
        path = declare(self, 'map_file', '', 'YAML file of rooms, doors and objects; empty: the '
                       "package's config/sim_map.yaml", read_only=True)
        speed = declare(self, 'speed', 0.8, 'Driving speed in m/s', minimum=0.1, maximum=2.0)
        scale = declare(self, 'time_scale', 1.0, 'Seconds of the world per second of the clock; '
                        '1.0 but in tests', minimum=0.1, maximum=1000.0, read_only=True)
        rate = declare(self, 'publish_rate_hz', 2.0, 'Rate of ~/pose and ~/battery while moving',
                       minimum=0.1, maximum=20.0, read_only=True)
        battery = declare(self, 'battery_percent', -1.0, 'Charge to set, in percent; '
                          'negative: leave it', minimum=-1.0, maximum=100.0)
        blocked = declare(self, 'blocked', [''], 'Doors that cannot be passed, by name')
        arm_fails = declare(self, 'arm_fails', False, 'Every grip slips')
        sim_map = load_map(path or config_file('sim_map.yaml'))
        self._world = World(sim_map, speed_m_s=speed)
        self.simulation = Simulation(self._world, self.clock, time_scale=scale)
        problem = self._check('blocked', blocked)
        if problem:
            raise ValueError(problem)
        self._apply({'battery_percent': battery, 'blocked': blocked, 'arm_fails': arm_fails})
        self.add_tools(*build_tools(self.simulation))
        after_setting(self, lambda parameters: self._apply(
            {p.name: p.value for p in parameters}))
        self.add_on_set_parameters_callback(self._on_set)
        self._pose_publisher = self.create_publisher(PoseStamped, '~/pose', 10)
        self._battery_publisher = self.create_publisher(BatteryState, '~/battery', 10)
        self._ticks = 0
        self._timer = self.create_timer(1.0 / rate, self._tick)
        self._diagnostics = Diagnostics(self, self._status)

    def _check(self, name, value):
        if name == 'blocked':
            unknown = [v for v in value if v and v not in self._world.map.doors]
            if unknown:
                return (f'there is no door {unknown[0]!r}; doors are '
                        f'{", ".join(self._world.map.doors)}')
        return ''

    def _on_set(self, parameters):
        problems = [p for p in (self._check(p.name, p.value) for p in parameters) if p]
        return SetParametersResult(successful=not problems, reason='; '.join(problems))

    def _apply(self, values):
        with self.simulation.world() as world:
            if values.get('battery_percent', -1.0) >= 0.0:
                world.battery_percent = values['battery_percent']
            if 'blocked' in values:
                world.blocked = {v for v in values['blocked'] if v}
            if 'arm_fails' in values:
                world.arm_fails = values['arm_fails']
            if 'speed' in values:
                world.speed_m_s = values['speed']

    def _tick(self):
        with self.simulation.world() as world:
            moving = world.moving
            position, yaw = world.position, world.yaw_rad
            percent, docked = world.battery_percent, world.docked
        self._ticks += 1
        if not moving and self._ticks % IDLE_PERIODS:
            return
        stamp = self.get_clock().now().to_msg()
        pose = PoseStamped()
        pose.header.stamp, pose.header.frame_id = stamp, 'map'
        pose.pose.position.x, pose.pose.position.y = position
        pose.pose.orientation.z = math.sin(yaw / 2.0)
        pose.pose.orientation.w = math.cos(yaw / 2.0)
        self._pose_publisher.publish(pose)
        battery = BatteryState(
            percentage=percent / 100.0, present=True, voltage=math.nan, current=math.nan,
            charge=math.nan, capacity=math.nan, design_capacity=math.nan,
            temperature=math.nan, location='base',
            power_supply_status=(BatteryState.POWER_SUPPLY_STATUS_CHARGING if docked
                                 else BatteryState.POWER_SUPPLY_STATUS_DISCHARGING))
        battery.header.stamp = stamp
        self._battery_publisher.publish(battery)

    def _status(self):
        with self.simulation.world() as world:
            values = {'battery_percent': round(world.battery_percent, 1), 'place': world.where(),
                      'moving': world.moving, 'holding': world.held or 'nothing',
                      'running_calls': self.running_calls, 'time_scale': self.simulation.time_scale}
            low = world.battery_percent < 10.0
        return (WARN, 'battery low', values) if low else (OK, 'ready', values)


def main(args=None):
    """Run the node."""
    run_node(SimRobot, args)


if __name__ == '__main__':
    main()
