"""What a run would do, as data: the dry run prints it, the real run executes it.

Making a plan changes nothing on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from py_image_dedup.files import destination_below, folders_left_empty
from py_image_dedup.model import Candidate, Decisions, Group, Level, Skipped, Turn


class Action(StrEnum):
    """What becomes of a file that is not the keeper."""

    MOVE = "move"
    TRASH = "trash"
    """Goes to the trash of the desktop, on its own disk."""
    DELETE = "delete"
    HARDLINK = "hardlink"
    """Becomes another name of the keeper; byte-identical files only."""
    REFLINK = "reflink"
    """Stays a file of its own that shares its bytes with the keeper; byte-identical files only."""
    REPORT = "report"
    """Listed only: nothing else was asked for."""
    KEEP = "keep"
    """Stays: it is only similar, or lies in a protected folder."""

    @property
    def acts(self) -> bool:
        """Tell whether the disk changes."""
        return self not in {Action.REPORT, Action.KEEP}

    @property
    def removes(self) -> bool:
        """Tell whether the file is no longer at its path afterwards."""
        return self in {Action.MOVE, Action.TRASH, Action.DELETE}

    @property
    def links(self) -> bool:
        """Tell whether the file shares its bytes with the keeper afterwards."""
        return self in {Action.HARDLINK, Action.REFLINK}


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """The recorded facts of a file, which must still hold when it is acted on.

    ``links``: how many names it has; only for telling what could be freed, so the plan's JSON leaves it out.
    """

    path: str
    size: int
    mtime_ns: int
    content: str
    format: str
    width: int
    height: int
    links: int = 1

    @classmethod
    def of(cls, candidate: Candidate) -> PlannedFile:
        """Take the facts from a candidate."""
        file, facts = candidate.file, candidate.facts
        shape = facts.format, facts.width, facts.height
        return cls(file.path, file.size, file.mtime_ns, file.content, *shape, candidate.links)


@dataclass(frozen=True, slots=True)
class Companion:
    """A file that belongs to a picture (sidecar, raw file or clip of the same name) and goes where it goes."""

    path: str
    size: int
    mtime_ns: int
    content: str
    destination: str | None


@dataclass(frozen=True, slots=True)
class PlannedAct:
    """One file of a group and what becomes of it.

    ``id`` is "group.member", counted from 1; ``distance`` is to the keeper; ``destination`` is set for a move;
    ``turn`` is what must be done to the file to look like the keeper; ``part``: one shows a part of the other;
    ``gain`` names what this file tells and the keeper does not (for example "GPS position").
    """

    id: str
    file: PlannedFile
    distance: float
    level: Level
    action: Action
    destination: str | None
    rule: str
    reason: str
    turn: Turn = Turn.UPRIGHT
    part: bool = False
    companions: tuple[Companion, ...] = ()
    gain: tuple[str, ...] = ()

    @property
    def unit(self) -> tuple[PlannedFile | Companion, ...]:
        """The file and what belongs to it, which go together or not at all."""
        return self.file, *self.companions


@dataclass(frozen=True, slots=True)
class PlannedGroup:
    """A keeper and what becomes of the files that match it."""

    keeper: PlannedFile
    duplicates: tuple[PlannedAct, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All groups, and the folders that the acts leave empty (to be removed, deepest first)."""

    origin: str
    roots: tuple[str, ...]
    action: Action
    target: str | None
    groups: tuple[PlannedGroup, ...]
    empty_folders: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def acts(self) -> Iterator[tuple[PlannedGroup, PlannedAct]]:
        """Yield what changes the disk, in order."""
        for group in self.groups:
            for act in group.duplicates:
                if act.action.acts:
                    yield group, act

    def without(self, ids: Iterable[str]) -> Plan:
        """Return the plan with these acts taken out: their files stay."""
        out = frozenset(ids)
        groups = (
            replace(
                group,
                duplicates=tuple(
                    replace(act, action=Action.KEEP, destination=None) if act.id in out else act
                    for act in group.duplicates
                ),
            )
            for group in self.groups
        )
        return replace(self, groups=tuple(groups)) if out else self

    @property
    def duplicates(self) -> int:
        """How many files are duplicates of a keeper."""
        return sum(act.level is Level.DUPLICATE for group in self.groups for act in group.duplicates)

    @property
    def similar(self) -> int:
        """How many files are only similar to a keeper."""
        return sum(act.level is Level.SIMILAR for group in self.groups for act in group.duplicates)

    @property
    def risky(self) -> int:
        """How many files go though only similar."""
        return sum(act.level is Level.SIMILAR for _, act in self.acts())

    @property
    def deleted(self) -> int:
        """How many files go for good."""
        return sum(act.action is Action.DELETE for _, act in self.acts())

    @property
    def reclaimable(self) -> int:
        """How many bytes all duplicates take that don't stay; one that has other names besides frees none."""
        return sum(
            act.file.size
            for group in self.groups
            for act in group.duplicates
            if act.level is Level.DUPLICATE and act.action is not Action.KEEP and act.file.links == 1
        )


def make_plan(
    groups: Sequence[Group],
    *,
    origin: str,
    roots: Sequence[str],
    action: Action,
    target: str | None,
    protected: Callable[[str], bool],
    decisions: Decisions | None = None,
    different_pictures: bool = False,
) -> Plan:
    """Decide what becomes of every file: only duplicates that are neither protected nor kept by a person go.

    `protected` tells of a path whether it lies in a protected folder.  `different_pictures`: similar files go too, if
    the keeper is the better one and they are no keepers themselves.
    """
    decisions = decisions or Decisions()
    keepers = {group.keeper.file.path for group in groups}
    planned = []
    for number, group in enumerate(groups, 1):
        acts = []
        for position, member in enumerate(group.members, 1):
            path = member.candidate.file.path
            similar = member.level is Level.SIMILAR
            chosen, reason = action, member.reason
            if decisions.keeps(path, member.candidate.file.content, keeper=group.keeper.file.content):
                chosen, reason = Action.KEEP, f"kept: you said so; else: {reason}"
            elif similar and (member.better or path in keepers or not different_pictures):
                chosen = Action.KEEP
            elif similar and member.candidate.facts.is_raw:
                chosen, reason = Action.KEEP, f"a raw file goes for the same bytes only; else: {reason}"
            elif protected(path):
                chosen, reason = Action.KEEP, f"protected folder; else: {reason}"
            elif action.links and member.candidate.file.content != group.keeper.file.content:
                chosen, reason = Action.KEEP, f"other bytes, so no {action}; else: {reason}"
            acts.append(
                PlannedAct(
                    id=f"{number}.{position}",
                    file=PlannedFile.of(member.candidate),
                    distance=member.distance,
                    level=member.level,
                    action=chosen,
                    destination=destination_below(target, path) if chosen is Action.MOVE and target else None,
                    rule=member.rule,
                    reason=reason,
                    turn=member.turn,
                    part=member.part,
                )
            )
        planned.append(PlannedGroup(PlannedFile.of(group.keeper), tuple(acts)))
    return Plan(origin=origin, roots=tuple(roots), action=action, target=target, groups=tuple(planned))


def with_empty_folders(plan: Plan) -> Plan:
    """Say in the plan which folders it will leave empty, by what lies in them now."""
    going = [one.path for _, act in plan.acts() if act.action.removes for one in act.unit]
    return replace(plan, empty_folders=tuple(folders_left_empty(going, plan.roots)))
