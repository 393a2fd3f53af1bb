"""What the EXIF of an opened picture tells: its turn, how many tags it has, and when and how it was exposed.

Broken EXIF is common and says nothing about the pixels: what can't be read is not told.
"""

from __future__ import annotations

import math
from typing import Any, Final

from PIL import Image
from PIL.ExifTags import IFD, Base

from py_image_dedup.model import Exposure, Turn

_OF_THE_FILE: Final = frozenset(  # TIFF's structural tags and pointers: they describe the file, not the photo
    {254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 296}
    | {317, 318, 319, 320, 322, 323, 324, 325, 330, 338, 339, 347, 530, 531, 532, *IFD}
)
_DIGITS_OF_A_DATE: Final = 14


def orientation(image: Image.Image, *, otherwise: Turn) -> Turn:
    """Return the turn that brings a picture upright: by its tag, `otherwise` where that says nothing."""
    try:
        tag = image.getexif().get(Base.Orientation)
    except Exception:  # noqa: BLE001  # whatever Pillow raises on it
        return otherwise
    return Turn(tag) if isinstance(tag, int) and tag in range(1, 9) else otherwise


def tags_and_date(image: Image.Image) -> tuple[int, str]:
    """Return the number of EXIF tags and the capture date as it is written; 0 and "" where unreadable."""
    count, taken = 0, ""
    try:
        tags = image.getexif()
        details = tags.get_ifd(IFD.Exif)
        count = sum(tag not in _OF_THE_FILE for tag in tags) + len(details) + len(tags.get_ifd(IFD.GPSInfo))
        taken = _text(details.get(Base.DateTimeOriginal))[:19]
    except Exception:  # noqa: BLE001, S110  # as above
        pass
    return count, taken


def exposure(image: Image.Image) -> Exposure:
    """Return when and how a photo was taken, as far as its EXIF tells."""
    try:
        details = image.getexif().get_ifd(IFD.Exif)
        return Exposure(
            date=_date(details.get(Base.DateTimeOriginal)),
            fraction=_digits(details.get(Base.SubsecTimeOriginal)),
            seconds=_number(details.get(Base.ExposureTime)),
            aperture=_number(details.get(Base.FNumber)),
            sensitivity=_number(details.get(Base.ISOSpeedRatings)),
        )
    except Exception:  # noqa: BLE001  # as above
        return Exposure()


def _text(value: Any) -> str:
    return value.strip("\x00 ") if isinstance(value, str) else ""


def _date(value: Any) -> str:
    """Return the digits of a date with its time; "" for what is none."""
    digits = _digits(value)[:_DIGITS_OF_A_DATE]
    return digits if len(digits) == _DIGITS_OF_A_DATE else ""


def _digits(value: Any) -> str:
    """Return the digits of a text; "" if there are none but zeros, as of a clock that was never set."""
    digits = "".join(letter for letter in _text(value) if letter in "0123456789")
    return digits if digits.strip("0") else ""


def _number(value: Any) -> float:
    """Return a positive number, of several the first; 0 for what is none."""
    if isinstance(value, tuple | list):
        value = value[0]
    number = float(value or 0)
    return number if math.isfinite(number) and number > 0 else 0.0
