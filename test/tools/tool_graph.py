"""What the tests on a real ROS graph share: a spinning client, and waiting with a deadline."""
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from async_agent_ros.msg import CallCommand, CallEvent
from async_agent_ros.tools.executor import CallExecutor


def wait_for(condition, seconds=10.0, what='condition'):
    """Return the first true value of the condition; fails after seconds."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        value = condition()
        if value:
            return value
        time.sleep(0.002)
    raise AssertionError(f'{what} did not come within {seconds} s')


class Dispatcher:
    """A node with a CallExecutor, spinning in a thread; events are kept with their times."""

    def __init__(self, **options):
        self.context = rclpy.Context()
        self.context.init(args=options.pop('args', None))
        self.node = Node('dispatcher', namespace='agent', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.events = []
        self.times = {}
        self.calls = CallExecutor(self.node, self._on_event, **options)
        self._inbox = queue.SimpleQueue()
        self._inbox_ready = self.node.create_guard_condition(self._handle)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        while not self._stop.is_set():
            self.executor.spin_once(timeout_sec=0.2)

    def _on_event(self, event):
        self.times[event.call_id, event.event] = time.monotonic()
        self.events.append(event)

    def order(self, call_id, name, arguments='{}', *, command=CallCommand.EXECUTE,
              server='server', timeout_s=0.0, session='s'):
        """Send a command, handled in the executor's thread, as from a subscription."""
        message = CallCommand(
            command=command, session=session, call_id=call_id, name=name,
            action_name=f'/agent/{server}/{name}', arguments_json=arguments, timeout_s=timeout_s)
        self.times[call_id, command] = time.monotonic()
        # not create_task: the executor runs tasks that wait together in the reverse order
        self._inbox.put(message)
        self._inbox_ready.trigger()

    def _handle(self):
        while not self._inbox.empty():
            self.calls.handle(self._inbox.get())

    def cancel(self, call_id, name='', **options):
        """Send a CANCEL."""
        self.order(call_id, name, command=CallCommand.CANCEL, **options)

    def of(self, call_id, kind=None):
        """Return the events of a call."""
        return [e for e in list(self.events)
                if e.call_id == call_id and kind in (None, e.event)]

    def end_of(self, call_id, seconds=10.0):
        """Wait for the end of a call, and return it."""
        return wait_for(lambda: self.of(call_id, CallEvent.ENDED), seconds,
                        f'end of {call_id}')[0]

    def running(self, call_id, seconds=10.0):
        """Wait until a call was accepted."""
        wait_for(lambda: self.of(call_id, CallEvent.ACCEPTED), seconds, f'start of {call_id}')

    def wait_for_server(self, server='server', seconds=10.0):
        """Wait until a server was announced and its actions are ready."""
        name = f'/agent/{server}'
        wait_for(lambda: self.calls.servers.get(name), seconds, name)

    def close(self):
        """Stop spinning, end what runs."""
        self._stop.set()
        self._thread.join(5.0)
        self.calls.close()
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


@contextlib.contextmanager
def process(*command):
    """Run Python with the arguments; killed at the end if it still runs."""
    child = subprocess.Popen([sys.executable, *map(str, command)], env=dict(os.environ),
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        child.communicate()
