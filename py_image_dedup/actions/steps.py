"""One step on disk, one file or folder: done, made final, and taken back.  Each may be repeated after a crash."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from py_image_dedup import files
from py_image_dedup.actions import links, relocation, trash
from py_image_dedup.errors import ActionRefused
from py_image_dedup.files import Inode
from py_image_dedup.journal import Step
from py_image_dedup.plan import Action

_COARSEST_NS: Final = 2 * 10**9
"""FAT keeps every other second of a time."""


class Gone(ActionRefused):
    """What was deleted can't be taken back."""


def perform(step: Step, as_seen: Inode) -> None:
    """Do a step on a file that was seen as `as_seen`; where it fails, the file is as it was."""
    if step.action == Action.DELETE:
        _set_aside(step, as_seen)
    elif step.place is None:
        links.replace(step, as_seen)
    else:
        if step.info:
            trash.write_info(step.path, step.info)
        try:
            hidden = step.aside(os.path.dirname(step.place))
            relocation.relocate(step.path, step.place, hidden=hidden, as_seen=as_seen, sha256=step.sha256)
        except BaseException:
            _forget(step.info)
            raise


def finish(step: Step) -> None:
    """Make a step final, once all steps of its act were done: what is deleted goes now."""
    if step.action == Action.DELETE:
        os.unlink(step.aside(os.path.dirname(step.path)))


def take_back(step: Step, *, cut_off: bool = False) -> None:
    """Bring the disk back to what it was before the step, as far as it was done.

    ActionRefused, with the reason, where what stands there now is not what the run left; nothing is overwritten.
    `cut_off`: the step, or taking it back, was interrupted, so a copy and its source may both be there.
    """
    for path in filter(None, (step.path, step.place)):
        if files.leads_elsewhere(os.path.dirname(path)):
            raise ActionRefused(f"a folder of {files.printable(os.path.dirname(path))} became a symbolic link")
    if step.action == "prune":
        _make_again(step, cut_off=cut_off)
    elif step.action in {Action.HARDLINK, Action.REFLINK}:
        links.make_independent(step)
    elif step.action == Action.DELETE:
        _bring_from_aside(step)
    else:
        _bring_back(step, cut_off=cut_off)


def is_recorded(step: Step, path: str) -> bool:
    """Tell whether a path holds the bytes of the file of a step."""
    now = files.look(path)
    return now is not None and now.size == step.size and files.sha256(path) == step.sha256


def _set_aside(step: Step, as_seen: Inode) -> None:
    """Rename a file that is to be deleted, so that what was looked at is what goes, and can still come back."""
    hidden = step.aside(os.path.dirname(step.path))
    os.rename(step.path, hidden)  # the hidden name is this act's alone
    if files.look(hidden) != as_seen:
        relocation.claim(hidden, step.path)
        raise ActionRefused(relocation.CHANGED)


def _bring_from_aside(step: Step) -> None:
    hidden = step.aside(os.path.dirname(step.path))
    aside, here = files.look(hidden), files.look(step.path)
    if aside is None:
        if not os.path.lexists(step.path):
            raise Gone("it was deleted")
    elif aside == here:
        os.unlink(hidden)
    else:
        relocation.claim(hidden, step.path)


def _bring_back(step: Step, *, cut_off: bool) -> None:
    """Take back a move, also one that stopped halfway."""
    folder, place = os.path.dirname(step.path), step.place or ""
    for half in {folder, os.path.dirname(place)}:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(step.aside(half))
    there = files.look(place)
    if there is None or not is_recorded(step, place) or (cut_off and not _came_from_here(step, there)):
        if not is_recorded(step, step.path):
            raise ActionRefused(f"{files.printable(place)} {'is gone' if there is None else 'was changed since'}")
    elif not os.path.lexists(step.path):
        files.make_folders(files.missing_folders(folder))
        relocation.relocate(place, step.path, hidden=step.aside(folder), as_seen=there, sha256=step.sha256)
    elif there == files.look(step.path) or (cut_off and _is_copy(step, there)):
        os.unlink(place)
    else:
        raise ActionRefused("something else stands in its old place")
    if step.inode and (back := files.look(step.path)) and back.number != step.inode:
        links.restore_metadata(step, step.path)  # a copy, from a disk that may not hold all of them
    if not os.path.lexists(place):
        _forget(step.info)


def _came_from_here(step: Step, there: Inode) -> bool:
    """Tell whether a file at the new place is the one that was moved, or the copy of it, and not another like it."""
    return there.number == step.inode or _has_its_time(step, there)


def _is_copy(step: Step, there: Inode) -> bool:
    """Tell whether the bytes that came to the new place still are in the old one, as recorded."""
    return _has_its_time(step, there) and is_recorded(step, step.path)


def _has_its_time(step: Step, there: Inode) -> bool:
    """Tell whether a copy has the time of the file, as precisely as the file system there holds it."""
    return abs(there.mtime_ns - step.mtime_ns) < _COARSEST_NS


def _make_again(step: Step, *, cut_off: bool) -> None:
    """Make a folder again that was removed, with its owner, mode and time."""
    missing = files.missing_folders(step.path)
    files.make_folders(missing)
    if missing or cut_off:
        links.restore_metadata(step, step.path)


def _forget(info: str | None) -> None:
    if info:
        with suppress(FileNotFoundError):
            os.unlink(info)
