"""From the bytes of a file to a canonical picture: the only module that knows Pillow.

To add a format, add a line to ``FORMATS`` and a sample to its test.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt
import PIL
import pillow_heif
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import IFD, Base

from py_image_dedup.errors import NotNow, PictureError
from py_image_dedup.model import Facts

FORMATS: Final[dict[str, tuple[str, ...]]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png",),
    "HEIF": (".heic", ".heif", ".hif"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG2000": (".jp2", ".j2k"),
}
"""Formats that are read, by Pillow's name, with their usual extensions; the bytes decide, not the name."""

CANONICAL_SIDE: Final = 256
THUMBNAIL_SIDE: Final = 64

READER: Final = f"Pillow {PIL.__version__}, libheif {pillow_heif.libheif_version()}"
"""The decoders in use; a picture that older ones could not read is tried again."""

_MOST_SCANS = 200  # a progressive JPEG has about 10; each scan costs a pass over all pixels
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_NO_METADATA_TAGS = frozenset(  # TIFF's structural tags and pointers: they describe the file, not the photo
    {254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 296}
    | {317, 318, 319, 320, 322, 323, 324, 325, 330, 338, 339, 530, 531, 532, *IFD}
)

_UPRIGHT: Final[dict[int, Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]]] = {
    2: np.fliplr,
    3: lambda grey: np.rot90(grey, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda grey: np.rot90(grey, -1),
    7: lambda grey: np.rot90(grey, 2).T,
    8: np.rot90,
}
"""What turns a stored picture upright, by its EXIF orientation (1: nothing)."""

warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # broken EXIF: the pixels still count
Image.MAX_IMAGE_PIXELS = None  # read() has a limit of its own, in words
pillow_heif.register_heif_opener(thumbnails=False)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture: its facts and its canonical form, uint8, shape (256, 256), grey and upright."""

    facts: Facts
    grey: npt.NDArray[np.uint8]

    @property
    def thumbnail(self) -> npt.NDArray[np.uint8]:
        """The canonical form area-averaged to uint8, shape (64, 64)."""
        step = CANONICAL_SIDE // THUMBNAIL_SIDE
        blocks = self.grey.reshape(THUMBNAIL_SIDE, step, THUMBNAIL_SIDE, step)
        mean = np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))
        return np.asarray(np.rint(mean), np.uint8)


Reserve = Callable[[int], AbstractContextManager[object]]
"""Asked for so many bytes of memory before a decode; waits until they are free."""


def read(source: BinaryIO, *, max_pixels: int, reserve: Reserve = lambda _: nullcontext()) -> Picture:
    """Decode a picture at the smallest scale that serves, from a seekable stream.

    Raises :class:`PictureError` with the reason when the bytes are no readable picture or declare more than
    `max_pixels`, and :class:`NotNow` when memory or the disk failed.
    """
    try:
        with Image.open(source, formats=tuple(FORMATS)) as image:
            _refuse_bomb(image, source, max_pixels=max_pixels)
            with reserve(_decode_cost(image)):
                return _decode(image)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError("not a picture in a supported format") from None
    except MemoryError:
        raise NotNow("not enough memory to decode it") from None
    except Exception as error:  # decoders raise nearly everything on broken files; the reason is kept
        if isinstance(error, OSError) and error.errno is not None:
            raise NotNow(f"cannot be read: {error.strerror}") from error
        raise PictureError(f"cannot be decoded: {str(error) or type(error).__name__}") from error


def _refuse_bomb(image: Image.Image, source: BinaryIO, *, max_pixels: int) -> None:
    """Raise PictureError for pictures that would take too much memory or time."""
    width, height = image.size
    if width * height > max_pixels:
        raise PictureError(
            f"{width} x {height} pixels are more than analysis.max_megapixels allows ({max_pixels / 1e6:g} megapixels)"
        )
    if image.format in {"JPEG", "MPO"} and image.info.get("progressive"):
        position = source.tell()
        source.seek(0)
        scans = source.read().count(b"\xff\xda")
        source.seek(position)
        if scans > _MOST_SCANS:
            raise PictureError(f"a progressive JPEG with {scans} scans (more than {_MOST_SCANS})")


def _decode_cost(image: Image.Image) -> int:
    """Estimate the bytes that decoding takes at its peak."""
    width, height = image.size
    if image.format in {"JPEG", "MPO"}:
        # A baseline decode at reduced scale keeps little; a progressive one keeps all coefficients.
        return width * height * (3 if image.info.get("progressive") else 1)
    bands = len(image.getbands()) + (4 if image.has_transparency_data or image.mode == "P" else 1)
    return width * height * bands


def _decode(image: Image.Image) -> Picture:
    stored = image.size
    stored_grey = image.mode in _GREY_MODES
    frames = getattr(image, "n_frames", 1)
    image.draft("L", (CANONICAL_SIDE, CANONICAL_SIDE))
    reduced = image.size != stored
    image.load()
    if not reduced:
        stored = image.size  # some decoders turn the picture upright while they load it
    grey = np.asarray(_shrink(image))
    count, orientation, taken = _exif(image)
    if orientation in _UPRIGHT:
        grey = _UPRIGHT[orientation](grey)
    width, height = reversed(stored) if orientation >= 5 else stored
    name = "JPEG" if image.format == "MPO" else str(image.format)
    facts = Facts(
        format=name,
        width=width,
        height=height,
        frames=frames,
        exif_count=count,
        taken=taken,
        grey=stored_grey,
    )
    return Picture(facts=facts, grey=np.ascontiguousarray(grey))


def _shrink(image: Image.Image) -> Image.Image:
    """Bring any mode to 256x256 grey ("L"), antialiased; what is transparent shows a white page below."""
    side = (CANONICAL_SIDE, CANONICAL_SIDE)
    if image.has_transparency_data:
        # Pillow resizes premultiplied, so hidden colours do not shine through.
        small = image.convert("RGBA").resize(side, Image.Resampling.BILINEAR)
        page = Image.new("RGBA", side, "white")
        page.alpha_composite(small)
        return page.convert("L")
    return _grey(image).resize(side, Image.Resampling.BILINEAR)


def _grey(image: Image.Image) -> Image.Image:
    """Convert any opaque mode to "L"."""
    mode = image.mode
    if mode == "L":
        return image
    if mode in {"YCbCr", "LAB"}:
        return image.getchannel(0)
    if mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if mode in {"I", "F"}:  # no agreed range: spread what is there
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        low, high = float(values.min()), float(values.max())
        return Image.fromarray(((values - low) * (255 / (high - low or 1))).astype(np.uint8))
    return image.convert("L") if mode in {"RGB", "1"} else image.convert("RGB").convert("L")


def _exif(image: Image.Image) -> tuple[int, int, str]:
    """Return the number of EXIF tags, the orientation 1..8, and the capture date; 0, 1, "" where unreadable."""
    count, orientation, taken = 0, 1, ""
    try:
        exif = image.getexif()
        tag = exif.get(Base.Orientation, 1)
        orientation = tag if isinstance(tag, int) and tag in range(1, 9) else 1
        details = exif.get_ifd(IFD.Exif)
        count = sum(tag not in _NO_METADATA_TAGS for tag in exif) + len(details) + len(exif.get_ifd(IFD.GPSInfo))
        date = details.get(Base.DateTimeOriginal, "")
        taken = date.strip("\x00 ")[:19] if isinstance(date, str) else ""
    except Exception:  # noqa: BLE001, S110  # broken EXIF is common and says nothing about the pixels
        pass
    return count, orientation, taken
