"""A screen in place of a loudspeaker: what the agent says is shown, and shown is heard."""
from typing import Callable

from rclpy.node import Node

from async_agent_ros.msg import Interrupt, Say, SpeechProgress
from async_agent_ros.nodes import qos


class Screen:
    """
    Plays the part of tts for an agent without a voice.

    Every Say is shown at once (`show(generation_id, text)`) and reported as heard whole, so the
    agent knows what the person has read, and nothing is left to interrupt.
    """

    def __init__(self, node: Node, show: Callable[[int, str], None]):
        self._node = node
        self._show = show
        self._epoch = 0
        self._progress = node.create_publisher(
            SpeechProgress, 'speech_progress', qos.EVENT_ALIVE)
        node.create_subscription(Say, 'say', self._on_say, qos.COMMAND)
        node.create_subscription(Interrupt, 'interrupt', self._on_interrupt, qos.COMMAND)

    def _on_say(self, message: Say) -> None:
        if message.prepare:
            return    # nothing to synthesise ahead
        if message.epoch < self._epoch:
            self._report(message, SpeechProgress.STOPPED, 0)
            return
        self._show(message.generation_id, message.text)
        self._report(message, SpeechProgress.STARTED, 0)
        self._report(message, SpeechProgress.FINISHED, len(message.text))

    def _on_interrupt(self, message: Interrupt) -> None:
        if message.action == Interrupt.ACTION_STOP:
            self._epoch = max(self._epoch, message.epoch)

    def _report(self, message: Say, state: str, heard_chars: int) -> None:
        self._progress.publish(SpeechProgress(
            segment_id=message.segment_id, generation_id=message.generation_id,
            epoch=message.epoch, state=state, heard_chars=heard_chars, played_s=0.0,
            duration_s=0.0, stamp=self._node.get_clock().now().to_msg()))
