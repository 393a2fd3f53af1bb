"""Raw files as a camera writes them (DNG), made from pictures."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image

_BYTE, _TEXT, _SHORT, _LONG, _SIGNED = 1, 2, 3, 4, 10
_CODES: Final = {_BYTE: "B", _TEXT: "B", _SHORT: "H", _LONG: "I", _SIGNED: "i"}
_HEADER = 8

Tag = tuple[int, int, Sequence[int]]


def dng(photo: Image.Image, *, orientation: int = 1, preview: bool = True, quality: int = 85, by: str = "One") -> bytes:
    """Make a raw file of what a sensor sees where this picture is: odd rows and columns are cut off.

    `orientation`: EXIF's, for how the camera was held.  `preview`: whether a JPEG of full size lies in it, of this
    `quality`.  `by`: the camera's name.
    """
    width, height = (side // 2 * 2 for side in photo.size)
    seen = photo.convert("RGB").crop((0, 0, width, height))
    sensor = _sensor(seen)
    jpeg = io.BytesIO()
    seen.save(jpeg, "JPEG", quality=quality)
    shown = jpeg.getvalue() if preview else b""
    data = sensor + shown
    start = _HEADER + len(data) + len(data) % 2
    camera: list[Tag] = [
        (271, _TEXT, b"Made\0"),
        (272, _TEXT, by.encode() + b"\0"),
        (274, _SHORT, (orientation,)),
        (306, _TEXT, b"2024:05:01 12:00:00\0"),
        (50706, _BYTE, (1, 4, 0, 0)),  # DNG's version
        (50708, _TEXT, f"Made {by}".encode() + b"\0"),
        (50721, _SIGNED, (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)),  # from XYZ to the sensor's colours
        (50778, _SHORT, (21,)),
    ]
    size: list[Tag] = [(256, _LONG, (width,)), (257, _LONG, (height,)), (278, _LONG, (height,))]
    raw: list[Tag] = [
        *size,
        (254, _LONG, (0,)),
        (258, _SHORT, (16,)),
        (259, _SHORT, (1,)),
        (262, _SHORT, (32803,)),  # a filter array
        (273, _LONG, (_HEADER,)),
        (277, _SHORT, (1,)),
        (279, _LONG, (len(sensor),)),
        (33421, _SHORT, (2, 2)),
        (33422, _BYTE, (0, 1, 1, 2)),  # red, green, green, blue
        (50717, _SHORT, (_WHITE,)),
    ]

    def first(second: int) -> list[Tag]:
        return [
            *size,
            *camera,
            (254, _LONG, (1,)),  # a preview
            (258, _SHORT, (8, 8, 8)),
            (259, _SHORT, (7,)),
            (262, _SHORT, (6,)),
            (273, _LONG, (_HEADER + len(sensor),)),
            (277, _SHORT, (3,)),
            (279, _LONG, (len(shown),)),
            (330, _LONG, (second,)),
        ]

    if preview:
        second = start + len(_directory(first(0), start))
        directories = _directory(first(second), start) + _directory(raw, second)
    else:
        directories = _directory(raw + camera, start)
    return (struct.pack("<2sHI", b"II", 42, start) + data).ljust(start, b"\0") + directories


_WHITE = 4000


def _sensor(photo: Image.Image) -> bytes:
    """Return what a sensor below a filter array counts: linear, 16 bits."""
    light = (np.asarray(photo) / 255.0) ** 2.2 * _WHITE
    counted = light[:, :, 1].copy()
    counted[0::2, 0::2], counted[1::2, 1::2] = light[0::2, 0::2, 0], light[1::2, 1::2, 2]
    return counted.astype("<u2").tobytes()


def _directory(tags: Sequence[Tag], at: int) -> bytes:
    """Return a directory of TIFF that lies at this place in the file, and behind it what does not fit into it."""
    behind = at + 2 + 12 * len(tags) + 4
    entries, values = struct.pack("<H", len(tags)), b""
    for tag, kind, given in sorted(tags):
        data = struct.pack(f"<{len(given)}{_CODES[kind]}", *given)
        count = len(given) // 2 if kind == _SIGNED else len(given)
        if len(data) <= 4:
            entries += struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0")
        else:
            entries += struct.pack("<HHII", tag, kind, count, behind + len(values))
            values += data + b"\0" * (len(data) % 2)
    return entries + bytes(4) + values
