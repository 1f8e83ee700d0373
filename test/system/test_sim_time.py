"""Simulated time through the whole agent: what waits, waits by /clock."""
import json
import threading

from diagnostic_msgs.msg import DiagnosticArray
from live_agent import LiveAgent
import pytest
from rosgraph_msgs.msg import Clock

S = 1_000_000_000
BEGIN_S = 5000
RULES = [
    {'user': 'kitchen', 'say': 'CALL {"name": "navigate_to", "arguments": {"place": "kitchen"}}'},
    {'user': 'hello', 'say': 'Good evening.'},
    {'user': 'remind me',
     'say': 'CALL {"name": "set_timer", "arguments": '
            '{"after": "10 minutes", "text": "drink water"}}'},
    {'notification': '"set_timer".*succeeded', 'say': 'It is time to drink water.'},
    {'notification': '"navigate_to".*succeeded', 'say': 'I am in the kitchen.'},
    {'notification': '.', 'say': ''}]


class SimulatedClock:
    """Publishes /clock a hundred times a second; it runs to where it is sent and stands there."""

    def __init__(self, node):
        self.now_ns = BEGIN_S * S
        self._until_ns, self._step_ns = self.now_ns, 0
        self._publisher = node.create_publisher(Clock, '/clock', 10)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def run_to(self, time_s, rate):
        """Run to a time in s, `rate` times as fast as ours, and stand there."""
        self._step_ns, self._until_ns = int(rate * 0.01 * S), int(time_s * S)

    def _run(self):
        while not self._end.wait(0.01):
            self.now_ns = min(self.now_ns + self._step_ns, self._until_ns)
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
        stamps_s = {}

        def note(array):
            stamps_s[array.status[0].name] = array.header.stamp.sec
        agent.node.create_subscription(DiagnosticArray, '/diagnostics', agent._noting(note), 10)
        clock = SimulatedClock(agent.node)
        agent.wait_ready()
        # discovery may take seconds: a node that has no clock yet is at time 0
        agent.wait('the clock in every node', lambda: len(stamps_s) >= 3
                   and all(s == BEGIN_S for s in stamps_s.values()))
        yield agent, clock
        clock.close()


def heard(agent):
    """Wait until what was said before, and what it led to, has gone through the whole agent."""
    asked = agent.say('hello')
    return agent.wait_entry('assistant', 'Good evening.', after=asked)


def test_the_clock_of_the_simulation_is_the_clock_of_the_agent(world):
    # The clock stands wherever something is looked at: a busy machine changes no number here.
    agent, clock = world
    asked = agent.say('go to the kitchen')
    drive = agent.wait_entry('call', name='navigate_to', after=asked)
    agent.wait_entry('notification', 'accepted', call_id=drive.call_id)
    # orders are taken and words answered, but nothing moves
    heard(agent)
    assert drive.stamp_ns == BEGIN_S * S
    clock.run_to(BEGIN_S + 4.0, rate=30.0)
    agent.wait('a robot that is on its way', lambda: agent.states[-1].calls
               and agent.states[-1].calls[0].progress > 0.3)
    heard(agent)
    assert not agent.find('result', call_id=drive.call_id), 'the kitchen is eight seconds away'
    clock.run_to(BEGIN_S + 60.0, rate=30.0)
    arrived = agent.wait_entry('result', call_id=drive.call_id)
    took_s = (arrived.stamp_ns - drive.stamp_ns) / S
    result = arrived.data
    assert arrived.status == 'succeeded'
    assert result['result']['duration_s'] == pytest.approx(
        result['result']['distance_m'] / 0.8, abs=0.2)
    assert 0.0 < took_s <= 60.0 and result['elapsed_s'] == pytest.approx(took_s, abs=0.1)
    clock.run_to(BEGIN_S + 100.0, rate=30.0)
    agent.wait_entry('assistant', 'I am in the kitchen.', after=arrived.seq)
    # a timer of ten minutes
    asked = agent.say('remind me')
    timer = agent.wait_entry('commit', name='set_timer', after=asked)
    set_s = timer.stamp_ns / S
    clock.run_to(set_s + 599.0, rate=120.0)
    agent.wait('the last second', lambda: clock.now_ns == int((set_s + 599.0) * S))
    heard(agent)
    assert not agent.find('result', call_id=timer.call_id), 'it has a second to go'
    clock.run_to(set_s + 610.0, rate=120.0)
    up = agent.wait_entry('result', 'drink water', call_id=timer.call_id)
    assert 600 * S <= up.stamp_ns - timer.stamp_ns <= 610 * S
    clock.run_to(set_s + 650.0, rate=30.0)
    agent.wait_entry('assistant', 'time to drink water', after=up.seq)
    assert all(e.stamp_ns <= clock.now_ns for e in agent.entries.values())
