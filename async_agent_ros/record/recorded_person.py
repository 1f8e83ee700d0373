"""The recorded person and voice, played to a new agent: what was said when, and how fast."""
from collections import deque
from pathlib import Path
import threading
import time
from typing import Any, Callable, Deque, List, NamedTuple, Optional, Sequence, Tuple

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import String

from async_agent_ros.core import events
from async_agent_ros.core.state import NS_PER_S
from async_agent_ros.msg import Audio, Interrupt, Say, SpeechActivity, SpeechProgress
from async_agent_ros.msg import Transcript
from async_agent_ros.nodes import qos
from async_agent_ros.nodes.node_base import now_ns, to_time
from async_agent_ros.record.history import History
from async_agent_ros.record.reader import BagReader, BagReadError
from async_agent_ros.record.runs import Voice

TICK_S = 0.02
QUIET_S = 1.5
"""Sound before the first word that is played too: the recogniser learns what silence is."""

_TYPED = (events.UserText, events.InterruptRequested)
_SPOKEN = (events.SpeechStarted, events.SpeechStopped, events.TranscriptUpdated)


class Input(NamedTuple):
    """Something that the person did, seconds after the first such thing."""

    at_s: float
    event: Any
    """An event of the kernel, or a block of sound (Audio)."""


def recorded_inputs(history: History, sound: Sequence[Tuple[int, Audio]] = ()) -> List[Input]:
    """
    Return what the person said, typed and stopped, in order.

    `sound` are blocks of the microphone with the moment (ROS time, nanoseconds) at which they were
    recorded; they then stand in place of what was recognised.
    """
    kinds = _TYPED if sound else _TYPED + _SPOKEN
    first_ns = min((e.stamp_ns for e in history.events if isinstance(e, _TYPED + _SPOKEN)),
                   default=0) - (round(QUIET_S * NS_PER_S) if sound else 0)
    chosen = [(e.stamp_ns, e) for e in history.events if isinstance(e, kinds)]
    chosen += [block for block in sound if block[0] >= first_ns]
    return [Input((stamp_ns - first_ns) / NS_PER_S, what)
            for stamp_ns, what in sorted(chosen, key=lambda each: each[0])]


def recorded_sound(bag: Path) -> List[Tuple[int, Audio]]:
    """Return the blocks of the person's microphone in a bag; raises BagReadError."""
    reader = BagReader(bag)
    blocks = []
    for record in reader.records(lambda topic: topic.endswith('/audio_in')):
        m = reader.decode(record)
        blocks.append((record.stamp_ns, Audio(
            source='recording', first_sample=int(m.first_sample), channels=int(m.channels),
            sample_rate=int(m.sample_rate), data=m.data)))
    if not blocks:
        raise BagReadError(f'{bag} holds no sound of the person (audio_in): it was recorded '
                           'without audio, or the person typed; leave out --speech')
    return blocks


class RecordedPerson:
    """Publishes the inputs: text on text_in, speech as asr would."""

    def __init__(self, node: Node, inputs: List[Input]):
        self._node = node
        self._inputs = inputs
        self._text = node.create_publisher(String, 'text_in', qos.EVENT)
        self._interrupt = node.create_publisher(Interrupt, 'interrupt_request', qos.COMMAND)
        self._used = [self._text, self._interrupt]
        if any(isinstance(i.event, Audio) for i in inputs):
            self._audio = node.create_publisher(Audio, 'audio_in', qos.AUDIO)
            self._used.append(self._audio)
        else:    # in place of asr
            self._activity = node.create_publisher(
                SpeechActivity, 'speech_activity', qos.EVENT_ALIVE)
            self._transcript = node.create_publisher(Transcript, 'transcript', qos.EVENT)
            self._used += [self._activity, self._transcript]

    @property
    def heard(self) -> bool:
        """Whether the agent listens on every topic."""
        return all(p.get_subscription_count() for p in self._used)

    def speak(self, stop: threading.Event, on_input: Callable[[Input], None]) -> None:
        """Publish everything at its time; returns after the last, or when `stop` is set."""
        start_s = time.monotonic()
        for each in self._inputs:
            if stop.wait(max(0.0, start_s + each.at_s - time.monotonic())):
                return
            on_input(each)
            self._publish(each.event)

    def _publish(self, event: Any) -> None:
        now = now_ns(self._node)
        if isinstance(event, Audio):
            seconds = len(event.data) / max(1, event.channels) / event.sample_rate
            event.stamp = to_time(now - round(seconds * NS_PER_S))
            self._audio.publish(event)
        elif isinstance(event, events.UserText):
            self._text.publish(String(data=event.text))
        elif isinstance(event, events.SpeechStarted):
            self._activity.publish(SpeechActivity(
                utterance_id=event.utterance_id, state=SpeechActivity.STARTED,
                stamp=to_time(now), onset=to_time(now)))
        elif isinstance(event, events.SpeechStopped):
            end_ns = (now - max(0, event.stamp_ns - event.speech_end_ns)
                      if event.speech_end_ns else 0)    # nobody knew
            self._activity.publish(SpeechActivity(
                utterance_id=event.utterance_id, state=SpeechActivity.STOPPED,
                stamp=to_time(now), end=to_time(end_ns)))
        elif isinstance(event, events.TranscriptUpdated):
            self._transcript.publish(Transcript(
                utterance_id=event.utterance_id, revision=event.revision, final=event.final,
                text=event.text, stable_chars=event.stable_chars, confidence=-1.0,
                stamp=to_time(now)))
        else:
            self._interrupt.publish(Interrupt(
                stamp=to_time(now), action=Interrupt.ACTION_STOP, scope=str(event.scope),
                reason=event.reason))


class _Playing:
    """A segment under way."""

    def __init__(self, say: Say, starts_s: float, duration_s: float):
        self.say, self.duration_s = say, duration_s
        self.starts_s = starts_s
        self.played_s = 0.0
        self.started = False


class RecordedVoice:
    """
    Plays the part of tts with the speed of the recorded one, without a sound.

    Pauses, resumes and stops like tts: a segment that is not interruptible is finished first.
    """

    def __init__(self, node: Node, voice: Voice):
        self._node, self._voice = node, voice
        self._queue: Deque[Say] = deque()
        self._now: Optional[_Playing] = None
        self._paused = False
        self._epoch = 0
        self._last_s = time.monotonic()
        self._progress = node.create_publisher(
            SpeechProgress, 'speech_progress', qos.EVENT_ALIVE)
        node.create_subscription(Say, 'say', self._on_say, qos.COMMAND)
        node.create_subscription(Interrupt, 'interrupt', self._on_interrupt, qos.COMMAND)
        self._timer = node.create_timer(TICK_S, self._tick,
                                        clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._timer.cancel()

    def _on_say(self, message: Say) -> None:
        if message.prepare:
            return    # made ready, not said
        if message.epoch < self._epoch:
            self._report(message, SpeechProgress.STOPPED)
            return
        self._queue.append(message)
        if self._now is None:
            self._last_s = time.monotonic()
            self._timer.reset()
            self._tick()

    def _on_interrupt(self, message: Interrupt) -> None:
        held = self._now is not None and self._now.say.interruptible
        if message.action == Interrupt.ACTION_PAUSE and held and not self._paused:
            self._advance()
            self._paused = True
            if self._now is not None and self._now.started:
                self._report(self._now.say, SpeechProgress.PAUSED, self._now.played_s)
        elif message.action == Interrupt.ACTION_RESUME and self._paused:
            self._paused, self._last_s = False, time.monotonic()
            if self._now is not None and self._now.started:
                self._report(self._now.say, SpeechProgress.RESUMED, self._now.played_s)
        elif message.action == Interrupt.ACTION_STOP:
            self._stop(message.epoch)

    def _stop(self, epoch: int) -> None:
        if not self._paused:
            self._advance()
        self._paused, self._epoch = False, max(self._epoch, epoch)
        playing = self._now
        if playing is not None and playing.say.epoch < epoch and playing.say.interruptible:
            self._now = None
            self._report(playing.say, SpeechProgress.STOPPED, playing.played_s)
        for say in [s for s in self._queue if s.epoch < epoch]:
            self._queue.remove(say)
            self._report(say, SpeechProgress.STOPPED)

    def _tick(self) -> None:
        if not self._paused:
            self._advance()
        if self._now is None and not self._queue:
            self._timer.cancel()

    def _advance(self) -> None:
        """Play up to the present moment, by the clock of this machine."""
        now_s = time.monotonic()
        left_s, self._last_s = now_s - self._last_s, now_s
        first_audio_s = self._voice.first_audio_s
        while True:
            if self._now is None:
                if not self._queue:
                    return
                say = self._queue.popleft()
                speed = self._voice.chars_per_s
                self._now = _Playing(say, first_audio_s,
                                     len(say.text) / speed if speed else 0.0)
            playing = self._now
            if not playing.started:
                if playing.starts_s > left_s:
                    playing.starts_s -= left_s
                    return
                left_s -= playing.starts_s
                playing.started = True
                self._report(playing.say, SpeechProgress.STARTED)
            if playing.duration_s - playing.played_s > left_s:
                playing.played_s += left_s
                return
            left_s -= playing.duration_s - playing.played_s
            self._now, first_audio_s = None, 0.0    # the next one was synthesised meanwhile
            self._report(playing.say, SpeechProgress.FINISHED, playing.duration_s)

    def _report(self, say: Say, state: str, played_s: float = 0.0) -> None:
        speed = self._voice.chars_per_s
        text = say.text
        heard = len(text)
        if state not in (SpeechProgress.FINISHED, SpeechProgress.STARTED) and speed:
            # Cut at a word boundary, as tts does.
            heard = min(len(text), int(played_s * speed))
            while 0 < heard < len(text) and not text[heard - 1].isspace():
                heard -= 1
        elif state != SpeechProgress.FINISHED and not played_s:
            heard = 0
        self._progress.publish(SpeechProgress(
            segment_id=say.segment_id, generation_id=say.generation_id, epoch=say.epoch,
            state=state, heard_chars=heard, played_s=float(played_s),
            duration_s=len(text) / speed if speed else 0.0,
            stamp=to_time(now_ns(self._node))))
