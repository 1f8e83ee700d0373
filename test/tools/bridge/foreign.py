"""Servers of a robot that knows nothing of this project: plain rclpy, in a process of its own."""
import os
import signal
import sys
import threading
import time

from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
import rclpy
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import BatteryState, Image
from std_msgs.msg import String
from std_srvs.srv import SetBool
from test_msgs.action import Fibonacci


class Mortal:
    """An action with feedback."""

    def __init__(self, action):
        self.node = rclpy.create_node('robot')
        self.group = ReentrantCallbackGroup()
        self.action = ActionServer(
            self.node, Fibonacci, action, self.execute, callback_group=self.group,
            cancel_callback=lambda _: CancelResponse.ACCEPT)

    def execute(self, goal):
        """
        Order n: n terms. -1: aborts. 1000: until it is cancelled. 99: ignores every cancel.

        777: feedback of 200,000 numbers, ten times.
        """
        order = goal.request.order
        result = Fibonacci.Result(sequence=[0, 1])
        if order < 0:
            goal.abort()
            return result
        feedback = Fibonacci.Feedback(sequence=[0, 1])
        if order == 777:
            feedback.sequence = list(range(200_000))
            for _ in range(10):
                goal.publish_feedback(feedback)
                time.sleep(0.02)
            goal.succeed()
            return result
        steps = 0
        while len(result.sequence) < order:
            steps += 1
            if len(result.sequence) < 40:
                result.sequence.append(result.sequence[-1] + result.sequence[-2])
            feedback.sequence = result.sequence
            goal.publish_feedback(feedback)
            if goal.is_cancel_requested:
                if order == 99:
                    break
                goal.canceled()
                return result
            time.sleep(0.02)
        goal.succeed()
        return result


class Robot(Mortal):
    """The same, a service, and topics of all kinds."""

    def __init__(self):
        super().__init__('/fibonacci')
        group = self.group
        self.node.create_service(SetBool, '/light', self.light, callback_group=group)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.battery = self.node.create_publisher(BatteryState, '/battery', latched)
        self.battery.publish(BatteryState(percentage=0.5, temperature=float('nan'), voltage=24.1,
                                          power_supply_status=2))
        self.odometry = self.node.create_publisher(Odometry, '/odom', qos_profile_sensor_data)
        self.image = self.node.create_publisher(Image, '/image', qos_profile_sensor_data)
        self.heard = self.node.create_publisher(String, '/heard', 10)
        self.node.create_subscription(Twist, '/cmd_vel', self.on_twist, 10, callback_group=group)
        self.node.create_timer(0.05, self.tick, callback_group=group)
        self.twists = []

    def light(self, request, response):
        response.success = request.data
        response.message = 'the light is on' if request.data else 'the bulb is loose'
        return response

    def tick(self):
        odometry = Odometry(child_frame_id='base_link')
        odometry.header.frame_id = 'odom'
        odometry.pose.pose.position.x = 1.5
        odometry.pose.pose.orientation.z = odometry.pose.pose.orientation.w = 0.5 ** 0.5
        self.odometry.publish(odometry)
        self.image.publish(Image(width=320, height=240, encoding='rgb8', step=960,
                                 data=bytes(320 * 240 * 3)))

    def on_twist(self, twist):
        self.twists.append(round(twist.linear.x, 3))
        self.heard.publish(String(data=' '.join(map(str, self.twists))))


if __name__ == '__main__':
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    robot = Mortal(sys.argv[1]) if len(sys.argv) > 1 else Robot()
    executor = MultiThreadedExecutor(4)
    executor.add_node(robot.node)
    print('ready', flush=True)
    while not stop.is_set():
        executor.spin_once(timeout_sec=0.1)
    robot.action.destroy()    # so that it leaves the graph at once
    robot.node.destroy_node()
    os._exit(0)    # whatever goal still runs
