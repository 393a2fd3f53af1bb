"""The few directions in which signatures differ most: the axes on which :mod:`~py_image_dedup.stores.join` compares."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from py_image_dedup.signature import LENGTH, Signature

ONE_THREAD: Final = 1 << 18
"""Multiplications in one product of matrices: OpenBLAS takes one thread for so few."""

_SAMPLE = 4_000  # rows that the axes are found on
_SAMPLED_PAIRS = 1_000  # rows compared with each other to choose how many axes
_AXES = range(8, 65, 4)
_CHECK_COST = 25_000  # one exact check takes as long as one axis for so many pairs

Floats = npt.NDArray[np.float64]


def axes_for(signatures: Signature, rows: npt.NDArray[np.int64], squares: Floats, least: float) -> Floats:
    """Return so many principal axes, shape (648, n), that products and exact checks together take the least time.

    Chosen by a sample: `rows` of the signatures, of which `squares` are the squared norms, are to be compared with each
    other, and whose cosine may be `least` is checked.  The wider the radius, the more axes: with fewer too many pass.
    """
    step = -(-len(rows) // _SAMPLE)
    axes = _principal_axes(signatures[rows[::step]], count=_AXES[-1])
    if len(rows) <= _SAMPLE // 2:
        return axes  # so few are compared sooner than the best number is found
    step = -(-len(rows) // _SAMPLED_PAIRS)
    wide = signatures[rows[::step]] / np.sqrt(squares[::step])[:, None]
    projected = product(wide, axes)
    bound = np.zeros((len(wide), len(wide)))
    least_cost, best, before = np.inf, 0, 0
    for count in _AXES:
        if count > least_cost:
            break
        bound += product(projected[:, before:count], projected[:, before:count].T)
        rest = rest_of(projected[:, :count])
        share = (np.count_nonzero(bound >= least - np.outer(rest, rest)) - len(wide)) / len(wide) ** 2
        cost = count + _CHECK_COST * share
        if cost < least_cost:
            least_cost, best = cost, count
        before = count
    return axes[:, :best]


def _principal_axes(sample: Signature, *, count: int) -> Floats:
    """Return orthonormal axes, shape (648, count), that hold most of the length of some signatures, the first the most.

    Three rounds of subspace iteration: they serve as well as exact axes, and take a tenth of the time to find.
    """
    moments = np.zeros((9, 9, LENGTH // 9, LENGTH // 9))
    for start in range(0, len(sample), 48):
        some = sample[start : start + 48].T.astype(np.float64).reshape(9, LENGTH // 9, -1)
        moments += np.matmul(some[:, None], some.transpose(0, 2, 1)[None])
    whole = moments.transpose(0, 2, 1, 3).reshape(LENGTH, LENGTH)
    axes = np.random.default_rng(0).normal(size=(LENGTH, count))
    for _ in range(3):
        axes = _orthonormal(product(whole, axes))
    return axes


def _orthonormal(columns: Floats) -> Floats:
    """Make columns orthonormal one after the other (Gram and Schmidt, twice against errors of rounding).

    Columns that depend on those before become zeros: such an axis holds nothing, and does no harm.
    """
    axes = np.zeros_like(columns.T)
    for number, column in enumerate(columns.T):
        rest = column
        for _ in range(2):
            rest = rest - (axes[:number] * (axes[:number] * rest).sum(axis=1)[:, None]).sum(axis=0)
        length = np.sqrt((rest * rest).sum())
        if length > 1e-9 * np.sqrt((column * column).sum()):
            axes[number] = rest / length
    return axes.T


def rest_of(projected: Floats) -> Floats:
    """Return what of the length 1 the axes leave over."""
    rest: Floats = np.sqrt(np.maximum(1.0 - np.einsum("ij,ij->i", projected, projected), 0.0))
    return rest


def product(a: Floats, b: Floats) -> Floats:
    """Multiply matrices some rows at a time, so that OpenBLAS takes one thread (see join._Tile)."""
    products = np.empty((len(a), b.shape[1]))
    step = max(1, ONE_THREAD // b.size)
    for start in range(0, len(a), step):
        np.matmul(a[start : start + step], b, out=products[start : start + step])
    return products
