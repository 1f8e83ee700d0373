"""What the manager asks of a dispatcher that is found late, topic by topic."""
import time

from domains import reserve
from peer import Peer
import pytest
import rclpy
from rclpy.action import ActionServer
from rclpy.action.client import ClientGoalHandle
from rclpy.executors import SingleThreadedExecutor
from rclpy.task import Future
from std_msgs.msg import String

from async_agent_ros.action import Generate
from async_agent_ros.core import effects, events
from async_agent_ros.core.ledger import MAIN
from async_agent_ros.core.words import Error
from async_agent_ros.msg import CallCommand, CallEvent
from async_agent_ros.nodes import generate_client, patient, qos
from async_agent_ros.nodes.call_orders import BEGIN_WITHIN_S, CallOrders, LOST_AFTER_S
from async_agent_ros.nodes.generate_client import GenerateClient
from async_agent_ros.nodes.patient import PatientPublisher

EXECUTE, CANCEL, FIND = CallCommand.EXECUTE, CallCommand.CANCEL, CallCommand.FIND


class Clockwork:
    """A node's timer, fired by hand."""

    def __init__(self):
        self.running = True

    def create_timer(self, period_s, callback, clock):
        self.fire = callback
        return self

    def cancel(self):
        self.running = False

    def reset(self):
        self.running = True


@pytest.fixture
def orders():
    """Return a CallOrders, its timer and what it publishes."""
    clockwork, published = Clockwork(), []
    return CallOrders(
        clockwork, lambda o: published.append((o.command, o.call_id)),
        lost=lambda call_id: published.append(('lost', call_id))), clockwork, published


def order(command, call_id):
    return CallCommand(command=command, call_id=call_id)


def answer(kind, call_id):
    return CallEvent(event=kind, call_id=call_id)


def test_orders_are_repeated_until_one_is_answered(orders):
    orders, timer, published = orders
    assert not timer.running
    orders.send(order(EXECUTE, 'c1'))
    orders.send(order(EXECUTE, 'c2'))
    assert timer.running
    timer.fire()
    assert published == [(EXECUTE, 'c1'), (EXECUTE, 'c2')] * 2
    orders.on_event(answer(CallEvent.ACCEPTED, 'of an earlier life'))
    assert timer.running
    # c1 may have been lost before the two knew each other, so it goes out once more.
    orders.on_event(answer(CallEvent.ACCEPTED, 'c2'))
    assert published[4:] == [(EXECUTE, 'c1')] and not timer.running
    orders.send(order(EXECUTE, 'c3'))
    orders.on_event(answer(CallEvent.ENDED, 'c1'))
    assert published[5:] == [(EXECUTE, 'c3')] and not timer.running


def test_what_was_cancelled_before_it_was_heard_of_does_not_begin(orders):
    orders, timer, published = orders
    orders.send(order(EXECUTE, 'c1'))
    orders.send(order(CANCEL, 'c1'))
    published.clear()
    timer.fire()
    assert published == [(CANCEL, 'c1'), (EXECUTE, 'c1')]
    # It runs: the cancel did not arrive, and is repeated now that orders do.
    published.clear()
    orders.on_event(answer(CallEvent.ACCEPTED, 'c1'))
    assert (CANCEL, 'c1') in published and not timer.running


@pytest.fixture
def later(monkeypatch):
    """Return a function that moves the clock on."""
    begin_s, passed_s = time.monotonic(), [0.0]
    monkeypatch.setattr(time, 'monotonic', lambda: begin_s + passed_s[0])

    def move(seconds):
        passed_s[0] += seconds
    return move


def test_a_call_that_is_heard_of_too_late_does_not_begin(orders, later):
    orders, timer, published = orders
    orders.send(order(EXECUTE, 'c1'))
    later(BEGIN_WITHIN_S + 1.0)
    timer.fire()
    assert published[1:] == [(FIND, 'c1')]
    orders.send(order(EXECUTE, 'c2'))
    orders.on_event(answer(CallEvent.ACCEPTED, 'c2'))
    assert published[2:] == [(EXECUTE, 'c2'), (FIND, 'c1')] and not timer.running


def test_a_call_that_nobody_answers_for_is_lost(orders, later):
    orders, timer, published = orders
    orders.send(order(EXECUTE, 'c1'))
    later(LOST_AFTER_S + 1.0)
    timer.fire()
    assert published[1:] == [('lost', 'c1')] and not timer.running


def test_another_dispatcher_must_answer_again(orders):
    orders, timer, published = orders
    orders.send(order(EXECUTE, 'c1'))
    orders.on_event(answer(CallEvent.ACCEPTED, 'c1'))
    orders.forget()
    orders.send(order(EXECUTE, 'c2'))
    timer.fire()
    assert published == [(EXECUTE, 'c1'), (EXECUTE, 'c2'), (EXECUTE, 'c2')]


class Graph:
    """A manager's action client, and a dispatcher that comes when it is told to."""

    def __init__(self):
        self.context = rclpy.Context()
        self.context.init(domain_id=reserve())
        self.manager = Peer('manager', context=self.context)
        self.dispatcher = Peer('dispatcher', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.nodes = [self.manager, self.dispatcher]
        for node in self.nodes:
            self.executor.add_node(node)
        self.events, self.goals, self.texts, self.keep_s = [], [], [], 900
        self.client = GenerateClient(self.manager, 's1', self.events.append, lambda: 0)
        self.heard = []

    def appear(self):
        self.server = ActionServer(self.dispatcher, Generate, 'generate', self._execute,
                                   result_timeout=self.keep_s)

    def _execute(self, handle):
        self.goals.append((handle.request.session, handle.request.generation_id))
        for text in self.texts:
            handle.publish_feedback(Generate.Feedback(
                generation_id=handle.request.generation_id, kind='text', text=text))
        handle.succeed()
        return Generate.Result(finish_reason='stop', feedback_count=len(self.texts))

    def subscribe(self, name):
        """Let a node of that name hear what the manager says."""
        node = rclpy.create_node(name, context=self.context)
        self.executor.add_node(node)
        self.nodes.append(node)
        node.create_subscription(
            String, 'say', lambda m: self.heard.append((name, m.data)), qos.EVENT)

    def generate(self, generation_id):
        self.client.start(effects.Generate(generation_id, 0, 0, MAIN))

    def until(self, condition, seconds=10.0):
        end_s = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end_s
            self.executor.spin_once(timeout_sec=0.05)

    def look_after_until(self, condition):
        self.until(lambda: self.client.look_after() or condition())

    def close(self):
        self.executor.shutdown()
        for node in self.nodes:
            node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def graph():
    graph = Graph()
    yield graph
    graph.close()


def test_a_generation_waits_for_a_dispatcher_that_is_found_late(graph):
    graph.generate(1)
    graph.client.abort(1)
    graph.generate(2)
    graph.executor.spin_once(timeout_sec=0.1)
    assert graph.events == []
    graph.appear()
    graph.until(lambda: graph.events)
    assert graph.goals == [('s1', 2)]
    ended, = graph.events
    assert isinstance(ended, events.GenerationEnded)
    assert (ended.generation_id, ended.error_code) == (2, 0)


def test_a_dispatcher_that_never_comes_is_told(graph, monkeypatch):
    monkeypatch.setattr(generate_client, 'FOUND_WITHIN_S', 0.1)
    graph.generate(1)
    graph.until(lambda: graph.events)
    ended, = graph.events
    assert ended.error_code == Error.NO_DISPATCHER and 'start it' in ended.error_msg


def _never():
    return Future()


def test_a_result_that_got_lost_is_asked_for_again(graph, monkeypatch):
    lost = []

    def get_result(handle):
        if not lost:
            lost.append(handle)
            return _never()
        return asked(handle)
    asked = ClientGoalHandle.get_result_async
    monkeypatch.setattr(ClientGoalHandle, 'get_result_async', get_result)
    monkeypatch.setattr(generate_client, 'ASK_AGAIN_S', 0.05)
    graph.appear()
    graph.generate(1)
    graph.until(lambda: lost)
    graph.look_after_until(lambda: graph.events)
    ended, = graph.events
    assert (ended.generation_id, ended.error_code, ended.finish_reason) == (1, 0, 'stop')


def test_a_goal_whose_acceptance_got_lost_is_followed_by_its_feedback(graph, monkeypatch):
    client = graph.client._client
    send = client.send_goal_async
    monkeypatch.setattr(client, 'send_goal_async',
                        lambda goal, **options: send(goal, **options) and _never())
    monkeypatch.setattr(generate_client, 'ACCEPT_WAIT_S', 0.2)
    graph.texts = ['Hello.']
    graph.appear()
    graph.generate(1)
    graph.look_after_until(lambda: len(graph.events) == 2)
    told, ended = graph.events
    assert told.text == 'Hello.'
    assert (ended.generation_id, ended.error_code, ended.finish_reason) == (1, 0, 'stop')


def test_a_generation_that_the_dispatcher_does_not_know_is_asked_for_anew(graph, monkeypatch):
    monkeypatch.setattr(generate_client, 'ACCEPT_WAIT_S', 0.0)
    graph.texts, graph.keep_s = ['Hello.'], 0
    client = graph.client._client
    send = client.send_goal_async
    monkeypatch.setattr(client, 'send_goal_async',
                        lambda goal, **options: send(goal, **options) and _never())
    graph.appear()
    graph.generate(1)
    graph.until(lambda: graph.events)
    # The dispatcher forgets the goal in the meantime.
    graph.until(lambda: not graph.server._goal_handles)
    graph.look_after_until(lambda: len(graph.events) == 2)
    assert graph.events[1].error_code == Error.NO_DISPATCHER
    assert 'restarted' in graph.events[1].error_msg


def test_what_is_said_before_the_voice_is_found_is_kept(graph, monkeypatch):
    monkeypatch.setattr(patient, 'FOUND_WITHIN_S', 60.0)
    graph.subscribe('recorder')
    say = PatientPublisher(
        graph.manager, graph.manager.create_publisher(String, 'say', qos.EVENT), reader='tts')
    for text in ('stale', 'one', 'two'):
        say.publish(String(data=text))
    say.discard(lambda message: message.data == 'stale')
    graph.executor.spin_once(timeout_sec=0.2)
    assert graph.heard == []
    graph.subscribe('tts')
    graph.until(lambda: ('tts', 'two') in graph.heard)
    say.publish(String(data='three'))
    graph.until(lambda: ('tts', 'three') in graph.heard)
    assert [t for n, t in graph.heard if n == 'tts'] == ['one', 'two', 'three']


def test_an_old_node_waits_for_nobody(graph, monkeypatch):
    monkeypatch.setattr(patient, 'FOUND_WITHIN_S', 0.3)
    graph.subscribe('recorder')
    publisher = graph.manager.create_publisher(String, 'say', qos.EVENT)
    say = PatientPublisher(graph.manager, publisher, reader='tts')
    graph.until(publisher.get_subscription_count)
    say.publish(String(data='one'))
    graph.until(lambda: graph.heard == [('recorder', 'one')])


@pytest.mark.parametrize('lost, told', [(None, 1), (1, 0)])
def test_a_line_that_begins_behind_a_lost_piece_makes_nothing_final(graph, lost, told):
    client = graph.client
    client._pending[4] = generate_client._Pending(effects.Generate(4, 0, 0, MAIN))
    kinds = ('first_token', 'remove', 'begun')
    for index, kind in enumerate(kinds):
        if index != lost:
            client._on_feedback(Generate.Feedback(generation_id=4, index=index, kind=kind))
    assert sum(isinstance(e, events.LineBegun) for e in graph.events) == told
    assert client._pending[4].received == len(kinds) - (lost is not None)
