"""How the C library of this process keeps memory, where that is glibc: as little as it can.

By itself it keeps, in an arena for each of many threads, what the largest pictures and passes took there.
"""

from __future__ import annotations

import ctypes
from typing import Final

_M_MMAP_THRESHOLD: Final = -3  # of glibc's malloc.h
_M_ARENA_MAX: Final = -8
_LARGE = 1 << 20  # bytes; what is larger goes back to the system as soon as it is free
_ARENAS = 2


def keep_little() -> None:
    """Let what is large go back at once, and let threads share what is kept."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Return to the system what is free now."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
