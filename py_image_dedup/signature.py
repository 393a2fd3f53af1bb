"""From a grey array to its signature, and from two signatures to their distance.

The algorithm is H. Chi Wong, M. Bern and D. Goldberg, "An image signature for any kind of image", ICIP 2002, with
the choices of the ``image-match`` package, which the tests hold this module against value for value.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from py_image_dedup.model import Turn

KIND = "goldberg"
VERSION = 2
"""Raised whenever the canonical picture or the algorithm changes: signatures of two versions are not compared."""

GRID = 9
NEIGHBOURS = 8
LENGTH = GRID * GRID * NEIGHBOURS

_IDENTICAL = 2 / 255.0
_CROP_PERCENTILES = (5, 95)
_OFFSETS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))  # of the neighbours: down, right

_MOVES: Final = {
    Turn.UPRIGHT: (False, 0),
    Turn.MIRRORED: (True, 0),
    Turn.HALF: (False, 2),
    Turn.FLIPPED: (True, 2),
    Turn.TRANSPOSED: (True, 3),
    Turn.CLOCKWISE: (False, 1),
    Turn.TRANSVERSED: (True, 1),
    Turn.COUNTERCLOCKWISE: (False, 3),
}
"""Whether a turn swaps left and right, and by how many quarters clockwise it turns after that."""

Grey = npt.NDArray[np.float64]
Signature = npt.NDArray[np.int8]
Scalar = TypeVar("Scalar", bound=np.generic)


def goldberg(grey: Grey) -> Signature:
    """Compute the signature of a grey picture.

    `grey`: float64, shape (rows, columns), values 0..1.  Returns int8, shape (648,), values -2..2: for each of 9x9
    points the eight differences to its neighbours (upper left, upper, upper right, left, right, lower left, lower,
    lower right), in levels.  A featureless picture gives zeros only.
    """
    levels = _mean_levels(grey, *_grid_points(grey))
    differences = _differences(levels)
    _quantise(differences)
    return differences.ravel().astype(np.int8)


def turned(signatures: npt.NDArray[Scalar], turn: Turn) -> npt.NDArray[Scalar]:
    """Return the signatures that the same pictures have when they are turned: values in another order, (n, 648).

    Where the grid of the turned picture lies is rounded to pixels anew, so its own signature is near this one but not
    the same: photos are .11 away (median).
    """
    return signatures if turn is Turn.UPRIGHT else signatures[:, _TURNED[turn]]


def norms(signatures: Signature) -> npt.NDArray[np.float64]:
    """Return the Euclidean norms of signatures, shape (n, 648) to (n,), exact up to one rounding."""
    wide = signatures.astype(np.int32)
    squares = np.einsum("ij,ij->i", wide, wide).astype(np.float64)
    return np.asarray(np.sqrt(squares))


def distances(one: Signature, others: Signature) -> npt.NDArray[np.float64]:
    """Return ``||a-b|| / (||a|| + ||b||)`` of one signature, shape (648,), to others, shape (n, 648): 0..1.

    Two featureless pictures, which have no direction to compare, are at distance 1.
    """
    return row_distances(np.broadcast_to(one, others.shape), others)


def row_distances(a: Signature, b: Signature) -> npt.NDArray[np.float64]:
    """Return the distances of the rows of `a` to the same rows of `b`, both of shape (n, 648)."""
    together = norms(a) + norms(b)
    apart = np.minimum(norms((a.astype(np.int16) - b).astype(np.int8)), together)  # rounding alone could exceed it
    return np.divide(apart, together, out=np.ones(len(a)), where=together > 0)


def distance(a: Signature, b: Signature) -> float:
    """Return the distance of two signatures, 0..1; 1 when both are featureless."""
    return float(row_distances(a[None], b[None])[0])


def _grid_points(grey: Grey) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Place 9x9 points inside the part of the picture where something changes."""
    rows = _window(np.abs(np.diff(grey, axis=1)).sum(axis=1), grey.shape[0])
    columns = _window(np.abs(np.diff(grey, axis=0)).sum(axis=0), grey.shape[1])
    return (
        np.linspace(*rows, GRID + 2, dtype=int)[1:-1],
        np.linspace(*columns, GRID + 2, dtype=int)[1:-1],
    )


def _window(change: Grey, size: int) -> tuple[int, int]:
    """Cut off, at both ends of one axis, the lines that hold less than 5 % of all change."""
    cumulated = np.cumsum(change)
    low, high = (_percentile_of_sorted(cumulated, percent) for percent in _CROP_PERCENTILES)
    first = int(np.searchsorted(cumulated, low, side="right"))
    last = int(np.searchsorted(cumulated, high, side="left"))
    if first > last:  # nearly featureless
        return tuple(int(percent / 100.0 * size) for percent in _CROP_PERCENTILES)  # type: ignore[return-value]
    return first, last


def _percentile_of_sorted(values: Grey, percent: float) -> float:
    """Equal ``np.percentile(values, percent)`` to the last bit for values that are sorted already."""
    position = (len(values) - 1) * (percent / 100)
    below = int(position)
    fraction = position - below
    a = float(values[below])
    b = float(values[min(below + 1, len(values) - 1)])
    return b - (b - a) * (1 - fraction) if fraction >= 0.5 else a + (b - a) * fraction


def _mean_levels(grey: Grey, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Grey:
    """Average a small square around each grid point; its side is a twentieth of the picture's short side."""
    side = max(2, int(0.5 + min(grey.shape) / 20.0))
    top = np.maximum(rows - side / 2, 0).astype(int)
    left = np.maximum(columns - side / 2, 0).astype(int)
    if top[-1] + side <= grey.shape[0] and left[-1] + side <= grey.shape[1]:
        squares = np.lib.stride_tricks.sliding_window_view(grey, (side, side))
        # A padded last axis makes numpy add row by row, in the order in which it adds a slice of the picture.
        padded = np.empty((GRID, GRID, side, side + 1))
        padded[..., :side] = squares[top[:, None], left[None, :]]
        levels: Grey = padded[..., :side].mean(axis=(2, 3))
        return levels
    return np.array([[grey[t : t + side, x : x + side].mean() for x in left] for t in top])


def _differences(levels: Grey) -> Grey:
    """Subtract from each point its eight neighbours; zero where there is no neighbour.  Shape (9, 9, 8)."""
    around = np.full((GRID + 2, GRID + 2), np.nan)
    around[1:-1, 1:-1] = levels
    out = np.empty((GRID, GRID, NEIGHBOURS))
    for k, (down, right) in enumerate(_OFFSETS):
        np.subtract(levels, around[1 + down : 1 + down + GRID, 1 + right : 1 + right + GRID], out=out[..., k])
    out[np.isnan(out)] = 0.0
    return out


def _quantise(differences: Grey) -> None:
    """Turn differences into levels -2..2 in place: same, and a weaker and stronger half on either side.

    The halves are set one after the other on the array being changed, as image-match does: that decides what
    becomes of a difference of exactly 1.
    """
    same = np.abs(differences) < _IDENTICAL
    differences[same] = 0.0
    if same.all():
        return
    lighter = np.sort(differences[differences > 0.0])
    darker = np.sort(-differences[differences < 0.0])
    _, light_middle, light_end = (_percentile_of_sorted(lighter, percent) for percent in (0, 50, 100))
    _, dark_middle, dark_end = (_percentile_of_sorted(darker, percent) for percent in (0, 50, 100))
    differences[(differences >= lighter[0]) & (differences <= light_middle)] = 1
    differences[(differences >= light_middle) & (differences <= light_end)] = 2
    differences[(differences <= -darker[0]) & (differences >= -dark_middle)] = -1
    differences[(differences <= -dark_middle) & (differences >= -dark_end)] = -2


def _turned_places(turn: Turn) -> npt.NDArray[np.intp]:
    """Tell for each value of a turned signature where it stood before, shape (648,).

    The points of the grid change places as pixels do, and so do the neighbours around each point.
    """
    around = 3 * 3  # the point itself stands in the middle, and is left out
    flat = np.full((GRID, GRID, around), -1)
    flat[..., np.arange(around) != around // 2] = np.arange(LENGTH).reshape(GRID, GRID, NEIGHBOURS)
    places = flat.reshape(GRID, GRID, 3, 3)
    mirrored, quarters = _MOVES[turn]
    if mirrored:
        places = np.flip(places, (1, 3))
    places = np.rot90(np.rot90(places, -quarters, (0, 1)), -quarters, (2, 3))
    return np.asarray(places[places >= 0], np.intp)


_TURNED: Final = {turn: _turned_places(turn) for turn in Turn}
