"""What a person can choose in a group, from one group to the next; pure but for the comparison that is handed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from py_image_dedup.errors import UsageError
from py_image_dedup.files import destination_below
from py_image_dedup.model import Level, Turn
from py_image_dedup.plan import Action, Plan, PlannedAct, PlannedFile, PlannedGroup

CHOSEN: Final = "chosen"
"""What stands in the plan in place of the rule where a person chose the keeper."""
_BY_HAND: Final = "you chose the keeper"


class Compared(NamedTuple):
    """What comparing a file with a keeper showed; ``turn`` makes the file look like the keeper."""

    distance: float
    level: Level
    turn: Turn = Turn.UPRIGHT
    part: bool = False


Compare = Callable[[PlannedFile, PlannedFile], Compared]
"""Compares a keeper with another file as a run would."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What may become of files by the plan at large, and by the settings of now."""

    action: Action
    target: str | None
    protected: Callable[[str], bool]

    @classmethod
    def by(cls, plan: Plan, protected: Callable[[str], bool]) -> Fate:
        """Take it from a plan."""
        return cls(plan.action, plan.target, protected)

    def obstacle(self, keeper: PlannedFile, file: PlannedFile) -> str:
        """Tell why a file can't go; nothing if it can."""
        if not self.action.acts:
            return "the plan only lists; make one with an action, such as --target DIR"
        if self.protected(file.path):
            return "it lies in a protected folder"
        if self.action.links and file.content != keeper.content:
            return f"it has other bytes than the keeper, so no {self.action} is possible"
        return ""

    def goes(self, act: PlannedAct) -> PlannedAct:
        """Return the act that lets the file go; what belongs to it is looked up when the plan is applied."""
        target = self.target if self.action is Action.MOVE else None
        destination = destination_below(target, act.file.path) if target else None
        return replace(act, action=self.action, destination=destination, companions=())


def let_stay(group: PlannedGroup, position: int) -> PlannedGroup:
    """Let a file stay; `position` counts from 1, as in all that follow."""
    return _with(group, position, _stays(_at(group, position)))


def let_go(group: PlannedGroup, position: int, fate: Fate) -> PlannedGroup:
    """Let a file go, also one that is only similar; :class:`UsageError` if it can't."""
    act = _at(group, position)
    if obstacle := fate.obstacle(group.keeper, act.file):
        raise UsageError(f"this file can't go: {obstacle}")
    return _with(group, position, fate.goes(act))


def let_all_stay(group: PlannedGroup) -> PlannedGroup:
    """Let all files of a group stay."""
    return replace(group, duplicates=tuple(map(_stays, group.duplicates)))


def make_keeper(group: PlannedGroup, position: int, fate: Fate, compare: Compare) -> PlannedGroup:
    """Let this file stay in place of the keeper, which takes its place.

    No file goes for a keeper that it was not compared with: what is not known from the plan is compared now.  Files
    that are duplicates of the new keeper go if they went before; what is only similar to it stays.
    """
    new = _at(group, position)

    def compared(file: PlannedFile) -> Compared:
        if file.content == new.file.content:
            return Compared(0.0, Level.DUPLICATE)
        if file.content == group.keeper.content:
            return Compared(new.distance, new.level, new.turn.inverse, new.part)
        return compare(new.file, file)

    def seen_from_new(act: PlannedAct, file: PlannedFile) -> PlannedAct:
        distance, level, turn, part = compared(file)
        seen = replace(act, file=file, distance=distance, level=level, turn=turn, part=part, gain=())
        seen = replace(_stays(seen), rule=CHOSEN, reason=_BY_HAND)
        went = act.action.acts or not fate.action.acts
        may_go = went and level is Level.DUPLICATE and not fate.obstacle(new.file, file)
        return fate.goes(seen) if may_go else _listed(seen, fate)

    acts = (seen_from_new(act, group.keeper if act is new else act.file) for act in group.duplicates)
    return PlannedGroup(new.file, tuple(acts))


def prefer(group: PlannedGroup, inside: Sequence[bool], fate: Fate, compare: Compare) -> PlannedGroup | None:
    """Let the first preferred duplicate of the keeper stay in its place; None if that one is preferred or none is.

    `inside`: whether the keeper, and each other file in order, is preferred.
    """
    if inside[0]:
        return None
    for position, act in enumerate(group.duplicates, 1):
        if inside[position] and act.level is Level.DUPLICATE:
            return make_keeper(group, position, fate, compare)
    return None


def _listed(act: PlannedAct, fate: Fate) -> PlannedAct:
    """Return an act that changes nothing, in the words of the plan: one that only lists its duplicates."""
    only_lists = fate.action is Action.REPORT and act.level is Level.DUPLICATE and not fate.protected(act.file.path)
    return replace(act, action=Action.REPORT) if only_lists else act


def _stays(act: PlannedAct) -> PlannedAct:
    return replace(act, action=Action.KEEP, destination=None, companions=())


def _at(group: PlannedGroup, position: int) -> PlannedAct:
    if not 1 <= position <= len(group.duplicates):
        raise UsageError("there is no such file in this group")
    return group.duplicates[position - 1]


def _with(group: PlannedGroup, position: int, act: PlannedAct) -> PlannedGroup:
    acts = list(group.duplicates)
    acts[position - 1] = act
    return replace(group, duplicates=tuple(acts))
