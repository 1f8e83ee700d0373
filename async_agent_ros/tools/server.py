"""ToolServer: a ROS node that offers Python functions as tools of the agent."""
import queue
import secrets
import signal
import sys
import threading
import time
from typing import Dict, Iterable, List, Optional, Union

import rclpy
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions, uninstall_signal_handlers

from async_agent_ros.action import ExecuteTool
from async_agent_ros.core.words import Error, Status
from async_agent_ros.msg import ToolAnnouncement, ToolSpec
from async_agent_ros.nodes.node_base import CleanEnd
from async_agent_ros.tools.clock import NodeClock
from async_agent_ros.tools.jobs import Job, Jobs, Outcome
from async_agent_ros.tools.msgs import ANNOUNCE, LEASE_S, SERVICES, spec_to_msg
from async_agent_ros.tools.context import Progress, ToolContext
from async_agent_ros.tools.sdk import Tool, ToolDefinitionError, tool

RESULT_TIMEOUT_S = 5
"""Seconds that a result is kept for whoever asks late; rcl slows down with every kept goal."""

LINGER_S = 0.3
"""Seconds that a server which leaves goes on answering after its last call has ended."""


class ToolServer(CleanEnd, Node):
    """
    Offers tools: announces them on `tools` and serves each as an ExecuteTool action `~/<tool>`.

    Callbacks only hand over: a call runs in a thread of its own (async tools on one asyncio
    loop), and what it reports is published from the executor's thread. A goal with a known
    (session, call_id) gets the outcome of the first one and never runs again.
    """

    def __init__(self, name: str, tools: Iterable[Union[Tool, callable]] = (), *,
                 namespace: str = 'agent', lease_s: float = LEASE_S, **node_options):
        if node_options.get('context') is None and not rclpy.ok():
            # Not rclpy's signal handlers: they end the context before the goodbye is published.
            rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
        super().__init__(name, namespace=namespace, **node_options)
        self.lease_s = float(lease_s)
        self.clock = NodeClock(self)
        self.clock.on_jump(self._wake_jobs)
        self._tools_by_name: Dict[str, Tool] = {}
        self._spec_msgs: Dict[str, ToolSpec] = {}
        self._revision = 0
        # A restart is seen even before the lease is over.
        self._incarnation = 1 + secrets.randbits(63)
        self._stopping = False
        self._outbox: 'queue.SimpleQueue' = queue.SimpleQueue()
        self._outbox_ready = self.create_guard_condition(self._deliver)
        self._jobs = Jobs(self._on_job_ended, self.get_logger().error)
        self._announcer = self.create_publisher(ToolAnnouncement, 'tools', ANNOUNCE)
        for item in tools:
            self._serve(item)
        if self._tools_by_name:    # else with the first that are added
            self._announce()
        # A sign of life is due in real time, also when the ROS clock is simulated.
        self._announce_timer = self.create_timer(self.lease_s / 3.0, self._announce,
                                                 clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def tools(self) -> List[Tool]:
        """The tools that are served, in order."""
        return list(self._tools_by_name.values())

    @property
    def running_calls(self) -> int:
        """Number of calls that run now."""
        return len(self._jobs.running)

    def add_tools(self, *items: Union[Tool, callable]) -> None:
        """Serve more tools and announce them. Raises ToolDefinitionError for a name in use."""
        for item in items:
            self._serve(item)
        self._revision += 1
        self._announce()

    def _serve(self, item):
        item = item if isinstance(item, Tool) else tool(item)
        name = item.spec.name
        if name in self._tools_by_name:
            raise ToolDefinitionError(
                f'{self.get_fully_qualified_name()} has two tools named {name!r}: rename one '
                "with @tool(name='...')")
        action_name = f'{self.get_fully_qualified_name()}/{name}'
        self._tools_by_name[name] = item.with_spec(action_name=action_name)
        self._spec_msgs[name] = spec_to_msg(self._tools_by_name[name].spec)
        ActionServer(    # the node holds it
            self, ExecuteTool, action_name,
            execute_callback=lambda goal_handle: ExecuteTool.Result(),    # replaced per goal
            goal_callback=self._on_goal,
            handle_accepted_callback=lambda goal, name=name: self._on_accepted(name, goal),
            cancel_callback=self._on_cancel,
            goal_service_qos_profile=SERVICES, result_service_qos_profile=SERVICES,
            cancel_service_qos_profile=SERVICES, result_timeout=RESULT_TIMEOUT_S)

    def _announce(self):
        self._announcer.publish(ToolAnnouncement(
            server=self.get_fully_qualified_name(), revision=self._revision,
            incarnation=self._incarnation, stopping=self._stopping, lease_s=self.lease_s,
            stamp=self.get_clock().now().to_msg(),
            tools=list(self._spec_msgs.values())))

    # Goals. Everything below up to _on_job_ended runs in the executor's thread.

    def _on_goal(self, request):
        return GoalResponse.REJECT if self._stopping else GoalResponse.ACCEPT

    def _on_accepted(self, name, goal_handle):
        request = goal_handle.request
        key = (request.session, request.call_id) if request.call_id else None
        known = self._jobs.find(key) if key is not None else None
        if known is None:
            job = Job(key, self._tools_by_name[name], request.arguments_json,
                      ToolContext(request.call_id, request.session, clock=self.clock))
            job.context.on_report(lambda progress: self._post(job, progress))
            job.goals.append(goal_handle)
            self._jobs.submit(job)
        elif (known.tool.spec.name, known.arguments_json) != (name, request.arguments_json):
            self._finish_goal(goal_handle, Outcome(
                Status.FAILED, Error.REJECTED,
                f'call id {request.call_id!r} was already used for another call of '
                f'{known.tool.spec.name}: every call needs an id of its own'))
        elif known.outcome is not None and not known.goals:
            self._finish_goal(goal_handle, known.outcome)
        else:
            known.goals.append(goal_handle)

    def _on_cancel(self, goal_handle):
        for job in self._jobs.running:
            if goal_handle in job.goals:
                self._jobs.cancel(job, 'cancelled on request')
        return CancelResponse.ACCEPT    # the outcome decides; a late cancel changes nothing

    def _finish_goal(self, goal_handle, outcome):
        result = ExecuteTool.Result(error_code=int(outcome.error_code),
                                    error_msg=outcome.error_msg,
                                    result_json=outcome.result_json)

        def execute(handle):
            if outcome.status == Status.SUCCEEDED:
                handle.succeed()
            elif outcome.status == Status.CANCELLED and handle.is_cancel_requested:
                handle.canceled()
            else:    # a call that stopped without being asked to is aborted, with CANCELLED
                handle.abort()
            return result
        goal_handle.execute(execute)

    def _deliver(self):
        while True:
            try:
                job, progress = self._outbox.get_nowait()
            except queue.Empty:
                return
            goals = list(job.goals)
            if progress is None:
                job.goals.clear()
            for goal_handle in goals:
                try:
                    if progress is None:
                        self._finish_goal(goal_handle, job.outcome)
                    else:
                        goal_handle.publish_feedback(ExecuteTool.Feedback(
                            progress=progress.progress, text=progress.text))
                except Exception as error:
                    self.get_logger().error(
                        f'call {job.context.call_id} of {job.tool.spec.name}: {error!r}')

    # From the threads of the jobs.

    def _post(self, job: Job, progress: Optional[Progress]):
        self._outbox.put((job, progress))
        try:
            self._outbox_ready.trigger()
        except _rclpy.InvalidHandle:
            pass    # the node is gone, and this tool did not stop in time

    def _on_job_ended(self, job):
        self._post(job, None)

    def _wake_jobs(self):
        for job in self._jobs.running:
            job.context.wake()

    # The life of the process.

    def shut_down(self, patience_s: float = 2.0) -> None:
        """
        Leave: announce it, cancel the running calls, deliver their outcomes. Not while spinning.

        Waits at most patience_s for tools that do not stop.
        """
        if self._stopping or not self.context.ok():
            return
        self._stopping = True
        self._announce_timer.cancel()
        self._revision += 1
        self._announce()
        for job in self._jobs.running:
            self._jobs.cancel(job, 'the tool server stops')
        executor = self.executor or SingleThreadedExecutor()
        executor.add_node(self)
        busy_s = time.monotonic()
        until = busy_s + patience_s
        # a while longer, for result requests and for answers that are on their way: by the clock,
        # because any message that comes in ends a round
        while time.monotonic() < min(until, busy_s + LINGER_S):
            executor.spin_once(timeout_sec=0.05)
            if self._jobs.running or not self._outbox.empty():
                busy_s = time.monotonic()
        self._announcer.wait_for_all_acked(Duration(seconds=0.5))
        self._jobs.close()
        self.clock.close()

    def spin(self) -> None:
        """Serve until SIGINT or SIGTERM, then leave cleanly. For the main thread."""
        uninstall_signal_handlers()
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        executor = SingleThreadedExecutor()
        executor.add_node(self)

        def serve():
            try:
                while not stop.is_set():
                    executor.spin_once()
            except ExternalShutdownException:
                pass
            finally:
                stop.set()    # also when a callback raised: no server without an executor

        thread = threading.Thread(target=serve, name='executor', daemon=True)
        thread.start()
        self.get_logger().info(
            f'serving {", ".join(self._tools_by_name) or "no tools"}')
        stop.wait()
        executor.create_task(lambda: None)    # wakes it
        thread.join(timeout=2.0)
        self.shut_down()
        self.destroy_node()
        executor.shutdown()
        rclpy.try_shutdown()
