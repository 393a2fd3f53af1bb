"""The kind of difPy and of the scripts before it: the picture itself at NxN pixels, compared by mean squared error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from py_image_dedup import images
from py_image_dedup.images import Reserve
from py_image_dedup.kinds.interface import Floats, Signed, Vectors
from py_image_dedup.model import Turn

_GREY = 128  # taken off every value, so that points are near the origin and sums of them keep their digits
_EXACT = 256  # values: a float32 holds the sum of so many squares to the last digit
_AT_ONCE = 1 << 17  # values, wide, that stay in the cache
_CELLS = 12  # along a side: how much a sketch keeps


@dataclass(frozen=True, slots=True)
class Tensor:
    """All values of a picture scaled to ``side`` x ``side`` pixels, in RGB or grey; uint8, row by row.

    The distance is the mean of the squared differences, 0..65025, of whole numbers and without overflow.
    """

    side: int = 50
    grey: bool = False
    duplicates: float = 0.0
    similar: float = 5.0
    directions_only: bool = False

    @property
    def name(self) -> str:
        """Tell size and colour too."""
        return f"tensor-{self.side}-{'grey' if self.grey else 'rgb'}"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Bytes."""
        return np.dtype(np.uint8)

    @property
    def length(self) -> int:
        """Width, height and channels multiplied."""
        return self.side**2 * self._channels

    @property
    def _channels(self) -> int:
        return 1 if self.grey else 3

    def sign(self, source: BinaryIO, *, max_pixels: int, reserve: Reserve) -> Signed:
        """Decode whole and scale."""
        facts, pixels = images.square(source, self.side, grey=self.grey, max_pixels=max_pixels, reserve=reserve)
        return Signed(facts, pixels.reshape(-1))

    def turned(self, signatures: Vectors, turn: Turn) -> Vectors:
        """Turn the pixels."""
        return self._turned(signatures, self.side, turn)

    def squares(self, signatures: Vectors) -> Floats:
        """Return the squared distances from middle grey."""
        wide = signatures.astype(np.float64) - _GREY
        return np.asarray(np.einsum("ij,ij->i", wide, wide))  # of whole numbers below 2^53: exact

    def sketches(self, signatures: Vectors) -> Floats:
        """Average cells of pixels, a cell being an axis; their borders lie the same from every side."""
        edges = self._edges()
        pixels = signatures.reshape(-1, self.side, self.side, self._channels)
        rows = np.add.reduceat(pixels, edges[:-1], axis=1, dtype=np.int32)
        sums = np.add.reduceat(rows, edges[:-1], axis=2, dtype=np.int64).astype(np.float64)
        sizes = np.outer(np.diff(edges), np.diff(edges))[..., None].astype(np.float64)
        return np.asarray((sums - _GREY * sizes) / np.sqrt(sizes)).reshape(len(signatures), -1)

    def turned_sketches(self, sketches: Vectors, turn: Turn) -> Vectors:
        """Turn the cells."""
        return self._turned(sketches, len(self._edges()) - 1, turn)

    def reach(self, within: float) -> float:
        """Return the sum of squares of that mean."""
        return within * self.length * (1 + 1e-12)  # the rounding of a mean may hide a little

    def distances(self, a: Vectors, b: Vectors, squares_a: Floats, squares_b: Floats) -> Floats:
        """Return the mean squared errors."""
        del squares_a, squares_b
        part = next(most for most in range(_EXACT, 0, -1) if self.length % most == 0)
        rows = max(1, _AT_ONCE // self.length)
        sums = np.empty(len(a))
        for start in range(0, len(a), rows):
            some = slice(start, start + rows)
            apart = np.maximum(a[some], b[some])
            apart -= np.minimum(a[some], b[some])
            parts = apart.astype(np.float32).reshape(-1, part)
            squares = np.einsum("ij,ij->i", parts, parts).reshape(len(apart), -1)
            sums[some] = squares.sum(axis=1, dtype=np.float64)
        return np.asarray(sums / self.length)

    def share(self, distance: float) -> float:
        """Return the root of the error, as a share of white."""
        return math.sqrt(distance) / 255

    def _edges(self) -> Vectors:
        """Return where cells begin, and the end: mirrored they are the same."""
        half = np.arange(0, self.side // 2 + 1, max(1, round(self.side / _CELLS)))
        return np.unique(np.concatenate([half, self.side - half]))

    def _turned(self, rows: Vectors, side: int, turn: Turn) -> Vectors:
        if turn is Turn.UPRIGHT:
            return rows
        pictures = rows.reshape(len(rows), side, side, -1).transpose(1, 2, 3, 0)
        return np.moveaxis(images.turned(pictures, turn), -1, 0).reshape(len(rows), -1)
