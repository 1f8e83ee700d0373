"""Microphone and loudspeaker of the nodes, on sound devices of a PipeWire graph of their own."""
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from async_agent_ros import models
from async_agent_ros.msg import Audio, Interrupt, Say, SpeechProgress, Transcript
from async_agent_ros.nodes import qos
from async_agent_ros.nodes.node_base import to_ns
from async_agent_ros.speech.audio import RATE
from async_agent_ros.speech.person import Person
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
import sound_graph

pytestmark = pytest.mark.skipif(
    bool(sound_graph.missing()), reason=f'not installed: {sound_graph.missing()}')

SENTENCE = 'Bring the red cup to the kitchen.'
LONG = 'I am on my way to the kitchen, and I will tell you as soon as I am there with the cup.'
MS = 1_000_000


class Rig:
    """Both nodes as processes on the virtual devices, and a client."""

    def __init__(self, graph):
        self.graph = graph
        # The models lie in the real home folder.
        graph.env['ASYNC_AGENT_MODELS'] = str(models.root())
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.client = rclpy.create_node('dialog_manager', namespace='/devices',
                                        context=self.context)
        self.progress, self.audio, self.transcripts, self.statuses = [], [], [], {}
        self.changed = threading.Condition()
        for kind, topic, profile, keep in (
                (SpeechProgress, 'speech_progress', qos.EVENT, self.progress.append),
                (Audio, 'audio_out', qos.AUDIO, self.audio.append),
                (Transcript, 'transcript', qos.EVENT, self._keep_final),
                (DiagnosticArray, '/diagnostics', 100, self._keep_status)):
            self.client.create_subscription(kind, topic, self._keeper(keep), profile)
        self.say_pub = self.client.create_publisher(Say, 'say', qos.COMMAND)
        self.interrupt_pub = self.client.create_publisher(Interrupt, 'interrupt', qos.COMMAND)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.client)
        self.stop = threading.Event()
        self.spinner = threading.Thread(target=self._spin)
        self.spinner.start()
        self.processes = {}
        self.number = 0

    def _spin(self):
        while not self.stop.is_set():
            self.executor.spin_once(timeout_sec=0.1)

    def _keeper(self, keep):
        def take(message):
            with self.changed:
                keep(message)
                self.changed.notify_all()
        return take

    def _keep_final(self, message):
        if message.final:
            self.transcripts.append(message)

    def _keep_status(self, message):
        for status in message.status:
            self.statuses[status.name.rsplit('/')[-1]] = status

    def node(self, name, **parameters):
        options = [o for key, value in parameters.items() for o in ('-p', f'{key}:={value}')]
        self.processes[name] = self.graph.start(
            [sys.executable, '-m', f'async_agent_ros.nodes.{name}', '--ros-args', '-r',
             '__ns:=/devices', *options], name)

    def until(self, condition, timeout_s=20.0, what='nothing came in time'):
        with self.changed:
            assert self.changed.wait_for(condition, timeout_s), what() if callable(what) else what
            return condition()

    def says(self, node, *parts):
        status = self.statuses.get(node)
        return status is not None and all(p in status.message for p in parts)

    def say(self, text, epoch=0):
        self.number += 1
        self.say_pub.publish(Say(segment_id=self.number, generation_id=1, epoch=epoch, text=text,
                                 interruptible=True))
        return self.number

    def report(self, number, state, timeout_s=15.0):
        def found():
            return next((p for p in self.progress
                         if p.segment_id == number and p.state == state), None)
        return self.until(found, timeout_s, f'no {state}')

    def close(self):
        for process in self.processes.values():
            sound_graph.end(process)
        self.stop.set()
        self.spinner.join()
        self.executor.shutdown()
        self.client.destroy_node()
        self.context.try_shutdown()


@pytest.fixture(scope='module')
def rig():
    folder = Path(tempfile.mkdtemp(prefix='sound'))    # short: the path of a socket is limited
    graph = sound_graph.SoundGraph(folder)
    rig = Rig(graph)
    try:
        rig.node('asr', source='device', device='mic', model='whisper-tiny.en')
        rig.node('tts', sinks='[device]', device='spk')
        rig.until(lambda: rig.says('asr', 'listening') and rig.says('tts', 'ready')
                  and rig.say_pub.get_subscription_count()
                  and rig.interrupt_pub.get_subscription_count(), 60.0,
                  lambda: ''.join(f'\n{p.name}: {p.read_text()[-2000:]}'
                                  for p in folder.glob('*.log')))
        yield rig
    finally:
        rig.close()
        graph.close()
        shutil.rmtree(folder)


@pytest.fixture
def recorder(rig):
    recorder = sound_graph.Recorder(rig.graph)
    yield recorder
    recorder.close()


@pytest.fixture(scope='module')
def speech():
    return Person().say(SENTENCE)


def hear(rig, speech):
    before = len(rig.transcripts)
    rig.graph.play(np.concatenate([speech, np.zeros(RATE // 2, np.int16)]), RATE)
    return rig.until(lambda: rig.transcripts[before:])[0]


def likeness(piece, heard):
    """Return how well the best matching stretch of `heard` correlates, 0 to 1."""
    size = len(piece) + len(heard)
    match = np.fft.irfft(np.fft.rfft(heard, size) * np.fft.rfft(piece, size).conj(), size)
    at = int(match[:len(heard) - len(piece)].argmax())
    stretch = heard[at:at + len(piece)].astype(float)
    return match[at] / (np.linalg.norm(piece) * np.linalg.norm(stretch) + 1.0)


def test_what_is_said_into_the_microphone_is_recognised(rig, speech):
    transcript = hear(rig, speech)
    assert 'bring' in transcript.text.lower() and 'kitchen' in transcript.text
    length_s = (to_ns(transcript.speech_end) - to_ns(transcript.speech_start)) / 1e9
    loud = np.flatnonzero(np.abs(speech.astype(int)) > 1000)
    assert length_s == pytest.approx((loud[-1] - loud[0]) / RATE, abs=0.4)


def test_the_loudspeaker_plays_what_is_reported(rig, recorder):
    since_ns = time.time_ns()
    number = rig.say('I have the red cup.')
    finished = rig.report(number, SpeechProgress.FINISHED)
    recorder.wait(lambda: recorder.until_ns > to_ns(finished.stamp) + 200 * MS)
    first_ns, last_ns = recorder.loud(since_ns)
    # The voice begins and ends with near silence.
    assert -50 < (first_ns - to_ns(rig.report(number, 'started').stamp)) / MS < 600
    assert -500 < (last_ns - to_ns(finished.stamp)) / MS < 100
    blocks = sorted(rig.audio, key=lambda b: b.first_sample)
    sent = np.concatenate([np.frombuffer(b.data, np.int16) for b in blocks]).astype(float)
    _, heard = recorder.since(since_ns)
    sent = np.interp(np.arange(0, len(sent), blocks[0].sample_rate / sound_graph.RATE),
                     np.arange(len(sent)), sent)
    # Piece by piece: on a busy machine the device may run dry in between.
    size = sound_graph.RATE // 10
    pieces = [p for p in np.split(sent[:len(sent) // size * size], len(sent) // size)
              if np.abs(p).max() > 2000]
    alike = sorted(likeness(p, heard) for p in pieces)
    assert len(alike) >= 4 and alike[-2] > 0.9 and np.median(alike) > 0.6


def test_an_interruption_is_silence_at_the_loudspeaker(rig, recorder):
    number = rig.say(LONG)
    rig.until(lambda: any(p.segment_id == number and p.played_s > 0.8 for p in rig.progress))
    pause_ns = time.time_ns()
    rig.interrupt_pub.publish(Interrupt(action=Interrupt.ACTION_PAUSE))
    paused = rig.report(number, SpeechProgress.PAUSED)
    recorder.wait(lambda: recorder.until_ns > pause_ns + 500 * MS)
    assert recorder.loud(pause_ns + 250 * MS) is None
    resume_ns = time.time_ns()
    rig.interrupt_pub.publish(Interrupt(action=Interrupt.ACTION_RESUME))
    recorder.wait(lambda: recorder.loud(resume_ns))
    rig.until(lambda: rig.progress[-1].played_s > paused.played_s + 0.3)
    stop_ns = time.time_ns()
    rig.interrupt_pub.publish(Interrupt(action=Interrupt.ACTION_STOP, epoch=1))
    stopped = rig.report(number, SpeechProgress.STOPPED)
    recorder.wait(lambda: recorder.until_ns > stop_ns + 500 * MS)
    assert recorder.loud(stop_ns + 250 * MS) is None
    assert paused.played_s < stopped.played_s < 6.0
    assert 0 < stopped.heard_chars < len(LONG)
    # The device is there again for the next sentence.
    rig.report(rig.say('Fine.', epoch=1), SpeechProgress.FINISHED)


def test_an_unplugged_microphone_is_said_and_comes_back(rig, speech):
    rig.graph.unplug('mic')
    rig.until(lambda: rig.says('asr', "'mic'", 'unplugged'), what='nothing is said')
    rig.graph.plug('mic')
    assert 'kitchen' in hear(rig, speech).text


@pytest.mark.parametrize('kind, device, rate', [('source', 'mic48', 48_000),
                                                ('sink', 'spk48', 48_000)])
def test_a_device_with_one_rate_is_used_at_that_rate(rig, kind, device, rate):
    code = {
        'source': "s = DeviceSource('mic48'); s.open(); b = s.read(5); n = 320",
        'sink': "p = Playback(22050); s = DeviceSink(p, print, print, name='spk48'); s.open(); "
                'b = None; n = 0; assert p.rate == 48000'}[kind]
    code = (f'from async_agent_ros.speech.{kind}s import *\n{code}\n'
            f'assert s._stream.samplerate == {rate}\n'
            'assert b is None or (b.rate == 16000 and 0 <= len(b.samples) <= n)\ns.close()')
    assert rig.graph.start([sys.executable, '-c', code], device).wait(timeout=20) == 0


def test_an_unknown_device_is_refused_with_those_that_exist(rig):
    code = ("from async_agent_ros.speech.sources import *\ntry:\n  DeviceSource('nosuch').open()\n"
            "except AudioError as e:\n  assert 'nosuch' in str(e) and \"'mic'\" in str(e), e\n"
            'else:\n  raise SystemExit(1)')
    assert rig.graph.start([sys.executable, '-c', code], 'unknown').wait(timeout=20) == 0


def test_the_sound_system_of_the_machine_is_left_alone(rig):
    assert rig.graph.env['XDG_RUNTIME_DIR'] != os.environ.get('XDG_RUNTIME_DIR')
    assert rig.graph.env['HOME'] != os.environ.get('HOME')


def test_a_sound_server_that_dies_is_said(rig):
    """The last: the graph is gone afterwards."""
    rig.graph.stop_server()
    number = rig.say('Nobody hears this.', epoch=1)
    failed = rig.report(number, SpeechProgress.FAILED, 25.0)
    assert failed.error_code == SpeechProgress.ERROR_SINK and "'spk'" in failed.error_msg
    rig.until(lambda: rig.says('asr', 'microphone'), what='asr says nothing')
