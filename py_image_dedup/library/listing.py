"""Matches in the shape of difPy: each picture with those after it that match it and that no earlier one has taken."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from py_image_dedup.grouping import Neighbours
from py_image_dedup.library.collection import Collection

Listed = dict[str, Any]
"""By path ``[[path, distance], ...]`` of the pictures that it was first to match; or such lists by folder."""


def listed(collection: Collection, near: Neighbours) -> Listed:
    """List all pictures, or those of each folder by that folder if these are not to be compared."""
    if not collection.in_folder:
        return _listed(collection, near, range(len(collection)))
    sides: defaultdict[str, list[int]] = defaultdict(list)
    for number, picture in enumerate(collection.pictures):
        sides[picture.root].append(number)
    names = {place.folder: place.given for place in reversed(collection.places)}
    told = {names[root]: _listed(collection, near, numbers) for root, numbers in sides.items()}
    return {folder: found for folder, found in told.items() if found}


def counts(result: Listed, *, in_folder: bool) -> dict[str, int]:
    """Count the pictures that were matched, those at distance 0 and the others."""
    sides: Iterable[Listed] = result.values() if in_folder else [result]
    distances = [distance for side in sides for matches in side.values() for _, distance in matches]
    equal = sum(distance == 0 for distance in distances)
    return {"duplicates": equal, "similar": len(distances) - equal}


def _listed(collection: Collection, near: Neighbours, numbers: Sequence[int]) -> Listed:
    holders: defaultdict[str, list[int]] = defaultdict(list)
    for number in numbers:
        holders[collection.pictures[number].file.content].append(number)
    found: Listed = {}
    for number in numbers:
        content = collection.pictures[number].file.content
        if after := sorted(_take(number, content, near, holders)):
            found[collection.names[number]] = [[collection.names[other], distance] for other, distance in after]
    return found


def _take(number: int, content: str, near: Neighbours, holders: Mapping[str, list[int]]) -> Iterator[tuple[int, float]]:
    """Yield the pictures after this one that match it, and take them off those that can still be taken."""
    distances = {content: 0.0} | {other: one.distance for other, one in near.of(content).items()}
    for other, distance in distances.items():
        left = holders.get(other, [])
        start = bisect_right(left, number)
        yield from ((taken, distance) for taken in left[start:])
        del left[start:]
