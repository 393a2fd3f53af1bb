"""A rule for many groups at once: of duplicates, those below one folder are to stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from py_image_dedup.errors import UsageError
from py_image_dedup.events import Observer
from py_image_dedup.files import is_below, printable
from py_image_dedup.plan import Plan, PlannedGroup
from py_image_dedup.review import choices
from py_image_dedup.review.choices import Compare, Fate
from py_image_dedup.review.sight import paths

_SHOWN = 500  # groups in the preview


class Exchange(NamedTuple):
    """One group that changes, counted from 1: the keeper before and after, and how many of its files go then."""

    number: int
    before: str
    after: str
    going: int


@dataclass(frozen=True, slots=True)
class Preference:
    """What preferring a folder would change in a plan.  ``changed``: groups, counted from 0."""

    plan: Plan
    folder: str
    changed: Mapping[int, PlannedGroup]

    @property
    def going(self) -> tuple[int, int]:
        """How many files go by the plan now, and how many would go."""
        groups = [self.changed.get(number, group) for number, group in enumerate(self.plan.groups)]
        return sum(1 for _ in self.plan.acts()), sum(1 for _ in replace(self.plan, groups=tuple(groups)).acts())

    @property
    def exchanges(self) -> list[Exchange]:
        """The first groups that change."""
        return [
            Exchange(
                number + 1,
                printable(self.plan.groups[number].keeper.path),
                printable(group.keeper.path),
                sum(act.action.acts for act in group.duplicates),
            )
            for number, group in list(self.changed.items())[:_SHOWN]
        ]


def preferred(plan: Plan, folder: str, fate: Fate, compare: Compare, observer: Observer) -> Preference:
    """Find what changes if duplicates below a folder, named as it is printed, stay in place of others.

    Raises :class:`UsageError` if it is no whole path, or no file of the plan is there.
    """
    folder = folder.rstrip("/") or "/"
    if not folder.startswith("/"):
        raise UsageError("name the folder by its whole path, from / on")
    changed = {}
    met = False
    for number, group in enumerate(plan.groups):
        inside = [is_below(printable(path), [folder]) for path in paths(group)]
        met = met or any(inside)
        if new := choices.prefer(group, inside, fate, compare):
            changed[number] = new
        observer.progress(number + 1, len(plan.groups))
    if not met:
        raise UsageError(f"no file of the plan is below {folder}")
    return Preference(plan, folder, changed)
