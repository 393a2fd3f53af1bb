"""Groups and runs in the words of the page.  Text from names and EXIF is printable here; the templates escape it."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from py_image_dedup import files, history, journal
from py_image_dedup.files import printable
from py_image_dedup.metadata import Shot
from py_image_dedup.model import Decisions, Level
from py_image_dedup.plan import Action, PlannedAct, PlannedFile, PlannedGroup
from py_image_dedup.review.choices import Fate
from py_image_dedup.review.desk import mark
from py_image_dedup.review.sight import could_free, frees
from py_image_dedup.words import megabytes

_GOES = {
    Action.MOVE: "will be moved",
    Action.TRASH: "goes to the trash",
    Action.DELETE: "will be deleted",
    Action.HARDLINK: "becomes a hard link",
    Action.REFLINK: "will share bytes",
}


class About(NamedTuple):
    """What a file is, in words; ``there``: something is at its path now."""

    name: str
    folder: str
    size: str
    pixels: str
    format: str
    modified: str
    taken: str
    camera: str
    there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFile:
    """A file of a group, what becomes of it, and what a person can do about that."""

    position: int
    about: About
    fate: str
    goes: bool
    how_near: str = ""
    why: str = ""
    only_it_has: str = ""
    obstacle: str = ""
    similar: bool = False
    equal: bool = False
    told_apart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownGroup:
    """A group: its number (counted from 1), its state, and files; `left_out` files are not shown here."""

    number: int
    mark: str
    could_free: str
    frees: str
    files: Sequence[ShownFile]
    left_out: int
    any_goes: bool

    @property
    def keeper(self) -> ShownFile:
        """The file that stays."""
        return self.files[0]


@dataclass(frozen=True, slots=True)
class Showing:
    """Puts groups into words by what holds now."""

    fate: Fate
    said: Decisions
    shot: Callable[[PlannedFile], Shot]

    def group(self, number: int, group: PlannedGroup, shown: slice) -> ShownGroup:
        """Show the keeper and those of the other files that the slice takes; `number` is counted from 0."""
        acts = list(enumerate(group.duplicates, 1))[shown]
        return ShownGroup(
            number=number + 1,
            mark=mark(group),
            could_free=megabytes(could_free(group)),
            frees=megabytes(frees(group)),
            files=(self._keeper(group.keeper), *(self._file(group.keeper, at, act) for at, act in acts)),
            left_out=len(group.duplicates) - len(acts),
            any_goes=any(act.action.acts for act in group.duplicates),
        )

    def _keeper(self, file: PlannedFile) -> ShownFile:
        return ShownFile(position=0, fate="keeper", goes=False, about=self._about(file))

    def _file(self, keeper: PlannedFile, position: int, act: PlannedAct) -> ShownFile:
        told_apart = self.said.are_different(keeper.content, act.file.content)
        kept = self.said.keeps(act.file.path, act.file.content, keeper=keeper.content)
        said = "stays: different, you said so" if told_apart else "stays: you said so" if kept else ""
        goes = act.action.acts and not said
        equal = act.file.content == keeper.content
        near = "same bytes" if equal else f"distance {act.distance:.3f}"
        words = (near, act.turn.words, "a part" if act.part else "", "" if equal else str(act.level))
        return ShownFile(
            position=position,
            about=self._about(act.file),
            fate=said or _GOES.get(act.action, "stays"),
            goes=goes,
            how_near=", ".join(filter(None, words)),
            why=printable(act.reason),
            only_it_has=printable(", ".join(act.gain)),
            obstacle=self.fate.obstacle(keeper, act.file) or said.removeprefix("stays: "),
            similar=act.level is Level.SIMILAR,
            equal=equal,
            told_apart=told_apart,
        )

    def _about(self, file: PlannedFile) -> About:
        folder, name = os.path.split(file.path)
        shot = self.shot(file)
        return About(
            name=printable(name),
            folder=printable(folder),
            size=megabytes(file.size),
            pixels=f"{file.width} × {file.height}",
            format=printable(file.format),
            modified=_date(file.mtime_ns),
            taken=printable(shot.taken).replace(":", "-", 2),
            camera=printable(shot.camera),
            there=files.look(file.path) is not None,
        )


def _date(nanoseconds: int) -> str:
    try:
        return f"{dt.datetime.fromtimestamp(nanoseconds / 1e9).astimezone():%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError):
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRun:
    """A past run: when, what, and what can be taken back."""

    id: str
    started: str
    what: str
    done: int
    size: str
    undone: str
    acts: Sequence[str]
    to_undo: int
    deleted: int

    @classmethod
    def of(cls, run: journal.Run, *, deleted: int, most: int = 0) -> ShownRun:
        """Put a run into words, with at most so many of its acts."""
        done = run.in_state(journal.State.DONE)
        left = run.to_undo() if run.kind != journal.UNDO else []
        started = f"{dt.datetime.fromisoformat(run.started).astimezone():%Y-%m-%d %H:%M:%S}" if run.started else ""
        return cls(
            id=run.id,
            started=started,
            what=f"undo of {run.undoes}" if run.undoes else history.actions_of(run),
            done=len(done),
            size=megabytes(sum(act.size for act in done)),
            undone=("partly" if left else "yes") if run.undone else "",
            acts=tuple(history.told(run, act) for act in list(run.acts.values())[:most]),
            to_undo=len(left),
            deleted=deleted,
        )
