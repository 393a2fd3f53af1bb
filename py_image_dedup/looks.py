"""The last look: before a file is called a duplicate, it and its keeper are decoded once more and compared.

Distances of signatures find candidates; they cannot tell a re-encoded copy from the next shot of the scene, or a letter
from one that differs in a word.  What a look showed is remembered by the pair of contents, so each costs once.
"""

from __future__ import annotations

import threading
from collections.abc import Collection

from py_image_dedup import files, images, verification
from py_image_dedup.errors import PictureError
from py_image_dedup.images import Reserve
from py_image_dedup.model import Candidate, Facts, Look, Skipped, View
from py_image_dedup.stores.interface import Store

_KEPT_BACK = 500  # looks written to the store at once


class LastLook:
    """Looks at pairs of files; may be asked from several threads.  ``save`` writes what is new."""

    def __init__(
        self,
        store: Store,
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
        self.taken = 0
        """How many pairs were compared and not remembered."""
        self.unreadable: dict[str, Skipped] = {}
        """Files that could not be read again, by path: nobody's keeper and nobody's duplicate."""

    def recall(self, pairs: Collection[tuple[str, str]]) -> None:
        """Fetch what is remembered of these pairs of contents."""
        self._known.update(self._store.looks(pairs, version=verification.VERSION))

    def same(self, a: Candidate, b: Candidate) -> bool:
        """Tell whether two files with different bytes show the same picture, to the word."""
        pair = _pair(a, b)
        look = self._known.get(pair)
        if look is None:
            look = self._look(a, b)
            if look is None:
                return False
            with self._lock:
                self.taken += 1
                self._known[pair] = look
                self._new.append(look)
                due = self._new if len(self._new) >= _KEPT_BACK else []
                if due:
                    self._new = []
            if due:
                self._store.put_looks(due)
        return look.duplicate

    def save(self) -> None:
        """Write the looks that were taken since the last time."""
        with self._lock:
            due, self._new = self._new, []
        self._store.put_looks(due)

    def _look(self, a: Candidate, b: Candidate) -> Look | None:
        """Compare two files at the size of the smaller; None if one can't be read now."""
        small, large = sorted((a, b), key=lambda candidate: candidate.facts.pixels)
        text = 0.0
        if (fitting := _fit(large.facts, verification.FIRST_SIDE)) != _fit(small.facts, verification.FIRST_SIDE):
            whole = self._view(large, fitting)  # what is text there may be too small to be seen at the small size
            if whole is None:
                return None
            text = verification.text_share(whole)
        for side in (verification.FIRST_SIDE, verification.PAGE_SIDE):
            size = _fit(small.facts, side)
            one, other = self._view(small, size), self._view(large, size)
            if one is None or other is None:
                return None
            full = side == verification.PAGE_SIDE or max(size) == max(small.facts.width, small.facts.height)
            seen = verification.compare(one, other, text=text)
            if not verification.is_open(seen, full=full):
                break
            text = seen.text
        duplicate = verification.is_duplicate(seen, full=full)
        return Look(*_pair(a, b), verification.VERSION, seen.structure, seen.colour, duplicate)

    def _view(self, candidate: Candidate, size: tuple[int, int]) -> View | None:
        path, (width, height) = candidate.file.path, size
        try:
            with files.open_regular(path) as file:
                return images.view(file, width=width, height=height, max_pixels=self._max_pixels, reserve=self._reserve)
        except (OSError, PictureError) as error:
            self.unreadable[path] = Skipped(path, f"can't be read again: {error}")
            return None


def _fit(facts: Facts, side: int) -> tuple[int, int]:
    """Return the width and height of a picture made to fit into a square; never larger than it is."""
    scale = min(1.0, side / max(facts.width, facts.height))
    return max(1, round(facts.width * scale)), max(1, round(facts.height * scale))


def _pair(a: Candidate, b: Candidate) -> tuple[str, str]:
    one, other = sorted((a.file.content, b.file.content))
    return one, other
