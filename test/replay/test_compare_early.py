"""What a run did before the words were final belongs to these words, and is told apart."""
from kernel_world import TOOLS, World
import pytest
from recorded import write_journal

from async_agent_ros.core import events
from async_agent_ros.core.settings import Settings
from async_agent_ros.record.compare import Comparison
from async_agent_ros.record.history import load
from async_agent_ros.record.recorded_tools import RecordedCalls
from async_agent_ros.record.runs import Run

ASK = 'what is your battery'
READ = {'call_id': 's1', 'status': 'succeeded', 'result': {'percent': 81}}


def world(mode):
    """Return a world in which one thing was said and answered before."""
    w = World(Settings(result_group_s=0.0, speculation=mode, speculation_per_s=10.0),
              tools=tuple(TOOLS.values()))
    w.say('drive to the kitchen')
    w.call('navigate_to', place='kitchen')
    w.answer('I am on my way. ')
    w.play_all()
    return w


def run_of(tmp_path, w, name='run'):
    w.step(events.Stopping)
    return Run(load(write_journal(tmp_path / f'{name}.journal.jsonl', w))[0])


def drafted(tmp_path, name='drafted'):
    """Return the run in which a wrong draft is dropped and the next one becomes the answer."""
    w = world('revise')
    w.hear('what is')
    w.draft(events.CallGenerated, name='look', arguments={'place': 'hall'})
    dropped = w.state.draft.answers[0]
    w.hear(ASK)
    w.step(events.GenerationEnded, generation_id=dropped, finish_reason='aborted',
           output_tokens=6)
    w.draft(events.CallGenerated, name='get_battery')
    w.draft(events.GenerationEnded, output_tokens=5)
    early = next(c for c, call in w.state.calls.items() if call.spec.name == 'get_battery')
    w.step(events.CallEnded, **{**READ, 'call_id': early})
    w.draft(events.TextGenerated, text='It is at 81 percent. ')
    w.draft(events.GenerationEnded, output_tokens=7)
    w.fall_silent('What is your battery?')
    w.play_all()
    return run_of(tmp_path, w, name)


def test_a_draft_belongs_to_the_words_that_it_answered(tmp_path):
    run = drafted(tmp_path)
    drive, battery = run.turns
    assert [c['name'] for c in drive.calls] == ['navigate_to'] and drive.answers == [
        'I am on my way.']
    assert battery.source == 'speech' and battery.answers == ['It is at 81 percent.']
    assert [(c['call_id'], c['name'], c['status']) for c in battery.calls] == [
        ('c2', 'get_battery', 'succeeded')], 'early calls are not calls of the turn'
    assert 0.0 <= battery.text_s < 0.1, 'it was there when the words were final'
    made = battery.speculation
    assert made.early and made.drafts == 2 and made.early_hits == 1 and made.lead_s > 0.0
    assert made.wasted_tokens == 6
    assert not drive.speculation.made


def test_the_comparison_tells_what_speculation_brought(tmp_path):
    w = world('off')
    w.hear(ASK)
    w.fall_silent('What is your battery?')
    w.call('get_battery')
    w.finish()
    w.step(events.CallEnded, after_ms=300, call_id='c2', status='succeeded',
           result={'percent': 81})
    w.answer('It is at 81 percent. ')
    w.play_all()
    compared = Comparison(run_of(tmp_path, w), drafted(tmp_path), 'revise')
    assert [p.same_calls for p in compared.pairs] == [True, True]
    summary = compared.summary()
    assert summary['speculation_what_if']['drafts'] == 2 and not summary['speculation']['drafts']
    text = compared.table()
    assert '(answer begun early; 2 drafts;' in text
    assert 'revise before the words were final: 1 of 2 answers begun; 2 drafts;' in text
    assert 'recorded before the words' not in text
    assert compared.to_json()['turns'][1]['what_if']['speculation']['early'] is True


def test_calls_on_words_that_stream_into_the_context_belong_to_the_whole(tmp_path):
    w = world('stream')
    w.hear(ASK)
    w.call('get_battery', 'b')
    w.finish()
    w.step(events.CallEnded, call_id='b', status='succeeded', result={'percent': 81})
    w.fall_silent('What is your battery?')
    w.answer('It is at 81 percent. ')
    w.play_all()
    run = run_of(tmp_path, w)
    drive, battery = run.turns
    assert [c['name'] for c in drive.calls] == ['navigate_to']
    assert battery.text == 'What is your battery?' and battery.answers == ['It is at 81 percent.']
    assert [(c['name'], c['status']) for c in battery.calls] == [('get_battery', 'succeeded')]
    assert battery.speculation.early_calls == battery.speculation.early_hits == 1


def test_what_only_reads_may_be_read_again(tmp_path):
    run = drafted(tmp_path)
    assert [c.name for c in run.calls] == ['navigate_to', 'look', 'get_battery']
    calls = RecordedCalls(run.calls)
    first = calls.take('get_battery', {}, read_only=True)
    assert calls.take('get_battery', {}, read_only=True) is first and not calls.remarks
    with pytest.raises(Exception, match='was called 1 time there'):
        calls.take('get_battery', {})
