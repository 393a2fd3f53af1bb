"""A closer bound for the exact join, one candidate at a time, where signatures are far longer than their sketches.

A sketch S is a point seen along fewer axes, and r the length left over, so

    ||a - b||^2 >= ||Sa - Sb||^2 + (r_a - r_b)^2

The join's first bound has a few axes of S only.  This one saves most of what measuring pairs of long rows costs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from py_image_dedup.kinds.interface import Floats, Kind
from py_image_dedup.model import Turn
from py_image_dedup.stores.axes import rest_of

_MUCH_LONGER = 8  # times a sketch must be shorter than a signature to be worth a look of its own
_AT_ONCE = 256  # pairs; their sketches stay in the cache

Numbers = npt.NDArray[np.int64]


class Sketches:
    """The sketches of all points, shape (count, length); none where they would not save much."""

    def __init__(self, kind: Kind, count: int, length: int, *, most: float) -> None:
        """`most`: what the square of a match's distance does not exceed, with what float32 may be wrong by."""
        self._kind = kind
        self._most = most
        rows = count if kind.length >= _MUCH_LONGER * length else 0
        self._values = np.empty((rows, length), np.float32)
        self._rests = np.empty(rows, np.float32)

    def put(self, start: int, sketches: Floats, squares: Floats) -> None:
        """Keep those of the points that begin at a number."""
        here = slice(start, start + len(sketches))
        if len(self._values):
            self._values[here] = sketches
            self._rests[here] = rest_of(sketches, squares)

    def near(self, turn: Turn, a: Numbers, b: Numbers) -> npt.NDArray[np.bool_]:
        """Tell for pairs of points, the second turned, whether they may be matches, shape (n,)."""
        possible = np.ones(len(a), np.bool_)
        for start in range(0, len(a) if len(self._values) else 0, _AT_ONCE):
            piece = slice(start, start + _AT_ONCE)
            different, which = np.unique(b[piece], return_inverse=True)
            apart = self._kind.turned_sketches(self._values[different], turn)[which]
            apart -= self._values[a[piece]]
            rests = self._rests[b[piece]] - self._rests[a[piece]]
            possible[piece] = np.einsum("ij,ij->i", apart, apart) + rests**2 <= self._most
        return possible
