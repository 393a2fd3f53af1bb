"""Near pairs one by one, as they are found: of a whole collection, or between two sets of folders."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, product

from py_image_dedup.events import Observer
from py_image_dedup.kinds.interface import Kind
from py_image_dedup.library import parameters
from py_image_dedup.library.building import build
from py_image_dedup.library.collection import Collection
from py_image_dedup.library.parameters import Path
from py_image_dedup.library.searching import near_pairs
from py_image_dedup.model import Turn


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures that are near each other: their paths, distance by the kind, and what is done to the second."""

    path: str
    other: str
    distance: float
    turn: str


def pairs(
    collection: Collection,
    similarity: str | float = "duplicates",
    *,
    rotate: bool = True,
    same_dim: bool = True,
    processes: int | None = None,
) -> Iterator[Pair]:
    """Yield every pair of pictures of a collection that are near each other, as soon as it is found, in any order.

    Nothing is kept but the pair that is yielded.  The parameters are those of :func:`~py_image_dedup.library.search`;
    there is no last look.
    """
    within = parameters.distance_of(similarity, collection.kind)
    threads = parameters.threads_of(processes)
    return _pairs(collection, within, rotate=rotate, same_dim=same_dim, threads=threads)


def leaks(
    train: Path | Iterable[Path],
    test: Path | Iterable[Path],
    *,
    similarity: str | float = "similar",
    rotate: bool = True,
    same_dim: bool = False,
    px_size: int = 50,
    kind: str | Kind = "tensor",
    show_progress: bool = True,
    processes: int | None = None,
) -> Iterator[Pair]:
    """Yield the pairs of a picture in `train` and one in `test`, each a folder or several, that are near each other.

    The parameters are those of :func:`~py_image_dedup.library.build` and :func:`~py_image_dedup.library.search`.
    """
    named = [[one] if isinstance(one, str | os.PathLike) else [*one] for one in (train, test)]
    ours = parameters.places(named[:1])
    collection = build(*named, px_size=px_size, kind=kind, show_progress=show_progress, processes=processes)
    within = parameters.distance_of(similarity, collection.kind)
    roots = frozenset(place.folder for place in ours)
    threads = parameters.threads_of(processes)
    return _pairs(collection, within, rotate=rotate, same_dim=same_dim, threads=threads, train=roots)


def _pairs(
    collection: Collection,
    within: float,
    *,
    rotate: bool,
    same_dim: bool,
    threads: int,
    train: frozenset[str] | None = None,
) -> Iterator[Pair]:
    """Yield pairs; with `train`, a set of roots, only those of a picture below one of these and one that is not."""
    holders: defaultdict[str, list[tuple[bool, str]]] = defaultdict(list)
    for picture, name in zip(collection.pictures, collection.names, strict=True):
        holders[picture.file.content].append((train is None or picture.root in train, name))
    for some in holders.values():
        for (one_side, one), (other_side, other) in combinations(some, 2):
            if train is None or one_side != other_side:
                yield _ordered(one, other, 0.0, Turn.UPRIGHT, swap=not one_side)
    found = near_pairs(collection, within, rotate=rotate, same_dim=same_dim, threads=threads, observer=Observer())
    for match in found:
        for (one_side, one), (other_side, other) in product(holders[match.a], holders[match.b]):
            if train is None or one_side != other_side:
                yield _ordered(one, other, match.distance, match.turn, swap=not one_side)


def _ordered(one: str, other: str, distance: float, turn: Turn, *, swap: bool) -> Pair:
    """Put the picture of the first side first."""
    if swap:
        return Pair(other, one, distance, turn.inverse.name.lower())
    return Pair(one, other, distance, turn.name.lower())
