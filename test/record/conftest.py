"""A ROS domain of this process's own, and a node with publishers."""
import os
import sys
import threading
import time

os.environ.setdefault('ROS_DOMAIN_ID', str(10 + os.getpid() % 90))
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')

# sample_run.py lies beside; with pytest's import mode `importlib` nothing else finds it.
sys.path.insert(0, os.path.dirname(__file__))

import pytest  # noqa: E402
import rclpy  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402


@pytest.fixture
def ros_node():
    """Yield a node that a thread spins."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('peer', namespace='/agent', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin)
    thread.start()
    yield node
    stop.set()
    thread.join()
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def wait_until():
    """Return a function that waits for a condition, 20 s at most, and fails naming it."""
    def wait(condition, what, timeout_s=20.0):
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f'{what}: not within {timeout_s} s'
            time.sleep(0.01)
    return wait
