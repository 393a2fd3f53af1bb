"""Changes by walking through folders again and again: works everywhere, also on network mounts."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterator
from itertools import groupby
from typing import Final, NamedTuple

from py_image_dedup.daemon.inbox import Inbox
from py_image_dedup.files import is_below
from py_image_dedup.model import Seen
from py_image_dedup.walking import Scope

_LEAST_PAUSE_S: Final = 1.0
_SHARE: Final = 20
"""A pause is so many times as long as the walk before it: polling takes 5 % of the time at most."""


class _Listing(NamedTuple):
    """The files of a folder, packed: names, and a fingerprint of size and time for each."""

    names: bytes
    facts: array[int]

    def facts_by_name(self) -> dict[str, int]:
        return dict(zip(os.fsdecode(self.names).split("/"), self.facts, strict=True))


class Polling:
    """Walks roots whenever it is due, compares with the walk before, and leaves what changed in an inbox."""

    def __init__(self, scope: Scope, inbox: Inbox, roots: list[str]) -> None:
        self._scope = scope
        self._inbox = inbox
        self._roots = roots
        self._folders: dict[str, _Listing] = {}
        self._due_at = 0.0

    def start(self) -> None:
        """Remember what there is, to be compared with later."""
        self._folders = self._walk()

    def covers(self, path: str) -> bool:
        """Tell whether a path lies below one of the roots that are polled."""
        return is_below(path, self._roots)

    def poll(self, now: float) -> None:
        """Walk if it is due."""
        if now < self._due_at:
            return
        before, self._folders = self._folders, self._walk()
        for folder in before.keys() | self._folders.keys():
            old, new = before.get(folder), self._folders.get(folder)
            if old != new:
                for name in _different(old, new):
                    self._inbox.put(os.path.join(folder, name))

    def _walk(self) -> dict[str, _Listing]:
        began = time.monotonic()
        folders: dict[str, _Listing] = {}
        for root in self._roots:
            seen = (found for found in self._scope.walk(root) if isinstance(found, Seen))
            for folder, files in groupby(seen, lambda found: os.path.dirname(found.path)):
                some = list(files)
                names = b"/".join(os.fsencode(os.path.basename(file.path)) for file in some)
                folders[folder] = _Listing(names, array("q", (hash((file.size, file.mtime_ns)) for file in some)))
        ended = time.monotonic()
        self._due_at = ended + max(_LEAST_PAUSE_S, _SHARE * (ended - began))
        return folders


def _different(old: _Listing | None, new: _Listing | None) -> Iterator[str]:
    """Yield the names of files that came, changed or went."""
    before, now = (listing.facts_by_name() if listing else {} for listing in (old, new))
    return (name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
