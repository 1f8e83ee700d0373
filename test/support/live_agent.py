"""An agent of real processes over DDS, and an observer that talks to it and waits for things."""
import threading
import time

from domains import reserve
from peer import Peer
import rclpy
from rclpy.action import ActionClient
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String

from async_agent_ros.action import Converse
from async_agent_ros.bringup import agent_nodes, Settings
from async_agent_ros.core.ledger import Entry
from async_agent_ros.msg import AgentState, Interrupt, KernelEvent, LedgerEntry, SpeechProgress
from async_agent_ros.msg import TurnMetrics
from async_agent_ros.nodes import qos
from async_agent_ros.nodes.convert import entry_from_msg
from async_agent_ros.srv import GetLedger
from async_agent_ros.supervisor import RestartPolicy, Supervisor


class LiveAgent:
    """Nodes in a domain of their own; use as a context manager."""

    def __init__(self, tmp_path, *, nodes='text', engine='scripted', domain=None,
                 namespace='/agent', more=None, env=None, **settings):
        self.domain = domain or reserve()
        self.ledger_dir = tmp_path / 'ledger'
        self.log = []
        parameters = {'dialog_manager': {'ledger_dir': str(self.ledger_dir)}}
        for node, values in (more or {}).items():
            parameters.setdefault(node, {}).update(values)
        self.supervisor = Supervisor(
            agent_nodes(Settings(nodes=nodes, engine=engine, namespace=namespace, **settings),
                        parameters),
            env={'ROS_DOMAIN_ID': str(self.domain), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
                 'HF_HUB_OFFLINE': '1', **(env or {})},
            output=lambda node, line: self.log.append(f'[{node}] {line}'),
            on_event=self._on_node,
            restart=RestartPolicy(first_delay_s=0.2))
        self.namespace = namespace
        self.entries = {}
        self.states, self.interrupts, self.progress = [], [], []
        self.metrics, self.kernel_events = [], []
        self._managers = self._readers = 0
        self._news = threading.Condition()

    # -- start and end ----------------------------------------------------------------------------
    def __enter__(self):
        self.context = rclpy.Context()
        self.context.init(domain_id=self.domain)
        self.node = Peer('observer', namespace=self.namespace, context=self.context,
                         enable_rosout=False)
        for kind, topic, profile, store in (
                (LedgerEntry, 'ledger', qos.LEDGER, self._on_entry),
                (AgentState, 'state', qos.STATE, self.states.append),
                (Interrupt, 'interrupt', qos.COMMAND, self.interrupts.append),
                (SpeechProgress, 'speech_progress', qos.EVENT, self.progress.append),
                (TurnMetrics, 'metrics', qos.EVENT, self.metrics.append),
                (KernelEvent, 'kernel_events', qos.RECORD, self.kernel_events.append)):
            self.node.create_subscription(kind, topic, self._noting(store), profile)
        self.text_in = self.node.create_publisher(
            String, 'text_in', qos.EVENT,
            event_callbacks=PublisherEventCallbacks(matched=self._noting(self._on_matched)))
        self.interrupt_request = self.node.create_publisher(
            Interrupt, 'interrupt_request', qos.COMMAND)
        self.get_ledger = self.node.create_client(GetLedger, 'get_ledger')
        self.converse = ActionClient(self.node, Converse, 'converse')
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        self.supervisor.start()
        return self

    def _spin(self):
        try:
            self.executor.spin()
        except Exception:    # the context is shut down under it
            if self.context.ok():
                raise

    def __exit__(self, kind, error, trace):
        self.supervisor.stop()
        self.executor.shutdown()
        self._thread.join(timeout=5.0)
        self.node.destroy_node()
        self.context.try_shutdown()
        # Shown where a test fails; a fixture is not told of the error, so it is printed always.
        print('\n'.join(self.log[-60:]))
        print(self.transcript())

    def _on_node(self, event):
        self._managers += (event.node, event.kind) == ('dialog_manager', 'started')

    def _on_matched(self, status):
        self._readers = status.total_count

    @property
    def heard(self):
        """
        Whether what is said now reaches the manager.

        One that was killed counts as a reader for a while: there must have been as many readers
        as managers.
        """
        return self._readers >= max(self._managers, 1)

    def _noting(self, store):
        def callback(message):
            with self._news:
                store(message)
                self._news.notify_all()
        return callback

    def _on_entry(self, message):
        # A restarted manager publishes only new entries: seq must never come with other content.
        entry = entry_from_msg(message)
        assert self.entries.setdefault(entry.seq, entry) == entry
        self.session = message.session

    # -- waiting ----------------------------------------------------------------------------------
    def wait(self, what, condition, timeout_s=20.0):
        """Wait until `condition()` is true and return it; fails naming `what`."""
        end = time.monotonic() + timeout_s
        with self._news:
            while True:
                value = condition()
                if value:
                    return value
                left = end - time.monotonic()
                assert left > 0, f'{what} did not come within {timeout_s} s\n{self.transcript()}'
                self._news.wait(min(left, 0.1))

    def find(self, kind, contains='', after=-1, **fields):
        """Return the first entry of a kind after a seq, or None."""
        for seq in sorted(self.entries):
            entry = self.entries[seq]
            if (seq > after and entry.kind == kind and contains in entry.content
                    and all(getattr(entry, k) == v for k, v in fields.items())):
                return entry
        return None

    def wait_entry(self, kind, contains='', after=-1, timeout_s=20.0, **fields) -> Entry:
        """Wait for an entry of a kind after a seq."""
        return self.wait(f'{kind} entry with {contains!r} {fields}',
                         lambda: self.find(kind, contains, after, **fields), timeout_s)

    def wait_ready(self, tool='navigate_to', timeout_s=40.0):
        """Wait until text, engine and tools are there."""
        self.wait_entry('system', f'"{tool}"', timeout_s=timeout_s)
        self.wait('manager and dispatcher', lambda: self.heard
                  and self.node.count_subscribers(self.namespace + '/call_command')
                  and any('engine' in line for line in self.log if 'dispatcher' in line),
                  timeout_s)

    def say(self, text) -> int:
        """Type a text; return the seq after which its effects stand."""
        self.wait('a manager that listens', lambda: self.heard)
        seq = max(self.entries, default=-1)
        self.text_in.publish(String(data=text))
        return seq

    def ask(self, client, request, timeout_s=20.0):
        """
        Return the answer of a service that may be asked twice.

        A server that has found only half of a client sends its answer to nobody.
        """
        self.wait(client.srv_name, client.service_is_ready, timeout_s)
        answers, asked_s = [], [0.0]

        def answer():
            if time.monotonic() - asked_s[0] > 2.0:
                asked_s[0] = time.monotonic()
                answers.append(client.call_async(request))
            return next((a.result() for a in answers if a.done()), None)
        return self.wait(f'an answer of {client.srv_name}', answer, timeout_s)

    @property
    def state(self):
        return self.states[-1].state if self.states else None

    def transcript(self):
        return '\n'.join(self.entries[s].line()[:240] for s in sorted(self.entries))
