"""A microphone that is not there: the simulated person's speech as a stream of Audio blocks."""
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Deque, Optional

import numpy as np
from rclpy.node import Node

from async_agent_ros.msg import Audio
from async_agent_ros.nodes import qos
from async_agent_ros.nodes.node_base import now_ns, to_time

RATE = 16_000
BLOCK = RATE // 50
"""20 ms: 640 bytes, under the MTU of any network."""

NS_PER_S = 1_000_000_000
SPEECH_LEVEL = 0.01
"""Full scale is 1.0; quieter samples at the ends of a line are not speech."""

CATCH_UP_S = 0.004
"""Between two blocks when the machine was busy and some are due: quick, but no flood."""

_NOISE = 2.0


@dataclass
class SpokenLine:
    """A line on its way through the microphone; moments are ROS time, 0 until they came."""

    text: str
    samples: np.ndarray
    onset_ns: int = 0
    """First sample of speech."""
    end_ns: int = 0
    """True end of speech."""
    done: threading.Event = field(default_factory=threading.Event)


class SpeechMicrophone:
    """
    Publishes audio_in in real time: room noise, and the lines that are spoken into it.

    A microphone delivers all the time, so silence is streamed too. Blocks carry the time of their
    first sample, on the node's clock.
    """

    def __init__(self, node: Node, *, topic: str = 'audio_in', source: str = 'simulated person'):
        self._node = node
        self._source = source
        self._publisher = node.create_publisher(Audio, topic, qos.AUDIO)
        self._lines: Deque[SpokenLine] = deque()
        self._stop = threading.Event()
        self._noise = np.random.default_rng(1)
        self._thread = threading.Thread(target=self._run, name='microphone', daemon=True)

    def start(self) -> None:
        """Begin to stream."""
        self._thread.start()

    def close(self) -> None:
        """End the stream; lines that were not spoken are given up."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def say(self, text: str, samples: np.ndarray) -> SpokenLine:
        """Speak 16 kHz int16 samples after what is being spoken; returns at once."""
        line = SpokenLine(text, samples)
        self._lines.append(line)
        return line

    def _run(self):
        first, due = 0, time.monotonic()
        # Like a sound card's, the stamps follow the sample count, however late a block is sent.
        start_ns = now_ns(self._node)
        line: Optional[SpokenLine] = None
        at = 0
        while not self._stop.is_set():
            due += BLOCK / RATE
            delay = due - time.monotonic()
            time.sleep(delay if delay > 0 else CATCH_UP_S)
            samples = self._noise.normal(0.0, _NOISE, BLOCK)
            stamp_ns = start_ns + first * NS_PER_S // RATE
            if line is None and self._lines:
                line, at = self._lines.popleft(), 0
                self._date(line, stamp_ns)
            if line is not None:
                piece = line.samples[at:at + BLOCK]
                samples[:len(piece)] += piece
                at += BLOCK
            self._publish(first, stamp_ns, np.clip(samples, -32767, 32767).astype(np.int16))
            if line is not None and at >= len(line.samples):
                line.done.set()
                line = None
            first += BLOCK

    @staticmethod
    def _date(line: SpokenLine, stamp_ns: int) -> None:
        loud = np.flatnonzero(np.abs(line.samples.astype(np.int32)) > SPEECH_LEVEL * 32768)
        if not len(loud):
            loud = np.array([0, max(0, len(line.samples) - 1)])
        line.onset_ns = stamp_ns + int(loud[0]) * NS_PER_S // RATE
        line.end_ns = stamp_ns + (int(loud[-1]) + 1) * NS_PER_S // RATE

    def _publish(self, first, stamp_ns, samples):
        message = Audio(stamp=to_time(stamp_ns), source=self._source, first_sample=first,
                        sample_rate=RATE, channels=1)
        message.data.frombytes(samples.tobytes())
        self._publisher.publish(message)
