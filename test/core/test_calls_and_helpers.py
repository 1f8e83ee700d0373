"""Operands, resources, rates, timers, waits and helpers, on virtual time."""
from dataclasses import replace

from kernel_world import generates, of, TOOLS, World
import pytest

from async_agent_ros.core import effects, events
from async_agent_ros.core.chatml import Renderer
from async_agent_ros.core.kernel import Kernel
from async_agent_ros.core.ledger import Ledger
from async_agent_ros.core.lineage import prefixes
from async_agent_ros.core.settings import Settings
from async_agent_ros.core.words import Busy, Effect, Error, Kind

LIFT = replace(TOOLS['navigate_to'], name='lift', resources=('arm',), motion=False)
WAVE = replace(LIFT, name='wave', when_busy=Busy.REPLACE)
POINT = replace(LIFT, name='point', when_busy=Busy.REFUSE)
BEEP = replace(TOOLS['look'], name='beep', max_per_minute=2.0)
ALL = (*TOOLS.values(), LIFT, WAVE, POINT, BEEP)
S = 1000


def world(**settings):
    return World(Settings(**{'result_group_s': 0.0, **settings}), tools=ALL)


def results(w):
    return {e.call_id: (e.status, e.data['error_code'], e.data['error_msg'], e.data['result'])
            for e in w.ledger if e.kind == Kind.RESULT}


def executed(w):
    return [e.call_id for out in w.effects for e in of(out, effects.Execute)]


def ask(w, *calls, text='please'):
    """Have one generation make calls; each is (tool, id, arguments)."""
    w.say(text)
    w.stop_sink()
    for tool, call_id, arguments in calls:
        w.call(tool, call_id, **arguments)
    w.finish()


def end(w, call_id, status='succeeded', **fields):
    return w.step(events.CallEnded, call_id=call_id, status=status, **fields)


# -- operands -------------------------------------------------------------------------------------
def test_calls_run_as_their_operands_arrive():
    w = world()
    ask(w, ('look', 'a', {'place': 'hall'}), ('look', 'b', {'place': '$a.next.0'}),
        ('navigate_to', 'c', {'place': '$b'}))
    assert executed(w) == ['a']
    assert {c.call_id: str(c.phase) for c in w.state.calls.values()} == {
        'a': 'committed', 'b': 'waiting', 'c': 'waiting'}
    end(w, 'a', result={'next': ['kitchen']})
    assert executed(w) == ['a', 'b'] and w.state.calls['b'].arguments == {'place': 'kitchen'}
    out = end(w, 'b', result='garage')
    assert of(out, effects.Execute)[0].arguments == {'place': 'garage'}
    commit = next(e for e in w.ledger if e.kind == Kind.COMMIT and e.call_id == 'c')
    assert commit.data == {'arguments': {'place': 'garage'}}


def test_a_failed_operand_fails_its_dependents_with_the_reason():
    w = world()
    ask(w, ('look', 'a', {'place': 'hall'}), ('look', 'b', {'place': '$a'}),
        ('navigate_to', 'c', {'place': '$b'}))
    end(w, 'a', 'failed', error_code=702, error_msg='the lens is dirty')
    assert executed(w) == ['a'] and not w.state.calls
    assert results(w)['b'][:2] == ('failed', Error.OPERAND)
    assert 'the lens is dirty' in results(w)['b'][2]
    assert results(w)['c'][:2] == ('failed', Error.OPERAND) and 'b (look)' in results(w)['c'][2]


@pytest.mark.parametrize('place, code, words', [
    ('$a.colour', Error.OPERAND, 'a has next'),
    ('$a.next.5', Error.OPERAND, '1 items'),
    ('$a', Error.INVALID_ARGUMENTS, "is not of type 'string'"),
    ('$nobody', Error.INVALID_ARGUMENTS, "no call 'nobody'"),
    ('$b', Error.INVALID_ARGUMENTS, 'this call itself')])
def test_an_operand_that_has_no_value_is_said_by_name(place, code, words):
    w = world()
    ask(w, ('look', 'a', {'place': 'hall'}), ('look', 'b', {'place': place}))
    end(w, 'a', result={'next': ['kitchen']})
    assert results(w)['b'][:2] == ('failed', code) and words in results(w)['b'][2]


def test_operands_by_tool_name_and_ids_that_were_used_before():
    w = world()
    ask(w, ('look', 'a', {'place': 'hall'}))
    end(w, 'a', result={'n': 'old'})
    w.answer('')
    ask(w, ('look', 'a', {'place': 'attic'}), ('look', '', {'place': '$a.n'}),
        ('look', '', {'place': '$look.n'}))
    again = next(c for c in w.state.calls.values() if c.arguments == {'place': 'attic'})
    assert again.call_id != 'a' and len(w.state.calls) == 3
    end(w, again.call_id, result={'n': 'new'})
    assert [c.arguments for c in w.state.calls.values()] == [{'place': 'new'}] * 2


def test_an_edit_cannot_close_a_circle():
    w = world()
    w.say('please')
    w.call('navigate_to', 'a', place='hall')
    w.call('navigate_to', 'b', place='$a')
    w.call('navigate_to', 'a', place='$b')
    w.finish()
    assert results(w)['a'][:2] == ('failed', Error.INVALID_ARGUMENTS)
    assert results(w)['b'][:2] == ('failed', Error.OPERAND) and not w.state.calls


def test_a_confirm_call_asks_with_the_value_of_its_operand():
    w = world()
    ask(w, ('look', 'a', {'place': 'hall'}), ('open_door', 'b', {'place': '$a'}))
    out = end(w, 'a', result='cellar')
    assert 'cellar' in of(out, effects.Say)[0].text and executed(w) == ['a']
    w.play_all()
    w.say('yes')
    assert executed(w) == ['a', 'b']


# -- resources and rates --------------------------------------------------------------------------
def test_two_calls_that_need_one_resource_queue_in_order():
    w = world()
    ask(w, ('lift', 'a', {'place': 'x'}), ('lift', 'b', {'place': 'y'}),
        ('lift', 'c', {'place': 'z'}))
    assert executed(w) == ['a']
    waiting = [e for e in w.ledger if e.name == 'waiting']
    assert [e.call_id for e in waiting] == ['b', 'c'] and 'a (lift)' in waiting[0].content
    end(w, 'a')
    assert executed(w) == ['a', 'b']
    end(w, 'b', 'failed')
    assert executed(w) == ['a', 'b', 'c']


def test_a_busy_resource_refuses_or_is_taken_over_as_the_tool_says():
    w = world()
    ask(w, ('lift', 'a', {'place': 'x'}))
    ask(w, ('point', 'b', {'place': 'y'}))
    assert results(w)['b'][:2] == ('failed', Error.BUSY) and 'a (lift)' in results(w)['b'][2]
    ask(w, ('wave', 'c', {'place': 'z'}))
    assert [e.call_id for out in w.effects for e in of(out, effects.CancelCall)] == ['a']
    assert executed(w) == ['a'], 'the new one waits for the end of the old one'
    end(w, 'a', 'cancelled')
    assert executed(w) == ['a', 'c']


def test_a_call_that_waits_can_be_cancelled_and_never_runs():
    w = world()
    ask(w, ('lift', 'a', {'place': 'x'}), ('lift', 'b', {'place': 'y'}))
    ask(w, ('cancel', '', {'call': 'b'}))
    assert results(w)['b'][0] == 'retracted'
    end(w, 'a')
    assert executed(w) == ['a']


def test_the_rate_of_a_tool_is_bounded_also_over_a_restart():
    w = world()
    ask(w, ('beep', 'a', {'place': 'x'}), ('beep', 'b', {'place': 'y'}))
    end(w, 'a')
    end(w, 'b')
    w.restart()
    ask(w, ('beep', 'c', {'place': 'z'}))
    assert results(w)['c'][:2] == ('failed', Error.RATE) and 'again in' in results(w)['c'][2]
    w.finish()
    w.now_ns += 60 * 10**9
    ask(w, ('beep', 'd', {'place': 'z'}))
    assert 'd' in executed(w)


def test_a_call_that_nobody_ends_is_lost_after_its_timeout():
    w = World(Settings(result_group_s=0.0), tools=(replace(LIFT, timeout_s=5.0),))
    w.say('please')
    w.call('lift', 'a', place='x')
    timer = next(t for t in of(w.finish(), effects.SetTimer) if t.timer_id == 'timeout:a')
    assert (timer.at_ns - w.now_ns) / 1e9 == pytest.approx(15.0)
    w.step(events.TimerFired, timer_id='timeout:a')
    assert results(w)['a'][0] == 'lost'


def test_promised_work_that_a_restart_prevents_is_told():
    w = world()
    ask(w, ('lift', 'a', {'place': 'x'}), ('lift', 'b', {'place': 'y'}))
    w.answer('On it.')
    w.play_all()
    w.restart()
    assert results(w)['b'][0] == 'retracted' and 'restarted' in results(w)['b'][2]
    asked = [g for out in w.effects for g in generates(out)][-1]
    assert any(x.seq == w.state.result_seqs['b']
               for x in w.state.answers[asked.generation_id].waiting)


# -- results together -----------------------------------------------------------------------------
def test_calls_that_end_together_are_answered_together():
    w = world(result_group_s=0.1)
    ask(w, ('look', 'a', {'place': 'x'}), ('look', 'b', {'place': 'y'}))
    assert not generates(end(w, 'a')) and not generates(end(w, 'b'))
    assert w.state.phase == 'generating', 'it is not over yet'
    out = w.step(events.TimerFired, timer_id='group')
    assert len(generates(out)) == 1
    waiting = w.state.answers[w.state.active].waiting
    assert [x.seq for x in waiting] == [w.state.result_seqs['a'], w.state.result_seqs['b']]


def test_words_do_not_wait_for_a_group():
    w = world(result_group_s=0.1)
    ask(w, ('look', 'a', {'place': 'x'}))
    end(w, 'a')
    assert len(generates(w.say('and now?'))) == 1


def test_wait_holds_results_back_until_all_are_there():
    w = world()
    ask(w, ('look', 'a', {'place': 'x'}), ('look', 'b', {'place': 'y'}), ('wait', 'w', {}))
    assert not generates(end(w, 'a'))
    out = end(w, 'b')
    assert len(generates(out)) == 1 and results(w)['w'][3] == {'a': 'succeeded', 'b': 'succeeded'}


def test_a_wait_can_run_out():
    w = world()
    ask(w, ('look', 'a', {'place': 'x'}), ('wait', 'w', {'calls': ['look'], 'timeout_s': 3}))
    out = w.step(events.TimerFired, timer_id='due:w')
    assert results(w)['w'][:2] == ('failed', Error.TIMEOUT) and len(generates(out)) == 1
    ask(w, ('wait', 'v', {'calls': ['nothing']}))
    assert results(w)['v'][1] == Error.TOOL_FAILED


# -- the clock ------------------------------------------------------------------------------------
def due_s(w, call_id):
    timers = [t for out in w.effects for t in of(out, effects.SetTimer)
              if t.timer_id == f'due:{call_id}']
    return (timers[-1].at_ns - w.state.now_ns) / 1e9


def test_a_timer_reports_once():
    w = world()
    ask(w, ('set_timer', 't', {'after': '10 seconds', 'text': 'check the oven'}))
    assert due_s(w, 't') == pytest.approx(10.0, abs=0.1)
    assert generates(w.effects[-1]), 'silent until then: somebody must say that it is set'
    w.answer('I will.')
    w.play_all()
    out = w.step(events.TimerFired, after_ms=10 * S, timer_id='due:t')
    assert results(w)['t'][3] == {'time_is_up': 'check the oven'} and len(generates(out)) == 1


def test_a_timer_that_comes_again_does_not_drift_and_ends_when_cancelled():
    w = world()
    ask(w, ('set_timer', 't', {'every': 'minute', 'text': 'drink'}))
    w.answer('Okay.')
    begun_ns = w.state.calls['t'].committed_ns
    for number in (1, 2):
        w.now_ns = begun_ns + number * 60 * 10**9 + 70 * 10**6
        out = w.step(events.TimerFired, timer_id='due:t')
        assert generates(out) or w.state.active
        assert (w.state.now_ns + due_s(w, 't') * 1e9 - begun_ns) / 1e9 == pytest.approx(
            (number + 1) * 60)
        w.answer('Drink.')
    ask(w, ('cancel', '', {'call': 'set_timer'}))
    assert results(w)['t'][0] == 'cancelled' and 't' not in w.state.calls


def test_a_timer_at_a_clock_time_and_the_time_of_day():
    w = world(utc_offset_s=3600)    # the world begins at 00:00:01 UTC
    ask(w, ('set_timer', 't', {'at': '07:30'}), ('now', 'n', {}),
        ('set_timer', 'u', {'at': '00:59:00'}))
    assert due_s(w, 't') == pytest.approx(6.5 * 3600, abs=2)
    assert due_s(w, 'u') == pytest.approx(24 * 3600 - 61, abs=2)
    assert results(w)['n'][3] == {'time': '01:00:01', 'date': '1970-01-01',
                                  'weekday': 'Thursday'}
    ask(w, ('set_timer', 'v', {'at': '25:00'}), ('set_timer', 'x', {}))
    assert results(w)['v'][1] == results(w)['x'][1] == Error.INVALID_ARGUMENTS


@pytest.mark.parametrize('said, hours', [
    ('half past seven', 6.5), ('7:30', 6.5), ('07:30', 6.5), ('seven thirty in the evening', 18.5),
    ('quarter to one', 11.75), ('one', 12), ('1 am', 24), ('13:00', 12)])
def test_a_time_that_does_not_say_which_half_of_the_day_is_the_next_one(said, hours):
    w = world(utc_offset_s=3600)    # it is 01:00:01
    ask(w, ('set_timer', 't', {'at': said}))
    assert due_s(w, 't') == pytest.approx(hours * 3600, abs=2)


def test_a_timer_needs_one_time_and_says_so():
    w = world()
    ask(w, ('set_timer', 't', {'text': 'oven'}),
        ('set_timer', 'u', {'after': '5 minutes', 'every': 'hour'}))
    for call_id in 'tu':
        assert results(w)[call_id][1] == Error.INVALID_ARGUMENTS
        assert 'exactly one of after, at and every' in results(w)[call_id][2]


def test_timers_survive_a_restart():
    w = world()
    ask(w, ('set_timer', 't', {'after': '10 seconds', 'text': 'oven'}))
    w.now_ns += 4 * 10**9
    w.restart()
    assert due_s(w, 't') == pytest.approx(6.0, abs=0.1)
    w.step(events.TimerFired, timer_id='due:t')
    assert results(w)['t'][0] == 'succeeded'


def test_a_timer_of_an_older_ledger_that_cannot_be_read_is_told_and_ended():
    w = world()
    ask(w, ('set_timer', 't', {'after': '10 seconds', 'text': 'oven'}))
    older = [replace(e, content=e.content.replace('"after":"10 seconds"', '"after_s":10'))
             for e in w.ledger]
    assert older != list(w.ledger)
    w.kernel = Kernel(Ledger(older))
    w.step(events.Started, session='s', settings=w.settings.to_json())
    assert results(w)['t'][:2] == ('failed', Error.INVALID_ARGUMENTS)
    assert 't' not in w.state.calls


# -- helpers --------------------------------------------------------------------------------------
def helper(w, tool='fork', **arguments):
    """Start a helper and return its Generate effect; the person's turn is over."""
    ask(w, (tool, 'h', arguments or {'task': 'find the cup'}))
    w.answer('I will find out.')
    w.play_all()
    return next(g for out in w.effects for g in generates(out) if g.instance != 'main')


def of_helper(w, begun, kind, **fields):
    return w.step(kind, generation_id=begun.generation_id, epoch=begun.epoch, **fields)


def test_a_fork_works_and_reports_as_the_result_of_its_call():
    w = world()
    begun = helper(w)
    of_helper(w, begun, events.CallGenerated, name='look', call_id='l',
              arguments={'place': 'hall'})
    of_helper(w, begun, events.GenerationEnded)
    assert 'h' in w.state.calls and w.state.phase == 'idle'
    out = end(w, 'l', result={'there': 'cup'})
    again = generates(out)[0]
    assert again.instance == begun.instance == 'i1'
    out = of_helper(w, again, events.TextGenerated, text='The cup is in the hall.')
    assert not of(out, effects.Say), 'nobody hears a helper'
    out = of_helper(w, again, events.GenerationEnded)
    assert results(w)['h'][3] == {'report': 'The cup is in the hall.'}
    assert [g.instance for g in generates(out)] == ['main'] and not w.state.instances
    last = [e for e in w.ledger if e.kind == Kind.END and e.instance == 'i1'][-1]
    assert last.status == 'succeeded' and last.generation_id == 0


def test_words_of_the_person_interrupt_no_helper():
    w = world()
    begun = helper(w)
    w.say('how is the weather?')
    w.text('Fine, I ')
    w.say('stop')
    w.stop_sink()
    of_helper(w, begun, events.TextGenerated, text='Here it is.')
    of_helper(w, begun, events.GenerationEnded)
    assert results(w)['h'][3] == {'report': 'Here it is.'}


def test_a_fork_reads_what_its_parent_knew_and_a_spawn_only_its_brief():
    w = world()
    w.say('my cup is blue')
    w.answer('I see.')
    w.play_all()
    begun = helper(w)
    entries = list(w.ledger)
    fork = Renderer(instance='i1', prefixes=prefixes(entries, 'i1'))
    fork.feed(entries[:begun.context_seq])
    assert 'my cup is blue' in fork.text and 'find the cup' in fork.text
    assert 'I will find out' not in fork.text and 'please' in fork.text
    main = Renderer()
    main.feed(entries)
    shared = fork.text[:fork.text.index('You are now a helper')].rsplit('<|im_start|>', 1)[0]
    assert main.text.startswith(shared), 'the KV cache of the parent holds the prefix'

    w = world()
    w.say('my cup is blue')
    w.answer('I see.')
    begun = helper(w, 'spawn', brief='count the rooms', tools=['look'])
    entries = list(w.ledger)
    spawn = Renderer(instance='i1', prefixes=prefixes(entries, 'i1'))
    spawn.feed(entries[:begun.context_seq])
    assert 'my cup is blue' not in spawn.text and 'count the rooms' in spawn.text
    assert [t.name for t in spawn.shown_tools] == ['look']
    out = of_helper(w, begun, events.CallGenerated, name='navigate_to',
                    arguments={'place': 'hall'})
    assert not of(out, effects.Execute)
    assert [r for r in results(w).values() if r[1] == Error.UNKNOWN_TOOL]


def test_cancelling_a_parent_ends_its_children_and_what_they_run():
    w = world()
    begun = helper(w)
    of_helper(w, begun, events.CallGenerated, name='spawn', call_id='g',
              arguments={'brief': 'x'})
    of_helper(w, begun, events.CallGenerated, name='look', call_id='l',
              arguments={'place': 'hall'})
    of_helper(w, begun, events.GenerationEnded)
    assert list(w.state.instances) == ['i1', 'i2']
    ask(w, ('cancel', '', {'call': 'h'}))
    assert not w.state.instances and results(w)['h'][0] == results(w)['g'][0] == 'cancelled'
    assert [e.call_id for out in w.effects for e in of(out, effects.CancelCall)] == ['l']
    assert [e.generation_id for out in w.effects for e in of(out, effects.AbortGeneration)]
    ends = [e.instance for e in w.ledger if e.kind == Kind.END and not e.generation_id]
    assert sorted(ends) == ['i1', 'i2']


def test_helpers_are_bounded_in_number_and_depth():
    w = world(max_instances=2, max_depth=1)
    ask(w, *[('fork', f'f{i}', {'task': 't'}) for i in range(3)])
    assert results(w)['f2'][:2] == ('failed', Error.REJECTED) and '2 helpers' in results(w)['f2'][2]
    begun = next(g for out in w.effects for g in generates(out) if g.instance == 'i1')
    of_helper(w, begun, events.CallGenerated, name='spawn', call_id='g',
              arguments={'brief': 'x'})
    assert 'depth of 1' in results(w)['g'][2]


def test_a_helper_that_never_ends_is_ended():
    w = world(max_chain=3)
    begun = helper(w)
    for number in range(3):
        of_helper(w, begun, events.CallGenerated, name='get_battery', call_id=f'b{number}')
        of_helper(w, begun, events.GenerationEnded)
        out = end(w, f'b{number}', result=1)
        begun = next((g for g in generates(out) if g.instance == 'i1'), begun)
    assert results(w)['h'][0] == 'failed' and '3 generations' in results(w)['h'][2]


def test_a_restart_ends_helpers_as_lost_and_says_so():
    w = world()
    begun = helper(w)
    of_helper(w, begun, events.CallGenerated, name='look', call_id='l',
              arguments={'place': 'hall'})
    w.restart()
    assert results(w)['h'][0] == 'lost' and not w.state.instances
    assert w.state.next_instance == 2
    out = w.step(events.CallAccepted, call_id='l')
    assert of(out, effects.CancelCall), 'nobody waits for its result'


def test_a_state_changing_call_of_a_helper_waits_for_its_commit_point():
    w = world()
    begun = helper(w)
    of_helper(w, begun, events.CallGenerated, name='navigate_to', call_id='n',
              arguments={'place': 'hall'})
    assert 'n' not in executed(w)
    of_helper(w, begun, events.GenerationEnded)
    assert 'n' in executed(w) and w.state.calls['n'].spec.effect == Effect.STATE_CHANGING


def test_a_dispatcher_that_dies_costs_a_helper_nothing_but_time():
    w = world()
    helper(w)
    w.step(events.PeerChanged, peer='dispatcher', alive=False)
    out = w.step(events.PeerChanged, peer='dispatcher', alive=True)
    assert [g.instance for g in generates(out)] == ['i1']
