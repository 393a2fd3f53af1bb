"""Pictures for tests: photo-like ones made from a seed, real ones that scikit-image brings along, and their variants.

Nothing is downloaded; the same seed gives the same picture on every machine.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pillow_heif
import skimage
from PIL import Image, ImageChops, ImageDraw, TiffImagePlugin
from PIL.ExifTags import IFD, Base

from py_image_dedup.model import Turn

pillow_heif.register_heif_opener()

ENCODINGS: Final[dict[str, dict[str, Any]]] = {
    "JPEG": {"quality": 90},
    "PNG": {"compress_level": 1},
    "HEIF": {"quality": 80},
    "WEBP": {"quality": 90, "method": 0},
    "AVIF": {"quality": 85, "speed": 10},
    "TIFF": {},
    "BMP": {},
    "GIF": {},
    "JPEG2000": {},
}
"""How each format that the program reads is written here, by Pillow's name."""

ROTATABLE: Final = ("JPEG", "PNG", "HEIF", "WEBP", "AVIF", "TIFF")
"""Formats that carry EXIF, and with it an orientation."""

SAMPLES: Final = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
"""Real photos in colour, for :func:`sample`."""

_OCTAVES = ((3, 60), (6, 45), (13, 28), (29, 16), (61, 9))  # cells along the short side, standard deviation

_SOFTNESS = 3  # pixels that an edge is wide, as lenses make them
_GRAIN = 5  # grey levels, standard deviation: without it areas are as plain as on a page

_STORED_AS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What a camera held so that it writes this orientation does to the picture."""


def photo(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Make a colour picture like a photo: soft areas, some edges, grain.  Two seeds never look alike.

    `size`: width and height in pixels.
    """
    rng = np.random.default_rng(seed)
    coarse = (max(8, size[0] // _SOFTNESS), max(8, size[1] // _SOFTNESS))
    light = np.full(coarse[::-1], 128, np.float32)
    for cells, contrast in _OCTAVES:
        light += np.asarray(_clouds(rng, coarse, cells, contrast))
    colours = [_clouds(rng, coarse, 4, 25, around=128).convert("L") for _ in range(2)]
    picture = Image.merge("YCbCr", [from_array(light.clip(0, 255)), *colours]).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        x, y = rng.random(2) * coarse
        width, height = (0.05 + 0.3 * rng.random(2)) * coarse
        colour = tuple(int(value) for value in rng.integers(50, 206, 3))
        draw.ellipse((x - width / 2, y - height / 2, x + width / 2, y + height / 2), fill=colour)
    lighter, darker = _grain(size)
    large = picture.resize(size, Image.Resampling.BICUBIC)
    return ImageChops.subtract(ImageChops.add(large, lighter), darker)


@lru_cache(maxsize=4)
def _grain(size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """Make what to add to a picture and what to take from it; one grain serves all pictures of a size."""
    grain = np.random.default_rng(0).normal(0, _GRAIN, (size[1], size[0]))
    lighter, darker = (from_array(values.clip(0, 255)).convert("RGB") for values in (grain, -grain))
    return lighter, darker


def _clouds(
    rng: np.random.Generator, size: tuple[int, int], cells: int, contrast: float, around: float = 0
) -> Image.Image:
    """Make soft random grey, mode "F", with so many cells along the short side."""
    rows, columns = (max(2, round(cells * side / min(size))) for side in (size[1], size[0]))
    coarse = rng.normal(around, contrast, (rows, columns)).astype(np.float32)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR)


def sample(name: str) -> Image.Image:
    """Open a picture that lies in the scikit-image package, one of :data:`SAMPLES` or another file there."""
    with Image.open(os.path.join(os.path.dirname(skimage.__file__), "data", name)) as picture:
        return picture.convert("RGB")


def noise(seed: int, size: tuple[int, int], *, low: int = 0, high: int = 256) -> Image.Image:
    """Make a grey picture of independent random pixels, `low` included, `high` not."""
    return from_array(np.random.default_rng(seed).integers(low, high, (size[1], size[0])))


def from_array(values: npt.ArrayLike) -> Image.Image:
    """Make a grey picture of 8 bits from rows of values 0..255."""
    return Image.fromarray(np.asarray(values).astype(np.uint8))


def scaled(picture: Image.Image, percent: float) -> Image.Image:
    """Return the picture resized to this percentage of its width and height."""
    width, height = (max(1, round(side * percent / 100)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def grey(picture: Image.Image) -> Image.Image:
    """Return the picture without its colours."""
    return picture.convert("L")


def exif(
    *,
    orientation: int | None = None,
    taken: str = "",
    maker: str = "",
    gps: bool = False,
    details: Mapping[Any, Any] | None = None,
) -> bytes:
    """Return an EXIF block with these tags, as all formats of :data:`ROTATABLE` take it."""
    block = Image.Exif()
    block.get_ifd(IFD.Exif).update(details or {})
    if orientation is not None:
        block[Base.Orientation] = orientation
    if maker:
        block[Base.Make] = maker
    if taken:
        block.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = taken
    if gps:
        block.get_ifd(IFD.GPSInfo)[1] = "N"
    return block.tobytes()


def as_held(picture: Image.Image, orientation: int) -> Image.Image:
    """Turn the pixels as a camera stores them that was held so that it writes this EXIF orientation (1..8)."""
    return picture if orientation == 1 else picture.transpose(_STORED_AS[orientation])


def encode(picture: Image.Image, name: str = "JPEG", **options: Any) -> bytes:
    """Return the bytes of the picture in a format, by Pillow's name; options go to Pillow, over the usual ones."""
    out = io.BytesIO()
    picture.save(out, name, **ENCODINGS[name] | options)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    """Open a picture from its bytes."""
    return Image.open(io.BytesIO(data))


def write(path: str | Path, picture: Image.Image, name: str = "JPEG", **options: Any) -> Path:
    """Write the picture to a file, folders included, whatever its extension says; return the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encode(picture, name, **options))
    return target


def png(width: int, height: int, *, bits: int, colour: int, pixels: bytes = b"", before: bytes = b"") -> bytes:
    """Put a PNG together by hand, for what Pillow can't write.

    `colour`: PNG's colour type; `pixels`: rows without their filter byte; `before`: whole chunks ahead of the pixels.
    """
    stride = len(pixels) // height if height else 0
    rows = b"".join(b"\0" + pixels[at : at + stride] for at in range(0, len(pixels), stride or 1))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + png_chunk(b"IDAT", zlib.compress(rows, 1)) + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a PNG chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def declaring(name: str, width: int, height: int) -> bytes:
    """Return a small file of a format whose header declares this size, whatever it really holds."""
    if name == "PNG":
        return png(width, height, bits=8, colour=2)
    if name == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[256], tags[257], tags[258], tags[259], tags[262] = width, height, (8, 8, 8), 1, 2
        tags[273], tags[277], tags[278], tags[279] = 8, 3, height, width * 3
        out = io.BytesIO()
        tags.save(out)
        return out.getvalue()
    small = Image.new("RGB", (320, 240), "teal")
    order, rest = {
        "JPEG": (">HH", (240, 320)),
        "BMP": ("<ii", (320, 240)),
        "GIF": ("<HH", (320, 240)),
        "HEIF": (">II", (320, 240)),
        "AVIF": (">II", (320, 240)),
        "JPEG2000": (">II", (240, 320)),
        "WEBP": ("<HH", (320, 240)),
    }[name]
    real = struct.pack(order, *rest)
    data = encode(small, name)
    assert real in data, f"no size found in the {name} file"
    return data.replace(real, struct.pack(order, *((height, width) if rest[0] == 240 else (width, height))))


TURNED: Final[dict[Turn, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]]] = {
    Turn.UPRIGHT: np.asarray,
    Turn.MIRRORED: np.fliplr,
    Turn.HALF: lambda pixels: np.rot90(pixels, 2),
    Turn.FLIPPED: np.flipud,
    Turn.TRANSPOSED: np.transpose,
    Turn.CLOCKWISE: lambda pixels: np.rot90(pixels, -1),
    Turn.TRANSVERSED: lambda pixels: np.rot90(np.transpose(pixels), 2),
    Turn.COUNTERCLOCKWISE: np.rot90,
}
"""What each turn does to an array of pixels."""
