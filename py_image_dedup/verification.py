"""The last look: do two pictures show the same thing, to the word and in the same colours?  Pure numpy.

Both pictures are brought to one size by the caller.  They are compared block by block, and the worst block decides:
a copy agrees everywhere, another picture, another word or another digit disagrees somewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

VERSION: Final = 1
"""Raised when verdicts may change; remembered looks of another version are worth nothing."""
FIRST_SIDE: Final = 768
"""Long side in pixels at which two pictures are compared first."""
PAGE_SIDE: Final = 2400
"""Long side in pixels at which page-like pictures are compared, if they have so many."""

LEAST_STRUCTURE: Final = 0.80
LEAST_PAGE_STRUCTURE: Final = 0.90
MOST_COLOUR: Final = 12.0

_CELL = 12  # pixels; a block is 2x2 cells, so blocks are 24 pixels wide at a stride of 12
_REGULARISATION = 1000.0  # grey levels squared: flat blocks agree
_GREY_CHROMA = 2.0  # mean distance of Cb, Cr from 128 below which a picture has no colour
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_STRIP = 48  # rows worked on at a time: what fits the processor's cache

Pixels = npt.NDArray[np.uint8]
Cells = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Look:
    """What comparing two pictures showed.

    ``structure``: agreement of the worst block, -1..1, 1 for equal pictures.  ``colour``: difference in chroma of the
    worst block, 0 where one picture is grey.  ``page``: text or drawing on plain ground.  ``grey``: which of the two
    has no colour.
    """

    structure: float
    colour: float
    page: bool
    grey: tuple[bool, bool]


def compare(a: Pixels, b: Pixels) -> Look:
    """Compare two pictures as shown upright: uint8 RGB, both of the same shape (height, width, 3)."""
    if a.shape != b.shape or a.ndim != 3 or a.shape[2] != 3 or a.size == 0:
        raise ValueError(f"two pictures of one shape (height, width, 3) are compared, not {a.shape} and {b.shape}")
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"pictures are compared as uint8, not {a.dtype} and {b.dtype}")
    sums = _sums(a, b)
    colours = _chroma(sums.rgb_a, sums.count), _chroma(sums.rgb_b, sums.count)
    grey = tuple(float(np.hypot(*chroma).mean()) < _GREY_CHROMA for chroma in colours)
    return Look(
        structure=_structure(sums),
        colour=0.0 if any(grey) else _colour(*colours),
        page=_page_like(sums.low_a, sums.high_a) or _page_like(sums.low_b, sums.high_b),
        grey=(grey[0], grey[1]),
    )


def is_duplicate(look: Look, *, full: bool) -> bool:
    """Tell whether the two are the same picture.

    `full`: they were compared at the smaller one's own size, or at ``PAGE_SIDE``.  A page-like pair that was not is
    not decided yet.
    """
    if look.page and not full:
        return False
    least = LEAST_PAGE_STRUCTURE if look.page else LEAST_STRUCTURE
    return look.structure >= least and look.colour <= MOST_COLOUR


class _Sums(NamedTuple):
    """Sums over cells of both pictures; shape (cells down, cells across), rgb with a leading axis of three."""

    count: Cells
    rgb_a: Cells
    rgb_b: Cells
    squares_a: Cells
    squares_b: Cells
    products: Cells
    low_a: Cells
    high_a: Cells
    low_b: Cells
    high_b: Cells


def _sums(a: Pixels, b: Pixels) -> _Sums:
    height, width = a.shape[:2]
    down, across = -(-height // _CELL), -(-width // _CELL)
    rgb = np.zeros((2, down, width * 3), np.float64)
    moments = np.zeros((3, down, width), np.float64)
    extremes = np.zeros((4, down, width), np.float32)
    for top in range(0, height, _STRIP):
        here = a[top : top + _STRIP], b[top : top + _STRIP]
        grey = [(part.reshape(-1, 3).astype(np.float32) @ _LUMA).reshape(part.shape[:2]) for part in here]
        starts = np.arange(0, len(here[0]), _CELL)
        rows = slice(top // _CELL, top // _CELL + len(starts))
        for k in range(2):
            flat = here[k].reshape(len(here[k]), -1)
            rgb[k, rows] = np.add.reduceat(flat, starts, axis=0, dtype=np.uint32)
            extremes[2 * k, rows] = np.minimum.reduceat(grey[k], starts, axis=0)
            extremes[2 * k + 1, rows] = np.maximum.reduceat(grey[k], starts, axis=0)
        for k, product in enumerate((grey[0] * grey[0], grey[1] * grey[1], grey[0] * grey[1])):
            moments[k, rows] = np.add.reduceat(product, starts, axis=0)
    starts = np.arange(0, width, _CELL)
    colours = np.add.reduceat(rgb.reshape(2, down, width, 3), starts, axis=2).transpose(0, 3, 1, 2)
    sums = np.add.reduceat(moments, starts, axis=2)
    low_a, low_b = np.minimum.reduceat(extremes[::2], starts, axis=2).astype(np.float64)
    high_a, high_b = np.maximum.reduceat(extremes[1::2], starts, axis=2).astype(np.float64)
    sizes = [np.diff(np.append(np.arange(0, side, _CELL), side)) for side in (height, width)]
    count = np.outer(*sizes).astype(np.float64)
    return _Sums(count, colours[0], colours[1], *sums, low_a, high_a, low_b, high_b)


def _blocks(cells: Cells) -> Cells:
    """Add up 2x2 neighbouring cells of the last two axes; an axis of one cell stays as it is."""
    for axis in (-2, -1):
        if cells.shape[axis] > 1:
            first = np.take(cells, range(cells.shape[axis] - 1), axis=axis)
            second = np.take(cells, range(1, cells.shape[axis]), axis=axis)
            cells = first + second
    return cells


def _structure(sums: _Sums) -> float:
    """Return the regularised normalised cross-correlation of the worst block."""
    count = _blocks(sums.count)
    mean_a = _blocks(np.tensordot(_LUMA, sums.rgb_a, 1)) / count
    mean_b = _blocks(np.tensordot(_LUMA, sums.rgb_b, 1)) / count
    variance_a = np.maximum(_blocks(sums.squares_a) / count - mean_a * mean_a, 0)
    variance_b = np.maximum(_blocks(sums.squares_b) / count - mean_b * mean_b, 0)
    covariance = _blocks(sums.products) / count - mean_a * mean_b
    agreement = (covariance + _REGULARISATION) / (np.sqrt(variance_a * variance_b) + _REGULARISATION)
    return min(1.0, float(agreement.min()))


def _chroma(rgb: Cells, count: Cells) -> Cells:
    """Return the mean Cb and Cr of blocks, less 128; shape (2, blocks down, blocks across)."""
    red, green, blue = _blocks(rgb) / _blocks(count)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack([(blue - luma) * 0.564, (red - luma) * 0.713])


def _colour(a: Cells, b: Cells) -> float:
    """Return what one global change of saturation leaves over in the worst block, less three tenths of its chroma."""
    gain = float((a * b).sum() / max((a * a).sum(), 1e-9))
    gain = min(max(gain, 1 / 3), 3.0)
    if gain > 1:
        a, b, gain = b, a, 1 / gain
    left = np.hypot(*(b - gain * a))
    chroma = np.maximum(gain * np.hypot(*a), np.hypot(*b))
    return max(0.0, float((left - 0.3 * chroma).max()))


def _page_like(low: Cells, high: Cells) -> bool:
    """Tell whether much of what is not flat is thin strokes on a ground that hardly changes."""
    span = high - low
    if min(span.shape) < 2:
        return bool((span > 40).any())
    inked = span > 60
    flat_high = _steady(high) & inked
    flat_low = _steady(low) & inked
    busy = max(1, int((span > 25).sum()))
    return bool((flat_high.sum() + flat_low.sum()) / busy > 0.35)


def _steady(level: Cells) -> npt.NDArray[np.bool_]:
    """Tell where a level differs little from that of the cells beside and below."""
    out = np.ones(level.shape, bool)
    for axis in (0, 1):
        near = np.abs(np.diff(level, axis=axis)) < 12
        pad = [(0, 0), (0, 0)]
        pad[axis] = (0, 1)
        out &= np.pad(near, pad, mode="edge")
    return out
