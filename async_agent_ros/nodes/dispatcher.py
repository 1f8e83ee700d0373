"""
The language model and the calls: Generate goals become text and calls, CallCommands are executed.

Callbacks only hand over. A goal is accepted, its instance's thread generates and publishes the
feedback, and the executor then sends the result.
"""
import pathlib
import threading
from typing import Dict, Optional

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
import yaml

from async_agent_ros import models, tuned_models
from async_agent_ros.action import Generate
from async_agent_ros.bringup import config_file
from async_agent_ros.core.chatml import PromptFormat
from async_agent_ros.core.ledger import MAIN
from async_agent_ros.llm import factory
from async_agent_ros.msg import CallCommand, CallEvent, Interrupt
from async_agent_ros.nodes import dispatcher_parameters, node_base, qos
from async_agent_ros.nodes.generation import EngineSlot, Generation, InstanceWorker
from async_agent_ros.nodes.ledger_mirror import LedgerMirror
from async_agent_ros.tools.executor import CallExecutor

RESULT_TIMEOUT_S = 5
"""
Results are kept so long for a manager that asks again: every goal that is kept makes the action
server slower.
"""


class DispatcherNode(node_base.CleanEnd, LifecycleNode):
    """Owns the model and the action clients; never writes the ledger."""

    def __init__(self, **options):
        super().__init__('dispatcher', **options)
        dispatcher_parameters.declare(self)
        self._epoch = 0
        self._active = False
        self._slot = EngineSlot()
        self._format = PromptFormat()
        self._tuned: Optional[tuned_models.TunedModel] = None
        self._workers: Dict[str, InstanceWorker] = {}
        self._counts = {'generations': 0, 'aborted': 0, 'failed': 0}
        self._latest = {'last_first_token_s': 'none', 'last_tokens_per_s': 'none'}
        # Interrupts have their own group: an executor with threads never lets them wait.
        self._interrupts = self.create_subscription(
            Interrupt, 'interrupt', self._on_interrupt, qos.COMMAND,
            callback_group=MutuallyExclusiveCallbackGroup(),
            qos_overriding_options=qos.OVERRIDABLE)
        self._events = self.create_publisher(
            CallEvent, 'call_event', qos.EVENT_ALIVE, qos_overriding_options=qos.OVERRIDABLE)
        self._calls = CallExecutor(self, self._events.publish)
        self._commands = self.create_subscription(
            CallCommand, 'call_command', self._calls.handle, qos.COMMAND,
            qos_overriding_options=qos.OVERRIDABLE)
        # After the commands: rclpy takes what is ready in the order of creation.
        self._mirror = LedgerMirror(self, on_session=self._on_session, on_end=self._on_end)
        self._server = ActionServer(
            self, Generate, 'generate', execute_callback=self._send_result,
            goal_callback=lambda goal: GoalResponse.ACCEPT,
            handle_accepted_callback=self._on_accepted, cancel_callback=self._on_cancel,
            feedback_pub_qos_profile=qos.EVENT, result_timeout=RESULT_TIMEOUT_S)
        self._running: Dict[bytes, Generation] = {}
        node_base.name_late_parameters(self, ('max_tokens',))
        self._diagnostics = node_base.Diagnostics(self, self._status)

    def _value(self, name):
        return self.get_parameter(name).value

    # -- lifecycle --------------------------------------------------------------------------------
    def on_configure(self, state) -> TransitionCallbackReturn:
        """Read the prompt format and load the model in a thread; goals wait until it is there."""
        try:
            self._tuned = tuned_models.find(self._value('model'))
        except models.ModelError as error:
            self.get_logger().error(f'parameter `model`: {error}')
            return TransitionCallbackReturn.FAILURE
        try:
            self._format = load_format(
                self._value('prompt_file') or (self._tuned.prompt_file if self._tuned else ''))
        except (OSError, ValueError) as error:
            self.get_logger().error(f'parameter `prompt_file`: {error}')
            return TransitionCallbackReturn.FAILURE
        self._slot = EngineSlot()
        threading.Thread(target=self._load, args=(self._slot,), name='load', daemon=True).start()
        return TransitionCallbackReturn.SUCCESS

    def _load(self, slot: EngineSlot) -> None:
        slot.load(self._make_engine)
        if slot is not self._slot:
            slot.close()  # configured anew meanwhile
        elif slot.engine is None:
            self.get_logger().error(f'no language model: {slot.error}')
        else:
            info = slot.engine.info()
            self.get_logger().info(f'engine {info.engine}: {info.model} on {info.device}')

    def _make_engine(self):
        value = self._value
        script = value('script') or str(config_file('scripted_demo.yaml'))
        tuned = self._tuned
        return factory.make_engine(
            value('engine'), model=tuned.base if tuned else value('model'),
            adapters=tuned.adapters if tuned else None, call_marker=self._format.call_marker,
            call_ids=self._format.show_ids, script=script, **dispatcher_parameters.of_engines(self))

    def on_activate(self, state) -> TransitionCallbackReturn:
        """Begin to generate."""
        self._active = True
        self._worker(MAIN)
        return super().on_activate(state)

    def on_deactivate(self, state) -> TransitionCallbackReturn:
        """End what is generated; calls that run go on."""
        self._halt()
        return super().on_deactivate(state)

    def on_cleanup(self, state) -> TransitionCallbackReturn:
        """Free the model."""
        self._halt()
        self._slot.close()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state) -> TransitionCallbackReturn:
        """End everything."""
        self._halt()
        self._calls.close()
        self._slot.close()
        return TransitionCallbackReturn.SUCCESS

    def _halt(self) -> None:
        self._active = False
        workers, self._workers = self._workers, {}
        for worker in workers.values():
            worker.stop()

    # -- generations ------------------------------------------------------------------------------
    def _worker(self, instance: str) -> InstanceWorker:
        if instance not in self._workers:
            self._workers[instance] = InstanceWorker(
                instance, self._slot, self._mirror, self._format, epoch=lambda: self._epoch,
                now_ns=lambda: node_base.now_ns(self),
                max_tokens=lambda: self._value('max_tokens'),
                ledger_timeout_s=self._value('ledger_timeout_s'),
                finished=self._on_finished, log=self.get_logger())
        return self._workers[instance]

    def _on_accepted(self, goal_handle) -> None:
        generation = Generation(goal_handle, lambda: self.get_clock().now().to_msg(),
                                heard=self._has_listener)
        self._running[bytes(goal_handle.goal_id.uuid)] = generation
        self._counts['generations'] += 1
        if self._active:
            # Drafts share the thread and the cache of the conversation: one at a time.
            goal = generation.goal
            self._worker(MAIN if goal.speculative else goal.instance or MAIN).start(generation)
        else:
            generation.end('error', Generate.Result.ERROR_ENGINE,
                           'the dispatcher is not active; activate it (lifecycle)')
            goal_handle.execute()

    def _has_listener(self) -> bool:
        return self.count_subscribers('generate/_action/feedback') > 0

    def _on_finished(self, generation: Generation) -> None:
        # in the instance's thread; the executor runs _send_result next
        try:
            generation.goal_handle.execute()
        except Exception as error:
            # the goal or the node is gone: nobody waits for this result
            self.get_logger().debug(f'result dropped: {error!r}')

    def _send_result(self, goal_handle) -> Generate.Result:
        generation = self._running.pop(bytes(goal_handle.goal_id.uuid))
        result = generation.result
        if result.prefill_s > 0.0:
            self._latest['last_first_token_s'] = f'{result.prefill_s:.3f}'
        if result.decode_s > 0.0 and result.output_tokens > 1:
            self._latest['last_tokens_per_s'] = (
                f'{(result.output_tokens - 1) / result.decode_s:.1f}')
        if result.error_code:
            if result.error_code != Generate.Result.ERROR_STALE:
                self._counts['failed'] += 1
                self.get_logger().error(
                    f'generation {generation.goal.generation_id}: {result.error_msg}',
                    throttle_duration_sec=5.0)
        elif result.finish_reason == 'aborted':
            self._counts['aborted'] += 1
        if goal_handle.is_cancel_requested:
            goal_handle.canceled()
        elif result.error_code or result.finish_reason == 'aborted':
            goal_handle.abort()
        else:
            goal_handle.succeed()
        return result

    def _on_cancel(self, goal_handle) -> CancelResponse:
        generation = self._running.get(bytes(goal_handle.goal_id.uuid))
        if generation is None:
            return CancelResponse.REJECT
        generation.abort.set()
        return CancelResponse.ACCEPT

    def _on_interrupt(self, msg: Interrupt) -> None:
        if msg.action != Interrupt.ACTION_STOP or msg.epoch <= self._epoch:
            return
        self._epoch = msg.epoch
        for generation in list(self._running.values()):
            # What helpers think is not what the person interrupts.
            goal = generation.goal
            if goal.epoch < msg.epoch and (goal.instance in ('', MAIN) or goal.speculative):
                generation.abort.set()

    def _on_session(self) -> None:
        # another session counts its epochs anew, and its helpers
        self._epoch = 0
        for instance in [i for i in self._workers if i != MAIN]:
            self._on_end(instance)

    def _on_end(self, instance: str) -> None:
        worker = self._workers.pop(instance, None)
        if worker is not None:
            worker.release()

    # -- diagnostics ------------------------------------------------------------------------------
    def _status(self) -> node_base.Status:
        slot, values = self._slot, {**self._counts, **self._latest,
                                    'unfinished generations': len(self._running),
                                    'epoch': self._epoch,
                                    'ledger entries': self._mirror.next_seq,
                                    'running calls': len(self._calls.running)}
        if slot.engine is not None:
            info = slot.engine.info()
            values.update(engine=info.engine, model=info.model, device=info.device)
            if any(worker.prefilling for worker in list(self._workers.values())):
                return node_base.WARN, f'{info.model} reads its instructions', values
            return node_base.OK, f'{info.engine}: {info.model}', values
        if slot.ready.is_set():
            return node_base.ERROR, f'no language model: {slot.error}', values
        return node_base.WARN, 'the language model is loading', values


def load_format(path: str = '') -> PromptFormat:
    """Read the `format` of a prompt file; raises OSError or ValueError naming what is wrong."""
    file = pathlib.Path(path).expanduser() if path else config_file('prompt.yaml')
    if not path and not file.is_file():
        return PromptFormat()
    try:
        value = yaml.safe_load(file.read_text(encoding='utf-8')) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f'{file} is not YAML: {error}') from None
    if not isinstance(value, dict):
        raise ValueError(f'{file} must hold a mapping with `format`')
    try:
        return PromptFormat.from_mapping(value.get('format') or {})
    except ValueError as error:
        raise ValueError(f'{file}: {error}') from None


def main(args=None) -> None:
    """Run the node."""
    node_base.run_node(DispatcherNode, args)


if __name__ == '__main__':
    main()
