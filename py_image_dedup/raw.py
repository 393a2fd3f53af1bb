"""Cameras' raw files: what tells them from pictures, and the picture that lies in them ready made.

The only module that knows rawpy (LibRaw), which the extra ``raw`` installs.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from py_image_dedup.errors import NotNow, PictureError, to_install, too_large

_MARKS: Final = (
    *(b"IIRO", b"IIRS", b"MMOR"),  # Olympus
    b"IIU\0",  # Panasonic, Leica
    b"FUJIFILMCCD-RAW",
    b"II\x1a\0\0\0HEAPCCDR",  # Canon's CRW
    b"FOVb",  # Sigma
    b"\0MRM",  # Minolta
)
_CR3: Final = b"ftypcrx "
_BYTE_ORDERS: Final = {b"II*\0": "<", b"MM\0*": ">"}
"""How a TIFF begins, and so do CR2, NEF, ARW, DNG, PEF and others."""

_SUBFILE, _COMPRESSION, _COLOURS, _MAKE, _FURTHER, _DNG = 254, 259, 262, 271, 330, 50706  # TIFF's tags
_REDUCED = 1  # in the first: this is a small version of another picture in the file
_OF_SENSORS: Final = frozenset({32803, 34892})  # colours: filter array, linear raw
_OF_CAMERAS: Final = frozenset({32767, 32769, 32770, 34713, 34892, 65000, 65535})  # compressions: Sony to Pentax
_JPEGS: Final = frozenset({6, 7})
_MOST_TAGS = 500
_LYING: Final = frozenset({5, 6})  # LibRaw's turns by a quarter
_ORIENTATIONS: Final = {0: 1, 3: 3, 5: 8, 6: 6}  # EXIF's words for LibRaw's


class Ready(NamedTuple):
    """The picture that lies in a raw file, as JPEG or as pixels, uint8, shape (rows, columns, 3), RGB.

    ``width`` and ``height`` are those of the raw picture as the sensor lay; ``orientation`` is EXIF's, 1..8.
    """

    picture: bytes | npt.NDArray[np.uint8]
    width: int
    height: int
    orientation: int


def is_raw(source: BinaryIO) -> bool:
    """Tell by its first bytes whether a seekable stream is a raw file; the stream stays where it is.

    What begins like a TIFF is one if its first picture is a preview, a sensor's, or of a DNG.
    """
    before = source.tell()
    source.seek(0)
    try:
        head = source.read(16)
        if head.startswith(_MARKS) or head[4:12] == _CR3:
            return True
        order = _BYTE_ORDERS.get(head[:4])
        return order is not None and (head[8:10] == b"CR" or _tells_raw(_first_page(source, order, head)))
    finally:
        source.seek(before)


def _first_page(source: BinaryIO, order: str, head: bytes) -> dict[int, int]:
    """Return the tags of a TIFF's first directory; of lists and texts something that is not 0."""
    source.seek(struct.unpack_from(f"{order}I", head.ljust(8, b"\0"), 4)[0])
    (count,) = struct.unpack(f"{order}H", source.read(2).ljust(2, b"\0"))
    entries = source.read(12 * min(count, _MOST_TAGS))
    tags = {}
    for start in range(0, len(entries) - 11, 12):
        tag, kind, _ = struct.unpack_from(f"{order}HHI", entries, start)
        tags[tag] = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", entries, start + 8)[0]
    return tags


def _tells_raw(tags: dict[int, int]) -> bool:
    compression = tags.get(_COMPRESSION, 0)
    return (
        _DNG in tags
        or bool(tags.get(_SUBFILE, 0) & _REDUCED)
        or tags.get(_COLOURS) in _OF_SENSORS
        or compression in _OF_CAMERAS
        or (compression in _JPEGS and {_FURTHER, _MAKE} <= tags.keys())
    )


def ready(source: BinaryIO, *, max_pixels: int) -> Ready:
    """Return the preview in a raw file; where there is none, what its sensor saw, at half the size.

    Raises :class:`NotNow` where the extra is not installed or memory does not suffice, and :class:`PictureError` if
    the file is damaged, of no camera that LibRaw knows, or has more than `max_pixels`.
    """
    try:
        import rawpy  # noqa: PLC0415 - a fifth of a second, and the extra may be missing
    except ImportError:
        raise NotNow(f'a camera\'s raw file, which needs the extra "raw": {to_install("raw")}') from None
    source.seek(0)
    try:
        with rawpy.imread(source) as raw:
            sizes = raw.sizes
            width, height = sizes.width, sizes.height
            if width * height > max_pixels:
                raise too_large(width, height, max_pixels)
            orientation = _ORIENTATIONS.get(sizes.flip, 1)
            try:
                thumbnail = raw.extract_thumb()
            except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
                # Upright already.
                seen = raw.postprocess(half_size=True, use_camera_wb=True, output_bps=8)
                upright = (height, width) if sizes.flip in _LYING else (width, height)
                return Ready(np.asarray(seen, np.uint8), *upright, 1)
    except (rawpy.LibRawUnsufficientMemoryError, MemoryError):
        raise NotNow("not enough memory to decode it") from None
    except rawpy.LibRawFileUnsupportedError:
        raise PictureError("not a raw file of a camera that LibRaw knows") from None
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else type(error).__name__
        words = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise PictureError(f"cannot be decoded: {words}") from error
    return Ready(thumbnail.data, width, height, orientation)
