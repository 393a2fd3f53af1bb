"""The plan on the desk: everybody who looks at it sees the same, and each choice is saved before it counts."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from py_image_dedup.errors import UsageError
from py_image_dedup.plan import Plan, PlannedFile, PlannedGroup
from py_image_dedup.planfile import contradictions, group_data
from py_image_dedup.review.saving import SavedPlan
from py_image_dedup.review.sight import paths

_OTHERWISE: Final = "somebody changed this group meanwhile; this is how it is now"

Change = Callable[[PlannedGroup], PlannedGroup]


class Outdated(UsageError):
    """Somebody else changed it meanwhile."""


def mark(group: PlannedGroup) -> str:
    """Return what tells one state of a group from another."""
    return hashlib.sha256(json.dumps(group_data(group)).encode()).hexdigest()[:24]


class Desk:
    """A plan and its file.  Groups are counted from 0; may be asked from several threads."""

    def __init__(self, plan: Plan, saved: SavedPlan) -> None:
        self._plan = plan
        self._saved = saved
        self._lock = threading.Lock()
        self._locked_by = ""
        self._entangled = _entangled(plan)

    @property
    def plan(self) -> Plan:
        """The plan as it is now; a choice puts another one in its place."""
        return self._plan

    @property
    def path(self) -> str:
        """Where its file is."""
        return self._saved.path

    def change(self, number: int, seen: str, change: Change) -> None:
        """Change a group that was seen in this state (:func:`mark`), and save that.

        Raises :class:`Outdated` if it is in another state by now, :class:`UsageError` if the choice makes no sense, and
        :class:`PlanError` if it can't be saved; nothing is changed then.
        """
        group = self._as_seen(number, seen)
        changed = change(group)  # may take a while, since it may compare pictures
        with self._lock:
            if self._plan.groups[number] is not group:
                raise Outdated(_OTHERWISE)
            self._put({number: changed})

    def pair(self, number: int, position: int, seen: str) -> tuple[PlannedFile, PlannedFile]:
        """Return the keeper and another file of a group that was seen in this state; else :class:`Outdated`."""
        group = self._as_seen(number, seen)
        if not 1 <= position <= len(group.duplicates):
            raise UsageError("there is no such file in this group")
        return group.keeper, group.duplicates[position - 1].file

    def _as_seen(self, number: int, seen: str) -> PlannedGroup:
        group = self._plan.groups[number]
        if mark(group) != seen:
            raise Outdated(_OTHERWISE)
        return group

    def change_several(self, plan: Plan, changed: Mapping[int, PlannedGroup]) -> None:
        """Change groups of a plan that was looked at; raises as :meth:`change` does."""
        with self._lock:
            if self._plan is not plan:
                raise Outdated("somebody changed the plan meanwhile; look at it again")
            self._put(changed)

    @contextmanager
    def nobody_changes(self, why: str) -> Iterator[None]:
        """Refuse all changes while the block runs, as one does while the plan is applied."""
        with self._lock:
            self._locked_by = why
        try:
            yield
        finally:
            self._locked_by = ""

    def _put(self, changed: Mapping[int, PlannedGroup]) -> None:
        """Save the plan with these groups, if that makes sense, and lay it on the desk."""
        if self._locked_by:
            raise UsageError(f"nothing can be changed now: {self._locked_by}")
        groups = list(self._plan.groups)
        for number, group in changed.items():
            groups[number] = group
        plan = replace(self._plan, groups=tuple(groups))
        for number in changed:
            self._check(plan, number)
        self._saved.write(plan, changed)
        self._plan = plan

    def _check(self, plan: Plan, number: int) -> None:
        """Refuse what the plan file must not say, looking at the groups alone that share files with this one."""
        others = {other for path in paths(plan.groups[number]) for other in self._entangled.get(path, ())}
        near = replace(plan, groups=tuple(plan.groups[one] for one in sorted(others | {number})))
        for _, why in contradictions(near):
            raise UsageError(f"that can't be: {why}")


def _entangled(plan: Plan) -> Mapping[str, tuple[int, ...]]:
    """Return the paths that are in several groups, with the numbers of these.  Choices never change that."""
    met: set[str] = set()
    shared: set[str] = set()
    for group in plan.groups:
        for path in paths(group):
            (shared if path in met else met).add(path)
    groups = defaultdict(list)
    for number, group in enumerate(plan.groups):
        for path in paths(group):
            if path in shared:
                groups[path].append(number)
    return {path: tuple(numbers) for path, numbers in groups.items()}


def find(plan: Plan, number: int, position: int) -> PlannedFile:
    """Return a file of a plan: 0 is the keeper; :class:`UsageError` if there is none."""
    if not 0 <= number < len(plan.groups) or not 0 <= position <= len(plan.groups[number].duplicates):
        raise UsageError(f"there is no file {number + 1}.{position} in the plan")
    group = plan.groups[number]
    return group.duplicates[position - 1].file if position else group.keeper
