"""From the bytes of a file to a canonical picture, by Pillow.

To add a format, add a line to ``FORMATS`` and a sample to its test.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, TypeVar

import numpy as np
import numpy.typing as npt
import PIL
import pillow_heif
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from py_image_dedup import exif, modes, raw
from py_image_dedup.errors import NotNow, PictureError, too_large
from py_image_dedup.model import CELL, RAW, Facts, Turn, View
from py_image_dedup.scans import count_scans, has_film

Scalar = TypeVar("Scalar", bound=np.generic)

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
"""Formats that are read, by Pillow's name, with their usual extensions; the bytes decide, not the name.

Cameras' raw files are read, too, where the extra ``raw`` is installed: the picture that lies in them ready made.
"""

CANONICAL_SIDE: Final = 128
"""Chosen by measurement: finds what 256 finds, and lets a decoder leave out 63 of 64 coefficients of large JPEGs."""
THUMBNAIL_SIDE: Final = 64

_READS: Final = 2  # raised when this module reads what it could not read before
READER: Final = f"{_READS}, Pillow {PIL.__version__}, libheif {pillow_heif.libheif_version()}"
"""What reads pictures."""

_JPEG = frozenset({"JPEG", "MPO"})  # Pillow's names: an MPO is a JPEG with more of them behind it
_READ_AT_ONCE = 64 << 20  # bytes handed to a decoder; in pieces of 64 kB, as is usual, a JPEG takes 2 % longer
_MODE_COST: Final = {"1": 3, "L": 2, "P": 6, "I;16": 7, "RGB": 6, "I": 20, "F": 20}
"""Bytes per pixel that decoding and shrinking a mode takes at most; others, and all with transparency: 10."""
_FORMAT_COST: Final = {"HEIF": 9, "AVIF": 10, "WEBP": 17, "JPEG2000": 20}
"""Bytes per pixel that decoders take which hold more than the picture; tests/test_images.py measures them."""
_RAW_COST = 64 << 20  # bytes beside twice the file: of 24 megapixels the preview or the sensor's picture at half size
_OF_RAW: Final = "of raw"  # what a picture's `info` holds the size and turn of its raw file under
_LARGE_IN_COLOUR = 6_000_000  # pixels, after a reduced decode

_PREVIEW_QUALITY = 82
_LARGEST_PROFILE = 64 << 10  # bytes of a colour profile that a preview takes along; larger ones are for printers

_TURNS: Final[dict[Turn, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]]] = {
    Turn.UPRIGHT: lambda picture: picture,
    Turn.MIRRORED: np.fliplr,
    Turn.HALF: lambda picture: np.rot90(picture, 2),
    Turn.FLIPPED: np.flipud,
    Turn.TRANSPOSED: lambda picture: np.swapaxes(picture, 0, 1),
    Turn.CLOCKWISE: lambda picture: np.rot90(picture, -1),
    Turn.TRANSVERSED: lambda picture: np.swapaxes(np.rot90(picture, 2), 0, 1),
    Turn.COUNTERCLOCKWISE: np.rot90,
}

warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # broken EXIF: the pixels still count
Image.MAX_IMAGE_PIXELS = None  # read() has a limit of its own, in words
pillow_heif.register_heif_opener()


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture: its facts and its canonical form, uint8, shape (128, 128), grey and upright."""

    facts: Facts
    grey: npt.NDArray[np.uint8]

    @property
    def thumbnail(self) -> npt.NDArray[np.uint8]:
        """The canonical form area-averaged to uint8, shape (64, 64)."""
        wide = self.grey.astype(np.uint16)
        pairs = wide[0::2] + wide[1::2]
        sums = pairs[:, 0::2] + pairs[:, 1::2]
        quarters = (sums + 1 + (sums >> 2 & 1)) >> 2  # halves to the even number
        return np.asarray(quarters, np.uint8)


Reserve = Callable[[int], AbstractContextManager[object]]
"""Asked for so many bytes of memory before a decode; waits until they are free."""


def reader(max_pixels: int) -> str:
    """Return what reads pictures of so many pixels; one that another reader could not read is tried again."""
    return f"{READER}, up to {max_pixels} pixels"


def read(source: BinaryIO, *, max_pixels: int, reserve: Reserve = lambda _: nullcontext()) -> Picture:
    """Decode a picture at the smallest scale that serves, from a seekable stream.

    Raises :class:`PictureError` with the reason when the bytes are no readable picture or declare more than
    `max_pixels`, and :class:`NotNow` when memory or the disk failed.
    """
    with opened(source, side=CANONICAL_SIDE, max_pixels=max_pixels, reserve=reserve) as image:
        return _decode(image)


def view(
    source: BinaryIO,
    *,
    width: int,
    height: int,
    ground: str = "white",
    max_pixels: int,
    reserve: Reserve = lambda _: nullcontext(),
) -> View:
    """Decode a picture as a person sees it, scaled to `width` x `height`.

    What is transparent shows the `ground`, a colour.  Raises as :func:`read` does.
    """
    with opened(source, side=max(width, height), max_pixels=max_pixels, reserve=reserve) as image:
        lying = _orientation(image).lays_over
        lightness, colour = _in_colour(image, source, (height, width) if lying else (width, height))
        orientation = _orientation(image)  # some decoders turn the picture upright while they load it
        side = (height, width) if orientation.lays_over else (width, height)
        layers = _layers(lightness, colour, side, ground)
        transparent, exposure = modes.is_transparent(image), exif.exposure(image)
    luma, *chroma = (turned(layer, orientation) for layer in layers)
    return View(luma, np.stack(chroma, axis=-1), transparent, exposure)


def square(
    source: BinaryIO, side: int, *, grey: bool, max_pixels: int, reserve: Reserve = lambda _: nullcontext()
) -> tuple[Facts, npt.NDArray[np.uint8]]:
    """Decode a picture whole and scale it to `side` x `side` by bicubic interpolation; return its facts and pixels.

    The pixels are upright, uint8, shape (side, side, 3), RGB, or (side, side, 1).  Raises as :func:`read` does.
    """
    with opened(source, side=None, max_pixels=max_pixels, reserve=reserve) as image:
        facts, orientation = _loaded(image)
        small = modes.shrink(image, (side, side), "L" if grey else "RGB", Image.Resampling.BICUBIC)
    return facts, turned(np.asarray(small).reshape(side, side, -1), orientation)


def means(
    source: BinaryIO, *, max_pixels: int, reserve: Reserve = lambda _: nullcontext()
) -> tuple[Facts, npt.NDArray[np.float64]]:
    """Decode a picture whole and return its facts and the means of red, green and blue, 0..255, float64, shape (3,).

    Raises as :func:`read` does.
    """
    with opened(source, side=None, max_pixels=max_pixels, reserve=reserve) as image:
        facts, _ = _loaded(image)
        counts = np.array(modes.shrink(image, image.size, "RGB").histogram()).reshape(3, 256)
    return facts, (counts * np.arange(256)).sum(axis=1) / counts.sum(axis=1)


def preview(
    source: BinaryIO,
    *,
    side: int,
    turn: Turn = Turn.UPRIGHT,
    max_pixels: int,
    reserve: Reserve = lambda _: nullcontext(),
) -> bytes:
    """Return a picture for people as JPEG: upright, then turned, its longer side at most `side`; raises like read."""
    with opened(source, side=side, max_pixels=max_pixels, reserve=reserve) as image:
        _reduce(image, "RGB", _fitting(image.size, side))
        image.load()
        small = modes.shrink(image, _fitting(image.size, side), "RGB")
        upright = turned(np.asarray(small), _orientation(image))  # some decoders turn it while they load it
        profile = image.info.get("icc_profile", b"") if image.mode == "RGB" else b""
    out = io.BytesIO()
    whole = Image.fromarray(turned(upright, turn))
    whole.save(out, "JPEG", quality=_PREVIEW_QUALITY, icc_profile=profile if len(profile) <= _LARGEST_PROFILE else b"")
    return out.getvalue()


def _fitting(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return width and height scaled so that the longer is at most `side`."""
    scale = min(1.0, side / max(size))
    width, height = (max(1, round(one * scale)) for one in size)
    return width, height


def _in_colour(image: Image.Image, source: BinaryIO, size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """Load a picture no smaller than `size`, and its chroma no smaller than its cells there: two images, or one twice.

    Pillow holds four bytes a pixel of colour: of 12 megapixels 48 MB.  Lightness by itself and a reduced decode for the
    chroma take no longer, and a third of that.
    """
    mode = _mode_of_colour(image)
    in_parts = image.format in _JPEG and image.mode == "RGB" and mode == "YCbCr" and _OF_RAW not in image.info
    fitting = min(image.width // size[0], image.height // size[1])
    step = max(step for step in (1, 2, 4, 8) if step <= max(1, fitting))
    if not in_parts or image.width * image.height <= _LARGE_IN_COLOUR * step**2:
        _reduce(image, mode, size)
        image.load()
        return image, image
    _reduce(image, "L", size)
    image.load()
    with Image.open(source, formats=("JPEG",)) as again:
        _reduce(again, "YCbCr", _cells(size))
        again.load()
    return image, again


def _layers(
    lightness: Image.Image, colour: Image.Image, side: tuple[int, int], ground: str
) -> list[npt.NDArray[np.uint8]]:
    """Scale to `side`: lightness, and the two chromas by cells, which take a fraction of the time of full colour."""
    if colour.mode != "YCbCr":
        lightness = colour = modes.shrink(colour, side, "RGB", ground=ground).convert("YCbCr")
    # All bands at once and whole steps first: a third of the time of scaling each.  Where one size is no multiple of
    # the other, single cells are some levels off, but not the blocks that are compared.
    small = colour.resize(_cells(side), Image.Resampling.BILINEAR, reducing_gap=1.0)
    luma = modes.grey(lightness).resize(side, Image.Resampling.BILINEAR)
    return [np.asarray(layer) for layer in (luma, small.getchannel(1), small.getchannel(2))]


def _cells(size: tuple[int, int]) -> tuple[int, int]:
    """Return how many cells there are across and down."""
    return -(-size[0] // CELL), -(-size[1] // CELL)


def turned(pixels: npt.NDArray[Scalar], turn: Turn) -> npt.NDArray[Scalar]:
    """Turn pixels, shape (rows, columns, ...)."""
    return np.ascontiguousarray(_TURNS[turn](pixels))


@contextmanager
def opened(source: BinaryIO, *, side: int | None, max_pixels: int, reserve: Reserve) -> Iterator[Image.Image]:
    """Open a picture, refuse it if it is too large, hold memory for it, and turn what goes wrong into a reason.

    `side`: how many pixels will be left of the longer side, since decodes at reduced scale need less memory; None for
    those of the whole picture.
    """
    try:
        if raw.is_raw(source):
            with reserve(2 * source.seek(0, io.SEEK_END) + _RAW_COST):
                yield _ready_made(source, max_pixels)
            return
        with Image.open(source, formats=tuple(FORMATS)) as image:
            refuse_bomb(image, max_pixels=max_pixels)
            if isinstance(image, ImageFile):
                image.decodermaxblock = _READ_AT_ONCE
            with reserve(_decode_cost(image, scans=_scans(image, source), side=side)):
                yield image
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError("not a picture in a supported format") from None
    except MemoryError:
        raise NotNow("not enough memory to decode it") from None
    except Exception as error:  # decoders raise nearly everything on broken files; the reason is kept
        if isinstance(error, OSError) and error.errno is not None:
            raise NotNow(f"cannot be read: {error.strerror}") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"cannot be decoded: {reason}") from error


def refuse_bomb(image: Image.Image, *, max_pixels: int) -> None:
    """Raise PictureError for pictures that would take too much memory or time."""
    width, height = image.size
    if width * height > max_pixels:
        raise too_large(width, height, max_pixels)


def _ready_made(source: BinaryIO, max_pixels: int) -> Image.Image:
    """Open the picture that lies in a raw file; its `info` tells of the raw one."""
    found = raw.ready(source, max_pixels=max_pixels)
    if isinstance(found.picture, bytes):
        image: Image.Image = Image.open(io.BytesIO(found.picture), formats=("JPEG",))
        refuse_bomb(image, max_pixels=max_pixels)
    else:
        image = Image.fromarray(found.picture)
    image.info[_OF_RAW] = found
    return image


def _scans(image: Image.Image, source: BinaryIO) -> int:
    """Count the passes over all pixels that decoding takes: more than one for a JPEG stored in several scans."""
    if image.format not in _JPEG:
        return 1
    all_in_one = None if image.info.get("progressive") else bytes([len(image.getbands())])
    return count_scans(source, all_in_one=all_in_one)


def _decode_cost(image: Image.Image, *, scans: int, side: int | None) -> int:
    """Estimate the bytes that decoding takes at its peak."""
    width, height = image.size
    if image.format in _JPEG:
        # A large one is decoded at reduced scale and keeps little; several scans keep the coefficients of all pixels.
        reduced = side is not None and min(image.size) >= 2 * side
        cost = 2 if reduced else 10 if image.mode == "CMYK" else 6
        cost += 2 * len(image.getbands()) if scans > 1 else 0
    else:
        of_mode = 10 if image.has_transparency_data else _MODE_COST.get(image.mode, 10)
        cost = max(of_mode, _FORMAT_COST.get(str(image.format), 0))
    return width * height * cost + 12 * (side or 0) ** 2  # what is handed back is copied a few times


def _decode(image: Image.Image) -> Picture:
    stored = image.size
    frames = _frames(image)
    # A JPEG at reduced scale: chroma costs little, and tells grey from colour.  Of a HEIC the thumbnail that it
    # carries, if that has its shape: an old one hides copies from the search, but no verdict is by it, see view().
    image.draft(_mode_of_colour(image), (CANONICAL_SIDE, CANONICAL_SIDE))
    reduced = image.size != stored
    image.load()
    if not reduced:
        stored = image.size  # some decoders turn the picture upright while they load it
    grey = np.asarray(modes.shrink(image, (CANONICAL_SIDE, CANONICAL_SIDE), "L"))
    facts, orientation = _facts(image, stored, frames)
    return Picture(facts=facts, grey=turned(grey, orientation))


def _reduce(image: Image.Image, mode: str, size: tuple[int, int]) -> None:
    """Let a JPEG be decoded at the smallest scale that is no smaller than `size`; of others the whole is decoded.

    So it is of a JPEG 2000, too: what it holds at half and a quarter of its size is so much shifted and aliased that
    its signature lies .03 to .14 from that of the whole.
    """
    if image.format in _JPEG:
        image.draft(mode, size)


def _mode_of_colour(image: Image.Image) -> str:
    """Return the mode that a picture is decoded to most cheaply: of a JPEG lightness and chroma, as it holds them.

    A few hold red, green and blue, which libjpeg tells in just this way and turns into nothing else.
    """
    if image.format not in _JPEG or "jfif" in image.info:
        return "YCbCr"
    if "adobe_transform" in image.info:
        return "YCbCr" if image.info["adobe_transform"] else "RGB"
    components = bytes(layer[0] for layer in getattr(image, "layer", ()))
    return "RGB" if components == b"RGB" else "YCbCr"


def _loaded(image: Image.Image) -> tuple[Facts, Turn]:
    """Load a picture whole; return its facts, and the turn that brings it upright."""
    frames = _frames(image)
    image.load()
    return _facts(image, image.size, frames)


def _frames(image: Image.Image) -> int:
    """Count frames or pages, and the film of a motion photo as one more."""
    return getattr(image, "n_frames", 1) + has_film(image.info.get("xmp") or b"")


def _facts(image: Image.Image, stored: tuple[int, int], frames: int) -> tuple[Facts, Turn]:
    """Return the facts of a loaded picture whose whole size is `stored`, and the turn that brings it upright."""
    orientation = _orientation(image)
    count, taken = exif.tags_and_date(image)
    of_raw = image.info.get(_OF_RAW)
    if of_raw:
        stored, frames = (of_raw.width, of_raw.height), 1
    width, height = reversed(stored) if orientation.lays_over else stored
    facts = Facts(
        format=RAW if of_raw else "JPEG" if image.format == "MPO" else str(image.format),
        width=width,
        height=height,
        frames=frames,
        exif_count=count,
        taken=taken,
        grey=modes.is_grey(image),
    )
    return facts, orientation


def _orientation(image: Image.Image) -> Turn:
    """Return the turn that brings a picture upright, by its EXIF or its raw file; none where neither can be read."""
    of_raw = image.info.get(_OF_RAW)
    return exif.orientation(image, otherwise=Turn(of_raw.orientation) if of_raw else Turn.UPRIGHT)
