"""What the manager hears: messages of topics, turned into events for the kernel."""
import json
from typing import Callable

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from std_msgs.msg import String

from async_agent_ros.core import events
from async_agent_ros.msg import CallEvent, Interrupt, SpeechActivity, SpeechProgress
from async_agent_ros.msg import ToolAnnouncement, Transcript
from async_agent_ros.nodes import qos
from async_agent_ros.nodes.call_orders import CallOrders
from async_agent_ros.nodes.node_base import to_ns
from async_agent_ros.nodes.peers import PeerWatch, ToolServers
from async_agent_ros.tools.msgs import ANNOUNCEMENTS


class Senses:
    """The manager's subscriptions; whatever comes is posted as an event, stamped on arrival."""

    def __init__(self, node: Node, post: Callable[[events.Event], None],
                 now: Callable[[], int], servers: ToolServers, orders: CallOrders):
        """Subscribe; `now` gives ROS time in nanoseconds."""
        self._logger = node.get_logger()
        self._post, self._now, self._orders = post, now, orders
        self._peers = {name: PeerWatch(name, self._on_peer, now)
                       for name in ('asr', 'tts', 'dispatcher')}
        urgent = MutuallyExclusiveCallbackGroup()

        def subscribe(kind, topic, callback, profile, group=None, peer=None):
            node.create_subscription(
                kind, topic, callback, profile, callback_group=group,
                event_callbacks=self._peers[peer].callbacks if peer else None,
                qos_overriding_options=qos.OVERRIDABLE)

        subscribe(Interrupt, 'interrupt_request', self._on_interrupt_request, qos.COMMAND, urgent)
        subscribe(String, 'cancel_call', self._on_cancel_call, qos.COMMAND, urgent)
        subscribe(SpeechActivity, 'speech_activity', self._on_speech_activity, qos.EVENT_ALIVE,
                  urgent, 'asr')
        subscribe(Transcript, 'transcript', self._on_transcript, qos.EVENT)
        subscribe(String, 'text_in', self._on_text, qos.EVENT)
        subscribe(SpeechProgress, 'speech_progress', self._on_speech_progress, qos.EVENT_ALIVE,
                  peer='tts')
        subscribe(CallEvent, 'call_event', self._on_call_event, qos.EVENT_ALIVE,
                  peer='dispatcher')
        subscribe(ToolAnnouncement, 'tools', servers.on_announcement, ANNOUNCEMENTS)

    def check(self) -> None:
        """Look whether the agent's other nodes are alive; to be called now and then."""
        for peer in self._peers.values():
            peer.check()

    def _on_peer(self, event: events.PeerChanged) -> None:
        if event.peer == 'dispatcher' and not event.alive:
            self._orders.forget()
        self._post(event)

    def _on_interrupt_request(self, message: Interrupt) -> None:
        if message.action not in ('', Interrupt.ACTION_STOP):
            self._logger.warning(f'interrupt_request with action {message.action!r} ignored: '
                                 'only stop can be asked for')
            return
        self._post(events.InterruptRequested(self._now(), scope=message.scope or 'speech',
                                             reason=message.reason))

    def _on_cancel_call(self, message: String) -> None:
        self._post(events.CancelRequested(self._now(), call_id=message.data, reason='button'))

    def _on_speech_activity(self, message: SpeechActivity) -> None:
        if message.state == SpeechActivity.STARTED:
            self._post(events.SpeechStarted(self._now(), utterance_id=message.utterance_id))
        else:
            self._post(events.SpeechStopped(self._now(), utterance_id=message.utterance_id,
                                            speech_end_ns=to_ns(message.end)))

    def _on_transcript(self, message: Transcript) -> None:
        self._post(events.TranscriptUpdated(
            self._now(), utterance_id=message.utterance_id, revision=message.revision,
            text=message.text, stable_chars=message.stable_chars, final=message.final))

    def _on_text(self, message: String) -> None:
        self._post(events.UserText(self._now(), text=message.data))

    def _on_speech_progress(self, message: SpeechProgress) -> None:
        self._post(events.SpeechProgressed(
            self._now(), segment_id=message.segment_id, state=message.state,
            heard_chars=message.heard_chars, at_ns=to_ns(message.stamp),
            error_msg=message.error_msg))

    def _on_call_event(self, message: CallEvent) -> None:
        self._orders.on_event(message)
        if message.event == CallEvent.ACCEPTED:
            self._post(events.CallAccepted(self._now(), call_id=message.call_id))
        elif message.event == CallEvent.FEEDBACK:
            self._post(events.CallProgressed(self._now(), call_id=message.call_id,
                                             progress=round(message.progress, 4),
                                             text=message.text))
        elif message.event == CallEvent.ENDED:
            try:
                result = json.loads(message.result_json or 'null')
            except ValueError:
                result = message.result_json
            self._post(events.CallEnded(
                self._now(), call_id=message.call_id, status=message.status,
                error_code=message.error_code, error_msg=message.error_msg, result=result))
        else:
            self._logger.warning(f'call_event {message.event!r} is unknown and ignored')
