"""The plan of a turn: what is the same call, what is an edit, what falls with what."""
from async_agent_ros.core.plan import Plan, Standing
from hypothesis import given, strategies as st
import pytest

MS = 10**6


@pytest.fixture
def plan():
    plan = Plan('u1')
    plan.begin_revision()
    return plan


def propose(plan, call_id, name='look', given_id='', **arguments):
    return plan.propose(call_id, name, arguments, given_id)


def test_the_same_call_in_the_next_revision_is_the_same(plan):
    first, _ = propose(plan, 's1', place='hall')
    plan.started(first, {'place': 'hall'}, 1)
    plan.begin_revision()
    again, dropped = propose(plan, 's2', place='hall')
    assert again is first and not dropped and list(plan.calls) == ['s1']
    assert plan.end_step() == [] and first.standing is Standing.RUNNING


def test_two_equal_calls_in_one_revision_are_two(plan):
    first, _ = propose(plan, 's1', place='hall')
    second, _ = propose(plan, 's2', place='hall')
    assert first is not second
    plan.begin_revision()
    assert [propose(plan, f's{n}', place='hall')[0].call_id for n in (3, 4, 5)] == [
        's1', 's2', 's5']


def test_what_is_not_written_again_falls_unless_its_result_is_there(plan):
    tentative, _ = propose(plan, 's1', place='hall')
    running, _ = propose(plan, 's2', place='kitchen')
    done, _ = propose(plan, 's3', place='office')
    for planned in (running, done):
        plan.started(planned, planned.arguments, 1)
    plan.ended(done, True, 2)
    plan.begin_revision()
    assert {p.call_id for p in plan.end_step()} == {'s1', 's2'}
    assert not tentative.alive and not running.alive and done.standing is Standing.DONE


def test_what_came_after_results_may_come_after_them_again(plan):
    propose(plan, 's1', place='hall')
    plan.end_step()
    later, _ = propose(plan, 's2', place='shelf')
    plan.end_step(last=True)
    plan.begin_revision()
    propose(plan, 's3', place='hall')
    assert plan.end_step() == [] and later.alive
    assert plan.end_step(last=True) == [later]


def test_an_edit_takes_the_place_of_the_old_call(plan):
    red, _ = propose(plan, 's1', given_id='c1', place='red')
    after, _ = propose(plan, 's2', name='pick', given_id='c2', what='$c1.id')
    assert after.arguments == {'what': '$s1.id'}
    blue, dropped = propose(plan, 's3', given_id='c1', place='blue')
    assert dropped == [red] and after.alive
    assert after.arguments == {'what': '$s3.id'}
    assert propose(plan, 's4', given_id='c1', place='blue') == (blue, [])


def test_what_ran_with_the_result_of_an_edited_call_falls_with_it(plan):
    red, _ = propose(plan, 's1', given_id='c1', place='red')
    after, _ = propose(plan, 's2', name='pick', what='$c1')
    plan.started(after, {'what': 7}, 1)
    _, dropped = propose(plan, 's3', given_id='c1', place='blue')
    assert dropped == [red, after]


def test_a_removal_takes_the_dependents_along(plan):
    propose(plan, 's1', given_id='c1')
    propose(plan, 's2', name='pick', given_id='c2', what='$c1')
    propose(plan, 's3', name='show', what='$c2.x')
    propose(plan, 's4', name='other')
    assert [p.call_id for p in plan.remove('c1')] == ['s1', 's2', 's3']
    assert plan.remove('c1') == [] and plan.remove('nobody') == []
    assert [p.call_id for p in plan.remove('other')] == ['s4']    # by the name of its tool


def test_a_call_is_claimed_once_and_the_books_are_kept(plan):
    used, _ = propose(plan, 's1', place='hall')
    unused, _ = propose(plan, 's2', place='office')
    failed, _ = propose(plan, 's3', place='cellar')
    guessed, _ = propose(plan, 's4', place='garden')
    for planned in (used, unused, failed):
        plan.started(planned, planned.arguments, 1000 * MS)
    plan.ended(unused, True, 1400 * MS)
    plan.ended(failed, False, 1100 * MS)
    assert plan.claim('look', {'place': 'hall'}, 1600 * MS) is used
    assert plan.claim('look', {'place': 'hall'}, 1600 * MS) is None
    assert plan.claim('look', {'place': 'cellar'}, 1600 * MS) is None
    assert plan.claim('look', {'place': 'garden'}, 1600 * MS) is None
    assert used.standing is Standing.COMMITTED and guessed.used and failed.used
    assert plan.remove('s1') == []    # what the turn uses is not taken away
    plan.ended(used, True, 1700 * MS)
    assert used.standing is Standing.COMMITTED
    assert plan.counts(2000 * MS) == {
        'drafts': 0, 'wasted_tokens': 0, 'early_calls': 3, 'early_hits': 1,
        'wasted_tool_s': 0.5, 'lead_s': 0.6}


MOVES = st.lists(st.one_of(
    st.tuples(st.just('propose'), st.sampled_from('ab'), st.sampled_from(('x', '$c1', '$c2', '$a')),
              st.sampled_from(('', 'c1', 'c2'))),
    st.tuples(st.just('remove'), st.sampled_from(('c1', 'c2', 'a', 's1', 'zz'))),
    st.tuples(st.just('revise')), st.tuples(st.just('end')),
    st.tuples(st.just('run'), st.integers(0, 5)), st.tuples(st.just('finish'), st.integers(0, 5)),
    st.tuples(st.just('claim'), st.sampled_from('ab'))), max_size=40)


@given(MOVES)
def test_any_order_of_moves_keeps_the_plan_sane(moves):
    plan = Plan('u1')
    fallen = set()
    for number, (move, *given_) in enumerate(moves, 1):
        alive = [p for p in plan.calls.values() if p.alive]
        if move == 'propose':
            name, value, given_id = given_
            planned, dropped = plan.propose(f's{number}', name, {'v': value}, given_id)
            assert planned.alive or planned in dropped
        elif move == 'remove':
            plan.remove(given_[0])
        elif move == 'revise':
            plan.begin_revision()
        elif move == 'end':
            plan.end_step(last=number % 2 == 0)
        elif move == 'run' and alive:
            planned = alive[given_[0] % len(alive)]
            if planned.standing is Standing.TENTATIVE:
                plan.started(planned, {'v': 'x'}, number)
        elif move == 'finish' and plan.early_calls:
            planned = plan.early_calls[given_[0] % len(plan.early_calls)]
            if not planned.ended_ns:
                plan.ended(planned, True, number)
        elif move == 'claim':
            plan.claim(given_[0], {'v': 'x'}, number)
        gone = {p.call_id for p in plan.calls.values() if not p.alive}
        assert fallen <= gone    # what is retracted never comes back
        fallen = gone
        counts = plan.counts(number)
        assert 0 <= counts['early_hits'] <= counts['early_calls'] and counts['wasted_tool_s'] >= 0
