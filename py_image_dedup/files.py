"""The file system: what files and folders are right now.  Paths are ``str`` with surrogate escapes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedRandom, BufferedReader
from pathlib import PurePath
from typing import Final

from py_image_dedup.errors import RootError
from py_image_dedup.mounts import Mounts

HIDDEN: Final = ".py-image-dedup-"
"""How the names begin that files have for a moment while they are acted on."""


def check_roots(roots: Sequence[str]) -> None:
    """Raise :class:`RootError` unless every root is a folder that can be listed."""
    for root in roots:
        try:
            with os.scandir(root):
                pass
        except OSError as error:
            raise RootError(
                f"the folder {printable(root)} can't be read ({error.strerror}); "
                "mount or create it, or take it out of analysis.source_directories"
            ) from None


def is_empty(folder: str) -> bool:
    """Tell whether a folder has no entries at all."""
    with os.scandir(folder) as entries:
        return next(entries, None) is None


def identity(path: str) -> tuple[int, int] | None:
    """Return device and inode of what a path leads to, None if there is nothing."""
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def vanished(path: str) -> bool:
    """Tell whether nothing is at this path for certain (an I/O error is not certain)."""
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno in {errno.ENOENT, errno.ENOTDIR}
    return False


@dataclass(frozen=True, slots=True)
class Inode:
    """What a regular file is right now: where its bytes live, how many, since when, and under how many names."""

    device: int
    number: int
    size: int
    mtime_ns: int
    links: int = field(default=1, compare=False)

    def is_same_file(self, other: Inode | None) -> bool:
        """Tell whether another one is this file, under whatever name, changed or not."""
        return other is not None and (self.device, self.number) == (other.device, other.number)


def look(path: str) -> Inode | None:
    """Return the regular file at this path as it is now, None for anything else (link, folder, nothing)."""
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    return Inode(facts.st_dev, facts.st_ino, facts.st_size, storable(facts.st_mtime_ns), facts.st_nlink)


def storable(nanoseconds: int) -> int:
    """Bring a time beyond the years 1678 to 2262, which file systems can hold, into the 64 bits that stores have."""
    return max(-(2**63), min(nanoseconds, 2**63 - 1))


@contextmanager
def open_regular(path: str) -> Iterator[BufferedReader]:
    """Open a regular file for reading; a link, FIFO or device swapped in raises OSError and never blocks."""
    with open(path, "rb", opener=_open_as_it_is) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        yield file


def _open_as_it_is(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def is_being_written(path: str) -> bool:
    """Tell whether somebody has a file open for writing, where the system tells us.

    It lends files only that nobody writes to; it does so to their owner and to root, on local disks.
    """
    try:
        with open_regular(path) as file:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False


def sha256(path: str) -> str:
    """Return the SHA-256 of a regular file (hex); OSError if it can't be read."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_below(path: str, folders: Sequence[str]) -> bool:
    """Tell whether a path is one of these folders or lies in one, by name."""
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


class FolderSet:
    """Folders that are recognised under whatever alias path leads there.

    Symbolic links and bind mounts are such paths, also a mount of what lies deep inside one of the folders.
    Folders met before are remembered for the life of the object; make one per plan.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self._identities = frozenset(filter(None, map(identity, folders)))
        self._mounts = Mounts.read()
        self._places = [self._mounts.place(os.path.realpath(folder)) for folder in folders if identity(folder)]
        self._seen: dict[str, bool] = {}

    def holds(self, path: str) -> bool:
        """Tell whether one of the folders is above this path."""
        return bool(self._identities) and self._is_inside(os.path.dirname(path))

    def _is_inside(self, folder: str) -> bool:
        above = [folder]
        while above[-1] not in self._seen and above[-1] != os.path.dirname(above[-1]):
            above.append(os.path.dirname(above[-1]))
        inside = False
        for one in reversed(above):
            if one not in self._seen:
                self._seen[one] = inside or identity(one) in self._identities or self._is_mounted_from_inside(one)
            inside = self._seen[one]
        return inside

    def _is_mounted_from_inside(self, folder: str) -> bool:
        """Tell whether a folder is, by another mount of the same disk, one below those of the set."""
        disk, path = self._mounts.place(os.path.realpath(folder))
        return any(disk == other and is_below(path, [above]) for other, above in self._places)


@contextmanager
def replacing(path: str) -> Iterator[BufferedRandom]:
    """Replace a file by what the block writes, at once and with its rights: a reader sees the old or the new one whole.

    A link is followed.  Nothing changes if the block fails.
    """
    path = os.path.realpath(path)
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=HIDDEN)
    try:
        with open(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), _mode(path))
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _mode(path: str) -> int:
    """Return the mode of a file, or the one that a new file gets."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def leads_elsewhere(folder: str) -> bool:
    """Tell whether a link stands in the place of a folder, or of one above it, as far as these are there."""
    return os.path.realpath(folder) != folder


def missing_folders(folder: str) -> list[str]:
    """Return the folders, topmost first, that have to be made for this one (an absolute path) to be there."""
    missing: list[str] = []
    while not os.path.lexists(folder):
        missing.insert(0, folder)
        folder = os.path.dirname(folder)
    return missing


def make_folders(folders: Sequence[str], *, mode: int = 0o777) -> None:
    """Make folders, topmost first, so that they survive a power cut; what is there already is no error."""
    for folder in folders:
        with suppress(FileExistsError):
            os.mkdir(folder, mode)
        sync_folder(os.path.dirname(folder))


def sync_folder(folder: str) -> None:
    """Make new names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def folders_left_empty(going: Collection[str], roots: Sequence[str]) -> list[str]:
    """Return the folders, deepest first, that would hold nothing once these files are gone; never a root."""
    gone = set(going)
    empty: list[str] = []
    folders = {os.path.dirname(path) for path in going}
    while folders:
        folder = max(folders, key=lambda path: (path.count("/"), path))
        folders.remove(folder)
        if folder in roots or not is_below(folder, roots):
            continue
        try:
            with os.scandir(folder) as entries:
                stays = any(entry.path not in gone for entry in entries)
        except OSError:
            continue
        if not stays:
            empty.append(folder)
            gone.add(folder)
            folders.add(os.path.dirname(folder))
    return empty


def destination_below(target: str, path: str) -> str:
    """Return where a file goes below the target: its whole absolute path, kept as folders."""
    return os.path.join(target, *PurePath(path).parts[1:])


def printable(path: str) -> str:
    """Return a path fit for a terminal or log: control characters, odd bytes and direction marks escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in path
    )
