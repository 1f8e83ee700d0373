"""Synthetic conversations: deterministic, as the run-time lays them out, loss on own words only."""
import json
import random

from async_agent_ros.core import lineage
from async_agent_ros.core.chatml import Parser, Rejected, render, Renderer
from async_agent_ros.core.chatml_message import END
from async_agent_ros.core.words import Effect, Kind
from async_agent_ros.training import errands, refusals, shapes, synthesize
from async_agent_ros.training.catalogues import invented
from async_agent_ros.training.own_tools import elsewhere, own_tools
from async_agent_ros.training.paths import load_format
from async_agent_ros.training.robots import sim_robot
from async_agent_ros.training.samples import read, Sample
from async_agent_ros.training.speaker import Speaker
from async_agent_ros.training.tables import language, SPLITS
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


def test_a_request_is_called_on_the_partial_words_that_hold_all_of_it():
    early = whole = 0
    for one in _of_shape('question', 1.0):
        for turn in one.simulation.turns:
            intent = turn.intents[0] if turn.intents else None
            if turn.triggers != ('partial',) or intent.kind != 'request':
                continue
            heard = turn.prompt.split('<final>')[-1]
            heard = ' '.join(w.split('<|im_end|>')[0].strip()
                             for w in heard.split('<partial>')[1:])
            said = intent.text.strip('.?')
            called = bool(turn.standing) or 'CALL {' in turn.completion
            if heard.replace(' ,', ',') == said:
                assert called
                whole += 1
            elif called:
                assert said.startswith(heard.replace(' ,', ','))
                early += 1
    assert whole > 15 and early > 3


def test_how_far_it_is_to_where_the_robot_drives_is_told_and_not_looked_up():
    asked = 0
    for one in _of_shape('progress', 0.0, count=120):
        for turn in one.simulation.turns:
            for intent in turn.intents:
                if intent.kind == 'progress' and ('far' in intent.text or 'met' in intent.text):
                    assert 'CALL' not in turn.completion
                    asked += 'still driving' in turn.completion
    assert asked > 8


def test_things_happen_while_others_go_on():
    recipe = synthesize.Recipe(seed=2, stream=0.0)
    missing = {'interrupt', 'fork', 'spawn', 'failed', 'cancelled', 'progress', 'owed'}
    for index in range(500):
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


def _of_shape(name, stream, count=30):
    robot = sim_robot()
    recipe = synthesize.Recipe(seed=3, stream=stream, own=0.5, only=(name,), per_robot=1)
    found = [one for i in range(count)
             if name in (one := synthesize.play(recipe, 'train', i, robot)).names]
    assert len(found) > count / 3
    return found


@pytest.mark.parametrize('stream', [0.0, 1.0])
def test_what_is_wanted_afterwards_is_called_when_the_first_has_succeeded(stream):
    followed = dropped = 0
    for one in _of_shape('sequence', stream):
        ledger = one.simulation.kernel.state.ledger
        ids = one.simulation.planner.ids
        for intent in {id(i): i for t in one.simulation.turns for i in t.intents}.values():
            if intent.kind != 'sequence':
                continue
            first, then = ids.get(intent.plan[-1].key), ids.get(intent.then[0].key)
            ends = [e for e in ledger if e.kind == Kind.RESULT and e.call_id == first]
            calls = [e for e in ledger if e.kind == Kind.CALL and e.call_id == then]
            if ends and ends[0].status == 'succeeded':
                assert calls and calls[0].seq > ends[0].seq
                followed += 1
            else:
                assert not calls
                dropped += 1
    assert followed > 20 and dropped > 1


def test_what_must_wait_for_another_tool_is_never_asked_for_beside_it():
    robot = sim_robot()
    waits = {name: set(table.get('after', ())) for name, table in robot.phrases.items()}
    assert waits['pick_up'] == {'navigate_to', 'dock'}
    for name in ('parallel', 'removed', 'cancel_one'):
        for one in _of_shape(name, 0.0, count=15):
            for turn in one.simulation.turns:
                for intent in turn.intents:
                    for a in intent.plan:
                        assert not waits.get(a.name, set()) & {b.name for b in intent.plan}


def test_what_a_tool_seems_able_to_do_is_never_refused():
    tongue = language('train')
    tools = [t for t in invented(random.Random(1), tongue, 400, odd_names=0.0, pairs=0.0)
             if t.concept.names[0] in ('vacuum', 'take_photo')]
    others = invented(random.Random(2), tongue, 60, odd_names=0.0, pairs=0.0)
    speaker = Speaker(random.Random(3), tongue, tools, [
        t for t in others if t.concept.names[0] not in ('vacuum', 'take_photo')])
    said = [refusals.unmeetable(speaker) for _ in range(300)]
    replies = {i.reply for i in said}
    assert not {'Sorry, I cannot clean, I have no tool for that.',
                'Sorry, I cannot take pictures, I have no tool for that.'} & replies
    phrases = {p[0] for p in tongue.phrases['unmeetable']}
    by_heart = sum(any(p in i.template for p in phrases) for i in said)
    assert 20 < by_heart < 120    # the rest is what other robots can do
    assert not any(i.plan for i in said)


def test_another_name_of_a_thing_is_never_refused():
    robot = sim_robot()
    tools = own_tools(robot.specs, robot.phrases)
    names = {n for t in tools for spoken in t.concept.spoken.values() for n in spoken}
    speaker = Speaker(random.Random(4), language('train'), tools, [])
    refused = {refusals.unknown_value(speaker)[1].reply for _ in range(600)}
    assert len(refused) > 100 and 'hall' in names
    assert not {f'Sorry, I do not know the {n}.' for n in names} & refused


def test_a_value_that_is_not_known_stands_beside_one_that_is():
    for one in _of_shape('unknown_value', 0.0):
        intents = [i for t in one.simulation.turns for i in t.intents]
        refused = [i for i in intents if i.kind == 'unknown_value']
        asked = [i for i in intents if i.kind == 'request']
        assert refused and asked and not refused[0].plan and asked[0].plan


def test_some_robots_stand_in_another_building_and_all_their_tools_know_it():
    robot = sim_robot()
    here = {name: schema['enum'] for spec in robot.specs
            for name, schema in spec.arguments_schema['properties'].items()}
    lists = set()
    for split in SPLITS:
        recipe = synthesize.Recipe(seed=1, own=1.0, elsewhere=0.5, only=('command', 'question'),
                                   per_robot=1)
        for index in range(12):
            one = synthesize.play(recipe, split, index, robot)
            found = {}
            for tool in one.tools:
                for name, schema in tool.spec.arguments_schema['properties'].items():
                    found.setdefault(name, set()).add(tuple(schema['enum']))
                    assert tool.allowed[name].choices == tuple(schema['enum'])
            assert all(len(values) == 1 for values in found.values())
            for entry in one.simulation.kernel.state.ledger:
                if entry.kind == Kind.CALL:
                    for name, value in entry.data['arguments'].items():
                        assert value in next(iter(found[name]))
            lists.add(('train' if split == 'train' else 'other', *found['place']))
    assert ('other', tuple(here['place'])) in lists and ('train', tuple(here['place'])) in lists
    assert len(lists) > 5 and sum(kind == 'other' for kind, _ in lists) == 1


def test_the_examples_of_another_building_name_what_is_there():
    specs = elsewhere(random.Random(2), language('train'), sim_robot().specs)
    shown = 0
    for spec in specs:
        for example in spec.examples:
            assert spec.check_arguments(example.arguments) is None
            assert all(v in example.say for v in example.arguments.values())
            shown += bool(example.arguments)
    assert shown > 3


def test_a_call_stands_right_behind_what_is_said_of_it():
    several = 0
    for one in _of_shape('parallel', 0.0) + _of_shape('timer_beside', 0.0):
        for turn in one.simulation.turns:
            if [i.kind for i in turn.intents] != ['parallel'] or len(turn.triggers) > 1:
                continue
            lines = turn.completion.removesuffix('<|im_end|>').split('\n')
            tools = [json.loads(line[5:])['name'] for line in lines if line.startswith('CALL {')]
            said = [lines[i - 1] for i, line in enumerate(lines)
                    if line.startswith('CALL {') and i and not lines[i - 1].startswith('CALL {')]
            assert lines[-1].startswith('CALL {') or not tools, turn.completion
            several += len(said) > 1
    assert several > 3


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
        # nothing that changes the world runs but what the person wanted in the end
        wanted = {one.simulation.planner.ids[a.key] for i, _ in made.values() for a in i.plan}
        for entry in ledger:
            if entry.kind == Kind.COMMIT and not one.simulation.tools[entry.name].reads:
                assert entry.call_id in wanted


def test_the_number_of_a_call_is_known_but_where_one_may_be_edited(conversations, streamed):
    """So an engine need not write it (llm/jump.py)."""
    known, unknown = 0, set()
    timers = synthesize.Recipe(seed=5, stream=1.0, only=('timer',))
    for one in (*conversations, *streamed,
                *(synthesize.play(timers, 'train', i) for i in range(12))):
        ledger = one.simulation.kernel.state.ledger
        for turn in one.simulation.turns:
            renderer = Renderer(FORM, turn.instance, lineage.prefixes(
                ledger[:turn.context_seq], turn.instance))
            renderer.feed(ledger[:turn.context_seq])
            number = renderer.next_call
            for line in turn.completion.split('\n'):
                if line.startswith('CALL {'):
                    written = json.loads(line[5:])['id']
                    if number:
                        assert written == f'c{number}', turn
                        known, number = known + 1, number + 1
                    else:
                        unknown.add(written in renderer.running)
    assert known > 100 and unknown == {True, False}    # True: an edit


def test_what_is_corrected_falls_before_it_is_known_what_is_meant_instead():
    alone = at_once = 0
    recipe = synthesize.Recipe(seed=12, stream=1.0, only=('corrected',))
    for i in range(20):
        for turn in synthesize.play(recipe, 'train', i).simulation.turns:
            if turn.intents and turn.intents[0].kind == 'corrected':
                lines = [line.split(' ')[0] for line in turn.completion.split('\n')]
                alone += lines == ['REMOVE']
                at_once += lines[:2] == ['REMOVE', 'CALL']
                assert lines.count('REMOVE') <= 1 and lines.count('CALL') <= 1
    assert alone > 10 and at_once > 3


def test_a_timer_is_corrected_by_the_same_call_again():
    recipe = synthesize.Recipe(seed=5, stream=1.0, only=('timer',))
    edits = 0
    for i in range(12):
        ledger = synthesize.play(recipe, 'train', i).simulation.kernel.state.ledger
        ids = [e.call_id for e in ledger if e.kind == Kind.CALL]
        edits += len(ids) - len(set(ids))
    assert edits


def test_what_it_can_do_is_asked_and_told_also_while_a_call_runs():
    """'What can you do' is not 'what are you doing': a small model mixes them up untaught."""
    busy = idle = 0
    robot = sim_robot()
    recipe = synthesize.Recipe(seed=4, stream=0.0, own=1.0, elsewhere=0.0, only=('about',))
    for i in range(12):
        simulation = synthesize.play(recipe, 'train', i, robot, FORM).simulation
        ledger = simulation.kernel.state.ledger
        for turn in simulation.turns:
            if 'I am a robot with tools.' in turn.completion:
                seen = ledger[:turn.context_seq]
                ended = {e.call_id for e in seen if e.kind == Kind.RESULT}
                runs = {e.call_id for e in seen if e.kind == Kind.COMMIT} - ended
                busy, idle = busy + bool(runs), idle + (not runs)
    assert busy > 5 and idle > 2


def _intents(name, count=300, split='train'):
    """Return what is said first in conversations of a shape about the simulated robot."""
    robot, found = sim_robot(), []
    for seed in range(count):
        speaker = Speaker(random.Random(seed), language(split),
                          own_tools(robot.specs, robot.phrases, split))
        found += [m.make(None) for m in (getattr(shapes, name)(speaker) or [])[:1]]
    return found


def test_the_same_is_asked_of_several_things():
    intents = _intents('listed')
    counts = [len(i.plan) for i in intents]
    assert {1, 2, 3} == set(counts)    # one: the other was taken back
    assert counts.count(3) > 0.15 * len(counts)
    for intent in intents:
        assert len({a.name for a in intent.plan}) == 1
        asked = [a.arguments['object'] for a in intent.plan]
        assert len(set(asked)) == len(asked)
        if len(asked) == 3 and intent.template.endswith(' is'):
            assert ' are' in intent.text


def test_a_place_may_be_named_by_what_is_found_there():
    found = {'where': 0, 'one of two': 0, 'corrected': 0, 'then': 0, 'besides': 0}
    for intent in _intents('dependent', 600):
        *before, last = intent.plan
        refs = {v.key for v in last.values.values() if hasattr(v, 'key')}
        assert refs and refs <= {a.key for a in before}
        found['where'] += '{it}' in intent.template and len(before) == 1
        found['one of two'] += [a.name for a in before] == ['find_object'] * 2
        found['corrected'] += any(a not in intent.plan for s in intent.stages for a in s.plan)
        found['then'] += [a.name for a in intent.then] == ['pick_up'] and \
            intent.then[0].arguments['object'] == before[0].arguments['object']
        found['besides'] += bool({a.name for a in before} - {'find_object'})
    assert min(found.values()) > 20, found


def test_what_was_taken_is_brought_somewhere():
    robot = sim_robot()
    clauses = {c.split(' {')[0] for c in robot.phrases['navigate_to']['with_it']['pick_up']}
    brought = [i for i in _intents('sequence')
               if any(f'{c} ' in i.text.lower() for c in clauses - {'go to the'})]
    assert len(brought) > 8
    assert all(i.plan[0].name == 'pick_up' and i.then[0].name == 'navigate_to' for i in brought)


def test_whether_two_things_are_in_one_place_is_looked_up_for_both():
    own = own_tools(sim_robot().specs, sim_robot().phrases, 'train')
    find = next(t for t in own if t.spec.name == 'find_object')
    pose = next(t for t in own if t.spec.name == 'get_pose')
    found = []
    for seed in range(300):
        rng = random.Random(seed)
        speaker = Speaker(rng, language('train'), own, disfluency=0.0)
        intent = errands.listed(speaker, find)
        assert errands.listed(speaker, pose) is None    # there is nothing to ask it for
        if intent is not None and '{two}' in intent.template:
            found.append(intent)
            first, second = intent.plan
            assert first.name == second.name == 'find_object'
            assert first.arguments != second.arguments
            assert intent.stages[0].plan == (first,)
    assert len({i.template for i in found}) > 8


def test_a_question_may_trail_off_when_it_is_clear_what_is_asked():
    tails, own = language('train').phrases['tails'], own_tools(sim_robot().specs, None)
    pose = next(t for t in own if t.spec.name == 'get_pose')
    trailing = 0
    for seed in range(300):
        intent = Speaker(random.Random(seed), language('train'), own, disfluency=0.0).request(pose)
        if any(intent.text.rstrip('.?').endswith(t) for t in tails):
            trailing += 1
            assert any(s.plan == intent.plan for s in intent.stages[:-1])
    assert trailing > 20


def test_what_is_trained_more_often_is_not_what_is_scored_more_often():
    tongue = language('test')
    rng = random.Random(5)
    speaker = Speaker(rng, tongue, invented(rng, tongue, 6))
    often = {}
    for evenly in (False, True):
        drawn = [shapes.draw(rng, speaker, evenly=evenly)[0] for _ in range(600)]
        often[evenly] = max(drawn.count(n) for n in shapes.SHAPES) / len(drawn)
    assert often[False] > 0.1 > often[True]
