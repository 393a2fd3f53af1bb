"""What of a plan is looked at, and in which order: filters, sorting, pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from py_image_dedup.files import is_below, printable
from py_image_dedup.model import Level
from py_image_dedup.plan import Plan, PlannedGroup

SORTS: Final = ("freed", "distance", "files", "path")
"""What groups are sorted by, the largest first; paths from A."""
_REMEMBERED = 8  # results


@dataclass(frozen=True, slots=True)
class Sight:
    """Which groups are wanted: those that meet all of this.

    ``folder``: a file lies in it or below, or its path holds this text.  ``level``: a file of it.  ``least`` and
    ``most``: distance of a file to the keeper.  ``megabytes``: of its duplicates, at least.  ``going``: something of it
    goes.
    """

    folder: str = ""
    level: str = ""
    least: float = 0.0
    most: float = 1.0
    megabytes: float = 0.0
    going: bool = False
    sort: str = "freed"

    def wants(self, group: PlannedGroup) -> bool:
        """Tell whether a group is one of these."""
        acts = group.duplicates
        if self.megabytes and could_free(group) < self.megabytes * 1e6:
            return False
        if self.going and not any(act.action.acts for act in acts):
            return False
        level, least, most = self.level, self.least, self.most
        if (level or least > 0 or most < 1) and not any(
            (not level or act.level == level) and least <= act.distance <= most for act in acts
        ):
            return False
        return not self.folder or any(self._is_in_folder(path) for path in paths(group))

    def _is_in_folder(self, path: str) -> bool:
        shown = printable(path)
        return is_below(shown, [self.folder]) if self.folder.startswith("/") else self.folder.lower() in shown.lower()


def paths(group: PlannedGroup) -> list[str]:
    """Return where the files of a group are."""
    return [group.keeper.path, *(act.file.path for act in group.duplicates)]


def could_free(group: PlannedGroup) -> int:
    """Return the bytes of all duplicates, whether they go or stay: so a choice does not move the group away."""
    return sum(act.file.size for act in group.duplicates if act.level is Level.DUPLICATE)


def frees(group: PlannedGroup) -> int:
    """Return the bytes of the files that go."""
    return sum(act.file.size for act in group.duplicates if act.action.acts)


class Finder:
    """Finds what is wanted in a plan, and remembers what was found last; may be asked from several threads."""

    def __init__(self) -> None:
        self._found: dict[Sight, tuple[Plan, Sequence[int]]] = {}

    def numbers(self, plan: Plan, sight: Sight) -> Sequence[int]:
        """Return the numbers of the groups that are wanted, counted from 0, in order."""
        known = self._found.get(sight)
        if known is not None and known[0] is plan:
            return known[1]
        found = _found(plan, sight)
        if len(self._found) >= _REMEMBERED:
            self._found.clear()
        self._found[sight] = plan, found
        return found


def _found(plan: Plan, sight: Sight) -> Sequence[int]:
    groups = plan.groups
    wanted = [number for number, group in enumerate(groups) if sight.wants(group)]
    match sight.sort:
        case "distance":
            wanted.sort(key=lambda number: -max((act.distance for act in groups[number].duplicates), default=0.0))
        case "files":
            wanted.sort(key=lambda number: -len(groups[number].duplicates))
        case "path":
            wanted.sort(key=lambda number: groups[number].keeper.path)
        case _:
            wanted.sort(key=lambda number: -could_free(groups[number]))
    return wanted
