"""The life of a call: single orders, and any order of inputs (hypothesis)."""
import json

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from async_agent_ros.core.words import Error, Status
from async_agent_ros.tools import call_life
from async_agent_ros.tools.call_life import (Accepted, CallLife, CancelGoal, Ended, Feedback,
                                             RequestResult, SendGoal, Stage)
from async_agent_ros.tools.discovery import FOUND_WITHIN_S


def begin(timeout_s=0.0):
    return CallLife('work', '/agent/server/work', timeout_s, now_s=0.0, steady_s=0.0)


def started(timeout_s=0.0):
    life = begin(timeout_s)
    assert life.tick(0.0, 0.0, server_ready=True) == [SendGoal()]
    assert life.goal_response(True, 0.0) == [Accepted(), RequestResult()]
    return life


def test_the_usual_life():
    life = started()
    assert life.feedback(0.5, 'half', 1.0) == [Feedback(0.5, 'half')]
    assert life.result('succeeded', 0, '', '{"a": 1}') == [
        Ended(Status.SUCCEEDED, result_json='{"a": 1}')]
    assert life.stage is Stage.ENDED


def test_no_server():
    life = begin()
    assert life.tick(0.0, 0.0, server_ready=False) == []
    [end] = life.tick(3.0, FOUND_WITHIN_S, server_ready=False)
    assert (end.status, end.error_code) == (Status.FAILED, Error.SERVER_UNAVAILABLE)
    assert '/agent/server/work' in end.error_msg


def test_cancel_before_the_goal_is_sent():
    life = begin()
    [end] = life.cancel(0.0)
    assert end.status == Status.CANCELLED
    assert life.tick(0.0, 0.0, server_ready=True) == []


def test_cancel_before_the_goal_handle_is_there_is_remembered():
    life = begin()
    life.tick(0.0, 0.0, server_ready=True)
    assert life.cancel(0.0) == []
    assert life.goal_response(True, 0.0) == [Accepted(), RequestResult(), CancelGoal()]
    [end] = life.result('cancelled', Error.CANCELLED, 'stopped in the hall', '{"at": "hall"}')
    assert end == Ended(Status.CANCELLED, Error.CANCELLED, 'stopped in the hall', '{"at": "hall"}')


def test_the_servers_terminal_status_wins_over_a_cancel():
    life = started()
    assert life.cancel(1.0) == [CancelGoal()]
    [end] = life.result('succeeded', 0, '', '1')
    assert end.status == Status.SUCCEEDED


def test_a_cancel_is_repeated_until_the_end():
    life = started()
    life.cancel(1.0)
    assert life.tick(2.0, 2.0, server_ready=True) == []
    assert life.tick(3.0, 3.0, server_ready=True) == [CancelGoal()]


def test_timeout_of_a_server_that_never_answers():
    life = started(timeout_s=5.0)
    assert life.tick(4.9, 4.9, server_ready=True) == []
    assert life.tick(5.0, 5.0, server_ready=True) == [CancelGoal()]
    [end] = life.tick(7.0, 5.0 + call_life.TIMEOUT_GRACE_S, server_ready=True)
    assert (end.status, end.error_code) == (Status.FAILED, Error.TIMEOUT)
    assert life.result('succeeded', 0, '', '1') == []


def test_timeout_of_a_server_that_stops_in_time_keeps_what_it_says():
    life = started(timeout_s=5.0)
    life.tick(5.0, 5.0, server_ready=True)
    [end] = life.result('cancelled', Error.CANCELLED, '', '{"at": "hall"}')
    assert (end.status, end.error_code, end.result_json) == (
        Status.FAILED, Error.TIMEOUT, '{"at": "hall"}')


def test_a_timeout_follows_the_ros_clock_and_its_grace_the_steady_one():
    life = started(timeout_s=5.0)
    assert life.tick(0.0, 1000.0, server_ready=True) == []


def test_a_vanished_server():
    life = started()
    assert life.tick(1.0, 1.0, server_ready=False) == []
    assert life.tick(3.0, 3.0, server_ready=False) == []
    [end] = life.tick(3.5, 1.0 + call_life.VANISH_S, server_ready=False)
    assert (end.status, end.error_code) == (Status.LOST, Error.LOST)


def test_a_restarted_server_does_not_know_the_call():
    life = started()
    life.tick(1.0, 1.0, server_ready=False)
    assert life.tick(2.0, 2.0, server_ready=True) == [RequestResult()]
    [end] = life.result('unknown', 0, '', '')
    assert end.status == Status.LOST


def test_a_goal_without_an_answer_is_sent_again_and_then_lost():
    life = begin()
    life.tick(0.0, 0.0, server_ready=True)
    assert life.tick(2.0, 2.0, server_ready=True) == [SendGoal()]
    assert life.tick(4.0, 4.0, server_ready=True) == [SendGoal()]
    [end] = life.tick(6.0, 6.0, server_ready=True)
    assert end.status == Status.LOST


def test_a_result_that_does_not_come_is_asked_for_again():
    life = started()
    assert life.tick(1.0, 1.0, server_ready=True, done=True) == []
    assert life.tick(3.0, 3.0, server_ready=True, done=True) == [RequestResult()]


def test_refused_goal():
    life = begin()
    life.tick(0.0, 0.0, server_ready=True)
    [end] = life.goal_response(False, 0.0)
    assert (end.status, end.error_code) == (Status.FAILED, Error.REJECTED)


def test_aborted_with_cancelled_is_cancelled():
    life = started()
    [end] = life.result('aborted', Error.CANCELLED, 'pre-empted by a new goal', 'null')
    assert end.status == Status.CANCELLED and 'pre-empted' in end.error_msg


@pytest.mark.parametrize('text, expected', [('', 'null'), ('{"a":1}', '{"a":1}'),
                                            ('plain words', '"plain words"')])
def test_results_of_other_hands_become_json(text, expected):
    [end] = started().result('succeeded', 0, '', text)
    assert end.result_json == expected


def test_feedback_is_thinned_out_and_the_latest_comes():
    life = started()
    assert life.feedback(0.1, 'a', 0.0) == [Feedback(0.1, 'a')]
    assert life.feedback(0.2, 'b', 0.01) == []
    assert life.feedback(0.3, 'c', 0.02) == []
    assert life.tick(0.1, 0.1, server_ready=True) == [Feedback(0.3, 'c')]
    assert life.tick(0.3, 0.3, server_ready=True) == []


INPUTS = st.one_of(
    st.tuples(st.just('cancel')),
    st.tuples(st.just('goal_response'), st.booleans()),
    st.tuples(st.just('feedback'), st.floats(0.0, 1.0)),
    st.tuples(st.just('result'), st.sampled_from(['succeeded', 'cancelled', 'aborted', 'unknown']),
              st.sampled_from([0, Error.CANCELLED, Error.TOOL_FAILED]),
              st.sampled_from(['', '{}', 'not json'])),
    st.tuples(st.just('server_lost')),
    st.tuples(st.just('server_restarted')),
    st.tuples(st.just('failed')),
    st.tuples(st.just('close')),
    st.tuples(st.just('tick'), st.floats(0.0, 4.0), st.booleans(), st.booleans()))


@settings(max_examples=400, deadline=None)
@given(st.lists(INPUTS, max_size=40), st.sampled_from([0.0, 1.0, 10.0]))
def test_any_order_ends_exactly_once_and_never_out_of_turn(inputs, timeout_s):
    life = begin(timeout_s)
    time_s = 0.0
    seen = []

    def take(actions):
        for action in actions:
            assert not any(isinstance(a, Ended) for a in seen), 'nothing follows the end'
            if isinstance(action, (CancelGoal, RequestResult, Feedback)):
                assert Accepted() in seen, 'needs a goal handle'
            if isinstance(action, Accepted):
                assert SendGoal() in seen and Accepted() not in seen
            if isinstance(action, Ended):
                json.loads(action.result_json)
                assert (action.error_code == 0) == (action.status == Status.SUCCEEDED)
                assert bool(action.error_msg) == (action.status != Status.SUCCEEDED)
            seen.append(action)

    for kind, *values in inputs:
        if kind == 'cancel':
            take(life.cancel(time_s))
            if life.stage is Stage.RUNNING:
                assert CancelGoal() in seen, 'a cancel of a running call goes out'
        elif kind == 'goal_response':
            take(life.goal_response(values[0], time_s))
        elif kind == 'feedback':
            take(life.feedback(values[0], '', time_s))
        elif kind == 'result':
            # A result can only come for a goal that was accepted.
            if life.stage in (Stage.RUNNING, Stage.ENDED):
                take(life.result(values[0], values[1], '', values[2]))
        elif kind == 'failed':
            take(life.failed('no', time_s))
        elif kind == 'server_restarted':
            take(life.server_restarted('restarted'))
        elif kind in ('server_lost', 'close'):
            take(getattr(life, kind)('gone'))
        else:
            time_s += values[0]
            take(life.tick(time_s, time_s, server_ready=values[1], done=values[2]))

    # Left alone, with its server gone, every call ends within a bound.
    bound_s = time_s + 30.0
    while time_s < bound_s:
        time_s += 0.5
        take(life.tick(time_s, time_s, server_ready=False))
    assert sum(isinstance(a, Ended) for a in seen) == 1
    assert sum(isinstance(a, SendGoal) for a in seen) <= call_life.GOAL_ATTEMPTS
