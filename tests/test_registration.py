"""Laying one thumbnail over another: crops, frames and stickers agree, other pictures do not."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pictures
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from py_image_dedup import images
from py_image_dedup.registration import AT_ONCE, LEAST_AGREEMENT, agreement, agreements

Thumbnail = npt.NDArray[np.uint8]


def thumbnail(picture: Image.Image) -> Thumbnail:
    """Bring a picture to what its record holds."""
    return images.read(io.BytesIO(pictures.encode(picture, "PNG")), max_pixels=10**8).thumbnail


def window(left: float, top: float, right: float, bottom: float) -> Callable[[Image.Image], Image.Image]:
    """Crop to shares of width and height."""
    return lambda image: image.crop(
        (round(left * image.width), round(top * image.height), round(right * image.width), round(bottom * image.height))
    )


def sticker(image: Image.Image) -> Image.Image:
    out = image.copy()
    ImageDraw.Draw(out).text((image.width // 4, image.height // 2), "holiday 2024", (255, 255, 255), font_size=60)
    return out


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "5 % off the left": window(0.05, 0, 1, 1),
    "10 % at the upper left": window(0.1, 0.1, 1, 1),
    "10 % at the lower right": window(0, 0, 0.9, 0.9),
    "8 % all around": window(0.08, 0.08, 0.92, 0.92),
    "white frame": lambda image: ImageOps.expand(image, round(0.05 * image.width), "white"),
    "black frame": lambda image: ImageOps.expand(image, round(0.03 * image.width), "black"),
    "text over it": sticker,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.6),
}


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("seed", [4, 5, 6])
def test_copies_come_into_register(seed: int, copy: str) -> None:
    """Whatever was cut off, put around or laid over it: both ways round the two agree."""
    photo = pictures.photo(seed, (800, 600))
    a, b = thumbnail(photo), thumbnail(COPIES[copy](photo))
    assert agreement(a, b) >= LEAST_AGREEMENT
    assert agreement(b, a) >= LEAST_AGREEMENT


def test_other_pictures_do_not() -> None:
    """No two photos, and none and its mirrored self, come near."""
    photos = [thumbnail(pictures.photo(seed, (800, 600))) for seed in range(8)]
    pairs = [(a, b) for number, a in enumerate(photos) for b in photos[:number]]
    assert max(agreement(a, b) for a, b in pairs) < LEAST_AGREEMENT - 0.02
    assert max(agreement(a, np.ascontiguousarray(a[:, ::-1])) for a in photos) < LEAST_AGREEMENT


def test_flat_pictures_agree_with_none() -> None:
    """A blank page or a black frame says nothing, not even of its like."""
    for level in (0, 128, 255):
        flat = np.full((64, 64), level, np.uint8)
        assert agreement(flat, flat) == pytest.approx(0, abs=1e-3)
        assert agreement(flat, thumbnail(pictures.photo(4, (640, 480)))) < LEAST_AGREEMENT


def test_many_pairs_at_once_are_each_pair_alone() -> None:
    """What is asked together, in whatever order and number, changes no answer, not in the last bit."""
    rng = np.random.default_rng(7)
    photos = [thumbnail(pictures.photo(seed, (400, 300))) for seed in range(6)]
    photos += [thumbnail(pictures.photo(seed, (400, 300)).crop((20, 10, 400, 290))) for seed in range(6)]
    photos.append(np.zeros((64, 64), np.uint8))
    number = AT_ONCE + 30
    a, b = (np.stack([photos[k] for k in rng.integers(0, len(photos), number)]) for _ in range(2))

    together = agreements(a, b)

    assert together.shape == (number,)
    assert 0 < (together >= LEAST_AGREEMENT).sum() < number
    assert [agreement(one, other) for one, other in zip(a, b, strict=True)] == together.tolist()
    some = rng.permutation(number)[:10]
    assert agreements(a[some], b[some]).tolist() == together[some].tolist()
    assert agreements(a[:0], b[:0]).shape == (0,)


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.uint8, (64, 64)), arrays.arrays(np.uint8, (64, 64)))
def test_any_two_thumbnails_have_an_agreement(a: Thumbnail, b: Thumbnail) -> None:
    """Whatever the pixels, the answer is a correlation, and no warning is raised on the way."""
    assert -1 <= agreement(a, b) <= 1.0001
    one = np.random.default_rng(int(a.sum())).integers(0, 256, (64, 64)).astype(np.uint8)
    assert agreement(one, one) > LEAST_AGREEMENT
