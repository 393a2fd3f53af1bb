"""A file gets another name, on its disk or on another one: never over something else, never half."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from contextlib import suppress
from functools import cache
from typing import Final

from py_image_dedup import files
from py_image_dedup.errors import ActionRefused
from py_image_dedup.files import Inode

CHANGED: Final = "it changed at the last moment"

_NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}
"""What a file system answers that has no hard links, or no more of them for this file."""
_NOT_OFFERED: Final = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}
_NEW_NAME_ONLY: Final = 1
_EXCHANGE: Final = 2
_HERE: Final = -100  # AT_FDCWD


def relocate(source: str, destination: str, *, hidden: str, as_seen: Inode, sha256: str) -> None:
    """Move a file that was seen as `as_seen`; FileExistsError where the name is taken.

    On one disk it is renamed at one stroke, or has a second name before it loses the first.  On another disk it is
    copied under the name `hidden`, synced, compared with its hash, and gets its name when it is whole.  Where
    something fails, or the file is not what was seen, it stays, and nothing is left at the destination.
    """
    try:
        if rename(source, destination, _NEW_NAME_ONLY):
            _settle(source, destination, as_seen)
            return
        os.link(source, destination, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS | {errno.EXDEV}:
            raise
        _copy(source, destination, hidden=hidden, sha256=sha256)
    else:
        if files.look(destination) != as_seen:
            os.unlink(destination)
            raise ActionRefused(CHANGED)
    _leave(source, destination, as_seen)


def claim(source: str, destination: str) -> None:
    """Rename a file to a name in the same folder that nothing else has; FileExistsError when it is taken."""
    if rename(source, destination, _NEW_NAME_ONLY):
        return
    try:
        os.link(source, destination, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        os.rename(source, destination)  # over nothing but the empty file that the line above made
    else:
        os.unlink(source)


def exchange(one: str, other: str) -> bool:
    """Let two files of a folder change names at once; False where the file system does not offer it."""
    return rename(one, other, _EXCHANGE)


def rename(source: str, destination: str, flags: int) -> bool:
    """Call renameat2, which Python lacks; False where the file system or kernel does not offer it."""
    call = _renameat2()
    if call is None:
        return False
    if call(_HERE, os.fsencode(source), _HERE, os.fsencode(destination), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_OFFERED:
        return False
    raise OSError(number, os.strerror(number), source, None, destination)


@cache
def _renameat2() -> ctypes._NamedFuncPointer | None:
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return function


def _settle(source: str, destination: str, as_seen: Inode) -> None:
    """Make a new name survive a power cut; where that fails, or another file got it, give the old name back."""
    try:
        if files.look(destination) != as_seen:
            raise ActionRefused(CHANGED)  # noqa: TRY301  # taken back below
        files.sync_folder(os.path.dirname(destination))
    except BaseException:
        claim(destination, source)
        raise


def _copy(source: str, destination: str, *, hidden: str, sha256: str) -> None:
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as target, files.open_regular(source) as original:
            shutil.copyfileobj(original, target, 1 << 20)
            target.flush()
            copy_metadata(source, hidden)
            os.fsync(target.fileno())
        if files.sha256(hidden) != sha256:
            raise OSError(errno.EIO, "the copy differs from its source", destination)  # noqa: TRY301  # cleaned up
        claim(hidden, destination)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(hidden)
        raise


def copy_metadata(source: str, destination: str) -> None:
    """Give a file the mode, times and extended attributes of another, and its owner if that is permitted."""
    facts = os.lstat(source)
    with suppress(PermissionError):
        os.chown(destination, facts.st_uid, facts.st_gid, follow_symlinks=False)
    shutil.copystat(source, destination, follow_symlinks=False)


def _leave(source: str, destination: str, as_seen: Inode) -> None:
    """Remove the old name of a file that has its new one; where that fails, remove the new one."""
    try:
        files.sync_folder(os.path.dirname(destination))
        now = files.look(source)
        if not as_seen.is_same_file(now):
            return  # nothing or another file is at the old name in this moment: it is not ours
        if now != as_seen:
            raise ActionRefused(CHANGED)  # noqa: TRY301  # taken back below
        os.unlink(source)
    except BaseException:
        if as_seen.is_same_file(files.look(source)):
            os.unlink(destination)  # two names of one picture would look like a copy to the next run
        raise
