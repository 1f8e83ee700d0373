"""
Memory of a training step on a CPU: what was freed is kept for the next tensor.

By default glibc gives every large block back to the system, which fills it with zeros, page by
page, when the next one is asked for. A training step asks for thousands of them: writing to fresh
pages takes longer than the multiplication whose result they take. Blocks of ever other sizes leave
gaps, though, so that the heap grows; it is given back when it has grown too much.
"""
import ctypes
import os
import resource

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
"""Of mallopt(3)."""
_NEVER = 2 ** 31 - 1
_TOP_PAD_BYTES = 256 * 2 ** 20
_GAPS = 1.3
"""Times as much a process holds that keeps what was freed: 21 GB for 17, measured in float32."""


def keep_freed() -> bool:
    """Have this process keep freed memory, in one heap; tell whether it could be set (glibc)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all([mallopt(name, value) for name, value in (
        (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _TOP_PAD_BYTES), (_ARENA_MAX, 1))])


def has_room() -> bool:
    """Tell whether the machine has room for the gaps, by the most that the process has held."""
    try:
        machine = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 * _GAPS < machine
    except (OSError, ValueError):
        return False


def give_back(part: float) -> bool:
    """Give freed memory back when the process holds more than a part of all; tell whether."""
    try:
        with open('/proc/self/statm', encoding='ascii') as file:
            held_pages = int(file.read().split()[1])
        if held_pages <= part * os.sysconf('SC_PHYS_PAGES'):
            return False
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return False
    return True
