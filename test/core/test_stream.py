"""Partial words in the running context, for models that were trained for it."""
from async_agent_ros.core import effects, events
from async_agent_ros.core.replay import first_difference, replay
from async_agent_ros.core.settings import Settings
from async_agent_ros.core.words import Kind
from kernel_world import generates, of, TOOLS, World
import pytest


@pytest.fixture
def w():
    return World(Settings(result_group_s=0.0, speculation='stream', speculation_per_s=10.0))


def executed(out):
    return [(e.call_id, e.spec.name, dict(e.arguments)) for e in of(out, effects.Execute)]


def kinds(w):
    return [(str(e.kind), e.name, e.content) for e in w.ledger if e.kind == Kind.USER]


def test_only_new_words_enter_the_context_and_the_final_ones_are_whole(w):
    goal, = generates(w.hear('could you go', stable=9))
    assert goal.speculative and goal.instance == 'main' and not goal.assumed
    w.finish()
    assert generates(w.hear('could you go to the hall', stable=19))
    w.finish()
    out = w.fall_silent('Could you go to the hall?')
    assert [c for _, _, c in kinds(w)] == [
        'could you', 'go to the', 'Could you go to the hall?']
    final = w.ledger[generates(out)[0].context_seq - 1]
    assert final.about_seq == next(e.seq for e in w.ledger if e.name == 'partial')
    assert not generates(out)[0].speculative
    w.answer('I go. ')
    w.play_all()
    assert w.state.phase == 'idle' and not w.state.answers and w.state.stream is None


def test_words_that_come_during_a_reaction_wait_for_its_end(w):
    w.hear('could you')
    assert not generates(w.hear('could you go')) and not generates(w.hear('could you go to'))
    assert len(generates(w.finish())) == 1
    assert [c for _, _, c in kinds(w)] == ['could you', 'go to']


def test_nothing_is_said_before_the_words_are_final(w):
    w.hear('could you')
    assert not of(w.text('Yes! '), effects.Say)
    w.finish()
    assert not w.state.segments and not any(e.kind == Kind.ASSISTANT for e in w.ledger)
    end = w.ledger[-1]
    assert end.kind == Kind.END and end.data['partial']


def test_reads_run_at_once_and_the_rest_at_the_end_of_the_final_generation(w):
    w.hear('look at the hall and go')
    assert executed(w.call('look', 'c1', place='hall')) == [('c1', 'look', {'place': 'hall'})]
    assert not executed(w.call('navigate_to', 'c2', place='hall'))
    assert not executed(w.finish())
    w.step(events.CallEnded, call_id='c1', status='succeeded', result={'sees': 'a cup'})
    out = w.fall_silent('look at the hall and go there')    # other words than it has seen
    assert not executed(out) and len(generates(out)) == 1
    w.text('I see a cup. ')
    out = w.finish()
    assert executed(out) == [('c2', 'navigate_to', {'place': 'hall'})]
    out = w.play_all()
    counts = of(out, effects.TurnMeasured)[-1].counts
    assert counts['early_calls'] == counts['early_hits'] == 1 and counts['lead_s'] > 0.0
    assert not generates(out)    # the look was told with the answer


def test_a_call_that_is_written_once_more_is_the_same_call(w):
    w.hear('go to the hall')
    w.call('navigate_to', place='hall')
    w.finish()
    w.fall_silent('go to the hall please')
    w.call('navigate_to', place='hall')
    out = w.finish()
    assert executed(out) == [('c1', 'navigate_to', {'place': 'hall'})]
    assert len(w.state.calls) == 1


def test_a_read_that_is_written_once_more_has_its_result(w):
    w.hear('look at the hall')
    w.call('look', 'c1', place='hall')
    w.finish()
    w.step(events.CallEnded, call_id='c1', status='succeeded', result={'sees': 'a cup'})
    w.fall_silent('look at the hall please')
    assert not executed(w.call('look', place='hall'))
    assert w.ledger[-1].data['taken_from'] == 'c1'
    # once: the person may want to have another look
    assert executed(w.call('look', place='hall'))


def test_a_read_that_partial_words_led_to_already_is_not_made_again(w):
    w.hear('look at the hall')
    w.call('look', 'c1', place='hall')
    w.finish()
    w.hear('look at the hall my friend')
    assert not executed(w.call('look', 'c2', place='hall'))
    assert len([e for e in w.ledger if e.kind == Kind.CALL]) == 1
    w.call('navigate_to', 'c3', place='$c2.sees')    # what it knows as c2 is c1
    assert w.state.calls['c3'].arguments == {'place': '$c1.sees'}
    w.finish()
    w.hear('look at the hall my friend no')
    w.generation(events.CallRemoved, call_id='c1')
    w.finish()
    w.hear('look at the hall my friend no yes do it')
    assert executed(w.call('look', 'c4', place='hall'))    # it was taken back


@pytest.mark.parametrize('name, arguments', [
    ('look', {'place': 'moon', 'more': 1}), ('dance', {}), ('navigate_to', {'place': '$c1.sees'})])
def test_a_guess_that_cannot_run_is_not_written(w, name, arguments):
    w.hear('look at the hall')
    w.call('look', 'c1', place='hall')
    w.finish()
    w.hear('look at the hall no')
    w.generation(events.CallRemoved, call_id='c1')
    w.finish()
    w.hear('look at the hall no not that')
    assert not executed(w.call(name, 'c2', **arguments))
    assert [e.call_id for e in w.ledger if e.kind == Kind.CALL] == ['c1'] and not w.state.waiting
    w.finish()
    w.fall_silent('look at the hall no not that please')
    w.call(name, 'c2', **arguments)    # an answer that cannot run is told
    assert w.state.ended_calls['c2'] == 'failed' and w.state.waiting


def test_an_edit_that_cannot_run_takes_the_call_back(w):
    w.hear('go to the hall')
    w.call('navigate_to', 'c1', place='hall')
    w.finish()
    w.hear('go to the hall no the moon')
    w.call('navigate_to', 'c1', place='moon', more=1)
    w.finish()
    out = w.fall_silent('go to the hall no the moon') + w.answer('There is no moon. ')
    assert not executed(out) and not w.state.calls and w.state.ended_calls['c1'] == 'retracted'


def test_edits_and_removals(w):
    w.hear('get the red')
    w.call('look', 'c1', place='red')
    w.call('navigate_to', 'c2', place='red')
    w.finish()
    w.hear('get the red no the blue one')
    out = w.call('look', 'c1', place='blue')
    assert [e.call_id for e in of(out, effects.CancelCall)] == ['c1']
    assert [c[1:] for c in executed(out)] == [('look', {'place': 'blue'})]
    w.call('navigate_to', 'c2', place='blue')    # has not run: the same id again
    w.finish()
    assert w.state.calls['c2'].arguments == {'place': 'blue'}
    w.fall_silent('get the red no the blue one please')
    removed = w.generation(events.CallRemoved, call_id='c2')
    assert not of(removed, effects.CancelCall)    # it never ran
    out = w.answer('I stay here. ')
    assert not executed(out)
    retract = next(e for e in w.ledger if e.kind == Kind.RETRACT and e.call_id == 'c2')
    assert retract.generation_id


def test_a_call_that_was_edited_can_be_edited_by_its_new_id(w):
    w.hear('get the red')
    w.call('look', 'c1', place='red')
    w.call('look', 'c1', place='blue')
    new, = [c.call_id for c in w.state.calls.values() if c.arguments == {'place': 'blue'}]
    out = w.call('look', new, place='green')
    assert [e.call_id for e in of(out, effects.CancelCall)] == [new]
    assert [c[2] for c in executed(out)] == [{'place': 'green'}]


def test_the_result_of_a_removed_read_is_not_told(w):
    w.hear('look at the hall')
    w.call('look', 'c1', place='hall')
    w.finish()
    w.step(events.CallEnded, call_id='c1', status='succeeded', result={})
    w.hear('look at the hall no do not')
    w.generation(events.CallRemoved, call_id='c1')
    w.finish()
    assert not w.state.waiting
    w.fall_silent('look at the hall no do not')
    w.answer('Fine. ')
    out = w.play_all()
    counts = of(out, effects.TurnMeasured)[-1].counts
    assert (counts['early_calls'], counts['early_hits']) == (1, 0)


def test_a_reaction_under_way_is_finished_before_the_final_words_are_answered(w):
    w.hear('go to the')
    out = w.fall_silent('go to the hall')
    assert not of(out, effects.AbortGeneration) and not of(out, effects.Interrupt)
    assert not generates(out)
    assert not executed(w.call('navigate_to', 'c1', place='hall'))
    out = w.finish()
    assert not executed(out) and len(generates(out)) == 1    # it has not seen the last word
    assert executed(w.answer('I go. ')) == [('c1', 'navigate_to', {'place': 'hall'})]


def test_a_reaction_that_takes_too_long_is_cut_off(w):
    w.hear('go to the hall')
    w.call('navigate_to', 'c1', place='hall')
    w.fall_silent('go to the hall')
    timer_id = f'reaction:{w.state.active}'
    assert not w.step(events.TimerFired, timer_id='reaction:99')
    out = w.step(events.TimerFired, after_ms=1000, timer_id=timer_id)
    assert of(out, effects.AbortGeneration) and len(generates(out)) == 1
    assert not executed(out) and w.state.calls['c1'].phase == 'pending'
    assert executed(w.finish()) == [('c1', 'navigate_to', {'place': 'hall'})]


@pytest.mark.parametrize('told', [False, True])
def test_a_plan_for_exactly_the_final_words_is_committed_with_them(w, told):
    w.hear('go to the hall')
    if told:    # engines that tell when a line begins do so before every call
        w.generation(events.LineBegun, call_id='c1')
    w.call('navigate_to', 'c1', place='hall')
    w.finish()
    out = w.fall_silent('Go to the hall.')
    assert executed(out) == [('c1', 'navigate_to', {'place': 'hall'})]
    commit = next(e for e in w.ledger if e.kind == Kind.COMMIT)
    assert len(generates(out)) == 1 and commit.seq < generates(out)[0].context_seq
    assert w.ledger[commit.seq - 1].content == 'Go to the hall.'
    w.answer('I go. ')
    assert len(w.state.calls) == 1


def planned(w, final='go to the hall please'):
    """Return what comes of a plan (a drive) whose final words hold one that it has not read."""
    w.hear('go to the hall')
    w.call('navigate_to', 'c1', place='hall')
    w.finish()
    out = w.fall_silent(final)
    assert not executed(out)
    return generates(out)[0]


@pytest.mark.parametrize('call_id', ['', 'c2'])
def test_a_plan_is_final_when_the_answer_goes_on_to_something_new(w, call_id):
    assert planned(w).tell_begun
    out = w.generation(events.LineBegun, call_id=call_id)
    assert executed(out) == [('c1', 'navigate_to', {'place': 'hall'})]
    assert not executed(w.generation(events.LineBegun, call_id='c3'))
    w.call('navigate_to', 'c3', place='lab')
    assert w.state.calls['c3'].phase == 'pending'    # what is new waits for the end, as ever
    assert executed(w.finish()) == [('c3', 'navigate_to', {'place': 'lab'})]


def test_a_plan_is_not_final_while_the_answer_edits_it(w):
    planned(w)
    assert not executed(w.generation(events.LineBegun, call_id='c1'))
    assert not executed(w.call('navigate_to', 'c1', place='lab'))
    assert not executed(w.generation(events.LineBegun))    # the edit is of this generation
    assert executed(w.finish()) == [('c1', 'navigate_to', {'place': 'lab'})]


def test_what_is_removed_first_never_runs(w):
    planned(w)
    w.generation(events.CallRemoved, call_id='c1')
    assert not executed(w.generation(events.LineBegun))
    assert not executed(w.answer('Fine. ')) and not w.state.calls


def test_a_line_of_a_reaction_to_partial_words_makes_nothing_final(w):
    w.hear('go to the hall')
    w.call('navigate_to', 'c1', place='hall')
    assert not executed(w.generation(events.LineBegun, call_id='c2'))
    assert not executed(w.generation(events.LineBegun))
    w.finish()
    assert w.state.calls['c1'].phase == 'pending'


def test_a_plan_that_is_final_outlives_an_interruption(w):
    planned(w)
    assert executed(w.generation(events.LineBegun))
    w.step(events.CallAccepted, call_id='c1')
    out = w.say('and what is that')
    assert not of(out, effects.CancelCall) and w.state.calls['c1'].executing


def test_lines_are_told_only_where_a_plan_waits_for_them(w):
    w.hear('go to the hall')
    w.call('navigate_to', 'c1', place='hall')
    w.finish()
    assert not generates(w.fall_silent('go to the hall'))[0].tell_begun


def test_an_interrupted_answer_takes_what_was_planned_with_it(w):
    w.hear('go to the hall')
    w.call('navigate_to', 'c1', place='hall')
    w.finish()
    w.fall_silent('go to the hall now')
    out = w.say('no wait')
    assert not executed(out) and not w.state.calls
    assert not executed(w.answer('I wait. '))


@pytest.mark.parametrize('next_words', ['and what is', '', 'mm-hm'])
def test_what_was_committed_is_not_taken_back_by_what_is_said_next(w, next_words):
    w.hear('go to the hall')
    w.call('navigate_to', 'c1', place='hall')
    w.finish()
    assert executed(w.fall_silent('go to the hall'))
    w.step(events.CallAccepted, call_id='c1')
    out = w.hear(next_words or 'hm', utterance_id='u2')    # the answer is still being generated
    out += w.fall_silent(next_words, utterance_id='u2')
    assert not of(out, effects.CancelCall) and w.state.calls['c1'].executing
    w.stop_sink()
    for _ in range(2):
        w.answer('I go. ')
        w.play_all()
    assert w.state.stream is None and w.state.calls['c1'].executing


def test_noise_takes_everything_back(w):
    w.hear('look at go')
    w.call('look', 'c1', place='hall')
    w.call('navigate_to', 'c2', place='hall')
    w.call('get_battery', 'c3')
    w.finish()
    w.step(events.CallEnded, call_id='c3', status='succeeded', result={})
    out = w.fall_silent('')
    assert not generates(out)
    assert [e.call_id for e in of(out, effects.CancelCall)] == ['c1']
    out = w.step(events.CallEnded, call_id='c1', status='cancelled')
    assert not generates(out) and not w.state.calls and w.state.stream is None
    assert w.state.phase == 'idle'


def test_operands_of_streamed_calls(w):
    w.hear('look where it is')
    w.call('get_battery', 'c1')
    out = w.call('look', 'c2', place='$c1.place')
    assert not executed(out)
    w.finish()
    out = w.step(events.CallEnded, call_id='c1', status='succeeded', result={'place': 'hall'})
    assert executed(out) == [('c2', 'look', {'place': 'hall'})]


def test_a_failed_reaction_is_the_last_of_its_utterance(w):
    w.hear('one two')
    w.finish(error_code=602, finish_reason='error', error_msg='broken')
    assert not generates(w.hear('one two three'))
    assert len(generates(w.fall_silent('one two three'))) == 1


def test_a_streamed_run_replays_byte_for_byte(w):
    test_reads_run_at_once_and_the_rest_at_the_end_of_the_final_generation(w)
    w.step(events.Stopping)
    assert first_difference(list(w.ledger), list(replay(w.events))) is None
    assert TOOLS
