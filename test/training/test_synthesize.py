"""Synthetic conversations: deterministic, as the run-time lays them out, loss on own words only."""
import json

from async_agent_ros.core.chatml import Parser, Rejected, render
from async_agent_ros.core.chatml_render import END
from async_agent_ros.core.words import Effect, Kind
from async_agent_ros.training import shapes, synthesize
from async_agent_ros.training.paths import load_format
from async_agent_ros.training.samples import read, Sample
from async_agent_ros.training.tables import SPLITS
import pytest

FORM = load_format('prompt_tuned.yaml')
TURNS = synthesize.Recipe(conversations=6, seed=7, stream=0.0)


@pytest.fixture(scope='module')
def conversations():
    return [synthesize.play(TURNS, split, i) for split in SPLITS for i in range(8)]


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(tmp_path):
    recipe = synthesize.Recipe(conversations=4, seed=3)
    for name in ('a', 'b'):
        synthesize.write(tmp_path / name, recipe)
    synthesize.write(tmp_path / 'c', synthesize.Recipe(conversations=4, seed=4))
    for file in ('train.jsonl', 'valid.jsonl', 'test.jsonl', 'card.json', 'README.md'):
        same = (tmp_path / 'a' / file).read_bytes()
        assert same == (tmp_path / 'b' / file).read_bytes(), file
        assert same != (tmp_path / 'c' / file).read_bytes(), file
    card = json.loads((tmp_path / 'a' / 'card.json').read_text())
    assert card['splits']['train']['conversations'] == 4
    assert card['shared']['train and test'] == {'templates': [], 'tools': []}
    lines = list(read(tmp_path / 'a' / 'train.jsonl'))
    assert len(lines) == card['splits']['train']['samples']
    assert Sample.from_json(lines[0].to_json()) == lines[0]


def test_each_prompt_is_what_the_run_time_renders_of_the_ledger(conversations):
    for one in conversations:
        simulation = one.simulation
        for turn in simulation.turns[:6]:
            if turn.instance == 'main':
                entries = simulation.kernel.state.ledger[:turn.context_seq]
                assert turn.prompt == render(entries, simulation.format, now_ns=turn.now_ns)


def test_the_mask_holds_exactly_what_the_model_wrote(conversations):
    for one in conversations:
        wrote = sorted(t.completion + END for t in one.simulation.turns)
        masked = sorted(text for s in one.samples for text, own in s.pieces if own)
        assert masked == wrote
        for sample in one.samples:
            assert ''.join(text for text, _ in sample.pieces) == sample.text
            for begin, _ in sample.spans:
                assert sample.text[:begin].endswith('<|im_start|>assistant\n')
            assert sample.spans[-1][1] == len(sample.text)


def test_what_the_model_should_write_is_valid(conversations):
    for one in conversations:
        for turn in one.simulation.turns:
            parser = Parser(FORM)
            assert not [e for e in parser.feed(turn.completion) + parser.finish()
                        if isinstance(e, Rejected)]
        rejected = [e for e in one.simulation.kernel.state.ledger if e.name == 'rejected_output']
        assert not rejected


def test_every_call_has_one_end_and_a_commit_before_it_runs(conversations):
    for one in conversations:
        ledger = one.simulation.kernel.state.ledger
        ends = [e.call_id for e in ledger if e.kind == Kind.RESULT]
        assert len(ends) == len(set(ends))
        committed = set()
        for entry in ledger:
            if entry.kind == Kind.COMMIT:
                committed.add(entry.call_id)
            elif entry.name == 'accepted':
                assert entry.call_id in committed


@pytest.mark.parametrize('name', shapes.SHAPES)
def test_every_shape_can_be_played(name):
    recipe = synthesize.Recipe(seed=5, stream=0.0, only=(name,), per_robot=1)
    robot = synthesize.Robot()
    if name == 'stop':
        from async_agent_ros.core.tools import ToolSpec
        robot = synthesize.Robot([ToolSpec('walk', 'Walk on.', motion=True)])
        recipe = synthesize.Recipe(seed=5, stream=0.0, own=1.0, only=(name,),
                                   per_robot=1)
    # not every invented robot has the tools that a shape needs
    for index in range(40):
        one = synthesize.play(recipe, 'train', index, robot)
        assert one.samples
        if name in one.names:
            return
    assert False, 'no robot has the tools for it'


def test_things_happen_while_others_go_on():
    recipe = synthesize.Recipe(seed=2, stream=0.0)
    missing = {'interrupt', 'fork', 'spawn', 'failed', 'cancelled', 'progress', 'owed'}
    for index in range(200):
        for entry in synthesize.play(recipe, 'train', index).simulation.kernel.state.ledger:
            missing -= {str(entry.kind), entry.status, entry.name}
        if not missing:
            break
    assert not missing


def test_a_robots_own_tools_are_among_those_that_are_learned():
    from async_agent_ros.core.tools import Example, ToolSpec
    own = ToolSpec('wave', 'Wave a hand.', examples=(Example('Wave to me.'),),
                   effect=Effect.STATE_CHANGING)
    recipe = synthesize.Recipe(seed=2, stream=0.0, own=1.0, only=('command',))
    one = synthesize.play(recipe, 'train', 0, synthesize.Robot([own]))
    assert 'wave' in one.samples[0].text.split('<|im_end|>')[0]
    assert '"name": "wave"' in one.samples[0].text


@pytest.fixture(scope='module')
def streamed():
    recipe = synthesize.Recipe(seed=11, stream=1.0,
                               only=('corrected', 'removed', 'parallel', 'dependent', 'question'))
    return [synthesize.play(recipe, 'train', i) for i in range(18)]


def test_partial_words_are_in_the_text_as_the_kernel_hears_them(streamed):
    wrote = '\n'.join(t.completion for one in streamed for t in one.simulation.turns)
    assert wrote.count('<pause>') > 60 and '\nREMOVE c' in '\n' + wrote and 'CALL {' in wrote
    text = '\n'.join(s.text for one in streamed for s in one.samples)
    assert '<partial>' in text and '<final>' in text
    for one in streamed:
        assert not [e for e in one.simulation.kernel.state.ledger if e.name == 'rejected_output']
        for turn in one.simulation.turns:
            entries = one.simulation.kernel.state.ledger[:turn.context_seq]
            assert turn.prompt == render(entries, one.simulation.format, now_ns=turn.now_ns)
            partial = turn.triggers == ('partial',)
            lines = turn.completion.split('\n')
            assert ('<pause>' in lines) == (partial and not any(
                line.startswith(('CALL', 'REMOVE')) for line in lines))
            assert not partial or all(
                line.startswith(('CALL {', 'REMOVE c')) or line == '<pause>' for line in lines)
            assert ('<partial>' in turn.prompt.rsplit('<|im_start|>user', 1)[1]) == partial or (
                not partial)


def test_after_the_final_words_the_plan_is_what_was_meant(streamed):
    edits = 0
    for one in streamed:
        made = {}
        ledger = one.simulation.kernel.state.ledger
        for turn in one.simulation.turns:
            for intent in turn.intents:
                made.setdefault(id(intent), (intent, []))
        for intent, _ in made.values():
            for act in intent.plan:
                call_id = one.simulation.planner.ids[act.key]
                calls = [e for e in ledger if e.kind == Kind.CALL and e.call_id == call_id]
                assert calls[-1].name == act.name
                edits += len(calls) > 1
        # nothing that changes the world runs but what the person wanted in the end
        wanted = {one.simulation.planner.ids[a.key] for i, _ in made.values() for a in i.plan}
        for entry in ledger:
            if entry.kind == Kind.COMMIT and not one.simulation.tools[entry.name].reads:
                assert entry.call_id in wanted
    assert edits
