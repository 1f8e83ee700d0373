"""The kernel's behaviour, one situation a test, on virtual time."""
import itertools

import pytest
from kernel_world import generates, of, SERVER, TOOLS, World

from async_agent_ros.core import effects, events
from async_agent_ros.core.kernel import TABLE
from async_agent_ros.core.settings import Settings
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Error, Kind, Phase, State, Status


def drive(world, place='kitchen'):
    """Let the agent start to drive; return the call."""
    world.say(f'drive to the {place}')
    world.text('On my way.')
    world.call('navigate_to', place=place)
    world.finish()
    call = next(iter(world.state.calls.values()))
    world.step(events.CallAccepted, call_id=call.call_id)
    return call


def results(world):
    return [e for e in world.ledger if e.kind == 'result']


# -- the table ------------------------------------------------------------------------------------
def subclasses(cls):
    return set(cls.__subclasses__()).union(*(subclasses(c) for c in cls.__subclasses__()))


def test_the_table_decides_every_pair_of_state_and_event():
    assert set(TABLE) == subclasses(events.Event) == set(events.TYPES.values())
    for kind, state in itertools.product(TABLE, State):
        assert callable(TABLE[kind][state])


SAMPLES = {
    State.IDLE: lambda w: None,
    State.LISTENING: lambda w: w.step(events.SpeechStarted, utterance_id='u'),
    State.GENERATING: lambda w: w.say('hello'),
    State.EMITTING: lambda w: (w.say('hello'), w.text('Hi there.')),
}


@pytest.mark.parametrize('state', list(State))
@pytest.mark.parametrize('kind', sorted(events.TYPES))
def test_every_event_is_taken_in_every_state(state, kind):
    world = World()
    SAMPLES[state](world)
    assert world.state.phase == state
    world.step(events.TYPES[kind])
    assert world.state.phase in State


# -- talk -----------------------------------------------------------------------------------------
def test_text_is_answered_and_the_generation_ends_when_it_was_heard():
    world = World()
    out = world.say('hello')
    assert [g.context_seq for g in generates(out)] == [world.ledger.next_seq]
    assert world.state.phase == State.GENERATING
    say = of(world.text('Hello, '), effects.Say) + of(world.text('I am here.'), effects.Say)
    assert [s.text for s in say] == ['Hello, ', 'I am here.']
    world.finish()
    assert world.state.phase == State.EMITTING
    assert world.kinds() == ['user', 'assistant']
    world.play_all()
    assert world.kinds() == ['user', 'assistant', 'end']
    assert world.state.phase == State.IDLE


def test_a_backchannel_leaves_the_floor_to_the_agent():
    world = World()
    world.say('tell me a story')
    world.text('Once upon a time there was a robot.')
    out = world.step(events.SpeechStarted, utterance_id='u')
    assert [e.action for e in of(out, effects.Interrupt)] == ['pause']
    assert world.state.phase == State.LISTENING
    world.step(events.SpeechStopped, utterance_id='u')
    out = world.step(events.TranscriptUpdated, utterance_id='u', text='Mm-hm.', final=True)
    assert [e.action for e in of(out, effects.Interrupt)] == ['resume']
    assert world.state.epoch == 0 and world.state.phase == State.EMITTING


def test_noise_resumes_after_the_silence():
    world = World()
    world.say('tell me a story')
    world.text('Once upon a time.')
    world.step(events.SpeechStarted, utterance_id='u')
    timers = of(world.step(events.SpeechStopped, utterance_id='u'), effects.SetTimer)
    assert {t.timer_id for t in timers} == {'resume', 'transcript:u'}
    out = world.step(events.TimerFired, timer_id='resume')
    assert [e.action for e in of(out, effects.Interrupt)] == ['resume']
    assert world.state.phase == State.EMITTING


def test_text_generated_while_the_person_speaks_is_held():
    world = World()
    world.say('tell me a story')
    world.step(events.SpeechStarted, utterance_id='u')
    assert not of(world.text('Once upon a time.'), effects.Say)
    world.step(events.SpeechStopped, utterance_id='u')
    out = world.step(events.TranscriptUpdated, utterance_id='u', text='', final=True)
    assert [s.text for s in of(out, effects.Say)] == ['Once upon a time.']


def test_a_yes_to_a_question_is_no_backchannel():
    world = World()
    world.say('I am bored')
    world.text('Shall I tell you a story?')
    world.finish()
    world.step(events.SpeechStarted, utterance_id='u')
    world.step(events.SpeechStopped, utterance_id='u')
    world.step(events.TranscriptUpdated, utterance_id='u', text='Yes.', final=True)
    world.stop_sink(heard_chars=20)
    assert world.kinds()[-1] == 'user'


# -- barge-in -------------------------------------------------------------------------------------
def test_barge_in_records_what_was_heard_before_the_new_words():
    world = World()
    world.say('tell me a story')
    world.text('Once upon a time there was a robot. ')
    world.text('It lived in a lab.')
    world.step(events.SpeechStarted, utterance_id='u')
    world.step(events.SpeechStopped, utterance_id='u')
    out = world.step(events.TranscriptUpdated, utterance_id='u', text='Where are you?', final=True)
    stop = of(out, effects.Interrupt)
    assert [(e.action, e.epoch, e.scope) for e in stop] == [('stop', 1, 'speech')]
    assert not generates(out), 'the words wait for the word of the sink'
    world.stop_sink(heard_chars=len('Once upon a time'))
    assert world.kinds() == ['user', 'assistant', 'interrupt', 'end', 'user']
    assistant, interrupt, end, user = world.ledger[-4:]
    assert interrupt.about_seq == assistant.seq
    assert interrupt.data['heard'] == 'Once upon a time'
    assert interrupt.data['intended'] == assistant.content
    assert assistant.content.endswith('It lived in a lab.')
    assert end.status == Status.CANCELLED
    assert user.content == 'Where are you?'
    assert world.state.active is not None


def test_nothing_heard_is_recorded_as_nothing():
    world = World()
    world.say('tell me a story')
    world.text('Once upon a time.')
    world.say('no, sing')
    world.stop_sink(0)
    interrupt = next(e for e in world.ledger if e.kind == 'interrupt')
    assert interrupt.data['heard'] == ''


def test_a_sink_that_does_not_answer_does_not_hold_the_words():
    world = World()
    world.say('tell me a story')
    world.text('Once upon a time.')
    world.say('no, sing')
    assert world.kinds()[-1] == 'assistant'
    world.step(events.TimerFired, timer_id='cut')
    assert world.kinds()[-1] == 'user' and not world.state.segments


def test_output_of_an_older_epoch_is_dropped():
    world = World()
    world.say('tell me a story')
    old = world.state.active
    world.say('no, sing')
    before = world.ledger.next_seq
    out = world.step(events.TextGenerated, generation_id=old, epoch=0, text='Once')
    assert {type(e) for e in out} == {effects.Ignored}
    assert world.ledger.next_seq == before


def test_barge_in_stops_speech_and_not_work():
    world = World()
    call = drive(world)
    world.say('how is the weather')
    world.stop_sink()
    assert world.state.calls[call.call_id].phase == Phase.RUNNING
    assert not of(itertools.chain(*world.effects), effects.CancelCall)


@pytest.mark.parametrize('words', ['Stop!', 'Robot, stop now.', 'halt', 'Stop stop stop'])
def test_an_order_to_stand_still_cancels_motion(words):
    world = World()
    call = drive(world)
    out = world.say(words)
    assert [c.call_id for c in of(out, effects.CancelCall)] == [call.call_id]


@pytest.mark.parametrize('words', ['stop talking', 'do not stop', 'wait, how far is it'])
def test_other_words_leave_motion_to_the_model(words):
    world = World()
    drive(world)
    assert not of(world.say(words), effects.CancelCall)


def test_the_stop_button_for_all_cancels_every_call():
    world = World()
    call = drive(world)
    out = world.step(events.InterruptRequested, scope='all', reason='button')
    assert [c.call_id for c in of(out, effects.CancelCall)] == [call.call_id]


def test_the_button_of_one_call_cancels_that_one_and_nothing_else():
    world = World()
    call = drive(world)
    out = world.step(events.CancelRequested, call_id=call.call_id, reason='button')
    assert [c.call_id for c in of(out, effects.CancelCall)] == [call.call_id]
    assert not of(out, effects.Interrupt), 'what is said goes on'
    assert not of(world.step(events.CancelRequested, call_id=call.call_id), effects.CancelCall)
    out = world.step(events.CancelRequested, call_id='c99')
    assert [type(e) for e in out] == [effects.Ignored]
    world.step(events.CallEnded, call_id=call.call_id, status='cancelled')
    assert world.ledger[-1].status == 'cancelled'
    assert world.kinds()[-2:] == ['retract', 'result'], 'nothing is owed to the person'


# -- the gate -------------------------------------------------------------------------------------
def test_a_read_only_call_runs_at_once_and_its_commit_stands_first():
    world = World()
    world.say('battery?')
    out = world.call('get_battery')
    kinds = [type(e).__name__ + ':' + getattr(getattr(e, 'entry', None), 'kind', '') for e in out]
    assert kinds[:3] == ['Append:call', 'Append:commit', 'Execute:']


def test_a_state_changing_call_waits_for_the_end_of_the_generation():
    world = World()
    world.say('drive to the kitchen')
    assert not of(world.call('navigate_to', place='kitchen'), effects.Execute)
    assert len(of(world.finish(), effects.Execute)) == 1


def test_an_interrupted_generation_changes_nothing():
    world = World()
    world.say('drive to the kitchen')
    world.call('navigate_to', place='kitchen')
    world.say('no wait')
    assert not of(itertools.chain(*world.effects), effects.Execute)
    assert [(r.status, r.call_id) for r in results(world)] == [(Status.RETRACTED, 'c1')]


def test_undeclared_effect_counts_as_state_changing():
    world = World(tools=(ToolSpec.from_json({'name': 'blast', 'effect': 'who knows'}),))
    world.say('do it')
    assert not of(world.call('blast'), effects.Execute)


@pytest.mark.parametrize('words,status', [('Yes, go ahead.', None), ('No!', Status.RETRACTED)])
def test_confirm_needs_the_persons_yes(words, status):
    world = World()
    world.say('open the door')
    world.call('open_door', place='kitchen')
    out = world.finish()
    assert not of(out, effects.Execute)
    assert 'open door kitchen' in of(out, effects.Say)[0].text
    assert not of(out, effects.Say)[0].interruptible
    world.play_all()
    out = world.say(words)
    assert len(of(out, effects.Execute)) == (status is None)
    if status:
        assert results(world)[0].status == status
        assert results(world)[0].data['error_code'] == Error.NOT_CONFIRMED


def test_silence_is_no_yes():
    world = World()
    world.say('open the door')
    world.call('open_door', place='kitchen')
    world.finish()
    world.step(events.TimerFired, timer_id='confirm:c1')
    assert results(world)[0].status == Status.RETRACTED


def test_the_same_id_edits_a_call_that_has_not_run():
    world = World()
    world.say('drive to the kitchen, no, the office')
    world.call('navigate_to', 'c1', place='kitchen')
    world.call('navigate_to', 'c1', place='office')
    out = world.finish()
    assert [dict(e.arguments) for e in of(out, effects.Execute)] == [{'place': 'office'}]


def test_remove_withdraws_a_call_that_has_not_run():
    world = World()
    world.say('drive to the kitchen, no, stay')
    world.call('navigate_to', 'c1', place='kitchen')
    world.generation(events.CallRemoved, call_id='c1')
    assert not of(world.finish(), effects.Execute)
    assert results(world)[0].status == Status.RETRACTED


# -- bad output of the model ----------------------------------------------------------------------
def test_an_unknown_tool_ends_by_name_and_lists_the_real_ones():
    world = World()
    world.say('fly')
    world.call('fly_to', place='moon')
    result = results(world)[0]
    assert result.data['error_code'] == Error.UNKNOWN_TOOL
    assert 'fly_to' in result.data['error_msg'] and 'navigate_to' in result.data['error_msg']


def test_wrong_arguments_end_by_name():
    world = World()
    world.say('drive')
    world.call('navigate_to', place=7)
    assert results(world)[0].data['error_code'] == Error.INVALID_ARGUMENTS
    assert 'place' in results(world)[0].data['error_msg']


def test_arguments_that_are_no_object_end_by_name():
    world = World()
    world.say('drive')
    world.generation(events.CallGenerated, name='navigate_to', arguments=[1, None])
    assert results(world)[0].data['error_code'] == Error.INVALID_ARGUMENTS


def test_rejected_output_comes_back_to_the_model_and_not_for_ever():
    world = World(Settings(max_chain=3))
    world.say('drive')
    for _ in range(10):
        if world.state.active is None:
            break
        world.generation(events.OutputRejected, raw='CALL {', reason='JSON is not closed')
        world.finish()
    assert world.state.active is None
    assert len(generates(itertools.chain(*world.effects))) == 4


def test_an_answer_without_a_word_does_not_pass_in_silence():
    world = World()
    world.say('hello')
    out = world.finish()
    assert len(generates(out)) == 1
    assert any('wrote nothing' in e.content for e in world.ledger)
    world.answer('Hello.')
    assert world.state.active is None


def test_an_equal_call_is_refused_while_the_first_runs():
    world = World()
    call = drive(world)
    world.play_all()
    world.say('drive to the kitchen')
    world.call('navigate_to', place='kitchen')
    result = results(world)[0]
    assert result.data['error_code'] == Error.DUPLICATE
    assert call.call_id in result.data['error_msg']


def test_without_a_model_the_agent_says_so():
    world = World()
    world.say('hello')
    out = world.finish(finish_reason='error', error_code=Error.NO_MODEL,
                       error_msg='no model; run: async-agent models get x')
    assert [s.text for s in of(out, effects.Say)] == [Settings().no_model_line]
    assert any('async-agent models get x' in e.content for e in world.ledger)


def test_without_a_dispatcher_the_words_wait():
    world = World()
    world.say('hello')
    out = world.finish(finish_reason='error', error_code=Error.NO_DISPATCHER)
    assert not generates(out)
    assert generates(world.step(events.TimerFired, timer_id='retry'))


# -- results --------------------------------------------------------------------------------------
def test_a_result_is_told_once():
    world = World()
    call = drive(world)
    world.play_all()
    out = world.step(events.CallEnded, call_id=call.call_id, result={'arrived_at': 'kitchen'})
    assert len(generates(out)) == 1
    world.answer('I am in the kitchen.')
    world.play_all()
    assert world.state.active is None and not world.state.waiting
    late = world.step(events.CallEnded, call_id=call.call_id, result='again')
    assert {type(e) for e in late} == {effects.Ignored}


def test_a_result_is_owed_again_when_its_answer_was_cut_off():
    world = World()
    call = drive(world)
    world.play_all()
    world.step(events.CallEnded, call_id=call.call_id, result={'arrived_at': 'kitchen'})
    world.text('I am in the kitchen.')
    world.say('what time is it')
    world.stop_sink(3)
    owed = next(e for e in world.ledger if e.name == 'owed')
    assert owed.data['calls'] == [call.call_id]
    answer = world.state.answers[world.state.active]
    result = results(world)[0]
    assert {w.seq for w in answer.waiting} == {result.seq, world.ledger.next_seq - 1}


def test_results_during_speech_of_the_person_wait_and_are_answered_together():
    world = World()
    call = drive(world)
    world.play_all()
    world.step(events.SpeechStarted, utterance_id='u')
    out = world.step(events.CallEnded, call_id=call.call_id, result={})
    assert results(world) and not generates(out)
    world.step(events.SpeechStopped, utterance_id='u')
    out = world.step(events.TranscriptUpdated, utterance_id='u', text='hello', final=True)
    assert len(generates(out)) == 1
    assert len(world.state.answers[world.state.active].waiting) == 2


def test_a_silent_call_is_acknowledged_when_it_is_accepted():
    world = World()
    world.say('drive to the kitchen')
    world.call('navigate_to', place='kitchen')
    world.finish()
    assert generates(world.step(events.CallAccepted, call_id='c1'))


def test_a_line_acknowledges_a_silent_call_without_asking_the_model():
    world = World(Settings(acknowledgement='Okay, {action} {now}.'))
    world.say('drive to the kitchen and look')
    heard = world.ledger[-1].stamp_ns
    world.call('navigate_to', place='kitchen')
    world.finish()
    out = world.step(events.CallAccepted, after_ms=300, call_id='c1')
    line, = of(out, effects.Say)
    assert line.text == 'Okay, navigate to kitchen {now}.' and not generates(out)
    entry = next(e for e in world.ledger if e.kind == Kind.ASSISTANT)
    assert entry.content == line.text and entry.generation_id == line.generation_id
    out = world.step(events.SpeechProgressed, segment_id=line.segment_id, state='started',
                     at_ns=world.now_ns)
    measured, = of(out, effects.TurnMeasured)    # from the words, not from the acceptance
    assert measured.trigger == 'text' and measured.stamps_ns['trigger'] == heard
    world.play_all()
    assert world.kinds()[-1] == 'end' and not world.state.answers


def test_a_long_or_nested_call_is_acknowledged_by_its_name():
    for arguments in ({'place': 'kitchen ' * 9}, {'place': ['kitchen', {'x': 1.5}]}):
        world = World(Settings(acknowledgement='Okay, {action}.'), tools=(ToolSpec('long_way'),))
        world.say('drive')
        world.call('long_way', **arguments)
        world.finish()
        line, = of(world.step(events.CallAccepted, call_id='c1'), effects.Say)
        assert line.text == 'Okay, long way.'


def test_a_call_with_words_of_its_own_is_not_acknowledged_again():
    world = World(Settings(acknowledgement='Okay.'))
    call = drive(world)
    assert [e.content for e in world.ledger if e.kind == Kind.ASSISTANT] == ['On my way.']
    assert call.phase == Phase.RUNNING


def test_progress_is_kept_and_written_at_a_bounded_rate():
    world = World()
    call = drive(world)
    before = world.kinds().count('notification')
    for i in range(100):
        world.step(events.CallProgressed, after_ms=50, call_id=call.call_id, progress=i / 100,
                   text=f'{i}')
    assert world.state.calls[call.call_id].text == '99'
    assert 2 <= world.kinds().count('notification') - before <= 4


def test_cancel_is_a_tool():
    world = World()
    call = drive(world)
    world.play_all()
    world.say('never mind')
    out = world.call('cancel', call='navigate_to')
    assert [c.call_id for c in of(out, effects.CancelCall)] == [call.call_id]
    world.step(events.CallEnded, call_id=call.call_id, status='succeeded')
    assert results(world)[-1].status == Status.SUCCEEDED, "the server's word wins"


# -- servers and storage --------------------------------------------------------------------------
def test_a_lost_server_takes_its_tools_and_loses_its_calls():
    world = World()
    drive(world)
    world.step(events.ToolServerLost, server=SERVER)
    assert not world.state.catalogue
    assert results(world)[0].status == Status.LOST
    world.step(events.ToolsAnnounced, server=SERVER, tools=(TOOLS['look'].to_json(),))
    assert set(world.state.catalogue) == {'look'}


def test_a_name_that_another_server_has_is_refused_by_both_names():
    world = World()
    world.step(events.ToolsAnnounced, server='/other', tools=(TOOLS['look'].to_json(),))
    assert world.state.server_of['look'] == SERVER
    error = next(e for e in world.ledger if e.name == 'error')
    assert '/other' in error.content and SERVER in error.content


def test_an_unwritable_ledger_allows_reading_only():
    world = World()
    world.step(events.StorageChanged, writable=False, message='disk full')
    world.say('drive')
    world.call('navigate_to', place='kitchen')
    assert results(world)[0].data['error_code'] == Error.LEDGER_UNAVAILABLE
    assert of(world.call('get_battery'), effects.Execute)


# -- peers and restart ----------------------------------------------------------------------------
def test_a_dead_recogniser_does_not_keep_the_floor():
    world = World()
    world.step(events.SpeechStarted, utterance_id='u')
    world.step(events.PeerChanged, peer='asr', alive=False)
    assert world.state.phase == State.IDLE


def test_a_dead_voice_ends_what_it_was_saying():
    world = World()
    world.say('hello')
    world.answer('Hi there.')
    world.step(events.PeerChanged, peer='tts', alive=False)
    assert world.state.phase == State.IDLE and world.ledger[-1].kind == 'end'


def test_a_dead_dispatcher_loses_calls_and_the_words_are_asked_again():
    world = World()
    drive(world)
    world.play_all()
    world.say('hello')
    world.step(events.PeerChanged, peer='dispatcher', alive=False)
    assert [r.status for r in results(world)] == [Status.LOST]
    assert generates(world.step(events.PeerChanged, peer='dispatcher', alive=True))


def test_a_restart_goes_on_with_the_next_seq_and_finds_its_calls():
    world = World()
    call = drive(world)
    before = world.ledger.text()
    out = world.restart()
    assert world.ledger.text().startswith(before)
    assert [f.call_id for f in of(out, effects.FindCall)] == [call.call_id]
    assert not of(out, effects.Execute)
    world.step(events.CallAccepted, call_id=call.call_id)
    assert world.state.calls[call.call_id].phase == Phase.RUNNING
    world.step(events.CallEnded, call_id=call.call_id, result={})
    assert [r.status for r in results(world)] == [Status.SUCCEEDED]


def test_a_call_that_nobody_knows_after_a_restart_is_lost():
    world = World()
    call = drive(world)
    world.restart()
    world.step(events.TimerFired, timer_id=f'find:{call.call_id}')
    assert [r.status for r in results(world)] == [Status.LOST]


def test_words_that_were_not_answered_are_answered_after_a_restart():
    world = World()
    world.say('hello')
    assert len(generates(world.restart())) == 1


# -- converse -------------------------------------------------------------------------------------
def test_a_turn_ends_when_its_calls_were_answered():
    world = World()
    world.step(events.UserText, text='drive to the kitchen', request_id='r', wait_for_calls=True)
    world.text('On my way.')
    world.call('navigate_to', place='kitchen')
    out = world.finish() + world.play_all()
    assert not of(out, effects.TurnEnded)
    out = world.step(events.CallEnded, call_id='c1', result={})
    world.answer('I am there.')
    ended = of(world.play_all(), effects.TurnEnded)
    assert [(t.request_id, t.error_code, t.reply) for t in ended] == [
        ('r', 0, 'On my way. I am there.')]


def test_a_turn_without_waiting_ends_with_its_answer():
    world = World()
    world.step(events.UserText, text='hello', request_id='r')
    world.answer('Hi.')
    ended = of(world.play_all(), effects.TurnEnded)
    assert [(t.reply, t.heard) for t in ended] == [('Hi.', 'Hi.')]


def test_without_a_voice_text_is_delivered_when_it_is_written():
    world = World()
    world.step(events.PeerChanged, peer='tts', alive=False)
    world.say('hello')
    world.answer('Hi there.')
    assert world.state.phase == State.IDLE and world.ledger[-1].status == Status.SUCCEEDED


def test_stopping_ends_everything():
    world = World()
    drive(world)
    world.say('hello')
    world.step(events.Stopping)
    assert not world.state.calls and world.ledger[-1].kind == 'end'
    assert results(world)[0].status == Status.LOST


def test_a_filler_is_said_once_when_nothing_else_can_be_said():
    world = World(Settings(filler_after_s=1.5, filler_lines=('One moment.',)))
    out = world.say('what is it')
    timer = next(t for t in of(out, effects.SetTimer) if t.timer_id == 'filler')
    assert timer.at_ns - world.now_ns == 1_500_000_000
    out = world.step(events.TimerFired, timer_id='filler')
    assert [e.text for e in of(out, effects.Say)] == ['One moment.']
    out = world.answer('It is a cup.')
    world.play_all()
    assert [e.content for e in world.ledger if e.kind == Kind.ASSISTANT] == [
        'One moment.', 'It is a cup.']


def test_no_filler_in_the_middle_of_something_else():
    world = World(Settings(filler_after_s=1.5))
    world.say('what is it')
    world.text('It is ')
    assert not of(world.step(events.TimerFired, timer_id='filler'), effects.Say)
    world.finish()
    world.play_all()
    world.say('and this?')
    world.step(events.SpeechStarted, utterance_id='u')
    assert not of(world.step(events.TimerFired, timer_id='filler'), effects.Say)


def test_a_stop_word_cancels_the_tools_that_are_named():
    world = World(Settings(stop_word_tools=('look',), result_group_s=0.0))
    drive(world)
    world.play_all()
    world.say('look around')
    world.call('look', 'l', place='here')
    world.finish()
    out = world.say('stop')
    assert [e.call_id for e in of(out, effects.CancelCall)] == ['l']
