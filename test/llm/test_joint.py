"""Whose tokens go into a pass together: no model, rows that count."""
import threading

import pytest

from async_agent_ros.llm.joint import JointPasses, Row
from async_agent_ros.llm.turns import Turns

NEVER = threading.Event()


class Cache:
    def __init__(self):
        self.tokens = []


class Model:
    """Answers a token with its double; waits for the test before every pass."""

    def __init__(self):
        self.passes = []
        self.begun, self.go_on = threading.Event(), threading.Semaphore(0)
        self.error = None

    def __call__(self, rows):
        self.passes.append(sorted(r.token for r in rows))
        self.begun.set()
        assert self.go_on.acquire(timeout=10.0)
        if self.error:
            raise self.error
        return [2 * r.token for r in rows]


def reading(passes, token, found, first=False, abort=NEVER, cache=None):
    """Read a token in a thread of its own."""
    def read():
        try:
            found[token] = passes.read(Row(cache or Cache(), token), first, abort)
        except RuntimeError as error:
            found[token] = str(error)
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def waiting(passes, count):
    """Wait until so many tokens wait for a pass."""
    with passes._changed:
        assert passes._changed.wait_for(lambda: len(passes._waiting) == count, 10.0)


def test_what_waits_goes_together_up_to_the_limit():
    model, found = Model(), {}
    passes = JointPasses(Turns(), model, most=3)
    threads = [reading(passes, 1, found)]
    assert model.begun.wait(10.0)
    for token in (2, 3, 4, 5):
        threads.append(reading(passes, token, found))
        waiting(passes, token - 1)
    model.go_on.release(9)
    for thread in threads:
        thread.join(10.0)
    assert found == {1: 2, 2: 4, 3: 6, 4: 8, 5: 10}
    assert sorted(map(len, model.passes)) == [1, 1, 3]


def test_helpers_ride_along_while_the_person_is_answered():
    model, found, turns = Model(), {}, Turns()
    passes = JointPasses(turns, model, most=4)
    model.go_on.release(9)
    with turns.session(True):
        helper = reading(passes, 7, found)
        waiting(passes, 1)
        assert not model.passes, 'alone it has to wait'
        assert passes.read(Row(Cache(), 1), True, NEVER) == 2
        helper.join(10.0)
    assert model.passes == [[1, 7]] and found == {7: 14}


def test_who_is_aborted_while_waiting_is_not_read():
    model, found, turns, abort = Model(), {}, Turns(), threading.Event()
    passes = JointPasses(turns, model, most=4)
    model.go_on.release(9)
    cache = Cache()
    with turns.session(True):
        helper = reading(passes, 7, found, abort=abort, cache=cache)
        waiting(passes, 1)
        abort.set()
        helper.join(10.0)
    assert found == {7: None} and not model.passes and not cache.tokens


def test_who_is_aborted_in_a_pass_waits_until_it_is_over():
    model, found, abort = Model(), {}, threading.Event()
    passes = JointPasses(Turns(), model, most=4)
    first = reading(passes, 1, found)
    assert model.begun.wait(10.0)
    model.begun.clear()
    cache = Cache()
    joined = [reading(passes, 2, found), reading(passes, 3, found, abort=abort, cache=cache)]
    waiting(passes, 2)
    model.go_on.release()
    assert model.begun.wait(10.0)
    abort.set()
    joined[1].join(0.2)
    assert joined[1].is_alive(), 'the pass still writes to the cache'
    model.go_on.release()
    for thread in (first, *joined):
        thread.join(10.0)
    assert model.passes == [[1], [2, 3]] and cache.tokens == [3] and found[3] == 6


def test_an_error_is_told_to_all_of_the_pass_and_the_next_one_works():
    model, found = Model(), {}
    passes = JointPasses(Turns(), model, most=4)
    threads = [reading(passes, 1, found)]
    assert model.begun.wait(10.0)
    threads += [reading(passes, 2, found), reading(passes, 3, found)]
    waiting(passes, 2)
    model.error = RuntimeError('no memory')
    model.go_on.release(9)
    for thread in threads:
        thread.join(10.0)
    assert set(found.values()) == {'no memory'}
    model.error = None
    cache = Cache()
    assert passes.read(Row(cache, 4), False, NEVER) == 8 and cache.tokens == [4]


@pytest.mark.parametrize('ends', [True, False])
def test_a_pass_waits_a_moment_for_those_of_the_one_before(ends, monkeypatch):
    monkeypatch.setattr('async_agent_ros.llm.joint.GATHER_S', 0.5 if not ends else 30.0)
    model, found = Model(), {}
    passes = JointPasses(Turns(), model, most=4)
    one, other = Cache(), Cache()
    model.go_on.release(9)
    with passes._changed:
        passes._last = {one, other}
    thread = reading(passes, 1, found, cache=one)
    waiting(passes, 1)
    if ends:
        passes.ended(other)
    else:
        reading(passes, 2, found, cache=other).join(10.0)
    thread.join(10.0)
    assert model.passes == ([[1]] if ends else [[1, 2]])
