"""The few directions in which points differ most: the axes on which :mod:`~py_image_dedup.stores.join` compares."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

ONE_THREAD: Final = 1 << 18
"""Multiplications in one product of matrices: OpenBLAS takes one thread for so few."""

SAMPLE: Final = 4_000
"""Points that the axes are found on, at most."""

_SAMPLED_PAIRS = 1_000  # points compared with each other to choose how many axes
_AXES = range(8, 65, 4)
_CHECK_COST = 40  # values checked exactly take as long as one axis
_ROWS, _COLUMNS = 48, 72  # of a block of moments
_LEAST_SQUARE = 1e-10  # of the largest; what is less is rounding

Floats = npt.NDArray[np.float64]


def axes_for(points: Floats, squares: Floats, *, reach: float, length: int) -> Floats:
    """Return so many principal axes, shape (m, n), that products and exact checks together take the least time.

    `points`: a sample of what is to be compared, shape (rows, m); `squares`: their squared lengths, of which m values
    may not hold all.  `reach`: the squared distance up to which pairs are checked, by `length` values each.  The wider
    it is, the more axes: with fewer too many pass.
    """
    if points.shape[1] <= _AXES[0]:
        return np.eye(points.shape[1])
    axes = _principal_axes(points, count=_AXES[-1])
    if len(points) <= SAMPLE // 2:
        return axes  # so few are compared sooner than the best number is found
    step = -(-len(points) // _SAMPLED_PAIRS)
    squares = squares[::step]
    projected = product(points[::step], axes)
    apart = squares[:, None] + squares - reach
    bound = np.zeros(apart.shape)
    least_cost, best, before = np.inf, 0, 0
    for count in _AXES:
        if count > least_cost:
            break
        bound += product(projected[:, before:count], projected[:, before:count].T)
        rest = rest_of(projected[:, :count], squares)
        share = (np.count_nonzero(2 * (bound + np.outer(rest, rest)) >= apart) - len(rest)) / len(rest) ** 2
        cost = count + _CHECK_COST * length * share
        if cost < least_cost:
            least_cost, best = cost, count
        before = count
    return axes[:, :best]


def _principal_axes(sample: Floats, *, count: int) -> Floats:
    """Return orthonormal axes, shape (m, count), that hold most of the length of some points, the first the most.

    Three rounds of subspace iteration: they serve as well as exact axes, and take a fraction of the time to find.
    """
    width = sample.shape[1]
    blocks = -(-width // _COLUMNS)
    moments = np.zeros((blocks, blocks, _COLUMNS, _COLUMNS))
    for start in range(0, len(sample), _ROWS):
        some = np.zeros((_ROWS, blocks * _COLUMNS))
        some[: len(sample) - start, :width] = sample[start : start + _ROWS]
        columns = some.T.reshape(blocks, _COLUMNS, _ROWS)
        moments += np.matmul(columns[:, None], columns.transpose(0, 2, 1)[None])
    whole = moments.transpose(0, 2, 1, 3).reshape(blocks * _COLUMNS, -1)[:width, :width]
    axes = np.random.default_rng(0).normal(size=(width, count))
    for _ in range(3):
        axes = _orthonormal(product(whole, axes))
    return axes


def _orthonormal(columns: Floats) -> Floats:
    """Return orthonormal axes of the span of some columns, first those that hold the most of them.

    Twice, against errors of rounding.  Where columns depend on others there are zeros: such an axis holds nothing, and
    does no harm.
    """
    squares, directions = np.linalg.eigh(product(columns.T, columns))
    axes = product(columns, _scaled(directions, squares)[:, ::-1])
    squares, directions = np.linalg.eigh(product(axes.T, axes))  # near 1 and 0; the axes stay what they are
    return product(axes, product(_scaled(directions, squares), directions.T))


def _scaled(directions: Floats, squares: Floats) -> Floats:
    """Divide directions by lengths whose squares are given; those without length become zeros."""
    used = squares > _LEAST_SQUARE * squares.max()
    return directions * np.where(used, 1 / np.sqrt(np.where(used, squares, 1.0)), 0.0)


def rest_of(projected: Floats, squares: Floats) -> Floats:
    """Return the length that the axes leave over."""
    rest: Floats = np.sqrt(np.maximum(squares - np.einsum("ij,ij->i", projected, projected), 0.0))
    return rest


def product(a: Floats, b: Floats) -> Floats:
    """Multiply matrices some rows at a time, so that OpenBLAS takes one thread (see tiles.Tile)."""
    products = np.empty((len(a), b.shape[1]))
    step = max(1, ONE_THREAD // b.size)
    for start in range(0, len(a), step):
        np.matmul(a[start : start + step], b, out=products[start : start + step])
    return products
