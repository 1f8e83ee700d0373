"""sim_robot as a process of its own: its tools, topics and parameters over DDS."""
import json
import signal
import subprocess
import sys
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import BatteryState

from async_agent_ros.msg import CallCommand, CallEvent
from async_agent_ros.tools.executor import CallExecutor


NODE = [sys.executable, '-m', 'async_agent_ros.nodes.sim_robot']
SERVER = '/agent/sim_robot'


class Operator:
    """Calls tools of the robot and listens to its topics."""

    def __init__(self):
        self.context = rclpy.Context()
        self.context.init()
        self.node = rclpy.create_node('operator', namespace='agent', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.events, self.poses, self.batteries, self.statuses = [], [], [], []
        self.calls = CallExecutor(self.node, self.events.append)
        self.node.create_subscription(PoseStamped, 'sim_robot/pose', self.poses.append, 10)
        self.node.create_subscription(BatteryState, 'sim_robot/battery', self.batteries.append, 10)
        self.node.create_subscription(
            DiagnosticArray, '/diagnostics',
            lambda m: self.statuses.extend(s for s in m.status if s.hardware_id == SERVER), 10)
        self.ids = 0

    def until(self, condition, seconds=20.0):
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            value = condition()
            if value:
                return value
            self.executor.spin_once(timeout_sec=0.05)
        raise AssertionError(f'not within {seconds} s; events: {self.events[-5:]}')

    def start(self, name, **arguments):
        self.ids += 1
        call_id = f'c{self.ids}'
        self.calls.handle(CallCommand(
            command=CallCommand.EXECUTE, session='s', call_id=call_id, name=name,
            action_name=f'{SERVER}/{name}', arguments_json=json.dumps(arguments)))
        self.until(lambda: [e for e in self.events if e.call_id == call_id])
        return call_id

    def cancel(self, call_id):
        self.calls.handle(CallCommand(command=CallCommand.CANCEL, session='s', call_id=call_id))

    def end(self, call_id):
        return self.until(lambda: [e for e in self.events if e.call_id == call_id
                                   and e.event == CallEvent.ENDED])[0]

    def call(self, name, **arguments):
        end = self.end(self.start(name, **arguments))
        assert end.status == 'succeeded', end.error_msg
        return json.loads(end.result_json)

    def set(self, name, value):
        client = self.node.create_client(SetParameters, 'sim_robot/set_parameters')
        self.until(client.service_is_ready)
        kind = {bool: (ParameterType.PARAMETER_BOOL, 'bool_value'),
                list: (ParameterType.PARAMETER_STRING_ARRAY, 'string_array_value'),
                float: (ParameterType.PARAMETER_DOUBLE, 'double_value')}[type(value)]
        request = SetParameters.Request(parameters=[Parameter(
            name=name, value=ParameterValue(type=kind[0], **{kind[1]: value}))])
        answers, asked_s = [], 0.0
        while not any(a.done() for a in answers):
            # A server that has found only half of a client sends its answer to nobody.
            if time.monotonic() - asked_s > 2.0:
                answers, asked_s = [*answers, client.call_async(request)], time.monotonic()
                assert len(answers) < 10
            self.executor.spin_once(timeout_sec=0.05)
        return next(a for a in answers if a.done()).result().results[0]


@pytest.fixture(scope='module')
def operator():
    child = subprocess.Popen([*NODE, '--ros-args', '-p', 'time_scale:=10.0'])
    it = Operator()
    try:
        it.until(lambda: it.calls.servers.get(SERVER))
        yield it
        child.send_signal(signal.SIGINT)
        assert child.wait(5.0) == 0
    finally:
        child.kill()
        child.wait()
        it.calls.close()
        it.executor.shutdown()
        it.node.destroy_node()
        it.context.try_shutdown()


def test_errands(operator):
    drive = operator.start('navigate_to', place='kitchen')
    assert operator.call('get_battery')['percent'] > 50.0, 'answered while it drives'
    end = operator.end(drive)
    assert json.loads(end.result_json)['arrived_at'] == 'kitchen'
    assert any('m left' in e.text for e in operator.events if e.call_id == drive)
    assert operator.call('pick_up', object='cup') == {'holding': 'cup'}
    assert operator.call('place', object='cup', where='counter')['on'] == 'counter'


def test_a_new_goal_preempts_the_old(operator):
    first = operator.start('navigate_to', place='garage')
    second = operator.start('navigate_to', place='bedroom')
    end = operator.end(first)
    assert end.status == 'cancelled' and 'pre-empted by a new goal' in end.error_msg
    operator.cancel(second)
    end = operator.end(second)
    assert end.status == 'cancelled' and 'stopped' in json.loads(end.result_json)


def test_parameters_switch_failures(operator):
    result = operator.set('blocked', ['no such door'])
    assert not result.successful and "no door 'no such door'" in result.reason
    doors = ['kitchen door', 'terrace door', 'living room door', 'bedroom door', 'garage door']
    operator.call('navigate_to', place='hallway')
    assert operator.set('blocked', doors).successful
    end = operator.end(operator.start('navigate_to', place='kitchen'))
    assert end.status == 'failed' and 'no free way' in end.error_msg
    assert operator.set('blocked', ['']).successful
    assert operator.set('battery_percent', 4.0).successful
    end = operator.end(operator.start('navigate_to', place='kitchen'))
    assert 'battery is too low' in end.error_msg
    assert operator.set('battery_percent', 90.0).successful


def test_topics_and_diagnostics(operator):
    pose = operator.until(lambda: operator.poses)[-1]
    assert pose.header.frame_id == 'map'
    battery = operator.until(lambda: operator.batteries)[-1]
    assert 0.0 < battery.percentage <= 1.0
    status = operator.until(lambda: operator.statuses)[-1]
    assert {'battery_percent', 'place', 'running_calls'} <= {v.key for v in status.values}


def test_a_wrong_map_ends_with_one_clear_line(tmp_path):
    file = tmp_path / 'map.yaml'
    file.write_text('rooms: {}')
    done = subprocess.run([*NODE, '--ros-args', '-p', f'map_file:={file}'],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert 'rooms is empty' in done.stderr and 'Traceback' not in done.stderr
