"""Executing a plan: look again, write the journal, act.  Calling :func:`execute` changes the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from py_image_dedup import files
from py_image_dedup.errors import ActionRefused
from py_image_dedup.journal import Journal
from py_image_dedup.plan import Action, Plan, PlannedAct, PlannedFile, PlannedGroup


class Result(StrEnum):
    """How an act ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """An act and how it ended: for a move ``detail`` is where the file went, else the reason."""

    act: PlannedAct
    result: Result
    detail: str


def execute(plan: Plan, journal: Journal, *, protected: Callable[[str], bool]) -> Iterator[Outcome]:
    """Carry out the acts of a plan one by one; what no longer holds is refused and the rest goes on.

    Right before each act the file and its keeper must be on disk as recorded (size, mtime, SHA-256), be different
    inodes below the roots, reached through no symbolic link.  Each act has a journal line before and after.
    """
    for group, act in plan.acts():
        try:
            _check(plan, group, act, protected=protected)
        except ActionRefused as error:
            yield Outcome(act, Result.REFUSED, str(error))
            continue
        yield _act(group, act, journal)


def remove_folders(plan: Plan, outcomes: Sequence[Outcome], journal: Journal) -> Iterator[str]:
    """Remove the folders that acts which were done left empty, and yield them; one that is not empty stays."""
    went = [outcome.act.file.path for outcome in outcomes if outcome.result is Result.DONE]
    for folder in plan.empty_folders:
        if not any(files.is_below(path, [folder]) for path in went):
            continue  # somebody else emptied it
        try:
            facts = os.lstat(folder)
            if os.path.realpath(folder) != folder or not files.is_empty(folder):
                continue
            journal.write("prune", {"path": folder, "mode": facts.st_mode, "mtime_ns": facts.st_mtime_ns})
            os.rmdir(folder)
        except OSError:
            continue
        yield folder


def _act(group: PlannedGroup, act: PlannedAct, journal: Journal) -> Outcome:
    line = {
        "id": act.id,
        "action": str(act.action),
        "path": act.file.path,
        "sha256": act.file.content,
        "size": act.file.size,
        "mtime_ns": act.file.mtime_ns,
        "destination": act.destination,
        "keeper": group.keeper.path,
        "keeper_sha256": group.keeper.content,
    }
    journal.write("intent", line)
    try:
        if act.action is Action.MOVE and act.destination is not None:
            detail = files.move(act.file.path, act.destination)
        else:
            os.unlink(act.file.path)
            detail = "deleted"
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        journal.write("failed", {"id": act.id, "path": act.file.path, "reason": reason})
        return Outcome(act, Result.FAILED, reason)
    journal.write("done", {"id": act.id, "path": act.file.path, "detail": detail})
    return Outcome(act, Result.DONE, detail)


def _check(plan: Plan, group: PlannedGroup, act: PlannedAct, *, protected: Callable[[str], bool]) -> None:
    """Raise ActionRefused, with the reason, unless the disk still agrees with the plan."""
    path = act.file.path
    if not files.is_below(path, plan.roots):
        raise ActionRefused("it is not below the folders of this run")
    if not files.is_below(group.keeper.path, plan.roots):
        raise ActionRefused("the keeper is not below the folders of this run")
    if act.action is Action.MOVE and act.destination is None:
        raise ActionRefused("the plan names no place to move it to")
    if protected(path):
        raise ActionRefused("it lies in a protected folder")
    keeper = _as_recorded(group.keeper, "the keeper")
    duplicate = _as_recorded(act.file, "the file")
    if (keeper.device, keeper.number) == (duplicate.device, duplicate.number):
        raise ActionRefused("it is the same file as its keeper, under another name")


def _as_recorded(file: PlannedFile, what: str) -> files.Inode:
    """Return the inode of a file that is as recorded, else raise ActionRefused."""
    if os.path.realpath(os.path.dirname(file.path)) != os.path.dirname(file.path):
        raise ActionRefused(f"a folder above {what} became a symbolic link")
    inode = files.look(file.path)
    if inode is None:
        raise ActionRefused(f"{what} is gone")
    if (inode.size, inode.mtime_ns) != (file.size, file.mtime_ns):
        raise ActionRefused(f"{what} changed since it was analysed")
    try:
        content = files.sha256(file.path)
    except OSError as error:
        raise ActionRefused(f"{what} can't be read: {error.strerror}") from None
    if content != file.content:
        raise ActionRefused(f"{what} has other bytes than when it was analysed")
    return inode
