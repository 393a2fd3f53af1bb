"""Going through signatures of any length, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from py_image_dedup.kinds.interface import Vectors

READ_AT_ONCE: Final = 1024  # rows turned into wide numbers at once, if they are not longer than those of most kinds
_VALUES_AT_ONCE = 648  # what a row has in these numbers; of longer rows there are fewer at once


def pieces(count: int, signatures: Vectors, most: int) -> Iterator[slice]:
    """Cut so many rows into pieces that take no more memory than `most` rows of common length."""
    step = max(1, min(most, most * _VALUES_AT_ONCE // signatures.shape[1]))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def row_keys(signatures: Vectors) -> npt.NDArray[np.uint64]:
    """Return for each row a number that tells it from nearly all others."""
    words = -(-signatures.shape[1] * signatures.itemsize // 8)
    factors = np.random.default_rng(0).integers(1, 1 << 63, words, np.uint64) * np.uint64(2) + np.uint64(1)
    found = np.empty(len(signatures), np.uint64)
    for piece in pieces(len(signatures), signatures, READ_AT_ONCE):
        some = np.ascontiguousarray(signatures[piece]).view(np.uint8)
        whole = np.zeros((len(some), words * 8), np.uint8)
        whole[:, : some.shape[1]] = some
        mixed = whole.view(np.uint64) * factors  # modulo 2^64
        mixed ^= mixed >> np.uint64(32)  # so that the high bytes count as much as the low ones
        found[piece] = mixed @ factors
    return found
