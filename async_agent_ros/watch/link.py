"""A node that a thread of its own makes and spins, so that what shows the agent never waits."""
import os
import queue
import threading
import time
from typing import Any, Callable, List, Tuple

from async_agent_ros.tools.discovery import FOUND_WITHIN_S
from async_agent_ros.watch.feed import Feed
from async_agent_ros.watch.view import AgentView


SEND_PERIOD_S = 0.05
"""Between two looks whether the agent reads what is to be sent; only while something waits."""


class NamespaceError(ValueError):
    """A name that cannot be the namespace of an agent. The message says why."""


def check_namespace(namespace: str) -> None:
    """Raise NamespaceError for a name that cannot be a namespace."""
    from rclpy.exceptions import InvalidNamespaceException
    from rclpy.validate_namespace import validate_namespace

    try:
        validate_namespace(namespace)
    except InvalidNamespaceException as error:
        raise NamespaceError(f'{namespace} cannot be a namespace: '
                             f'{str(error).splitlines()[0].rstrip(":")}') from None


def _process(endpoint) -> bytes:
    """Return what the endpoints of a process have in common: the prefix of their GUIDs (DDS)."""
    return bytes(endpoint.endpoint_gid)[:12]


class AgentLink:
    """
    Follows and addresses the agent of a namespace; `reason` is given with an interruption.

    `feed` gives snapshots, empty ones until the node stands. Every method returns at once: what is
    to be sent is sent by the thread that spins. `on_agents` is told, from that thread, in which
    namespaces agents are found. Raises NamespaceError for a namespace that cannot be.
    """

    LOOK_PERIOD_S = 1.0

    def __init__(self, namespace: str = '/agent', *,
                 on_agents: Callable[[List[str]], None] = lambda namespaces: None,
                 reason: str = 'window'):
        check_namespace(namespace)
        self.namespace = namespace
        self.feed = Feed(AgentView(), threading.Lock(), alive=lambda: False)
        self._on_agents, self._reason = on_agents, reason
        self._alive = False
        self._outbox: 'queue.SimpleQueue[Tuple[str, Any]]' = queue.SimpleQueue()
        self._unsent: List[Tuple[float, str, Any]] = []
        self._stop = threading.Event()
        self._executor = None
        self._thread = threading.Thread(target=self._run, name=f'watch {namespace}', daemon=True)
        self._thread.start()

    # -- the thread -------------------------------------------------------------------------------
    def _run(self) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions

        # A context of its own: rqt may end its own, and two of these must not share a node.
        context = rclpy.Context()
        rclpy.init(context=context, args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(f'watch_{os.getpid()}_{id(self) >> 4 & 0xffff:04x}',
                                       namespace=self.namespace, context=context,
                                       enable_rosout=False, start_parameter_services=False)
        self._follow()
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(self._node)
        self._executor = executor
        self._send_all()    # what was asked for before there was anyone to send it
        while not self._stop.is_set():
            executor.spin_once(timeout_sec=0.2)
        executor.shutdown()
        self._node.destroy_node()
        context.try_shutdown()

    def _follow(self) -> None:
        from std_msgs.msg import String

        from async_agent_ros.msg import Interrupt
        from async_agent_ros.nodes import qos
        from async_agent_ros.record.follow import AgentFollower

        feeds: List[Feed] = []
        follower = AgentFollower(self._node, on_lines=lambda lines: feeds[0].on_lines(lines))
        feeds.append(Feed(follower.view, follower.changed, alive=lambda: self._alive))
        self.feed = feeds[0]
        self._publishers = {
            'text_in': (String, self._node.create_publisher(String, 'text_in', qos.EVENT)),
            'cancel_call': (String, self._node.create_publisher(
                String, 'cancel_call', qos.COMMAND)),
            'interrupt_request': (Interrupt, self._node.create_publisher(
                Interrupt, 'interrupt_request', qos.COMMAND))}
        self._node.create_timer(self.LOOK_PERIOD_S, self._look)
        self._waiting = self._node.create_timer(SEND_PERIOD_S, self._send_all)
        self._waiting.cancel()

    def _look(self) -> None:
        namespaces = sorted({space for name, space in self._node.get_node_names_and_namespaces()
                             if name == 'dialog_manager'})
        # Not the node: a bag that is shown again is as alive to whoever watches.
        self._alive = self._node.count_publishers(f'{self.namespace}/state') > 0
        try:
            self._on_agents(namespaces)
        except RuntimeError:
            pass    # the window is gone, and this node will be in a moment

    def _send_all(self) -> None:
        while not self._outbox.empty():
            topic, fields = self._outbox.get()
            self._unsent.append((time.monotonic(), topic, fields))
            if topic == 'interrupt_request' and not self._is_read(topic):
                self._publish(topic, fields)    # nothing stops too early: now, and when it is read
        waiting = []
        for since_s, topic, fields in self._unsent:
            if self._is_read(topic) or time.monotonic() - since_s > FOUND_WITHIN_S:
                self._publish(topic, fields)
            else:
                waiting.append((since_s, topic, fields))
        self._unsent = waiting
        if waiting:
            self._waiting.reset()
        else:
            self._waiting.cancel()

    def _publish(self, topic: str, fields: dict) -> None:
        kind, publisher = self._publishers[topic]
        if topic == 'interrupt_request':
            fields = {**fields, 'stamp': self._node.get_clock().now().to_msg()}
        publisher.publish(kind(**fields))

    def _is_read(self, topic: str) -> bool:
        """
        Tell whether every process that writes a ledger here is known to read a topic.

        A manager that was just restarted may be known by its ledger and not yet by what it reads,
        while the one that was killed still counts as a reader.
        """
        node, space = self._node, self.namespace
        writers = {_process(end) for end in node.get_publishers_info_by_topic(f'{space}/ledger')}
        readers = {_process(end) for end in node.get_subscriptions_info_by_topic(
            f'{space}/{topic}')}
        return bool(writers) and writers <= readers

    # -- for others -------------------------------------------------------------------------------
    def _send(self, topic: str, **fields) -> None:
        self._outbox.put((topic, fields))
        executor = self._executor
        if executor is not None:
            executor.create_task(self._send_all)

    def say(self, text: str) -> None:
        """Say something to the agent."""
        self._send('text_in', data=text)

    def interrupt(self) -> None:
        """Stop voice and generation; work goes on."""
        self._send('interrupt_request', action='stop', scope='speech', reason=self._reason)

    def stop(self) -> None:
        """Stop voice, generation and every running call."""
        self._send('interrupt_request', action='stop', scope='all', reason=self._reason)

    def cancel_call(self, call_id: str) -> None:
        """Ask one running call to stop."""
        self._send('cancel_call', data=call_id)

    def close(self) -> None:
        """End; the thread clears up after itself."""
        self._stop.set()
        executor = self._executor
        if executor is not None:
            executor.create_task(lambda: None)    # wakes it

    def wait_closed(self, timeout_s: float = 5.0) -> None:
        """Wait until the thread has ended: before the process does, not in the GUI's thread."""
        self._thread.join(timeout_s)
