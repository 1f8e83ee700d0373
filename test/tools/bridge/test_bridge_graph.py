"""The bridge as a process, over DDS, with a robot in another process that knows nothing of it."""
import itertools
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


def begin(client, call_id, name, arguments):
    """Order until the foreign server works at it: it was just started, and may be found late."""
    for attempt in range(5):
        it = f'{call_id} {attempt}'
        order(client, it, name, arguments)
        wait_for(lambda: client.of(it, CallEvent.FEEDBACK) or client.of(it, CallEvent.ENDED), 20.0)
        if not client.of(it, CallEvent.ENDED):
            return it
    raise AssertionError(f'{name}: {client.end_of(it).error_msg}')


def test_an_action_succeeds(client):
    event, result = call(client, 'a1', 'fibonacci', {'n': 12})
    assert event.status == 'succeeded', event.error_msg
    assert result == {'sequence': [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89]}


def test_a_cancel_reaches_the_foreign_goal(client):
    order(client, 'a2', 'fibonacci', {'n': 1000})
    feedback = wait_for(lambda: client.of('a2', CallEvent.FEEDBACK), 20.0)
    assert feedback[-1].text.startswith('numbers so far: ')
    client.cancel('a2', 'fibonacci', server='bridge')
    event = client.end_of('a2', 20.0)
    assert (event.status, event.error_msg) == ('cancelled', 'cancelled on request')
    assert json.loads(event.result_json)['sequence'][:3] == [0, 1, 1], 'what was achieved'


def test_the_terminal_status_of_the_foreign_server_wins(client):
    order(client, 'a3', 'fibonacci', {'n': 99})
    wait_for(lambda: client.of('a3', CallEvent.FEEDBACK), 20.0)
    client.cancel('a3', 'fibonacci', server='bridge')
    assert client.end_of('a3', 20.0).status == 'succeeded'


def test_large_feedback_is_told_by_its_size(client):
    event, _ = call(client, 'a9', 'fibonacci', {'n': 777})
    assert event.status == 'succeeded', event.error_msg
    texts = {e.text for e in client.of('a9', CallEvent.FEEDBACK)}
    assert 'numbers so far: 200000 items' in texts


def test_a_failure_is_a_failure(client):
    event, result = call(client, 'a4', 'fibonacci', {'n': -1})
    assert event.status == 'failed' and event.error_code == Error.TOOL_FAILED
    assert '/fibonacci was aborted by its server' in event.error_msg
    assert result == {'sequence': [0, 1]}


def test_a_burst_of_calls_ends_whole(client):
    # more than the queue of 10 that a foreign server has
    for i in range(40):
        order(client, f'b{i}', 'fibonacci', {'n': 4})
        order(client, f'l{i}', 'switch_light', {'on': True})
    for i in range(40):
        for call_id in (f'b{i}', f'l{i}'):
            event = client.end_of(call_id, 30.0)
            assert event.status == 'succeeded', event.error_msg


def test_arguments_that_do_not_fit_never_leave(client):
    event, _ = call(client, 'a5', 'fibonacci', {'n': 'many'})
    assert event.error_code == Error.INVALID_ARGUMENTS
    assert event.error_msg == 'n: must be a whole number'


def test_a_server_that_dies_loses_the_goal(client):
    with process(FOREIGN, '/mortal') as mortal:
        assert 'ready' in mortal.stdout.readline()
        call_id = begin(client, 'a7', 'mortal', {'order': 1000})
        mortal.terminate()
        mortal.wait(timeout=20.0)
        event = client.end_of(call_id, 30.0)
    assert event.error_code == Error.LOST and '/mortal vanished' in event.error_msg


def test_a_server_that_is_restarted_does_not_know_the_goal(client):
    with process(FOREIGN, '/mortal') as mortal:
        assert 'ready' in mortal.stdout.readline()
        call_id = begin(client, 'a8', 'mortal', {'order': 1000})
        mortal.kill()
        with process(FOREIGN, '/mortal') as successor:
            assert 'ready' in successor.stdout.readline()
            event = client.end_of(call_id, 30.0)
    assert event.error_code == Error.LOST and 'does not know the goal' in event.error_msg


def test_a_service_answers_and_its_false_is_a_failure(client):
    event, result = call(client, 's1', 'switch_light', {'on': True})
    assert event.status == 'succeeded', event.error_msg
    assert result == {'success': True, 'message': 'the light is on'}
    event, result = call(client, 's2', 'switch_light', {'on': False})
    assert (event.status, event.error_msg) == ('failed', 'the bulb is loose')
    assert result['success'] is False


def test_the_latest_message_of_a_latched_topic(client):
    event, result = call(client, 't1', 'get_battery')
    assert event.status == 'succeeded', event.error_msg
    assert result['percentage'] == 0.5 and result['voltage'] == 24.1
    assert result['temperature'] == 'nan' and result['power_supply_status'] == 'DISCHARGING'
    assert result['age_s'] > 0.0 and 'cell_voltage' not in result and 'frame' not in result


def test_the_latest_message_of_a_best_effort_topic_as_people_say_it(client):
    event, result = call(client, 't2', 'get_pose')
    assert event.status == 'succeeded', event.error_msg
    assert result.pop('age_s') < 20.0
    assert result == {'frame': 'odom', 'twist': {'x': 0.0}, 'pose': {
        'x': 1.5, 'y': 0.0, 'z': 0.0, 'yaw': 1.570796, 'yaw_deg': 90.0}}


def test_an_image_is_summarised(client):
    event, result = call(client, 't3', 'look')
    assert event.status == 'succeeded', event.error_msg
    assert result['width'] == 320 and result['data'] == {
        'length': 230400, 'note': 'summarised: 230400 bytes are not shown'}
    assert len(event.result_json) < 400


def test_publishing_for_a_while_ends_with_zero_and_the_next_message_is_awaited(client):
    order(client, 't4', 'next_word')
    client.running('t4')
    calls = itertools.count()
    while not client.of('t4', CallEvent.ENDED):    # who hears it may be found late
        event, result = call(client, f't5 {next(calls)}', 'drive',
                             {'speed': 0.25, 'duration_s': 0.3})
        assert event.status == 'succeeded', event.error_msg
        assert result == {'published': 6}
    heard = json.loads(client.end_of('t4').result_json)
    assert heard['data'].startswith('0.25')

    def last_word():
        number = len(client.events)
        return json.loads(call(client, f't6 {number}', 'last_word')[0].result_json)['data']
    wait_for(lambda: last_word().endswith('0.25 0.0'), 20.0, 'the zero message')
    event, _ = call(client, 't7', 'drive', {'speed': 3.0, 'duration_s': 0.3})
    assert event.error_msg == 'speed: must be at most 0.5, not 3.0'
    event, _ = call(client, 't8', 'drive', {'speed': 0.1, 'duration_s': 90})
    assert event.error_msg == 'duration_s: must be a number of seconds, 0 to 60'


def test_a_cancelled_drive_stops(client):
    order(client, 't9', 'drive', {'speed': 0.125, 'duration_s': 60})
    wait_for(lambda: client.of('t9', CallEvent.FEEDBACK), 20.0)
    client.cancel('t9', 'drive', server='bridge')
    event = client.end_of('t9', 20.0)
    assert (event.status, event.error_msg) == ('cancelled', 'cancelled on request, stopped')
    assert json.loads(event.result_json)['published'] > 0


def test_what_is_not_there_is_named(client):
    for name, arguments in (('nobody', {}), ('absent_service', {}), ('silent_topic', {}),
                            ('shout', {'data': 'ho'})):
        order(client, f'n {name}', name, arguments)
    messages = {}
    for name in ('nobody', 'absent_service', 'silent_topic', 'shout'):
        event = client.end_of(f'n {name}', 20.0)
        assert event.error_code == Error.SERVER_UNAVAILABLE
        messages[name] = event.error_msg
    assert messages == {
        'nobody': 'no action server answers on /nobody: is its node running, and active?',
        'absent_service': 'no server answers on the service /absent: is its node running?',
        'silent_topic': 'nobody publishes /silent: is its node running?',
        'shout': 'nobody subscribes to /nobody_hears: is its node running?'}
