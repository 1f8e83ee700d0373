"""The dispatcher over real DDS, with the scripted engine in place of a model."""
import gc
import json
import threading
import time

from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from peer import Peer
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from async_agent_ros.action import Generate
from async_agent_ros.core.ledger import Entry
from async_agent_ros.core.words import Kind
from async_agent_ros.msg import CallCommand, CallEvent, Interrupt, LedgerEntry
from async_agent_ros.nodes import qos
from async_agent_ros.nodes.convert import entry_to_msg
from async_agent_ros.nodes.dispatcher import DispatcherNode
from async_agent_ros.nodes.feedback import FeedbackClient
from async_agent_ros.srv import GetLedger

SCRIPT = """
tokens_per_s: {rate}
rules:
- user: count
  say: one two three four five six seven eight nine ten eleven twelve. And so on. And so on.
- user: drive
  say: |-
    I go, right now. Then I rest.
    CALL {{"name": "navigate_to", "arguments": {{"place": "hall"}}}}
    REMOVE c9
    CALL {{"name": broken}}
- user: (?P<words>.+)
  say: You said $words.
"""
WAIT_S = 10.0


class Bench:
    """A dispatcher, and a peer that plays the manager."""

    def __init__(self):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.peer = Peer('peer', namespace='/agent', context=self.context)
        self.ledger = self.peer.create_publisher(LedgerEntry, 'ledger', qos.LEDGER)
        self.interrupts = self.peer.create_publisher(Interrupt, 'interrupt', qos.COMMAND)
        self.commands = self.peer.create_publisher(CallCommand, 'call_command', qos.COMMAND)
        self.call_events = []
        self.diagnostics = []
        self.peer.create_subscription(
            CallEvent, 'call_event', self.call_events.append, qos.EVENT_ALIVE)
        self.peer.create_subscription(
            DiagnosticArray, '/diagnostics', self.diagnostics.append, 10)
        self.client = FeedbackClient(self.peer, Generate, 'generate', self._on_feedback)
        self.feedbacks = {}
        self.served = 0
        self.session = 's1'
        self.entries = []
        self.peer.create_service(GetLedger, 'get_ledger', self._get_ledger)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.peer)
        self.node = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        while not self._stop.is_set():
            self.executor.spin_once(timeout_sec=0.1)

    def _on_feedback(self, feedback):
        for (_, generation_id), messages in self.feedbacks.items():
            if feedback.generation_id == generation_id:
                messages.append(feedback)

    def _get_ledger(self, request, response):
        self.served += 1
        response.session, response.next_seq = self.session, len(self.entries)
        response.entries = [
            entry_to_msg(e, self.session) for e in self.entries[request.from_seq:]]
        return response

    def start(self, **parameters):
        self.node = DispatcherNode(
            namespace='/agent', context=self.context,
            parameter_overrides=[Parameter(k, value=v) for k, v in parameters.items()])
        self.executor.add_node(self.node)
        assert self.node.trigger_configure().name == 'SUCCESS'
        self.node.trigger_activate()
        assert self.client.wait_for_server(timeout_sec=WAIT_S)
        self.until(lambda: self.ledger.get_subscription_count()
                   and self.interrupts.get_subscription_count()
                   and self.commands.get_subscription_count())
        return self

    def progress(self):
        return f'nothing came; feedback so far: {self.feedbacks}'

    def until(self, condition):
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, self.progress()
            time.sleep(0.005)

    def add(self, kind, content, publish=True, **fields):
        entry = Entry(len(self.entries), 10**18 + len(self.entries) * 10**9, kind, content,
                      **fields)
        self.entries.append(entry)
        if publish:
            self.ledger.publish(entry_to_msg(entry, self.session))

    def generate(self, generation_id=1, epoch=0, context_seq=None, instance='main'):
        feedback = self.feedbacks[instance, generation_id] = []
        context_seq = len(self.entries) if context_seq is None else context_seq
        goal = Generate.Goal(session=self.session, instance=instance, epoch=epoch,
                             generation_id=generation_id, context_seq=context_seq)
        sent = self.client.send_goal_async(goal)
        self.until(sent.done)
        return sent.result(), feedback

    def result(self, handle, feedback=None):
        future = handle.get_result_async()
        self.until(future.done)
        answer = future.result()
        if feedback is not None:
            self.until(lambda: len(feedback) >= answer.result.feedback_count)
        return answer.result, answer.status

    def close(self):
        self._stop.set()
        self._thread.join()
        if self.node is not None:
            self.node.trigger_shutdown()
            self.executor.remove_node(self.node)
            self.node.destroy_node()
        self.executor.remove_node(self.peer)
        self.peer.destroy_node()
        self.executor.shutdown()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


@pytest.fixture
def script(tmp_path):
    def write(rate=0.0):
        path = tmp_path / 'script.yaml'
        path.write_text(SCRIPT.format(rate=rate))
        return {'engine': 'scripted', 'script': str(path)}
    return write


def test_feedback_comes_in_order_and_is_counted(bench, script):
    bench.start(**script())
    bench.add(Kind.USER, 'drive')
    handle, feedback = bench.generate(epoch=3)
    result, status = bench.result(handle, feedback)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.error_code, result.finish_reason) == (0, 'stop')
    assert [f.index for f in feedback] == list(range(result.feedback_count))
    assert {(f.generation_id, f.epoch) for f in feedback} == {(1, 3)}
    kinds = [f.kind for f in feedback]
    assert kinds == ['first_token', 'text', 'text', 'text', 'call', 'remove', 'rejected']
    assert [f.text for f in feedback[1:4]] == ['I go, ', 'right now. ', 'Then I rest. ']
    call, remove, rejected = feedback[4:]
    assert call.name == 'navigate_to'
    assert json.loads(call.arguments_json) == {'place': 'hall'}
    assert remove.call_id == 'c9'
    assert 'broken JSON' in rejected.reason
    assert result.prefill_s >= 0.0 and result.output_tokens > 5


def test_text_is_sent_while_the_generation_goes_on(bench, script):
    bench.start(**script(rate=5.0))
    bench.add(Kind.USER, 'drive')
    handle, feedback = bench.generate()
    bench.until(lambda: any(f.kind == 'text' for f in feedback))
    assert not any(f.kind == 'call' for f in feedback)
    bench.result(handle.cancel_goal_async() and handle)


def test_interrupt_with_a_higher_epoch_aborts(bench, script):
    bench.start(**script(rate=0.5))
    bench.add(Kind.USER, 'count')
    handle, feedback = bench.generate(epoch=1)
    bench.until(lambda: feedback)
    bench.interrupts.publish(Interrupt(epoch=1, action=Interrupt.ACTION_STOP))  # not higher
    bench.interrupts.publish(Interrupt(epoch=2, action=Interrupt.ACTION_PAUSE))  # not a stop
    start = time.monotonic()
    bench.interrupts.publish(Interrupt(epoch=2, action=Interrupt.ACTION_STOP))
    result, status = bench.result(handle)
    assert time.monotonic() - start < 1.9  # a token takes 2 s
    assert (result.finish_reason, result.error_code) == ('aborted', 0)
    assert status == GoalStatus.STATUS_ABORTED
    # what comes from before the interrupt is stale
    handle, _ = bench.generate(generation_id=2, epoch=1)
    result, _ = bench.result(handle)
    assert result.error_code == Generate.Result.ERROR_STALE
    assert 'epoch 1 is over' in result.error_msg


def test_cancel_ends_a_generation(bench, script):
    bench.start(**script(rate=0.5))
    bench.add(Kind.USER, 'count')
    handle, feedback = bench.generate()
    bench.until(lambda: feedback)
    handle.cancel_goal_async()
    result, status = bench.result(handle)
    assert status == GoalStatus.STATUS_CANCELED and result.finish_reason == 'aborted'


def test_next_generation_of_an_instance_takes_the_slot(bench, script):
    bench.start(**script(rate=0.5))
    bench.add(Kind.USER, 'count')
    first, feedback = bench.generate(generation_id=1)
    bench.until(lambda: feedback)
    second, later = bench.generate(generation_id=2)
    result, _ = bench.result(first)
    assert result.finish_reason == 'aborted'
    bench.until(lambda: later)
    assert later[0].generation_id == 2
    bench.interrupts.publish(Interrupt(epoch=1, action=Interrupt.ACTION_STOP))
    bench.result(second)


def test_goal_waits_for_its_entries_without_blocking_others(bench, script):
    bench.start(**script())
    bench.add(Kind.USER, 'hello', publish=False)
    entries, bench.entries = bench.entries, []  # the service does not know them yet
    handle, feedback = bench.generate(context_seq=1)
    other, _ = bench.generate(generation_id=2, context_seq=0, instance='f1')
    assert bench.result(other)[0].error_code == 0
    assert not feedback
    bench.entries = entries
    bench.ledger.publish(entry_to_msg(entries[0], bench.session))
    result, _ = bench.result(handle, feedback)
    assert result.error_code == 0 and feedback[1].text == 'You said hello.'


def test_gap_is_fetched_from_the_service(bench, script):
    bench.start(**script())
    bench.until(lambda: bench.node._mirror._client.service_is_ready())
    bench.add(Kind.USER, 'first', publish=False)
    bench.add(Kind.ASSISTANT, 'Yes.', publish=False, generation_id=1)
    bench.add(Kind.END, '{}', publish=False, generation_id=1)
    bench.add(Kind.USER, 'last')
    handle, feedback = bench.generate()
    result, _ = bench.result(handle, feedback)
    assert result.error_code == 0 and bench.served >= 1
    assert feedback[1].text == 'You said last.'


def test_unreachable_entries_end_the_goal_with_the_remedy(bench, script):
    bench.start(ledger_timeout_s=0.2, **script())
    handle, _ = bench.generate(context_seq=7)
    result, status = bench.result(handle)
    assert result.error_code == Generate.Result.ERROR_LEDGER_GAP
    assert 'needs 7' in result.error_msg and 'get_ledger' in result.error_msg
    assert status == GoalStatus.STATUS_ABORTED


@pytest.mark.parametrize('generation_id', [1, 9])
def test_new_session_starts_afresh(bench, script, generation_id):
    bench.start(**script())
    bench.until(lambda: bench.node._mirror._client.service_is_ready())
    for words in ('one', 'two', 'three'):
        bench.add(Kind.USER, words)
    bench.interrupts.publish(Interrupt(epoch=5, action=Interrupt.ACTION_STOP))
    bench.until(lambda: bench.node._epoch == 5)    # topic and action come by different routes
    handle, feedback = bench.generate(generation_id=4, epoch=5)
    bench.result(handle, feedback)
    bench.session, bench.entries = 's2', []
    bench.add(Kind.USER, 'fresh', publish=False)  # its topic is late
    handle, feedback = bench.generate(generation_id=generation_id, epoch=0)
    result, _ = bench.result(handle, feedback)
    assert result.error_code == 0, result.error_msg
    assert feedback[1].text == 'You said fresh.'


def test_missing_model_is_told_with_the_remedy(bench, monkeypatch, tmp_path):
    monkeypatch.setenv('ASYNC_AGENT_MODELS', str(tmp_path))
    bench.start(engine='auto')
    handle, _ = bench.generate()
    result, _ = bench.result(handle)
    assert result.error_code == Generate.Result.ERROR_NO_MODEL
    assert 'async-agent models get' in result.error_msg

    def reported():
        return [s for a in bench.diagnostics for s in a.status
                if s.name == 'agent/dispatcher' and s.level == b'\x02']
    bench.until(reported)
    assert 'async-agent models get' in reported()[-1].message


def test_call_of_an_unserved_tool_ends(bench, script):
    bench.start(**script())
    bench.commands.publish(CallCommand(
        command=CallCommand.EXECUTE, session='s1', call_id='c1', instance='main', name='fly',
        action_name='/agent/nobody/fly', arguments_json='{}', timeout_s=1.0))
    bench.until(lambda: any(e.event == CallEvent.ENDED for e in bench.call_events))
    (event,) = [e for e in bench.call_events if e.event == CallEvent.ENDED]
    assert event.call_id == 'c1' and event.error_code and event.error_msg


def test_inactive_dispatcher_says_so(bench, script):
    bench.start(**script())
    bench.node.trigger_deactivate()
    handle, _ = bench.generate()
    result, _ = bench.result(handle)
    assert result.error_code == Generate.Result.ERROR_ENGINE and 'activate' in result.error_msg


def test_bad_prompt_file_fails_configuration_by_name(bench, tmp_path):
    path = tmp_path / 'prompt.yaml'
    path.write_text('format: {colour: red}')
    node = DispatcherNode(namespace='/agent', context=bench.context, parameter_overrides=[
        Parameter('prompt_file', value=str(path))])
    try:
        assert node.trigger_configure().name == 'FAILURE'
    finally:
        node.trigger_shutdown()
        node.destroy_node()


def test_unknown_engine_parameter_is_refused(bench):
    with pytest.raises(ValueError, match="parameter 'engine'.*'gpt'.*'scripted'"):
        DispatcherNode(namespace='/agent', context=bench.context, parameter_overrides=[
            Parameter('engine', value='gpt')])
    gc.collect()    # half a node, that nobody has to destroy


def test_a_parameter_that_comes_too_late_is_named(bench, script, capfd):
    bench.start(**script())
    for name, value in (('max_tokens', 77), ('threads', 1)):
        assert bench.node.set_parameters([Parameter(name, value=value)])[0].successful
    bench.until(lambda: any('threads: takes effect when' in line
                            for line in capfd.readouterr().err.splitlines()))
    refused, = bench.node.set_parameters([Parameter('max_tokens', value=0)])
    assert not refused.successful
