"""Every root is watched in the way that works there; disks that go or come, and watchers that die, are noticed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from py_image_dedup import files
from py_image_dedup.daemon.inbox import Inbox
from py_image_dedup.daemon.inotify import Inotify
from py_image_dedup.daemon.polling import Polling
from py_image_dedup.errors import RootError
from py_image_dedup.log import Log
from py_image_dedup.mounts import Mounts
from py_image_dedup.walking import Scope


@dataclass(frozen=True, slots=True)
class _Place:
    """A root as it was when watching began: a folder of its own disk or not, and which one."""

    path: str
    is_mount: bool
    identity: tuple[int, int]

    @classmethod
    def of(cls, path: str) -> _Place:
        facts = os.stat(path)
        return cls(path, os.path.ismount(path), (facts.st_dev, facts.st_ino))

    def still_holds(self) -> bool:
        """Tell whether the same folder of the same disk is there."""
        try:
            return _Place.of(self.path) == self
        except OSError:
            return False


class Watching:
    """Fills an inbox with what changes below the roots.

    `lost` holds the roots that are not there now: nothing may be concluded from what is missing below them.
    """

    def __init__(self, scope: Scope, inbox: Inbox, log: Log, *, polling: bool) -> None:
        """With `polling` nothing is asked of the kernel."""
        self.lost: tuple[str, ...] = ()
        self.renewals = 0
        """How often watching had to begin anew."""
        self._scope = scope
        self._inbox = inbox
        self._log = log
        self._polling_only = polling
        self._places: dict[str, _Place] = {}
        self._inotify: Inotify | None = None
        self._polling: Polling | None = None

    def start(self) -> None:
        """Begin to watch; :class:`RootError` if a root is missing."""
        files.check_roots(self._scope.roots)
        self._places = {root: _Place.of(root) for root in self._scope.roots}
        mounts = Mounts.read()
        polled = [root for root in self._scope.roots if self._polling_only or mounts.is_remote(root)]
        watched = [root for root in self._scope.roots if root not in polled]
        if watched and not self._watched(watched):
            polled += watched
        if polled:
            self._polling = Polling(self._scope, self._inbox, polled)
            self._polling.start()

    def stop(self) -> None:
        """Watch no longer."""
        if self._inotify is not None:
            self._inotify.stop()
        self._inotify = self._polling = None

    def look(self, now: float) -> None:
        """Poll if that is due, and begin anew where disks came back or watching failed."""
        self._note_lost([root for root in self._scope.roots if not self._is_there(root)])
        if self.lost:
            return
        if trouble := self._trouble():
            self._log.alert(f"Watching begins anew: {trouble}.")
            self.renewals += 1
            self.stop()
            try:
                self.start()
            except (RootError, OSError):  # gone again; the next look tells
                self._places.clear()
                return
            self._inbox.put_everything()
        if self._polling is not None:
            self._polling.poll(now)

    def is_polled(self, path: str) -> bool:
        """Tell whether a path lies where changes can't be heard of."""
        return self._polling is not None and self._polling.covers(path)

    def _watched(self, roots: list[str]) -> bool:
        """Watch these roots; tell whether the kernel can."""
        try:
            self._inotify = Inotify.over(roots, self._scope, self._inbox)
        except OSError as error:
            self._log.alert(
                f"The folders are polled, because the kernel can't watch them ({error.strerror}); raise "
                "fs.inotify.max_user_watches or max_user_instances, or set daemon.file_observer to polling"
            )
            return False
        return True

    def _trouble(self) -> str:
        if not self._places:
            return "the folders are back"
        for root, place in self._places.items():
            if not place.still_holds():
                return f"another disk or folder is at {files.printable(root)}"
        return self._inotify.trouble if self._inotify is not None else ""

    def _is_there(self, root: str) -> bool:
        place = self._places.get(root)
        try:
            files.check_roots([root])
        except RootError:
            return False
        return place is None or not place.is_mount or os.path.ismount(root)

    def _note_lost(self, lost: Sequence[str]) -> None:
        for root in lost:
            if root not in self.lost:
                self._log.alert(f"The folder {files.printable(root)} is gone: is a disk not mounted? Nothing is done.")
        if self.lost and not lost:
            self._log.note("The folders are back.")
            self._places.clear()
        self.lost = tuple(lost)
