"""From typed sentences to a robot that knows nothing of this project, and back to words."""
import pathlib

from live_agent import LiveAgent
import pytest
from tool_graph import process

HERE = pathlib.Path(__file__).parent


@pytest.fixture
def agent(tmp_path, monkeypatch):
    with LiveAgent(tmp_path, sim_robot=False, bridge_file=str(HERE / 'robot.yaml'),
                   more={'dispatcher': {'script': str(HERE / 'conversation.yaml')}}) as live:
        monkeypatch.setenv('ROS_DOMAIN_ID', str(live.domain))
        with process(HERE / 'foreign.py') as robot:
            assert 'ready' in robot.stdout.readline()
            # its type was not in the file: it is found as soon as the robot runs
            live.wait_ready('switch_light')
            yield live


def test_a_sentence_reaches_action_topic_and_service_of_a_foreign_robot(agent):
    agent.say('count to twelve')
    result = agent.wait_entry('result', name='fibonacci')
    assert result.status == 'succeeded', result.content
    assert '55,89' in result.content.replace(' ', '')
    agent.wait_entry('assistant', 'The last number is 89.')
    asked = agent.say('what is your battery')
    agent.wait_entry('assistant', 'Half of the charge is left.', after=asked)
    asked = agent.say('light on please')
    agent.wait_entry('assistant', 'The light is on now.', after=asked)
    asked = agent.say('drive forward')
    call = agent.wait_entry('call', name='drive', after=asked)
    # It moves: a stop before the first order has nothing to stop.
    agent.wait('the drive', lambda: any(
        c.call_id == call.call_id and c.progress > 0.0 for c in agent.states[-1].calls))
    agent.say('stop')
    result = agent.wait_entry('result', call_id=call.call_id)
    assert result.status == 'cancelled' and 'stopped' in result.content
    assert 'not_installed' not in agent.transcript()
    assert any('refused' in line and 'nav2_msgs is not installed' in line for line in agent.log)
