"""
What rclpy itself costs on this machine, now: the floor below the agent's own figures.

Two processes with a node each and nothing else; one answers a topic and serves an ExecuteTool
action. Run as a module it is that other process.
"""
import os
import random
import subprocess
import sys
import time
from typing import Dict, List

import rclpy
from rclpy.action import ActionClient, ActionServer
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String

from async_agent_ros.action import ExecuteTool
from async_agent_ros.demo.session import choose_domain
from async_agent_ros.nodes import qos

READY_S = 20.0
WARM_UP = 5


class BareTimeoutError(Exception):
    """The other process did not answer. The message says what was waited for."""


def measure(count: int) -> Dict[str, List[float]]:
    """Return `count` samples each of `hop_ms` (one way) and `accept_ms` (goal to acceptance)."""
    choose_domain(os.environ)
    other = subprocess.Popen([sys.executable, '-m', __spec__.name], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node('bare', context=context, enable_rosout=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        return _measure(node, executor, count)
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
        other.terminate()
        other.wait(10.0)


def _measure(node, executor, count):
    came = []
    there = node.create_publisher(String, 'there', qos.EVENT)
    node.create_subscription(String, 'back', lambda m: came.append(time.perf_counter()), qos.EVENT)
    action = ActionClient(node, ExecuteTool, 'bare_tool')

    def until(what, condition, seconds):
        end_s = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end_s:
                raise BareTimeoutError(f'{what} did not come within {seconds:g} s')
            executor.spin_once(timeout_sec=0.1)

    until('the other process', lambda: action.server_is_ready()
          and there.get_subscription_count() and node.count_publishers('back'), READY_S)
    found: Dict[str, List[float]] = {'hop_ms': [], 'accept_ms': []}
    for _ in range(count + WARM_UP):
        time.sleep(random.uniform(0.03, 0.1))    # as cold as between the turns of a conversation
        came.clear()
        began_s = time.perf_counter()
        there.publish(String(data='x' * 200))
        until('an answer', lambda: came, 5.0)
        found['hop_ms'].append((came[0] - began_s) / 2 * 1e3)
        accepted, ended = [], []

        def on_accepted(future):
            accepted.append(time.perf_counter())
            future.result().get_result_async().add_done_callback(ended.append)

        began_s = time.perf_counter()
        action.send_goal_async(ExecuteTool.Goal()).add_done_callback(on_accepted)
        until('a result', lambda: ended, 5.0)
        found['accept_ms'].append((accepted[0] - began_s) * 1e3)
    return {name: values[WARM_UP:] for name, values in found.items()}


def main() -> None:
    """Answer."""
    rclpy.init()
    node = Node('bare_other', enable_rosout=False)
    back = node.create_publisher(String, 'back', qos.EVENT)
    node.create_subscription(String, 'there', back.publish, qos.EVENT)

    def execute(goal):
        goal.succeed()
        return ExecuteTool.Result()

    ActionServer(node, ExecuteTool, 'bare_tool', execute_callback=execute, result_timeout=1)
    try:
        rclpy.spin(node, SingleThreadedExecutor())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


if __name__ == '__main__':
    main()
