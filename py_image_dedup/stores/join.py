"""The exact radius join: every pair of signatures within a distance, none missed, in blocks of matrix products.

Let ``s = ||a||^2`` and T the distance.  ``d(a, b) <= T`` means ``||a-b||^2 <= T^2 (||a|| + ||b||)^2``, that is

    a.b + T^2 ||a|| ||b|| - (1 - T^2) (||a||^2 + ||b||^2) / 2 >= 0.

With P the leading principal axes and r what is left over, ``a.b <= Pa.Pb + r_a r_b`` (Cauchy-Schwarz), so the same
expression over short vectors is a bound that no match can fail: one product of blocks and one comparison give all
candidates, and the few of them are checked exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from py_image_dedup.signature import Signature, norms, row_distances

_BLOCK = 4096
_SAMPLE = 20_000
_TOLERANCE = 0.25  # float32 products of values up to 2,592 are good to about 0.01
_CHECKED_AT_ONCE = 1 << 14  # candidate pairs; bounds the memory of the exact check
_YIELDED_AT_ONCE = 1 << 20  # pairs; bounds the memory where thousands of rows are equal

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Matching rows, ``a[i] < b[i]``, int64, and their distances, float64; all of one length."""

    a: npt.NDArray[np.int64]
    b: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]


def join(signatures: Signature, *, within: float, progress: Progress | None = None) -> Iterator[Pairs]:
    """Yield all pairs of rows of `signatures`, shape (n, 648), that are at most `within` apart (0..1).

    Rows that are all zero match nothing.  Equal rows are compared once and expanded at the end.
    """
    directed = np.flatnonzero(signatures.any(axis=1))
    if len(directed) < 2:
        return
    distinct, twin_of = _distinct(signatures[directed])
    counts = np.bincount(twin_of)
    rows = directed[np.argsort(twin_of, kind="stable")]
    several = np.flatnonzero(counts > 1)
    yield from _expand(Pairs(several, several, np.zeros(len(several))), rows, counts)
    for pairs in _join_distinct(distinct, within=within, progress=progress):
        yield from _expand(pairs, rows, counts)


def _distinct(signatures: Signature) -> tuple[Signature, npt.NDArray[np.int64]]:
    """Return the different rows, and for each row the number of its like among them."""
    whole = np.ascontiguousarray(signatures).view(np.dtype((np.void, signatures.shape[1])))[:, 0]
    _, first, like = np.unique(whole, return_index=True, return_inverse=True)
    return signatures[first], like.reshape(-1)


def _expand(pairs: Pairs, rows: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> Iterator[Pairs]:
    """Turn pairs of distinct signatures into pairs of all the rows that carry them.

    `rows`: the rows of the first signature, then those of the second, and so on; `counts`: how many each has.
    """
    starts = np.cumsum(counts) - counts
    ends = np.cumsum(counts[pairs.a] * counts[pairs.b])
    total = int(ends[-1]) if len(ends) else 0
    for first in range(0, total, _YIELDED_AT_ONCE):
        number = np.arange(first, min(first + _YIELDED_AT_ONCE, total))
        pair = np.searchsorted(ends, number, side="right")
        one, other = pairs.a[pair], pairs.b[pair]
        i, j = np.divmod(ends[pair] - 1 - number, counts[other])
        wanted = (one != other) | (i < j)  # rows of one signature meet each other once
        a, b = rows[starts[one] + i][wanted], rows[starts[other] + j][wanted]
        yield Pairs(np.minimum(a, b), np.maximum(a, b), pairs.distances[pair][wanted])


def _join_distinct(signatures: Signature, *, within: float, progress: Progress | None) -> Iterator[Pairs]:
    left, right = _bound_vectors(signatures, within=within)
    n = len(signatures)
    block = min(n, _BLOCK)
    bounds = np.empty((block, block), np.float32)  # filled again for each block: fresh pages would cost more
    candidates = np.empty((block, block), bool)
    total = n * (n + 1) // 2
    done = 0
    for i in range(0, n, block):
        for j in range(i, n, block):
            rows, columns = min(block, n - i), min(block, n - j)
            bound, candidate = bounds[:rows, :columns], candidates[:rows, :columns]
            np.matmul(left[i : i + rows], right[j : j + columns].T, out=bound)
            np.greater_equal(bound, -_TOLERANCE, out=candidate)
            a, b = np.divmod(np.flatnonzero(candidate), columns)
            if i == j:
                above = b > a
                a, b = a[above], b[above]
            yield from _exact(signatures, a + i, b + j, within=within)
            done += bound.size
            if progress is not None:
                progress(min(done, total), total)


def _exact(
    signatures: Signature, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], *, within: float
) -> Iterator[Pairs]:
    for start in range(0, len(a), _CHECKED_AT_ONCE):
        one, other = a[start : start + _CHECKED_AT_ONCE], b[start : start + _CHECKED_AT_ONCE]
        distances = row_distances(signatures[one], signatures[other])
        near = distances <= within
        if near.any():
            yield Pairs(one[near], other[near], distances[near])


def _bound_vectors(signatures: Signature, *, within: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return left and right short vectors, float32, whose product is an upper bound of the expression above."""
    axes = _principal_axes(signatures, count=_axes_for(within))
    length = norms(signatures)
    squares = length**2
    projected = np.empty((len(signatures), axes.shape[1]))
    for start in range(0, len(signatures), _BLOCK):
        projected[start : start + _BLOCK] = signatures[start : start + _BLOCK] @ axes
    rest = np.sqrt(np.maximum(squares - np.einsum("ij,ij->i", projected, projected), 0.0))
    penalty = -(1.0 - within**2) * squares / 2.0
    ones = np.ones(len(signatures))
    common = (projected, rest[:, None], (within * length)[:, None])
    left = np.concatenate([*common, penalty[:, None], ones[:, None]], axis=1, dtype=np.float32)
    right = np.concatenate([*common, ones[:, None], penalty[:, None]], axis=1, dtype=np.float32)
    return left, right


def _axes_for(within: float) -> int:
    """More axes for a wider radius: fewer would let too many candidates pass, more would cost more than they save."""
    return round(16 + 125 * within)


def _principal_axes(signatures: Signature, *, count: int) -> npt.NDArray[np.float64]:
    """Return orthonormal axes, shape (648, count), that hold most of the length of a sample.

    Three rounds of subspace iteration: they serve as well as exact axes, and take a tenth of the time to find.
    """
    step = -(-len(signatures) // _SAMPLE)
    sample = signatures[::step].astype(np.float64)
    moments = sample.T @ sample
    axes = np.random.default_rng(0).normal(size=(signatures.shape[1], count))
    for _ in range(3):
        axes, _ = np.linalg.qr(moments @ axes)
    return axes
