"""The plan at large: totals, a histogram of distances, space by folder; numbers for drawings made on the server."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import Final, NamedTuple

from py_image_dedup.files import printable
from py_image_dedup.model import Level
from py_image_dedup.plan import Plan

_BINS: Final = 20
_WIDEST: Final = 0.5  # the distance up to which anything is found; what lies beyond is in the last bin
_FOLDERS: Final = 15


class Bar(NamedTuple):
    """A bar of a drawing: what it stands for, its numbers, and its lengths in percent of the longest."""

    name: str
    duplicates: int
    similar: int
    length: float
    length_similar: float


class Folder(NamedTuple):
    """A folder, the bytes of what goes from it, and the length of its bar in percent of the longest."""

    path: str
    shown: str
    bytes: int
    files: int
    length: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """What charts show."""

    groups: int
    duplicates: int
    similar: int
    going: int
    going_similar: int
    going_bytes: int
    distances: tuple[Bar, ...]
    folders: tuple[Folder, ...]


def outlook(plan: Plan) -> Outlook:
    """Count."""
    bins: Counter[tuple[int, Level]] = Counter()
    sizes: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for group in plan.groups:
        for act in group.duplicates:
            bins[min(int(act.distance / _WIDEST * _BINS), _BINS - 1), act.level] += 1
            if act.action.acts:
                folder = os.path.dirname(act.file.path)
                sizes[folder] += act.file.size
                files[folder] += 1
    longest = max(bins.values(), default=1)
    largest = max(sizes.values(), default=1) or 1
    return Outlook(
        groups=len(plan.groups),
        duplicates=plan.duplicates,
        similar=plan.similar,
        going=files.total(),
        going_similar=plan.risky,
        going_bytes=sizes.total(),
        distances=tuple(
            Bar(
                f"{number * _WIDEST / _BINS:.3f}",
                *(counts := (bins[number, Level.DUPLICATE], bins[number, Level.SIMILAR])),
                *(100 * count / longest for count in counts),
            )
            for number in range(_BINS)
        ),
        folders=tuple(
            Folder(path, printable(path), size, files[path], 100 * size / largest)
            for path, size in sizes.most_common(_FOLDERS)
        ),
    )
