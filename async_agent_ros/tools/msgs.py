"""ToolSpec <-> ToolSpec.msg, and the quality of service of the topic that announces tools."""
import json

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from async_agent_ros.core.tools import Example, ToolSpec, canonical_json
from async_agent_ros.core.words import Busy, Duplicates, Effect
from async_agent_ros.msg import ToolSpec as ToolSpecMsg

LEASE_S = 3.0
"""Default seconds of silence after which a tool server counts as dead."""


def _latched(depth):
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth,
                      reliability=ReliabilityPolicy.RELIABLE,
                      durability=DurabilityPolicy.TRANSIENT_LOCAL)


ANNOUNCE = _latched(1)
"""For a server: its latest announcement waits for late joiners (as in nodes/qos.py)."""

SERVICES = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1000,
                      reliability=ReliabilityPolicy.RELIABLE,
                      durability=DurabilityPolicy.VOLATILE)
"""
Of the services in an ExecuteTool action. The default depth of 10 drops requests of a burst of
calls silently.
"""

ANNOUNCEMENTS = _latched(100)
"""
For readers: a keyless topic keeps its history over all writers together, so with depth 1 the
latest announcement of one server can push out that of another before it is taken.
"""


def spec_to_msg(spec: ToolSpec) -> ToolSpecMsg:
    """Return the message of a spec."""
    return ToolSpecMsg(
        name=spec.name, description=spec.description,
        arguments_schema=canonical_json(spec.arguments_schema),
        result_schema='' if spec.result_schema is None else canonical_json(spec.result_schema),
        effect=str(spec.effect), duplicates=str(spec.duplicates) if spec.duplicates else '',
        wait_for_final=spec.wait_for_final, timeout_s=float(spec.timeout_s), motion=spec.motion,
        cancel_on_barge_in=spec.cancel_on_barge_in, resources=list(spec.resources),
        when_busy=str(spec.when_busy), max_per_minute=float(spec.max_per_minute),
        examples_json=canonical_json(
            [{'say': e.say, 'arguments': dict(e.arguments)} for e in spec.examples]),
        action_name=spec.action_name)


def spec_from_msg(msg: ToolSpecMsg) -> ToolSpec:
    """
    Return the spec in a message.

    Unknown or undeclared effects count as state-changing, an unknown duplicate policy as
    undeclared. Raises ValueError, naming tool and field, for a bad name or broken JSON.
    """
    def parsed(field, default, kind):
        text = getattr(msg, field)
        if not text:
            return default
        try:
            value = json.loads(text)
        except ValueError as error:
            raise ValueError(f'tool {msg.name!r}: {field} is not JSON: {error}') from None
        if not isinstance(value, kind):
            raise ValueError(f'tool {msg.name!r}: {field} must be a JSON '
                             f'{"object" if kind is dict else "list"}')
        return value

    try:
        effect = Effect(msg.effect)
    except ValueError:
        effect = Effect.STATE_CHANGING
    try:
        duplicates = Duplicates(msg.duplicates)
    except ValueError:
        duplicates = None
    try:
        when_busy = Busy(msg.when_busy or Busy.QUEUE)
    except ValueError:
        when_busy = Busy.QUEUE
    examples = []
    for item in parsed('examples_json', [], list):
        if not isinstance(item, dict) or not isinstance(item.get('say'), str):
            raise ValueError(f'tool {msg.name!r}: examples_json must hold objects with "say" '
                             'and "arguments"')
        examples.append(Example(item['say'], item.get('arguments') or {}))
    return ToolSpec(
        name=msg.name, description=msg.description,
        arguments_schema=parsed('arguments_schema', {'type': 'object', 'properties': {}}, dict),
        result_schema=parsed('result_schema', None, dict), effect=effect, duplicates=duplicates,
        wait_for_final=msg.wait_for_final,
        # float32 on the wire: 0.1 s comes back as 0.1 s
        timeout_s=round(float(msg.timeout_s), 3), motion=msg.motion,
        cancel_on_barge_in=msg.cancel_on_barge_in, resources=tuple(msg.resources),
        when_busy=when_busy, max_per_minute=round(float(msg.max_per_minute), 3),
        examples=tuple(examples), action_name=msg.action_name)
