"""The view folds messages into what people see; the faces show it."""
import io
import json
import threading

from async_agent_ros.msg import AgentState, Interrupt, LedgerEntry, RunningCall, Say
from async_agent_ros.msg import SpeechActivity, SpeechProgress, Transcript
from async_agent_ros.watch.plain import open_watch, PlainWatch
from async_agent_ros.watch.view import AgentView, Line
from builtin_interfaces.msg import Time
import pytest

START_S = 1000


def at(seconds):
    """Return a ROS time, seconds after the start."""
    return Time(sec=START_S + int(seconds), nanosec=round(seconds % 1 * 1e9))


def entry(seq, kind, content='', **fields):
    """Return a ledger entry; content that is no text becomes JSON."""
    if not isinstance(content, str):
        content = json.dumps(content)
    return LedgerEntry(session='s1', seq=seq, stamp=at(seq), kind=kind, content=content,
                       instance=fields.pop('instance', 'main'), **fields)


@pytest.fixture
def view():
    return AgentView()


def test_a_call_from_its_entry_to_its_result(view):
    lines = view.apply('ledger', entry(0, 'call', {'arguments': {'room': 'kitchen'}},
                                       call_id='c1', name='navigate_to'))
    assert [line.text for line in lines] == ['c1 navigate_to(room=kitchen)']
    assert view.running_calls[0].phase == 'pending'
    view.apply('ledger', entry(1, 'commit', {}, call_id='c1'))
    assert view.running_calls[0].phase == 'committed'
    view.apply('ledger', entry(2, 'notification', {'progress': 0.4, 'text': '2 m left'},
                               call_id='c1', name='progress'))
    assert (view.running_calls[0].progress, view.running_calls[0].feedback) == (0.4, '2 m left')
    lines = view.apply('ledger', entry(
        3, 'result', {'error_code': 702, 'error_msg': 'blocked', 'result': None},
        call_id='c1', name='navigate_to', status='failed'))
    assert lines[0].text == 'c1 navigate_to failed: blocked'
    assert view.running_calls == []
    # A state that was under way when the call ended does not bring it back.
    view.apply('state', AgentState(state='idle', calls=[
        RunningCall(call_id='c1', name='navigate_to', phase='running')]))
    assert view.running_calls == []


def test_the_person_is_heard(view):
    view.apply('speech_activity', SpeechActivity(
        utterance_id='u1', state='started', stamp=at(1.1), onset=at(1.0)))
    assert view.person_speaking
    view.apply('transcript', Transcript(utterance_id='u1', text='go to'))
    view.apply('speech_activity', SpeechActivity(
        utterance_id='u1', state='stopped', onset=at(1.0), end=at(2.0)))
    assert not view.person_speaking
    lines = view.apply('transcript', Transcript(
        utterance_id='u1', revision=1, final=True, text='go to bed', stamp=at(2.5)))
    assert lines == [Line((START_S + 2) * 10**9 + 5 * 10**8, 'person', 'go to bed')]
    assert view.utterances['u1'].final


def test_speech_is_heard_up_to_where_it_was_cut(view):
    view.apply('say', Say(segment_id=7, generation_id=1, text='I can drive and look. '))
    assert not view.quiet
    view.apply('speech_progress', SpeechProgress(segment_id=7, state='started', duration_s=2.0))
    view.apply('speech_progress', SpeechProgress(
        segment_id=7, state='playing', heard_chars=5, duration_s=-1.0))
    assert view.playing.text[:view.playing.heard_chars] == 'I can'
    assert view.playing.duration_s == 2.0
    view.apply('interrupt', Interrupt(action='stop', reason='barge-in', epoch=1))
    lines = view.apply('speech_progress', SpeechProgress(
        segment_id=7, state='stopped', heard_chars=11, stamp=at(4)))
    assert lines[0].text == '… cut off, heard: "I can drive"'
    assert view.playing is None and view.segments[7].ended


def test_only_the_user_text_is_told_from_the_ledger(view):
    assert view.apply('ledger', entry(0, 'user', 'hello', name='speech')) == []
    assert view.apply('ledger', entry(1, 'user', 'hello', name='text'))[0].lane == 'person'
    assert view.apply('ledger', entry(1, 'user', 'hello', name='text')) == []
    assert [e.seq for e in view.ledger] == [0, 1]


def test_a_new_session_starts_a_new_ledger(view):
    view.apply('ledger', entry(5, 'user', 'hello', name='text'))
    other = entry(0, 'user', 'again', name='text')
    other.session = 's2'
    view.apply('ledger', other)
    assert [e.content for e in view.ledger] == ['again']


def test_unknown_topics_are_ignored(view):
    assert view.apply('/rosout', object()) == []


def test_a_pipe_gets_plain_lines():
    stream = io.StringIO()
    with open_watch(stream) as watch:
        assert isinstance(watch, PlainWatch)
        watch.show([Line(10**9, 'state', 'idle'), Line(3 * 10**9, 'person', 'hello')])
        watch.tell('done')
    assert stream.getvalue() == ('   0.00  state      idle\n'
                                 '   2.00  person     hello\n-- done\n')


def test_a_terminal_gets_the_live_view():
    rich_console = pytest.importorskip('rich.console')
    from async_agent_ros.watch.live import LiveWatch, render, render_line
    view = AgentView()
    view.apply('state', AgentState(state='emitting', epoch=2, stamp=at(1)))
    view.apply('say', Say(segment_id=1, text='Hello there. '))
    view.apply('speech_progress', SpeechProgress(segment_id=1, state='started', heard_chars=5))
    view.apply('ledger', entry(0, 'call', {'arguments': {'room': 'kitchen'}},
                               call_id='c1', name='navigate_to'))
    view.apply('ledger', entry(1, 'notification', {'progress': 0.5, 'text': ''},
                               call_id='c1', name='progress'))
    console = rich_console.Console(width=100, record=True, file=io.StringIO())
    console.print(render(view, (START_S + 3) * 10**9, 100))
    console.print(render_line(Line(2 * 10**9, 'person', 'hi'), 0))
    text = console.export_text()
    for expected in ('emitting', 'Hello there.', 'c1 navigate_to', '50%', 'person     hi'):
        assert expected in text
    stream = io.StringIO()
    with LiveWatch(stream) as watch:
        watch.follow(view, threading.Condition())
        watch.show([Line(2 * 10**9, 'robot', 'Hello there.')])
        watch.tell('remark')
    assert 'Hello there.' in stream.getvalue() and 'remark' in stream.getvalue()


def test_helpers_are_told_from_their_begin_to_their_report(view):
    view.apply('ledger', entry(0, 'call', {'arguments': {'task': 'count the cups'}},
                               call_id='c1', name='fork'))
    begun = entry(1, 'fork', {'parent': 'main', 'task': 'count the cups'}, call_id='c1')
    begun.instance = 'i1'
    lines = view.apply('ledger', begun)
    assert lines[0].lane == 'helper' and lines[0].text == 'i1 begins: count the cups'
    ended = entry(2, 'end', {'report': 'There are three.'}, call_id='c1', status='succeeded')
    ended.instance = 'i1'
    lines = view.apply('ledger', ended)
    assert lines[0].lane == 'helper' and lines[0].text == 'i1 succeeded: There are three.'


def test_what_nobody_asked_for_is_told_apart(view):
    early = {'instance': 'draft', 'call_id': 's1', 'name': 'get_battery'}
    lines = view.apply('ledger', entry(0, 'call', {'arguments': {}}, **early))
    lines += view.apply('ledger', entry(1, 'commit', {}, **early))
    lines += view.apply('ledger', entry(2, 'result', {'result': {'percent': 80}},
                                        status='succeeded', **early))
    lines += view.apply('ledger', entry(
        3, 'end', {'assumed': 'how full', 'text': 'Let me see.',
                   'calls': [{'name': 'get_battery', 'arguments': {}}]}, instance='draft',
        generation_id=4, status='retracted'))
    assert {line.lane for line in lines} == {'draft'}
    assert lines[-1].text == 'dropped, on "how full": Let me see. get_battery()'
    lines = view.apply('ledger', entry(4, 'call', {'arguments': {}}, call_id='c1',
                                       name='get_battery'))
    view.apply('ledger', entry(5, 'result', {'result': {'percent': 80}, 'taken_from': 's1'},
                               call_id='c1', name='get_battery', status='succeeded'))
    assert lines[0].lane == 'call' and not view.calls['c1'].early
    assert view.calls['s1'].early and view.calls['s1'].used_by == 'c1'
    # words that stream into the context are heard in the transcript; sound made ready is not said
    assert view.apply('ledger', entry(6, 'user', 'how full', name='partial')) == []
    view.apply('say', Say(segment_id=0, text='It is', prepare=True, stamp=at(7)))
    assert not view.segments
