"""Do two pictures show the same but for their edges, a frame, or something laid over them?  Pure numpy.

A cropped copy is a window of the original; a framed one has the original as a window.  So one thumbnail is laid over
the other, stretched and shifted until both agree best, and what they have in common there must correlate.  That is the
registration of B. D. Lucas and T. Kanade, "An iterative image registration technique", IJCAI 1981, for scale and shift
of both axes, with a gain and an offset of lightness.

The numbers here were chosen with ``bench/looks.py``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

VERSION: Final = 1
"""Raised when agreements may change; remembered ones of another version are worth nothing."""
LEAST_AGREEMENT: Final = 0.92
"""From which two pictures are taken to show the same: unrelated ones reach .90, nearly all cropped copies .94."""

_SIDE = 32  # pixels that thumbnails are reduced to: enough to tell, and much faster than 64
_STARTS = (1.0, 0.92, 1 / 0.92)  # scales: as they are, a window of the first, a window of the second
_STEPS = 8
_LARGEST_STEP = 0.05  # of the side
_SCALES = (0.7, 1.4)
_LARGEST_SHIFT = 0.2  # of the side
_LEAST_COMMON = 0.5  # of the area
_NOISE = 4.0  # variance in grey levels squared that tells nothing: flat pictures agree with none

_PLACES = ((np.arange(_SIDE) + 0.5) / _SIDE - 0.5).astype(np.float32)  # of the middles of pixels, -1/2..1/2
_ACROSS, _DOWN = (np.ascontiguousarray(grid) for grid in np.meshgrid(_PLACES, _PLACES))
_SLIGHT = np.array([1, 1, 1, 1, 1e-3, 1e-3], np.float32) * np.float32(1e-3 / 6)  # keeps each step solvable and small

Thumbnail = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def agreement(a: Thumbnail, b: Thumbnail) -> float:
    """Return how well two pictures correlate (-1..1) once they are laid over each other as well as can be.

    Both are grey, uint8, shape (64, 64), as a record holds them.  0 where they have less than half of their area in
    common.  What reaches ``LEAST_AGREEMENT`` is not improved further.
    """
    one, other = (_reduced(thumbnail) for thumbnail in (a, b))
    best = -1.0
    for scale in _STARTS:
        best = max(best, _registered(one, other, scale))
        if best >= LEAST_AGREEMENT:
            break
    return best


def _reduced(thumbnail: Thumbnail) -> Floats:
    step = len(thumbnail) // _SIDE
    blocks = thumbnail.reshape(_SIDE, step, _SIDE, step)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def _registered(a: Floats, b: Floats, scale: float) -> float:
    """Return the correlation of `b` with the part of `a` that fits it best, looked for from one scale on."""
    slope_y, slope_x = (np.asarray(np.gradient(a, axis=axis) * _SIDE, np.float32) for axis in (0, 1))
    place = np.array([scale, 0, scale, 0])  # b at (x, y) shows a at (place[0] x + place[1], place[2] y + place[3])
    jacobian = np.empty((6, _SIDE, _SIDE), np.float32)
    for _ in range(_STEPS):
        (rows, inside_y), (columns, inside_x) = _sampling(*place[2:]), _sampling(*place[:2])
        seen = _sampled(a, rows, columns)
        common: Floats = inside_y[:, None] * inside_x
        gain, offset = _light(seen, b, common)
        jacobian[1] = gain * _sampled(slope_x, rows, columns)
        jacobian[3] = gain * _sampled(slope_y, rows, columns)
        np.multiply(jacobian[1], _ACROSS, out=jacobian[0])
        np.multiply(jacobian[3], _DOWN, out=jacobian[2])
        jacobian[4], jacobian[5] = seen, 1
        jacobian *= common
        flat = jacobian.reshape(6, -1)
        moments = flat @ flat.T
        moments[np.diag_indices(6)] += np.trace(moments) * _SLIGHT + np.float32(1e-6)
        step = np.linalg.solve(moments, flat @ (b - gain * seen - offset).ravel())[:4]
        place += np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
        place[0::2] = np.clip(place[0::2], *_SCALES)
        place[1::2] = np.clip(place[1::2], -_LARGEST_SHIFT, _LARGEST_SHIFT)
    (rows, inside_y), (columns, inside_x) = _sampling(*place[2:]), _sampling(*place[:2])
    return _correlation(_sampled(a, rows, columns), b, inside_y[:, None] * inside_x)


def _sampling(scale: float, shift: float) -> tuple[Floats, Floats]:
    """Return the matrix that samples an axis there, between pixels linearly, and which places lie inside."""
    wanted = (np.float32(scale) * _PLACES + np.float32(shift + 0.5)) * _SIDE - np.float32(0.5)
    inside = (wanted >= 0) & (wanted <= _SIDE - 1)
    wanted = np.clip(wanted, 0, _SIDE - 1)
    weights = np.maximum(1 - np.abs(wanted[:, None] - np.arange(_SIDE, dtype=np.float32)), 0)
    return weights, inside.astype(np.float32)


def _sampled(pixels: Floats, rows: Floats, columns: Floats) -> Floats:
    return np.asarray(rows @ pixels @ columns.T, np.float32)


def _light(x: Floats, y: Floats, common: Floats) -> tuple[np.float32, np.float32]:
    """Return gain and offset of the line that brings the lightness of `x` nearest to `y`."""
    mean_x, mean_y, spread_x, _, together = _moments(x, y, common)
    gain = np.clip(together / (spread_x + np.float32(1e-3)), np.float32(0.3), np.float32(3))
    return gain, mean_y - gain * mean_x


def _correlation(x: Floats, y: Floats, common: Floats) -> float:
    if common.mean() < _LEAST_COMMON:
        return 0.0
    *_, spread_x, spread_y, together = _moments(x, y, common)
    return float(together / (np.sqrt(spread_x * spread_y) + _NOISE))


def _moments(x: Floats, y: Floats, common: Floats) -> tuple[np.float32, ...]:
    """Return means, variances and covariance of what lies in common."""
    size = common.sum() + np.float32(1e-6)
    mean_x, mean_y = (x * common).sum() / size, (y * common).sum() / size
    off_x, off_y = (x - mean_x) * common, (y - mean_y) * common
    return mean_x, mean_y, (off_x * off_x).sum() / size, (off_y * off_y).sum() / size, (off_x * off_y).sum() / size
