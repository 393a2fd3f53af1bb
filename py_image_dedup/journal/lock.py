"""One process acts at a time: a lock in the state directory that ends with its process, however that ends."""

from __future__ import annotations

import datetime as dt
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from py_image_dedup.errors import AnotherRun
from py_image_dedup.files import make_folders, missing_folders
from py_image_dedup.journal.write import unusable


@contextmanager
def acting(state_directory: str) -> Iterator[None]:
    """Hold the lock while acting; :class:`AnotherRun` tells who holds it already."""
    path = os.path.join(state_directory, "acting.lock")
    try:
        make_folders(missing_folders(state_directory), mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(state_directory, error) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            raise AnotherRun(
                f"another run is moving or deleting files ({holder}); wait for it to end, then start again"
            ) from None
        except OSError as error:  # a file system without locks
            raise unusable(state_directory, error) from None
        now = dt.datetime.now().astimezone()
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()}, since {now:%Y-%m-%d %H:%M:%S}\n".encode(), 0)
        except OSError as error:  # a full disk
            raise unusable(state_directory, error) from None
        yield
    finally:
        os.close(descriptor)
