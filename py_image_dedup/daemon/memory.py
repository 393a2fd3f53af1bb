"""How the C library of this process keeps memory."""

from __future__ import annotations

import ctypes
from typing import Final

_M_MMAP_THRESHOLD: Final = -3  # of glibc's malloc.h
_LARGE = 1 << 20  # bytes


def give_back_what_is_large() -> None:
    """Let buffers of more than a megabyte go back to the system as soon as they are free, where glibc is used.

    By itself it keeps, for each of many threads, what the largest pictures took there: tens of megabytes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
