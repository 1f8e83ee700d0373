"""`async-agent bench speculation`, its tasks and its virtual world, on a few tasks of each kind."""
import argparse
import re
import threading
from types import SimpleNamespace
from xml.etree import ElementTree

from async_agent_ros.bench import speculation, workloads
from async_agent_ros.bench.common import bars, intervals, rows
from async_agent_ros.bench.common.language import load_prompt
from async_agent_ros.bench.virtual import judge, oracle, planner
from async_agent_ros.bench.virtual.engine import Job, RealSource, Slot, TimedSource, tokens
from async_agent_ros.bench.virtual.person import Ear, revisions
from async_agent_ros.core.tools import canonical_json
from async_agent_ros.llm.engine import GenerationStats
import pytest

EAR = Ear()
SEED = 3
LEAST = {'assistant': 40, 'twohop': 30, 'robot': 40}
ALL = {k: m for drive in speculation.DRIVES for k, m in speculation.modes(drive).items()}


def options(*given):
    parser = argparse.ArgumentParser()
    speculation.add_arguments(parser)
    return parser.parse_args(given)


def bench(*given):
    return rows.checked(speculation.run(options(*given)))


@pytest.fixture(scope='module', params=workloads.NAMES)
def workload(request):
    return workloads.load(request.param)


@pytest.fixture(scope='module')
def writer():
    return speculation._TimedModel(options())


def played(workload, item, mode, writer):
    outcome = speculation.converse(workload, item, ALL[mode], writer, SEED)
    return outcome, judge.figures(workload, item, workload.ideal(item, SEED), outcome)


# -- tasks ----------------------------------------------------------------------------------------
def test_every_plan_can_be_carried_out_and_answers_what_was_asked(workload):
    assert len(workload.items) >= LEAST[workload.name]
    for item in workload.items:
        ideal = workload.ideal(item, SEED)
        assert item.expect in planner.fill(item.answer, ideal.results), item.name
        assert item.complete <= len(item.words)
        spoken_s = item.ends_s[-1]
        assert len(item.words) / spoken_s == pytest.approx(2.5, abs=1.0), item.name


def test_the_effects_of_the_tools():
    read_only = {n: {s.name for s in workloads.load(n).specs.values() if s.effect == 'read_only'}
                 for n in workloads.NAMES}
    assert read_only['assistant'] == {'get_phone_number', 'get_email_address', 'summarize_pdf'}
    assert len(workloads.load('assistant').specs) == 16
    assert 'navigate_to' not in read_only['robot'] and 'find_object' in read_only['robot']


def test_marks_in_the_words():
    item = workloads.parse_item('x', {
        'say': 'the red [a] (0.5) no [-a] the blue [b] cup',
        'plan': {'a': {'find': {'it': 'red'}}, 'b': {'find': {'it': 'blue'}, 'after': 'c'}}}, {})
    assert item.words == ('the', 'red', 'no', 'the', 'blue', 'cup') and item.complete == 5
    assert [(c.call_id, c.known, c.withdrawn) for c in item.calls] == [('a', 2, 3), ('b', 5, None)]
    assert item.ends_s[2] - item.ends_s[1] == pytest.approx(0.5 + workloads.word_s('no'), abs=2e-3)
    with pytest.raises(workloads.WorkloadError, match=r'no \[a\]'):
        workloads.parse_item('x', {'say': 'go', 'plan': {'a': {'find': {}}}}, {})
    with pytest.raises(workloads.WorkloadError, match='no call b'):
        workloads.parse_item('x', {'say': 'go [b]', 'plan': {}}, {})


def test_equal_calls_take_equally_long_in_every_mode():
    workload = workloads.load('assistant')

    def end_s(seed, name):
        return workload.world(seed).begin('get_phone_number', {'name': name}, 5.0).end_s

    assert end_s(1, 'Sam') == end_s(1, 'Sam') != end_s(2, 'Sam')
    assert 5.5 <= end_s(1, 'Sam') <= 6.0 and end_s(1, 'Sam') != end_s(1, 'Emma')


def test_the_words_come_as_a_stream_that_only_grows_stable(workload):
    for item in workload.items[:10]:
        heard = list(revisions(item, EAR, SEED))
        assert [r.final for r in heard] == [False] * (len(heard) - 1) + [True]
        stable = [r.text[:r.stable_chars] for r in heard]
        assert all(b.startswith(a) for a, b in zip(stable, stable[1:]))
        assert all(a.at_s < b.at_s for a, b in zip(heard, heard[1:]))
        assert heard[-1].text == ' '.join(item.words)
        assert EAR.end_s[0] <= heard[-1].at_s - item.ends_s[-1] <= EAR.end_s[1]


# -- the model ------------------------------------------------------------------------------------
class Clock:
    """Things to do, in the order of their times."""

    def __init__(self):
        self.now_s, self.todo = 0.0, []

    def later(self, seconds, action):
        self.todo.append((self.now_s + seconds, len(self.todo), action))

    def run(self, until_s=1e9):
        while self.todo and min(self.todo)[0] <= until_s:
            one = min(self.todo)
            self.todo.remove(one)
            self.now_s = one[0]
            one[2]()


def slot(source, ended):
    clock = Clock()
    return clock, Slot(source, clock.later, lambda job, text: False,
                       lambda job, reason: ended.append((job.generation_id, reason,
                                                         round(clock.now_s, 3))))


def job(number, speculative=False, prompt='p' * 70):
    return Job(number, 0, speculative, prompt, ())


def test_speed_of_the_timed_model_and_its_cache():
    ended, text = [], 'one two three four'
    source = TimedSource(lambda _: text, decode_per_s=10.0, prefill_per_s=100.0)
    clock, one = slot(source, ended)
    source.warm('long ' * 100)
    one.submit(job(1, prompt='long ' * 100 + 'a b c d e'))
    clock.run()
    assert ended == [(1, 'stop', 0.55)]    # five tokens read, four and the end written


def test_a_draft_gives_way_to_an_answer_and_an_abort_ends_it_within_a_token():
    ended = []
    source = TimedSource(lambda j: 'a b c d e f g h i', decode_per_s=10.0, prefill_per_s=1e9)
    clock, one = slot(source, ended)
    one.submit(job(1, speculative=True))
    clock.run(0.25)
    one.submit(job(2))
    clock.run()
    assert [(e[0], e[1]) for e in ended] == [(2, 'stop'), (1, 'stop')]
    assert ended[0][2] == pytest.approx(1.3)
    one.submit(job(3, speculative=True))
    at_s = clock.now_s + 0.25
    clock.run(at_s)
    one.abort(lambda j: j.generation_id == 3)
    clock.run()
    assert ended[-1][:2] == (3, 'aborted') and ended[-1][2] - at_s <= 0.1


def test_what_an_earlier_draft_wrote_can_be_verified_instead_of_written():
    def seconds(verify):
        source = TimedSource(lambda j: j.prompt, decode_per_s=10.0, prefill_per_s=1e6,
                             verify=verify)
        first = job(1, True, 'a b c d e f')
        for _, text in source.open(first):
            first.written += text
        return sum(s for s, _ in source.open(job(2, True, 'a b c d e f g h')))

    assert seconds(False) == pytest.approx(0.9, abs=0.01)
    assert seconds(True) == pytest.approx(0.3, abs=0.01)


def test_a_real_engine_writes_on_virtual_time():
    class Slow:
        def stream(self, request, abort):
            assert isinstance(request.stats, GenerationStats)
            assert not abort.is_set()
            for _ in range(3):
                assert not threading.Event().wait(0.02)
                yield 'ja '

    ended = []
    clock, one = slot(RealSource(Slow()), ended)
    one.submit(job(1))
    clock.run()
    assert ended[0][:2] == (1, 'stop') and ended[0][2] >= 0.06


def test_tokens_are_counted_about_as_a_model_does():
    line = 'CALL {"id": "a", "name": "get_phone_number", "arguments": {"name": "Sarah Connor"}}\n'
    assert ''.join(tokens(line)) == line and 24 <= len(tokens(line)) <= 34    # SmolLM2: 31
    assert tokens('<pause>') == ['<', 'pause', '>']
    header = '<|im_end|>\n<|im_start|>user 4.8s\n<partial>Maria<|im_end|>\n'
    assert ''.join(tokens(header)) == header and len(tokens(header)) == 16    # SmolLM2: 16
    assert ''.join(tokens('Müller, 3 °C')) == 'Müller, 3 °C'


# -- modes ----------------------------------------------------------------------------------------
@pytest.mark.parametrize('mode', ALL)
def test_a_mode_does_what_was_meant_and_never_beats_the_bound(workload, mode, writer):
    for item in speculation.spread(workload.items, 4):
        outcome, found = played(workload, item, mode, writer)
        best = oracle.bound(workload, item, EAR, SEED, 40.0)
        assert found.right, (item.name, found.problem)
        assert found.unsafe == 0
        assert found.last_result_s >= best.last_result_s - 1e-6, item.name
        assert found.first_word_s >= best.first_word_s - 1e-6, item.name
        if mode == 'sequential' or mode.startswith('async'):
            assert not found.early
        if mode in ('sequential', 'speculative'):
            spans = sorted((e.start_s, e.end_s) for e in outcome.executions
                           if e.read_only and e.used)
            assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:])), item.name


class PlansAtOnce:
    """An engine that writes the whole plan in its first answer, as tuned models do."""

    def __init__(self, *outputs):
        self.outputs = list(outputs)
        self.open = 0

    def stream(self, request, abort):
        self.open += 1
        try:
            yield from re.findall(r'\S+|\s+', self.outputs.pop(0))
        finally:
            self.open -= 1


@pytest.mark.parametrize('end', ['', '\n', '\nOne moment. ', '\nC ertainly. '])
def test_a_model_that_plans_at_once_makes_one_call_after_the_other_where_it_must(end):
    workload = workloads.load('robot')
    item = next(i for i in workload.items if i.words[:3] == ('Where', 'are', 'the'))
    engine = PlansAtOnce(
        'CALL {"id": "c1", "name": "find_object", "arguments": {"object": "keys"}}\n'
        'CALL {"id": "c2", "name": "find_object", "arguments": {"object": "phone"}}' + end,
        'The keys are in the hallway, the phone is in the hallway.')
    writer = SimpleNamespace(one_call=True, prompt_format=load_prompt('prompt_tuned.yaml')[1],
                             source=lambda write: RealSource(engine))
    outcome = speculation.converse(workload, item, ALL['sequential'], writer, SEED)
    first, second = outcome.executions
    assert second.start_s >= first.end_s and second.end_s is not None
    assert len(outcome.results) == 2 and not engine.open and not engine.outputs
    assert outcome.answer.strip().endswith('the phone is in the hallway.')
    assert not judge.problem(workload, item, workload.ideal(item, SEED), outcome)


def test_a_real_engine_is_told_what_it_writes_to():
    workload, requests = workloads.load('robot'), []

    class Waits:
        def stream(self, request, abort):
            requests.append(request)
            yield '<pause>' if request.reacts else 'Okay.'
    writer = SimpleNamespace(one_call=True, prompt_format=load_prompt('prompt_tuned.yaml')[1],
                             source=lambda write: RealSource(Waits()))
    speculation.converse(workload, workload.items[0], ALL['both'], writer, SEED)
    partial = ['<partial>' in r.prompt.split('<|im_start|>user')[-1] for r in requests]
    assert [r.reacts for r in requests] == partial and partial.count(True) > 2
    assert {r.next_call for r in requests} == {1}


def test_what_was_guessed_before_a_correction_is_wasted_and_not_told(writer):
    workload = workloads.load('robot')
    item = next(i for i in workload.items if i.words[:4] == ('Um', 'can', 'you', 'tell'))
    for mode in ('both', 'both (revise)'):
        outcome, found = played(workload, item, mode, writer)
        assert found.right and 'office' in outcome.answer and 'kitchen' not in outcome.answer
        wrong = ('find_object', canonical_json({'object': 'red cup'}))
        assert all(not e.used for e in outcome.executions if e.key == wrong)


@pytest.mark.parametrize('drive', speculation.DRIVES)
def test_a_model_that_wants_to_act_at_once_changes_nothing_before_the_final_words(
        workload, drive, writer):
    tried = 0
    for item in speculation.spread(workload.items, 6):
        hostile = planner.Adversary(workload, item, SEED)
        outcome = speculation.converse(workload, item, speculation.Mode({'speculation': drive}),
                                       writer, SEED, hostile.write)
        assert outcome.unsafe == 0, item.name
        tried += sum(not e.read_only for e in outcome.executions)
    assert tried or workload.name == 'twohop'


# -- the bench ------------------------------------------------------------------------------------
def test_the_table_and_the_plot(tmp_path):
    plot = tmp_path / 'plot.svg'
    found = bench('--workloads', 'robot', '--n', '10', '--plot', str(plot), '--drive', 'stream')
    by = {(r['metric'], r['mode']): r for r in found}
    for mode in ('async', 'speculative', 'both', 'oracle'):
        one = by['speedup', mode]
        assert one['low'] <= one['value'] <= one['high'] and one['n'] == 10
    assert by['speedup', 'both']['value'] > 1.0
    assert by['speedup', 'oracle']['value'] >= by['speedup', 'both']['value']
    assert 0.0 < by['critical_path_share', 'both']['value'] <= 100.0
    for mode in ('sequential', 'async', 'speculative', 'both', 'adversary'):
        assert by['unsafe_before_commit', mode]['value'] == 0
    assert by['accuracy_percent', 'both']['value'] == 100.0
    assert {'wasted_tool_s', 'lead_time_ms', 'last_result_ms', 'first_word_ms'} <= {
        m for m, mode in by if mode == 'both'}
    assert ElementTree.parse(plot).getroot().tag.endswith('svg')
    assert plot.read_text().count('<rect') > 4


def test_some_modes_are_played_alone():
    found = bench('--workloads', 'robot', '--n', '2', '--modes', 'sequential,both')
    assert {r['mode'] for r in found if r['metric'] == 'speedup'} == {
        'both', 'both (revise)', 'oracle'}


@pytest.mark.parametrize('given, named', [
    (('--workloads', 'nothing'), 'nothing'), (('--modes', 'both,none'), 'none is none of'),
    (('--kernel', 'speed=3'), 'speed=3'),
    (('--plot', '/nowhere/at/all.svg'), 'nowhere')])
def test_a_wrong_option_is_named(given, named):
    with pytest.raises(speculation.SpeculationError, match=named):
        bench(*given)


def test_intervals_and_bars():
    low, high = intervals.bootstrap([1.0, 2.0, 3.0] * 10, lambda s: sum(s) / len(s))
    assert 1.0 < low < 2.0 < high < 3.0
    assert intervals.bootstrap([5.0], max) == (5.0, 5.0)
    with pytest.raises(ValueError):
        intervals.bootstrap([], max)
    svg = bars.chart('a < b', 'x', [bars.Bar('g', 'one', 2.0, 1.0, 3.0), bars.Bar('g', 'two', 1)])
    texts = [e.text for e in ElementTree.fromstring(svg).iter() if e.tag.endswith('text')]
    assert 'a < b' in texts and {'one', 'two', 'g'} <= set(texts)


@pytest.mark.parametrize('expected, answer, right', [
    ('the banana in the office', 'The banana is on the shelf in the office.', True),
    ('hallway with 82', 'I have 82 percent left, and I am in the hallway.', True),
    ('the phone is in the hallway', 'The keys are in the hallway.', False),
    ('no', 'I know that.', False),
    ('nina@mail.example', 'It is nina@mail.example.', True),
    ('', '', True)])
def test_an_answer_is_right_when_it_holds_what_was_asked(expected, answer, right):
    assert judge.told(expected, answer) is right
