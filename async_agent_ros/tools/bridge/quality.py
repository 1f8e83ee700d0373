"""Quality of service that fits what runs on the graph."""
from typing import Any, List, Mapping, Sequence, Tuple

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:    # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

# Endpoints that do not fit are told by the tools themselves. Without handlers of events an endpoint
# can be destroyed at any time, also while the node looks for events only now and then.
QUIET_PUBLISHER = PublisherEventCallbacks(use_default_callbacks=False)
QUIET_SUBSCRIPTION = SubscriptionEventCallbacks(use_default_callbacks=False)

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
TRANSIENT_LOCAL, VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE


def profile(reliability, durability, depth: int = 1) -> QoSProfile:
    """Return a profile with a history of `depth`."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability,
                      durability=durability)


def _given(options: Mapping[str, Any]):
    reliability = {'reliable': RELIABLE, 'best_effort': BEST_EFFORT}.get(
        options.get('reliability'))
    durability = {'volatile': VOLATILE, 'transient_local': TRANSIENT_LOCAL}.get(
        options.get('durability'))
    return reliability, durability


def to_subscribe(offered: Sequence[QoSProfile], options: Mapping[str, Any]) \
        -> Tuple[QoSProfile, ...]:
    """
    Return the profiles of subscriptions that hear every publisher.

    A best effort subscription hears all, and a volatile one too; but what was published before is
    sent only to a transient local one, which a volatile publisher does not match. So where both
    kinds publish there are two subscriptions.
    """
    reliability, durability = _given(options)
    depth = options.get('depth') or 1
    kinds = {q.durability == TRANSIENT_LOCAL for q in offered}
    if durability is not None:
        kinds = {durability == TRANSIENT_LOCAL}
    result: List[QoSProfile] = []
    for latched in sorted(kinds or {False}):
        # a volatile subscription beside publishers of both kinds hears all of them
        heard = [q for q in offered if not latched or q.durability == TRANSIENT_LOCAL]
        all_reliable = heard and all(q.reliability == RELIABLE for q in heard)
        result.append(profile(
            reliability or (RELIABLE if all_reliable else BEST_EFFORT),
            TRANSIENT_LOCAL if latched else VOLATILE, depth))
    return tuple(result)


def to_publish(requested: Sequence[QoSProfile], options: Mapping[str, Any]) -> QoSProfile:
    """Return the profile of a publisher that reaches every subscription: the strictest."""
    reliability, durability = _given(options)
    if durability is None:
        durability = (TRANSIENT_LOCAL if any(q.durability == TRANSIENT_LOCAL for q in requested)
                      else VOLATILE)
    return profile(reliability or RELIABLE, durability, options.get('depth') or 10)


def key(qos: QoSProfile) -> Tuple[int, int, int]:
    """Return what tells two of these profiles apart."""
    return int(qos.reliability), int(qos.durability), qos.depth
