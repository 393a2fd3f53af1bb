"""Which folder of which disk is seen at a path, as the kernel's table of mounts tells."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final, Self

_TABLE: Final = "/proc/self/mountinfo"
_PLANNED: Final = "/etc/fstab"
_REMOTE: Final = frozenset(
    (
        "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse", "gfs2", "glusterfs", "gpfs", "lustre",
        "ncpfs", "nfs", "nfs4", "ocfs2", "prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
    )
)  # fmt: skip
"""File systems that others may change without this machine hearing of it."""


class Mounts:
    """The mounts of a moment: by mount point, the disk ("major:minor"), its folder that is mounted, and its kind."""

    @classmethod
    def read(cls) -> Self:
        """Read the kernel's table; where there is none, every path is of one disk."""
        mounted: dict[str, tuple[str, str, str]] = {}
        try:
            with open(_TABLE, encoding="utf-8", errors="surrogateescape") as table:
                for line in table:
                    _, _, disk, folder, point, *_ = line.split(" ")
                    kind = line.partition(" - ")[2].partition(" ")[0]
                    mounted[_plain(point)] = disk, _plain(folder), kind  # of several on one point the last one is seen
        except OSError:
            pass
        return cls(mounted)

    def __init__(self, mounted: Mapping[str, tuple[str, str, str]]) -> None:
        self._mounted = mounted

    def place(self, path: str) -> tuple[str, str]:
        """Return the disk of a real path and its path there, from the root of the disk."""
        point, (disk, folder, _) = self._above(path)
        return disk, os.path.normpath(os.path.join(folder, os.path.relpath(path, point)))

    def is_remote(self, path: str) -> bool:
        """Tell whether a real path lies on a disk that others may change unnoticed, such as a network mount."""
        _, (_, _, kind) = self._above(path)
        return kind in _REMOTE or kind.startswith("fuse.")

    def absent(self, path: str) -> str:
        """Return the mount point at or above a real path on which a disk belongs and is not; "" if there is none."""
        planned = _planned() if self._mounted else frozenset()
        point = path
        while point not in planned and point not in self._mounted and point != os.path.dirname(point):
            point = os.path.dirname(point)
        return "" if point in self._mounted or point not in planned else point

    def _above(self, path: str) -> tuple[str, tuple[str, str, str]]:
        """Return the mount point above a path, and what is mounted there."""
        point = path
        while point not in self._mounted and point != os.path.dirname(point):
            point = os.path.dirname(point)
        return point, self._mounted.get(point, ("", "/", ""))


def _planned() -> frozenset[str]:
    """Return the mount points that the machine's own table names, mounted or not."""
    try:
        with open(_PLANNED, encoding="utf-8", errors="surrogateescape") as table:
            entries = [line.split() for line in table if not line.lstrip().startswith("#")]
    except OSError:
        return frozenset()
    return frozenset(os.path.realpath(_plain(entry[1])) for entry in entries if entry[1:] and entry[1].startswith("/"))


def _plain(text: str) -> str:
    """Take back the octal escapes of white space and backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
