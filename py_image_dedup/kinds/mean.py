"""The kind of the picture frame's script: the mean of each channel, compared by the largest difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from py_image_dedup import images
from py_image_dedup.images import Reserve
from py_image_dedup.kinds.interface import Floats, Signed, Vectors
from py_image_dedup.model import Turn


@dataclass(frozen=True, slots=True)
class Mean:
    """Means of red, green and blue over all pixels; float64, shape (3,), 0..255.

    Very different pictures can have equal means: this kind is here for those who come from such a script.
    """

    name: str = "mean"
    length: int = 3
    duplicates: float = 0.01
    similar: float = 0.5
    directions_only: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """Floats."""
        return np.dtype(np.float64)

    def sign(self, source: BinaryIO, *, max_pixels: int, reserve: Reserve) -> Signed:
        """Decode whole and average."""
        return Signed(*images.means(source, max_pixels=max_pixels, reserve=reserve))

    def turned(self, signatures: Vectors, turn: Turn) -> Vectors:
        """Return them as they are: however a picture is turned, its means are the same."""
        del turn
        return signatures

    def squares(self, signatures: Vectors) -> Floats:
        """Return the squared lengths."""
        return np.asarray(np.einsum("ij,ij->i", signatures, signatures))

    def sketches(self, signatures: Vectors) -> Floats:
        """Return all three."""
        return signatures

    def turned_sketches(self, sketches: Vectors, turn: Turn) -> Vectors:
        """Return them as they are."""
        del turn
        return sketches

    def reach(self, within: float) -> float:
        """Return the squared diagonal of a cube with that side."""
        return 3.0 * within**2 * (1 + 1e-12)

    def distances(self, a: Vectors, b: Vectors, squares_a: Floats, squares_b: Floats) -> Floats:
        """Return the largest difference of a channel."""
        del squares_a, squares_b
        return np.asarray(np.abs(a - b).max(axis=1))

    def share(self, distance: float) -> float:
        """Return it as a share of white."""
        return distance / 255
