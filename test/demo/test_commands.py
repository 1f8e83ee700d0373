"""`run` and `chat` with the real nodes: real recogniser and voice, the script for a model."""
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace
import wave

from async_agent_ros import bringup
from async_agent_ros.commands import models as models_command
from async_agent_ros.demo.needs import (
    chosen_model, demo_models, have_models, MODEL, missing_models, needed_models)
from async_agent_ros.demo.session import choose_domain
from async_agent_ros.record.reader import BagReader
import pytest


def async_agent(*args, cwd, stdin='', timeout=300, **env):
    """Run the command line and return what came of it."""
    variables = {k: v for k, v in os.environ.items() if k != 'ROS_DOMAIN_ID'}
    return subprocess.run(
        [sys.executable, '-m', 'async_agent_ros.cli', *args], cwd=cwd, input=stdin, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
        env={**variables, **env})


def test_chat_through_a_pipe(tmp_path):
    result = async_agent('chat', '--engine', 'scripted', '-o', 'out', cwd=tmp_path,
                         stdin='What is your battery level?\n')
    assert result.returncode == 0, result.stdout
    assert 'you: What is your battery level?' in result.stdout
    assert re.search(r'robot: My battery is at \d+ percent', result.stdout), result.stdout
    entries = [json.loads(x) for x in (tmp_path / 'out' / 'ledger.jsonl').read_text().splitlines()]
    assert [e['seq'] for e in entries] == list(range(len(entries)))
    said = [e['content'] for e in entries if e['kind'] == 'assistant']
    assert 'battery' in said[-1]


@pytest.fixture
def speech_models():
    missing = missing_models(bringup.Settings(engine='scripted'))
    if missing:
        pytest.skip(f'get the models with: async-agent models get {" ".join(missing)}')
    pytest.importorskip('hibari')


def test_the_conversation_of_make_run_holds(tmp_path, speech_models):
    result = async_agent('run', '--engine', 'scripted', '-o', 'out', cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    assert 'The conversation held.' in result.stdout
    assert 'FAIL' not in result.stdout
    folder = tmp_path / 'out'
    verified = async_agent('replay', 'verify', 'out', cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout
    assert verified.stdout.count('the same, byte for byte') == 2, 'the journal and the bag'
    assert (folder / 'report.html').stat().st_size > 100_000
    with wave.open(str(folder / 'person_robot.wav')) as file:
        assert file.getnchannels() == 2 and file.getnframes() > 20 * file.getframerate()
    topics = {r.topic for r in BagReader(folder).records()}
    assert {f'/agent/{t}' for t in (
        'ledger', 'kernel_events', 'state', 'say', 'speech_progress', 'transcript', 'interrupt',
        'speech_activity', 'metrics', 'audio_in', 'audio_out', 'call_command', 'call_event',
        'tools', 'sim_robot/pose', 'sim_robot/battery')} <= topics


def test_models_are_named_when_they_are_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('ASYNC_AGENT_MODELS', str(tmp_path))
    monkeypatch.setattr('sys.stdin', SimpleNamespace(isatty=lambda: False))
    missing = missing_models(bringup.Settings(model='qwen2.5-coder-0.5b'))
    assert len(missing) == 3 and missing[1:] == ['piper-joe', 'qwen2.5-coder-0.5b']
    assert not have_models(bringup.Settings(model='qwen2.5-coder-0.5b'))
    out = capsys.readouterr()
    assert 'MB to download' in out.out
    assert f'async-agent models get {" ".join(missing)}' in out.err


def test_the_demo_speaks_with_the_model_of_its_robot_where_nothing_else_is_said():
    def chosen(**given):
        return chosen_model(SimpleNamespace(**{
            'model': '', 'params_file': '', 'bridge': '', 'engine': '', **given}))
    assert chosen() == chosen(engine='transformers') == MODEL
    assert chosen(model='mine', bridge='nav2.yaml') == 'mine'
    for other in ({'params_file': 'my.yaml'}, {'bridge': 'nav2.yaml'}, {'engine': 'openai'},
                  {'engine': 'scripted'}):
        assert chosen(**other) == '', other


def test_what_make_run_downloads_is_all_that_it_needs():
    assert set(needed_models(bringup.Settings(model=MODEL))) == set(demo_models())
    assert models_command._expand(['demo', 'demo']) == demo_models()


def test_only_what_the_nodes_load_is_needed(tmp_path):
    assert needed_models(bringup.Settings(engine='scripted', nodes='text')) == []
    params = tmp_path / 'params.yaml'
    params.write_text('/**/tts:\n  ros__parameters: {voice: hibari}\n'
                      '/agent:\n  asr:\n    ros__parameters: {model: whisper-tiny.en}\n')
    assert needed_models(bringup.Settings(engine='openai', params_file=str(params))) == [
        'whisper-tiny.en']


def test_an_existing_folder_is_refused(tmp_path, speech_models):
    (tmp_path / 'out').mkdir()
    result = async_agent('run', '--engine', 'scripted', '-o', 'out', cwd=tmp_path)
    assert result.returncode == 1
    assert 'cannot make the folder of the run' in result.stdout and 'out' in result.stdout


def test_every_run_has_a_domain_of_its_own():
    env = {}
    assert 1 <= choose_domain(env) <= 101
    assert env['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert choose_domain({'ROS_DOMAIN_ID': '7'}) == 7
