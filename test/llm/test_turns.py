"""Who goes first at a shared model."""
import threading

import pytest

from async_agent_ros.llm.turns import Turns

NEVER = threading.Event()


def start(function):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def test_the_person_goes_before_helpers_that_waited_longer():
    turns, order = Turns(), []
    holding, go_on = threading.Event(), threading.Event()

    def hold():
        with turns.turn(False, NEVER):
            holding.set()
            go_on.wait(10.0)

    def take(name, first):
        with turns.session(first), turns.turn(first, NEVER) as mine:
            assert mine
            order.append(name)

    threads = [start(hold)]
    assert holding.wait(10.0)
    for number, (name, first) in enumerate((('a', False), ('b', False), ('person', True))):
        threads.append(start(lambda name=name, first=first: take(name, first)))
        while len(turns._queues[False]) + len(turns._queues[True]) <= number:
            pass
    assert turns.first_is_here
    go_on.set()
    for thread in threads:
        thread.join(10.0)
    assert order == ['person', 'a', 'b'] and not turns.first_is_here


def test_helpers_pause_between_the_passes_of_the_person():
    turns = Turns()
    stop = threading.Event()
    with turns.session(True):
        stop.set()
        with turns.turn(False, stop) as mine:
            assert not mine, 'no pass while the person is answered'
        with turns.turn(True, NEVER) as mine:
            assert mine
        assert not turns.wait_until_free(stop)
    assert turns.wait_until_free(NEVER)
    with turns.turn(False, NEVER) as mine:
        assert mine


def test_a_pass_that_fails_frees_the_model():
    turns = Turns()
    with pytest.raises(ValueError), turns.turn(True, NEVER):
        raise ValueError
    with turns.turn(False, NEVER) as mine:
        assert mine
