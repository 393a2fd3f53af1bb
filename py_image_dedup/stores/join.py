"""The exact radius join: every pair of signatures within a distance, none missed, in tiles of matrix products.

``d(a, b) = ||a-b|| / (||a|| + ||b||) <= T`` means

    2 a.b >= (1 - T^2) (||a||^2 + ||b||^2) - 2 T^2 ||a|| ||b|| >= 2 (1 - 2 T^2) ||a|| ||b||,

so the cosine of a match is at least ``1 - 2 T^2``.  Let a and b be of length 1, P the leading principal axes and r the
length left over: ``a.b <= Pa.Pb + r_a r_b`` (Cauchy-Schwarz).  Hence the product of the short vectors (Pa, r_a) and
(Pb, r_b) is a bound that no match fails: one product of tiles and one comparison give all candidates, and the few of
them are checked exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from py_image_dedup.model import Turn
from py_image_dedup.signature import LENGTH, Signature, turned

_TILE_ROWS = 256
_TILE_COLUMNS = 1024  # a tile of bounds, 1 MB, stays in the cache of one core between product and comparison
_READ_AT_ONCE = 1024  # rows turned into wide numbers at once
_SAMPLE = 10_000  # rows that the axes are found on
_SAMPLED_PAIRS = 2_000  # rows compared with each other to choose how many axes
_AXES = range(8, 97, 4)
_CHECK_COST = 25_000  # one exact check takes as long as one axis for so many pairs
_TOLERANCE = 1e-5  # of float32 products of vectors of length 1 and at most 97 values
_PENDING = 1 << 14  # candidates collected before they are checked
_CHECKED_AT_ONCE = 512  # candidates; their signatures stay in the cache
_YIELDED_AT_ONCE = 1 << 20  # pairs; bounds the memory where thousands of rows are equal

_EITHER_QUARTER: Final = 0  # clockwise and counterclockwise fit equally well
_ONWARDS: Final = np.array([Turn.CLOCKWISE, *Turn], np.uint8)
_BACK: Final = np.array([Turn.CLOCKWISE, *(turn.inverse for turn in Turn)], np.uint8)

Progress = Callable[[int, int], None]
Numbers = npt.NDArray[np.int64]
Short = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Matching rows, ``a[i] < b[i]``, int64, and their distances, float64; all of one length.

    ``turns``, uint8: the :class:`Turn` of row ``b[i]`` that brings it nearest to row ``a[i]``.
    """

    a: Numbers
    b: Numbers
    distances: npt.NDArray[np.float64]
    turns: npt.NDArray[np.uint8]


def join(
    signatures: Signature,
    *,
    within: float,
    new: npt.NDArray[np.bool_] | None = None,
    orientations: Collection[Turn] = (),
    progress: Progress | None = None,
) -> Iterator[Pairs]:
    """Yield all pairs of rows of `signatures`, shape (n, 648), that are at most `within` apart (0..1).

    `new`, shape (n,): only pairs with at least one row that is new are wanted.  `orientations`: turns of one of the
    two to try besides upright; each brings its inverse with it, since a pair has no order.  A pair comes once, with
    the turn of least distance; of several that are equally near with upright, else the first of the enumeration.

    Rows that are all zero match nothing.  Equal rows are compared once and expanded at the end.
    """
    distinct = _Distinct.of(signatures, np.ones(len(signatures), np.bool_) if new is None else new)
    several = np.flatnonzero(distinct.counts > 1)
    yield from distinct.expand(
        Pairs(several, several, np.zeros(len(several)), np.full(len(several), Turn.UPRIGHT, np.uint8))
    )
    if len(distinct.rows) < 2 or not distinct.new:
        return
    turns = sorted({Turn.UPRIGHT, *orientations, *(turn.inverse for turn in orientations)})
    for pairs in _join_distinct(distinct, within=within, turns=turns, progress=progress):
        yield from distinct.expand(pairs)


@dataclass(frozen=True, slots=True, eq=False)
class _Distinct:
    """The different signatures among all, zeros left out; first come those that at least one new row carries.

    ``rows``: for each one row that carries it; ``squares``: its squared norm.  ``members``: all rows, those of one
    signature together, the new ones first; ``starts``, ``counts`` and ``news``: where they begin, how many there
    are, and how many of them are new.
    """

    signatures: Signature
    rows: Numbers
    squares: npt.NDArray[np.float64]
    members: Numbers
    starts: Numbers
    counts: Numbers
    news: Numbers

    @classmethod
    def of(cls, signatures: Signature, new: npt.NDArray[np.bool_]) -> _Distinct:
        keys, squares = _keys(signatures)
        members = np.flatnonzero(squares)
        members = members[np.lexsort((~new[members], keys[members]))]
        is_first = np.ones(len(members), np.bool_)
        is_first[1:] = keys[members[1:]] != keys[members[:-1]]
        # Two signatures with one key are unlikely but possible; where that is so, equal rows may stay apart: both are
        # compared with all others then, which takes longer and finds the same.
        later = np.flatnonzero(~is_first)
        for start in range(0, len(later), _READ_AT_ONCE):
            some = later[start : start + _READ_AT_ONCE]
            unlike = (signatures[members[some]] != signatures[members[some - 1]]).any(axis=1)
            is_first[some[unlike]] = True
        starts = np.flatnonzero(is_first)
        starts = starts[np.argsort(~new[members[starts]], kind="stable")]
        ends = np.append(np.flatnonzero(is_first)[1:], len(members))
        counts = ends[np.searchsorted(ends, starts, side="right")] - starts
        news_before = np.concatenate([[0], np.cumsum(new[members])])
        news = news_before[starts + counts] - news_before[starts]
        rows = members[starts]
        return cls(signatures, rows, squares[rows], members, starts, counts, news)

    @property
    def new(self) -> int:
        """How many of the signatures are carried by a new row; these come first."""
        return int(np.count_nonzero(self.news))

    def expand(self, pairs: Pairs) -> Iterator[Pairs]:
        """Turn pairs of distinct signatures into pairs of all rows that carry them, of which one is new."""
        everything = self.starts, self.counts
        new = self.starts, self.news
        old = self.starts + self.news, self.counts - self.news
        yield from self._products(pairs, new, everything)
        yield from self._products(pairs, old, new)

    def _products(
        self, pairs: Pairs, of_a: tuple[Numbers, Numbers], of_b: tuple[Numbers, Numbers]
    ) -> Iterator[Pairs]:
        (starts_a, counts_a), (starts_b, counts_b) = of_a, of_b
        ends = np.cumsum(counts_a[pairs.a] * counts_b[pairs.b])
        total = int(ends[-1]) if len(ends) else 0
        for first in range(0, total, _YIELDED_AT_ONCE):
            number = np.arange(first, min(first + _YIELDED_AT_ONCE, total))
            pair = np.searchsorted(ends, number, side="right")
            one, other = pairs.a[pair], pairs.b[pair]
            i, j = np.divmod(ends[pair] - 1 - number, counts_b[other])
            i += starts_a[one]
            j += starts_b[other]
            wanted = (one != other) | (i < j)  # rows of one signature meet each other once
            a, b, pair = self.members[i[wanted]], self.members[j[wanted]], pair[wanted]
            turns = np.where(a < b, _ONWARDS[pairs.turns[pair]], _BACK[pairs.turns[pair]])
            yield Pairs(np.minimum(a, b), np.maximum(a, b), pairs.distances[pair], turns)


def _keys(signatures: Signature) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64]]:
    """Return for each row a number that tells it from nearly all others, and its squared norm."""
    factors = np.random.default_rng(0).integers(1, 1 << 63, LENGTH // 8, np.uint64) * np.uint64(2) + np.uint64(1)
    keys = np.empty(len(signatures), np.uint64)
    squares = np.empty(len(signatures))
    for start in range(0, len(signatures), _READ_AT_ONCE):
        some = slice(start, start + _READ_AT_ONCE)
        keys[some] = np.ascontiguousarray(signatures[some]).view(np.uint64) @ factors  # modulo 2^64
        wide = signatures[some].astype(np.float32)
        squares[some] = np.einsum("ij,ij->i", wide, wide)  # at most 2,592: exact
    return keys, squares


def _join_distinct(
    distinct: _Distinct, *, within: float, turns: Collection[Turn], progress: Progress | None
) -> Iterator[Pairs]:
    """Compare tile by tile; the pairs are numbers of distinct signatures, not of rows."""
    least = 1.0 - 2.0 * within**2 - _TOLERANCE
    axes = _axes_for(distinct, least)
    columns, rows = len(distinct.rows), distinct.new
    total = rows * (rows + 1) // 2 + rows * (columns - rows)
    done = 0
    short = np.empty((rows, axes.shape[1] + 1), np.float32)
    bounds = np.empty(_TILE_ROWS * _TILE_COLUMNS, np.float32)  # filled again for each tile: fresh pages cost more
    passed = np.empty(_TILE_ROWS * _TILE_COLUMNS, np.bool_)
    pending = _Pending(distinct, within)
    for j in range(0, columns, _TILE_COLUMNS):
        block = [*_short(distinct, slice(j, j + _TILE_COLUMNS), axes, turns)]
        width = len(block[0])
        short[j : j + width] = block[0][: max(0, rows - j)]
        for i in range(0, min(j + width, rows), _TILE_ROWS):
            tile = short[i : min(i + _TILE_ROWS, j + width)]
            shape, size = (len(tile), width), len(tile) * width
            for turn, others in zip(turns, block, strict=True):
                np.matmul(tile, others.T, out=bounds[:size].reshape(shape))
                np.greater_equal(bounds[:size], least, out=passed[:size])
                pending.add(np.flatnonzero(passed[:size]), i, j, width, turn)
            if pending.count >= _PENDING:
                yield from pending.check()
            done += size
        if progress is not None:
            progress(min(done, total), total)
    yield from pending.check()
    if progress is not None:
        progress(total, total)


class _Pending:
    """Candidates that wait for their exact check; all turns of one pair of rows wait together."""

    def __init__(self, distinct: _Distinct, within: float) -> None:
        self.count = 0
        self._distinct = distinct
        self._norms = np.sqrt(distinct.squares)
        self._within = within
        self._found: list[tuple[Turn, Numbers, Numbers]] = []

    def add(self, hits: Numbers, i: int, j: int, width: int, turn: Turn) -> None:
        """Take over the places in a tile, whose upper left corner is (i, j), where the bound is passed."""
        if len(hits):
            a, b = np.divmod(hits, width)
            a += i
            b += j
            if j < i + len(hits) or a[-1] >= j:  # the diagonal may pass through the tile
                below = a < b
                a, b = a[below], b[below]
            self.count += len(a)
            self._found.append((turn, a, b))

    def check(self) -> Iterator[Pairs]:
        """Yield the candidates that are matches, each pair with its best turn, and forget all."""
        near = [pairs for turn, a, b in self._by_turn() for pairs in self._near(turn, a, b)]
        several = len({turn for turn, _, _ in self._found}) > 1
        self._found.clear()
        self.count = 0
        if several:
            yield from _best(near)
        else:
            yield from near

    def _by_turn(self) -> Iterator[tuple[Turn, Numbers, Numbers]]:
        for wanted in sorted({turn for turn, _, _ in self._found}):
            a = np.concatenate([a for turn, a, _ in self._found if turn is wanted])
            b = np.concatenate([b for turn, _, b in self._found if turn is wanted])
            yield wanted, a, b

    def _near(self, turn: Turn, a: Numbers, b: Numbers) -> Iterator[Pairs]:
        rows, squares, norms, signatures = (
            self._distinct.rows,
            self._distinct.squares,
            self._norms,
            self._distinct.signatures,
        )
        for start in range(0, len(a), _CHECKED_AT_ONCE):
            i, j = a[start : start + _CHECKED_AT_ONCE], b[start : start + _CHECKED_AT_ONCE]
            one = signatures[rows[i]].astype(np.float32)
            other = turned(signatures[rows[j]], turn).astype(np.float32)
            products = np.einsum("ij,ij->i", one, other).astype(np.float64)  # of whole numbers below 2^24: exact
            together = norms[i] + norms[j]
            apart = np.sqrt(squares[i] + squares[j] - 2.0 * products)
            distances = np.minimum(apart, together) / together
            near = distances <= self._within
            if near.any():
                turns = np.full(np.count_nonzero(near), turn, np.uint8)
                yield Pairs(i[near], j[near], distances[near], turns)


def _best(found: Iterable[Pairs]) -> Iterator[Pairs]:
    """Keep of each pair the turn of least distance; upright before others, and the first of the enumeration."""
    parts = [*found]
    if not parts:
        return
    a, b, distances, turns = (
        np.concatenate([getattr(pairs, name) for pairs in parts]) for name in ("a", "b", "distances", "turns")
    )
    order = np.lexsort((turns, distances, b, a))
    a, b, distances, turns = a[order], b[order], distances[order], turns[order]
    first = np.ones(len(a), np.bool_)
    first[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    best = np.flatnonzero(first)[np.cumsum(first) - 1]
    tied = (turns == Turn.COUNTERCLOCKWISE) & (turns[best] == Turn.CLOCKWISE) & (distances == distances[best])
    turns[best[tied]] = _EITHER_QUARTER
    yield Pairs(a[first], b[first], distances[first], turns[first])


def _short(
    distinct: _Distinct, some: slice, axes: npt.NDArray[np.float64], turns: Collection[Turn]
) -> Iterator[Short]:
    """Yield the short vectors of some signatures turned in these ways, shape (n, axes + 1).

    Instead of the signatures the axes are turned, back: the products are the same.
    """
    wide = distinct.signatures[distinct.rows[some]].astype(np.float64)
    wide /= np.sqrt(distinct.squares[some])[:, None]
    for turn in turns:
        projected = wide @ turned(axes.T, turn.inverse).T
        rest = np.sqrt(np.maximum(1.0 - np.einsum("ij,ij->i", projected, projected), 0.0))
        yield np.column_stack([projected, rest]).astype(np.float32)


def _axes_for(distinct: _Distinct, least: float) -> npt.NDArray[np.float64]:
    """Return so many principal axes that products and exact checks together take the least time, by a sample.

    The wider the radius, the more axes: with fewer too many candidates pass.
    """
    axes = _principal_axes(distinct, count=_AXES[-1])
    step = -(-len(distinct.rows) // _SAMPLED_PAIRS)
    sample = distinct.rows[::step]
    wide = distinct.signatures[sample] / np.sqrt(distinct.squares[::step])[:, None]
    projected = (wide @ axes).astype(np.float32)
    bound = np.zeros((len(sample), len(sample)), np.float32)
    least_cost, best, before = np.inf, 0, 0
    for count in _AXES:
        bound += projected[:, before:count] @ projected[:, before:count].T
        rest = np.sqrt(np.maximum(1.0 - (projected[:, :count] ** 2).sum(axis=1), 0.0))
        share = np.count_nonzero(bound + np.outer(rest, rest) >= least) - len(sample)
        cost = count + _CHECK_COST * share / len(sample) ** 2
        if cost < least_cost:
            least_cost, best = cost, count
        before = count
        if count > least_cost:
            break
    return axes[:, :best]


def _principal_axes(distinct: _Distinct, *, count: int) -> npt.NDArray[np.float64]:
    """Return orthonormal axes, shape (648, count), that hold most of the length of a sample, the first the most.

    Three rounds of subspace iteration: they serve as well as exact axes, and take a tenth of the time to find.
    """
    step = -(-len(distinct.rows) // _SAMPLE)
    sample = distinct.signatures[distinct.rows[::step]].astype(np.float32)
    moments = (sample.T @ sample).astype(np.float64)
    axes = np.random.default_rng(0).normal(size=(LENGTH, count))
    for _ in range(3):
        axes, _ = np.linalg.qr(moments @ axes)
    _, order = np.linalg.eigh(axes.T @ moments @ axes)
    return np.asarray(axes @ order[:, ::-1])
