"""Pictures of any of Pillow's modes, as grey or as colour of eight bits."""

from __future__ import annotations

from typing import cast

import numpy as np
from PIL import Image, ImageChops

_DEEP_GREY = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_GREY = _DEEP_GREY | {"1", "L", "LA", "La"}
_OPAQUE = 255
_STRIP = 256  # rows converted at once
_MOST_GREY_CHROMA = 6  # levels of Cb or Cr off neutral that rounding and compression make of grey


def shrink(
    image: Image.Image,
    side: tuple[int, int],
    mode: str,
    how: Image.Resampling = Image.Resampling.BILINEAR,
    *,
    ground: str = "white",
) -> Image.Image:
    """Scale a picture of any mode to `side`, antialiased, as "L" or "RGB"; below what is transparent lies `ground`."""
    if image.mode in _DEEP_GREY:
        return _eight_bits(image, side).convert(mode)
    if image.has_transparency_data:
        # Pillow resizes premultiplied, so hidden colours do not shine through.
        page = Image.new("RGBA", side, ground)
        page.alpha_composite(_with_alpha(image).resize(side, how).convert("RGBA"))
        return page.convert(mode)
    flat = grey(image) if mode == "L" or image.mode in {"1", "L", "LAB"} else _rgb(image)
    return flat.resize(side, how).convert(mode)


def is_transparent(image: Image.Image) -> bool:
    """Tell whether a ground shows through a loaded picture anywhere."""
    if image.mode in _DEEP_GREY or not image.has_transparency_data:
        return False
    lowest, _ = cast("tuple[int, int]", _with_alpha(image).getchannel("A").getextrema())
    return lowest < _OPAQUE


def is_grey(image: Image.Image) -> bool:
    """Tell whether a loaded picture shows no colour anywhere, whatever it is stored as."""
    if image.mode in _GREY or image.mode == "LAB":
        return image.mode != "LAB"  # which nobody uses for grey
    if _coloured(image.resize((64, 64), Image.Resampling.NEAREST)):  # as nearly all photos are
        return False
    strips = ((0, top, image.width, min(top + _STRIP, image.height)) for top in range(0, image.height, _STRIP))
    return not any(_coloured(image.crop(strip)) for strip in strips)


def _coloured(image: Image.Image) -> bool:
    if image.mode != "YCbCr":
        image = image.convert("RGB").convert("YCbCr")
    extrema = cast("tuple[tuple[int, int], ...]", image.getextrema())  # as it is for pictures of several bands
    return any(abs(level - 128) > _MOST_GREY_CHROMA for levels in extrema[1:] for level in levels)


def _with_alpha(image: Image.Image) -> Image.Image:
    return image if image.mode in {"LA", "RGBA"} else image.convert("RGBA")


def _eight_bits(image: Image.Image, side: tuple[int, int]) -> Image.Image:
    """Scale grey of 16 or 32 bits to `side`, as "L"."""
    if image.mode.startswith("I;16"):  # cut to 8 bits first: Pillow scales big-endian values wrongly
        levels = np.asarray(image)
        unused = 16 - int(levels.max(initial=0)).bit_length()  # of cameras and scanners that fill 10, 12 or 14 bits
        cut = (levels >> max(0, 8 - unused)).astype(np.uint8)
        return Image.fromarray(cut).resize(side, Image.Resampling.BILINEAR)
    small = image.convert("F").resize(side, Image.Resampling.BILINEAR)
    values = np.nan_to_num(np.asarray(small, np.float64), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())  # no agreed range: spread what is there
    return Image.fromarray(((values - low) * (255 / (high - low or 1))).astype(np.uint8))


def grey(image: Image.Image) -> Image.Image:
    """Convert any opaque mode to "L"; of Lab only the lightness is taken."""
    mode = image.mode
    if mode == "L":
        return image
    if mode in {"YCbCr", "LAB"}:
        return image.getchannel(0)
    return image.convert("L") if mode in {"RGB", "P", "1"} else _rgb(image).convert("L")


def _rgb(image: Image.Image) -> Image.Image:
    """Convert any opaque mode to "RGB"."""
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        image = ImageChops.invert(image)  # Pillow takes all JPEG inks for inverted; without that mark they are not
    return image if image.mode == "RGB" else image.convert("RGB")
