"""Drafts: what the agent does about words that are not final, and what becomes of it."""
from async_agent_ros.core import effects, events
from async_agent_ros.core.ledger import DRAFT, MAIN
from async_agent_ros.core.replay import first_difference, replay
from async_agent_ros.core.settings import Settings
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Busy, Effect, Kind
from kernel_world import generates, of, PLACE, TOOLS, World
import pytest

CALL, TEXT, END = events.CallGenerated, events.TextGenerated, events.GenerationEnded
ASK = 'what is your battery'


def world(*more, **options):
    settings = Settings(result_group_s=0.0, speculation='revise', **options)
    return World(settings, tools=(*TOOLS.values(), *more))


def executed(out):
    return [(e.call_id, e.spec.name, dict(e.arguments)) for e in of(out, effects.Execute)]


def of_kind(w, kind, instance=MAIN):
    return [e for e in w.ledger if e.kind == kind and e.instance == instance]


def read_early(w, words=ASK):
    """Let a draft on the words read the battery to its end."""
    w.hear(words)
    w.draft(CALL, name='get_battery')
    w.draft(END)
    return w.step(events.CallEnded, call_id='s1', status='succeeded', result={'percent': 81})


def test_speculation_can_be_switched_at_run_time():
    w = World()
    w.step(events.SettingsChanged, settings=Settings(
        result_group_s=0.0, speculation='revise').to_json())
    assert generates(w.hear(ASK))
    w.hear('what is your battery lev', stable=12)
    w.step(events.SettingsChanged, settings={})
    assert not generates(w.hear('what is your battery level'))


def test_off_means_off():
    w = World()
    assert not generates(w.hear(ASK)) and w.state.plan is None


def test_a_stable_prefix_is_drafted_on_and_nothing_of_it_is_said():
    w = world()
    out = w.hear('what is your bat', stable=12)
    goal, = generates(out)
    assert goal.speculative and goal.instance == DRAFT
    assert [(e.kind, e.content) for e in goal.assumed] == [(Kind.USER, 'what is your')]
    assert goal.assumed[0].seq == goal.context_seq == w.ledger.next_seq
    out = w.draft(TEXT, text='I am fine. ') + w.draft(END)
    assert not of(out, effects.Say) and not of_kind(w, Kind.ASSISTANT)
    assert w.state.active is None and w.state.phase == 'listening'


def test_a_read_runs_at_once_and_a_state_change_never():
    w = world()
    w.hear('go to the kitchen')
    assert not executed(w.draft(CALL, name='navigate_to', arguments={'place': 'kitchen'}))
    assert not executed(w.draft(CALL, name='open_door', arguments={'place': 'kitchen'}))
    out = w.draft(CALL, name='look', arguments={'place': 'kitchen'})
    assert executed(out) == [('s1', 'look', {'place': 'kitchen'})] or executed(out) == [
        ('s3', 'look', {'place': 'kitchen'})]
    assert not executed(w.draft(END))
    assert not of_kind(w, Kind.CALL)
    assert {e.name for e in of_kind(w, Kind.CALL, DRAFT)} == {'look'}


def test_built_in_tools_unknown_ones_and_wrong_arguments_do_nothing():
    w = world()
    w.hear('do it twice')
    for name, arguments in (('fork', {'task': 'x'}), ('cancel', {'call': 'c1'}), ('now', {}),
                            ('fly', {}), ('look', {'where': 'x'}), ('look', {'place': '$s9'})):
        assert not executed(w.draft(CALL, name=name, arguments=arguments))


@pytest.mark.parametrize('change', [
    {'wait_for_final': True}, {'max_per_minute': 5.0}, {'effect': Effect.STATE_CHANGING}])
def test_some_reads_must_wait(change):
    w = world(ToolSpec('ask_cloud', **{'effect': Effect.READ_ONLY, **change}))
    w.hear('what is new')
    assert not executed(w.draft(CALL, name='ask_cloud'))


def test_the_same_final_words_make_the_draft_the_answer():
    w = world()
    w.hear('what is your battery')
    w.draft(events.FirstToken)
    w.draft(TEXT, text='I am fine. ')
    generation_id = w.state.draft.answers[0]
    out = w.fall_silent('What is your battery?')
    assert not generates(out)
    assert [e.text for e in of(out, effects.Say)] == ['I am fine. ']
    assert w.state.active == generation_id and w.state.draft is None
    out = w.text('Really. ') + w.finish(output_tokens=7)
    assert [e.text for e in of(out, effects.Say)] == ['Really. ']
    out = w.play_all()
    measured = of(out, effects.TurnMeasured)[-1]
    assert measured.counts['early'] == 1 and measured.counts['drafts'] == 1
    assert [str(e.kind) for e in w.ledger if e.generation_id == generation_id] == [
        'assistant', 'end']


def test_the_turn_takes_what_was_read_early_and_the_answer_is_there_already():
    w = world()
    out = read_early(w)
    step, = generates(out)    # the draft goes on with the result
    assert [str(e.kind) for e in step.assumed] == ['user', 'call', 'result', 'end']
    w.draft(TEXT, text='It is at 81 percent. ')
    w.draft(END)
    out = w.fall_silent('what is your battery')
    assert not generates(out) and not executed(out)
    assert [e.text for e in of(out, effects.Say)] == ['It is at 81 percent. ']
    result, = of_kind(w, Kind.RESULT)
    assert result.data['result'] == {'percent': 81} and result.data['taken_from'] == 's1'
    assert not w.state.waiting and w.state.draft is None
    w.play_all()
    assert w.state.phase == 'idle' and not w.state.answers


def test_a_read_that_still_runs_is_shared():
    w = world()
    w.hear(ASK)
    w.draft(CALL, name='get_battery')
    w.draft(END)
    out = w.fall_silent(ASK)
    assert not executed(out) and w.state.calls['c1'].joins == 's1'
    out = w.step(events.CallEnded, call_id='s1', status='succeeded', result={'percent': 5})
    assert len(generates(out)) == 1    # the result is told
    assert of_kind(w, Kind.RESULT)[0].data['taken_from'] == 's1'


def test_an_early_read_that_fails_is_made_again():
    w = world()
    w.hear(ASK)
    w.draft(CALL, name='get_battery')
    w.draft(END)
    w.fall_silent(ASK)
    out = w.step(events.CallEnded, call_id='s1', status='failed', error_msg='no')
    assert executed(out) == [('c1', 'get_battery', {})]
    w2 = world()
    w2.hear(ASK)
    w2.draft(CALL, name='get_battery')
    w2.step(events.CallEnded, call_id='s1', status='failed', error_msg='no')
    w2.draft(END)
    assert executed(w2.fall_silent(ASK)) == [('c1', 'get_battery', {})]


def test_state_changing_calls_are_committed_when_the_words_are_final_and_the_model_is_done():
    w = world()
    w.hear('go to the kitchen')
    w.draft(CALL, name='navigate_to', arguments={'place': 'kitchen'})
    out = w.fall_silent('go to the kitchen')
    assert not executed(out) and w.state.calls['c1'].phase == 'pending'
    assert executed(w.finish()) == [('c1', 'navigate_to', {'place': 'kitchen'})]


def test_other_final_words_are_answered_anew_and_use_the_reads():
    w = world()
    read_early(w)
    out = w.fall_silent('what is your battery and where are you')
    goal, = generates(out)
    assert not goal.speculative and not goal.assumed
    dropped, = [e for e in of_kind(w, Kind.END, DRAFT) if e.data['calls']]
    assert dropped.status == 'retracted' and dropped.data['assumed'] == ASK
    out = w.call('get_battery')
    assert not executed(out)
    assert of_kind(w, Kind.RESULT)[0].data['taken_from'] == 's1'


def test_words_that_go_on_make_another_draft_and_keep_what_is_read():
    w = world()
    w.hear('look at the hall', stable=16)
    w.draft(CALL, name='look', arguments={'place': 'hall'})
    w.draft(END)
    out = w.hear('look at the hall and the kitchen')
    assert len(generates(out)) == 1
    out = w.draft(CALL, name='look', arguments={'place': 'hall'})
    assert not executed(out)
    out = w.draft(CALL, name='look', arguments={'place': 'kitchen'})
    assert [c[1:] for c in executed(out)] == [('look', {'place': 'kitchen'})]
    w.draft(END)
    assert len(w.state.calls) == 2


def test_a_call_that_the_model_does_not_write_again_is_cancelled():
    w = world()
    w.hear('find the red')
    w.draft(CALL, name='look', arguments={'place': 'red'})
    w.draft(END)
    w.hear('find the red no the blue one')
    w.draft(CALL, name='look', arguments={'place': 'blue'})
    out = w.draft(END)
    assert [e.call_id for e in of(out, effects.CancelCall)] == ['s1']
    out = w.step(events.CallEnded, call_id='s1', status='cancelled')
    assert not generates(out) and not w.state.waiting


def test_operands_run_as_they_arrive():
    w = world()
    w.hear('look where your battery is')
    w.draft(CALL, name='get_battery', call_id='c1')
    out = w.draft(CALL, name='look', arguments={'place': '$c1.place'})
    assert not executed(out)
    w.draft(END)
    out = w.step(events.CallEnded, call_id='s1', status='succeeded', result={'place': 'hall'})
    assert executed(out) == [('s2', 'look', {'place': 'hall'})]
    w.step(events.CallEnded, call_id='s2', status='succeeded', result={'sees': 'a cup'})
    out = w.fall_silent('look where your battery is')
    assert not executed(out)
    assert [e.data['result'] for e in of_kind(w, Kind.RESULT)] == [
        {'place': 'hall'}, {'sees': 'a cup'}]


def test_a_call_that_is_written_twice_under_one_id_is_one():
    w = world()
    w.hear(ASK)
    w.draft(CALL, name='get_battery', call_id='c1')
    assert not executed(w.draft(CALL, name='get_battery', call_id='c1'))
    w.draft(END)
    out = w.step(events.CallEnded, call_id='s1', status='succeeded', result={'percent': 81})
    assert len(generates(out)) == 1
    assert 'percent' in generates(out)[0].assumed[-2].content


def test_a_later_step_that_edits_an_earlier_call_is_the_last():
    w = world()
    w.hear('look at the hall')
    w.draft(CALL, name='look', call_id='c1', arguments={'place': 'hall'})
    w.draft(END)
    w.step(events.CallEnded, call_id='s1', status='succeeded', result={})
    w.draft(CALL, name='look', call_id='c1', arguments={'place': 'kitchen'})
    w.draft(END)
    out = w.step(events.CallEnded, call_id='s2', status='succeeded', result={})
    assert not generates(out)
    assert len(generates(w.fall_silent('look at the hall and the kitchen'))) == 1


def test_a_timer_of_an_earlier_plan_closes_no_later_one():
    w = world()
    w.hear(ASK, utterance_id='u1')
    w.draft(TEXT, text='It is full. ')
    w.draft(END)
    w.fall_silent(ASK, utterance_id='u1')
    w.play_all()
    w.hear('where are you', utterance_id='u2')
    w.step(events.TimerFired, timer_id='plan:u1')    # it was on its way when it was cleared
    assert w.state.plan.utterance_id == 'u2'
    w.draft(CALL, name='get_battery')
    assert w.state.calls


def test_case_and_punctuation_change_nothing():
    w = world()
    assert generates(w.hear('what is your'))
    assert not generates(w.hear('What is, your!'))


def test_caps():
    w = world(speculation_drafts=2, speculation_calls=1)
    w.hear('one two')
    w.draft(CALL, name='look', arguments={'place': 'a'})
    assert not executed(w.draft(CALL, name='look', arguments={'place': 'b'}))
    w.hear('one two three')
    assert not generates(w.hear('one two three four'))
    w = world(speculation_per_s=0.5)
    w.hear('one two thr', stable=7)
    w.draft(END)
    out = w.hear('one two three fo', stable=13)
    assert not generates(out) and of(out, effects.SetTimer)[-1].timer_id == 'speculate'
    assert generates(w.step(events.TimerFired, after_ms=2000, timer_id='speculate'))
    assert generates(w.hear('one two three four'))    # the person may be done: at once


def test_a_draft_on_part_of_the_words_may_finish_but_not_when_the_person_is_done():
    w = world()
    w.hear('what is your bat', stable=12)
    assert not generates(w.hear('what is your battery le', stable=20))
    out = w.hear('what is your battery level')
    assert of(out, effects.AbortGeneration) and len(generates(out)) == 1


def test_noise_leaves_nothing_behind():
    w = world()
    w.hear('look at that')
    w.draft(CALL, name='look', arguments={'place': 'that'})
    out = w.fall_silent('')
    assert of(out, effects.AbortGeneration) and of(out, effects.CancelCall)
    assert w.state.plan is None and w.state.draft is None
    w.step(events.CallEnded, call_id='s1', status='cancelled')
    assert w.state.phase == 'idle' and not w.state.calls and not w.state.answers


def test_a_result_that_comes_meanwhile_makes_the_draft_stale():
    w = world()
    w.say('go to the hall')
    w.call('navigate_to', place='hall')
    w.answer('On my way. ')
    w.play_all()
    w.hear(ASK)
    w.draft(TEXT, text='It is full. ')
    w.step(events.CallEnded, call_id='c1', status='succeeded', result={})
    out = w.fall_silent(ASK)
    assert len(generates(out)) == 1 and not of(out, effects.Say)


def test_tokens_of_drafts_for_nothing_are_counted_also_when_they_come_late():
    w = world()
    w.hear('one two')
    first = w.state.draft.answers[0]
    w.draft(END, output_tokens=5)
    w.hear('one two three')
    second = w.state.draft.answers[0]
    w.hear('one two three four')
    w.step(END, generation_id=second, epoch=0, finish_reason='aborted', output_tokens=4)
    assert w.state.plan.wasted_tokens == 9 and first != second
    w.fall_silent('and now for something else')
    w.answer('Well. ')
    assert of(w.play_all(), effects.TurnMeasured)[-1].counts['wasted_tokens'] >= 9


def test_the_first_sentence_is_prepared_when_the_person_may_be_done():
    w = world()
    w.hear('what is your battery lev', stable=20)
    assert not of(w.draft(TEXT, text='It is full. '), effects.Prepare)
    out = w.hear('what is your battery')
    assert [e.text for e in of(out, effects.Prepare)] == ['It is full. ']
    assert not of(w.draft(TEXT, text='More. '), effects.Prepare)


def test_a_tool_that_guesses_badly_is_not_executed_early_until_it_guesses_better():
    w = world(speculation_judged=3, speculation_min_hit_rate=0.5)

    def turn(number, final, right):
        words = f'look at number {number}'
        w.hear(words, utterance_id=f'u{number}')
        ran = executed(w.draft(CALL, name='look', arguments={'place': str(number)}))
        w.draft(END)
        w.fall_silent(final or words, utterance_id=f'u{number}')
        for call_id in [i for i in w.state.calls if i.startswith('s')]:
            w.step(events.CallEnded, call_id=call_id, status='succeeded', result={})
        for _ in range(3):
            if w.state.active:
                w.answer('Well. ')
        for call_id in list(w.state.calls):
            w.step(events.CallEnded, call_id=call_id, status='succeeded', result={})
            w.answer('Well. ')
        w.play_all()
        w.step(events.TimerFired, after_ms=10000, timer_id=f'plan:u{number}')
        return bool(ran)

    assert all(turn(n, 'something else', False) for n in range(3))
    assert w.state.guessed_badly == {'look'}
    note, = [e for e in w.ledger if e.name == 'speculation']
    assert 'look' in note.content and note.instance == DRAFT
    assert not turn(3, '', True) and not turn(4, '', True)
    assert not w.state.guessed_badly
    assert turn(5, '', True)


def test_what_holds_a_resource_early_makes_way():
    camera = ToolSpec('film', 'Film', PLACE, effect=Effect.READ_ONLY, resources=('camera',))
    turn = ToolSpec('pan', 'Turn the camera', PLACE, resources=('camera',),
                    when_busy=Busy.REFUSE)
    w = world(camera, turn)
    w.hear('film the hall')
    w.draft(CALL, name='film', arguments={'place': 'hall'})
    w.draft(END)
    w.fall_silent('pan to the hall')
    w.call('pan', place='hall')
    out = w.finish()
    assert [e.call_id for e in of(out, effects.CancelCall)] == ['s1']
    out = w.step(events.CallEnded, call_id='s1', status='cancelled')
    assert executed(out) == [('c1', 'pan', {'place': 'hall'})]


def test_a_dead_dispatcher_ends_drafts_and_early_reads():
    w = world()
    w.hear(ASK)
    w.draft(CALL, name='get_battery')
    w.step(events.PeerChanged, peer='dispatcher', alive=False)
    assert w.state.draft is None and not w.state.calls and not w.state.answers
    w.step(events.PeerChanged, peer='dispatcher', alive=True)
    assert len(generates(w.fall_silent(ASK))) == 1


def test_a_restart_cancels_what_ran_early():
    w = world()
    w.hear(ASK)
    w.draft(CALL, name='get_battery')
    out = w.restart()
    assert [e.call_id for e in of(out, effects.CancelCall)] == ['s1']
    assert not w.state.calls and not w.state.waiting
    assert [e.status for e in w.ledger if e.kind == Kind.RESULT] == ['lost']


def test_a_run_with_drafts_replays_byte_for_byte():
    w = world()
    read_early(w)
    w.draft(TEXT, text='It is at 81 percent. ')
    w.draft(END)
    w.fall_silent(ASK)
    w.play_all()
    w.step(events.Stopping)
    assert first_difference(list(w.ledger), list(replay(w.events))) is None
