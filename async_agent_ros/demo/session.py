"""An agent of one's own for a demo: its nodes as processes, a node to watch and talk to it."""
import os
import random
import sys
import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Sequence, TextIO, Tuple

from async_agent_ros import bringup
from async_agent_ros.supervisor import NodeEvent, Supervisor
from async_agent_ros.watch.view import Line

READY_S = 600.0
"""Loading models from a slow disk, and the first reading of the prompt, take minutes."""

STEADY_S = 2.5
"""All is well when every node says so for so long: it reports once a second."""

ERROR_S = 8.0
"""A node that reports the same error for so long will not get over it."""

# A microphone may be muted, and heard later; a bridged server may start later.
_MAY_WARN = frozenset(('sim_robot', 'dialog_manager', 'asr', 'bridge'))
_TAIL_LINES = 12


class SessionError(Exception):
    """The agent does not come up. The message says which node, why, and where its log is."""


def choose_domain(env: Dict[str, str]) -> int:
    """
    Put a ROS domain and a discovery range of its own into the environment, where none is set.

    Two runs on one machine, and robots on the same network, then do not hear each other.
    """
    env.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    if not env.get('ROS_DOMAIN_ID'):
        env['ROS_DOMAIN_ID'] = str(random.SystemRandom().randrange(1, 102))
    return int(env['ROS_DOMAIN_ID'])


class NodeLog:
    """Writes what the nodes print into a file and keeps the last lines of each."""

    def __init__(self, path: Path):
        self.path = path
        self._file: TextIO = open(path, 'w', encoding='utf-8')
        self._lock = threading.Lock()
        self._tails: Dict[str, Deque[str]] = {}

    def line(self, node: str, text: str) -> None:
        """Take in one line; called from the supervisor's threads."""
        with self._lock:
            if self._file.closed:
                return
            self._file.write(f'[{node}] {text}\n')
            self._file.flush()
            self._tails.setdefault(node, deque(maxlen=_TAIL_LINES)).append(text)

    def tail(self, node: str) -> str:
        """Return the last lines of a node."""
        with self._lock:
            return '\n'.join(f'  [{node}] {text}' for text in self._tails.get(node, ()))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


class AgentSession:
    """
    Starts the agent of `settings`, watches it, and ends it with the context.

    `parameters` adds parameters by node name. `node` is a rclpy node in the agent's namespace
    that a thread spins; `follower` holds what is known about the agent. `on_lines` is told what
    happens, `on_remark` what the nodes do (a restart, for example).
    """

    def __init__(self, settings: bringup.Settings, log_path: Path, *,
                 parameters: Optional[Mapping[str, Mapping[str, Any]]] = None,
                 on_lines: Callable[[List[Line]], None] = lambda lines: None,
                 on_remark: Callable[[str], None] = lambda text: None):
        self._settings = settings
        self._specs = [replace(spec, parameters={**spec.parameters,
                                                 **(parameters or {}).get(spec.name, {})})
                       for spec in bringup.agent_nodes(settings)]
        self.log = NodeLog(log_path)
        self._on_lines, self._on_remark = on_lines, on_remark
        self._supervisor = Supervisor(self._specs, output=self.log.line, on_event=self._on_event)
        self._failed: List[NodeEvent] = []
        self._levels: Dict[str, tuple] = {}
        self._stop = threading.Event()
        self.node = self.follower = None

    def __enter__(self) -> 'AgentSession':
        # Only now: rclpy reads the domain from the environment.
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions

        from async_agent_ros.record.follow import AgentFollower

        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node(f'observer_{os.getpid()}', context=self._context,
                                      namespace=self._settings.namespace, enable_rosout=False)
        self.follower = AgentFollower(self.node, on_lines=self._on_lines)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 100)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._spinner = threading.Thread(target=self._spin, name='observer', daemon=True)
        self._spinner.start()
        try:
            self._supervisor.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *exc_info) -> None:
        self._supervisor.stop()
        # The nodes' last words (the end of the ledger) are on their way.
        self._stop.set()
        self._spinner.join()
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()
        self.log.close()

    def _spin(self):
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def _on_event(self, event: NodeEvent) -> None:
        self.log.line(event.node, f'-- {event.kind}: {event.text}')
        if event.kind in ('failed', 'restarting'):
            if event.kind == 'failed':
                self._failed.append(event)
            self._on_remark(f'{event.node} {event.kind}: {event.text}')

    def _on_diagnostics(self, message) -> None:
        with self.follower.changed:
            for status in message.status:
                level = status.level if isinstance(status.level, int) else status.level[0]
                self._levels[status.hardware_id or status.name] = (level, status.message)
            self.follower.changed.notify_all()

    def _state_of(self, spec: bringup.NodeSpec) -> str:
        """Return '' when a node is ready, else why it is not."""
        full_name = f'{spec.namespace}/{spec.name}'
        level, message = self._levels.get(full_name, (None, 'gives no sign of life yet'))
        if level == 0 or (level == 1 and spec.name in _MAY_WARN):
            return ''
        return message

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """
        Block until every node says on /diagnostics that it works.

        Raises SessionError when one ends, or does not get there in time.
        """
        deadline = time.monotonic() + timeout_s
        errors: Dict[str, Tuple[str, float]] = {}
        told: Dict[str, str] = {}
        ready_s = None
        while True:
            # Remarks are made outside the lock: who shows them may hold one of its own meanwhile.
            with self.follower.changed:
                self.follower.changed.wait(0.5)
                waiting = {spec.name: reason for spec in self._specs
                           if (reason := self._state_of(spec))}
            now_s = time.monotonic()
            ready_s = None if waiting else ready_s or now_s
            if ready_s is not None and now_s - ready_s >= STEADY_S:
                return
            for event in self._failed:
                raise SessionError(f'{event.node} {event.text}; its log ({self.log.path}) '
                                   f'ends:\n{self.log.tail(event.node)}')
            for name, reason in waiting.items():
                self._judge(name, reason, errors, told)
            if now_s > deadline:
                reasons = '\n'.join(f'  {n}: {r}\n{self.log.tail(n)}'
                                    for n, r in waiting.items())
                raise SessionError(f'not ready within {timeout_s:g} s (logs in '
                                   f'{self.log.path}):\n{reasons}')

    def _judge(self, name, reason, errors, told):
        level, _ = self._levels.get(f'{self._settings.namespace}/{name}', (None, ''))
        if level is not None and told.get(name) != reason:
            told[name] = reason
            self._on_remark(f'{name}: {reason}')
        if level != 2:
            errors.pop(name, None)
        elif errors.setdefault(name, (reason, time.monotonic()))[0] != reason:
            errors[name] = (reason, time.monotonic())
        elif time.monotonic() - errors[name][1] > ERROR_S:
            raise SessionError(f'{name} does not work: {reason} (log: {self.log.path})')

    def set_parameter(self, node: str, name: str, value: float, timeout_s: float = 5.0) -> None:
        """Set a parameter of one of the nodes; raises SessionError when it does not take it."""
        from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
        from rcl_interfaces.srv import SetParameters

        full_name = f'{self._settings.namespace}/{node}'
        client = self.node.create_client(SetParameters, f'{full_name}/set_parameters')
        done = threading.Event()
        if not client.wait_for_service(timeout_sec=timeout_s):
            raise SessionError(f'{full_name} does not answer')
        future = client.call_async(SetParameters.Request(parameters=[Parameter(
            name=name, value=ParameterValue(type=ParameterType.PARAMETER_DOUBLE,
                                            double_value=value))]))
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout_s):
            raise SessionError(f'{full_name} does not answer')
        result = future.result().results[0]
        if not result.successful:
            raise SessionError(f'{full_name} refuses {name}={value}: {result.reason}')

    @property
    def names(self) -> Sequence[str]:
        """Names of the nodes."""
        return [spec.name for spec in self._specs]
