"""/diagnostics: a status of every node, with what one asks when the agent is slow or silent."""
from diagnostic_msgs.msg import DiagnosticArray
from live_agent import LiveAgent
import pytest

from async_agent_ros import models

WANTED = {
    'asr': {'recognizer', 'source', 'last_recognition_ms', 'echo', 'lost_samples'},
    'tts': {'voice', 'device', 'sinks', 'queue', 'last_first_sound_ms', 'underruns'},
    'dialog_manager': {'state', 'queue', 'tools', 'tool servers', 'last_response_s',
                       'last_first_token_s', 'running calls', 'journal'},
    'dispatcher': {'engine', 'model', 'device', 'unfinished generations', 'last_first_token_s',
                   'last_tokens_per_s', 'running calls'},
    'sim_robot': {'running_calls', 'battery_percent', 'place'}}
LATEST = {('tts', 'last_first_sound_ms'), ('dialog_manager', 'last_response_s'),
          ('dialog_manager', 'last_first_token_s'), ('dispatcher', 'last_first_token_s'),
          ('dispatcher', 'last_tokens_per_s')}


@pytest.fixture
def agent(tmp_path):
    """Yield an agent with ears and a voice, heard and spoken to through topics."""
    for name in ('whisper-tiny.en', 'piper-joe'):
        try:
            models.find(name)
        except models.ModelMissingError as error:
            pytest.skip(str(error))
    with LiveAgent(tmp_path, nodes='all', audio_in='topic', audio_out='topic') as live:
        live.statuses = {}

        def note(array):
            for status in array.status:
                live.statuses[status.name.rsplit('/', 1)[-1]] = {
                    v.key: v.value for v in status.values}
        live.node.create_subscription(DiagnosticArray, '/diagnostics', live._noting(note), 10)
        live.wait_ready()
        yield live


def test_every_node_says_how_it_is(agent):
    agent.wait('all nodes', lambda: set(WANTED) <= set(agent.statuses), 40.0)
    agent.wait('a voice', lambda: 'piper' in agent.statuses['tts'].get('voice', ''), 40.0)
    agent.wait('ears', lambda: {'lost_samples'} <= set(agent.statuses['asr']), 40.0)
    asked = agent.say('tell me about yourself')
    agent.wait_entry('assistant', 'robot', after=asked)
    agent.wait('the latest figures', lambda: all(
        agent.statuses[node].get(key, 'none') != 'none' for node, key in LATEST))
    for node, keys in WANTED.items():
        assert keys <= set(agent.statuses[node]), (node, keys - set(agent.statuses[node]))
    assert 'sim_robot' in agent.statuses['dialog_manager']['tool servers']
    assert float(agent.statuses['dispatcher']['last_tokens_per_s']) > 1.0
    assert 0.0 <= float(agent.statuses['dialog_manager']['last_response_s']) < 60.0
