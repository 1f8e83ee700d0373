"""How long a node must be patient with peers that may just have been started."""

FOUND_WITHIN_S = 4.0
"""
Until a process that was just started has been found, topic by topic: Fast DDS says again after 3 s
what got lost while two processes met.
"""
