"""Pictures of the plan, small enough to be looked at: only as the plan recorded them, or not at all."""

from __future__ import annotations

import hashlib
import html
import os
import textwrap
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import Final

from py_image_dedup import files, images, metadata
from py_image_dedup.errors import PictureError
from py_image_dedup.images import Reserve
from py_image_dedup.metadata import Shot
from py_image_dedup.model import Turn
from py_image_dedup.plan import PlannedFile

SMALL: Final = 320
"""Pixels of the longer side in lists."""
LARGE: Final = 1600
"""Pixels of the longer side in the loupe."""
_KEPT: Final = 16 << 20  # bytes of pictures that are held in memory
_SHOTS: Final = 5000  # files of which is remembered when they were taken
_AT_ONCE: Final = 2  # pictures that are decoded side by side


class NotShown(PictureError):
    """A file is not shown; the message says why, without its path."""


class Pictures:
    """Makes small pictures, and remembers some; may be asked from several threads."""

    def __init__(self, *, max_pixels: int, reserve: Reserve) -> None:
        self._max_pixels = max_pixels
        self._reserve = reserve
        self._lock = threading.Lock()
        self._decoding = threading.BoundedSemaphore(_AT_ONCE)
        self._made = _Kept(_KEPT)
        self._shots: OrderedDict[str, Shot] = OrderedDict()

    def preview(self, file: PlannedFile, *, side: int, turn: Turn = Turn.UPRIGHT) -> bytes:
        """Return a file as JPEG, upright and then turned; :class:`NotShown` if it is not what the plan recorded."""
        key = f"{file.content} {side} {turn:d}"
        with _opened(file) as source:
            with self._lock:
                made = self._made.get(key)
            if made is None:
                made = self._decoded(file, source, side, turn)
                with self._lock:
                    self._made.put(key, made)
        return made

    def _decoded(self, file: PlannedFile, source: BufferedReader, side: int, turn: Turn) -> bytes:
        with self._decoding:
            if hashlib.file_digest(source, "sha256").hexdigest() != file.content:
                raise NotShown("it has changed since the plan was made")
            source.seek(0)
            try:
                return images.preview(source, side=side, turn=turn, max_pixels=self._max_pixels, reserve=self._reserve)
            except PictureError as error:
                raise NotShown(str(error)) from None

    def shot(self, file: PlannedFile) -> Shot:
        """Return when and with what a picture was taken, as far as it tells."""
        with self._lock:
            known = self._shots.get(file.content)
        if known is None:
            try:
                with _opened(file) as source:
                    known = metadata.shot(source, max_pixels=self._max_pixels)
            except NotShown:
                return Shot("", "")
            with self._lock:
                self._shots[file.content] = known
                if len(self._shots) > _SHOTS:
                    self._shots.popitem(last=False)
        return known


class _Kept:
    """What was made last, up to so many bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._made: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        made = self._made.get(key)
        if made is not None:
            self._made.move_to_end(key)
        return made

    def put(self, key: str, made: bytes) -> None:
        self._bytes += len(made) - len(self._made.pop(key, b""))
        self._made[key] = made
        while self._bytes > self._most:
            self._bytes -= len(self._made.popitem(last=False)[1])


@contextmanager
def _opened(file: PlannedFile) -> Iterator[BufferedReader]:
    """Open a file of the plan where it is, through no link, with the size and time it had; else :class:`NotShown`."""
    try:
        with files.open_regular(file.path) as source:
            facts = os.fstat(source.fileno())
            if os.readlink(f"/proc/self/fd/{source.fileno()}") != file.path:
                raise NotShown("a link leads there now")
            if (facts.st_size, files.storable(facts.st_mtime_ns)) != (file.size, file.mtime_ns):
                raise NotShown("it has changed since the plan was made")
            yield source
    except FileNotFoundError:
        raise NotShown("it is not there any more") from None
    except OSError as error:
        reason = "a link leads there now" if os.path.islink(file.path) else f"it can't be read: {error.strerror}"
        raise NotShown(reason) from None


def notice(reason: str) -> bytes:
    """Return a picture (SVG) that says why a file is not shown."""
    lines = textwrap.wrap(f"Not shown: {reason}", 30)[:6]
    words = "".join(
        f'<text x="160" y="{120 + 24 * (number - len(lines) / 2):.0f}">{html.escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240" width="320" height="240">'
        '<rect width="320" height="240" fill="#e7e7ea"/>'
        f'<g font-family="sans-serif" font-size="16" fill="#222" text-anchor="middle">{words}</g></svg>'
    ).encode("utf-8", "replace")
