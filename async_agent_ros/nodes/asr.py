"""
The robot's ears: audio becomes utterances, utterances become text.

One thread reads the source and watches for speech, one recognises. Recognition begins in a short
silence already; when the speech does not go on, the text is there as soon as the end is declared.
"""
import os
import queue
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Optional

import numpy as np
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from std_srvs.srv import Trigger

from async_agent_ros import models
from async_agent_ros.msg import Audio, SpeechActivity, Transcript
from async_agent_ros.speech.audio import AudioError, RATE
from async_agent_ros.speech.devices import HUNG_S
from async_agent_ros.speech.recognizer import make_recognizer, Recognition, Recognizer
from async_agent_ros.speech.recognizer import RecognizerError
from async_agent_ros.speech.sources import AudioSource, DeviceSource, QueueSource, WavSource
from async_agent_ros.speech.vad import Lull, Offset, Onset, SileroVad, SpeechDetector, VadSettings
from . import node_base, qos

SOURCES = ('device', 'topic', 'wav')
_RETRY_S = 2.0
_SILENT_S = 5.0
"""Of digital silence, after which the microphone is said to be muted or unplugged."""


@dataclass
class _Utterance:
    utterance_id: str
    onset_ns: int
    lull: Optional['_Job'] = None


@dataclass
class _Job:
    """Audio to recognise. A job that is not final may turn out to be too early."""

    utterance: _Utterance
    onset: int
    end: int
    samples: np.ndarray
    end_ns: int = 0
    final: bool = False
    cancelled: bool = False
    result: Optional[Recognition] = field(default=None, compare=False)


class AsrNode(LifecycleNode):
    """Hears; does not decide what an utterance means."""

    def __init__(self, **options):
        super().__init__('asr', **options)
        declare = self._declare
        vad = VadSettings()
        declare('autostart', True, 'configure and activate at start')
        declare('source', 'device', 'where speech comes from', choices=SOURCES)
        declare('device', '', "source device: part of the microphone's name or its index, '' the "
                'default')
        declare('wav_file', '', 'source wav: file that is heard, at the pace of real time')
        declare('wav_at_start', True, 'source wav: play on activation, not only on ~/play')
        declare('model', 'whisper-tiny.en',
                "recogniser: a model's name or a folder (CTranslate2)")
        declare('language', 'en', 'language that is spoken, BCP 47')
        declare('compute_device', 'auto', 'where the recogniser runs',
                choices=('auto', 'cpu', 'cuda'))
        declare('threads', 2, 'threads of the recogniser', minimum=1, maximum=64)
        declare('onset_threshold', vad.onset_threshold,
                'probability from which on a frame is speech', minimum=0.05, maximum=0.99)
        declare('offset_threshold', vad.offset_threshold,
                'probability below which a frame is silence', minimum=0.01, maximum=0.95)
        declare('min_speech_s', vad.min_speech_s, 'shorter sounds start no utterance',
                minimum=0.032, maximum=2.0)
        declare('end_silence_s', vad.end_silence_s, 'silence that ends an utterance',
                minimum=0.1, maximum=5.0)
        declare('early_recognition', True, 'recognise in the silence before the end is declared')
        declare('pre_roll_s', vad.pre_roll_s, 'audio before the onset that is recognised too',
                minimum=0.0, maximum=2.0)
        declare('max_utterance_s', vad.max_utterance_s, 'longer speech is split',
                minimum=2.0, maximum=300.0)
        self._recognizer: Optional[Recognizer] = None
        self._recognizer_error = ''
        self._source: Optional[AudioSource] = None
        self._source_error = ''
        self._silent = ''
        self._vad: Optional[SileroVad] = None
        self._vad_error = ''
        self._reader: Optional[threading.Thread] = None
        self._worker: Optional[threading.Thread] = None
        self._stop = threading.Event()
        self._jobs: 'queue.SimpleQueue[Optional[_Job]]' = queue.SimpleQueue()
        self._utterance: Optional[_Utterance] = None
        self._prefix, self._number = uuid.uuid4().hex[:6], 0
        self._counts = {'utterances': 0, 'empty': 0}
        self._last_ms = -1.0
        self._activity = self.create_publisher(
            SpeechActivity, 'speech_activity', qos.EVENT_ALIVE,
            qos_overriding_options=qos.OVERRIDABLE)
        self._transcript = self.create_publisher(
            Transcript, 'transcript', qos.EVENT, qos_overriding_options=qos.OVERRIDABLE)
        self._audio_sub = None
        if self._value('source') == 'topic':
            self._audio_sub = self.create_subscription(
                Audio, 'audio_in', self._on_audio, qos.AUDIO,
                qos_overriding_options=qos.OVERRIDABLE)
        self._play = self.create_service(Trigger, '~/play', self._on_play)
        self._diagnostics = node_base.Diagnostics(self, self._status)

    def _declare(self, name, default, description, **limits):
        node_base.declare(self, name, default, description, **limits)

    def _value(self, name):
        return self.get_parameter(name).value

    def _now_ns(self) -> int:
        return node_base.now_ns(self)

    # -- lifecycle -------------------------------------------------------------------------

    def on_configure(self, state) -> TransitionCallbackReturn:
        """Load the networks. What is missing is said; the rest works on."""
        self._vad_error = self._recognizer_error = ''
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
        self._stop = threading.Event()
        self._jobs = queue.SimpleQueue()
        self._worker = threading.Thread(
            target=self._recognise, args=(self._jobs,), name='recognition', daemon=True)
        self._worker.start()
        if self._vad is not None:
            self._reader = threading.Thread(
                target=self._listen, args=(self._source, self._stop), name='listening',
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
        self._jobs.put(None)
        self._worker.join(timeout=5.0)
        self._source = self._reader = self._worker = None

    def _free(self):
        if self._recognizer is not None:
            self._recognizer.close()
        self._recognizer = self._vad = None

    def _make_source(self) -> AudioSource:
        source = self._value('source')
        if source == 'topic':
            return QueueSource(clock=self._now_ns)
        if source == 'wav':
            return WavSource(self._value('wav_file'), clock=self._now_ns,
                             play_at_start=self._value('wav_at_start'))
        return DeviceSource(self._value('device'), clock=self._now_ns)

    # -- callbacks -------------------------------------------------------------------------

    def _on_audio(self, message: Audio):
        source = self._source
        if not isinstance(source, QueueSource):
            return
        try:
            source.push(
                np.frombuffer(message.data, np.int16), rate=message.sample_rate,
                channels=message.channels, first_sample=message.first_sample,
                stamp_ns=node_base.to_ns(message.stamp))
            self._source_error = ''
        except AudioError as error:
            self._report_source(f'block on {self._audio_sub.topic_name} dropped: {error}')
        if source.skewed:
            self.get_logger().warning(
                'the stamps of audio_in are more than 2 s off: times of arrival are used. '
                'Synchronise the clocks (chrony), or stamp with ROS time.',
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

    # -- listening -------------------------------------------------------------------------

    def _listen(self, source: AudioSource, stop: threading.Event):
        detector = SpeechDetector(self._vad_settings(), self._vad)
        while not stop.is_set():
            try:
                source.open()
                if self._source_error:
                    self.get_logger().info('the audio source is open again')
                self._source_error = ''
                self._read(source, detector, stop)
            except AudioError as error:
                self._report_source(str(error))
            except Exception as error:  # a driver's own: say it and try again
                self._report_source(f'the audio source failed: {error!r}; it is opened again')
            self._apply(detector, detector.finish())
            source.close()
            stop.wait(_RETRY_S)

    def _read(self, source, detector, stop):
        self._vad.reset()
        last_s = time.monotonic()
        while not stop.is_set():
            block = source.read(0.1 if detector.speaking else 1.0)
            now_s = time.monotonic()
            if block is not None:
                changes = detector.feed(block)
            elif detector.speaking:
                # The stream fell silent within an utterance: time goes on without blocks.
                silence_s = min(0.5, now_s - last_s)
                changes = detector.feed_silence(
                    int(silence_s * RATE), self._now_ns() - int(silence_s * 1e9))
            else:
                changes = ()
            last_s = now_s
            self._watch_silence(source)
            self._apply(detector, changes)

    def _watch_silence(self, source):
        silent = isinstance(source, DeviceSource) and source.silent_s > _SILENT_S
        if silent and not self._silent:
            name = self._value('device') or 'default'
            self._silent = (f"microphone '{name}' delivers digital silence: is it muted or "
                            'unplugged? Speech is heard again as soon as it is back.')
            self.get_logger().warning(self._silent)
        elif not silent and self._silent:
            self._silent = ''
            self.get_logger().info('the microphone delivers sound again')

    def _vad_settings(self) -> VadSettings:
        end_s = self._value('end_silence_s')
        return VadSettings(
            onset_threshold=self._value('onset_threshold'),
            offset_threshold=min(self._value('offset_threshold'), self._value('onset_threshold')),
            min_speech_s=self._value('min_speech_s'), end_silence_s=end_s,
            early_silence_s=min(0.2, end_s / 2) if self._value('early_recognition') else end_s + 1,
            pre_roll_s=self._value('pre_roll_s'), max_utterance_s=self._value('max_utterance_s'))

    def _apply(self, detector, changes):
        for change in changes:
            if isinstance(change, Onset):
                self._number += 1
                self._counts['utterances'] += 1
                self._utterance = _Utterance(
                    f'{self._prefix}-{self._number}', detector.time_of(change.onset))
                self._publish_activity(SpeechActivity.STARTED, change.probability, 0)
            elif isinstance(change, Lull):
                self._utterance.lull = self._job(detector, change.onset, change.end)
                self._jobs.put(self._utterance.lull)
            elif isinstance(change, Offset):
                self._close(detector, change)
        if detector.speaking and self._utterance is not None:
            lull = self._utterance.lull
            if lull is not None and detector.last_speech > lull.end:
                lull.cancelled, self._utterance.lull = True, None

    def _job(self, detector, onset, end):
        return _Job(self._utterance, onset, end, detector.audio(onset, end),
                    detector.time_of(end))

    def _close(self, detector, change):
        job = self._job(detector, change.onset, change.end)
        job.final = True
        self._publish_activity(SpeechActivity.STOPPED, change.probability, job.end_ns)
        self._utterance = None
        self._jobs.put(job)

    def _publish_activity(self, state, probability, end_ns):
        utterance = self._utterance
        self._activity.publish(SpeechActivity(
            utterance_id=utterance.utterance_id, state=state,
            stamp=node_base.to_time(self._now_ns()),
            onset=node_base.to_time(utterance.onset_ns), end=node_base.to_time(end_ns),
            probability=float(probability)))

    # -- recognition -----------------------------------------------------------------------

    def _recognise(self, jobs):
        early: Optional[_Job] = None
        while True:
            job = jobs.get()
            if job is None:
                return
            if not job.final:
                if not job.cancelled and not self._stop.is_set():
                    job.result, early = self._transcribe(job.samples), job
                continue
            if (early is not None and early.utterance is job.utterance
                    and (early.onset, early.end) == (job.onset, job.end)):
                result = early.result
            else:
                result = self._transcribe(job.samples)
            early = None
            self._publish_transcript(job, result)

    def _transcribe(self, samples) -> Recognition:
        if self._recognizer is None:
            return Recognition('')
        try:
            result = self._recognizer.transcribe(samples)
        except Exception as error:  # the transcript is owed in any case
            self._recognizer_error = f'recognition failed: {error}'
            self.get_logger().error(self._recognizer_error)
            return Recognition('')
        self._recognizer_error = ''
        self._last_ms = result.elapsed_s * 1e3
        return result

    def _publish_transcript(self, job, result):
        if not result.text:
            self._counts['empty'] += 1
            if result.rejected:
                self.get_logger().info(f'utterance {job.utterance.utterance_id}: nothing '
                                       f'understood ({result.rejected})')
        self._transcript.publish(Transcript(
            utterance_id=job.utterance.utterance_id, revision=0, final=True, text=result.text,
            stable_chars=len(result.text), confidence=float(result.confidence),
            language=result.language, stamp=node_base.to_time(self._now_ns()),
            speech_start=node_base.to_time(job.utterance.onset_ns),
            speech_end=node_base.to_time(job.end_ns)))

    # -- diagnostics -----------------------------------------------------------------------

    def _report_source(self, message: str):
        if message != self._source_error:
            self.get_logger().error(message)
        self._source_error = message

    def _give_up(self):
        """End the process: nothing else frees it from a sound library that hangs."""
        message = ("microphone '" + (self._value('device') or 'default') + "' hangs: the sound "
                   'server is gone. This node ends; its supervisor starts it again.')
        self.get_logger().fatal(message)
        os._exit(1)

    def _status(self):
        if isinstance(self._source, DeviceSource) and self._source.watch.hung_s > HUNG_S:
            self._give_up()
        values = dict(
            self._counts, source=self._value('source'),
            recognizer=self._recognizer.describe() if self._recognizer else 'none',
            last_recognition_ms=f'{self._last_ms:.0f}')
        if isinstance(self._source, QueueSource):
            values['lost_samples'] = self._source.lost_samples
        elif isinstance(self._source, DeviceSource):
            values['overflows'] = self._source.overflows
        problems = [p for p in (self._source_error, self._vad_error, self._recognizer_error) if p]
        if problems:
            return node_base.ERROR, '; '.join(problems), values
        if self._source is None:
            return node_base.WARN, 'not active', values
        if self._silent:
            return node_base.WARN, self._silent, values
        return node_base.OK, 'hears speech' if self._utterance else 'listening', values


def main(args=None):
    """Run the node until SIGINT or SIGTERM."""
    node_base.run_node(AsrNode, args)


if __name__ == '__main__':
    main()
