"""What may be near to a few signatures, among many that are read page by page and never held together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from py_image_dedup.signature import LENGTH, Signature

_TOLERANCE = 1e-5  # of float32 products of vectors of length 1
_ROWS_AT_ONCE = 512  # of wide numbers: they stay in the cache of one core


def nearby(few: Signature, pages: Iterable[Sequence[tuple[bytes, bytes]]], *, within: float) -> Iterator[bytes]:
    """Yield the names of all rows that may be up to `within` from one of a few: none is missed, some are too many.

    `pages` hold (name, signature as bytes).  A distance of at most T means a cosine of at least 1 - 2 T^2; see
    :mod:`py_image_dedup.stores.join`.
    """
    wide = few[few.any(axis=1)].astype(np.float32)
    wide /= np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    least = 1 - 2 * within**2 - _TOLERANCE
    for page in pages:
        for start in range(0, len(page), _ROWS_AT_ONCE):
            some = page[start : start + _ROWS_AT_ONCE]
            rows = np.frombuffer(b"".join(vector for _, vector in some), np.int8).reshape(-1, LENGTH)
            rows = rows.astype(np.float32)
            lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
            near = (rows @ wide.T >= least * lengths[:, None]).any(axis=1) & (lengths > 0)
            yield from (some[row][0] for row in np.flatnonzero(near).tolist())
