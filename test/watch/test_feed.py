"""What the window is told: snapshots of a view, without Qt and without ROS."""
import threading

from async_agent_ros.msg import AgentState, LedgerEntry, RunningCall, TurnMetrics
from async_agent_ros.watch.feed import Feed, nice_ceiling, Row
from async_agent_ros.watch.speculation import Speculation, total
from async_agent_ros.watch.view import AgentView
from builtin_interfaces.msg import Time
import pytest


def at(seconds):
    return Time(sec=1000 + int(seconds), nanosec=round(seconds % 1 * 1e9))


def entry(seq, kind='user', session='s1', **fields):
    return LedgerEntry(session=session, seq=seq, stamp=at(seq), instance='main', kind=kind,
                       **fields)


class Agent:
    """A view, its feed, and a clock that is set by hand."""

    def __init__(self):
        self.view, self.now_s = AgentView(), 50.0
        self.feed = Feed(self.view, threading.Lock(), clock=lambda: self.now_s)

    def put(self, topic, message):
        self.feed.on_lines(self.view.apply(topic, message))


@pytest.fixture
def agent():
    return Agent()


def test_only_new_rows_are_given(agent):
    agent.put('ledger', entry(0, content='hello'))
    agent.put('ledger', entry(1, 'assistant', content='Hi.'))
    first = agent.feed.take()
    assert [(r.seq, r.seconds, r.kind, r.content) for r in first.rows] == [
        (0, 0.0, 'user', 'hello'), (1, 1.0, 'assistant', 'Hi.')]
    assert not first.cleared and first.person == 'hello'
    agent.put('ledger', entry(2, 'end'))
    assert [r.seq for r in agent.feed.take().rows] == [2]
    assert agent.feed.take().rows == []


def test_another_session_clears_the_rows(agent):
    for seq in range(3):
        agent.put('ledger', entry(seq))
    agent.feed.take()
    agent.view.metrics[1] = object()
    agent.put('ledger', entry(0, session='s2', content='again'))
    agent.put('ledger', entry(1, session='s2'))
    agent.put('ledger', entry(2, session='s2'))
    snapshot = agent.feed.take()
    assert snapshot.cleared and [r.seq for r in snapshot.rows] == [0, 1, 2]
    assert snapshot.turns == [], 'the latencies of the old session are gone'
    assert not agent.feed.take().cleared


def test_transitions_say_how_long_a_state_lasted(agent):
    for seconds, state in ((1, 'idle'), (3.5, 'generating'), (4, 'emitting'), (4.2, 'emitting')):
        agent.put('state', AgentState(state=state, stamp=at(seconds)))
    snapshot = agent.feed.take()
    assert [(t.before, t.after, t.lasted_s) for t in snapshot.transitions] == [
        ('idle', 'generating', 2.5), ('generating', 'emitting', 0.5)]


def test_time_goes_on_from_the_newest_stamp(agent):
    """Also in simulated time, and when a bag of last year is shown."""
    agent.put('state', AgentState(state='idle', stamp=at(5), calls=[
        RunningCall(call_id='c1', name='look', phase='running', since=at(3), progress=-1.0)]))
    assert agent.feed.take().state_s == 0.0
    agent.now_s += 2.5
    snapshot = agent.feed.take()
    assert snapshot.state_s == 2.5 and snapshot.elapsed_s == {'c1': 4.5}
    assert snapshot.calls[0].name == 'look'
    agent.view.calls['c1'].name = 'changed'
    assert snapshot.calls[0].name == 'look', 'a snapshot does not change'


def test_latencies_are_given_by_stage(agent):
    agent.put('metrics', TurnMetrics(
        turn_id=1, trigger='text', response_s=0.5, end_of_turn_s=-1.0, recognition_s=-1.0,
        to_generate_s=0.1, first_token_s=0.2, first_sentence_s=0.1, first_audio_s=0.1))
    agent.put('metrics', TurnMetrics(turn_id=2, response_s=-1.0))
    [bar] = agent.feed.take().turns
    assert bar.response_s == 0.5 and bar.stages_s[:2] == (0.0, 0.0)
    assert sum(bar.stages_s) == pytest.approx(0.5)


def test_early_calls_stand_last_and_turns_tell_what_was_speculated(agent):
    agent.put('state', AgentState(state='listening', stamp=at(1), calls=[
        RunningCall(call_id='s1', name='get_battery', instance='draft', phase='running'),
        RunningCall(call_id='c1', name='navigate_to', instance='main', phase='running')]))
    agent.put('metrics', TurnMetrics(turn_id=1, response_s=0.5, early=True, drafts=2,
                                     early_calls=2, early_hits=1, lead_s=0.4))
    snapshot = agent.feed.take()
    assert [(c.call_id, c.early) for c in snapshot.calls] == [('c1', False), ('s1', True)]
    made = snapshot.turns[0].speculation
    assert made.made and made.text() == (
        'answer begun early; 2 drafts; 1 of 2 early reads used, 0.40 s ahead')
    assert total([made, made]).drafts == 4 and total([made, made]).lead_s == made.lead_s
    assert not Speculation.of(object()).made, 'a bag of an older version'


def test_rows_match_kind_instance_and_words():
    row = Row(0, 0.0, 'call', 'helper', 'c1', 'navigate_to', '', '{"place": "Kitchen"}')
    assert row.matches(set(), '', '') and row.matches(set(), 'helper', 'kitchen NAVI')
    assert not row.matches({'call'}, '', '')
    assert row.matches(set(), '!draft', '') and not row.matches(set(), '!helper', '')
    assert not row.matches(set(), 'main', '') and not row.matches(set(), '', 'kitchen garage')


@pytest.mark.parametrize('value, ceiling', [
    (0.0, 1.0), (0.3, 0.5), (0.5, 0.5), (0.51, 1.0), (1.2, 2.0), (4.9, 5.0), (7, 10.0),
    (120, 200.0), (0.004, 0.005)])
def test_axes_end_at_round_numbers(value, ceiling):
    assert nice_ceiling(value) == pytest.approx(ceiling)


def test_the_model_needs_neither_qt_nor_ros():
    import subprocess
    import sys
    code = ('import sys\n'
            'for name in ("rclpy", "PyQt5", "python_qt_binding"): sys.modules[name] = None\n'
            'import async_agent_ros.watch.feed')
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0
