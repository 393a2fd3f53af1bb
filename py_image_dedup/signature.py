"""From a grey array to its signature, and from two signatures to their distance.

The algorithm is H. Chi Wong, M. Bern and D. Goldberg, "An image signature for any kind of image", ICIP 2002, with
the choices of the ``image-match`` package, which the tests hold this module against value for value.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Final, TypeVar

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
_BORDER = 0.05  # share of the lines at either end that are left out
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


def goldberg(grey: Grey | npt.NDArray[np.uint8]) -> Signature:
    """Compute the signature of a grey picture.

    `grey`: shape (rows, columns), float64, values 0..1, or uint8, 0..255.  Returns int8, shape (648,), values -2..2:
    for each of 9x9 points the eight differences to its neighbours (upper left, upper, upper right, left, right, lower
    left, lower, lower right), in levels.  A featureless picture gives zeros only.
    """
    return _quantised(_differences(_mean_levels(grey))).ravel()


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


def _mean_levels(grey: Grey | npt.NDArray[np.uint8]) -> Grey:
    """Average a small square around each of 9x9 points inside the part of the picture where something changes."""
    side = max(2, int(0.5 + min(grey.shape) / 20.0))
    rows, columns = _window(grey), _window(grey.T)
    pixels = _squares(grey.shape, rows, columns, side)
    if pixels is not None:
        squares = grey.take(pixels)
        # Added up in one row each, as numpy does with a slice of a picture: image-match's means to the last bit.
        return np.asarray(_fractions(squares).sum(axis=2) / side**2)
    whole = _fractions(grey)
    top, left = _corners(rows, side), _corners(columns, side)
    return np.array([[whole[t : t + side, x : x + side].mean() for x in left] for t in top])


def _fractions(grey: Grey | npt.NDArray[np.uint8]) -> Grey:
    return grey / 255.0 if grey.dtype == np.uint8 else np.asarray(grey, np.float64)


def _window(lines: npt.NDArray[Any]) -> tuple[int, int]:
    """Leave out a twentieth of the lines at either end, and the featureless ones behind it; return first and last.

    image-match adds up how much changes within each line, and takes the 5th and the 95th percentile of these sums: a
    place among the lines, whatever the picture, except that a line in which nothing changes can't be told from the one
    before.
    """
    size = len(lines)
    first = int((size - 1) * _BORDER) + 1
    last = math.ceil((size - 1) * (1 - _BORDER))
    while first < size and _is_featureless(lines[first]):
        first += 1
    while last > 0 and _is_featureless(lines[last]):
        last -= 1
    return (first, last) if first <= last else (int(_BORDER * size), int((1 - _BORDER) * size))


def _is_featureless(line: npt.NDArray[Any]) -> bool:
    return bool((line == line[0]).all())


@lru_cache(maxsize=16)
def _squares(
    shape: tuple[int, ...], rows: tuple[int, int], columns: tuple[int, int], side: int
) -> npt.NDArray[np.intp] | None:
    """Return which pixels the squares consist of, counted row by row, shape (9, 9, side * side).

    None if one of them lies beyond the border in part.
    """
    top, left = _corners(rows, side), _corners(columns, side)
    if top[-1] + side > shape[0] or left[-1] + side > shape[1]:
        return None
    down, across = ((corner[:, None] + np.arange(side)) for corner in (top, left))
    return (down[:, None, :, None] * shape[1] + across[None, :, None, :]).reshape(GRID, GRID, -1)


def _corners(window: tuple[int, int], side: int) -> npt.NDArray[np.intp]:
    """Return where squares around nine points between two lines begin."""
    points = np.linspace(*window, GRID + 2, dtype=int)[1:-1]
    return np.maximum(points - side / 2, 0).astype(np.intp)


def _differences(levels: Grey) -> Grey:
    """Subtract from each point its eight neighbours; zero where there is no neighbour.  Shape (81, 8)."""
    points = levels.ravel()
    return points[:, None] - points[_AROUND]


def _quantised(differences: Grey) -> Signature:
    """Turn differences into levels -2..2: same, and a weaker and stronger half on either side, which mirror each other.

    image-match sets first the weaker half to 1, and then what lies between the middle and the strongest to 2: so all
    are strong where the strongest is exactly 1.
    """
    size = np.abs(differences)
    lighter = np.sort(differences[differences >= _IDENTICAL])
    if not len(lighter):
        return np.zeros(differences.shape, np.int8)
    middle = _median_of_sorted(lighter) if lighter[-1] < 1.0 else 0.0
    levels = 1 + (size > middle).astype(np.int8)
    levels[size < _IDENTICAL] = 0
    return np.where(differences < 0, -levels, levels)


def _median_of_sorted(values: Grey) -> float:
    """Equal ``np.percentile(values, 50)`` to the last bit for values that are sorted already."""
    a, b = float(values[(len(values) - 1) // 2]), float(values[len(values) // 2])
    return b - (b - a) * 0.5


def _places_around() -> npt.NDArray[np.intp]:
    """Tell of each of 9x9 points where its eight neighbours are, shape (81, 8); itself where there is none."""
    places = np.arange(GRID * GRID).reshape(GRID, GRID)
    framed = np.pad(places, 1, constant_values=-1)
    around = [framed[1 + down : 1 + down + GRID, 1 + right : 1 + right + GRID] for down, right in _OFFSETS]
    found = np.stack(around, axis=-1)
    return np.where(found < 0, places[..., None], found).reshape(-1, NEIGHBOURS)


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
_AROUND: Final = _places_around()
