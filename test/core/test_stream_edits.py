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
