"""Audio and transcripts in the messages of other packages, where these are installed."""
from collections import namedtuple
import os
import subprocess
import sys
import threading
import time

from async_agent_ros import models
from async_agent_ros.msg import SpeechActivity, Transcript
from async_agent_ros.nodes import interop, qos
from async_agent_ros.nodes.asr import AsrNode
from async_agent_ros.speech.audio import RATE
from async_agent_ros.speech.person import Person
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data

HUMANS = '/humans/voices/anna/speech'


class Rig:
    """asr and a client on executors of their own."""

    count = 0

    def __init__(self, **parameters):
        Rig.count += 1
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=101 + os.getpid() % 100)
        self.node = AsrNode(
            namespace=f'foreign{Rig.count}', context=self.context, parameter_overrides=[
                Parameter(name, value=value) for name, value in parameters.items()])
        self.client = Node('client', namespace=f'foreign{Rig.count}', context=self.context)
        self.said, self.changed = [], threading.Condition()
        self.keep(SpeechActivity, 'speech_activity', qos.EVENT)
        self.keep(Transcript, 'transcript', qos.EVENT)
        self.node.trigger_configure()
        self.node.trigger_activate()
        self.executors = []
        for node in (self.node, self.client):
            executor = SingleThreadedExecutor(context=self.context)
            executor.add_node(node)
            self.executors.append(executor)
            threading.Thread(target=executor.spin, daemon=True).start()
        self.until(lambda: self.client.count_publishers('transcript'))

    def keep(self, kind, topic, profile):
        def take(message):
            with self.changed:
                self.said.append(message)
                self.changed.notify_all()
        self.client.create_subscription(kind, topic, take, profile)

    def of(self, kind):
        return [m for m in self.said if isinstance(m, kind)]

    def until(self, condition, timeout_s=20.0):
        deadline_s = time.monotonic() + timeout_s
        with self.changed:
            while not (result := condition()):
                assert time.monotonic() < deadline_s, 'nothing came in time'
                self.changed.wait(0.05)
            return result

    def close(self):
        for executor in self.executors:
            executor.shutdown(timeout_sec=5.0)
        self.node.trigger_shutdown()
        self.node.destroy_node()
        self.client.destroy_node()
        self.context.try_shutdown()


def test_another_recogniser_is_heard_as_the_agents_ears():
    hri = pytest.importorskip('hri_msgs.msg', reason='hri_msgs is not installed')
    rig = Rig(source='live_speech', live_speech_in=HUMANS)
    try:
        publisher = rig.client.create_publisher(hri.LiveSpeech, HUMANS, qos.EVENT)
        rig.until(publisher.get_subscription_count)
        for text in ('go to', 'go to the', 'go to the kitten'):
            publisher.publish(hri.LiveSpeech(incremental=text))
        publisher.publish(hri.LiveSpeech(final='Go to the kitchen.', confidence=0.9))
        rig.until(lambda: any(t.final for t in rig.of(Transcript)))
        first, last = rig.of(SpeechActivity)
        assert (first.state, last.state) == (SpeechActivity.STARTED, SpeechActivity.STOPPED)
        told = rig.of(Transcript)
        assert {t.utterance_id for t in told} == {first.utterance_id} == {last.utterance_id}
        assert [t.revision for t in told] == [0, 1, 2, 3]
        assert [t.text[:t.stable_chars] for t in told] == [
            '', 'go to', 'go to the', 'Go to the kitchen.']
        assert told[-1].confidence == pytest.approx(0.9) and told[-1].speech_end.sec > 0
    finally:
        rig.close()


def test_audio_of_audio_capture_is_heard_and_transcripts_go_out_as_live_speech():
    audio = pytest.importorskip('audio_common_msgs.msg', reason='audio_common_msgs is missing')
    hri = pytest.importorskip('hri_msgs.msg', reason='hri_msgs is not installed')
    pytest.importorskip('hibari')
    try:
        models.find('whisper-tiny.en')
    except models.ModelMissingError as error:
        pytest.skip(str(error))
    rig = Rig(source='audio_common', audio_topic='/mic', live_speech_out=HUMANS, threads=1)
    try:
        rig.keep(hri.LiveSpeech, HUMANS, qos.EVENT)
        publisher = rig.client.create_publisher(audio.AudioData, '/mic', qos_profile_sensor_data)
        rig.until(publisher.get_subscription_count)
        speech = np.concatenate([np.zeros(RATE // 5, np.int16), Person().say('Look around.'),
                                 np.zeros(RATE, np.int16)])
        for at in range(0, len(speech), 320):
            publisher.publish(audio.AudioData(data=speech[at:at + 320].tobytes()))
            threading.Event().wait(0.02)
        final = rig.until(lambda: next((m for m in rig.of(hri.LiveSpeech) if m.final), None))
        assert 'look around' in final.final.lower() and final.confidence > 0.3
    finally:
        rig.close()


@pytest.mark.parametrize('source, package', [
    ('audio_common', 'audio_common_msgs'), ('live_speech', 'hri_msgs')])
def test_a_package_that_is_not_installed_is_named(source, package):
    code = (f'import sys; sys.modules["{package}"] = None\n'
            'from async_agent_ros.nodes.asr import main\n'
            f'main(["--ros-args", "-p", "source:={source}", "-r", "__ns:=/foreign"])')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          timeout=60, env={**os.environ, 'ROS_DOMAIN_ID': '77'})
    assert done.returncode == 1
    assert f'ros-$ROS_DISTRO-{package.replace("_", "-")}' in done.stderr
    assert 'Traceback' not in done.stderr


Result = namedtuple('Result', 'incremental final confidence header language')


def test_an_utterance_whose_final_never_comes_ends_with_what_there_was(monkeypatch):
    monkeypatch.setattr(interop, 'FINAL_AFTER_S', 0.1)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=101 + os.getpid() % 100)
    node = Node('ears', context=context)
    told = []
    node.publish_activity = lambda message: told.append(message.state)
    node.publish_transcript = lambda m: told.append((m.text, m.final, m.stable_chars))
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        header = namedtuple('Header', 'stamp')(node.get_clock().now().to_msg())
        ears = interop.LiveSpeechEars(node)
        ears.hear(Result('come here', '', 0.0, header, 'en'))
        deadline_s = time.monotonic() + 20.0
        while len(told) < 4 and time.monotonic() < deadline_s:
            executor.spin_once(timeout_sec=0.1)
        assert told == ['started', ('come here', False, 0), 'stopped', ('come here', True, 9)]
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
