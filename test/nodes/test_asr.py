"""The asr node over real DDS: a person speaks on a topic or in a file, text comes out."""
import os
import re
import threading
import time

from async_agent_ros import models
from async_agent_ros.msg import Audio, SpeechActivity, Transcript
from async_agent_ros.nodes import qos
from async_agent_ros.nodes.asr import AsrNode
from async_agent_ros.nodes.node_base import to_ns, to_time
from async_agent_ros.speech.audio import RATE, resample
from async_agent_ros.speech.person import Person, write_wav
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger


class Rig:
    """The node on its own executor, and a client on another, as if in two processes."""

    count = 0

    def __init__(self, **parameters):
        Rig.count += 1
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=1 + os.getpid() % 100)
        namespace = f'agent{Rig.count}'
        parameters = {'model': 'whisper-tiny.en', **parameters}
        self.node = AsrNode(
            namespace=namespace, context=self.context, parameter_overrides=[
                Parameter(name, value=value) for name, value in parameters.items()])
        self.client = Node('client', namespace=namespace, context=self.context)
        self.activity, self.revisions, self.diagnostics = [], [], []
        self.changed = threading.Condition()
        for kind, topic, profile, store in (
                (SpeechActivity, 'speech_activity', qos.EVENT, self.activity),
                (Transcript, 'transcript', qos.EVENT, self.revisions),
                (DiagnosticArray, '/diagnostics', 10, self.diagnostics)):
            self.client.create_subscription(kind, topic, self._keep(store), profile)
        self.played_pub = self.client.create_publisher(Audio, 'audio_out', qos.AUDIO)
        self.audio_pub = self.client.create_publisher(Audio, 'audio_in', qos.AUDIO)
        self.play = self.client.create_client(Trigger, 'asr/play')
        self.node.trigger_configure()
        self.node.trigger_activate()
        self.executors = []
        for node in (self.node, self.client):
            executor = SingleThreadedExecutor(context=self.context)
            executor.add_node(node)
            self.executors.append(executor)
            threading.Thread(target=executor.spin, daemon=True).start()
        self.until(lambda: self.client.count_publishers('transcript')
                   and self.play.service_is_ready() and self.status() is not None)
        if parameters.get('source') == 'topic':
            self.until(lambda: self.audio_pub.get_subscription_count()
                       and self.played_pub.get_subscription_count())
        self.sent = 0

    @property
    def transcripts(self):
        return [t for t in self.revisions if t.final]

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

    def status(self):
        name = self.node.get_fully_qualified_name()[1:]
        return next((s for a in reversed(self.diagnostics) for s in a.status if s.name == name),
                    None)

    def publish(self, samples, rate=RATE, drop=(), pace=1.0, robot=None):
        """
        Send blocks of 20 ms as a microphone would; returns the ROS time of the first sample.

        `robot`: what the robot plays meanwhile, at the same rate.
        """
        start_ns = self.client.get_clock().now().nanoseconds
        start_s, size = time.monotonic(), rate // 50
        for number, at in enumerate(range(0, len(samples), size)):
            block = samples[at:at + size]
            wait_s = start_s + pace * (at + size) / rate - time.monotonic()
            if wait_s > 0:
                threading.Event().wait(wait_s)
            if robot is not None:
                message = Audio(stamp=to_time(start_ns + at * 1_000_000_000 // rate),
                                first_sample=at, sample_rate=rate, channels=1)
                message.data.frombytes(robot[at:at + size].tobytes())
                self.played_pub.publish(message)
            if number not in drop:
                message = Audio(stamp=to_time(start_ns + at * 1_000_000_000 // rate),
                                first_sample=self.sent, sample_rate=rate, channels=1)
                message.data.frombytes(block.tobytes())
                self.audio_pub.publish(message)
            self.sent += len(block)
        return start_ns

    def close(self):
        for executor in self.executors:
            executor.shutdown(timeout_sec=5.0)
        self.node.trigger_shutdown()
        self.node.destroy_node()
        self.client.destroy_node()
        self.context.try_shutdown()


def plain(text):
    return re.sub(r'[^a-z0-9 ]', '', text.lower())


def silence(seconds, rate=RATE):
    return np.zeros(int(seconds * rate), np.int16)


@pytest.fixture(scope='module')
def person():
    pytest.importorskip('hibari')
    try:
        models.find('whisper-tiny.en')
    except models.ModelMissingError as error:
        pytest.skip(str(error))
    return Person()


@pytest.fixture(scope='module')
def topic_rig(person):
    rig = Rig(source='topic')
    yield rig
    rig.close()


@pytest.fixture
def rig(topic_rig):
    for store in (topic_rig.activity, topic_rig.revisions):
        store.clear()
    return topic_rig


def test_speech_on_a_topic_becomes_revisions_and_one_final_transcript(rig, person):
    speech = person.say('Drive to the kitchen and look for the red cup.')
    audible = np.flatnonzero(abs(speech) > 300)
    start_ns = rig.publish(np.concatenate([silence(0.5), speech, silence(1.2)]))
    rig.until(lambda: rig.transcripts)
    started, stopped = rig.activity
    transcript, = rig.transcripts
    assert (started.state, stopped.state) == (SpeechActivity.STARTED, SpeechActivity.STOPPED)
    assert started.utterance_id == stopped.utterance_id == transcript.utterance_id
    assert transcript.final and transcript.stable_chars == len(transcript.text)
    assert plain(transcript.text).startswith('drive to the kitchen and look for the red')
    assert transcript.language == 'en' and transcript.confidence > 0.5
    *parts, last = rig.revisions
    assert last is transcript and parts and not any(p.final for p in parts)
    assert [r.revision for r in rig.revisions] == list(range(len(rig.revisions)))
    assert to_ns(parts[0].stamp) < to_ns(stopped.end) and to_ns(parts[0].speech_end) == 0
    for part in parts:
        assert part.utterance_id == transcript.utterance_id
        assert transcript.text.startswith(part.text[:part.stable_chars])
    assert parts[-1].stable_chars > 0
    onset_s = (to_ns(started.onset) - start_ns) / 1e9
    end_s = (to_ns(stopped.end) - start_ns) / 1e9
    assert onset_s == pytest.approx(0.5 + audible[0] / RATE, abs=0.15)
    assert end_s == pytest.approx(0.5 + audible[-1] / RATE, abs=0.15)
    assert to_ns(transcript.speech_end) == to_ns(stopped.end)
    assert to_ns(transcript.speech_start) == to_ns(started.onset)


def test_the_robot_does_not_hear_itself_but_a_person_over_it(rig, person):
    robot = person.say('I am on my way to the kitchen, I look for the red cup, and then I come '
                       'back to you with it.')
    speech = person.say('Stop, wait a moment.')
    robot = np.concatenate([robot, robot])[:6 * RATE]
    mic = np.concatenate([silence(0.08), robot])[:len(robot)] * 0.15
    mic += np.random.default_rng(0).normal(0, 15, len(mic))
    at = 4 * RATE
    mic[at:at + len(speech)] += speech
    start_ns = rig.publish(mic.astype(np.int16), robot=robot)
    rig.publish(silence(1.5))
    rig.until(lambda: rig.transcripts)
    onset_s = (to_ns(rig.activity[0].onset) - start_ns) / 1e9
    assert 3.9 < onset_s < 5.0, 'it heard itself'
    assert not {'kitchen', 'red', 'cup'} & set(plain(rig.transcripts[0].text).split())


def test_lost_blocks_and_another_rate_are_understood(rig, person):
    speech = np.concatenate([silence(0.3), person.say('What is your battery level?'),
                             silence(1.2)])
    speech = resample(speech, RATE, 48_000)
    rig.publish(speech, rate=48_000, drop=(20, 55, 56))
    rig.until(lambda: rig.transcripts)
    assert 'battery' in plain(rig.transcripts[0].text)
    assert len(rig.transcripts) == 1


def test_a_stream_that_falls_silent_ends_the_utterance(rig, person):
    rig.publish(np.concatenate([silence(0.2), person.say('Come back.')]))
    rig.until(lambda: rig.transcripts)
    assert [a.state for a in rig.activity] == [SpeechActivity.STARTED, SpeechActivity.STOPPED]
    assert plain(rig.transcripts[0].text) == 'come back'


def test_noise_is_no_utterance_or_an_empty_one(rig):
    noise = np.random.default_rng(0).normal(0, 500, 2 * RATE).astype(np.int16)
    rig.publish(np.concatenate([noise, silence(1.0)]))
    rig.until(lambda: len(rig.activity) == 2 * len(rig.transcripts))
    assert all(t.text == '' for t in rig.transcripts)


def test_deactivation_in_the_middle_still_gives_the_transcript(rig, person):
    rig.publish(np.concatenate([silence(0.2), person.say('Please wait for me.')]))
    rig.until(lambda: rig.activity)
    rig.node.trigger_deactivate()
    rig.until(lambda: rig.transcripts)
    assert [a.state for a in rig.activity] == [SpeechActivity.STARTED, SpeechActivity.STOPPED]
    rig.node.trigger_activate()


def test_blocks_that_are_no_audio_are_said_on_diagnostics(rig):
    rig.audio_pub.publish(Audio(sample_rate=0, channels=1, data=[1, 2]))
    rig.until(lambda: rig.status().level == b'\x02')
    assert 'Audio.sample_rate is 0' in rig.status().message
    rig.publish(silence(0.1))
    rig.until(lambda: rig.status().level == b'\x00')


def test_a_file_is_heard_on_request(person, tmp_path):
    path = tmp_path / 'speech.wav'
    write_wav(path, np.concatenate([silence(0.2), person.say('Look around.')]))
    rig = Rig(source='wav', wav_file=str(path), wav_at_start=False)
    try:
        response = rig.play.call(Trigger.Request(), timeout_sec=10.0)
        assert response.success
        rig.until(lambda: rig.transcripts)
        assert plain(rig.transcripts[0].text) == 'look around'
    finally:
        rig.close()


@pytest.mark.parametrize('parameters, said', [
    ({'source': 'wav', 'wav_file': '/nowhere/speech.wav'}, "'/nowhere/speech.wav' does not exist"),
    ({'source': 'device', 'device': 'no such microphone'},
     'libportaudio2|no microphone|There are:'),
    ({'source': 'topic', 'model': '/nowhere/model'}, 'async-agent models get whisper')])
def test_what_is_missing_is_said_with_the_remedy(parameters, said):
    rig = Rig(**parameters)
    try:
        rig.until(lambda: rig.status().level == b'\x02')
        assert re.search(said, rig.status().message)
        if parameters['source'] == 'wav':
            assert not rig.play.call(Trigger.Request(), timeout_sec=10.0).success
    finally:
        rig.close()


def test_without_a_recogniser_each_utterance_still_gets_its_empty_final(person):
    rig = Rig(source='topic', model='/nowhere/model')
    try:
        rig.publish(np.concatenate([silence(0.2), person.say('Hello.'), silence(1.0)]))
        rig.until(lambda: rig.transcripts)
        assert rig.transcripts[0].final and rig.transcripts[0].text == ''
    finally:
        rig.close()
