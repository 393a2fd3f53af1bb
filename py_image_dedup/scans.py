"""What a file holds beside its picture, or more than once: passes over all pixels, a film; pure."""

from __future__ import annotations

import re
from typing import BinaryIO

from py_image_dedup.errors import PictureError

_MOST = 200  # a progressive JPEG has about 10; each scan costs a pass over all pixels
_SEGMENT_OR_END = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")  # JPEG markers, restarts left out
_FILM = re.compile(rb"(?:MotionPhoto|MicroVideo)(?:>|=[\"'])1")


def has_film(xmp: bytes) -> bool:
    """Tell whether the XMP of a picture says that a phone put a film behind it."""
    return _FILM.search(xmp) is not None


def count_scans(source: BinaryIO, *, all_in_one: bytes | None) -> int:
    """Count the scans of a JPEG; the stream stays where it is.

    `all_in_one`: how the scan begins after which a decoder stops, one that has all channels; None if there are several.
    Only what lies before the end marker counts; phones append whole films.  Raises PictureError for a flood of scans.
    """
    before = source.tell()
    source.seek(0)
    data = source.read()
    source.seek(before)
    scans = 0
    position = 2
    while (marker := _SEGMENT_OR_END.search(data, position)) and marker[1] != b"\xd9":
        position = marker.end()
        length = int.from_bytes(data[position : position + 2])
        if marker[1] == b"\xda":
            scans += 1
            if scans > _MOST:
                raise PictureError(f"a JPEG with more than {_MOST} scans")
            if data[position + 2 : position + 3] == all_in_one:
                break
        position += length
    return scans
