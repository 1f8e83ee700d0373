"""What is sent to an agent waits until it is known to read it."""
import time

from domains import reserve
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String

from async_agent_ros.msg import Interrupt, LedgerEntry
from async_agent_ros.nodes import qos
from async_agent_ros.watch import link as links
from async_agent_ros.watch.link import AgentLink


class Manager:
    """A process that writes a ledger, and reads what is typed when it is told to."""

    def __init__(self, domain):
        self.context = rclpy.Context()
        self.context.init(domain_id=domain)
        self.node = rclpy.create_node('dialog_manager', namespace='/agent', context=self.context)
        self.node.create_publisher(LedgerEntry, 'ledger', qos.LEDGER)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.heard = []

    def listen(self):
        self.node.create_subscription(
            String, 'text_in', lambda message: self.heard.append(message.data), qos.EVENT)

    def obey(self):
        self.node.create_subscription(
            Interrupt, 'interrupt_request', lambda message: self.heard.append(message.scope),
            qos.COMMAND)

    def until(self, condition, seconds=15.0):
        end_s = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end_s
            self.executor.spin_once(timeout_sec=0.05)

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def graph(monkeypatch):
    """Return a link, and a function that starts a manager beside it."""
    domain, managers = reserve(), []
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain))

    def start():
        managers.append(Manager(domain))
        return managers[-1]
    link = AgentLink('/agent')
    yield link, start
    link.close()
    link.wait_closed()
    for manager in managers:
        manager.close()


def test_words_wait_for_the_manager_that_came_last(graph, monkeypatch):
    monkeypatch.setattr(links, 'FOUND_WITHIN_S', 60.0)
    link, start = graph
    first = start()
    link.say('to the first')
    first.listen()
    first.until(lambda: first.heard == ['to the first'])
    # Another one comes, and is known by its ledger alone: the first one still reads.
    second = start()
    second.until(lambda: link._node.count_publishers('/agent/ledger') == 2)
    link.say('to the second')
    second.until(lambda: link._unsent)
    second.listen()
    second.until(lambda: second.heard == ['to the second'])


def test_a_stop_waits_for_nobody_and_reaches_the_manager_that_came_last(graph, monkeypatch):
    monkeypatch.setattr(links, 'FOUND_WITHIN_S', 60.0)
    link, start = graph
    first = start()
    first.obey()
    first.until(lambda: link._executor and link._is_read('interrupt_request'))
    link.stop()
    first.until(lambda: first.heard == ['all'])
    second = start()
    second.until(lambda: link._node.count_publishers('/agent/ledger') == 2)
    link.say('never mind')
    link.stop()
    first.until(lambda: first.heard == ['all'] * 2)
    second.obey()
    second.until(lambda: second.heard == ['all'])
    assert [topic for _, topic, _ in link._unsent] == ['text_in']


def test_words_that_nobody_reads_go_out_at_last(graph, monkeypatch):
    monkeypatch.setattr(links, 'FOUND_WITHIN_S', 0.2)
    link, _ = graph
    link.say('hello?')
    end_s = time.monotonic() + 10.0
    while not link._outbox.empty() or link._unsent:
        assert time.monotonic() < end_s
        time.sleep(0.01)
