"""What a kind of signature has to tell, so that pictures can be signed and all near pairs be found exactly.

A kind sees each signature as a point.  It must know a Euclidean distance of points that no match exceeds: that is all
the exact join needs to leave out nearly all other pairs; the few that remain are measured by :meth:`Kind.distances`.
"""

from __future__ import annotations

from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from py_image_dedup.images import Reserve
from py_image_dedup.model import Facts, Turn

Vectors = npt.NDArray[Any]
"""Signatures of one kind, shape (n, length), of the kind's dtype."""
Floats = npt.NDArray[np.float64]


class Signed(NamedTuple):
    """What reading a picture gave: its facts, and its signature, shape (length,)."""

    facts: Facts
    signature: Vectors


@runtime_checkable
class Kind(Protocol):
    """A kind of signature; frozen, so that it may be shared by threads."""

    @property
    def name(self) -> str:
        """What it is called, with all that decides whether two signatures can be compared."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""

    @property
    def length(self) -> int:
        """How many values a signature has."""

    @property
    def duplicates(self) -> float:
        """Up to which distance pictures are taken for the same, if nothing else is said."""

    @property
    def similar(self) -> float:
        """Up to which distance pictures are taken for similar, if nothing else is said."""

    @property
    def directions_only(self) -> bool:
        """Tell whether points are brought to length 1 before they are compared; one of length 0 matches nothing."""

    def sign(self, source: BinaryIO, *, max_pixels: int, reserve: Reserve) -> Signed:
        """Read a picture; raises as :func:`py_image_dedup.images.read` does."""

    def turned(self, signatures: Vectors, turn: Turn) -> Vectors:
        """Return the signatures that the same pictures have when they are turned."""

    def squares(self, signatures: Vectors) -> Floats:
        """Return the squared lengths of the points, shape (n,), exact."""

    def sketches(self, signatures: Vectors) -> Floats:
        """Return the points seen along fewer axes, shape (n, m): any orthonormal ones that turns carry into each other.

        What is left out is accounted for, so any choice is right; a good one keeps most of what tells points apart.
        """

    def turned_sketches(self, sketches: Vectors, turn: Turn) -> Vectors:
        """Return the sketches of the same points turned: those of ``turned(signatures)``."""

    def reach(self, within: float) -> float:
        """Return the squared Euclidean distance that no two points `within` apart exceed."""

    def distances(self, a: Vectors, b: Vectors, squares_a: Floats, squares_b: Floats) -> Floats:
        """Return how far the rows of `a` are from the same rows of `b`, shape (n,): exact up to one rounding.

        The squares are those of the two.
        """

    def share(self, distance: float) -> float:
        """Return a distance on a scale from 0 to 1, for plans and tables."""
