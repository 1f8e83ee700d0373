"""
Memory of a training step on a CPU: what was freed is kept for the next tensor.

By default glibc gives every large block back to the system, which fills it with zeros, page by
page, when the next one is asked for. A training step asks for thousands of them: writing to fresh
pages takes longer than the multiplication whose result they take.
"""
import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
"""Of mallopt(3)."""
_NEVER = 2 ** 31 - 1
_TOP_PAD_BYTES = 256 * 2 ** 20


def keep_freed() -> bool:
    """Have this process keep freed memory, in one heap; tell whether it could be set (glibc)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all([mallopt(name, value) for name, value in (
        (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _TOP_PAD_BYTES), (_ARENA_MAX, 1))])
