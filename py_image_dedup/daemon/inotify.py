"""Changes on local disks as the kernel tells them; the one door to watchdog.

watchdog's own observers add half a second to pair renames, watch folders that are never entered, and say nothing when
the kernel has no more watches to give.  So only its reader of the kernel's queue is used here: folders are watched as
the walker enters them, and a rename is a path that went and a path that came.
"""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Sequence
from typing import Final, Self

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

from py_image_dedup.daemon.inbox import Inbox
from py_image_dedup.model import Seen
from py_image_dedup.walking import Scope

_EVENTS: Final = Mask(
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_MODIFY
    | InotifyConstants.IN_ATTRIB
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVE
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
    | InotifyConstants.IN_EXCL_UNLINK
)
_ID: Final = CallbackId(0)
_GONE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # a folder that went while it was looked at
# A folder made while the one above is listed is entered twice, by the walk and by its event: that is no trouble.
warnings.filterwarnings("ignore", "Callback with id .* already exists", RuntimeWarning)


class Inotify:
    """Watches folders, and leaves paths in an inbox.

    `trouble` tells why it has to be made anew, and is empty as long as all is well.
    """

    @classmethod
    def over(cls, roots: Sequence[str], scope: Scope, inbox: Inbox) -> Self:
        """Watch these folders and all below; OSError if the kernel can't watch so many."""
        made = cls(scope, inbox, InotifyFD())
        try:
            for root in roots:
                for _ in scope.walk(root, made._watch):
                    pass
        except BaseException:
            made._reader.start()  # it closes what it opened at the end of its thread only
            made.stop()
            raise
        made._reader.start()  # from here on the folders are known to its thread alone
        return made

    def __init__(self, scope: Scope, inbox: Inbox, reader: InotifyFD) -> None:
        self._scope = scope
        self._inbox = inbox
        self._reader = reader
        self._folders: dict[WatchDescriptor, str] = {}
        self._watches: dict[str, WatchDescriptor] = {}
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Tell why changes may have been missed."""
        return self._trouble or ("" if self._reader.is_alive() else "the thread that reads changes has ended")

    def stop(self) -> None:
        """Watch no longer; stopping twice is no error."""
        self._reader.stop()
        self._reader.join()

    # What the reader calls, in its thread

    def on_event(self, event: InotifyEvent) -> None:
        """Take note of an event; what goes wrong here must not end the thread unnoticed."""
        folder = self._folders.get(event.wd)
        if folder is None or not event.name:
            return
        path = os.path.join(folder, os.fsdecode(event.name))
        try:
            if event.mask & InotifyConstants.IN_ISDIR:
                self._folder(path, event)
            elif self._scope.wants(path):
                self._inbox.put(path)
        except Exception as error:  # noqa: BLE001 - whatever it is, the daemon begins to watch anew
            self._trouble = f"{path} can't be watched: {error}"

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Forget a folder that is gone."""
        folder = self._folders.pop(wd, None)
        if folder is not None and self._watches.get(folder) == wd:
            del self._watches[folder]

    def on_queue_overflow(self) -> None:
        """Say that events were lost."""
        self._trouble = "more changed at once than the kernel could tell"

    def _folder(self, path: str, event: InotifyEvent) -> None:
        if event.is_delete or event.is_moved_from:
            self._forget(path)
            self._inbox.put(path)
        elif (event.is_create or event.is_moved_to) and self._scope.enters(path):
            for found in self._scope.walk(path, self._watch):
                if isinstance(found, Seen):
                    self._inbox.put(found.path)

    def _watch(self, folder: str) -> None:
        """Begin to watch a folder, right before it is listed, so that nothing comes unseen in between."""
        try:
            watch = self._reader.add_callback(os.fsencode(folder), _EVENTS, self, _ID)
        except OSError as error:
            if error.errno in _GONE:
                return
            raise
        if watch != -1:  # a folder that may not be read, which the walker tells of
            self._folders[watch] = folder
            self._watches[folder] = watch

    def _forget(self, folder: str) -> None:
        """Watch a folder and those below no longer: where they are now, they have another name or are out of scope."""
        left = [path for path in self._watches if path == folder or path.startswith(folder + "/")]
        watches = [self._watches.pop(path) for path in left]
        for watch in watches:
            self._folders.pop(watch, None)
        self._reader.remove_callbacks([(watch, _ID) for watch in watches])
