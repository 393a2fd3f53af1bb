"""What the metadata of lesser copies tell and those of their keepers do not, so that nothing of it is lost unseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from py_image_dedup.errors import PictureError
from py_image_dedup.plan import Plan, PlannedAct, PlannedGroup

Told = Callable[[str], frozenset[str]]
"""Returns the kinds of metadata of a file; OSError or :class:`PictureError` if it can't be read."""


def with_gains(plan: Plan, *, told: Told) -> Plan:
    """Return the plan with the gain of every act; of files that can't be read nothing is said."""
    return replace(plan, groups=tuple(_with_gains(group, told) for group in plan.groups))


def _with_gains(group: PlannedGroup, told: Told) -> PlannedGroup:
    if all(act.file.content == group.keeper.content for act in group.duplicates):
        return group
    try:
        known = told(group.keeper.path)
    except (OSError, PictureError):
        return group
    return replace(group, duplicates=tuple(_with_gain(act, group, known, told) for act in group.duplicates))


def _with_gain(act: PlannedAct, group: PlannedGroup, known: frozenset[str], told: Told) -> PlannedAct:
    if act.file.content == group.keeper.content:
        return act
    try:
        return replace(act, gain=tuple(sorted(told(act.file.path) - known)))
    except (OSError, PictureError):
        return act
