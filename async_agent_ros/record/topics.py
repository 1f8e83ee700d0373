"""What a recording holds: the agent's topics, their types and the QoS to ask for."""
import importlib
from typing import Dict, List, NamedTuple

from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile
from rclpy.qos import ReliabilityPolicy
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability
from rosbags.interfaces import QosTime

from async_agent_ros.nodes import qos


class Topic(NamedTuple):
    """A topic to record; a name without a leading '/' is relative to the agent's namespace."""

    name: str
    msgtype: str
    qos: QoSProfile
    audio: bool = False


_OWN = 'async_agent_ros/msg/'


def _deep(profile: QoSProfile, depth: int) -> QoSProfile:
    """Return the profile with a queue that outlasts a pause of the recorder."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=max(depth, profile.depth),
                      reliability=profile.reliability, durability=profile.durability)


_LOG = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1000,
                  reliability=ReliabilityPolicy.RELIABLE,
                  durability=DurabilityPolicy.TRANSIENT_LOCAL)

TOPICS = (
    Topic('ledger', _OWN + 'LedgerEntry', qos.LEDGER),
    Topic('kernel_events', _OWN + 'KernelEvent', qos.RECORD),
    Topic('transcript', _OWN + 'Transcript', _deep(qos.EVENT, 2000)),
    Topic('speech_activity', _OWN + 'SpeechActivity', _deep(qos.EVENT, 2000)),
    Topic('interrupt', _OWN + 'Interrupt', _deep(qos.COMMAND, 2000)),
    Topic('interrupt_request', _OWN + 'Interrupt', _deep(qos.COMMAND, 2000)),
    Topic('cancel_call', 'std_msgs/msg/String', _deep(qos.COMMAND, 2000)),
    Topic('state', _OWN + 'AgentState', _deep(qos.STATE, 1000)),
    Topic('say', _OWN + 'Say', _deep(qos.COMMAND, 2000)),
    Topic('speech_progress', _OWN + 'SpeechProgress', _deep(qos.EVENT, 2000)),
    Topic('call_command', _OWN + 'CallCommand', _deep(qos.COMMAND, 2000)),
    Topic('call_event', _OWN + 'CallEvent', _deep(qos.EVENT, 2000)),
    Topic('tools', _OWN + 'ToolAnnouncement', _deep(qos.ANNOUNCE, 100)),
    Topic('metrics', _OWN + 'TurnMetrics', _deep(qos.EVENT, 2000)),
    Topic('text_in', 'std_msgs/msg/String', _deep(qos.EVENT, 2000)),
    Topic('audio_out', _OWN + 'Audio', _deep(qos.AUDIO, 1000), audio=True),
    Topic('audio_in', _OWN + 'Audio', _deep(qos.AUDIO, 1000), audio=True),
    Topic('/diagnostics', 'diagnostic_msgs/msg/DiagnosticArray', QoSProfile(depth=100)),
    Topic('/rosout', 'rcl_interfaces/msg/Log', _LOG),
)
"""Subscribed from the start, so that nothing is missed between a first message and discovery."""


def absolute(name: str, namespace: str) -> str:
    """Return the full name of a topic in the agent's namespace ('/agent')."""
    return name if name.startswith('/') else f'{namespace.rstrip("/")}/{name}'


def message_class(msgtype: str):
    """Return the Python class of 'pkg/msg/Name'; raises ImportError or AttributeError."""
    package, kind, name = msgtype.split('/')
    return getattr(importlib.import_module(f'{package}.{kind}'), name)


def adapt(profiles: List[QoSProfile], depth: int = 1000) -> QoSProfile:
    """Return a profile that every one of the offered ones satisfies, as strong as they allow."""
    reliable = bool(profiles) and all(
        p.reliability == ReliabilityPolicy.RELIABLE for p in profiles)
    latched = bool(profiles) and all(
        p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in profiles)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if latched
                    else DurabilityPolicy.VOLATILE))


_INFINITE = QosTime(9223372036, 854775807)


def _time(duration) -> QosTime:
    nanoseconds = duration.nanoseconds
    if nanoseconds <= 0 or nanoseconds >= 2**63 - 1:
        return _INFINITE
    return QosTime(*divmod(nanoseconds, 10**9))


def bag_qos(profile: QoSProfile) -> Qos:
    """Return a profile in the form that stands in the bag."""
    history = {HistoryPolicy.KEEP_LAST: QosHistory.KEEP_LAST,
               HistoryPolicy.KEEP_ALL: QosHistory.KEEP_ALL}
    reliability = {ReliabilityPolicy.RELIABLE: QosReliability.RELIABLE,
                   ReliabilityPolicy.BEST_EFFORT: QosReliability.BEST_EFFORT}
    durability = {DurabilityPolicy.TRANSIENT_LOCAL: QosDurability.TRANSIENT_LOCAL,
                  DurabilityPolicy.VOLATILE: QosDurability.VOLATILE}
    liveliness = {LivelinessPolicy.AUTOMATIC: QosLiveliness.AUTOMATIC,
                  LivelinessPolicy.MANUAL_BY_TOPIC: QosLiveliness.MANUAL_BY_TOPIC}
    return Qos(
        history=history.get(profile.history, QosHistory.UNKNOWN), depth=profile.depth,
        reliability=reliability.get(profile.reliability, QosReliability.SYSTEM_DEFAULT),
        durability=durability.get(profile.durability, QosDurability.SYSTEM_DEFAULT),
        deadline=_time(profile.deadline), lifespan=_time(profile.lifespan),
        liveliness=liveliness.get(profile.liveliness, QosLiveliness.SYSTEM_DEFAULT),
        liveliness_lease_duration=_time(profile.liveliness_lease_duration),
        avoid_ros_namespace_conventions=profile.avoid_ros_namespace_conventions)


def overrides(namespace: str = '/agent') -> Dict[str, Dict[str, object]]:
    """Return the table of config/recorder_qos_overrides.yaml for `ros2 bag record`."""
    return {
        absolute(topic.name, namespace): {
            'history': 'keep_last', 'depth': topic.qos.depth,
            'reliability': ('reliable' if topic.qos.reliability == ReliabilityPolicy.RELIABLE
                            else 'best_effort'),
            'durability': ('transient_local'
                           if topic.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
                           else 'volatile')}
        for topic in TOPICS}
