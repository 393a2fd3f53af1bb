"""The one walker and the one selector: which files there are to look at.

Paths are ``str`` with surrogate escapes; no symbolic link below a root is followed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from py_image_dedup.files import HIDDEN, identity, storable
from py_image_dedup.model import Cause, Seen, Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which files below a root are looked at.

    `extensions`: lower case with dot; None for all files.  `exclusions`: patterns searched in the absolute path; a
    folder whose path with a trailing slash matches is not entered.  `hidden`: whether names with a first dot count.
    """

    extensions: frozenset[str] | None
    exclusions: tuple[re.Pattern[str], ...] = ()
    hidden: bool = False
    recursive: bool = True

    def wants_file(self, name: str, path: str) -> bool:
        """Tell whether a file of this name and path is in scope."""
        return (
            (self.extensions is None or os.path.splitext(name)[1].lower() in self.extensions)
            and (self.hidden or not name.startswith("."))
            and not name.startswith(("._", HIDDEN))  # macOS keeps resource forks under the picture's name
            and not self._excluded(path)
        )

    def enters(self, name: str, path: str) -> bool:
        """Tell whether a folder of this name and path is walked; a trash never is."""
        return (
            self.recursive
            and (self.hidden or not name.startswith("."))
            and not is_trash(path)
            and not self._excluded(path + "/")
        )

    def _excluded(self, path: str) -> bool:
        return bool(self.exclusions) and any(pattern.search(path) for pattern in self.exclusions)


def is_trash(folder: str) -> bool:
    """Tell whether a folder is a trash by its name, as desktops make them (freedesktop.org)."""
    name = os.path.basename(folder)
    return name.startswith(".Trash") or folder.endswith("/share/Trash")


def walk(
    roots: Sequence[str],
    *,
    select: Selector,
    avoid: str | None = None,
    start: str | None = None,
    entered: Callable[[str], None] = lambda _: None,
) -> Iterator[Seen | Skipped]:
    """Yield every selected file below the roots once, folder by folder in order of name.

    `roots` are real paths; one inside another is walked as a root of its own.  `avoid` (the target of moves) is
    never entered, under whatever name it is met.  What can't be used comes as :class:`Skipped`: symbolic links,
    special files, folders that can't be listed.

    `start`: only what lies below this folder is wanted.  `entered` is told each folder right before it is listed.
    """
    others = frozenset(roots)
    avoided = identity(avoid) if avoid is not None else None
    for root in roots if start is None else [start]:
        pending = [root]
        while pending:
            folder = pending.pop()
            if avoided is not None and identity(folder) == avoided:
                continue
            entered(folder)
            try:
                with os.scandir(folder) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
            except OSError as error:
                yield Skipped(folder, f"the folder can't be listed: {error.strerror}", Cause.UNREADABLE)
                continue
            below: list[str] = []
            for entry in entries:
                try:
                    is_folder = entry.is_dir(follow_symlinks=False)
                except OSError as error:  # file systems that don't list types are asked about each entry
                    yield Skipped(entry.path, f"can't be looked at: {error.strerror}", Cause.UNREADABLE)
                    continue
                if is_folder:
                    if select.enters(entry.name, entry.path) and entry.path not in others:
                        below.append(entry.path)
                elif (found := _look(entry, select)) is not None:
                    yield found
            pending.extend(reversed(below))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where files are looked for, and which: see :func:`walk`."""

    roots: Sequence[str]
    select: Selector
    avoid: str | None = None

    def walk(
        self, start: str | None = None, entered: Callable[[str], None] = lambda _: None
    ) -> Iterator[Seen | Skipped]:
        """Yield what there is, or what there is below one folder."""
        return walk(self.roots, select=self.select, avoid=self.avoid, start=start, entered=entered)

    def wants(self, path: str) -> bool:
        """Tell whether a file of this name is in scope, in a folder that is."""
        return self.select.wants_file(os.path.basename(path), path)

    def enters(self, folder: str) -> bool:
        """Tell whether a folder in one that is in scope is walked, as part of the root above it."""
        return self.select.enters(os.path.basename(folder), folder) and folder not in self.roots

    def coverage(self) -> Callable[[str], bool]:
        """Return what tells whether the walk comes to a file of some path, by the folders above it as they are now.

        Folders that were met are remembered; have a new one for each plan.
        """
        avoided = identity(self.avoid) if self.avoid is not None else None

        def is_avoided(folder: str) -> bool:
            return avoided is not None and identity(folder) == avoided

        entered = {"/": False} | {root: not is_avoided(root) for root in self.roots}

        def covers(path: str) -> bool:
            above = [os.path.dirname(path)]
            while above[-1] not in entered:
                above.append(os.path.dirname(above[-1]))
            inside = entered[above.pop()]
            for folder in reversed(above):
                inside = inside and self.select.enters(os.path.basename(folder), folder) and not is_avoided(folder)
                entered[folder] = inside
            return inside and self.wants(path)

        return covers


def _look(entry: os.DirEntry[str], select: Selector) -> Seen | Skipped | None:
    """Turn a directory entry that is no folder into what the walk yields; None if it is out of scope."""
    if not select.wants_file(entry.name, entry.path):
        return None
    try:
        facts = entry.stat(follow_symlinks=False)
    except OSError as error:
        return Skipped(entry.path, f"can't be looked at: {error.strerror}", Cause.UNREADABLE)
    if stat.S_ISLNK(facts.st_mode):
        return Skipped(entry.path, "a symbolic link, not followed", Cause.NO_FILE)
    if not stat.S_ISREG(facts.st_mode):
        return Skipped(entry.path, "not a regular file", Cause.NO_FILE)
    return Seen(entry.path, facts.st_size, storable(facts.st_mtime_ns))
