"""Tiles of the exact join: bounds of many pairs at a time, by products of matrices."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from py_image_dedup.stores.axes import ONE_THREAD

ROWS: Final = 256
COLUMNS: Final = 1024
"""Of a tile: its bounds, 1 MB, stay in the cache of one core between product and comparison."""

_PIECES = ((128, 64), (64, 64), (64, 32))  # of a tile

Numbers = npt.NDArray[np.int64]
Short = npt.NDArray[np.float32]


def left_hand(short: Short) -> Short:
    """Lay short vectors, shape (n, width), out as the left sides of tiles, shape (n / ROWS, width, ROWS)."""
    return np.ascontiguousarray(short.reshape(-1, ROWS, short.shape[1]).transpose(0, 2, 1))


def right_hand(short: Short) -> Short:
    """Lay as many short vectors as a tile has columns out in pieces, shape (pieces, width, columns of a piece).

    That way OpenBLAS needs half the time of what it takes for rows times rows.
    """
    width = short.shape[1]
    return np.ascontiguousarray(short.reshape(-1, _piece(width)[1], width).transpose(0, 2, 1))


def _piece(width: int) -> tuple[int, int]:
    """Return how many rows and columns of short vectors are multiplied at once."""
    return next(piece for piece in _PIECES if piece[0] * piece[1] * width <= ONE_THREAD)


class Tile:
    """Room for the bounds of one tile, used again and again: fresh pages would cost more than the products.

    A tile is multiplied in pieces so small that OpenBLAS takes one thread for each.  Its other threads would spin
    while they wait for the next: with two of them the same tiles took 40 times as much CPU time on a busy machine.
    """

    def __init__(self, width: int) -> None:
        self._piece = rows, columns = _piece(width)
        self._bounds = np.empty((ROWS // rows, COLUMNS // columns, rows, columns), np.float32)
        self._passed = np.empty(self._bounds.shape, np.bool_)

    def hits(self, left: Short, right: Short, least: float) -> Numbers:
        """Return where the product of short vectors is at least `least`; see :meth:`places`.

        `left`: one of :func:`left_hand`; `right`: of :func:`right_hand`.
        """
        lefts = left.reshape(len(left), -1, 1, self._piece[0]).transpose(1, 2, 3, 0)
        np.matmul(lefts, right, out=self._bounds)
        np.greater_equal(self._bounds, least, out=self._passed)
        return np.flatnonzero(self._passed)

    def places(self, hits: Numbers) -> tuple[Numbers, Numbers]:
        """Return the rows and columns, within the tile, of hits."""
        rows, columns = self._piece
        piece, place = np.divmod(hits, rows * columns)
        across = COLUMNS // columns
        return piece // across * rows + place // columns, piece % across * columns + place % columns
