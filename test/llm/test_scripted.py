"""The scripted engine and the choice of engines by name."""
import pathlib
import threading
import time

import pytest

from async_agent_ros import models
from async_agent_ros.core.chatml import Call, Parser, Text
from async_agent_ros.llm import factory
from async_agent_ros.llm.engine import EngineError, GenerationRequest, ModelMissingError
from async_agent_ros.llm.scripted import FALLBACK, Rule, ScriptedEngine, Situation

DEMO = pathlib.Path(__file__).parents[2] / 'config' / 'scripted_demo.yaml'


def prompt(*messages):
    return '<|im_start|>system\nYou are Rob.<|im_end|>\n' + ''.join(
        f'<|im_start|>{role} 1.0s\n{text}<|im_end|>\n' for role, text in messages) + (
            '<|im_start|>assistant\n')


def stream(engine, text, abort=None, **fields):
    request = GenerationRequest('main', text, **fields)
    return ''.join(engine.stream(request, abort or threading.Event())), request.stats


@pytest.fixture(scope='module')
def demo():
    engine = ScriptedEngine(str(DEMO))
    engine.load()
    return engine


@pytest.mark.parametrize('words, name, arguments', [
    ('Please drive to the kitchen.', 'navigate_to', {'place': 'kitchen'}),
    ('Go to the living room', 'navigate_to', {'place': 'living room'}),
    ('How much battery do you have left?', 'get_battery', {}),
    ('Where are you?', 'get_pose', {}), ('Go and charge yourself.', 'dock', {}),
    ('Where is the mug?', 'find_object', {'object': 'mug'})])
def test_demo_calls(demo, words, name, arguments):
    parser = Parser()
    events = parser.feed(demo.answer(prompt(('user', words)))) + parser.finish()
    assert [e for e in events if isinstance(e, Call)] == [Call('', name, arguments)]
    assert all(isinstance(e, (Text, Call)) for e in events)


def test_demo_stops_the_running_call(demo):
    running = '{"name": "navigate_to", "arguments": {"place": "hall"}}: running for 3 s.\nThese'
    tools = '<|im_start|>system\n{"name": "cancel", "description": ""}<|im_end|>\n'
    tail = prompt(('user', 'Stop!'), ('notification', running))
    assert 'CALL' not in demo.answer(tail)
    output = demo.answer(tools + tail)
    assert 'CALL {"name": "cancel", "arguments": {"call": "navigate_to"}}' in output


def test_demo_answers_first_and_then_tells_the_result(demo):
    arrived = ('{"tool": "navigate_to", "arguments": {"place": "hall"}, "status": "succeeded", '
               '"result": {"arrived_at": "hall"}}')
    output = demo.answer(prompt(('notification', arrived), ('user', 'Thank you.')))
    assert output == 'You are welcome.\nI have arrived at the hall.'


def test_demo_keeps_silent_about_an_acceptance(demo):
    assert demo.answer(prompt(
        ('notification', '{"tool": "navigate_to", "status": "running"}'))) == ''


def test_it_says_that_it_is_a_script(demo):
    assert demo.info().engine == 'scripted' and 'no model' in demo.info().model
    assert 'script' in demo.answer(prompt(('user', 'What is the meaning of life?')))
    assert ScriptedEngine().answer(prompt(('user', 'Hi.'))) == FALLBACK


def test_situation_is_read_off_the_tail():
    situation = Situation.of(prompt(
        ('user', 'old'), ('assistant', 'yes'), ('notification', '{"a": 1}'), ('user', 'new'),
        ('notification', 'x: running for 1 s.')))
    assert (situation.user, situation.notifications) == ('new', ('{"a": 1}',))
    assert situation.running == 'x: running for 1 s.'


def test_rules_in_python():
    engine = ScriptedEngine(rules=[
        Rule(lambda s: s.user.upper(), when=lambda s: 'loud' in s.user), Rule('quiet')])
    assert engine.answer(prompt(('user', 'be loud'))) == 'BE LOUD'
    assert engine.answer(prompt(('user', 'hush'))) == 'quiet'


def test_stream_keeps_to_its_rate_and_to_max_tokens():
    engine = ScriptedEngine(rules=[Rule('one two three four')], tokens_per_s=100.0)
    start = time.monotonic()
    text, stats = stream(engine, prompt(('user', 'x')))
    assert text == 'one two three four' and time.monotonic() - start >= 0.03
    assert (stats.output_tokens, stats.finish_reason) == (4, 'stop')
    text, stats = stream(engine, prompt(('user', 'x')), max_tokens=2)
    assert (text, stats.finish_reason) == ('one two', 'length')


def test_abort_ends_within_a_token():
    engine = ScriptedEngine(rules=[Rule('one two three')], tokens_per_s=0.01)
    abort = threading.Event()
    request = GenerationRequest('main', prompt(('user', 'x')))
    pieces = engine.stream(request, abort)
    assert next(pieces) == 'one'
    threading.Timer(0.05, abort.set).start()
    start = time.monotonic()
    assert list(pieces) == [] and time.monotonic() - start < 30.0
    assert request.stats.finish_reason == 'aborted'


@pytest.mark.parametrize('text, words', [
    ('rules: [', 'is not YAML'), ('[]', 'needs a list'), ('rules: [3]', 'must be a mapping'),
    ('rules: [{user: x}]', 'must have `say`'), ('rules: [{say: x, sing: y}]', 'not sing'),
    ('rules: [{say: x, user: "("}]', 'not a regular expression')])
def test_bad_script_is_named(tmp_path, text, words):
    path = tmp_path / 'script.yaml'
    path.write_text(text)
    with pytest.raises(EngineError, match=words) as caught:
        ScriptedEngine(str(path)).load()
    assert str(path) in str(caught.value)


def test_missing_script_is_named(tmp_path):
    with pytest.raises(EngineError, match='cannot read the script'):
        ScriptedEngine(str(tmp_path / 'none.yaml')).load()


def test_unknown_engine_is_named():
    with pytest.raises(EngineError, match="unknown engine 'gpt'.*auto, llama_cpp"):
        factory.make_engine('gpt')


def test_factory_leaves_out_what_an_engine_does_not_have():
    engine = factory.make_engine('scripted', model='', device='cpu', fallback='No.')
    assert engine.answer(prompt(('user', 'x'))) == 'No.'


def test_auto_without_a_model_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setenv('ASYNC_AGENT_MODELS', str(tmp_path))
    with pytest.raises(ModelMissingError, match='async-agent models get|pip install'):
        factory.make_engine('auto')
    assert models.root() == tmp_path and factory.installed_models() == []


def test_engine_without_its_module_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(factory.ENGINES, 'openai', ('m', 'C', 'no_such_module', 'openai'))
    with pytest.raises(EngineError, match=r"pip install 'async_agent_ros\[openai\]'"):
        factory.make_engine('openai')
