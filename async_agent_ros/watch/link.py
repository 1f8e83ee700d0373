"""A node that a thread of its own spins, so that what shows the agent never waits."""
import os
import threading
from typing import Callable, List

from async_agent_ros.watch.feed import Feed


class AgentLink:
    """
    Follows and addresses the agent of a namespace; `reason` is given with an interruption.

    `feed` gives snapshots. Every method returns at once: what is to be sent is sent by the thread
    that spins. `on_agents` is told, from that thread, in which namespaces agents are found.
    """

    LOOK_PERIOD_S = 1.0

    def __init__(self, namespace: str = '/agent', *,
                 on_agents: Callable[[List[str]], None] = lambda namespaces: None,
                 reason: str = 'window'):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions
        from std_msgs.msg import String

        from async_agent_ros.msg import Interrupt
        from async_agent_ros.nodes import qos
        from async_agent_ros.record.follow import AgentFollower

        self.namespace = namespace
        self._on_agents, self._reason = on_agents, reason
        self._String, self._Interrupt = String, Interrupt
        self._alive = False
        # A context of its own: rqt may end its own, and two of these must not share a node.
        self._context = rclpy.Context()
        rclpy.init(context=self._context, args=[],
                   signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(f'watch_{os.getpid()}_{id(self) & 0xffff:04x}',
                                       namespace=namespace, context=self._context,
                                       enable_rosout=False, start_parameter_services=False)
        lines = []
        follower = AgentFollower(self._node, on_lines=lambda new: lines[0](new))
        self.feed = Feed(follower.view, follower.changed, alive=lambda: self._alive)
        lines.append(self.feed.on_lines)
        self._text = self._node.create_publisher(String, 'text_in', qos.EVENT)
        self._interrupt = self._node.create_publisher(
            Interrupt, 'interrupt_request', qos.COMMAND)
        self._cancel = self._node.create_publisher(String, 'cancel_call', qos.COMMAND)
        self._node.create_timer(self.LOOK_PERIOD_S, self._look)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin, name=f'watch {namespace}', daemon=True)
        self._thread.start()

    def _spin(self):
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.2)
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _look(self):
        namespaces = sorted({space for name, space in self._node.get_node_names_and_namespaces()
                             if name == 'dialog_manager'})
        self._alive = self.namespace in namespaces
        self._on_agents(namespaces)

    def _send(self, publisher, message):
        self._executor.create_task(lambda: publisher.publish(message))

    def say(self, text: str) -> None:
        """Say something to the agent."""
        self._send(self._text, self._String(data=text))

    def interrupt(self) -> None:
        """Stop voice and generation; work goes on."""
        self._request('speech')

    def stop(self) -> None:
        """Stop voice, generation and every running call."""
        self._request('all')

    def _request(self, scope):
        self._send(self._interrupt, self._Interrupt(
            stamp=self._node.get_clock().now().to_msg(), action=self._Interrupt.ACTION_STOP,
            scope=scope, reason=self._reason))

    def cancel_call(self, call_id: str) -> None:
        """Ask one running call to stop."""
        self._send(self._cancel, self._String(data=call_id))

    def close(self) -> None:
        """End; the thread clears up after itself."""
        self._stop.set()
        self._executor.create_task(lambda: None)    # wakes it

    def wait_closed(self, timeout_s: float = 5.0) -> None:
        """Wait until the thread has ended: before the process does, not in the GUI's thread."""
        self._thread.join(timeout_s)
