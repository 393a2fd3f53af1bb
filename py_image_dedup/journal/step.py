"""What is done to one file or folder, with all that taking it back needs; journals hold it word by word."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One file of an act (the picture or a companion of it), or a folder that is removed.

    ``action``: move, trash, delete, hardlink, reflink or prune.  ``inode``, ``mode``, ``owner`` and ``attributes``
    (extended ones, base64) are those of the file before the act; journals of version 1 know none of them.
    ``place`` is where it goes, ``info`` the note of the trash about it, ``keeper`` the file whose bytes a link shares.
    ``hidden`` is the name that the file, or a copy of it, may have for a moment, in the old folder or the new one.
    """

    action: str
    path: str
    size: int = 0
    mtime_ns: int = 0
    sha256: str = ""
    inode: int = 0
    mode: int | None = None
    owner: tuple[int, int] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    place: str | None = None
    info: str | None = None
    keeper: str | None = None
    hidden: str = ""

    def as_data(self) -> dict[str, Any]:
        """Return the step as plain data for JSON; what is not known is left out."""
        values = ((one.name, getattr(self, one.name)) for one in fields(self))
        return {name: value for name, value in values if value not in (None, "", {})}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read a step back; names that this version does not know are left out."""
        known = {one.name for one in fields(cls)}
        values = {name: value for name, value in data.items() if name in known}
        if "owner" in values:
            values["owner"] = tuple(values["owner"])
        return cls(**values)

    def aside(self, folder: str) -> str:
        """Return the hidden path in a folder."""
        return os.path.join(folder, self.hidden)


def attributes_of(path: str) -> dict[str, str]:
    """Return the extended attributes of a file, base64; none where the file system has none."""
    try:
        return {
            name: base64.b64encode(os.getxattr(path, name, follow_symlinks=False)).decode()
            for name in os.listxattr(path, follow_symlinks=False)
        }
    except OSError:
        return {}
