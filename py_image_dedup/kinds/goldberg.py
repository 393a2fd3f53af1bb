"""The kind that the commands use: :mod:`py_image_dedup.signature`, compared by ``||a-b|| / (||a|| + ||b||)``, 0..1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np

from py_image_dedup import images, signature
from py_image_dedup.images import Reserve
from py_image_dedup.kinds.interface import Floats, Signed, Vectors
from py_image_dedup.model import Turn

_LEAST_SIDE = 16  # pixels; below, a 9x9 grid of averages says nothing about the picture


@dataclass(frozen=True, slots=True)
class Goldberg:
    """Differences of brightness between neighbours on a 9x9 grid; int8, shape (648,).

    ``d(a, b) <= T`` means

        2 a.b >= (1 - T^2) (||a||^2 + ||b||^2) - 2 T^2 ||a|| ||b|| >= 2 (1 - 2 T^2) ||a|| ||b||,

    so the cosine of a match is at least ``1 - 2 T^2``, and points of length 1 are at most ``2 T`` apart.
    """

    name: str = f"{signature.KIND}-{signature.VERSION}"
    length: int = signature.LENGTH
    duplicates: float = 0.25
    similar: float = 0.45
    directions_only: bool = True

    @property
    def dtype(self) -> np.dtype[Any]:
        """Small whole numbers, -2..2."""
        return np.dtype(np.int8)

    def sign(self, source: BinaryIO, *, max_pixels: int, reserve: Reserve) -> Signed:
        """Decode at the smallest scale that serves, and sign."""
        picture = images.read(source, max_pixels=max_pixels, reserve=reserve)
        return Signed(picture.facts, of(picture))

    def turned(self, signatures: Vectors, turn: Turn) -> Vectors:
        """Put the values into another order."""
        return signature.turned(signatures, turn)

    def squares(self, signatures: Vectors) -> Floats:
        """Return the squared norms, at most 2,592."""
        wide = signatures.astype(np.float32)
        return np.asarray(np.einsum("ij,ij->i", wide, wide), np.float64)  # of whole numbers below 2^24: exact

    def sketches(self, signatures: Vectors) -> Floats:
        """Return all values."""
        return signatures.astype(np.float64)

    def turned_sketches(self, sketches: Vectors, turn: Turn) -> Vectors:
        """Put the values into another order."""
        return signature.turned(sketches, turn)

    def reach(self, within: float) -> float:
        """Return the square of ``2 T``."""
        return 4.0 * within**2

    def distances(self, a: Vectors, b: Vectors, squares_a: Floats, squares_b: Floats) -> Floats:
        """Return ``||a-b|| / (||a|| + ||b||)``, equal to :func:`py_image_dedup.signature.row_distances`."""
        products = np.einsum("ij,ij->i", a.astype(np.float32), b.astype(np.float32)).astype(np.float64)
        together = np.sqrt(squares_a) + np.sqrt(squares_b)
        apart = np.sqrt(squares_a + squares_b - 2.0 * products)
        return np.asarray(np.minimum(apart, together) / together)

    def share(self, distance: float) -> float:
        """Return it as it is."""
        return distance


GOLDBERG: Final = Goldberg()


def of(picture: images.Picture) -> signature.Signature:
    """Sign a decoded picture; one that is too small to be told from others gets zeros."""
    if min(picture.facts.width, picture.facts.height) < _LEAST_SIDE:
        return np.zeros(signature.LENGTH, np.int8)
    return signature.goldberg(picture.grey)
