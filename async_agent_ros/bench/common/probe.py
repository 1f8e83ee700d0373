"""
A node in the agent's graph that talks to it and takes the time of what it does.

It is spun by the thread that measures, so that no other thread of this process competes for the
interpreter. Stamps are nanoseconds of the system clock, which all processes of a machine share;
what happens inside the agent's processes is read off the stamps in their own messages.
"""
import os
import time
from typing import Callable, Optional, Tuple

from action_msgs.msg import GoalStatusArray
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_action_status_default
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

from async_agent_ros.action import Generate
from async_agent_ros.msg import AgentState, Audio, CallEvent, Interrupt, LedgerEntry, Say
from async_agent_ros.msg import SpeechActivity, SpeechProgress
from async_agent_ros.nodes import qos
from async_agent_ros.nodes.node_base import to_ns, to_time


class ProbeTimeoutError(Exception):
    """Something that the agent must do did not happen. The message names it."""


class Probe:
    """
    Publishes text, watches generations, calls and speech.

    `voice` true: it takes the place of the tts node, and every text counts as heard at once.
    Every list holds what came since forget().
    """

    def __init__(self, namespace: str, *, voice: bool):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = node = rclpy.create_node(
            f'bench_{os.getpid()}', namespace=namespace, context=self._context,
            enable_rosout=False, start_parameter_services=False)
        self.text_in = node.create_publisher(String, 'text_in', qos.EVENT)
        self.interrupt_request = node.create_publisher(
            Interrupt, 'interrupt_request', qos.COMMAND)
        self.tools = set()
        self.state: Optional[AgentState] = None
        self.forget()
        # No more than is looked at: each message costs the measuring process half a millisecond of
        # a core that the agent could use.
        subscribe = node.create_subscription
        self._ledger = subscribe(LedgerEntry, 'ledger', self._on_entry, qos.LEDGER)
        subscribe(GoalStatusArray, 'generate/_action/status', self._on_status,
                  qos_profile_action_status_default)
        subscribe(Generate.Impl.FeedbackMessage, 'generate/_action/feedback',
                  lambda m: self.feedback.append(m.feedback), qos.EVENT)
        subscribe(AgentState, 'state', self._on_state, qos.STATE)
        subscribe(CallEvent, 'call_event', lambda m: self.call_events.append(m), qos.EVENT)
        if voice:
            self._progress = node.create_publisher(
                SpeechProgress, 'speech_progress', qos.EVENT_ALIVE)
            subscribe(Say, 'say', self._on_say, qos.COMMAND)
        else:
            self.speech_activity = node.create_publisher(
                SpeechActivity, 'speech_activity', qos.EVENT_ALIVE)
            subscribe(Interrupt, 'interrupt', lambda m: self.interrupts.append(m), qos.COMMAND)
            subscribe(SpeechProgress, 'speech_progress', lambda m: self.progress.append(m),
                      qos.EVENT)
            subscribe(Audio, 'audio_out', self._on_audio, qos.AUDIO)
        self._voice = voice
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def leave_ledger(self) -> None:
        """Stop reading the ledger: `tools` stays as it is."""
        self.node.destroy_subscription(self._ledger)

    def forget(self) -> None:
        """Begin a new sample."""
        self.goals_ns = []
        self.feedback, self.call_events, self.interrupts, self.progress = [], [], [], []
        self.says_ns = []
        self.last_sound_ns = 0

    # -- what comes -------------------------------------------------------------------------------
    def _on_status(self, message: GoalStatusArray) -> None:
        self.goals_ns = [to_ns(status.goal_info.stamp) for status in message.status_list]

    def _on_state(self, message: AgentState) -> None:
        self.state = message

    def _on_entry(self, message: LedgerEntry) -> None:
        if message.kind == 'system' and message.name == 'tools':
            self.tools.add(message.content)

    def _on_say(self, message: Say, info) -> None:
        if message.prepare:
            return
        # When the middleware had it: a tts reads little else, this process much more.
        self.says_ns.append(info['received_timestamp'])
        stamp = to_time(time.time_ns())
        for state, heard in ((SpeechProgress.STARTED, 0),
                             (SpeechProgress.FINISHED, len(message.text))):
            self._progress.publish(SpeechProgress(
                segment_id=message.segment_id, generation_id=message.generation_id,
                epoch=message.epoch, state=state, heard_chars=heard, stamp=stamp,
                duration_s=0.0))

    def _on_audio(self, message: Audio) -> None:
        sound = np.flatnonzero(np.frombuffer(message.data, np.int16))
        if len(sound):
            after_s = (int(sound[-1]) + 1) / message.sample_rate
            self.last_sound_ns = to_ns(message.stamp) + int(after_s * 1e9)

    # -- what is done -----------------------------------------------------------------------------
    def spin(self, seconds: float) -> None:
        """Take in what comes, for a while."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0.0:
            self._executor.spin_once(timeout_sec=left_s)

    def until(self, what: str, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Take in what comes until the condition holds; raises ProbeTimeoutError naming it."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            left_s = end_s - time.monotonic()
            if left_s <= 0.0:
                raise ProbeTimeoutError(f'{what} did not come within {timeout_s:g} s')
            self._executor.spin_once(timeout_sec=left_s)

    def say(self, text: str) -> int:
        """Type a text; return when it was published."""
        stamp_ns = time.time_ns()
        self.text_in.publish(String(data=text))
        return stamp_ns

    @property
    def idle(self) -> bool:
        """Whether the agent has nothing to say."""
        return self.state is not None and self.state.state == AgentState.IDLE

    def fed_back(self, kind: str) -> Tuple[int, ...]:
        """Return the stamps of the feedback of a kind, nanoseconds."""
        return tuple(to_ns(f.stamp) for f in self.feedback if f.kind == kind)

    def missing(self, tool: str = '') -> list:
        """Return what of the agent is not there yet, by name."""
        count = self.node.count_subscribers
        there = {
            'dialog_manager': self.text_in.get_subscription_count() and self.state is not None,
            'dispatcher': self.node.count_publishers(
                self.node.resolve_topic_name('generate/_action/feedback'))
            and count(self.node.resolve_topic_name('call_command')),
            f'the tool {tool}': not tool or any(f'"{tool}"' in text for text in self.tools)}
        if not self._voice:
            there['tts'] = (count(self.node.resolve_topic_name('say'))
                            and self.node.count_publishers(
                                self.node.resolve_topic_name('audio_out')))
        return [name for name, present in there.items() if not present]
