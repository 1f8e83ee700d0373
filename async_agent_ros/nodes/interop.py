"""
Messages of other packages, where they are installed: audio_common_msgs and hri_msgs.

Audio of audio_capture is heard like any other; transcripts go out as LiveSpeech (ROS4HRI); and the
LiveSpeech of another recogniser may stand in for one's own ears.
"""
import importlib
import uuid
from typing import Any, Optional

from async_agent_ros.msg import SpeechActivity, Transcript
import numpy as np
from rclpy.qos import qos_profile_sensor_data
from . import node_base, qos

FINAL_AFTER_S = 5.0
"""Another recogniser that says nothing more for so long has ended its utterance."""


class MissingPackageError(ValueError):
    """A message type is not installed. The message names the package."""


def message_type(name: str) -> Any:
    """Return the class of a message type such as 'hri_msgs/LiveSpeech'."""
    package, _, kind = name.partition('/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), kind)
    except (ImportError, AttributeError):
        debian = package.replace('_', '-')
        raise MissingPackageError(
            f'the message type {name} is not installed. Install its package: sudo apt install '
            f'ros-$ROS_DISTRO-{debian}, or build {package} in your workspace and source it'
        ) from None


class Interop:
    """What asr has to do with the messages of others."""

    def __init__(self, node):
        self._node = node
        self._ears: Optional[LiveSpeechEars] = None
        self._out = None
        self._rate, self._channels = _value(node, 'audio_rate'), _value(node, 'audio_channels')
        self._sample = 0
        source = _value(node, 'source')
        if source == 'audio_common':
            topic, kind = _value(node, 'audio_topic'), _value(node, 'audio_type')
            node.create_subscription(message_type(kind), topic, self._on_audio,
                                     qos_profile_sensor_data,
                                     qos_overriding_options=qos.OVERRIDABLE)
            node.create_subscription(message_type('audio_common_msgs/AudioInfo'),
                                     f'{topic}_info', self._on_info, qos.STATE)
        elif source == 'live_speech':
            self._ears = LiveSpeechEars(node)
            node.create_subscription(message_type('hri_msgs/LiveSpeech'),
                                     _value(node, 'live_speech_in'), self._ears.hear, qos.EVENT,
                                     qos_overriding_options=qos.OVERRIDABLE)
        if _value(node, 'live_speech_out'):
            self._kind = message_type('hri_msgs/LiveSpeech')
            self._out = node.create_publisher(self._kind, _value(node, 'live_speech_out'),
                                              qos.EVENT, qos_overriding_options=qos.OVERRIDABLE)

    # -- audio ---------------------------------------------------------------------------------
    def _on_info(self, message) -> None:
        if message.coding_format.lower() not in ('', 'wave', 'raw', 'pcm'):
            self._node.get_logger().error(
                f'audio on {_value(self._node, "audio_topic")} is {message.coding_format}: it '
                'must be raw. Start audio_capture with format:=wave', once=True)
        self._rate = message.sample_rate or self._rate
        self._channels = message.channels or self._channels

    def _on_audio(self, message) -> None:
        stamp_ns, audio = 0, message
        if hasattr(message, 'header'):    # AudioDataStamped
            stamp_ns, audio = node_base.to_ns(message.header.stamp), message.audio
        data = np.frombuffer(bytes(audio.data), np.uint8)
        samples = data[:len(data) // 2 * 2].view('<i2')
        self._node.hear(samples, self._rate, self._channels, self._sample, stamp_ns,
                        _value(self._node, 'audio_topic'))
        self._sample += len(samples) // self._channels

    # -- transcripts ---------------------------------------------------------------------------
    def told(self, message: Transcript) -> None:
        """Tell a transcript as LiveSpeech too; nothing was said in an empty one."""
        if self._out is None or not message.text:
            return
        speech = self._kind(confidence=max(0.0, float(message.confidence)))
        speech.header.stamp = message.stamp
        if message.final:
            speech.final = message.text
        else:
            speech.incremental = message.text
        for field in ('language', 'locale'):    # the name depends on the version
            if hasattr(speech, field):
                setattr(speech, field, message.language)
        self._out.publish(speech)


class LiveSpeechEars:
    """Makes utterances of the LiveSpeech of another recogniser."""

    def __init__(self, node):
        self._node = node
        self._utterance: Optional[Transcript] = None
        self._words: list = []
        self._last_ns = 0
        self._timer = node.create_timer(0.5, self._look)

    def hear(self, message) -> None:
        """Take one message: an incremental result, or the final one."""
        text, final = (message.final or message.incremental).strip(), bool(message.final)
        now_ns = self._node.get_clock().now().nanoseconds
        self._last_ns = now_ns
        if not text:
            return
        if self._utterance is None:
            stamp_ns = node_base.to_ns(message.header.stamp) or now_ns
            self._utterance = Transcript(
                utterance_id=uuid.uuid4().hex[:10], confidence=-1.0,
                speech_start=node_base.to_time(min(now_ns, stamp_ns)))
            self._words = []
            self._activity(SpeechActivity.STARTED)
        told = self._utterance
        # Words that two results in a row agree on are stable.
        words, agreed = text.split(), 0
        for old, new in zip(self._words, words):
            if old != new:
                break
            agreed += 1
        self._words = words
        told.text, told.final = text, final
        told.stable_chars = len(text) if final else len(' '.join(words[:agreed]))
        told.confidence = float(message.confidence) if final else -1.0
        told.language = getattr(message, 'language', '') or getattr(message, 'locale', '')
        if final:
            self._close()
        else:
            self._node.publish_transcript(told)
            told.revision += 1

    def _look(self) -> None:
        now_ns = self._node.get_clock().now().nanoseconds
        if self._utterance is not None and now_ns - self._last_ns > FINAL_AFTER_S * 1e9:
            # Its final never came: the last result counts.
            self._utterance.final = True
            self._utterance.stable_chars = len(self._utterance.text)
            self._close()

    def _close(self) -> None:
        told, self._utterance = self._utterance, None
        told.speech_end = node_base.to_time(self._last_ns)
        self._activity(SpeechActivity.STOPPED, told)
        self._node.publish_transcript(told)

    def _activity(self, state: str, told: Optional[Transcript] = None) -> None:
        told = told or self._utterance
        self._node.publish_activity(SpeechActivity(
            utterance_id=told.utterance_id, state=state, onset=told.speech_start,
            end=told.speech_end, probability=1.0))


def _value(node, name: str) -> Any:
    return node.get_parameter(name).value


def connect(node) -> Optional[Interop]:
    """Return what the parameters ask for; raises MissingPackageError, which ends the start."""
    foreign = _value(node, 'source') in ('audio_common', 'live_speech')
    return Interop(node) if foreign or _value(node, 'live_speech_out') else None
