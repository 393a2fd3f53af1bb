"""The exact radius join: every pair of signatures within a distance, none missed, in tiles of matrix products.

A kind of signature (:mod:`py_image_dedup.kinds`) sees each as a point, and knows the squared Euclidean distance R that
no match exceeds.  Let P be the leading principal axes of the points and r the length left over.  Then

    ||a - b||^2 >= ||a||^2 + ||b||^2 - 2 (Pa.Pb + r_a r_b)     (Cauchy-Schwarz)

so for every match ``Pa.Pb + r_a r_b - ||a||^2 / 2 - ||b||^2 / 2 >= -R / 2``.  That is one product of short vectors,
(Pa, r_a, -||a||^2 / 2, 1) and (Pb, r_b, 1, -||b||^2 / 2), a bound that no match fails: one product of tiles and one
comparison give all candidates, and the few of them are checked exactly.  Points that all have length 1 do without the
last two values.

Where signatures are long, :mod:`py_image_dedup.stores.sketches` leaves out most of these.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from py_image_dedup.kinds.goldberg import GOLDBERG
from py_image_dedup.kinds.interface import Floats, Kind, Vectors
from py_image_dedup.model import Turn
from py_image_dedup.stores import axes as directions
from py_image_dedup.stores.axes import product, rest_of
from py_image_dedup.stores.rows import READ_AT_ONCE as _READ_AT_ONCE
from py_image_dedup.stores.rows import pieces, row_keys
from py_image_dedup.stores.sketches import Sketches
from py_image_dedup.stores.tiles import COLUMNS, ROWS, Short, Tile, left_hand, right_hand

_TOLERANCE = 2e-5  # of float32 products of at most 67 values, in squares of the longest point
_FAR = -1e30  # what stands for half a square where a tile has room for more rows than there are
_PENDING = 1 << 16  # candidates that a thread collects before it checks them
_LEAST_PART = 16  # tiles, some milliseconds; less is not worth a thread
_CHECKED_AT_ONCE = 1024  # candidates of 648 values; their signatures stay in the cache
_YIELDED_AT_ONCE = 1 << 20  # pairs; bounds the memory where thousands of rows are equal

Progress = Callable[[int, int], None]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Matching rows, ``a[i] < b[i]``, int64, and their distances, float64; all of one length.

    ``turns``, uint8: the :class:`Turn` of row ``b[i]`` that brings it nearest to row ``a[i]``.
    """

    a: Numbers
    b: Numbers
    distances: npt.NDArray[np.float64]
    turns: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class _Near:
    """Pairs of distinct signatures, by number, that are near; ``turns``, shape (n, 2): what is done to b, and to a.

    The two are each other's inverse unless several turns are equally near: then each is the first of these.
    """

    a: Numbers
    b: Numbers
    distances: npt.NDArray[np.float64]
    turns: npt.NDArray[np.uint8]


def join(
    signatures: Vectors,
    *,
    within: float,
    kind: Kind = GOLDBERG,
    new: npt.NDArray[np.bool_] | None = None,
    orientations: Collection[Turn] = (),
    threads: int = 1,
    progress: Progress | None = None,
) -> Iterator[Pairs]:
    """Yield all pairs of rows of `signatures`, shape (n, length), that are at most `within` apart by their kind.

    `new`, shape (n,): only pairs with at least one row that is new are wanted.  `orientations`: turns of one of the
    two to try besides upright; each brings its inverse with it, since a pair has no order.  A pair comes once, with
    the turn of least distance; of several that are equally near with upright, else the first of the enumeration.
    `threads`: how many compare; the order in which pairs come depends on it.

    Points without a direction match nothing where directions are compared.  Equal rows are compared once and expanded
    at the end.
    """
    distinct = _Distinct.of(kind, signatures, np.ones(len(signatures), np.bool_) if new is None else new)
    several = np.flatnonzero(distinct.counts > 1)
    yield from distinct.expand(
        _Near(several, several, np.zeros(len(several)), np.full((len(several), 2), Turn.UPRIGHT, np.uint8))
    )
    if len(distinct.rows) < 2 or not distinct.new:
        return
    turns = sorted({Turn.UPRIGHT, *orientations, *(turn.inverse for turn in orientations)})
    for pairs in _join_distinct(distinct, within=within, turns=turns, threads=threads, progress=progress):
        yield from distinct.expand(pairs)


@dataclass(frozen=True, slots=True, eq=False)
class _Distinct:
    """The different signatures among all that can match; first come those that at least one new row carries.

    ``rows``: for each one row that carries it; ``squares``: the squared length of its point.  ``members``: all rows,
    those of one signature together, the new ones first; ``starts``, ``counts`` and ``news``: where they begin, how
    many there are, and how many of them are new.
    """

    kind: Kind
    signatures: Vectors
    rows: Numbers
    squares: Floats
    members: Numbers
    starts: Numbers
    counts: Numbers
    news: Numbers

    @classmethod
    def of(cls, kind: Kind, signatures: Vectors, new: npt.NDArray[np.bool_]) -> _Distinct:
        keys = row_keys(signatures)
        squares = _squares(kind, signatures)
        members = np.flatnonzero(squares) if kind.directions_only else np.arange(len(signatures))
        members = members[np.lexsort((~new[members], keys[members]))]
        is_first = np.ones(len(members), np.bool_)
        is_first[1:] = keys[members[1:]] != keys[members[:-1]]
        # Two signatures with one key are unlikely but possible; where that is so, equal rows may stay apart: both are
        # compared with all others then, which takes longer and finds the same.
        later = np.flatnonzero(~is_first)
        for piece in pieces(len(later), signatures, _READ_AT_ONCE):
            some = later[piece]
            unlike = (signatures[members[some]] != signatures[members[some - 1]]).any(axis=1)
            is_first[some[unlike]] = True
        starts = np.flatnonzero(is_first)
        starts = starts[np.argsort(~new[members[starts]], kind="stable")]
        ends = np.append(np.flatnonzero(is_first)[1:], len(members))
        counts = ends[np.searchsorted(ends, starts, side="right")] - starts
        news_before = np.concatenate([[0], np.cumsum(new[members])])
        news = news_before[starts + counts] - news_before[starts]
        rows = members[starts]
        return cls(kind, signatures, rows, squares[rows], members, starts, counts, news)

    @property
    def new(self) -> int:
        """How many of the signatures are carried by a new row; these come first."""
        return int(np.count_nonzero(self.news))

    def points(self, some: slice) -> tuple[Floats, Floats]:
        """Return sketches of points, shape (n, m), and the squared lengths of the whole: 1 for directions."""
        rows, squares = self.rows[some], self.squares[some]
        cut = pieces(len(rows), self.signatures, _READ_AT_ONCE)
        sketches = np.concatenate([self.kind.sketches(self.signatures[rows[piece]]) for piece in cut])
        if self.kind.directions_only:
            return sketches / np.sqrt(squares)[:, None], np.ones(len(rows))
        return sketches, squares

    def expand(self, pairs: _Near) -> Iterator[Pairs]:
        """Turn pairs of distinct signatures into pairs of all rows that carry them, of which one is new."""
        yield from self._products(pairs, self._new_of(pairs.a), self._all_of(pairs.b))
        yield from self._products(pairs, self._old_of(pairs.a), self._new_of(pairs.b))

    def _all_of(self, some: Numbers) -> _Ranges:
        return _Ranges(self.starts[some], self.counts[some])

    def _new_of(self, some: Numbers) -> _Ranges:
        return _Ranges(self.starts[some], self.news[some])

    def _old_of(self, some: Numbers) -> _Ranges:
        return _Ranges(self.starts[some] + self.news[some], self.counts[some] - self.news[some])

    def _products(self, pairs: _Near, of_a: _Ranges, of_b: _Ranges) -> Iterator[Pairs]:
        """Pair every member of one range with every member of the other."""
        ends = np.cumsum(of_a.counts * of_b.counts)
        total = int(ends[-1]) if len(ends) else 0
        for first in range(0, total, _YIELDED_AT_ONCE):
            number = np.arange(first, min(first + _YIELDED_AT_ONCE, total))
            pair = np.searchsorted(ends, number, side="right")
            i, j = np.divmod(ends[pair] - 1 - number, of_b.counts[pair])
            i += of_a.starts[pair]
            j += of_b.starts[pair]
            wanted = (pairs.a[pair] != pairs.b[pair]) | (i < j)  # rows of one signature meet each other once
            a, b, pair = self.members[i[wanted]], self.members[j[wanted]], pair[wanted]
            turns = np.where(a < b, *pairs.turns[pair].T)
            yield Pairs(np.minimum(a, b), np.maximum(a, b), pairs.distances[pair], turns)


@dataclass(frozen=True, slots=True, eq=False)
class _Ranges:
    """Some runs of members: for each where it begins, and how many there are."""

    starts: Numbers
    counts: Numbers


def _squares(kind: Kind, signatures: Vectors) -> Floats:
    """Return the squared lengths of the points."""
    squares = np.empty(len(signatures))
    for piece in pieces(len(signatures), signatures, _READ_AT_ONCE):
        squares[piece] = kind.squares(signatures[piece])
    return squares


def _join_distinct(
    distinct: _Distinct, *, within: float, turns: Sequence[Turn], threads: int, progress: Progress | None
) -> Iterator[_Near]:
    """Compare tile by tile; the pairs are numbers of distinct signatures, not of rows."""
    bound = _Bound.of(distinct, within)
    columns, rows = len(distinct.rows), distinct.new
    lefts = np.empty((-(-rows // ROWS), bound.width, ROWS), np.float32)
    sketches = Sketches(distinct.kind, columns, len(bound.axes), most=(distinct.kind.directions_only - bound.least) * 2)
    workers = [_Worker(distinct, Tile(bound.width), within, sketches) for _ in range(threads)]
    total = sum(min(j + COLUMNS, rows) for j in range(0, columns, COLUMNS))
    done = 0
    with ThreadPoolExecutor(threads, "join") as pool:
        for j in range(0, columns, COLUMNS):
            points = distinct.points(slice(j, j + COLUMNS))
            sketches.put(j, *points)
            short = [*bound.short(*points, turns)]
            block = [(turn, right_hand(one)) for turn, one in zip(turns, short, strict=True)]
            below = min(j + COLUMNS, rows)
            here = lefts[j // ROWS : (j + COLUMNS) // ROWS]
            here[:] = left_hand(bound.left(short[0][: len(here) * ROWS]))
            tiles = range(-(-below // ROWS))
            parts = min(threads, max(1, len(tiles) * len(turns) // _LEAST_PART))
            yield from _side_by_side(
                pool,
                [
                    worker.compare(lefts, tiles[k::parts], block, j, bound.least)
                    for k, worker in enumerate(workers[:parts])
                ],
            )
            at_end = j + COLUMNS >= columns
            if at_end or max(worker.waiting for worker in workers) >= _PENDING // 2:
                # All at once: while one checks, the others would wait for it at the end of the block.
                yield from _side_by_side(pool, [map(_Worker.check, [worker]) for worker in workers])
            done += below
            if progress is not None:
                progress(done, total)


def _side_by_side(pool: ThreadPoolExecutor, parts: Sequence[Iterator[list[_Near]]]) -> Iterator[_Near]:
    """Run parts of the work to their ends, each in a thread; a single one in this."""
    while parts:
        run = pool.map if len(parts) > 1 else map
        found = [*run(lambda part: next(part, None), parts)]
        parts = [part for part, near in zip(parts, found, strict=True) if near is not None]
        for near in found:
            yield from near or ()


@dataclass(frozen=True, slots=True, eq=False)
class _Bound:
    """Short vectors whose products no match fails.  ``axes``: shape (m, n); ``least``: what a product must reach."""

    distinct: _Distinct
    axes: Floats
    least: float

    @classmethod
    def of(cls, distinct: _Distinct, within: float) -> _Bound:
        kind = distinct.kind
        reach = kind.reach(within)
        sample = slice(None, None, -(-len(distinct.rows) // directions.SAMPLE))
        axes = directions.axes_for(*distinct.points(sample), reach=reach, length=kind.length)
        longest = 1.0 if kind.directions_only else float(distinct.squares.max())
        return cls(distinct, axes, (kind.directions_only - reach / 2) - _TOLERANCE * longest)

    @property
    def width(self) -> int:
        """How long a short vector is: axes, what is left over, and half its square if that is not the same for all."""
        count: int = self.axes.shape[1]
        return count + (1 if self.distinct.kind.directions_only else 3)

    def room(self, rows: int) -> Short:
        """Return right-hand short vectors for as many rows, of which none has a product that suffices."""
        room = np.zeros((rows, self.width), np.float32)
        if not self.distinct.kind.directions_only:
            room[:, -2:] = 1, _FAR
        return room

    def short(self, sketches: Floats, squares: Floats, turns: Collection[Turn]) -> Iterator[Short]:
        """Yield the right-hand short vectors of points turned in these ways, shape (columns of a tile, width).

        Instead of the points the axes are turned, back: the products are the same.
        """
        count = self.axes.shape[1]
        for turn in turns:
            projected = product(sketches, self.distinct.kind.turned_sketches(self.axes.T, turn.inverse).T)
            short = self.room(COLUMNS)
            here = short[: len(sketches)]
            here[:, :count] = projected
            here[:, count] = rest_of(projected, squares)
            if not self.distinct.kind.directions_only:
                here[:, -1] = squares / -2
            yield short

    def left(self, right: Short) -> Short:
        """Turn right-hand short vectors into left-hand ones."""
        if self.distinct.kind.directions_only:
            return right
        return np.concatenate([right[:, :-2], right[:, :-3:-1]], axis=1)


class _Worker:
    """Compares tiles, and holds candidates until there are enough for the exact check; in one thread at a time."""

    def __init__(self, distinct: _Distinct, tile: Tile, within: float, sketches: Sketches) -> None:
        self._distinct = distinct
        self._tile = tile
        self._within = within
        self._sketches = sketches
        self._found: list[tuple[Turn, int, int, Numbers]] = []
        self.waiting = 0
        """How many candidates there are."""

    def compare(
        self, lefts: Short, tiles: Iterable[int], block: Sequence[tuple[Turn, Short]], j: int, least: float
    ) -> Iterator[list[_Near]]:
        """Compare some tiles of the block that begins at column j, turned in some ways; check now and then.

        All turns of one pair of rows wait together.
        """
        for tile in tiles:
            for turn, columns in block:
                hits = self._tile.hits(lefts[tile], columns, least)
                if len(hits):
                    self.waiting += len(hits)
                    self._found.append((turn, tile * ROWS, j, hits))
            if self.waiting >= _PENDING:
                yield self.check()

    def check(self) -> list[_Near]:
        """Return the candidates that are matches, each pair with its best turn, and forget all."""
        near = [pairs for turn, a, b in self._by_turn() for pairs in self._near(turn, a, b)]
        several = len({turn for turn, *_ in self._found}) > 1
        self._found.clear()
        self.waiting = 0
        return [*_best(near)] if several else near

    def _by_turn(self) -> Iterator[tuple[Turn, Numbers, Numbers]]:
        """Yield pairs of signatures; those beyond the last, or met the other way round too, are left out."""
        for turn in sorted({turn for turn, *_ in self._found}):
            tops, lefts, hits = zip(*[tile for this, *tile in self._found if this is turn], strict=True)
            a, b = self._tile.places(np.concatenate(hits))
            sizes = [len(some) for some in hits]
            a += np.repeat(tops, sizes)
            b += np.repeat(lefts, sizes)
            wanted = (a < b) & (a < self._distinct.new) & (b < len(self._distinct.rows))
            yield turn, a[wanted], b[wanted]

    def _near(self, turn: Turn, a: Numbers, b: Numbers) -> Iterator[_Near]:
        kind, rows, squares, signatures = (
            self._distinct.kind, self._distinct.rows, self._distinct.squares, self._distinct.signatures,
        )  # fmt: skip
        together = np.argsort(b, kind="stable")  # so that each is read and turned once for several
        a, b = a[together], b[together]
        possible = self._sketches.near(turn, a, b)
        a, b = a[possible], b[possible]
        for piece in pieces(len(a), signatures, _CHECKED_AT_ONCE):
            i, j = a[piece], b[piece]
            different, which = np.unique(j, return_inverse=True)
            others = kind.turned(signatures[rows[different]], turn)[which]
            distances = kind.distances(signatures[rows[i]], others, squares[i], squares[j])
            near = distances <= self._within
            if near.any():
                turns = np.tile(np.array([turn, turn.inverse], np.uint8), (int(np.count_nonzero(near)), 1))
                yield _Near(i[near], j[near], distances[near], turns)


def _best(found: Iterable[_Near]) -> Iterator[_Near]:
    """Keep of each pair the turn of least distance; upright before others, and the first of the enumeration."""
    parts = [*found]
    if not parts:
        return
    a, b, distances, turns = (
        np.concatenate([getattr(pairs, name) for pairs in parts]) for name in ("a", "b", "distances", "turns")
    )
    of_b, of_a = (np.lexsort((turns[:, side], distances, b, a)) for side in (0, 1))
    a, b = a[of_b], b[of_b]
    first = np.ones(len(a), np.bool_)
    first[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    best = np.stack([turns[of_b[first], 0], turns[of_a[first], 1]], axis=1)
    yield _Near(a[first], b[first], distances[of_b[first]], best)
