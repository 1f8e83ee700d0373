"""Simulated time through the whole agent: what waits, waits by /clock."""
import json
import threading

from live_agent import LiveAgent
import pytest
from rosgraph_msgs.msg import Clock

S = 1_000_000_000
BEGIN_S = 5000
RULES = [
    {'user': 'kitchen', 'say': 'CALL {"name": "navigate_to", "arguments": {"place": "kitchen"}}'},
    {'user': 'hello', 'say': 'Good evening.'},
    {'user': 'remind me',
     'say': 'CALL {"name": "set_timer", "arguments": {"after_s": 600, "text": "drink water"}}'},
    {'notification': '"set_timer".*succeeded', 'say': 'It is time to drink water.'},
    {'notification': '"navigate_to".*succeeded', 'say': 'I am in the kitchen.'},
    {'notification': '.', 'say': ''}]


class SimulatedClock:
    """Publishes /clock a hundred times a second; stands until it is told to run."""

    def __init__(self, node):
        self.now_ns, self.rate = BEGIN_S * S, 0.0
        self._publisher = node.create_publisher(Clock, '/clock', 10)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._end.wait(0.01):
            self.now_ns += int(self.rate * 0.01 * S)
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(self.now_ns, S)
            self._publisher.publish(message)

    def close(self):
        """Stop publishing."""
        self._end.set()
        self._thread.join()


@pytest.fixture
def world(tmp_path):
    """Yield an agent whose nodes live by a simulated clock, and that clock."""
    script = tmp_path / 'script.json'
    script.write_text(json.dumps({'rules': RULES, 'fallback': 'Hm.'}))
    with LiveAgent(tmp_path, use_sim_time=True,
                   more={'dispatcher': {'script': str(script)}}) as agent:
        clock = SimulatedClock(agent.node)
        agent.wait_ready()
        yield agent, clock
        clock.close()


def test_the_clock_of_the_simulation_is_the_clock_of_the_agent(world):
    agent, clock = world
    # the clock stands: orders are taken and words answered, but nothing moves
    asked = agent.say('go to the kitchen')
    drive = agent.wait_entry('call', name='navigate_to', after=asked)
    agent.wait_entry('notification', 'accepted', call_id=drive.call_id)
    asked = agent.say('hello')
    agent.wait_entry('assistant', 'Good evening.', after=asked)
    assert drive.stamp_ns == BEGIN_S * S
    assert not agent.find('result', call_id=drive.call_id)
    # it runs, thirty times as fast as ours: the drive takes its time by it
    clock.rate = 30.0
    arrived = agent.wait_entry('result', call_id=drive.call_id)
    took_s = (arrived.stamp_ns - drive.stamp_ns) / S
    result = arrived.data
    assert result['result']['duration_s'] == pytest.approx(took_s, abs=8.0)
    assert result['result']['distance_m'] / 0.8 <= took_s
    assert result['elapsed_s'] == pytest.approx(took_s, abs=8.0)
    agent.wait_entry('assistant', 'I am in the kitchen.', after=arrived.seq)
    # a timer of ten minutes
    clock.rate = 120.0
    asked = agent.say('remind me')
    timer = agent.wait_entry('commit', name='set_timer', after=asked)
    up = agent.wait_entry('result', 'drink water', call_id=timer.call_id)
    assert up.stamp_ns - timer.stamp_ns == pytest.approx(600 * S, abs=30 * S)
    agent.wait_entry('assistant', 'time to drink water', after=up.seq)
    assert all(e.stamp_ns <= clock.now_ns + S for e in agent.entries.values())
