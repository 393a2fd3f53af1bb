"""From contents with their signatures to matches: what the exact way of every store has in common."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, TypeVar, overload

import numpy as np
import numpy.typing as npt

from py_image_dedup.kinds.goldberg import GOLDBERG
from py_image_dedup.kinds.interface import Kind, Vectors
from py_image_dedup.model import Match, Turn
from py_image_dedup.stores.interface import Progress
from py_image_dedup.stores.join import join

_HASH_BYTES: Final = 32
_ROWS_AT_ONCE: Final = 10_000

TURN_OF: Final = {int(turn): turn for turn in Turn}
"""Faster by far than making a turn of its number."""

Row = tuple[bytes, bytes, float, int]
"""A match as tables hold it: two hashes, a distance, the number of a turn."""

T = TypeVar("T")


class _Packed(Sequence[T]):
    """A sequence that keeps its items as bytes and makes them when asked."""

    def _at(self, number: int) -> T:
        """Make one, counted from 0."""
        raise NotImplementedError

    @overload
    def __getitem__(self, number: int) -> T: ...
    @overload
    def __getitem__(self, number: slice) -> list[T]: ...
    def __getitem__(self, number: int | slice) -> T | list[T]:
        those = range(len(self))[number]  # IndexError beyond the end
        return self._at(those) if isinstance(those, int) else [self._at(one) for one in those]


class Hashes(_Packed[str]):
    """Hashes kept as 32 bytes each, one after the other: hex strings of a million take more than 100 MB."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def append(self, content: bytes) -> None:
        """Add a hash at the end."""
        self._bytes += content

    def raw(self) -> npt.NDArray[np.void]:
        """Return them as 32 bytes each, shape (n,); nothing can be added as long as the answer is held."""
        return np.frombuffer(self._bytes, f"V{_HASH_BYTES}")

    def __len__(self) -> int:
        return len(self._bytes) // _HASH_BYTES

    def _at(self, number: int) -> str:
        return self._bytes[number * _HASH_BYTES : (number + 1) * _HASH_BYTES].hex()


class ManyMatches(_Packed[Match]):
    """Matches kept as 74 bytes each: as objects, ten million of them take more than 4 GB."""

    def __init__(self) -> None:
        self._ones = Hashes()
        self._others = Hashes()
        self._distances = array("d")
        self._turns = bytearray()
        self._parts = bytearray()

    def append(self, match: Match) -> None:
        """Add a match at the end."""
        self._ones.append(bytes.fromhex(match.a))
        self._others.append(bytes.fromhex(match.b))
        self._distances.append(match.distance)
        self._turns.append(match.turn)
        self._parts.append(match.part)

    def in_order(self) -> Iterator[Row]:
        """Yield them in order of the beginnings of their hashes; nothing can be added meanwhile."""
        hashes = self._ones.raw(), self._others.raw()
        order = np.lexsort([raw.view(">u8")[:: _HASH_BYTES // 8] for raw in reversed(hashes)])
        columns = (*hashes, np.frombuffer(self._distances), np.frombuffer(self._turns, np.uint8))
        for start in range(0, len(order), _ROWS_AT_ONCE):
            some = order[start : start + _ROWS_AT_ONCE]
            yield from zip(*(column[some].tolist() for column in columns), strict=True)

    def __len__(self) -> int:
        return len(self._distances)

    def _at(self, number: int) -> Match:
        hashes = self._ones[number], self._others[number]
        return Match(*hashes, self._distances[number], TURN_OF[self._turns[number]], bool(self._parts[number]))


def matches(
    hashes: Hashes | Sequence[str],
    signatures: Vectors,
    *,
    within: float,
    kind: Kind = GOLDBERG,
    new: Collection[str] | None = None,
    orientations: Collection[Turn] = (),
    threads: int = 1,
    progress: Progress | None = None,
) -> Iterator[Match]:
    """Yield all pairs of contents that are at most `within` apart, by the exact join; see :class:`Store`.

    `hashes` in ascending order; `signatures` of the kind, shape (n, length), one row for each.
    """
    is_new = None
    if new is not None:
        wanted = new if isinstance(new, AbstractSet) else frozenset(new)
        is_new = np.fromiter((hashes[row] in wanted for row in range(len(hashes))), np.bool_, len(hashes))
    for pairs in join(
        signatures,
        within=within,
        kind=kind,
        new=is_new,
        orientations=orientations,
        threads=threads,
        progress=progress,
    ):
        columns = (pairs.a.tolist(), pairs.b.tolist(), pairs.distances.tolist(), pairs.turns.tolist())
        for a, b, distance, turn in zip(*columns, strict=True):
            yield Match(hashes[a], hashes[b], distance, TURN_OF[turn])
