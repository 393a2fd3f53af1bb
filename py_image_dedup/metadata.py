"""What the metadata of a picture tell: which kinds of things, and when and with what it was taken."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import BinaryIO, Final, NamedTuple

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from py_image_dedup import images
from py_image_dedup.exif import tags_and_date
from py_image_dedup.images import Reserve, opened, refuse_bomb

_TOLD_BY_EXIF: Final = {
    "GPS position": (GPS.GPSLatitude, GPS.GPSLongitude),
    "capture date": (Base.DateTimeOriginal,),
    "description": (Base.ImageDescription, Base.UserComment, Base.XPTitle, Base.XPComment, Base.XPSubject),
    "keywords": (Base.XPKeywords,),
    "rating": (Base.Rating, Base.RatingPercent),
    "camera": (Base.Make, Base.Model),
    "author": (Base.Artist, Base.Copyright, Base.XPAuthor),
}
_TOLD_BY_XMP: Final = {
    "GPS position": re.compile(rb"exif:GPSLatitude"),
    "capture date": re.compile(rb"exif:DateTimeOriginal|photoshop:DateCreated"),
    "description": re.compile(rb"dc:description|dc:title"),
    "keywords": re.compile(rb"dc:subject"),
    "rating": re.compile(rb"""xmp:Rating(?:>|=["'])-?[1-9]"""),
    "camera": re.compile(rb"tiff:Model"),
    "author": re.compile(rb"dc:creator|dc:rights"),
}
"""What metadata can tell of a photo, by the tags of EXIF and the properties of XMP that say it."""


def told(source: BinaryIO, *, max_pixels: int, reserve: Reserve = lambda _: nullcontext()) -> frozenset[str]:
    """Return what the metadata of a picture tell, in kinds, as "GPS position" or "description".

    Raises as :func:`read` does.
    """
    with opened(source, side=1, max_pixels=max_pixels, reserve=reserve) as image:
        whole = image.getexif()
        tags: dict[int, object] = {**whole, **whole.get_ifd(IFD.Exif)}
        places = whole.get_ifd(IFD.GPSInfo)
        xmp = image.info.get("xmp", b"")
    of_exif = {
        kind
        for kind, names in _TOLD_BY_EXIF.items()
        if any(_says((places if isinstance(name, GPS) else tags).get(name)) for name in names)
    }
    text = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp
    return frozenset(of_exif | {kind for kind, written in _TOLD_BY_XMP.items() if written.search(text)})


class Shot(NamedTuple):
    """What a picture tells of how it was taken: the date as EXIF writes it, and the camera; "" for what it does not."""

    taken: str
    camera: str


def shot(source: BinaryIO, *, max_pixels: int) -> Shot:
    """Read when and with what a picture was taken, without decoding it; nothing of a picture that can't be read."""
    try:
        with Image.open(source, formats=tuple(images.FORMATS)) as image:
            refuse_bomb(image, max_pixels=max_pixels)
            if image.format == "PNG" and "exif" not in image.info:
                return Shot("", "")  # Pillow would decode it to look for EXIF after the pixels
            (_, taken), tags = tags_and_date(image), image.getexif()
    except Exception:  # noqa: BLE001 - whatever a decoder raises, there is nothing to tell
        return Shot("", "")
    maker, model = (str(tags.get(tag, "")).strip("\0 ") for tag in (Base.Make, Base.Model))
    return Shot(taken, model if model.startswith(maker) else f"{maker} {model}".strip())


def _says(value: object) -> bool:
    """Tell whether the value of a tag is more than a place kept free for one."""
    if isinstance(value, bytes):
        value = value.removeprefix(b"ASCII\0\0\0").removeprefix(b"UNICODE\0").strip(b"\0 ")
    return bool(value.strip("\0 ") if isinstance(value, str) else value)
