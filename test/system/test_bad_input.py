"""Bad input is answered by name and remedy, and the agent goes on: real processes, over DDS."""
import json
import os
import signal
import subprocess
import sys

from live_agent import LiveAgent
import pytest

from async_agent_ros.core.words import Error

SCRIPT = r"""
tokens_per_s: 200.0
fallback: I follow a script.
rules:
- user: 'fly'
  say: 'CALL {"name": "fly_to", "arguments": {"place": "moon"}}'
- user: 'broken'
  say: 'CALL {"name": "navigate_to", "arguments": {"place":'
- user: 'wrong'
  say: 'CALL {"name": "navigate_to", "arguments": {"place": 7}}'
- user: 'atlantis'
  say: 'CALL {"name": "navigate_to", "arguments": {"place": "atlantis"}}'
- user: 'battery'
  say: 'CALL {"name": "get_battery", "arguments": {}}'
- user: 'drive'
  say: 'CALL {"name": "navigate_to", "arguments": {"place": "kitchen"}}'
- user: 'hello'
  say: Hello there.
- notification: '.'
  say: I see.
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / 'script.yaml'
    path.write_text(SCRIPT)
    return {'dispatcher': {'script': str(path)}}


def still_talks(live):
    asked = live.say('hello')
    live.wait_entry('assistant', 'Hello there', after=asked)


def test_nonsense_of_the_model_is_answered_by_name(tmp_path, script):
    with LiveAgent(tmp_path, more=script) as live:
        live.wait_ready()
        asked = live.say('please fly')
        result = live.wait_entry('result', after=asked)
        assert result.data['error_code'] == Error.UNKNOWN_TOOL
        assert 'fly_to' in result.content and 'navigate_to' in result.content

        asked = live.say('something broken')
        rejected = live.wait_entry('notification', after=asked, name='rejected_output')
        assert rejected.data['text'] and 'navigate_to' in rejected.data['raw']

        asked = live.say('something wrong')
        result = live.wait_entry('result', after=asked)
        assert result.data['error_code'] == Error.INVALID_ARGUMENTS
        assert 'place' in result.data['error_msg']

        asked = live.say('go to atlantis')
        result = live.wait_entry('result', after=asked)
        assert result.status == 'failed' and 'kitchen' in result.data['error_msg']
        still_talks(live)


def test_without_a_model_the_agent_says_how_to_get_one(tmp_path):
    with LiveAgent(tmp_path, engine='llama_cpp', model='qwen2.5-coder-0.5b',
                   env={'ASYNC_AGENT_MODELS': str(tmp_path / 'none')}) as live:
        live.wait_entry('system', '"navigate_to"', timeout_s=40.0)
        live.wait('dispatcher', lambda: any('no language model' in line for line in live.log))
        asked = live.say('hello')
        error = live.wait_entry('notification', after=asked, name='error', timeout_s=40.0)
        assert 'async-agent models get' in error.content
        live.wait_entry('assistant', 'no language model', after=asked)


def test_on_a_full_disk_the_agent_talks_and_changes_nothing(tmp_path, script):
    limited = tmp_path / 'limited.py'
    limited.write_text('import resource\n'
                       'resource.setrlimit(resource.RLIMIT_FSIZE, (24_000, 24_000))\n'
                       'from async_agent_ros.nodes.dialog_manager import main\n'
                       'main()\n')
    with LiveAgent(tmp_path, nodes='dispatcher,sim_robot', more=script) as live:
        manager = subprocess.Popen(
            [sys.executable, str(limited), '--ros-args', '-r', '__ns:=/agent', '-p',
             f'ledger_dir:={tmp_path / "ledger"}'],
            env={**os.environ, 'ROS_DOMAIN_ID': str(live.domain)}, stderr=subprocess.PIPE,
            text=True)
        try:
            live.wait_ready()
            while live.find('notification', 'cannot write the ledger') is None:
                still_talks(live)
            note = live.find('notification', 'cannot write the ledger')
            assert 'free space' in note.content and '.journal.jsonl' in note.content
            asked = live.say('drive')
            result = live.wait_entry('result', after=asked)
            assert result.data['error_code'] == Error.LEDGER_UNAVAILABLE
            asked = live.say('battery')
            assert live.wait_entry('result', after=asked).status == 'succeeded'
            still_talks(live)
        finally:
            manager.send_signal(signal.SIGINT)
            log = manager.communicate(timeout=20)[1]
        assert 'cannot write the ledger' in log
    path = next((tmp_path / 'ledger').glob('*.jsonl'))
    for line in path.read_text().splitlines():
        json.loads(line)    # nothing that was recorded is torn


@pytest.mark.parametrize('node,parameter,named', [
    ('dialog_manager', 'resume:=perhaps', 'resume'),
    ('dispatcher', 'engine:=magic', 'engine'),
    ('dispatcher', 'threads:=-3', 'threads'),
    ('asr', 'source:=telepathy', 'source'),
])
def test_a_wrong_parameter_is_named(node, parameter, named):
    done = subprocess.run(
        [sys.executable, '-m', f'async_agent_ros.nodes.{node}', '--ros-args', '-p', parameter],
        capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert named in done.stderr and 'Traceback' not in done.stderr
