"""The bridge as a process, over DDS, with a robot in another process that knows nothing of it."""
import json
import pathlib

from async_agent_ros.core.words import Error
from async_agent_ros.msg import CallEvent
import pytest
from tool_graph import Dispatcher, process, wait_for

FOREIGN = pathlib.Path(__file__).with_name('foreign.py')
FILE = pathlib.Path(__file__).with_name('robot.yaml')
BRIDGE = ('-m', 'async_agent_ros.nodes.bridge', '--ros-args', '-r', '__ns:=/agent',
          '-p', f'file:={FILE}')


@pytest.fixture(scope='module')
def robot():
    with process(FOREIGN) as child:
        assert 'ready' in child.stdout.readline()
        yield child


@pytest.fixture(scope='module')
def client(robot):
    with process(*BRIDGE):
        dispatcher = Dispatcher()
        try:
            dispatcher.wait_for_server('bridge', 20.0)
            yield dispatcher
        finally:
            dispatcher.close()


def order(client, call_id, name, arguments=None, **options):
    client.order(call_id, name, json.dumps(arguments or {}), server='bridge', **options)


def call(client, call_id, name, arguments=None, **options):
    order(client, call_id, name, arguments, **options)
    event = client.end_of(call_id, 20.0)
    return event, json.loads(event.result_json)


def test_an_action_succeeds_with_progress(client):
    event, result = call(client, 'a1', 'fibonacci', {'n': 12})
    assert event.status == 'succeeded', event.error_msg
    assert result == {'sequence': [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89]}
    feedback = client.of('a1', CallEvent.FEEDBACK)
    assert feedback and feedback[-1].text.startswith('numbers so far: ')


def test_a_cancel_reaches_the_foreign_goal(client):
    order(client, 'a2', 'fibonacci', {'n': 1000})
    wait_for(lambda: client.of('a2', CallEvent.FEEDBACK), 20.0)
    client.cancel('a2', 'fibonacci', server='bridge')
    event = client.end_of('a2', 20.0)
    assert (event.status, event.error_msg) == ('cancelled', 'cancelled on request')
    assert json.loads(event.result_json)['sequence'][:3] == [0, 1, 1], 'what was achieved'


def test_the_terminal_status_of_the_foreign_server_wins(client):
    order(client, 'a3', 'fibonacci', {'n': 99})
    wait_for(lambda: client.of('a3', CallEvent.FEEDBACK), 20.0)
    client.cancel('a3', 'fibonacci', server='bridge')
    assert client.end_of('a3', 20.0).status == 'succeeded'


def test_a_failure_is_a_failure(client):
    event, result = call(client, 'a4', 'fibonacci', {'n': -1})
    assert event.status == 'failed' and event.error_code == Error.TOOL_FAILED
    assert '/fibonacci was aborted by its server' in event.error_msg
    assert result == {'sequence': [0, 1]}


def test_arguments_that_do_not_fit_never_leave(client):
    event, _ = call(client, 'a5', 'fibonacci', {'n': 'many'})
    assert event.error_code == Error.INVALID_ARGUMENTS
    assert event.error_msg == 'n: must be a whole number'


def test_an_absent_server_is_named(client):
    event, _ = call(client, 'a6', 'nobody')
    assert event.error_code == Error.SERVER_UNAVAILABLE and '/nobody' in event.error_msg
