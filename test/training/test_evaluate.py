"""The evaluation: the planner itself is right, what is wrong is found, faithfulness by rules."""
import importlib.util
import json
import pathlib
import random
import re

from async_agent_ros.core.built_in import TOOLS as BUILT_IN
from async_agent_ros.core.chatml import PromptFormat
from async_agent_ros.core.ledger import Entry
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Effect, Kind
from async_agent_ros.tools import Tool
from async_agent_ros.training import (
    cases, evaluate, faithful, refusals, synthesize, tables, timers)
from async_agent_ros.training.own_tools import own_tools
from async_agent_ros.training.paths import load_format
from async_agent_ros.training.robots import sim_robot
from async_agent_ros.training.speaker import Speaker
import pytest

FORM = load_format('prompt_tuned.yaml')
BASE = load_format('prompt.yaml')


@pytest.fixture(scope='module')
def robot():
    return sim_robot()


@pytest.fixture(scope='module')
def played(robot):
    return [c for w in ('templates', 'new_tools') for c in cases.played(w, 60, 1, robot, FORM)]


def test_the_planner_is_right_valid_safe_and_faithful(played):
    kinds = set()
    for case in played:
        verdict = evaluate.judge(case, case.reference, FORM, True)
        assert verdict['right'] in (True, None), (case.name, case.reference, case.right)
        assert not verdict['valid'] and verdict['safe'] in (True, None)
        assert not verdict['faithful'], (case.name, case.reference, verdict['faithful'])
        kinds.add(case.kind)
    assert kinds == {'words', 'partial', 'final', 'told'}


def test_another_call_is_wrong_and_unsafe(played):
    case = next(c for c in played if c.kind == 'words' and c.right == ((),))
    spec = next(s for s in case.specs if s.effect == Effect.STATE_CHANGING
                and not s.arguments_schema.get('required'))
    verdict = evaluate.judge(
        case, 'CALL {"id": "c9", "name": "%s", "arguments": {}}' % spec.name, FORM, True)
    assert verdict['right'] is False and verdict['safe'] is False
    verdict = evaluate.judge(case, 'CALL {"id": "c9", "name": "nothing"', FORM, True)
    assert 'CALL' in verdict['valid']


def test_a_base_model_reads_partial_words_as_an_utterance(played):
    case = next(c for c in played if c.kind == 'partial' and c.right[0])
    assert '<partial>' in case.prompt(FORM, True)
    plain = case.prompt(BASE, False)
    assert '<partial>' not in plain and plain.rstrip().endswith('<|im_start|>assistant')
    assert case.heard in plain


def test_an_article_before_a_text_does_not_matter():
    def plan(what):
        return cases.comparable({'c1': ('print', {'document': what, 'copies': 2.0})}, {})
    assert plan('the menu') == plan('menu') == plan('a Menu') != plan('theatre menu')
    assert plan('a') != plan('')


def test_ids_and_order_do_not_matter_but_operands_do():
    find, go = ('find', {'what': 'Cup'}), ('go', {'to': '$c1.place'})
    first = cases.comparable({'c1': find, 'c2': go}, {})
    assert first == cases.comparable({'c8': ('go', {'to': '$c7.place'}), 'c7': find}, {})
    assert first != cases.comparable({'c1': find, 'c2': ('go', {'to': 'kitchen'})}, {})
    assert cases.comparable({'c1': ('cancel', {'call': 'c4'})}, {'c4': 'go'}) == (
        cases.comparable({'c1': ('cancel', {'call': 'go'})}, {'c4': 'go'}))


GREENHOUSE = pathlib.Path(__file__).parents[2] / 'examples' / 'greenhouse_commands.yaml'


def _greenhouse():
    if not GREENHOUSE.is_file():
        pytest.skip(f'{GREENHOUSE} is not installed')
    found = importlib.util.spec_from_file_location(
        'greenhouse_tools', GREENHOUSE.with_name('greenhouse_tools.py'))
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return [t.spec for t in vars(module).values() if isinstance(t, Tool)]


def test_a_file_of_commands_is_a_workload_for_any_robot():
    specs = _greenhouse()
    made = cases.of_file(str(GREENHOUSE), 0, specs)
    assert len(made) >= 50 and {c.workload for c in made} == {'greenhouse_commands'}
    by_name = {s.name: s for s in (*specs, *BUILT_IN.values())}
    for name, arguments in (call for c in made for right in c.right for call in right):
        assert by_name[name].check_arguments(json.loads(arguments)) is None
    examples = {e.say.lower().rstrip('.?') for s in specs for e in s.examples}
    assert not examples & {c.entries[-1].content.lower() for c in made}
    form = FORM
    assert 'soil_moisture' in made[0].prompt(form, True)
    right = '{"id": "c1", "name": "drive_to", "arguments": {"bed": "tomatoes"}}'
    assert evaluate.judge(made[0], f'{form.call_marker} {right}', form, True)['right']


@pytest.mark.parametrize('text, said', (
    ('go: there', 'must be a list of commands'),
    ('- [5]', 'must be a list that begins with the words'),
    ('- ["go", drive]', "'drive' must be"),
    ('- ["go", {any: [{drive_to: {}}]}]', 'any must be a list of lists of calls'),
    ('- ["go", {drive_to: basil}]', 'must be {tool: {argument: value}}'),
    ('- ["go", {fly: {}}]', "'go': there is no tool 'fly'; known are cancel"),
    ('- [', 'is no YAML')))
def test_what_is_wrong_in_a_file_of_commands_is_named(text, said, tmp_path, robot):
    (tmp_path / 'mine.yaml').write_text(text)
    with pytest.raises(tables.TableError, match=re.escape(said)):
        cases.of_file(str(tmp_path / 'mine.yaml'), 0, robot.specs)


def test_the_natural_sets_are_large_valid_and_made_by_no_template(robot):
    every = [c for name in cases.NATURAL for c in cases.natural(0, robot.specs, name)]
    assert len({c.entries[-1].content for c in every}) == len(every)
    assert len(cases.natural(0, robot.specs)) >= 150
    assert len(cases.natural(20, robot.specs)) == 20
    specs = {s.name: s for s in (*robot.specs, *BUILT_IN.values())}
    for case in every:
        for right in case.right:
            for name, arguments in right:
                if '$' not in arguments:
                    assert specs[name].check_arguments(json.loads(arguments)) is None
    templates = set()
    for split in tables.SPLITS:
        tongue = tables.language(split)
        frames = tongue.phrases['frames']
        asks = [a for n, t in robot.phrases.items() for a in (
            *(t.get(split) or {}).get('ask', ()), *(t.get(split) or {}).get('say', ()))]
        templates |= {f.replace('{ask}', a) for f in frames for a in asks} | set(asks)
        templates |= {p[0] for p in tongue.phrases['small_talk']}
        templates |= {p[0] for p in tongue.phrases['unmeetable']}
        templates |= {p for k in ('timer', 'remind', 'every', 'at') for p in tongue.phrases[k]}
    values = '|'.join(sorted({v for s in robot.specs
                              for a in s.arguments_schema['properties'].values()
                              for v in a.get('enum', ())}, key=len, reverse=True))
    slot = {'span': '[a-z0-9 ]+', 'chore': '[a-z ]+', 'time': '[0-9:]+'}
    patterns = [re.compile(re.sub(
        r'\\\{(\w+)\\\}', lambda m: f'({slot.get(m[1], values)})', re.escape(t.lower())) + r'\Z')
        for t in templates]
    assert any(p.match('go to the living room') for p in patterns)
    words = [c.entries[-1].content.lower().rstrip('.?!') for c in every]
    assert [w for w in words if any(p.match(w) for p in patterns)] == []


PLACE = {'type': 'object', 'properties': {'place': {'enum': ['kitchen', 'garage']}}}
SPECS = (ToolSpec('go', 'Drive.', PLACE), ToolSpec('power', effect=Effect.READ_ONLY))


def _ledger(*entries):
    return [Entry(i, i, kind, content if isinstance(content, str) else json.dumps(content), **more)
            for i, (kind, content, more) in enumerate(entries)]


def test_faithfulness_finds_what_nobody_said():
    words = (Kind.USER, 'Go to the kitchen.', {})
    call = (Kind.CALL, {'arguments': {'place': 'kitchen'}}, {'name': 'go', 'call_id': 'c1'})
    power = (Kind.RESULT, {'result': {'percent': 63.4}}, {'name': 'power', 'status': 'succeeded'})
    arrived = (Kind.RESULT, {'result': {}}, {'name': 'go', 'status': 'succeeded'})
    failed = (Kind.RESULT, {'error_msg': 'blocked'}, {'name': 'go', 'status': 'failed'})

    def problem(text, *entries):
        return faithful.problem(text, _ledger(*entries), SPECS)
    assert not problem('My battery is at sixty-three percent.', words, power)
    assert not problem('63.4 percent.', words, power)
    assert 'number 80' in problem('I have 80 percent.', words, power)
    assert not problem('I am on my way to the kitchen.', words, call)
    assert 'garage' in problem('I am driving to the garage.', words, call)
    assert 'no result' in problem('Done, I have arrived.', words, call)
    assert not problem('I will tell you when I have arrived.', words, call)
    assert not problem('I have arrived.', words, call, arrived)
    assert 'failed' in problem('I am in the kitchen now.', words, call, failed)
    assert not problem('Sorry, the way is blocked.', words, call, failed)


def test_the_rows_hold_every_metric_per_workload_and_mode(played):
    verdicts = [evaluate.Verdict(c, c.reference, first_s=0.1, whole_s=0.2,
                                 **evaluate.judge(c, c.reference, FORM, True)) for c in played]
    made = evaluate.rows('m', 'tuned', verdicts)
    assert {r['metric'] for r in made} >= {
        'valid_percent', 'call_accuracy_percent', 'plan_accuracy_percent',
        'commit_safety_percent', 'faithful_percent', 'first_output_s', 'turn_s'}
    assert all(r['value'] == 100.0 for r in made if r['metric'].endswith('_percent'))
    assert {r['workload'] for r in made} == {'templates', 'new_tools'}


def test_the_same_seed_gives_the_same_cases(robot):
    one, other = (cases.played('new_tools', 8, 5, robot, FORM) for _ in range(2))
    assert one == other
    assert synthesize.play(synthesize.Recipe(seed=5), 'test', 0).samples
    assert isinstance(BASE, PromptFormat)


def test_no_utterance_that_is_generated_is_one_of_the_natural_set(robot):
    def bare(text):
        return ' '.join(re.findall(r"[a-z0-9']+", text.lower()))
    natural = {bare(c.entries[-1].content) for name in cases.NATURAL
               for c in cases.natural(0, robot.specs, name)}
    rng, tongue = random.Random(1), tables.language('train')
    own, said = own_tools(robot.specs, robot.phrases, 'train'), set()
    for _ in range(800):
        speaker = Speaker(rng, tongue, own, disfluency=rng.choice((0.0, 0.35)))
        for tool in own:
            said.add(bare(speaker.request(tool).text))
        said.add(bare(speaker.several(rng.sample(own, 2)).text))
        said |= {bare(i.text) for i in (speaker.small_talk(), refusals.unmeetable(speaker),
                                        timers.timer(speaker, 'timer'),
                                        timers.timer(speaker, 'at'))}
    assert len(said) > 5000
    assert not said & natural, said & natural
