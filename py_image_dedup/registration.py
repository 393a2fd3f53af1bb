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

VERSION: Final = 2
"""Raised when agreements may change; remembered ones of another version are worth nothing."""
LEAST_AGREEMENT: Final = 0.92
"""From which two pictures are taken to show the same: unrelated ones reach .90, nearly all cropped copies .94."""

AT_ONCE: Final = 64
"""Pairs worked on together: twice as many take longer again, for what they need leaves the processor's cache."""

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

Thumbnails = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.float64]


def agreements(a: Thumbnails, b: Thumbnails) -> npt.NDArray[np.float64]:
    """Return how well pairs of pictures correlate (-1..1) once they are laid over each other as well as can be.

    Both are grey, uint8, shape (n, 64, 64), as records hold them; the answer has shape (n,), and none of it depends on
    what else is asked.  0 where a pair has less than half of its area in common.  What reaches ``LEAST_AGREEMENT`` is
    not improved further.
    """
    parts = [_best(_reduced(a[k : k + AT_ONCE]), _reduced(b[k : k + AT_ONCE])) for k in range(0, len(a), AT_ONCE)]
    return np.concatenate([np.empty(0), *parts])


def agreement(a: Thumbnails, b: Thumbnails) -> float:
    """Return how well two pictures correlate, each of shape (64, 64): :func:`agreements` of one pair."""
    return float(agreements(a[None], b[None])[0])


def _best(a: Floats, b: Floats) -> npt.NDArray[np.float64]:
    best = np.full(len(a), -1.0)
    left = np.arange(len(a))
    for scale in _STARTS:
        best[left] = np.maximum(best[left], _registered(a[left], b[left], scale))
        left = left[best[left] < LEAST_AGREEMENT]
        if not len(left):
            break
    return best


def _reduced(thumbnails: Thumbnails) -> Floats:
    step = thumbnails.shape[1] // _SIDE
    blocks = thumbnails.reshape(-1, _SIDE, step, _SIDE, step)
    return np.asarray(blocks.mean(axis=(2, 4)), np.float32)


def _registered(a: Floats, b: Floats, scale: float) -> Floats:
    """Return the correlation of each `b` with the part of its `a` that fits it best, looked for from one scale on."""
    layers = np.stack([a, *(np.gradient(a, axis=axis) * _SIDE for axis in (2, 1))], axis=1, dtype=np.float32)
    place = np.tile([scale, 0, scale, 0], (len(a), 1))  # b at (x, y) shows a at (p[0] x + p[1], p[2] y + p[3])
    jacobian = np.empty((len(a), 6, _SIDE, _SIDE), np.float32)
    for _ in range(_STEPS):
        sampled, common = _sampled(layers, place)
        seen, slope_x, slope_y = sampled[:, 0], sampled[:, 1], sampled[:, 2]
        gain, offset = _light(seen, b, common)
        np.multiply(slope_x, gain, out=jacobian[:, 1])
        np.multiply(slope_y, gain, out=jacobian[:, 3])
        np.multiply(jacobian[:, 1], _ACROSS, out=jacobian[:, 0])
        np.multiply(jacobian[:, 3], _DOWN, out=jacobian[:, 2])
        jacobian[:, 4], jacobian[:, 5] = seen, 1
        jacobian *= common[:, None]
        flat = jacobian.reshape(len(a), 6, -1)
        moments = flat @ flat.swapaxes(1, 2)
        moments[:, range(6), range(6)] += moments.trace(axis1=1, axis2=2)[:, None] * _SLIGHT + np.float32(1e-6)
        left = (b - gain * seen - offset).reshape(len(a), -1, 1)
        step = np.linalg.solve(moments, flat @ left)[:, :4, 0]
        place += np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
        place[:, 0::2] = np.clip(place[:, 0::2], *_SCALES)
        place[:, 1::2] = np.clip(place[:, 1::2], -_LARGEST_SHIFT, _LARGEST_SHIFT)
    sampled, common = _sampled(layers[:, :1], place)
    return _correlation(sampled[:, 0], b, common)


def _sampled(layers: Floats, place: Places) -> tuple[Floats, Floats]:
    """Sample the layers of each picture at its place; return them, and which pixels lie inside of it."""
    (columns, inside_x), (rows, inside_y) = _sampling(place[:, :2]), _sampling(place[:, 2:])
    common = inside_y[:, :, None] * inside_x[:, None, :]
    return np.asarray(rows[:, None] @ layers @ columns.swapaxes(1, 2)[:, None], np.float32), common


def _sampling(place: Places) -> tuple[Floats, Floats]:
    """Return the matrices that sample an axis there, between pixels linearly, and which places lie inside."""
    scale, shift = np.asarray(place, np.float32).T[..., None]
    wanted = (scale * _PLACES + (shift + np.float32(0.5))) * _SIDE - np.float32(0.5)
    inside = (wanted >= 0) & (wanted <= _SIDE - 1)
    wanted = np.clip(wanted, 0, _SIDE - 1)
    weights = np.maximum(1 - np.abs(wanted[..., None] - np.arange(_SIDE, dtype=np.float32)), 0)
    return np.asarray(weights, np.float32), np.asarray(inside, np.float32)


def _light(x: Floats, y: Floats, common: Floats) -> tuple[Floats, Floats]:
    """Return gain and offset of the line that brings the lightness of each `x` nearest to its `y`."""
    mean_x, mean_y, spread_x, _, together = _moments(x, y, common)
    gain = np.clip(together / (spread_x + np.float32(1e-3)), np.float32(0.3), np.float32(3))
    offset = np.asarray(mean_y - gain * mean_x, np.float32)
    return gain[:, None, None], offset[:, None, None]


def _correlation(x: Floats, y: Floats, common: Floats) -> Floats:
    *_, spread_x, spread_y, together = _moments(x, y, common)
    found = together / (np.sqrt(spread_x * spread_y) + np.float32(_NOISE))
    return np.where(common.mean(axis=(1, 2)) < _LEAST_COMMON, np.float32(0), found)


def _moments(x: Floats, y: Floats, common: Floats) -> tuple[Floats, ...]:
    """Return means, variances and covariances of what lies in common, each of shape (n,)."""
    x, y, common = (layer.reshape(len(layer), -1) for layer in (x, y, common))
    size = common.sum(axis=1) + np.float32(1e-6)
    mean_x, mean_y = ((layer * common).sum(axis=1) / size for layer in (x, y))
    off_x, off_y = (x - mean_x[:, None]) * common, (y - mean_y[:, None]) * common
    products = (off_x, off_x), (off_y, off_y), (off_x, off_y)
    return mean_x, mean_y, *(np.einsum("ij,ij->i", *both) / size for both in products)
