"""
Quality of service of every topic, chosen on purpose (see docs/interfaces.md).

Every profile can be overridden per topic by `qos_overrides` parameters: pass OVERRIDABLE as
`qos_overriding_options` when an endpoint is created.
"""
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile
from rclpy.qos import ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

LEASE_S = 2.0
"""Seconds of silence of a process after which its peers count it as dead."""

OVERRIDABLE = QoSOverridingOptions.with_default_policies()


def _profile(depth, *, reliable=True, latched=False, lease_s=None):
    profile = QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if latched
                    else DurabilityPolicy.VOLATILE))
    if lease_s is not None:
        profile.liveliness = LivelinessPolicy.AUTOMATIC
        profile.liveliness_lease_duration = Duration(seconds=lease_s)
    return profile


DEEP = 2000
"""
A thousand calls may begin and end at once, and the reader of a keep-last queue that overflows
is not told.
"""

# Orders that must arrive and never wait behind bulk data: their own callback group, no backlog.
COMMAND = _profile(DEEP)
# Facts for the kernel: each one counts.
EVENT = _profile(DEEP)
# The same, offered or requested with a sign of life of the process that publishes them.
EVENT_ALIVE = _profile(DEEP, lease_s=LEASE_S)
# The latest value, for whoever comes late.
STATE = _profile(1, latched=True)
# Deep, so that a late joiner gets all of a usual session; readers fetch gaps by service.
LEDGER = _profile(5000, latched=True)
# For recorders: deep, so that one that comes late gets the session from its start and can verify
# it.
RECORD = _profile(5000, latched=True)
# One announcement per tool server, kept for late joiners.
ANNOUNCE = _profile(1, latched=True)
# A lost block is better than a late one.
AUDIO = _profile(50, reliable=False)
