"""What may be handed to the library: folders, kinds and similarities, checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Final, TypeAlias

from py_image_dedup.errors import RootError, UsageError
from py_image_dedup.files import printable
from py_image_dedup.kinds.goldberg import GOLDBERG
from py_image_dedup.kinds.interface import Kind
from py_image_dedup.kinds.mean import Mean
from py_image_dedup.kinds.tensor import Tensor
from py_image_dedup.plan import Action

Path: TypeAlias = str | os.PathLike[str]

PX_SIZES: Final = range(10, 5001)
"""How many pixels a side of a tensor may have."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder or file to be searched: as it was given, and where that really is."""

    given: str
    real: str
    is_folder: bool

    @property
    def folder(self) -> str:
        """The folder that holds what is searched."""
        return self.real if self.is_folder else os.path.dirname(self.real)

    def name_of(self, path: str) -> str:
        """Return the path of what really lies here, put the way this place was given."""
        return os.path.normpath(os.path.join(self.given, os.path.relpath(path, self.real)))


def places(directory: Sequence[Path | Iterable[Path]]) -> tuple[Place, ...]:
    """Return the folders and files that were named, in order of their names.

    Raises :class:`RootError` for one that is not there, :class:`UsageError` for none at all or one that comes twice.
    """
    named: list[str] = []
    for given in directory:
        some = [*given] if isinstance(given, Iterable) and not isinstance(given, str | bytes) else [given]
        named += map(_path, some)
    if not named:
        raise UsageError("directory: name at least one folder")
    found: dict[str, Place] = {}
    for place in map(_place, sorted(named)):
        if place.real in found:
            other = found[place.real].given
            raise UsageError(f"directory: {printable(other)} and {printable(place.given)} are the same")
        found[place.real] = place
    return tuple(found.values())


def _path(given: object, called: str = "directory") -> str:
    path = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    if not isinstance(path, str):
        raise UsageError(f"{called}: {given!r} is no path; name a folder by str or pathlib.Path")
    return path


def _place(given: str) -> Place:
    if not os.path.exists(given):
        raise RootError(f"directory: there is no {printable(given)}")
    return Place(given, os.path.realpath(given), os.path.isdir(given))


def kind_of(kind: str | Kind, *, px_size: int) -> Kind:
    """Return the kind of this name, or the one that was handed in."""
    if not isinstance(kind, str):
        if not isinstance(kind, Kind):
            raise UsageError(f"kind is {kind!r}; it must be a name or have all that Kind of py_image_dedup.kinds has")
        return kind
    if not _is_whole(px_size) or px_size not in PX_SIZES:
        raise UsageError(f"px_size is {px_size!r}; it must be a whole number from {PX_SIZES[0]} to {PX_SIZES[-1]}")
    kinds: dict[str, Kind] = {"tensor": Tensor(px_size), "goldberg": GOLDBERG, "mean": Mean()}
    if kind not in kinds:
        raise UsageError(f'kind is "{printable(kind)}"; there are {", ".join(kinds)}')
    return kinds[kind]


def distance_of(similarity: str | float, kind: Kind) -> float:
    """Return the largest distance that a similarity asks for: a word, or a number as such or as text."""
    grades = {"duplicates": kind.duplicates, "similar": kind.similar}
    if isinstance(similarity, str) and similarity in grades:
        return grades[similarity]
    try:
        distance = float(similarity)
    except (TypeError, ValueError):
        distance = -1.0
    if not distance >= 0:
        raise UsageError(f'similarity is "{similarity}"; it must be "duplicates", "similar", or a number of at least 0')
    return distance


def action_of(action: str) -> Action:
    """Return what becomes of lesser copies by its name."""
    actions = [one for one in Action if one is not Action.KEEP]
    if action not in actions:
        raise UsageError(f'action is "{printable(str(action))}"; there are {", ".join(actions)}')
    return Action(action)


def threads_of(processes: int | None) -> int:
    """Return how many threads to use: as many as there are processors unless a number is given."""
    if processes is None:
        return len(os.sched_getaffinity(0))
    if not _is_whole(processes) or processes < 1:
        raise UsageError(f"processes is {processes!r}; it must be a whole number of at least 1, or None")
    return int(processes)


def _is_whole(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


def target_of(path: object) -> str:
    """Return the path of a folder to move to."""
    return os.path.abspath(_path(path, "target"))
