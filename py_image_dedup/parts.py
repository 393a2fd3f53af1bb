"""Pairs of pictures of which one shows a part of the other, found by the signatures of windows of every picture.

A signature is near those of copies, not that of what was cut out: where a tenth is cut off the distance is beyond all
bounds.  So five windows of each picture, its middle and its corners, are compared with all pictures as they are.  One
that was cropped anywhere lies near one of the windows of the original; one that was framed has the original near its
middle.  What is found here are candidates: :func:`py_image_dedup.looks.in_register` tells which of them agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from py_image_dedup import signature
from py_image_dedup.model import Match
from py_image_dedup.stores.interface import Progress, Store, Thumbnail
from py_image_dedup.stores.join import join

_THUMBNAILS_AT_ONCE = 1000


class Window(NamedTuple):
    """A part of a picture: its share of width and height, and where it lies, from 0 (left, top) to 1."""

    share: float
    across: float
    down: float


WINDOWS: Final = (
    Window(0.92, 0.5, 0.5),
    Window(0.92, 0.0, 0.0),
    Window(0.92, 1.0, 0.0),
    Window(0.92, 0.0, 1.0),
    Window(0.92, 1.0, 1.0),
)
"""Chosen on photos with known crops: with these, crops of up to a tenth of width and height lie within .45."""


def find_parts(
    store: Store, contents: Collection[str], *, within: float, threads: int = 1, progress: Progress | None = None
) -> Iterator[Match]:
    """Yield pairs of contents of which a window of one is at most `within` from the whole other; each pair once.

    The distance is that to the window.  Takes the memory of two signatures for each content.
    """
    hashes, whole = store.signatures(contents)
    number = len(whole)
    nearest: dict[tuple[int, int], float] = {}
    is_window = np.arange(2 * number) >= number
    for done, window in enumerate(WINDOWS):
        both = np.concatenate([whole, _of_windows(store, hashes, window)])
        for pairs in join(both, within=within, new=is_window, threads=threads):
            mixed = (pairs.a < number) & (pairs.b >= number) & (pairs.b != pairs.a + number)
            columns = (pairs.a[mixed], pairs.b[mixed] - number, pairs.distances[mixed])
            for a, b, distance in zip(*(column.tolist() for column in columns), strict=True):
                pair = (a, b) if a < b else (b, a)
                nearest[pair] = min(distance, nearest.get(pair, 1.0))
        if progress is not None:
            progress(done + 1, len(WINDOWS))
    for (a, b), distance in sorted(nearest.items()):
        yield Match(hashes[a], hashes[b], distance, part=True)


def nearest(whole: Thumbnail, part: signature.Signature) -> float:
    """Return how near the nearest window of a picture is to another whole picture, given by its signature."""
    windows = np.stack([signature.goldberg(_seen_through(window, whole) / 255.0) for window in WINDOWS])
    return float(signature.distances(part, windows).min())


def _of_windows(store: Store, hashes: Sequence[str], window: Window) -> signature.Signature:
    """Return the signatures of one window of each content, shape (n, 648); zeros where there is no thumbnail."""
    found = np.zeros((len(hashes), signature.LENGTH), np.int8)
    for start in range(0, len(hashes), _THUMBNAILS_AT_ONCE):
        some = hashes[start : start + _THUMBNAILS_AT_ONCE]
        thumbnails = store.thumbnails(some)
        for row, content in enumerate(some, start):
            if content in thumbnails:
                found[row] = signature.goldberg(_seen_through(window, thumbnails[content]) / 255.0)
    return found


def _seen_through(window: Window, thumbnail: Thumbnail) -> signature.Grey:
    """Return a window of a thumbnail, float64, brought to the size of the whole."""
    side = len(thumbnail)
    rows, columns = (
        _sampling(side, window.share, (1 - window.share) * start) for start in (window.down, window.across)
    )
    seen: signature.Grey = rows @ thumbnail @ columns.T
    return seen


def _sampling(side: int, share: float, start: float) -> signature.Grey:
    """Return the matrix that takes `side` samples of a part of an axis, between pixels linearly."""
    wanted = np.clip((start + share * (np.arange(side) + 0.5) / side) * side - 0.5, 0, side - 1)
    weights: signature.Grey = np.maximum(1 - np.abs(wanted[:, None] - np.arange(side)), 0)
    return weights
