"""The last look: do two pictures show the same thing, to the word and in the same colours?  Pure numpy.

The caller brings both pictures to one size.  They are compared block by block, and the worst block decides: a copy
agrees everywhere, another picture, another word or another digit disagrees somewhere.  Where a picture looks like a
page (letters, tables, chats, slides), small blocks are compared too, which takes more pixels: see :func:`compare`.

The numbers here were chosen with ``bench/looks.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from py_image_dedup import lettering
from py_image_dedup.model import CELL, View

VERSION: Final = 7
"""Raised when verdicts may change; remembered looks of another version are worth nothing."""
FIRST_SIDE: Final = 768
"""Long side in pixels at which two pictures are compared first."""
PAGE_SIDE: Final = 2400
"""Long side in pixels at which page-like pictures are compared, if they have so many."""

LEAST_STRUCTURE: Final = 0.80
"""Agreement that the worst block of 24 pixels must reach, also in what is drawn on flat ground, see :func:`_drawn`."""
LEAST_DETAIL: Final = (0.9995, 0.9995, 0.9995, 0.993, 0.985, 0.975, 0.94, 0.89, 0.84, 0.80)
"""Agreement that the worst block of 8 pixels must reach on a page, by the height of its smallest text in pixels.

Below 8 pixels another digit changes no more than an encoder does, so the smaller the text, the less may differ.
"""
LEAST_MIXED_DETAIL: Final = 0.55
"""The same where there is text in a picture that is no page: what else is there suffers more from encoders."""
LEAST_ON_THUMBNAIL: Final = 0.5
"""Agreement of the worst block of two thumbnails below which a closer look is not worth its time.

Of some 300 duplicates the lowest had .76, of other shots of a scene one half has less than .12.
"""
SOME_TEXT: Final = 0.20
"""Share of text among what is not flat from which small blocks are compared where there is text."""
MUCH_TEXT: Final = 0.50
"""And from which they are compared everywhere, and the text must be large enough to be read."""
MOST_COLOUR: Final = 12.0
"""Difference in chroma, and in lightness beyond one tone curve, that the worst block may show (levels of 255)."""

_LARGE = 6  # cells: blocks of 24 pixels
_LARGE_STEP = 3
_SMALL = 2  # cells: blocks of 8 pixels, at a stride of one cell
_LARGE_NOISE = 1000.0  # grey levels squared: blocks that are flat but for so much agree
_LEAST_NOISE = 16.0  # the same for dark and dull pictures, of whose variance it is twice the mean
_SMALL_NOISE = 300.0
_DRAWN_NOISE = 100.0
_MOST_DRAWN = 0.45  # of some 900 copies the largest has .44; what is added on flat ground has 1 to 20
_THUMBNAIL_CELL = 8  # pixels; blocks are of two by two
_THUMBNAIL_NOISE = 4.0
_GREY_CHROMA = 6.0  # length of (Cb, Cr) that no block reaches where a picture has no colour: a stamp is colour
_CHROMA_SHARE = 0.3  # of a block's chroma that may be lost or turned: encoders and tone curves do that
_TONE_LEFT = 3.0  # lightness may be off three times as far as chroma

_LEAST_PAGE = 320  # pixels of the long side, below which no page is readable

_STRIP = 48  # rows worked on at a time: what fits the processor's cache; a multiple of CELL
_TO_RGB = np.array([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]])  # from Y, Cb, Cr (JFIF)
_LUMA = np.array([0.299, 0.587, 0.114])

Pixels = npt.NDArray[np.uint8]
Sums = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comparing two pictures showed.

    ``structure``: agreement of the worst block of 24 pixels, -1..1, 1 for equal pictures.
    ``colour``: difference of the worst block in chroma (not where one picture is grey) and lightness, 0 and up.
    ``text``: share of text and thin drawing on plain ground among all that is not flat, of the one that has more.
    ``grey``: which of the two has no colour.
    ``detail``: agreement of the worst block of 8 pixels where there is text, -1..1; 1 where there is none.
    ``text_height``: of the smallest text on a page, in pixels; 0 where there is none.
    ``two_shots``: their EXIF tells of two exposures, and their pixels are not the same.
    """

    structure: float
    colour: float
    text: float
    grey: tuple[bool, bool]
    detail: float = 1.0
    text_height: int = 0
    two_shots: bool = False

    @property
    def page(self) -> bool:
        """Page-like: to be compared at the smaller one's own size, up to ``PAGE_SIDE``."""
        return self.text >= SOME_TEXT


def compare(a: View, b: View, *, text: float = 0.0) -> Comparison:
    """Compare two pictures as shown upright, both of one size.

    `text`: the share of text that is known from elsewhere (the look before, :func:`text_share` of the larger one): a
    small size shows less than there is.
    """
    _check(a)
    _check(b)
    if a.luma.shape != b.luma.shape:
        raise ValueError(f"two pictures of one shape are compared, not {a.luma.shape} and {b.luma.shape}")
    sums = _sums(a.luma, b.luma)
    means = _means(sums.luma_a, a.chroma, sums.cell_size), _means(sums.luma_b, b.chroma, sums.cell_size)
    grey = [float(np.hypot(*_chroma(mean)).max()) < _GREY_CHROMA for mean in means]
    large = _moments(sums, _LARGE, _LARGE_STEP)
    texts = [lettering.find(view.luma, side=FIRST_SIDE) for view in (a, b)]
    share = max(text, texts[0].share, texts[1].share)
    detail, height = 1.0, 0
    if share >= SOME_TEXT:
        agreement = _agreement(_moments(sums, _SMALL, 1), _SMALL_NOISE)
        if share < MUCH_TEXT:
            zone = texts[0].where | texts[1].where
            agreement = agreement[lettering.spread(zone, agreement.shape, cell=CELL, scale=texts[0].scale)]
        detail = float(agreement.min(initial=1.0))
        if share >= MUCH_TEXT and max(a.luma.shape) >= _LEAST_PAGE:
            height = min(lettering.height(view.luma) for view in (a, b))
    return Comparison(
        structure=min(
            float(_agreement(large, _noise(large)).min()), _agreement_of_drawings(sums, (a.chroma, b.chroma))
        ),
        colour=max(0.0 if any(grey) else _colour(*means), _tone(large)),
        text=share,
        grey=(grey[0], grey[1]),
        detail=detail,
        text_height=height,
        two_shots=a.exposure.is_other_than(b.exposure)
        and not (np.array_equal(a.luma, b.luma) and np.array_equal(a.chroma, b.chroma)),
    )


def agreement_of_thumbnails(a: Pixels, b: Pixels) -> float:
    """Return how well the worst block of 16 pixels of two thumbnails agrees, -1..1; uint8, shape (64, 64)."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    size = _THUMBNAIL_CELL
    sums = [
        _blocks(product.reshape(64 // size, size, 64 // size, size).sum(axis=(1, 3)), 2, 1) / (2 * size) ** 2
        for product in (x, y, x * x, y * y, x * y)
    ]
    mean_a, mean_b, square_a, square_b, together = sums
    variances = np.maximum(square_a - mean_a**2, 0), np.maximum(square_b - mean_b**2, 0)
    return float(_agreement(_Moments(mean_a, mean_b, *variances, together - mean_a * mean_b), _THUMBNAIL_NOISE).min())


def text_share(picture: View) -> float:
    """Return the share of text and thin drawing among all that is not flat."""
    _check(picture)
    return lettering.find(picture.luma, side=FIRST_SIDE).share


def is_duplicate(look: Comparison, *, full: bool) -> bool:
    """Tell whether the two are the same picture.

    `full`: they were compared at the smaller one's own size, or at ``PAGE_SIDE``.  A page-like pair that was not is
    not decided yet; :func:`is_open` tells whether another comparison can make it a duplicate.
    """
    if look.two_shots or (look.page and (not full or look.detail < _least_detail(look))):
        return False
    return look.structure >= LEAST_STRUCTURE and look.colour <= MOST_COLOUR


def _least_detail(look: Comparison) -> float:
    if look.text < MUCH_TEXT:
        return LEAST_MIXED_DETAIL
    return LEAST_DETAIL[min(look.text_height, len(LEAST_DETAIL) - 1)]


def is_open(look: Comparison, *, full: bool) -> bool:
    """Tell whether a page-like pair must be compared at full size before it is decided."""
    if look.two_shots or full or not look.page:
        return False
    return look.structure >= LEAST_STRUCTURE / 2 and look.colour <= 2 * MOST_COLOUR


def _check(picture: View) -> None:
    luma, chroma = picture.luma, picture.chroma
    cells = *(-(-side // CELL) for side in luma.shape), 2
    if luma.ndim != 2 or luma.size == 0 or chroma.shape != cells or {luma.dtype, chroma.dtype} != {np.dtype(np.uint8)}:
        raise ValueError(f"no view of a picture: luma {luma.dtype} {luma.shape}, chroma {chroma.dtype} {chroma.shape}")


class _Sums(NamedTuple):
    """Over the cells of both pictures: pixels, lightness, its squares and products; shape (cells down, across)."""

    cell_size: Sums
    luma_a: Sums
    luma_b: Sums
    squares_a: Sums
    squares_b: Sums
    products: Sums


def _sums(a: Pixels, b: Pixels) -> _Sums:
    height, width = a.shape
    sums = np.empty((5, -(-height // CELL), -(-width // CELL)))
    strip = np.empty((5, _STRIP, width), np.float32)  # whole numbers far below 2^24: exact
    for top in range(0, height, _STRIP):
        part = strip[:, : height - top]
        part[0], part[1] = a[top : top + _STRIP], b[top : top + _STRIP]
        np.multiply(part[:2], part[:2], out=part[2:4])
        np.multiply(part[0], part[1], out=part[4])
        rows = slice(top // CELL, -(-min(top + _STRIP, height) // CELL))
        sums[:, rows] = _by_fours(_by_fours(part.swapaxes(1, 2)).swapaxes(1, 2))
    sizes = [np.diff(np.append(np.arange(0, side, CELL), side)) for side in (height, width)]
    return _Sums(np.outer(*sizes).astype(np.float64), *sums)


def _by_fours(x: Floats) -> Floats:
    """Add up every CELL columns, the last ones alone."""
    whole = x.shape[-1] // CELL * CELL
    out = x[..., 0:whole:CELL] + x[..., 1:whole:CELL]
    for k in range(2, CELL):
        out += x[..., k:whole:CELL]
    if whole == x.shape[-1]:
        return out
    return np.concatenate([out, x[..., whole:].sum(axis=-1, keepdims=True)], axis=-1)


def _blocks(cells: Sums, size: int, step: int) -> Sums:
    """Add up squares of size x size cells, every `step` cells and flush with the far edges."""
    for _ in range(2):  # down, then across
        length = len(cells)
        if length <= size:
            cells = cells.sum(axis=0, keepdims=True)
        else:
            last = length - size
            sums = cells[: last + 1 : step].copy()
            for k in range(1, size):
                sums += cells[k : last + 1 + k : step]
            if last % step:
                sums = np.concatenate([sums, cells[last:].sum(axis=0, keepdims=True)])
            cells = sums
        cells = cells.T
    return cells


class _Moments(NamedTuple):
    """Of the blocks of both pictures: means, variances, covariance; shape (blocks down, blocks across)."""

    mean_a: Sums
    mean_b: Sums
    variance_a: Sums
    variance_b: Sums
    covariance: Sums


def _moments(sums: _Sums, size: int, step: int) -> _Moments:
    count = _blocks(sums.cell_size, size, step)
    mean = [_blocks(luma, size, step) / count for luma in (sums.luma_a, sums.luma_b)]
    square = [_blocks(squares, size, step) / count for squares in (sums.squares_a, sums.squares_b)]
    variance = [np.maximum(s - m * m, 0) for s, m in zip(square, mean, strict=True)]
    covariance = _blocks(sums.products, size, step) / count - mean[0] * mean[1]
    return _Moments(mean[0], mean[1], variance[0], variance[1], covariance)


def _agreement(blocks: _Moments, noise: float) -> Sums:
    """Return the normalised cross-correlation of blocks, regularised so that flat ones agree."""
    spread = np.sqrt(blocks.variance_a * blocks.variance_b)
    return np.minimum((blocks.covariance + noise) / (spread + noise), 1.0)


def _agreement_of_drawings(sums: _Sums, chroma: tuple[Pixels, Pixels]) -> float:
    """Return how well the worst block agrees in what is drawn on flat ground, -1..1.

    By correlation a flat block agrees with anything.  So it is also asked what is in a block of one picture that no
    tone curve makes of the other.  Asked of cells, since an encoder takes away single pixels.
    """
    a, b = sums.luma_a / sums.cell_size, sums.luma_b / sums.cell_size
    # Brightened until it clips, a picture has flat blocks where the other has not; its curve says so in one direction.
    drawn = min(_drawn(_toned(a, b), b), _drawn(a, _toned(b, a)))
    if drawn > _MOST_DRAWN:  # each channel clips by itself, which the curve of lightness can't tell
        rgb_a, rgb_b = _rgb(a, chroma[0]), _rgb(b, chroma[1])
        drawn = min(drawn, _drawn(_luma(_toned(rgb_a, rgb_b)), b), _drawn(a, _luma(_toned(rgb_b, rgb_a))))
    return max(-1.0, 1.0 - (1.0 - LEAST_STRUCTURE) * drawn / _MOST_DRAWN)


def _drawn(a: Sums, b: Sums) -> float:
    """Return by how much two pictures (cells) differ in the worst block, as a multiple of what both show there."""
    ones = np.ones_like(a)
    cells = _Sums(ones, a, b, a * a, b * b, a * b)
    blocks = _moments(cells, _LARGE, _LARGE_STEP)
    difference = blocks.variance_a + blocks.variance_b - 2 * blocks.covariance
    return float((difference / (np.minimum(blocks.variance_a, blocks.variance_b) + _DRAWN_NOISE)).max())


def _rgb(luma: Sums, chroma: Pixels) -> Sums:
    """Return red, green and blue of cells; shape (3, cells down, cells across)."""
    layers = np.stack([luma, chroma[..., 0] - 128.0, chroma[..., 1] - 128.0])
    return np.clip(np.tensordot(_TO_RGB, layers, 1), 0, 255)


def _luma(rgb: Sums) -> Sums:
    return np.tensordot(_LUMA, rgb, 1)


def _toned(x: Sums, y: Sums) -> Sums:
    """Return `x` made as light as `y` is on average where `x` has that lightness, in 16 levels joined by lines."""
    level = np.clip(x / 16, 0, 15).astype(int).ravel()
    count = np.bincount(level, minlength=16)
    used = count > 0
    position, shift = (np.bincount(level, part.ravel(), 16)[used] / count[used] for part in (x, y - x))
    return np.asarray(x + np.interp(x, position, shift))


def _noise(blocks: _Moments) -> float:
    """Return the variance that counts as noise: little in pictures that have little of it."""
    return float(np.clip(2 * min(blocks.variance_a.mean(), blocks.variance_b.mean()), _LEAST_NOISE, _LARGE_NOISE))


def _means(luma: Sums, chroma: Pixels, count: Sums) -> Sums:
    """Return the mean red, green and blue of blocks of 24 pixels; shape (3, blocks down, blocks across)."""
    size = _blocks(count, _LARGE, _LARGE_STEP)
    layers = (luma, *((chroma[..., k] - 128.0) * count for k in range(2)))
    return np.tensordot(_TO_RGB, np.stack([_blocks(layer, _LARGE, _LARGE_STEP) / size for layer in layers]), 1)


def _chroma(rgb: Sums) -> Sums:
    """Return Cb and Cr, less 128; shape (3, ...) to (2, ...)."""
    luma = np.tensordot(_LUMA, rgb, 1)
    return np.stack([(rgb[2] - luma) * 0.564, (rgb[0] - luma) * 0.713])


def _colour(rgb_a: Sums, rgb_b: Sums) -> float:
    """Return the difference in chroma of the worst block that neither one saturation nor one tone curve explains."""
    a, b = _chroma(rgb_a), _chroma(rgb_b)
    strong, weak = (a, b) if (a * a).sum() >= (b * b).sum() else (b, a)
    gain = float(np.clip((strong * weak).sum() / max((strong * strong).sum(), 1e-9), 1 / 3, 1))
    left = _chroma_left(gain * strong, weak)
    if left <= MOST_COLOUR:
        return left
    # Brightened until it clips, a picture loses colour here and not there; but its three channels share one curve.
    return min(
        left,
        _chroma_left(_chroma(_through_curve(rgb_a, rgb_b)), b),
        _chroma_left(a, _chroma(_through_curve(rgb_b, rgb_a))),
    )


def _chroma_left(a: Sums, b: Sums) -> float:
    chroma = np.maximum(np.hypot(*a), np.hypot(*b))
    return max(0.0, float((np.hypot(*(a - b)) - _CHROMA_SHARE * chroma).max()))


def _through_curve(x: Sums, y: Sums) -> Sums:
    """Return `x` sent through the tone curve that brings it nearest to `y`: means over 16 levels, joined by lines."""
    level = np.clip(x / 16, 0, 15).astype(int).ravel()
    count = np.bincount(level, minlength=16)
    used = count > 0
    position, value = (np.bincount(level, part.ravel(), 16)[used] / count[used] for part in (x, y))
    return np.asarray(np.interp(x, position, value))


def _tone(blocks: _Moments) -> float:
    """Return a third of the difference in lightness of the worst block that one tone curve (a cubic) leaves over."""
    left = []
    for x, y in ((blocks.mean_a, blocks.mean_b), (blocks.mean_b, blocks.mean_a)):
        powers = np.stack([np.ones(x.size), *((x.ravel() / 255) ** k for k in (1, 2, 3))])
        slight = np.diag([0.0, 1e-3, 1e-3, 1e-3]) * x.size  # keeps the curve tame where few levels occur
        difference = y.ravel() - x.ravel()
        curve = np.linalg.lstsq(powers @ powers.T + slight, powers @ difference, rcond=None)[0]
        left.append(float(np.abs(difference - curve @ powers).max()))
    return min(left) / _TONE_LEFT  # what was brightened until it clips has a curve in one direction only
