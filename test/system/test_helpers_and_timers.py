"""Helpers, timers and chained calls: all processes, over DDS, scripted engine."""
import json
import signal

from live_agent import LiveAgent
import pytest

RULES = [
    {'user': 'now a helper',
     'say': 'CALL {"name": "find_object", "arguments": {"object": "cup"}}'},
    {'prompt': 'now a helper', 'notification': 'find_object',
     'say': 'The cup is in the kitchen.'},
    {'user': 'look for the cup', 'say': 'I have somebody look. \n'
     'CALL {"name": "fork", "arguments": {"task": "Find the cup."}}'},
    {'user': 'remind me',
     'say': 'CALL {"name": "set_timer", "arguments": '
            '{"after": "3 seconds", "text": "drink water"}}'},
    {'user': 'fetch', 'say':
     'CALL {"id": "f", "name": "find_object", "arguments": {"object": "cup"}}\n'
     'CALL {"name": "navigate_to", "arguments": {"place": "$f.place"}}'},
    {'notification': '"fork".*succeeded', 'say': 'My helper says that it is in the kitchen.'},
    {'notification': '"set_timer".*accepted', 'say': 'I will remind you.'},
    {'notification': '"set_timer".*succeeded', 'say': 'It is time to drink water.'},
    {'notification': '.', 'say': ''}]


@pytest.fixture
def agent(tmp_path):
    path = tmp_path / 'script.json'
    path.write_text(json.dumps({'rules': RULES, 'fallback': 'Hm.'}))
    with LiveAgent(tmp_path, more={'dispatcher': {'script': str(path)}}) as live:
        live.wait_ready()
        yield live


def test_a_helper_works_while_the_person_is_answered(agent):
    asked = agent.say('look for the cup')
    fork = agent.wait_entry('fork', after=asked)
    agent.wait('the helper in the state', lambda: any(
        fork.instance in s.instances for s in agent.states))
    end = agent.wait_entry('end', after=fork.seq, instance=fork.instance, generation_id=0)
    assert end.status == 'succeeded'
    result = agent.wait_entry('result', after=fork.seq, name='fork')
    assert 'kitchen' in result.data['result']['report'] and result.instance == 'main'
    agent.wait_entry('assistant', 'My helper says', after=result.seq)
    silent = agent.find('assistant', 'The cup is in the kitchen', after=fork.seq)
    assert silent.instance == fork.instance


def test_a_timer_survives_the_death_of_the_manager(agent):
    agent.say('remind me')
    agent.wait_entry('assistant', 'I will remind you')
    timer = agent.wait_entry('commit', name='set_timer')
    pid = agent.supervisor.kill('dialog_manager', signal.SIGKILL)
    agent.supervisor.wait_for_new_pid('dialog_manager', pid, timeout_s=15.0)
    result = agent.wait_entry('result', 'drink water', after=timer.seq, name='set_timer')
    assert result.status == 'succeeded' and result.stamp_ns - timer.stamp_ns >= 3 * 10**9
    agent.wait_entry('assistant', 'time to drink water', after=result.seq)


def test_a_call_takes_the_result_of_another(agent):
    asked = agent.say('fetch')
    commit = agent.wait_entry('commit', after=asked, name='navigate_to')
    found = agent.wait_entry('result', after=asked, name='find_object')
    assert commit.seq > found.seq
    assert commit.data['arguments'] == {'place': found.data['result']['place']}
    agent.wait_entry('notification', 'accepted', after=commit.seq, call_id=commit.call_id)
