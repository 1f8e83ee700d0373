"""What every node here shares: parameters, main loop with a clean end, diagnostics, times."""
import signal
import socket
import sys
import threading
from typing import Any, Callable, Mapping, Optional, Sequence, Tuple

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rcl_interfaces.msg import SetParametersResult
import rclpy
from rclpy.action import ActionClient, ActionServer
from rclpy.exceptions import ParameterException
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.signals import SignalHandlerOptions

NS_PER_S = 1_000_000_000

SWITCH_S = 0.0005
"""Longest time that a thread of a node keeps the interpreter while another one waits for it."""


def to_ns(stamp: Time) -> int:
    """Return a ROS time message as nanoseconds."""
    return stamp.sec * NS_PER_S + stamp.nanosec


def to_time(stamp_ns: int) -> Time:
    """Return nanoseconds as a ROS time message; negative values become zero."""
    sec, nanosec = divmod(max(0, int(stamp_ns)), NS_PER_S)
    return Time(sec=sec, nanosec=nanosec)


def now_ns(node) -> int:
    """Return the ROS time of the node's clock (simulated when use_sim_time), in nanoseconds."""
    return node.get_clock().now().nanoseconds


def declare(node, name: str, default: Any, description: str, *,
            minimum: Optional[float] = None, maximum: Optional[float] = None,
            choices: Sequence[str] = (), read_only: bool = False) -> Any:
    """
    Declare a parameter with a descriptor and return its value.

    The type is that of the default. A range needs both ends; choices are written into the
    descriptor's constraints and checked here, once: raises ValueError naming the parameter.
    """
    descriptor = ParameterDescriptor(description=description, read_only=read_only)
    if minimum is not None and maximum is not None:
        if isinstance(default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(minimum), to_value=float(maximum))]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(minimum), to_value=int(maximum))]
    if choices:
        descriptor.additional_constraints = 'one of: ' + ', '.join(map(repr, choices))
    value = node.declare_parameter(name, default, descriptor).value
    if choices and value not in choices:
        raise ValueError(f'parameter {name!r} of {node.get_fully_qualified_name()} is {value!r}: '
                         f'it must be one of {", ".join(map(repr, choices))}')
    return value


def after_setting(node, apply: Callable[[Sequence[Any]], None]) -> None:
    """
    Have `apply(parameters)` called when parameters were set at run time.

    Call it before add_on_set_parameters_callback(), whose callbacks may still refuse them.
    """
    if hasattr(node, 'add_post_set_parameters_callback'):
        node.add_post_set_parameters_callback(apply)
        return

    def on_set(parameters):    # Humble: the callback that was added first is called last
        apply(parameters)
        return SetParametersResult(successful=True)
    node.add_on_set_parameters_callback(on_set)


def name_late_parameters(node, live: Sequence[str]) -> None:
    """Log which parameters take effect only when the lifecycle node is configured anew."""
    def note(parameters):
        late = [p.name for p in parameters
                if p.name not in (*live, 'use_sim_time') and not p.name.startswith('qos_')]
        if late:
            name = node.get_fully_qualified_name()
            node.get_logger().info(
                f'{", ".join(late)}: takes effect when the node is configured anew (ros2 '
                f'lifecycle set {name} deactivate, then cleanup, configure, activate)')
    after_setting(node, note)


Status = Tuple[int, str, Mapping[str, Any]]
"""Level (DiagnosticStatus.OK, WARN or ERROR as an int), message, values."""

OK, WARN, ERROR = 0, 1, 2


class CleanEnd:
    """
    A node that is off the graph when it is destroyed; stands before Node among the bases.

    rclpy leaves the actions of a node and its life cycle to the garbage collector. Until that has
    found them the node goes on being seen, and its servers take goals that nobody executes.
    """

    def destroy_node(self):
        """Destroy the node, its actions and its life cycle."""
        for waitable in tuple(self.waitables):
            if isinstance(waitable, (ActionClient, ActionServer)):
                waitable.destroy()
        life_cycle = getattr(self, '_state_machine', None)
        if life_cycle is not None:
            life_cycle.destroy_when_not_in_use()
        super().destroy_node()


class Diagnostics:
    """Publishes the node's status on /diagnostics once a second."""

    def __init__(self, node, status: Callable[[], Status], *, period_s: float = 1.0):
        self._node = node
        self._status = status
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # A sign of life is due in real time, also while simulated time stands.
        self._timer = node.create_timer(period_s, self.publish,
                                        clock=Clock(clock_type=ClockType.STEADY_TIME))

    def publish(self) -> None:
        """Publish now; a status function that raises is itself reported as an error."""
        try:
            level, message, values = self._status()
        except Exception as error:
            level, message, values = ERROR, f'status not available: {error!r}', {}
        name = self._node.get_fully_qualified_name()
        array = DiagnosticArray(status=[DiagnosticStatus(
            level=bytes([level]), name=name.lstrip('/'), message=message, hardware_id=name,
            values=[KeyValue(key=str(k), value=str(v)) for k, v in values.items()])])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)


class _Signals:
    """
    Turns SIGINT and SIGTERM into a wake-up of the executor.

    A Python handler does not run while the main thread waits in C, so the signal number comes
    through a wake-up socket to a small thread. The context stays valid, so that nodes can say
    goodbye; rclpy's own handler would shut it down first.
    """

    def __init__(self, wake: Callable[[], None]):
        self.stop = threading.Event()
        self.starting = True
        self._wake = wake
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        threading.Thread(target=self._listen, name='signals', daemon=True).start()

    def _on_signal(self, number, frame):
        if self.starting:
            raise KeyboardInterrupt    # loading weights takes seconds: do not wait for them

    def _listen(self):
        while self._reader.recv(1):
            self.stop.set()
            self._wake()


class _RareEvents:
    """
    Looks for the middleware's warnings (incompatible QoS, another type) every few seconds.

    rclpy waits for two of them per endpoint; without them a wake-up of the executor costs half.
    What a node asked for itself, such as liveliness, is always waited for.
    """

    PERIOD_S, LOOK_S = 5.0, 0.05

    def __init__(self, node):
        self._node = node
        self._aside = []
        self._timer = node.create_timer(self.PERIOD_S, self._toggle,
                                        clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._put_aside()

    def _put_aside(self):
        for endpoint in (*self._node.publishers, *self._node.subscriptions):
            for handler in list(endpoint.event_handlers):
                if handler.event_type.name.endswith(('INCOMPATIBLE_QOS', 'INCOMPATIBLE_TYPE')):
                    self._node.remove_waitable(handler)
                    # else the endpoint could not be destroyed meanwhile
                    endpoint.event_handlers.remove(handler)
                    self._aside.append((endpoint, handler))

    def restore(self):
        """Put all back, except where the endpoint was destroyed."""
        living = [*self._node.publishers, *self._node.subscriptions]
        for endpoint, handler in self._aside:
            if endpoint in living:
                endpoint.event_handlers.append(handler)
                self._node.add_waitable(handler)
        self._aside = []

    def _toggle(self):
        if self._aside:
            self.restore()
            period_s = self.LOOK_S
        else:
            self._put_aside()
            period_s = self.PERIOD_S
        self._timer.timer_period_ns = int(period_s * NS_PER_S)
        self._timer.reset()

    def stop(self):
        """End, with everything as it was."""
        self._timer.cancel()
        self.restore()


def run_node(make_node: Callable[[], Any], args: Optional[Sequence[str]] = None) -> None:
    """
    Run one node until SIGINT or SIGTERM: the main() of every node here.

    A lifecycle node with the parameter `autostart` true is configured and activated first, and
    shut down at the end. Exits with status 1 and one clear line when the node cannot be made.
    """
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = make_node()
    except (ValueError, OSError, ParameterException) as error:
        print(f'cannot start: {error}', file=sys.stderr, flush=True)
        rclpy.try_shutdown()
        raise SystemExit(1) from None
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    signals = _Signals(lambda: executor.create_task(lambda: None))
    managed = isinstance(node, LifecycleNode)
    rare = _RareEvents(node)
    # A worker thread that computes must not keep the executor from the interpreter for 5 ms.
    sys.setswitchinterval(SWITCH_S)
    try:
        if managed and node.get_parameter('autostart').value:
            if node.trigger_configure().name == 'SUCCESS':
                node.trigger_activate()
        signals.starting = False
        while not signals.stop.is_set():
            executor.spin_once()
    except KeyboardInterrupt:
        pass
    finally:
        signals.starting = False
        # A second signal must not cut the clean-up short.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        rare.stop()
        if managed:
            node.trigger_shutdown()
        elif hasattr(node, 'shut_down'):
            node.shut_down()
        executor.remove_node(node)
        node.destroy_node()
        executor.shutdown()
        rclpy.try_shutdown()
