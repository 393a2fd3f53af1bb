"""Where a picture holds text or thin drawing on plain ground, and how large its smallest text is.  Pure numpy.

Pages, receipts, chats and slides need a closer comparison than photos: one digit is all that two of them differ in.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

_CELL: Final = 24  # pixels of the reduced picture in which text is looked for
_SHARP = 30  # grey levels between neighbours: the edge of a stroke
_STRIP_WIDTH = 48  # pixels of a line of text that are looked at together
_STROKES = 4  # edges in such a piece of a row, from which it is part of a line of text

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class Lettering(NamedTuple):
    """Where cells of 24 pixels of the reduced picture look like text, and their share of all that are not flat."""

    where: Mask
    share: float
    scale: int


def find(luma: Pixels, *, side: int) -> Lettering:
    """Look for sharp strokes on plain ground: many equal neighbours, many very different ones, few in between."""
    scale = max(1, round(max(luma.shape) / side))
    small = _reduced(luma, scale)
    edge = np.zeros(small.shape, np.uint8)
    edge[:, 1:] = _apart(small[:, 1:], small[:, :-1])
    edge[1:] = np.maximum(edge[1:], _apart(small[1:], small[:-1]))
    sharp = _sharp(edge)
    cells = [_pooled(mask, _CELL).astype(np.float64) for mask in (edge <= sharp // 3, edge > sharp)]
    size = np.outer(*(np.diff(np.append(np.arange(0, side, _CELL), side)) for side in small.shape))
    flat, strokes = cells
    between = size - flat - strokes
    where = (strokes >= 4) & (flat >= 0.3 * size) & (between <= 1.2 * strokes)
    busy = int((size - flat > 0.03 * size).sum())
    return Lettering(where, min(1.0, float(where.sum() / max(1, busy))), scale)


def _sharp(edge: Pixels) -> int:
    """Return the difference of neighbours that makes a stroke: less on pictures of little contrast."""
    # The 99.9th percentile decides; counting what is above a level is much faster than sorting.
    most = edge.size // 1000
    strongest = bisect_left(range(256), True, key=lambda level: bool(np.count_nonzero(edge > level) <= most))
    return min(max(3 * strongest // 10, 12), _SHARP)


def _reduced(luma: Pixels, scale: int) -> Pixels:
    if scale == 1:
        return luma
    height, width = (max(1, side // scale) for side in luma.shape)
    rows = luma[: height * scale].reshape(height, -1, luma.shape[1]).sum(axis=1, dtype=np.uint16)
    both = sum((rows[:, k : width * scale : scale] for k in range(1, scale)), start=rows[:, : width * scale : scale])
    return np.asarray(both // (scale * scale), np.uint8)


def _apart(x: Pixels, y: Pixels) -> Pixels:
    return np.maximum(x, y) - np.minimum(x, y)


def _pooled(mask: Mask, size: int) -> npt.NDArray[Any]:
    height, width = (-(-side // size) * size for side in mask.shape)
    whole = np.zeros((height, width), np.uint8)
    whole[: mask.shape[0], : mask.shape[1]] = mask
    rows = whole.reshape(-1, size, width).sum(axis=1, dtype=np.uint8)  # 24 at most
    return np.asarray(rows.reshape(len(rows), -1, size).sum(axis=2, dtype=np.uint16))


def spread(zone: Mask, shape: tuple[int, ...], *, cell: int, scale: int) -> Mask:
    """Widen the cells that look like text by one all around, and tell it for every block.

    `shape`: how many blocks there are down and across, `cell` pixels apart; `scale`: as found, with `zone`.
    """
    wide = np.pad(zone, 1)
    wide = wide[:-2] | wide[1:-1] | wide[2:]
    wide = wide[:, :-2] | wide[:, 1:-1] | wide[:, 2:]
    index = [
        np.minimum(np.arange(size) * cell // (_CELL * scale), cells - 1)
        for size, cells in zip(shape, zone.shape, strict=True)
    ]
    return wide[np.ix_(*index)]


def height(luma: Pixels) -> int:
    """Return the height in pixels of the smallest lines of text.

    A column of pieces 48 pixels wide is cut where a piece holds few upright edges.  Of the runs between, weighted by
    length, the tenth percentile counts.
    """
    if luma.shape[1] < 2:
        return 0
    edge = _apart(luma[:, 1:], luma[:, :-1])
    strokes = np.add.reduceat(edge > _sharp(edge), np.arange(0, edge.shape[1], _STRIP_WIDTH), axis=1, dtype=np.uint16)
    inked = np.pad(strokes >= _STROKES, ((1, 1), (0, 0))).T.ravel()
    change = np.flatnonzero(inked[1:] != inked[:-1])
    runs = np.sort(change[1::2] - change[::2])
    runs = runs[runs >= 3]  # less is dots and dashes
    if not len(runs):
        return 0
    total = np.cumsum(runs)
    return int(runs[np.searchsorted(total, 0.1 * total[-1])])
