"""Show: a bag comes back as it was recorded, in its time, and never to a living agent."""
import signal
import subprocess
import sys
import threading
import time

from async_agent_ros.msg import AgentState, CallCommand, LedgerEntry
from async_agent_ros.nodes import qos
from async_agent_ros.record import show as show_module
from async_agent_ros.record.bag import BagWriter
from async_agent_ros.record.reader import BagReader
from async_agent_ros.record.show import offered_profile, Player, ShowError
from async_agent_ros.record.topics import bag_qos
from builtin_interfaces.msg import Time
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String

START_NS = 1_790_000_000 * 10**9
MS = 10**6


@pytest.fixture
def bag(tmp_path):
    """Ten entries in 0.9 s, and a text in the middle."""
    writer = BagWriter(tmp_path / 'bag')
    for seq in range(10):
        writer.write('/agent/ledger', 'async_agent_ros/msg/LedgerEntry', [bag_qos(qos.LEDGER)],
                     START_NS + seq * 100 * MS, serialize_message(LedgerEntry(seq=seq)))
        writer.write('/agent/text_in', 'std_msgs/msg/String', [bag_qos(qos.EVENT)],
                     START_NS + seq * 100 * MS, serialize_message(String(data=str(seq))))
    writer.close()
    return tmp_path / 'bag'


class Audience:
    """Keeps what comes, with the time at which it came."""

    def __init__(self, namespace='/agent', name='audience'):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node(name, namespace=namespace, context=self.context)
        self.got = []
        for kind, topic, profile in ((LedgerEntry, 'ledger', qos.LEDGER),
                                     (String, 'text_in', qos.EVENT), (Clock, '/clock', 100)):
            self.node.create_subscription(
                kind, topic, lambda m, t=topic: self.got.append((t, time.monotonic(), m)), profile)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._spin)
        self.thread.start()

    def _spin(self):
        while not self.stop.is_set():
            self.executor.spin_once(timeout_sec=0.05)

    def of(self, topic):
        return [(at, m) for t, at, m in list(self.got) if t == topic]

    def close(self):
        self.stop.set()
        self.thread.join()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def audience():
    made = []

    def make(*args, **kwargs):
        made.append(Audience(*args, **kwargs))
        return made[-1]
    yield make
    for each in made:
        each.close()


@pytest.fixture
def play(bag):
    """Play the bag from a node of its own; return what the player says."""
    contexts = []

    def play(namespace='', stop=None, living='', **options):
        context = rclpy.Context()
        rclpy.init(context=context)
        contexts.append(context)
        node = rclpy.create_node('replay', context=context)
        player = Player(node, BagReader(bag), namespace=namespace, **options)
        wait_for = [p for p in player._all()]
        deadline = time.monotonic() + 20
        while any(not p.get_subscription_count() for p in wait_for):
            assert time.monotonic() < deadline, 'the audience'
            time.sleep(0.01)
        while living and living not in node.get_node_names():
            assert time.monotonic() < deadline, living
            time.sleep(0.01)
        player.play(stop or threading.Event(), 0.0)
        return player
    yield play
    for context in contexts:
        rclpy.shutdown(context=context)


def wait(condition, what):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_messages_come_in_order_and_in_their_time(audience, play):
    a = audience()
    play(rate=0.5)
    wait(lambda: len(a.of('ledger')) == 10 and len(a.of('text_in')) == 10, 'all messages')
    assert [m.seq for _, m in a.of('ledger')] == list(range(10))
    times = [at for at, _ in a.of('text_in')]
    assert 1.0 < times[-1] - times[0] < 10.0, '0.9 s at half the speed'


def test_what_lies_before_the_start_comes_at_once_where_it_is_latched(audience, play):
    a = audience()
    play(start_s=0.75)
    wait(lambda: len(a.of('ledger')) == 10 and len(a.of('text_in')) == 2, 'messages')
    assert [m.data for _, m in a.of('text_in')] == ['8', '9']


def test_the_clock_runs_with_the_recorded_time(audience, play):
    a = audience()
    play(rate=4.0, clock=True)
    wait(lambda: a.of('/clock') and a.of('/clock')[-1][1].clock.nanosec >= 890 * MS, 'the clock')
    stamps = [m.clock.sec * 10**9 + m.clock.nanosec for _, m in a.of('/clock')]
    assert stamps == sorted(stamps) and len(stamps) > 10
    assert stamps[0] >= START_NS and stamps[-1] <= START_NS + 901 * MS


def test_topics_and_namespace(audience, play):
    a = audience('/replay')
    assert play(namespace='/replay', topics=['ledger'], rate=50.0).published == 10
    wait(lambda: len(a.of('ledger')) == 10, 'ledger under another name')
    assert not a.of('text_in')
    with pytest.raises(ShowError, match='holds no /agent/nothing; its topics are: /agent/ledger'):
        play(topics=['nothing'])


def test_a_window_shows_a_bag_like_an_agent(tmp_path):
    from async_agent_ros.watch.link import AgentLink
    writer = BagWriter(tmp_path / 'shown')
    for number, state in enumerate(('idle', 'generating')):
        stamp = Time(sec=START_NS // 10**9 + number)
        writer.write('/agent/state', 'async_agent_ros/msg/AgentState', [bag_qos(qos.STATE)],
                     START_NS + number * 10**9,
                     serialize_message(AgentState(state=state, session='s', stamp=stamp)))
        writer.write('/agent/ledger', 'async_agent_ros/msg/LedgerEntry', [bag_qos(qos.LEDGER)],
                     START_NS + number * 10**9,
                     serialize_message(LedgerEntry(session='s', seq=number, stamp=stamp)))
    writer.close()
    link = AgentLink('/agent')
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        node = rclpy.create_node('replay', context=context)
        Player(node, BagReader(tmp_path / 'shown'), rate=10.0).play(threading.Event(), 0.0)
        rows, seen = [], []

        def shown():
            snapshot = link.feed.take()
            rows.extend(snapshot.rows)
            seen.append(snapshot)
            return len(rows) == 2 and snapshot.alive and snapshot.state == 'generating'
        wait(shown, 'the bag in the window')
        assert seen[-1].state_s < 60.0, 'the time is that of the bag'
    finally:
        link.close()
        rclpy.shutdown(context=context)
        link.wait_closed()


def test_a_living_agent_never_gets_recorded_orders(audience, play):
    audience(name='dispatcher')
    with pytest.raises(ShowError, match='an agent runs in /agent .dispatcher.*ROS_DOMAIN_ID'):
        play(living='dispatcher')


def test_another_definition_is_left_out(audience, play, monkeypatch):
    audience()
    real = show_module.definition
    monkeypatch.setattr(show_module, 'definition', lambda name: (
        ('', 'RIHS01_other') if name.endswith('LedgerEntry') else real(name)))
    remarks = []
    play(rate=50.0, on_remark=remarks.append)
    assert len(remarks) == 1 and remarks[0].startswith('/agent/ledger is left out: the bag defi')


def test_the_recorded_quality_of_service_is_offered():
    ledger = offered_profile('/agent/ledger', '')
    assert ledger.reliability == ReliabilityPolicy.RELIABLE and ledger.depth == 5000
    text = ('- {history: 3, depth: 0, reliability: 2, durability: 2, deadline: {sec: 9223372036, '
            'nsec: 854775807}, lifespan: {sec: 9223372036, nsec: 854775807}, liveliness: 1, '
            'liveliness_lease_duration: {sec: 2, nsec: 0}, '
            'avoid_ros_namespace_conventions: false}')
    profile = offered_profile('/agent/audio_in', text)
    assert profile.reliability == ReliabilityPolicy.BEST_EFFORT
    assert profile.durability == DurabilityPolicy.VOLATILE
    assert profile.liveliness == LivelinessPolicy.AUTOMATIC
    assert profile.liveliness_lease_duration.nanoseconds == 2 * 10**9


def test_what_this_package_records_is_offered_again(bag):
    reader = BagReader(bag)
    list(reader.records())
    ledger = offered_profile('/agent/ledger', reader.offered['/agent/ledger'])
    assert ledger.durability == DurabilityPolicy.TRANSIENT_LOCAL
    text = offered_profile('/agent/text_in', reader.offered['/agent/text_in'])
    assert text.durability == DurabilityPolicy.VOLATILE


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(tmp_path, number):
    writer = BagWriter(tmp_path / 'long')
    for seq in range(2):
        writer.write('/agent/state', 'async_agent_ros/msg/AgentState', [bag_qos(qos.STATE)],
                     START_NS + seq * 1000 * 10**9, serialize_message(AgentState()))
        writer.write('/agent/call_command', 'async_agent_ros/msg/CallCommand',
                     [bag_qos(qos.COMMAND)], START_NS + seq * 1000 * 10**9,
                     serialize_message(CallCommand()))
    writer.close()
    process = subprocess.Popen(
        [sys.executable, '-m', 'async_agent_ros.cli', 'replay', 'show', str(tmp_path / 'long'),
         '--delay', '0', '--clock'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith('showing ')
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert 'ended early' in output and 'Traceback' not in errors
