"""
The robot's voice: what the kernel releases becomes audible, and what was heard is reported.

Callbacks only hand over. One thread synthesises, one keeps the sink supplied; commands reach the
sink through a flag that it reads at every block, never through a queue.
"""
import os
import queue
import threading
import time
from dataclasses import replace
from typing import List, Optional, Sequence

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from async_agent_ros import models
from async_agent_ros.msg import Audio, Interrupt, Say, SpeechProgress
from async_agent_ros.speech.audio import AudioError, Block, Resampler
from async_agent_ros.speech.devices import HUNG_S
from async_agent_ros.speech.playback import Playback, Report
from async_agent_ros.speech.preparation import Preparation
from async_agent_ros.speech.sinks import DeviceSink, ERROR_SINK, PacedSink, WavSink
from async_agent_ros.speech.voice import make_voice, Voice, VoiceError, VoiceSettings
from . import node_base, qos
from .patient import PatientPublisher

SINKS = ('topic', 'device', 'wav')
_AHEAD_S = 10.0


class TtsNode(node_base.CleanEnd, LifecycleNode):
    """Speaks; owns what was really heard."""

    def __init__(self, **options):
        super().__init__('tts', **options)
        declare = self._declare
        declare('autostart', True, 'configure and activate at start')
        declare('voice', 'piper-joe', "voice: a model's name or path, 'hibari' or 'hibari:NAME'")
        declare('sinks', ['topic'], 'where speech goes besides audio_out: topic, device, wav')
        declare('device', '', "loudspeaker: part of its name or its index, '' the default")
        declare('wav_file', 'robot.wav', 'sink wav: file that is written')
        declare('wav_start_s', 0.0, 'sink wav: ROS time of its first sample, seconds; 0.0: the '
                'moment of activation', minimum=0.0, maximum=1e11)
        declare('rate', 1.0, 'speed of speech, 2.0 is twice as fast; a change counts from the '
                'next sentence on', minimum=0.5, maximum=2.0)
        declare('volume', 1.0, 'factor on the samples; a change counts at once',
                minimum=0.0, maximum=2.0)
        declare('noise_scale', 0.667, 'liveliness of the sound; both 0.0: the same text always '
                'gives the same samples', minimum=0.0, maximum=2.0)
        declare('noise_w_scale', 0.8, 'liveliness of the rhythm', minimum=0.0, maximum=2.0)
        declare('first_clause_chars', 30, 'aimed length of the first piece that is synthesised',
                minimum=10, maximum=400)
        declare('threads', 2, 'threads of the synthesis', minimum=1, maximum=64)
        self._voice: Optional[Voice] = None
        self._voice_error = ''
        self._sink_error = ''
        self._playback: Optional[Playback] = None
        self._sink = None
        self._wav: Optional[WavSink] = None
        self._jobs: 'queue.SimpleQueue[Optional[Say]]' = queue.SimpleQueue()
        self._worker: Optional[threading.Thread] = None
        self._preparation = Preparation()
        self._epoch = 0
        self._counts = {'segments': 0, 'finished': 0, 'stopped': 0, 'failed': 0}
        self._last_synthesis_ms = 'none'
        self._progress = PatientPublisher(self, self.create_publisher(
            SpeechProgress, 'speech_progress', qos.EVENT_ALIVE,
            qos_overriding_options=qos.OVERRIDABLE), reader='dialog_manager')
        self._audio_out = self.create_publisher(
            Audio, 'audio_out', qos.AUDIO, qos_overriding_options=qos.OVERRIDABLE)
        # Interrupts have their own group: an executor with threads never lets them wait.
        self._say_sub = self.create_subscription(
            Say, 'say', self._on_say, qos.COMMAND,
            callback_group=MutuallyExclusiveCallbackGroup(),
            qos_overriding_options=qos.OVERRIDABLE)
        self._interrupt_sub = self.create_subscription(
            Interrupt, 'interrupt', self._on_interrupt, qos.COMMAND,
            callback_group=MutuallyExclusiveCallbackGroup(),
            qos_overriding_options=qos.OVERRIDABLE)
        node_base.after_setting(self, self._on_parameters)
        node_base.name_late_parameters(self, ('rate', 'volume'))
        self._diagnostics = node_base.Diagnostics(self, self._status)

    def _declare(self, name, default, description, **limits):
        node_base.declare(self, name, default, description, **limits)

    def _value(self, name):
        return self.get_parameter(name).value

    def _now_ns(self) -> int:
        return node_base.now_ns(self)

    def _on_parameters(self, parameters) -> None:
        # Ranges were checked by the descriptors. The rate is read when a sentence is synthesised.
        for parameter in parameters:
            if parameter.name == 'volume' and self._playback is not None:
                self._playback.volume = parameter.value

    # -- lifecycle -------------------------------------------------------------------------

    def on_configure(self, state) -> TransitionCallbackReturn:
        """Load the voice. Without one the node runs, and every segment fails with the remedy."""
        unknown = sorted(set(self._value('sinks')) - set(SINKS))
        if unknown:
            self.get_logger().error(f'parameter `sinks` holds {unknown}: use {", ".join(SINKS)}')
            return TransitionCallbackReturn.FAILURE
        settings = VoiceSettings(
            rate=self._value('rate'), noise_scale=self._value('noise_scale'),
            noise_w_scale=self._value('noise_w_scale'),
            first_clause_chars=self._value('first_clause_chars'))
        self._voice, self._voice_error = None, ''
        try:
            voice = make_voice(self._value('voice'), models.find, settings,
                               threads=self._value('threads'))
            voice.load()
            self._voice = voice
            self.get_logger().info(f'voice: {voice.describe()}')
        except (VoiceError, models.ModelMissingError) as error:
            self._voice_error = str(error)
            self.get_logger().error(f'no voice: {error}')
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state) -> TransitionCallbackReturn:
        """Open the sinks and begin to listen for text."""
        rate = self._voice.sample_rate if self._voice else 16_000
        self._playback = Playback(rate)
        self._playback.volume = self._value('volume')
        self._playback.stop(self._epoch)
        self._sink_error = ''
        if 'device' in self._value('sinks'):
            self._sink = DeviceSink(
                self._playback, self._on_block, self._on_reports, name=self._value('device'),
                clock=self._now_ns, on_error=self._on_sink_error)
        else:
            self._sink = PacedSink(
                self._playback, self._on_block, self._on_reports, clock=self._now_ns)
        try:
            self._sink.open()
        except AudioError as error:
            # The device may come back: every segment tries again.
            self._on_sink_error(str(error))
        if 'wav' in self._value('sinks'):
            start_ns = int(self._value('wav_start_s') * 1e9) or self._now_ns()
            try:
                self._wav = WavSink(self._value('wav_file'), self._playback.rate, start_ns,
                                    on_error=self._on_sink_error)
            except AudioError as error:
                self._on_sink_error(str(error))
        # A queue of its own for each activation: no order of an earlier one is left in it.
        self._jobs = queue.SimpleQueue()
        self._worker = threading.Thread(
            target=self._synthesise, args=(self._jobs,), name='synthesis', daemon=True)
        self._worker.start()
        return super().on_activate(state)

    def on_deactivate(self, state) -> TransitionCallbackReturn:
        """Fall silent: what is queued ends as stopped."""
        self._halt()
        return super().on_deactivate(state)

    def on_cleanup(self, state) -> TransitionCallbackReturn:
        """Free the voice."""
        self._voice = None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state) -> TransitionCallbackReturn:
        """Fall silent and free everything."""
        self._halt()
        self._voice = None
        return TransitionCallbackReturn.SUCCESS

    def _halt(self):
        if self._sink is None:
            return
        self._jobs.put(None)
        self._playback.drop_all()
        self._sink.close()
        self._on_reports(self._playback.poll(self._now_ns()))
        self._worker.join(timeout=2.0)
        self._sink = self._worker = None
        if self._wav is not None:
            self._wav.close(self._now_ns())
            self._wav = None

    # -- orders ----------------------------------------------------------------------------

    def _on_say(self, message: Say):
        if message.prepare:
            if self._sink is not None and message.epoch >= self._epoch:
                self._preparation.want(message.text, message.epoch)
                self._jobs.put(message)
            return
        self._counts['segments'] += 1
        now_ns = self._now_ns()
        if self._sink is None:
            report = Report(message.segment_id, message.generation_id, message.epoch,
                            SpeechProgress.FAILED, 0, 0.0, 0.0, now_ns, SpeechProgress.ERROR_SINK,
                            'tts is not active: activate it (ros2 lifecycle set /agent/tts '
                            'activate)')
            self._on_reports([report])
            return
        if self._playback.add(
                message.segment_id, written_chars=len(message.text), now_ns=now_ns,
                generation_id=message.generation_id, epoch=message.epoch,
                interruptible=message.interruptible):
            self._jobs.put(message)

    def _on_interrupt(self, message: Interrupt):
        if message.action == Interrupt.ACTION_STOP:
            # Remembered without a sink too: a segment that comes later may be older than this.
            self._epoch = max(self._epoch, message.epoch)
            self._preparation.drop(self._epoch)
        if self._sink is None:
            return
        if message.action == Interrupt.ACTION_PAUSE:
            self._sink.pause()
        elif message.action == Interrupt.ACTION_RESUME:
            self._sink.resume()
        elif message.action == Interrupt.ACTION_STOP:
            self._sink.stop(message.epoch)
        else:
            self.get_logger().warning(f'interrupt with unknown action {message.action!r} ignored')

    # -- the worker ------------------------------------------------------------------------

    def _synthesise(self, jobs):
        playback = self._playback
        while True:
            message = jobs.get()
            if message is None:
                return
            if message.prepare:
                self._prepare(jobs)
                continue
            if self._voice is None:
                playback.complete(message.segment_id, error_code=SpeechProgress.ERROR_NO_VOICE,
                                  error_msg=self._voice_error)
                continue
            try:
                self._speak(message, playback)
            except Exception as error:  # whatever it is, the segment must end
                self.get_logger().error(f'segment {message.segment_id}: {error}')
                playback.complete(
                    message.segment_id, error_code=SpeechProgress.ERROR_SYNTHESIS,
                    error_msg=f'{message.text[:40]!r} could not be synthesised: {error}')
            self._prepare(jobs)

    def _prepare(self, jobs):
        if self._voice is None:
            return
        try:
            self._set_rate()
            self._preparation.work(self._voice, idle=jobs.empty)
        except Exception as error:  # it will be said again, by the segment that is spoken
            self.get_logger().warning(f'what may be said soon could not be prepared: {error}')

    def _set_rate(self):
        # May have been changed since: this sentence is the first to know.
        self._voice.settings = replace(self._voice.settings, rate=self._value('rate'))

    def _speak(self, message, playback):
        if not playback.has(message.segment_id):
            return  # stopped before its turn
        self._set_rate()
        resampler = Resampler(self._voice.sample_rate, playback.rate)
        factor = playback.rate / self._voice.sample_rate
        begun_s = time.monotonic()
        ready = self._preparation.take(message.text, self._voice.settings)
        for number, chunk in enumerate(ready or self._voice.synthesize(message.text)):
            if number == 0:
                self._last_synthesis_ms = f'{(time.monotonic() - begun_s) * 1e3:.0f}'
            pcm = resampler(chunk.pcm)
            marks = [(int(sample * factor), chars) for sample, chars in chunk.marks]
            if not playback.append(message.segment_id, pcm, marks):
                return
            # Not far ahead: it would be thrown away at the next interruption.
            while not playback.wait_below(_AHEAD_S, 1.0):
                if not playback.has(message.segment_id):
                    return
        playback.complete(message.segment_id)

    # -- the sink's thread -----------------------------------------------------------------

    def _on_block(self, block: Block):
        message = Audio(stamp=node_base.to_time(block.stamp_ns), source='tts',
                        first_sample=block.first_sample, sample_rate=block.rate, channels=1)
        message.data.frombytes(block.samples.tobytes())
        self._audio_out.publish(message)
        wav = self._wav
        if wav is not None:
            wav.write(block)

    def _on_reports(self, reports: Sequence[Report]):
        for report in reports:
            if report.state in self._counts:
                self._counts[report.state] += 1
            if report.state == SpeechProgress.FAILED:
                self.get_logger().error(f'segment {report.segment_id} failed: {report.error_msg}')
            self._progress.publish(SpeechProgress(
                segment_id=report.segment_id, generation_id=report.generation_id,
                epoch=report.epoch, state=report.state, heard_chars=report.heard_chars,
                played_s=report.played_s, duration_s=report.duration_s,
                stamp=node_base.to_time(report.stamp_ns), error_code=report.error_code,
                error_msg=report.error_msg))
            if report.state == SpeechProgress.STARTED:
                self._sink_error = ''

    def _on_sink_error(self, message: str):
        if message != self._sink_error:
            self.get_logger().error(message)
        self._sink_error = message

    # -- diagnostics -----------------------------------------------------------------------

    def _give_up(self):
        """End the process: nothing else frees it from a sound library that hangs."""
        message = ("loudspeaker '" + (self._value('device') or 'default') + "' hangs: the sound "
                   'server is gone. This node ends; its supervisor starts it again.')
        self.get_logger().fatal(message)
        self._playback.fail_all(ERROR_SINK, message, self._now_ns())
        self._on_reports(self._playback.poll(self._now_ns()))
        os._exit(1)

    def _status(self):
        if isinstance(self._sink, DeviceSink) and self._sink.watch.hung_s > HUNG_S:
            self._give_up()
        values = dict(self._counts, voice=self._voice.describe() if self._voice else 'none',
                      sinks=', '.join(self._value('sinks')), device=self._value('device'),
                      last_first_sound_ms=self._last_synthesis_ms,
                      queue=self._jobs.qsize())
        values.update(prepared=self._preparation.made, prepared_used=self._preparation.used)
        if self._playback is not None:
            values['underruns'] = self._playback.underruns
        if isinstance(self._sink, DeviceSink):
            values['device_underflows'] = self._sink.underflows
        problems: List[str] = [p for p in (self._voice_error, self._sink_error) if p]
        if problems:
            return node_base.ERROR, '; '.join(problems), values
        return node_base.OK, 'speaking' if self._speaking() else 'ready', values

    def _speaking(self):
        return self._sink is not None and self._playback.wanted()


def main(args=None):
    """Run the node until SIGINT or SIGTERM."""
    node_base.run_node(TtsNode, args)


if __name__ == '__main__':
    main()
