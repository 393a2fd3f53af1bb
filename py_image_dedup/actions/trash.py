"""The trash of the desktop (freedesktop.org), always the one on the file's own disk."""

from __future__ import annotations

import datetime as dt
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from py_image_dedup.errors import ActionRefused
from py_image_dedup.files import make_folders, missing_folders, printable, sync_folder

_LONGEST_NAME = 255 - len(".trashinfo")  # bytes


@dataclass(frozen=True, slots=True)
class Trash:
    """The trash folders of a user: the one at home, and one at the top of every other disk."""

    home: str
    user: int

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Return the trash of whoever runs this."""
        data = environment.get("XDG_DATA_HOME", "")
        if not data.startswith("/"):
            data = os.path.join(os.path.expanduser("~"), ".local/share")
        return cls(os.path.realpath(os.path.join(data, "Trash")), os.getuid())

    def place(self, path: str) -> tuple[str, str]:
        """Return where a file would go: its place and that of the note about it; both names are free now.

        Makes the folders of the trash.  ActionRefused where there can be none on that disk.
        """
        folder = self._folder(path)
        try:
            for part in ("files", "info"):
                make_folders(missing_folders(os.path.join(folder, part)), mode=0o700)
        except OSError as error:
            raise ActionRefused(
                f"there can be no trash on its disk ({printable(folder)}: {error.strerror}); move or delete it instead"
            ) from None
        for name in _names(os.path.basename(path)):
            place, info = os.path.join(folder, "files", name), os.path.join(folder, "info", f"{name}.trashinfo")
            if not os.path.lexists(place) and not os.path.lexists(info):
                return place, info
        raise AssertionError("names never run out")

    def _folder(self, path: str) -> str:
        """Choose the trash at home for files on its disk, else that at the top of the file's disk."""
        device = os.lstat(path).st_dev
        if device == os.stat(_existing(self.home)).st_dev:
            return self.home
        top = os.path.dirname(path)
        while top != "/" and os.lstat(os.path.dirname(top)).st_dev == device:
            top = os.path.dirname(top)
        shared = os.path.join(top, ".Trash")
        if _is_shared_trash(shared):
            return os.path.join(shared, str(self.user))
        own = os.path.join(top, f".Trash-{self.user}")
        if os.path.lexists(own) and not _is_own_folder(own, self.user):
            raise ActionRefused(f"{printable(own)} is no trash of yours; move or delete the file instead")
        return own


def write_info(path: str, info: str) -> None:
    """Write the note from which a desktop restores a file; FileExistsError when the name is taken."""
    trash = os.path.dirname(os.path.dirname(info))
    above = os.path.dirname(trash)
    if os.path.basename(trash).startswith(".Trash-"):
        path = os.path.relpath(path, above)
    elif os.path.basename(above) == ".Trash":
        path = os.path.relpath(path, os.path.dirname(above))
    now = dt.datetime.now()  # noqa: DTZ005  # the specification asks for local time
    text = f"[Trash Info]\nPath={quote(os.fsencode(path))}\nDeletionDate={now:%Y-%m-%dT%H:%M:%S}\n"
    descriptor = os.open(info, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(os.path.dirname(info))


def _existing(path: str) -> str:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _is_shared_trash(folder: str) -> bool:
    """Tell whether the administrator made a trash for all: a folder, no link, with the sticky bit."""
    try:
        mode = os.lstat(folder).st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) and bool(mode & stat.S_ISVTX)


def _is_own_folder(folder: str, user: int) -> bool:
    facts = os.lstat(folder)
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == user


def _names(name: str) -> Iterator[str]:
    """Yield the name, then "name 2.ext", "name 3.ext" ..., short enough for the note as well."""
    stem, extension = os.path.splitext(name)
    number = 1
    while True:
        suffix = f" {number}{extension}" if number > 1 else extension
        while stem and len(os.fsencode(stem + suffix)) > _LONGEST_NAME:
            stem = stem[:-1]
        yield stem + suffix
        number += 1
