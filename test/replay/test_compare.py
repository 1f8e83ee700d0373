"""What a recorded run did, and two runs side by side."""
from kernel_world import World
import pytest
from recorded import write_journal

from async_agent_ros.core import events
from async_agent_ros.record.compare import Comparison, pair_turns
from async_agent_ros.record.history import load
from async_agent_ros.record.recorded_person import recorded_inputs
from async_agent_ros.record.runs import Run


@pytest.fixture
def run(journal_file):
    return Run(load(journal_file)[0])


def held(tmp_path, name, *talk):
    """Return the run of a world in which the person says things and gets answers."""
    w = World()
    for words, answer, call in talk:
        w.say(words)
        if call:
            w.call(call)
        w.text(answer)
        w.finish()
        w.play_all()
    return Run(load(write_journal(tmp_path / f'{name}.journal.jsonl', w))[0])


def test_every_answer_and_call_belongs_to_the_words_that_led_to_it(run):
    first, second = run.turns
    assert first.text == 'drive to the kitchen'
    assert [(c['name'], c['status']) for c in first.calls] == [('navigate_to', 'succeeded')]
    assert first.answers == ['I am on my way.', 'I have arrived at the kitchen.']
    assert second.answers == ['My battery is at 81 percent.']
    assert second.calls[0]['name'] == 'get_battery'
    assert first.text_s == pytest.approx(0.31, abs=0.001)
    assert first.audio_s is None, 'this sink never reported a start'


def test_executed_calls_come_with_their_life(run):
    drive, battery = run.calls
    assert (drive.name, drive.arguments) == ('navigate_to', {'place': 'kitchen'})
    [(at_s, progress, text)] = drive.progress
    assert (progress, text) == (0.5, '3 m left') and at_s == pytest.approx(4.02, abs=0.02)
    assert drive.status == 'succeeded' and drive.result == {'arrived_at': 'kitchen'}
    assert drive.duration_s > battery.duration_s > 0.05
    assert {'navigate_to', 'get_battery', 'open_door', 'look'} == set(run.specs)


def test_speech_is_measured_from_its_true_end(tmp_path):
    w = World()
    w.step(events.SpeechStarted, utterance_id='u')
    end_ns = w.now_ns
    w.step(events.SpeechStopped, after_ms=500, utterance_id='u', speech_end_ns=end_ns)
    w.step(events.TranscriptUpdated, after_ms=200, utterance_id='u', text='hello', final=True)
    w.text('Hello there, person. ')
    w.finish()
    [segment] = w.state.segments
    w.step(events.SpeechProgressed, after_ms=80, segment_id=segment, state='started',
           at_ns=w.now_ns + 80_000_000)
    w.step(events.SpeechProgressed, after_ms=2000, segment_id=segment, state='finished',
           at_ns=w.now_ns + 2_000_000_000)
    run = Run(load(write_journal(tmp_path / 'v.journal.jsonl', w))[0])
    [turn] = run.turns
    assert turn.audio_s == pytest.approx(0.5 + 0.2 + 0.01 + 0.01 + 0.08, abs=0.011)
    assert run.voice.chars_per_s == pytest.approx(len('Hello there, person. ') / 2.0, rel=0.01)
    inputs = recorded_inputs(run.history)
    assert [type(i.event).__name__ for i in inputs] == [
        'SpeechStarted', 'SpeechStopped', 'TranscriptUpdated']
    assert [round(i.at_s, 2) for i in inputs] == [0.0, 0.5, 0.7]


def test_sound_stands_in_place_of_what_was_recognised(tmp_path):
    from async_agent_ros.msg import Audio
    from async_agent_ros.nodes import qos
    from async_agent_ros.record.bag import BagWriter
    from async_agent_ros.record.reader import BagReadError
    from async_agent_ros.record.recorded_person import QUIET_S, recorded_sound
    from async_agent_ros.record.topics import bag_qos
    from rclpy.serialization import serialize_message
    w = World()
    w.step(events.SpeechStarted, after_ms=5000, utterance_id='u')
    onset_ns = w.now_ns
    w.step(events.SpeechStopped, after_ms=500, utterance_id='u', speech_end_ns=w.now_ns)
    w.step(events.TranscriptUpdated, after_ms=200, utterance_id='u', text='hello', final=True)
    w.say('and this is typed')
    history = load(write_journal(tmp_path / 'v.journal.jsonl', w))[0]
    bag = BagWriter(tmp_path / 'bag')
    for number in range(30):
        bag.write('/agent/audio_in', 'async_agent_ros/msg/Audio', [bag_qos(qos.AUDIO)],
                  onset_ns + (number - 20) * 100_000_000, serialize_message(Audio(
                      first_sample=number * 1600, sample_rate=16000, channels=1,
                      data=[number] * 1600)))
    bag.close()
    inputs = recorded_inputs(history, recorded_sound(tmp_path / 'bag'))
    kinds = [type(i.event).__name__ for i in inputs]
    assert kinds.count('Audio') == 25 and kinds.count('UserText') == 1 and len(kinds) == 26
    assert inputs[0].at_s == 0.0 and inputs[0].event.data[0] == 5, '1.5 s before the first word'
    typed = next(i for i in inputs if type(i.event).__name__ == 'UserText')
    assert typed.at_s == pytest.approx(QUIET_S + 0.71, abs=0.001)
    empty = BagWriter(tmp_path / 'empty')
    empty.write('/agent/x', 'std_msgs/msg/String', [bag_qos(qos.EVENT)], 1, b'')
    empty.close()
    with pytest.raises(BagReadError, match='no sound of the person'):
        recorded_sound(tmp_path / 'empty')


def test_words_that_were_recognised_in_another_way_are_paired(tmp_path):
    a = held(tmp_path, 'a', ('hello', 'Hi. ', ''), ('to the kitchen', 'Yes. ', ''))
    b = held(tmp_path, 'b', ('hello', 'Hi. ', ''), ('two the kitchen', 'Yes. ', ''))
    comparison = Comparison(a, b)
    assert all(p.recorded and p.other for p in comparison.pairs)
    assert 'what-if heard: two the kitchen' in comparison.table()
    assert comparison.to_json()['turns'][1]['what_if_heard'] == 'two the kitchen'


def test_turns_are_paired_by_the_persons_words(tmp_path):
    a = held(tmp_path, 'a', ('hello', 'Hi. ', ''), ('look', 'Yes. ', ''), ('thanks', 'Sure. ', ''))
    b = held(tmp_path, 'b', ('Hello', 'Hi. ', ''), ('thanks', 'Any time. ', 'get_battery'))
    pairs = pair_turns(a.turns, b.turns)
    assert [(bool(p.recorded), bool(p.other)) for p in pairs] == [
        (True, True), (True, False), (True, True)]
    assert [p.same_answer for p in pairs] == [True, False, False]
    assert [p.same_calls for p in pairs] == [True, True, False]
    comparison = Comparison(a, b, 'other', ['a remark'])
    summary = comparison.summary()
    assert (summary['turns'], summary['in_both'], summary['same_answer']) == (3, 2, 1)
    table = comparison.table()
    assert '(did not come to this)' in table and 'note: a remark' in table
    assert '! other' in table and '= other' in table and 'get_battery()' in table
    value = comparison.to_json()
    assert value['turns'][2]['what_if']['answer'] == 'Any time.'
    assert value['turns'][1]['what_if'] is None
