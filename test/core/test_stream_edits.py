"""Calls of a stream that have ended, or wait for others, when the model changes its mind."""
from async_agent_ros.core import effects, events
from async_agent_ros.core.settings import Settings
from async_agent_ros.core.words import Kind
from kernel_world import of, World
import pytest


@pytest.fixture
def w():
    return World(Settings(result_group_s=0.0, speculation='stream', speculation_per_s=10.0))


def executed(out):
    return [(e.call_id, e.instance, dict(e.arguments)) for e in of(out, effects.Execute)]


def test_a_call_that_waits_for_another_of_the_stream_runs_once(w):
    w.hear('look where the battery is')
    w.call('get_battery', 'a')
    w.call('look', 'b', place='$a.place')
    out = w.step(events.CallEnded, call_id='a', status='succeeded', result={'place': 'hall'})
    out += w.finish()
    assert executed(out) == [('b', 'main', {'place': 'hall'})]
    w.step(events.CallEnded, call_id='b', status='succeeded', result={})
    assert [e.instance for e in w.ledger if e.kind == Kind.RESULT] == ['main', 'main']


def test_the_edit_of_a_call_that_has_ended_takes_its_result_back(w):
    w.hear('look at the hall')
    w.call('look', 'a', place='hall')
    w.finish()
    w.step(events.CallEnded, call_id='a', status='succeeded', result={})
    w.hear('look at the hall no the attic')
    [(new_id, _, _)] = executed(w.call('look', 'a', place='attic'))
    retract = next(e for e in w.ledger if e.kind == Kind.RETRACT)
    assert retract.call_id == 'a' != new_id and retract.generation_id
    assert not w.state.waiting


def test_the_removal_of_a_call_that_has_ended_stands_in_the_ledger(w):
    w.hear('look at the hall')
    w.call('look', 'a', place='hall')
    w.finish()
    w.step(events.CallEnded, call_id='a', status='succeeded', result={})
    w.hear('look at the hall no do not')
    w.generation(events.CallRemoved, call_id='a')
    [retract] = [e for e in w.ledger if e.kind == Kind.RETRACT]
    assert retract.call_id == 'a' and not w.state.waiting


@pytest.mark.parametrize('ended', [True, False])
def test_what_needs_a_removed_call_falls_with_it(w, ended):
    w.hear('find the cup and go there')
    w.call('look', 'a', place='hall')
    w.call('navigate_to', 'b', place='$a.place')
    w.call('look', 'c', place='$a.place')
    w.finish()
    if ended:
        out = w.step(events.CallEnded, call_id='a', status='succeeded', result={'place': 'lab'})
        assert [i for i, _, _ in executed(out)] == ['c']    # a read runs on with it
        w.step(events.CallEnded, call_id='c', status='succeeded', result={})
    words = 'find the cup and go there no do not'
    w.hear(words)
    w.generation(events.CallRemoved, call_id='a')
    w.finish()
    assert not executed(w.fall_silent(words)) and not executed(w.answer('Fine. '))
    assert {e.call_id for e in w.ledger if e.kind == Kind.RETRACT} == {'a', 'b', 'c'}
    assert not w.state.waiting


def test_what_waits_for_an_edited_call_waits_for_the_new_one(w):
    w.hear('find the red one and go there')
    w.call('look', 'a', place='red')
    w.call('navigate_to', 'b', place='$a.place')
    w.finish()
    w.step(events.CallEnded, call_id='a', status='succeeded', result={'place': 'hall'})
    words = 'find the red one and go there no the blue one'
    w.hear(words)
    [(new_id, _, _)] = executed(w.call('look', 'a', place='blue'))
    w.finish()
    w.step(events.CallEnded, call_id=new_id, status='succeeded', result={'place': 'lab'})
    assert executed(w.fall_silent(words)) == [('b', 'main', {'place': 'lab'})]


def test_a_drive_that_is_committed_outlives_the_removal_of_what_it_needed(w):
    w.hear('find the cup and go there')
    w.call('look', 'a', place='hall')
    w.call('navigate_to', 'b', place='$a.place')
    w.finish()
    w.step(events.CallEnded, call_id='a', status='succeeded', result={'place': 'hall'})
    w.fall_silent('find the cup and go there please')
    assert executed(w.generation(events.LineBegun)) == [('b', 'main', {'place': 'hall'})]
    out = w.generation(events.CallRemoved, call_id='a')
    assert not of(out, effects.CancelCall) and w.state.calls['b'].executing


def test_calls_that_need_each_other_fall_together(w):
    w.hear('one two three')
    w.call('look', 'a', place='$b.place')
    w.call('look', 'b', place='$a.place')
    w.generation(events.CallRemoved, call_id='a')
    assert not w.state.calls
