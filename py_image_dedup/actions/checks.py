"""The look at the disk right before an act: what must hold, and the reasons when it does not."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from py_image_dedup import companions, files
from py_image_dedup.errors import ActionRefused
from py_image_dedup.mounts import Mounts
from py_image_dedup.plan import Action, Companion, Plan, PlannedAct, PlannedFile, PlannedGroup

CheckPath = Callable[[str], bool]
"""Tells something of a path."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file of an act that is on disk as it was planned, and what it is there."""

    planned: PlannedFile | Companion
    inode: files.Inode


class Checks:
    """Looks again at what a plan says, act by act, and remembers which pictures stayed."""

    def __init__(self, plan: Plan, *, protected: CheckPath, decodable: CheckPath) -> None:
        self._roots = plan.roots
        self._target = plan.target
        self._disk: int | None = None
        self._protected = protected
        self._decodable = decodable
        self._decoded: dict[tuple[str, str], bool] = {}
        self._keepers = {group.keeper.path for group in plan.groups}
        self._stayed: defaultdict[str, list[str]] = defaultdict(list)
        for group in plan.groups:
            for act in group.duplicates:
                if not act.action.acts:
                    self.stays(act)

    def stays(self, act: PlannedAct) -> None:
        """Remember that a picture stayed, so that what belongs to it and others stays too."""
        folder, name = os.path.split(act.file.path)
        self._stayed[folder].append(name)

    def look_again(self, group: PlannedGroup, act: PlannedAct) -> list[Found]:
        """Return the files of an act, the picture first, if all is as planned; else raise ActionRefused."""
        self._check_places(group, act)
        keeper = as_recorded(group.keeper, "the keeper")
        picture = as_recorded(act.file, "the file")
        if picture.is_same_file(keeper):
            raise ActionRefused("it is the same file as its keeper, under another name")
        self._check_decodable(group.keeper)
        if act.action.links:
            _check_link(group, act, keeper, picture)
        going = self._going_along(act)
        found = [Found(act.file, picture), *(Found(one, as_recorded(one, _name(one))) for one in going)]
        if reason := companions.forbidden(act, group.keeper.path, companions.names_beside):
            raise ActionRefused(reason)
        if files.look(group.keeper.path) != keeper:  # reading all these took its time
            raise ActionRefused("the keeper changed since it was analysed")
        return found

    def _going_along(self, act: PlannedAct) -> Sequence[Companion]:
        folder = os.path.dirname(act.file.path)
        stayed = self._stayed.get(folder, ())
        return [
            one
            for one in act.companions
            if not any(companions.belongs(os.path.basename(one.path), picture) for picture in stayed)
        ]

    def _check_places(self, group: PlannedGroup, act: PlannedAct) -> None:
        for one in act.unit:
            who = "it" if one is act.file else f"{_name(one)}, which belongs to it,"
            if not files.is_below(one.path, self._roots):
                raise ActionRefused(f"{who} is not below the folders of this run")
            if one.path in self._keepers and one.path != group.keeper.path:
                raise ActionRefused(f"{who} is the keeper of other files")
            if self._protected(one.path):
                raise ActionRefused(f"{who} lies in a protected folder")
        if not files.is_below(group.keeper.path, self._roots):
            raise ActionRefused("the keeper is not below the folders of this run")
        if act.action is Action.MOVE:
            for place in (act.destination, *(one.destination for one in act.companions)):
                self._check_destination(place)

    def _check_destination(self, place: str | None) -> None:
        """Refuse a place that is not inside the target, whatever links lead out of it."""
        if place is None or self._target is None:
            raise ActionRefused("the plan names no place to move it to")
        folder = os.path.dirname(place)
        if os.path.normpath(place) != place or not files.is_below(folder, [self._target]):
            raise ActionRefused("the place to move it to is not below the target folder")
        if not os.path.isdir(os.path.dirname(self._target)):
            above = files.printable(os.path.dirname(self._target))
            raise ActionRefused(f"there is no folder {above} to make the target in: is a disk not mounted?")
        if files.leads_elsewhere(folder):
            raise ActionRefused("a folder of the target became a symbolic link")
        self._check_disk(self._target)

    def _check_disk(self, target: str) -> None:
        """Refuse a target on the wrong disk: what is moved below an empty mount point is covered by the next mount."""
        missing = files.missing_folders(target)
        disk = os.stat(os.path.dirname(missing[0]) if missing else target).st_dev
        if self._disk is None:
            if point := Mounts.read().absent(os.path.realpath(target)):
                raise ActionRefused(
                    f"the target is on {files.printable(point)}, where no disk is mounted though /etc/fstab names one: "
                    "mount it, or name another target"
                )
            self._disk = disk
        elif disk != self._disk:
            raise ActionRefused("the target is on another disk than before: was one unmounted, or mounted over it?")

    def _check_decodable(self, keeper: PlannedFile) -> None:
        key = keeper.path, keeper.content
        if key not in self._decoded:
            self._decoded[key] = self._decodable(keeper.path)
        if not self._decoded[key]:
            raise ActionRefused("the keeper can't be decoded any more")


def as_recorded(file: PlannedFile | Companion, what: str) -> files.Inode:
    """Return the inode of a file that is as recorded, else raise ActionRefused."""
    if files.leads_elsewhere(os.path.dirname(file.path)):
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
    if files.look(file.path) != inode:
        raise ActionRefused(f"{what} changed since it was analysed")
    return inode


def did_not_go(keeper: PlannedFile) -> None:
    """Raise ActionRefused if a keeper went with its copy: they were one file, seen through two file systems.

    No inode tells that of a union of disks, or of a share that is mounted twice.  The file is opened, since what looks
    at it may be answered from memory.
    """
    try:
        with files.open_regular(keeper.path) as file:
            facts = os.fstat(file.fileno())
    except OSError as error:
        raise ActionRefused(
            f"the keeper went with it, or can't be read any more ({error.strerror}): are both one file, seen through "
            "two mounts?"
        ) from None
    if (facts.st_size, files.storable(facts.st_mtime_ns)) != (keeper.size, keeper.mtime_ns):
        raise ActionRefused("the keeper changed since it was analysed")


def _check_link(group: PlannedGroup, act: PlannedAct, keeper: files.Inode, picture: files.Inode) -> None:
    if act.file.content != group.keeper.content:
        raise ActionRefused(f"only byte-identical files can become a {act.action}")
    if act.action is Action.HARDLINK and keeper.device != picture.device:
        raise ActionRefused("it is on another file system than its keeper, where no hard link can lead")


def _name(one: PlannedFile | Companion) -> str:
    return files.printable(os.path.basename(one.path))
