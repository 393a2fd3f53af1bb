"""Which files of a folder are opened by anybody, as the kernel tells (inotify), for tests that nothing is."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_IN_OPEN = 0x20
_IN_ISDIR = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def opened_below(folder: Path) -> Iterator[list[str]]:
    """Collect the paths of all files opened below a folder while the block runs; filled when it ends."""
    descriptor = _libc.inotify_init1(os.O_NONBLOCK)
    assert descriptor >= 0, os.strerror(ctypes.get_errno())
    folders = {}
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        watch = _libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_OPEN)
        assert watch >= 0, os.strerror(ctypes.get_errno())
        folders[watch] = path
    opened: list[str] = []
    try:
        yield opened
        try:
            while events := os.read(descriptor, 1 << 20):
                offset = 0
                while offset < len(events):
                    watch, mask, _, length = struct.unpack_from("iIII", events, offset)
                    name = events[offset + 16 : offset + 16 + length].rstrip(b"\0")
                    offset += 16 + length
                    if not mask & _IN_ISDIR:
                        opened.append(str(folders[watch] / os.fsdecode(name)))
        except BlockingIOError:
            pass
    finally:
        os.close(descriptor)
