"""The tts node over real DDS: what is said, paused, stopped and reported."""
import os
import threading
import time
import wave

from async_agent_ros import models
from async_agent_ros.msg import Audio, Interrupt, Say, SpeechProgress
from async_agent_ros.nodes import qos
from async_agent_ros.nodes.node_base import to_ns
from async_agent_ros.nodes.tts import TtsNode
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

ENDS = (SpeechProgress.FINISHED, SpeechProgress.STOPPED, SpeechProgress.FAILED)
LONG = 'I am on my way to the kitchen, and I will tell you as soon as I am there with the cup.'


class Rig:
    """The node on its own executor, and a client on another, as if in two processes."""

    count = 0

    def __init__(self, **parameters):
        Rig.count += 1
        namespace = f'agent{Rig.count}'
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=1 + os.getpid() % 100)
        self.node = TtsNode(
            namespace=namespace, context=self.context, parameter_overrides=[
                Parameter(name, value=value) for name, value in parameters.items()])
        self.client = Node('dialog_manager', namespace=namespace, context=self.context)
        self.progress, self.audio, self.diagnostics = [], [], []
        self.changed = threading.Condition()
        for kind, topic, profile, store in (
                (SpeechProgress, 'speech_progress', qos.EVENT, self.progress),
                (Audio, 'audio_out', qos.AUDIO, self.audio),
                (DiagnosticArray, '/diagnostics', 10, self.diagnostics)):
            self.client.create_subscription(kind, topic, self._keep(store), profile)
        self.say_pub = self.client.create_publisher(Say, 'say', qos.COMMAND)
        self.interrupt_pub = self.client.create_publisher(Interrupt, 'interrupt', qos.COMMAND)
        self.node.trigger_configure()
        self.node.trigger_activate()
        self.executors = []
        for node in (self.node, self.client):
            executor = SingleThreadedExecutor(context=self.context)
            executor.add_node(node)
            self.executors.append(executor)
            threading.Thread(target=executor.spin, daemon=True).start()
        self.until(lambda: self.say_pub.get_subscription_count()
                   and self.interrupt_pub.get_subscription_count()
                   and self.client.count_publishers('audio_out')
                   and self.diagnostics)

    def _keep(self, store):
        def keep(message):
            with self.changed:
                store.append(message)
                self.changed.notify_all()
        return keep

    def until(self, condition, timeout_s=20.0):
        deadline_s = time.monotonic() + timeout_s
        with self.changed:
            while not (result := condition()):
                assert time.monotonic() < deadline_s, 'nothing came in time'
                self.changed.wait(0.05)
            return result

    def say(self, number, text, epoch=0, interruptible=True):
        self.say_pub.publish(Say(segment_id=number, generation_id=9, epoch=epoch, text=text,
                                 interruptible=interruptible))

    def prepare(self, text, epoch=0):
        self.say_pub.publish(Say(text=text, epoch=epoch, prepare=True))

    def told(self, key):
        name = self.node.get_fully_qualified_name()[1:]
        return next((int(v.value) for a in reversed(self.diagnostics) for s in a.status
                     if s.name == name for v in s.values if v.key == key), -1)

    def interrupt(self, action, epoch=0):
        self.interrupt_pub.publish(Interrupt(
            action=action, epoch=epoch, stamp=self.client.get_clock().now().to_msg()))
        return self.client.get_clock().now().nanoseconds

    def states(self, number):
        return [p.state for p in self.progress
                if p.segment_id == number and p.state != SpeechProgress.PLAYING]

    def end(self, number):
        return self.until(lambda: next(
            (p for p in self.progress if p.segment_id == number and p.state in ENDS), None))

    def began(self, number, heard_chars=0):
        return self.until(lambda: any(
            p.segment_id == number and p.heard_chars >= heard_chars
            and p.state in (SpeechProgress.STARTED, SpeechProgress.PLAYING)
            for p in self.progress))

    def close(self):
        for executor in self.executors:
            executor.shutdown(timeout_sec=5.0)
        self.node.trigger_shutdown()
        self.node.destroy_node()
        self.client.destroy_node()
        self.context.try_shutdown()


@pytest.fixture(scope='module')
def wav_path(tmp_path_factory):
    return tmp_path_factory.mktemp('tts') / 'robot.wav'


@pytest.fixture(scope='module')
def rig(wav_path):
    try:
        models.find('piper-joe')
    except models.ModelMissingError as error:
        pytest.skip(str(error))
    start_s = time.time()
    rig = Rig(sinks=['topic', 'wav'], wav_file=str(wav_path), wav_start_s=start_s)
    rig.wav_start_ns = int(start_s * 1e9)
    yield rig
    rig.close()


@pytest.fixture(autouse=True)
def fresh(request):
    if 'rig' in request.fixturenames:
        rig = request.getfixturevalue('rig')
        rig.progress.clear()
        rig.audio.clear()


def test_segments_are_heard_in_order_and_reported(rig):
    rig.say(1, 'On my way.')
    rig.say(2, 'The battery is at 80 %.')
    second = rig.end(2)
    assert rig.states(1) == rig.states(2) == [SpeechProgress.STARTED, SpeechProgress.FINISHED]
    first = rig.end(1)
    assert (first.heard_chars, first.generation_id) == (10, 9)
    assert second.heard_chars == 23
    assert second.played_s == pytest.approx(second.duration_s, abs=0.001) and second.played_s > 1
    started = [p for p in rig.progress if p.state == SpeechProgress.STARTED]
    assert to_ns(started[1].stamp) >= to_ns(first.stamp)
    assert any(p.state == SpeechProgress.PLAYING for p in rig.progress)
    # audio_out is the very PCM, in blocks without a gap.
    blocks = [b for b in rig.audio]
    assert all(b.sample_rate == 22_050 and b.channels == 1 for b in blocks)
    assert all(b.first_sample == a.first_sample + len(a.data)
               for a, b in zip(blocks, blocks[1:]))
    assert max(abs(np.concatenate([b.data for b in blocks]).astype(int))) > 3000


def test_pause_holds_and_resume_goes_on(rig):
    rig.say(11, LONG)
    rig.began(11, heard_chars=4)
    rig.interrupt(Interrupt.ACTION_PAUSE)
    rig.until(lambda: SpeechProgress.PAUSED in rig.states(11))
    count = len(rig.audio)
    rig.interrupt(Interrupt.ACTION_RESUME)
    end = rig.end(11)
    assert rig.states(11) == [SpeechProgress.STARTED, SpeechProgress.PAUSED,
                              SpeechProgress.RESUMED, SpeechProgress.FINISHED]
    assert end.heard_chars == len(LONG) and len(rig.audio) > count


def test_stop_cuts_within_milliseconds_and_tells_what_was_heard(rig):
    rig.say(21, LONG)
    rig.say(22, 'And this is never heard.')
    rig.began(21, heard_chars=10)
    sent_ns = rig.interrupt(Interrupt.ACTION_STOP, epoch=1)
    rig.end(22)
    rig.until(lambda: rig.states(21)[-1] == SpeechProgress.STOPPED)
    end = rig.end(21)
    assert 10 <= end.heard_chars < len(LONG)
    assert LONG[end.heard_chars - 1].isalnum() or not LONG[end.heard_chars].isalnum()
    assert rig.states(22) == [SpeechProgress.STOPPED]
    assert rig.end(22).heard_chars == 0
    assert (to_ns(end.stamp) - sent_ns) / 1e6 < 100
    # Old epochs are dropped, the new one speaks.
    rig.say(23, 'From before.', epoch=0)
    rig.say(24, 'Yes?', epoch=1)
    assert rig.end(23).state == SpeechProgress.STOPPED
    assert rig.end(24).state == SpeechProgress.FINISHED


def test_an_uninterruptible_line_is_finished(rig):
    rig.say(31, 'Careful, the arm is moving now.', epoch=2, interruptible=False)
    rig.began(31)
    rig.interrupt(Interrupt.ACTION_PAUSE, epoch=2)
    rig.interrupt(Interrupt.ACTION_STOP, epoch=3)
    assert rig.end(31).state == SpeechProgress.FINISHED
    assert rig.states(31) == [SpeechProgress.STARTED, SpeechProgress.FINISHED]


def test_silent_text_ends_too(rig):
    rig.say(41, '🎉', epoch=3)
    assert rig.end(41).state == SpeechProgress.FINISHED


def test_rate_and_volume_change_while_it_runs(rig):
    rig.say(45, 'The battery is full.', epoch=3)
    normal = rig.end(45)
    loud = max(abs(np.array(b.data, int)).max() for b in rig.audio)
    rig.audio.clear()
    results = rig.node.set_parameters([Parameter('rate', value=2.0),
                                       Parameter('volume', value=0.1)])
    assert all(r.successful for r in results)
    rig.say(46, 'The battery is full.', epoch=3)
    fast = rig.end(46)
    assert fast.duration_s < 0.75 * normal.duration_s
    assert max(abs(np.array(b.data, int)).max() for b in rig.audio) < 0.3 * loud
    assert not rig.node.set_parameters([Parameter('rate', value=9.0)])[0].successful
    rig.node.set_parameters([Parameter('rate', value=1.0), Parameter('volume', value=1.0)])


def test_what_was_prepared_is_silent_until_it_is_said_and_then_begins_at_once(rig):
    text = 'The battery is at eighty percent, and the kitchen is free.'
    made, used = rig.node._preparation.made, rig.node._preparation.used
    rig.prepare(text, epoch=3)
    rig.until(lambda: rig.told('prepared') == made + 1)
    assert not rig.progress and not rig.audio and rig.told('segments') >= 0
    rig.say(47, text, epoch=3)
    end = rig.end(47)
    assert (end.state, end.heard_chars) == (SpeechProgress.FINISHED, len(text))
    rig.until(lambda: rig.told('prepared_used') == used + 1)
    # It is used once; an interruption drops it.
    rig.prepare(text, epoch=3)
    rig.until(lambda: rig.told('prepared') == made + 2)
    rig.interrupt(Interrupt.ACTION_STOP, epoch=4)
    rig.until(lambda: rig.node._epoch == 4)
    rig.say(48, text, epoch=4)
    assert rig.end(48).state == SpeechProgress.FINISHED
    rig.prepare(text, epoch=3)    # too late
    rig.say(49, 'Yes.', epoch=4)
    rig.end(49)
    assert rig.told('prepared_used') == used + 1 and rig.node._preparation.made == made + 2


def test_the_wav_file_lies_on_the_clock_of_ros(rig, wav_path):
    rig.say(51, 'The last words.', epoch=4)
    started_ns = to_ns(rig.until(lambda: next(
        (p for p in rig.progress if p.state == SpeechProgress.STARTED), None)).stamp)
    finished_ns = to_ns(rig.end(51).stamp)
    rig.node.trigger_deactivate()
    with wave.open(str(wav_path)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(int)

    def loud_ns(pcm, first_ns):
        return first_ns + np.flatnonzero(abs(pcm) > 1000)[[0, -1]] * 1_000_000_000 // rate

    # A little more than the segment: what was said before it ended long ago.
    first = (started_ns - rig.wav_start_ns) * rate // 1_000_000_000 - rate // 20
    last = (finished_ns - rig.wav_start_ns) * rate // 1_000_000_000 + rate // 20
    in_file = loud_ns(samples[first:last], started_ns - 50_000_000)
    blocks = [(np.array(b.data, int), to_ns(b.stamp)) for b in rig.audio]
    audible = [loud_ns(pcm, ns) for pcm, ns in blocks if abs(pcm).max() > 1000]
    # Blocks are laid down without gaps, so a stamp may be off by some of them.
    assert abs(in_file[0] - audible[0][0]) < 50_000_000
    assert abs(in_file[1] - audible[-1][1]) < 50_000_000
    rig.node.trigger_activate()


def test_without_a_voice_every_segment_fails_with_the_remedy(tmp_path):
    rig = Rig(voice=str(tmp_path / 'none.onnx'))
    try:
        rig.say(1, 'Hello.')
        end = rig.end(1)
        assert (end.state, end.error_code) == (
            SpeechProgress.FAILED, SpeechProgress.ERROR_NO_VOICE)
        assert 'async-agent models get' in end.error_msg and end.heard_chars == 0
        status = rig.until(lambda: next(
            (s for a in rig.diagnostics for s in a.status
             if s.level == b'\x02' and s.name == rig.node.get_fully_qualified_name()[1:]), None))
        assert 'async-agent models get' in status.message
    finally:
        rig.close()


def test_a_loudspeaker_that_is_missing_fails_the_segment(tmp_path):
    pytest.importorskip('hibari')
    rig = Rig(voice='hibari', sinks=['device'], device='no such loudspeaker')
    try:
        rig.say(1, 'Hello.')
        end = rig.end(1)
        assert (end.state, end.error_code) == (SpeechProgress.FAILED, SpeechProgress.ERROR_SINK)
        assert 'libportaudio2' in end.error_msg or 'loudspeaker' in end.error_msg
    finally:
        rig.close()
