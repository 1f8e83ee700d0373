"""The simulated microphone: a stream in real time, stamped by its samples."""
import threading
import time

from async_agent_ros.demo.microphone import BLOCK, RATE, SpeechMicrophone
from async_agent_ros.msg import Audio
from async_agent_ros.nodes import qos
from async_agent_ros.nodes.node_base import to_ns
from async_agent_ros.record.stereo import Track
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor


@pytest.fixture
def heard():
    """Yield a microphone and the blocks that a subscriber gets."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('person', namespace='/agent', context=context)
    blocks = []
    node.create_subscription(Audio, 'audio_in', blocks.append, qos.AUDIO)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)

    spinner = threading.Thread(target=spin)
    spinner.start()
    microphone = SpeechMicrophone(node)
    microphone.start()
    deadline = time.monotonic() + 20
    while not blocks:
        assert time.monotonic() < deadline, 'no audio'
        time.sleep(0.01)
    yield microphone, blocks
    microphone.close()
    stop.set()
    spinner.join()
    executor.shutdown()
    rclpy.shutdown(context=context)


def test_a_line_is_dated_by_its_first_and_last_sound(heard):
    microphone, blocks = heard
    samples = np.zeros(RATE, np.int16)
    samples[1600:14400] = 8000
    line = microphone.say('a tone', samples)
    assert line.done.wait(10)
    assert (line.end_ns - line.onset_ns) / 1e9 == pytest.approx(0.8, abs=0.001)
    last = line.end_ns + 50_000_000
    deadline = time.monotonic() + 10
    while to_ns(blocks[-1].stamp) < last:
        assert time.monotonic() < deadline, 'the stream has ended'
        time.sleep(0.01)
    track = Track()
    for block in list(blocks):
        track.add(block)
    onset, end = track.sounds()[0]
    assert abs(onset - line.onset_ns) < 30_000_000 and abs(end - line.end_ns) < 30_000_000


def test_stamps_follow_the_samples(heard):
    _, blocks = heard
    deadline = time.monotonic() + 10
    while len(blocks) < 20:
        assert time.monotonic() < deadline, 'the stream has ended'
        time.sleep(0.01)
    for before, after in zip(blocks, blocks[1:]):
        steps = (after.first_sample - before.first_sample) / RATE
        assert (to_ns(after.stamp) - to_ns(before.stamp)) / 1e9 == pytest.approx(steps, abs=1e-6)
    assert all(len(block.data) == BLOCK for block in blocks)
