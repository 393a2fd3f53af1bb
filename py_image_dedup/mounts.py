"""Which folder of which disk is seen at a path, as the kernel's table of mounts tells."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final, Self

_TABLE: Final = "/proc/self/mountinfo"


class Mounts:
    """The mounts of a moment: by mount point, the disk ("major:minor") and the folder of it that is mounted."""

    @classmethod
    def read(cls) -> Self:
        """Read the kernel's table; where there is none, every path is of one disk."""
        mounted: dict[str, tuple[str, str]] = {}
        try:
            with open(_TABLE, encoding="utf-8", errors="surrogateescape") as table:
                for line in table:
                    _, _, disk, folder, point, *_ = line.split(" ")
                    mounted[_plain(point)] = disk, _plain(folder)  # of several on one point the last one is seen
        except OSError:
            pass
        return cls(mounted)

    def __init__(self, mounted: Mapping[str, tuple[str, str]]) -> None:
        self._mounted = mounted

    def place(self, path: str) -> tuple[str, str]:
        """Return the disk of a real path and its path there, from the root of the disk."""
        point = path
        while point not in self._mounted and point != os.path.dirname(point):
            point = os.path.dirname(point)
        disk, folder = self._mounted.get(point, ("", "/"))
        return disk, os.path.normpath(os.path.join(folder, os.path.relpath(path, point)))


def _plain(text: str) -> str:
    """Take back the octal escapes of white space and backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
