"""A copy becomes another name of its keeper, or shares its bytes, and becomes a file of its own again.

At every moment there is a whole file under the name of the copy.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import os
import shutil
from contextlib import suppress
from typing import Final

from py_image_dedup import files
from py_image_dedup.actions import relocation
from py_image_dedup.errors import ActionRefused
from py_image_dedup.files import Inode
from py_image_dedup.journal import Step
from py_image_dedup.plan import Action

_FICLONE: Final = 0x40049409
_NO_SHARING: Final = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS}


def replace(step: Step, as_seen: Inode) -> None:
    """Put a link in place of a copy that was seen as `as_seen`, made beside it under a hidden name before."""
    hidden = step.aside(os.path.dirname(step.path))
    keeper = step.keeper or ""
    try:
        if step.action == Action.HARDLINK:
            os.link(keeper, hidden, follow_symlinks=False)
        else:
            _share(keeper, hidden)
            relocation.copy_metadata(step.path, hidden)
            _sync(hidden)
        if files.sha256(hidden) != step.sha256:
            raise ActionRefused("the keeper changed at the last moment")  # noqa: TRY301  # cleaned up below
        _put_in_place(hidden, step.path, as_seen)
    except BaseException:
        if (left := files.look(hidden)) and left != as_seen:
            os.unlink(hidden)
        raise
    files.sync_folder(os.path.dirname(step.path))


def make_independent(step: Step) -> None:
    """Turn a link back into the file that it replaced; ActionRefused when it holds other bytes by now."""
    folder = os.path.dirname(step.path)
    hidden = step.aside(folder)
    left, now = files.look(hidden), files.look(step.path)
    changed = _hash(step.path) != step.sha256
    is_last = changed and left is not None and not left.is_same_file(files.look(step.keeper or ""))
    if (is_last or _is_original(step, hidden)) and _hash(hidden) == step.sha256:
        # Cut off between two steps: the file itself is still there, or a copy of it that nobody else has any more.
        if changed and os.path.lexists(step.path):
            raise ActionRefused(f"something else stands in its place, and it is kept as {files.printable(hidden)}")
        os.rename(hidden, step.path)
        files.sync_folder(folder)
        return
    if left:
        os.unlink(hidden)
    if now is None:
        raise ActionRefused("it is gone")
    if changed:
        raise ActionRefused("it was changed since")
    if _is_original(step, step.path):
        return
    _copy(step, hidden)
    if files.look(step.path) != now:
        os.unlink(hidden)
        raise ActionRefused(relocation.CHANGED)
    os.rename(hidden, step.path)
    files.sync_folder(folder)


def _put_in_place(hidden: str, path: str, as_seen: Inode) -> None:
    """Let the two change names, so that what was there can be looked at once more before it goes."""
    if files.look(path) != as_seen:
        raise ActionRefused(relocation.CHANGED)
    if not relocation.exchange(hidden, path):
        os.rename(hidden, path)
        return
    if files.look(hidden) != as_seen:
        relocation.exchange(hidden, path)
        raise ActionRefused(relocation.CHANGED)
    os.unlink(hidden)


def _share(keeper: str, hidden: str) -> None:
    """Make a file that shares the bytes of the keeper (a reflink)."""
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with files.open_regular(keeper) as source:
            fcntl.ioctl(descriptor, _FICLONE, source.fileno())
    except OSError as error:
        if error.errno in _NO_SHARING:
            raise ActionRefused(
                "its file system can't share bytes between these files (reflink); use another action"
            ) from None
        raise
    finally:
        os.close(descriptor)


def _copy(step: Step, hidden: str) -> None:
    """Write a copy of the bytes with the recorded owner, mode, time and attributes."""
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as target, files.open_regular(step.path) as source:
            shutil.copyfileobj(source, target, 1 << 20)
        if files.sha256(hidden) != step.sha256:
            raise OSError(errno.EIO, "the copy differs from its source", hidden)  # noqa: TRY301  # cleaned up
        restore_metadata(step, hidden)
        _sync(hidden)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(hidden)
        raise


def restore_metadata(step: Step, path: str) -> None:
    """Give a file or folder what was recorded of the one that it replaces."""
    if step.owner is not None:
        with suppress(PermissionError):
            os.chown(path, *step.owner)
    for name, value in step.attributes.items():
        with suppress(OSError):  # those of the system may not be set by users
            os.setxattr(path, name, base64.b64decode(value))
    if step.mode is not None:
        os.chmod(path, step.mode & 0o7777)
    os.utime(path, ns=(step.mtime_ns, step.mtime_ns))


def _is_original(step: Step, path: str) -> bool:
    """Tell whether a file is the one from before the act; its number alone is given to another one soon after."""
    now = files.look(path)
    return now is not None and (
        (now.number, now.size, now.mtime_ns, os.lstat(path).st_mode)
        == (step.inode, step.size, step.mtime_ns, step.mode)
    )


def _hash(path: str) -> str | None:
    return files.sha256(path) if files.look(path) else None


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
