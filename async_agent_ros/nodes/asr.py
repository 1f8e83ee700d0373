"""
The robot's ears: audio becomes utterances, utterances become text.

One thread listens (speech/listening.py), one recognises (speech/recognition.py); this node loads,
wires and publishes.
"""
import os
import threading
from typing import Optional

import numpy as np
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from std_srvs.srv import Trigger

from async_agent_ros import models
from async_agent_ros.msg import Audio, SpeechActivity, Transcript
from async_agent_ros.speech import echo
from async_agent_ros.speech.audio import AudioError
from async_agent_ros.speech.devices import HUNG_S
from async_agent_ros.speech.listening import Listener
from async_agent_ros.speech.onset import EagerOnset
from async_agent_ros.speech.recognition import Job, RecognitionThread, Utterance
from async_agent_ros.speech.recognizer import make_recognizer, Recognizer, RecognizerError
from async_agent_ros.speech.reference import Reference
from async_agent_ros.speech.sources import AudioSource, DeviceSource, QueueSource, WavSource
from async_agent_ros.speech.streaming import Revision
from async_agent_ros.speech.vad import SileroVad
from . import asr_parameters, interop, node_base, qos

_SILENT_S = 5.0
"""Of digital silence, after which the microphone is said to be muted or unplugged."""


class AsrNode(node_base.CleanEnd, LifecycleNode):
    """Hears; does not decide what an utterance means."""

    def __init__(self, **options):
        super().__init__('asr', **options)
        asr_parameters.declare(self)
        self._recognizer: Optional[Recognizer] = None
        self._recognizer_error = ''
        self._source: Optional[AudioSource] = None
        self._source_error = ''
        self._silent = ''
        self._vad: Optional[SileroVad] = None
        self._vad_error = ''
        self._reader: Optional[threading.Thread] = None
        self._listener: Optional[Listener] = None
        self._recognition: Optional[RecognitionThread] = None
        self._echo: Optional[echo.EchoPath] = None
        self._echo_error = ''
        self._reference = Reference()
        self._stop = threading.Event()
        self._counts = {'utterances': 0, 'empty': 0, 'partials': 0}
        self._activity = self.create_publisher(
            SpeechActivity, 'speech_activity', qos.EVENT_ALIVE,
            qos_overriding_options=qos.OVERRIDABLE)
        self._transcript = self.create_publisher(
            Transcript, 'transcript', qos.EVENT, qos_overriding_options=qos.OVERRIDABLE)
        self._audio_sub = None
        self._foreign = interop.connect(self)
        if self._value('source') == 'topic':
            self._audio_sub = self.create_subscription(
                Audio, 'audio_in', self._on_audio, qos.AUDIO,
                qos_overriding_options=qos.OVERRIDABLE)
        # What the robot plays, as it becomes audible: the reference of the echo.
        self._played_sub = None
        if self._cancels() or self._value('eager'):
            self._played_sub = self.create_subscription(
                Audio, 'audio_out', self._on_played, qos.AUDIO,
                qos_overriding_options=qos.OVERRIDABLE)
        self._play = self.create_service(Trigger, '~/play', self._on_play)
        node_base.name_late_parameters(self, ())
        self._diagnostics = node_base.Diagnostics(self, self._status)

    def _value(self, name):
        return self.get_parameter(name).value

    def _now_ns(self) -> int:
        return node_base.now_ns(self)

    def _cancels(self) -> bool:
        return self._value('echo') != 'off' and self._value('source') != 'wav'

    # -- lifecycle -------------------------------------------------------------------------

    def on_configure(self, state) -> TransitionCallbackReturn:
        """Load the networks. What is missing is said; the rest works on."""
        self._vad_error = self._recognizer_error = ''
        if self._value('source') == 'live_speech':
            return TransitionCallbackReturn.SUCCESS    # somebody else hears
        try:
            self._vad = SileroVad()
            self._vad.load()
        except AudioError as error:
            self._vad, self._vad_error = None, str(error)
            self.get_logger().error(self._vad_error)
        try:
            recognizer = make_recognizer(
                self._value('model'), models.find, language=self._value('language'),
                device=self._value('compute_device'), threads=self._value('threads'))
            recognizer.load()
            self._recognizer = recognizer
            self.get_logger().info(f'recogniser: {recognizer.describe()}')
        except (RecognizerError, models.ModelMissingError) as error:
            self._recognizer, self._recognizer_error = None, str(error)
            self.get_logger().error(f'nothing can be recognised: {error}')
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state) -> TransitionCallbackReturn:
        """Begin to listen."""
        self._source = self._make_source()
        self._echo = self._make_echo()
        self._stop = threading.Event()
        self._recognition = RecognitionThread(
            self._recognizer, self._on_revision, self._on_recognition)
        self._recognition.start()
        if self._vad is not None:
            self._listener = Listener(
                asr_parameters.listen_settings(self), self._vad, self._recognition,
                clock=self._now_ns,
                echo=self._echo, on_started=self._on_started, on_stopped=self._on_stopped,
                on_source=self._on_source, on_read=self._watch_silence)
            self._reader = threading.Thread(
                target=self._listener.run, args=(self._source, self._stop), name='listening',
                daemon=True)
            self._reader.start()
        return super().on_activate(state)

    def on_deactivate(self, state) -> TransitionCallbackReturn:
        """Stop listening; an utterance that is open ends and gets its transcript."""
        self._halt()
        return super().on_deactivate(state)

    def on_cleanup(self, state) -> TransitionCallbackReturn:
        """Free the networks."""
        self._free()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state) -> TransitionCallbackReturn:
        """Stop listening and free everything."""
        self._halt()
        self._free()
        return TransitionCallbackReturn.SUCCESS

    def _halt(self):
        if self._source is None:
            return
        self._stop.set()
        self._source.close()
        if self._reader is not None:
            self._reader.join(timeout=3.0)
        self._recognition.stop()
        if self._echo is not None:
            self._echo.close()
        self._source = self._reader = self._listener = self._recognition = self._echo = None

    def _free(self):
        if self._recognizer is not None:
            self._recognizer.close()
        self._recognizer = self._vad = None

    def _make_source(self) -> AudioSource:
        source = self._value('source')
        if source in ('topic', 'audio_common', 'live_speech'):
            return QueueSource(clock=self._now_ns)
        if source == 'wav':
            return WavSource(self._value('wav_file'), clock=self._now_ns,
                             play_at_start=self._value('wav_at_start'))
        return DeviceSource(self._value('device'), clock=self._now_ns)

    def _make_echo(self) -> Optional[echo.EchoPath]:
        self._echo_error = ''
        kind = self._value('echo') if self._cancels() else 'off'
        eager = EagerOnset() if self._value('eager') else None
        if kind == 'off' and eager is None:
            return None
        try:
            canceller = echo.make_canceller(kind)
        except AudioError as error:
            self._echo_error = f'{error}. Until then its voice is muted'
            self.get_logger().error(self._echo_error)
            canceller = echo.make_canceller('gate')
        return echo.EchoPath(canceller, self._reference, eager)

    # -- callbacks -------------------------------------------------------------------------

    def _on_audio(self, message: Audio):
        self.hear(np.frombuffer(message.data, np.int16), message.sample_rate, message.channels,
                  message.first_sample, node_base.to_ns(message.stamp), 'audio_in')

    def hear(self, samples: np.ndarray, rate: int, channels: int, first_sample: int,
             stamp_ns: int, topic: str) -> None:
        """Take a block of interleaved int16 that came on a topic."""
        source = self._source
        if not isinstance(source, QueueSource):
            return
        try:
            source.push(samples, rate=rate, channels=channels, first_sample=first_sample,
                        stamp_ns=stamp_ns)
            self._source_error = ''
        except AudioError as error:
            self._on_source(f'block on {topic} dropped: {error}')
        if source.skewed:
            self.get_logger().warning(
                f'the stamps of {topic} are more than 2 s off: times of arrival are used. '
                'Synchronise the clocks (chrony), or stamp with ROS time.',
                throttle_duration_sec=30.0)

    def _on_played(self, message: Audio):
        try:
            self._reference.add(
                np.frombuffer(message.data, np.int16), rate=message.sample_rate,
                first_sample=message.first_sample, stamp_ns=node_base.to_ns(message.stamp))
        except AudioError as error:
            self.get_logger().error(f'block on {self._played_sub.topic_name} dropped: {error}',
                                    throttle_duration_sec=30.0)

    def _on_play(self, request, response):
        if isinstance(self._source, WavSource) and not self._source_error:
            self._source.play()
            response.success, response.message = True, f"plays {self._value('wav_file')}"
        else:
            response.message = self._source_error or (
                'there is no file to play: set the parameter `source` to wav and `wav_file` to a '
                'WAV file, and activate the node')
        return response

    # -- what is heard: called from the threads that listen and recognise ------------------

    def _on_source(self, message: str):
        if message and message != self._source_error:
            self.get_logger().error(message)
        elif self._source_error and not message:
            self.get_logger().info('the audio source is open again')
        self._source_error = message

    def _watch_silence(self):
        source = self._source
        silent = isinstance(source, DeviceSource) and source.silent_s > _SILENT_S
        if silent and not self._silent:
            name = self._value('device') or 'default'
            self._silent = (f"microphone '{name}' delivers digital silence: is it muted or "
                            'unplugged? Speech is heard again as soon as it is back.')
            self.get_logger().warning(self._silent)
        elif not silent and self._silent:
            self._silent = ''
            self.get_logger().info('the microphone delivers sound again')

    def _on_started(self, utterance: Utterance, probability: float):
        self._counts['utterances'] += 1
        self._publish_activity(utterance, SpeechActivity.STARTED, 0, probability)

    def _on_stopped(self, utterance: Utterance, end_ns: int, probability: float):
        self._publish_activity(utterance, SpeechActivity.STOPPED, end_ns, probability)

    def _publish_activity(self, utterance, state, end_ns, probability):
        self.publish_activity(SpeechActivity(
            utterance_id=utterance.utterance_id, state=state,
            onset=node_base.to_time(utterance.onset_ns), end=node_base.to_time(end_ns),
            probability=float(probability)))

    def publish_activity(self, message: SpeechActivity) -> None:
        """Tell that speech begins or has ended."""
        message.stamp = node_base.to_time(self._now_ns())
        self._activity.publish(message)

    def publish_transcript(self, message: Transcript) -> None:
        """Tell what was understood."""
        message.stamp = node_base.to_time(self._now_ns())
        self._transcript.publish(message)
        if self._foreign is not None:
            self._foreign.told(message)

    def _on_revision(self, job: Job, revision: Revision):
        utterance = job.utterance
        if not job.final:
            self._counts['partials'] += 1
        elif not revision.text:
            self._counts['empty'] += 1
            if revision.rejected:
                self.get_logger().info(f'utterance {utterance.utterance_id}: nothing '
                                       f'understood ({revision.rejected})')
        self.publish_transcript(Transcript(
            utterance_id=utterance.utterance_id, revision=utterance.revisions, final=job.final,
            text=revision.text, stable_chars=revision.stable_chars,
            confidence=float(revision.confidence), language=revision.language,
            speech_start=node_base.to_time(utterance.onset_ns),
            speech_end=node_base.to_time(job.speech_end_ns)))

    def _on_recognition(self, error: str):
        if error:
            self.get_logger().error(error)
        if self._recognizer is not None:
            self._recognizer_error = error

    # -- diagnostics -----------------------------------------------------------------------

    def _give_up(self):
        """End the process: nothing else frees it from a sound library that hangs."""
        message = ("microphone '" + (self._value('device') or 'default') + "' hangs: the sound "
                   'server is gone. This node ends; its supervisor starts it again.')
        self.get_logger().fatal(message)
        os._exit(1)

    def _status(self):
        if isinstance(self._source, DeviceSource) and self._source.watch.hung_s > HUNG_S:
            self._give_up()
        recognition, listener = self._recognition, self._listener
        values = dict(
            self._counts, source=self._value('source'),
            recognizer=self._recognizer.describe() if self._recognizer else 'none',
            last_recognition_ms=f'{recognition.last_s * 1e3:.0f}' if recognition else 'none',
            partials_skipped=recognition.skipped if recognition else 0,
            false_onsets=listener.false_onsets if listener else 0,
            echo=self._echo.name if self._echo else 'off')
        if isinstance(self._source, QueueSource):
            values['lost_samples'] = self._source.lost_samples
        elif isinstance(self._source, DeviceSource):
            values['overflows'] = self._source.overflows
        problems = [p for p in (self._source_error, self._vad_error, self._recognizer_error,
                                self._echo_error) if p]
        if problems:
            return node_base.ERROR, '; '.join(problems), values
        if self._source is None:
            return node_base.WARN, 'not active', values
        if self._silent:
            return node_base.WARN, self._silent, values
        hears = listener is not None and listener.utterance is not None
        return node_base.OK, 'hears speech' if hears else 'listening', values


def main(args=None):
    """Run the node until SIGINT or SIGTERM."""
    node_base.run_node(AsrNode, args)


if __name__ == '__main__':
    main()
