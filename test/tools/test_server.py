"""ToolServer and CallExecutor together, over DDS."""
import json
import os
from pathlib import Path
import signal
import threading
import time

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock

from async_agent_ros.core.words import Error
from async_agent_ros.msg import CallEvent, ToolAnnouncement
from async_agent_ros.nodes import qos
from async_agent_ros.tools import tool, ToolDefinitionError, ToolServer
from async_agent_ros.tools import msgs
from tool_graph import Dispatcher, process, wait_for
import tool_servers as servers

SERVER_FILE = Path(servers.__file__)


@pytest.fixture(scope='module')
def dispatcher():
    it = Dispatcher()
    yield it
    it.close()


@pytest.fixture(scope='module')
def server(dispatcher):
    """The tool server in this process, so that a test sees what its functions saw."""
    context = rclpy.Context()
    context.init()
    node = ToolServer('server', servers.TOOLS, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.2)
    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    dispatcher.wait_for_server()
    yield node
    stop.set()
    thread.join(5.0)
    servers.RELEASE.set()
    node.shut_down()
    node.destroy_node()
    executor.shutdown()
    context.try_shutdown()


@pytest.fixture
def call(dispatcher, server, request):
    """Return a function that calls a tool to its end."""
    def run(name, arguments='{}', **options):
        call_id = f'{request.node.name}-{len(dispatcher.events)}'
        dispatcher.order(call_id, name, arguments, **options)
        return dispatcher.end_of(call_id)
    return run


def kinds(dispatcher, call_id):
    return [e.event for e in dispatcher.of(call_id)]


def test_the_profiles_agree_with_those_of_the_nodes():
    for field in ('history', 'depth', 'reliability', 'durability'):
        assert getattr(msgs.ANNOUNCE, field) == getattr(qos.ANNOUNCE, field)


def test_a_call_succeeds(call):
    end = call('echo', '{"text": "ho ", "times": 2}')
    assert (end.status, end.error_code, end.result_json) == ('succeeded', 0, '"ho ho "')


@pytest.mark.parametrize('name, arguments, code, words', [
    ('echo', '{"times": "many"}', Error.INVALID_ARGUMENTS, ['text: is required', 'times: ']),
    ('echo', '{"text"', Error.INVALID_ARGUMENTS, ['not JSON']),
    ('fail', '{}', Error.TOOL_FAILED, ['the door is locked']),
    ('crash', '{}', Error.TOOL_CRASHED, ['KeyError', 'left hand']),
    ('leave', '{}', Error.TOOL_CRASHED, ['SystemExit']),
    ('no_json', '{}', Error.TOOL_CRASHED, ['TypeError', 'has no JSON form']),
])
def test_failures_are_told_and_the_server_goes_on(call, name, arguments, code, words):
    end = call(name, arguments)
    assert (end.status, end.error_code) == ('failed', code)
    for word in words:
        assert word in end.error_msg
    assert call('echo', '{"text": "still here"}').status == 'succeeded'


def test_progress_of_a_generator_comes_in_order(dispatcher):
    dispatcher.order('steps', 'steps', '{"n": 3}')
    for i in range(3):
        told = wait_for(lambda: dispatcher.of('steps', CallEvent.FEEDBACK)[i:], what=f'step {i}')
        assert [feedback.text for feedback in told] == [f'step {i}']
        servers.STEPS.put(None)
    assert json.loads(dispatcher.end_of('steps').result_json) == '3 steps'
    events = kinds(dispatcher, 'steps')
    assert events[0] == CallEvent.ACCEPTED and events[-1] == CallEvent.ENDED


@pytest.mark.parametrize('name, partial', [('work', {'done': 'half'}), ('nap', None)])
def test_cancel_of_a_running_call(dispatcher, server, name, partial):
    call_id = f'cancel {name}'
    dispatcher.order(call_id, name, '{"seconds": 60}')
    dispatcher.running(call_id)
    dispatcher.cancel(call_id)
    end = dispatcher.end_of(call_id)
    assert (end.status, end.error_code) == ('cancelled', Error.CANCELLED)
    assert json.loads(end.result_json) == partial
    wait_for(lambda: server.running_calls == 0)


def test_cancel_right_behind_the_order(dispatcher, server):
    for i in range(20):
        call_id = f'quick{i}'
        dispatcher.order(call_id, 'work', '{"seconds": 60}')
        dispatcher.cancel(call_id)
    for i in range(20):
        assert dispatcher.end_of(f'quick{i}').status == 'cancelled'
    wait_for(lambda: server.running_calls == 0)


def test_cancel_before_the_order(dispatcher, server):
    dispatcher.cancel('early')
    dispatcher.order('early', 'count_me')
    assert dispatcher.end_of('early').status == 'cancelled'
    assert 'early' not in servers.RUNS


def test_a_cancel_that_comes_too_late_changes_nothing(call, dispatcher):
    end = call('echo', '{"text": "x"}')
    dispatcher.cancel(end.call_id)
    call('echo', '{"text": "y"}')
    assert kinds(dispatcher, end.call_id).count(CallEvent.ENDED) == 1


def test_a_repeated_order_is_answered_and_not_executed(call, dispatcher):
    end = call('count_me')
    dispatcher.order(end.call_id, 'count_me')
    call('echo', '{"text": "y"}')
    assert dispatcher.of(end.call_id, CallEvent.ENDED) == [end, end]
    assert servers.RUNS.count(end.call_id) == 1
    dispatcher.order('long', 'work', '{"seconds": 30.0}')
    dispatcher.running('long')
    dispatcher.order('long', 'work', '{"seconds": 30.0}')
    wait_for(lambda: kinds(dispatcher, 'long').count(CallEvent.ACCEPTED) == 2)
    dispatcher.cancel('long', 'work')
    assert dispatcher.end_of('long').status == 'cancelled'


def test_a_server_never_runs_a_call_twice(dispatcher, server):
    """Another dispatcher, as after a restart, gets the outcome of the first run."""
    other = Dispatcher()
    try:
        other.wait_for_server()
        dispatcher.order('twice', 'count_me')
        first = dispatcher.end_of('twice')
        other.order('twice', 'count_me')
        assert other.end_of('twice').result_json == first.result_json
        assert servers.RUNS.count('twice') == 1
        # while it runs, both wait for the one outcome
        dispatcher.order('shared', 'work', '{"seconds": 0.3}')
        dispatcher.running('shared')
        other.order('shared', 'work', '{"seconds": 0.3}')
        assert dispatcher.end_of('shared').status == other.end_of('shared').status == 'succeeded'
        # the id of another call is refused
        other.order('shared2', 'echo', '{"text": "a"}')
        assert other.end_of('shared2').status == 'succeeded'
        dispatcher.order('shared2', 'echo', '{"text": "b"}')
        end = dispatcher.end_of('shared2')
        assert (end.status, end.error_code) == ('failed', Error.REJECTED)
    finally:
        other.close()


def test_timeout_although_the_tool_never_stops(dispatcher, server):
    dispatcher.order('slow', 'stubborn', '{"seconds": 60}', timeout_s=0.3)
    end = dispatcher.end_of('slow', 5.0)
    assert (end.status, end.error_code) == ('failed', Error.TIMEOUT)
    servers.RELEASE.set()
    wait_for(lambda: server.running_calls == 0)
    servers.RELEASE.clear()
    assert kinds(dispatcher, 'slow').count(CallEvent.ENDED) == 1


def test_timeout_of_a_tool_that_stops(dispatcher, server):
    dispatcher.order('late', 'work', '{"seconds": 60}', timeout_s=0.3)
    end = dispatcher.end_of('late', 2.0)
    assert (end.status, end.error_code, end.result_json) == (
        'failed', Error.TIMEOUT, '{"done":"half"}')


def test_a_server_that_is_not_there(dispatcher):
    dispatcher.order('nobody', 'echo', server='nowhere')
    end = dispatcher.end_of('nobody', 6.0)
    assert (end.status, end.error_code) == ('failed', Error.SERVER_UNAVAILABLE)
    dispatcher.order('bad name', 'no name')
    end = dispatcher.end_of('bad name')
    assert (end.status, end.error_code) == ('failed', Error.SERVER_UNAVAILABLE)


def test_many_at_once_take_the_time_of_one(dispatcher, server):
    n = 50
    start_s = time.monotonic()
    for i in range(n):
        dispatcher.order(f'many{i}', 'work', '{"seconds": 1.0}')
    for i in range(n):
        end = dispatcher.end_of(f'many{i}', 20.0)
        assert end.status == 'succeeded', end.error_msg
    assert time.monotonic() - start_s < 25.0


def test_two_tools_of_one_name_are_refused(server):
    @tool(name='echo')
    def other() -> None:
        """Another."""
    with pytest.raises(ToolDefinitionError, match='/agent/server has two tools named .echo'):
        server.add_tools(other)


def announcements():
    """Return a node in a context of its own that collects announcements, and its spinner."""
    context = rclpy.Context()
    context.init()
    node = rclpy.create_node('listener', namespace='agent', context=context)
    seen = []
    node.create_subscription(ToolAnnouncement, 'tools', seen.append, msgs.ANNOUNCEMENTS)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    return seen, lambda: executor.spin_once(timeout_sec=0.02), context


def test_a_killed_server_and_its_return():
    dispatcher = Dispatcher()
    try:
        with process(SERVER_FILE, 'distant') as child:
            dispatcher.wait_for_server('distant', seconds=20.0)
            dispatcher.order('kill', 'work', '{"seconds": 60}', server='distant')
            dispatcher.running('kill')
            child.send_signal(signal.SIGKILL)
            killed_s = time.monotonic()
            end = dispatcher.end_of('kill', msgs.LEASE_S + 2.0)
            assert (end.status, end.error_code) == ('lost', Error.LOST)
            assert '/agent/distant' in end.error_msg
            assert time.monotonic() - killed_s < msgs.LEASE_S + 1.0
        with process(SERVER_FILE, 'distant'):
            dispatcher.wait_for_server('distant', seconds=20.0)
            dispatcher.order('back', 'echo', '{"text": "x"}', server='distant')
            assert dispatcher.end_of('back').status == 'succeeded'
    finally:
        dispatcher.close()


def test_a_server_that_is_killed_and_back_within_its_lease():
    dispatcher = Dispatcher()
    try:
        with process(SERVER_FILE, 'distant') as child:
            dispatcher.wait_for_server('distant', seconds=20.0)
            dispatcher.order('short', 'work', '{"seconds": 60}', server='distant')
            dispatcher.running('short')
            child.send_signal(signal.SIGKILL)
            with process(SERVER_FILE, 'distant'):
                end = dispatcher.end_of('short', msgs.LEASE_S + 3.0)
                assert (end.status, end.error_code) == ('lost', Error.LOST)
    finally:
        dispatcher.close()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_clean_exit_says_goodbye_and_cancels(number):
    seen, spin, context = announcements()
    dispatcher = Dispatcher()
    try:
        with process(SERVER_FILE, 'distant') as child:
            dispatcher.wait_for_server('distant', seconds=20.0)
            dispatcher.order('left', 'work', '{"seconds": 60}', server='distant')
            dispatcher.running('left')
            heard = wait_for(lambda: spin() or [m for m in seen if m.server == '/agent/distant'])
            assert not heard[-1].stopping and {t.name for t in heard[-1].tools} == {
                t.spec.name for t in servers.TOOLS}
            child.send_signal(number)
            end = dispatcher.end_of('left')
            assert end.status == 'cancelled' and 'the tool server stops' in end.error_msg
            wait_for(lambda: spin() or [m for m in seen if m.stopping])
            assert child.wait(5.0) == 0
    finally:
        dispatcher.close()
        context.try_shutdown()


def test_tools_wait_by_simulated_time():
    context = rclpy.Context()
    context.init(args=['--ros-args', '-p', 'use_sim_time:=true'])
    node = ToolServer('simulated', servers.TOOLS, context=context)
    publisher = node.create_publisher(Clock, '/clock', 10)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.2)
    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    dispatcher = Dispatcher()

    def at(seconds):
        message = Clock()
        message.clock.sec = seconds
        publisher.publish(message)
        wait_for(lambda: node.get_clock().now().nanoseconds == seconds * 10**9)
    try:
        wait_for(lambda: node.get_clock().ros_time_is_active)
        wait_for(lambda: publisher.get_subscription_count() > 0)
        at(100)
        dispatcher.wait_for_server('simulated')
        dispatcher.order('sim', 'work', '{"seconds": 1000}', server='simulated')
        wait_for(lambda: dispatcher.of('sim', CallEvent.FEEDBACK))
        at(500)
        assert not dispatcher.of('sim', CallEvent.ENDED)
        at(2000)
        assert dispatcher.end_of('sim', 5.0).status == 'succeeded'
    finally:
        dispatcher.close()
        stop.set()
        thread.join(5.0)
        node.shut_down()
        node.destroy_node()
        context.try_shutdown()


def test_the_five_line_server_of_the_examples():
    file = Path(__file__).parents[2] / 'examples' / 'kitchen_tools.py'
    if not file.is_file():
        pytest.skip(f'{os.fspath(file)} is not installed')
    dispatcher = Dispatcher()
    try:
        with process(file):
            dispatcher.wait_for_server('kitchen_tools', seconds=20.0)
            dispatcher.order('oven', 'oven_temperature', server='kitchen_tools')
            assert dispatcher.end_of('oven').result_json == '180.0'
    finally:
        dispatcher.close()
