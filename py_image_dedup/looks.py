"""Pairs of pictures are looked at before anything is said of them.

Distances of signatures find candidates; they cannot tell a re-encoded copy from the next shot of the scene, or a letter
from one that differs in a word.  So before a file is called a duplicate, it and its keeper are decoded once more and
compared: the last look.  And what is too far apart for that is shown as similar only if the thumbnails can be laid over
each other.  What a look showed is remembered by the pair of contents, so each costs once.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import lru_cache, partial
from itertools import chain
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from py_image_dedup import files, images, metadata, registration, verification
from py_image_dedup.errors import PictureError
from py_image_dedup.images import Reserve
from py_image_dedup.model import Candidate, Cause, Look, Match, Skipped, Turn, View
from py_image_dedup.stores.interface import LookMemory, Progress, Store
from py_image_dedup.verification import Comparison

_GLANCE = 64  # pixels; enough to see whether a picture can be decoded
_KEPT_BACK = 500  # looks written to the store at once
_REGISTERED_AT_ONCE = 1000  # pairs whose thumbnails are held in memory
_VIEWS = 8  # held in memory; half a megabyte each
_THUMBNAILS = 10_000  # held in memory; 4 kB each
_SMALL = 320_000  # pixels; at no larger ones threads take turns at short steps of numpy, and lose more than they gain
_GROUND, _OTHER_GROUND = "white", "black"  # on which transparent pictures are seen
_WAYS = 100  # to look: the version of the comparison is followed by two digits for how the second picture is turned
_REGISTERED = 50  # added to those of registrations


class LastLook:
    """Looks at pairs of files; may be asked from several threads.  ``save`` writes what is new."""

    def __init__(
        self,
        store: LookMemory,
        *,
        max_pixels: int,
        reserve: Reserve,
    ) -> None:
        self._store = store
        self._max_pixels = max_pixels
        self._reserve = reserve
        self._known: dict[tuple[str, str], Look] = {}
        self._new: list[Look] = []
        self._lock = threading.Lock()
        self._look_at_small = threading.Lock()
        self._thumbnail = lru_cache(_THUMBNAILS)(lambda content: store.thumbnails([content]).get(content))
        self._views: dict[tuple[str, tuple[int, int], Turn, str], View] = {}
        self.taken = 0
        """How many pairs were decoded and compared, and not remembered."""
        self.unreadable: dict[str, Skipped] = {}
        """Files that could not be read again, by path: nobody's keeper and nobody's duplicate."""

    def recall(self, matches: Iterable[Match]) -> None:
        """Fetch what is remembered of these pairs of contents."""
        self._known.update(_remembered(self._store, matches, verification.VERSION * _WAYS))

    def same(self, a: Candidate, b: Candidate, turn: Turn = Turn.UPRIGHT) -> bool:
        """Tell whether two files with different bytes show the same picture, to the word, once `b` is turned so."""
        look = self.at(a, b, turn)
        return look is not None and look.duplicate

    def at(self, a: Candidate, b: Candidate, turn: Turn = Turn.UPRIGHT) -> Look | None:
        """Return what comparing two files shows, once `b` is turned so; None if one can't be read now."""
        pair = _pair(a, b)
        look = self._known.get(pair)
        if look is None:
            look = self._glance(a, b, turn) or self._look(a, b, turn)
            if look is None:
                return None
            with self._lock:
                self._known[pair] = look
                self._new.append(look)
                due = self._new if len(self._new) >= _KEPT_BACK else []
                if due:
                    self._new = []
            if due:
                self._store.put_looks(due)
        return look

    def told(self, path: str) -> frozenset[str]:
        """Return what the metadata of a file tell, in kinds; OSError or :class:`PictureError` if it can't be read."""
        with files.open_regular(path) as file:
            return metadata.told(file, max_pixels=self._max_pixels, reserve=self._reserve)

    def decodes(self, path: str) -> bool:
        """Tell whether a picture can be decoded now."""
        return self.glimpse(path) is not None

    def glimpse(self, path: str) -> View | None:
        """Decode a picture at a reduced scale; None if it can't be decoded now."""
        try:
            with files.open_regular(path) as file:
                return images.view(
                    file, width=_GLANCE, height=_GLANCE, max_pixels=self._max_pixels, reserve=self._reserve
                )
        except (OSError, PictureError):
            return None

    def save(self) -> None:
        """Write the looks that were taken since the last time."""
        with self._lock:
            due, self._new = self._new, []
        self._store.put_looks(due)

    def _glance(self, a: Candidate, b: Candidate, turn: Turn) -> Look | None:
        """Compare the thumbnails; None if they do not show already that the pictures differ.

        A series of shots has as many pairs as the square of its length, and nearly all of them end here.
        """
        one, other = self._thumbnail(a.file.content), self._thumbnail(b.file.content)
        if one is None or other is None:
            return None
        agreement = verification.agreement_of_thumbnails(one, images.turned(other, turn))
        if agreement >= verification.LEAST_ON_THUMBNAIL:
            return None
        return Look(*_pair(a, b), _way(a, b, turn), agreement, 0.0, duplicate=False)

    def _look(self, a: Candidate, b: Candidate, turn: Turn) -> Look | None:
        """Compare two files, small ones one pair after the other; None if one can't be read now."""
        small = max(a.facts.pixels, b.facts.pixels) <= _SMALL
        with self._look_at_small if small else nullcontext():
            return self._compare(a, b, turn)

    def _compare(self, a: Candidate, b: Candidate, turn: Turn) -> Look | None:
        """Compare two files; None if one can't be read now."""
        with self._lock:
            self.taken += 1
        shown = _Shown.of(a, Turn.UPRIGHT), _Shown.of(b, turn)
        small, large = sorted(shown, key=lambda one: one.candidate.facts.pixels)
        found = self._on(small, large, _GROUND)
        if found is not None and found.duplicate and found.transparent:  # white on nothing shows on black only
            found = self._on(small, large, _OTHER_GROUND)
        if found is None:
            return None
        return Look(*_pair(a, b), _way(a, b, turn), found.seen.structure, found.seen.colour, found.duplicate)

    def _on(self, small: _Shown, large: _Shown, ground: str) -> _Found | None:
        """Compare two pictures at the size of the smaller, on some ground; None if one can't be read now."""
        text = 0.0
        if (fitting := large.fit(verification.FIRST_SIDE)) != small.fit(verification.FIRST_SIDE):
            whole = self._view(large, fitting, ground)  # what is text there may be too small to be seen at small size
            if whole is None:
                return None
            text = verification.text_share(whole)
        for side in (verification.FIRST_SIDE, verification.PAGE_SIDE):
            size = small.fit(side)
            one, other = self._view(small, size, ground), self._view(large, size, ground)
            if one is None or other is None:
                return None
            transparent = one.transparent or other.transparent
            full = side == verification.PAGE_SIDE or max(size) == max(small.shape)
            seen = verification.compare(one, other, text=text)
            if not verification.is_open(seen, full=full):
                break
            text = seen.text
        return _Found(seen, verification.is_duplicate(seen, full=full), transparent)

    def _view(self, shown: _Shown, size: tuple[int, int], ground: str) -> View | None:
        """Decode a picture, or take it from those decoded last: a keeper is compared with one copy after the other."""
        key = shown.candidate.file.path, size, shown.turn, ground
        with self._lock:
            if (view := self._views.pop(key, None)) is not None:
                self._views[key] = view  # the last one to go
                return view
        view = self._decoded(shown, size, ground)
        if view is not None and max(size) <= verification.FIRST_SIDE:
            with self._lock:
                self._views[key] = view
                if len(self._views) > _VIEWS:
                    del self._views[next(iter(self._views))]
        return view

    def _decoded(self, shown: _Shown, size: tuple[int, int], ground: str) -> View | None:
        path, turn = shown.candidate.file.path, shown.turn
        width, height = reversed(size) if turn.lays_over else size
        try:
            with files.open_regular(path) as file:
                view = images.view(
                    file,
                    width=width,
                    height=height,
                    ground=ground,
                    max_pixels=self._max_pixels,
                    reserve=self._reserve,
                )
                facts = os.fstat(file.fileno())
        except (OSError, PictureError) as error:
            self.unreadable[path] = Skipped(path, f"can't be read again: {error}", Cause.UNREADABLE)
            return None
        recorded = shown.candidate.file
        if (facts.st_size, files.storable(facts.st_mtime_ns)) != (recorded.size, recorded.mtime_ns):
            self.unreadable[path] = Skipped(path, "changed since it was analysed", Cause.CHANGED)
            return None  # what was seen would be remembered as that of the bytes that are recorded
        return view._replace(luma=images.turned(view.luma, turn), chroma=images.turned(view.chroma, turn))


class _Found(NamedTuple):
    """What comparing two files showed, and whether the ground shows through one of them."""

    seen: Comparison
    duplicate: bool
    transparent: bool


class _Shown(NamedTuple):
    """A picture turned in some way; ``shape`` is its width and height then."""

    candidate: Candidate
    turn: Turn
    shape: tuple[int, int]

    @classmethod
    def of(cls, candidate: Candidate, turn: Turn) -> Self:
        width, height = candidate.facts.width, candidate.facts.height
        return cls(candidate, turn, (height, width) if turn.lays_over else (width, height))

    def fit(self, side: int) -> tuple[int, int]:
        """Return the width and height that it has when made to fit into a square; never larger than it is."""
        scale = min(1.0, side / max(self.shape))
        return max(1, round(self.shape[0] * scale)), max(1, round(self.shape[1] * scale))


def in_register(
    store: Store, matches: Sequence[Match], *, threads: int = 1, progress: Progress | None = None
) -> Iterator[Match]:
    """Yield the matches whose thumbnails can be laid over each other: the pictures differ at their edges, if at all."""
    way = registration.VERSION * _WAYS + _REGISTERED
    with ThreadPoolExecutor(threads, "register") as pool:
        for start in range(0, len(matches), _REGISTERED_AT_ONCE):
            some = matches[start : start + _REGISTERED_AT_ONCE]
            known = _remembered(store, some, way)
            asked = [match for match in some if (match.a, match.b) not in known]
            thumbnails = store.thumbnails({content for match in asked for content in (match.a, match.b)})
            pieces = [asked[k : k + registration.AT_ONCE] for k in range(0, len(asked), registration.AT_ONCE)]
            found = chain.from_iterable(pool.map(partial(_agreements, thumbnails), pieces))
            new = [
                Look(match.a, match.b, way + match.turn, agreement, 0.0, duplicate=False)
                for match, agreement in zip(asked, found, strict=True)
            ]
            store.put_looks(new)
            known.update({(look.a, look.b): look for look in new})
            yield from (match for match in some if known[match.a, match.b].structure >= registration.LEAST_AGREEMENT)
            if progress is not None:
                progress(start + len(some), len(matches))


def _agreements(thumbnails: Mapping[str, npt.NDArray[np.uint8]], matches: Sequence[Match]) -> list[float]:
    """Lay the thumbnails of some matches over each other."""
    ones = np.stack([thumbnails[match.a] for match in matches])
    others = np.stack([images.turned(thumbnails[match.b], match.turn) for match in matches])
    found: list[float] = registration.agreements(ones, others).tolist()
    return found


def _remembered(store: LookMemory, matches: Iterable[Match], way: int) -> dict[tuple[str, str], Look]:
    """Fetch what looking in some way at these pairs of contents has shown."""
    pairs: defaultdict[Turn, list[tuple[str, str]]] = defaultdict(list)
    for match in matches:
        pairs[match.turn].append((match.a, match.b))
    known: dict[tuple[str, str], Look] = {}
    for turn, some in pairs.items():
        known.update(store.looks(some, version=way + turn))
    return known


def _way(a: Candidate, b: Candidate, turn: Turn) -> int:
    """Return the number of the last look at these two, the second of them turned so."""
    return verification.VERSION * _WAYS + (turn if a.file.content < b.file.content else turn.inverse)


def _pair(a: Candidate, b: Candidate) -> tuple[str, str]:
    one, other = sorted((a.file.content, b.file.content))
    return one, other
