"""The recorder and the follower against real publishers, in processes of their own."""
import signal
import subprocess
import sys

from async_agent_ros.msg import AgentState, Audio, LedgerEntry
from async_agent_ros.nodes import qos
from async_agent_ros.record.follow import AgentFollower, DeadlineError, fetch_ledger
from async_agent_ros.record.reader import BagReader, ledger_lines
from async_agent_ros.srv import GetLedger
import pytest
from std_msgs.msg import String


@pytest.fixture
def record(tmp_path):
    """Start `async-agent record` and wait until it records; it is killed at the end."""
    started = []

    def start(*args):
        process = subprocess.Popen(
            [sys.executable, '-m', 'async_agent_ros.commands.record',
             '-o', str(tmp_path / 'bag'), *args],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline().startswith('recording /agent to')
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def publish(node, wait_until, count):
    ledger = node.create_publisher(LedgerEntry, 'ledger', qos.LEDGER)
    audio = node.create_publisher(Audio, 'audio_in', qos.AUDIO)
    pose = node.create_publisher(String, 'sim_robot/pose', 10)
    wait_until(lambda: all(p.get_subscription_count() for p in (ledger, audio, pose)),
               'subscriptions of the recorder')
    for seq in range(count):
        ledger.publish(LedgerEntry(session='s', seq=seq, kind='user', content=f'text {seq}'))
        audio.publish(Audio(first_sample=seq, data=[seq] * 160))
    pose.publish(String(data='kitchen'))
    assert ledger.wait_for_all_acked()
    assert pose.wait_for_all_acked()


def seqs(path):
    reader = BagReader(path)
    return reader, [m.seq for _, _, m in reader.messages(['/agent/ledger'])]


@pytest.mark.parametrize('stop', [signal.SIGINT, signal.SIGTERM])
def test_records_everything_until_the_signal(tmp_path, ros_node, record, wait_until, stop):
    process = record()
    publish(ros_node, wait_until, 300)
    process.send_signal(stop)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert 'messages' in output and 'lost' not in output
    reader, got = seqs(tmp_path / 'bag')
    assert got == list(range(300)) and reader.complete
    messages = {topic: m for topic, _, m in reader.messages()}
    assert list(messages['/agent/audio_in'].data) == [299] * 160
    assert messages['/agent/sim_robot/pose'].data == 'kitchen'


def test_no_audio(tmp_path, ros_node, record, wait_until):
    process = record('--no-audio')
    ledger = ros_node.create_publisher(LedgerEntry, 'ledger', qos.LEDGER)
    audio = ros_node.create_publisher(Audio, 'audio_in', qos.AUDIO)
    audio.publish(Audio())
    ledger.publish(LedgerEntry())
    wait_until(ledger.get_subscription_count, 'the recorder')
    assert ledger.wait_for_all_acked()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert {r.topic for r in BagReader(tmp_path / 'bag').records()} == {'/agent/ledger'}


def test_a_killed_recorder_loses_at_most_the_last_second(
        tmp_path, ros_node, record, wait_until):
    process = record()
    publish(ros_node, wait_until, 50)
    file = tmp_path / 'bag' / 'bag.mcap'
    wait_until(lambda: file.stat().st_size > 1000, 'the first chunk on disk')
    process.kill()
    process.wait()
    reader, got = seqs(tmp_path / 'bag')
    assert got == list(range(50)) and not reader.complete


def test_an_existing_directory_is_refused(tmp_path):
    (tmp_path / 'bag').mkdir()
    result = subprocess.run([sys.executable, '-m', 'async_agent_ros.commands.record',
                             '-o', str(tmp_path / 'bag')], capture_output=True, text=True)
    assert result.returncode == 1
    assert 'exists already: choose another name' in result.stderr


def test_the_follower_waits_and_names_what_did_not_come(ros_node):
    follower = AgentFollower(ros_node)
    publisher = ros_node.create_publisher(AgentState, 'state', qos.STATE)
    publisher.publish(AgentState(state='listening'))
    follower.wait_for(lambda view: view.state == 'listening', 20, 'listening')
    with pytest.raises(DeadlineError, match='robot speaks: not within 0.05 s'):
        follower.wait_for(lambda view: view.state == 'emitting', 0.05, 'robot speaks')


def test_a_gap_in_the_ledger_is_fetched(ros_node):
    entries = [LedgerEntry(session='s', seq=seq, kind='user', name='text', content=str(seq))
               for seq in range(10)]

    def serve(request, response):
        upto = request.from_seq + (request.max_entries or 1000)
        response.entries = entries[request.from_seq:upto]
        response.next_seq = len(entries)
        return response

    ros_node.create_service(GetLedger, 'get_ledger', serve)
    lines = []
    follower = AgentFollower(ros_node, on_lines=lines.extend)
    publisher = ros_node.create_publisher(LedgerEntry, 'ledger', qos.LEDGER)
    for seq in (0, 1, 2, 7, 8):
        publisher.publish(entries[seq])
    follower.wait_for(lambda view: len(view.ledger) == 10, 20, 'whole ledger')
    assert [line.text for line in lines] == [str(seq) for seq in range(10)]
    client = ros_node.create_client(GetLedger, 'get_ledger')
    fetched = fetch_ledger(client, max_entries=3)
    assert [e.seq for e in fetched] == list(range(10))
    assert ledger_lines(fetched)[3].startswith('{"seq":3,"stamp_ns":0,"kind":"user"')


def test_a_request_that_nobody_answers_is_made_again(ros_node, monkeypatch, wait_until):
    """The manager may die between the question and its answer, and another one come."""
    import rclpy
    monkeypatch.setattr('async_agent_ros.record.follow.GAP_PATIENCE_S', 0.5)
    context = rclpy.Context()
    rclpy.init(context=context)
    silent = rclpy.create_node('silent', namespace='/agent', context=context)
    silent.create_service(GetLedger, 'get_ledger', lambda request, response: response)
    follower = AgentFollower(ros_node)
    publisher = ros_node.create_publisher(LedgerEntry, 'ledger', qos.LEDGER)
    publisher.publish(LedgerEntry(session='s', seq=2, kind='user', name='text', content='2'))
    wait_until(lambda: follower._request is not None, 'the request that nobody answers')
    silent.destroy_node()
    rclpy.shutdown(context=context)

    def serve(request, response):
        response.entries = [LedgerEntry(session='s', seq=s, kind='user', name='text')
                            for s in range(request.from_seq, 3)]
        response.next_seq = 3
        return response
    ros_node.create_service(GetLedger, 'get_ledger', serve)
    follower.wait_for(lambda view: len(view.ledger) == 3, 20, 'the whole ledger')
