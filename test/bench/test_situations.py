"""The situations: each can be put to a model, names are unique, and answers are judged by rule."""
import json

from async_agent_ros.bench.common.scene import S, Scene
from async_agent_ros.bench.common.language import load_prompt
from async_agent_ros.bench.situations import judge, sim_tools, situations
from async_agent_ros.core.chatml import Renderer
import pytest

SPECS = sim_tools()
BY_NAME = {s.name: s for s in situations()}


def call(name, **arguments):
    return f'CALL {json.dumps({"name": name, "arguments": arguments})}'


def judged(name, output):
    return judge(BY_NAME[name], output, load_prompt()[1], SPECS)


def test_every_situation_is_a_prompt_that_waits_for_an_answer():
    persona, prompt_format = load_prompt()
    assert len(BY_NAME) == len(situations()) == 69
    for situation in situations():
        scene = situation.build(Scene(SPECS, persona))
        renderer = Renderer(prompt_format)
        renderer.feed(scene.entries)
        prompt = renderer.prompt(int(scene.clock_s * S))
        assert prompt.endswith('<|im_start|>assistant\n'), situation.name
        assert 'set_timer' in prompt and '"fork"' not in prompt


@pytest.mark.parametrize('name, output, problem', [
    ('go', 'Okay.\n' + call('navigate_to', place='kitchen'), ''),
    ('go', call('navigate_to', place='garage'), 'called'),
    ('go', 'I am on my way.', 'called nothing'),
    ('two', call('get_battery') + '\n' + call('navigate_to', place='bedroom'), ''),
    ('two', call('get_battery'), 'called'),
    ('arrived', 'I am in the kitchen now.', ''),
    ('arrived', 'I am on my way to the kitchen.', 'on my way'),
    ('unknown room', call('navigate_to', place='swimming pool'), ''),
    ('hello', call('fly'), 'unknown tool'),
    ('hello', 'CALL {"name": ', 'not parsable'),
    ('reminder', call('set_timer', after='ten minutes', text='take out the pizza'), ''),
    ('reminder', call('set_timer', after='a minute', text='take out the pizza'), 'called'),
    ('reminded', 'It is time to check the oven.', ''),
    ('reminded', 'I will remind you to check the oven.', 'will'),
])
def test_answers_are_judged_by_calls_and_words(name, output, problem):
    found = judged(name, output)
    assert problem in found and bool(found) == bool(problem), found
