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
from py_image_dedup.model import Candidate, Look, Skipped
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
        """Compare two files; None if one can't be read now."""
        small = min(a.facts, b.facts, key=lambda facts: facts.pixels)
        for side in (verification.FIRST_SIDE, verification.PAGE_SIDE):
            scale = min(1.0, side / max(small.width, small.height))
            width, height = (max(1, round(length * scale)) for length in (small.width, small.height))
            views = [self._view(candidate, width, height) for candidate in (a, b)]
            if views[0] is None or views[1] is None:
                return None
            full = scale == 1.0 or side == verification.PAGE_SIDE
            seen = verification.compare(views[0], views[1])
            if full or not seen.page:
                break
        duplicate = verification.is_duplicate(seen, full=full)
        return Look(*_pair(a, b), verification.VERSION, seen.structure, seen.colour, duplicate)

    def _view(self, candidate: Candidate, width: int, height: int) -> images.Pixels | None:
        path = candidate.file.path
        try:
            with files.open_regular(path) as file:
                return images.view(file, width=width, height=height, max_pixels=self._max_pixels, reserve=self._reserve)
        except (OSError, PictureError) as error:
            self.unreadable[path] = Skipped(path, f"can't be read again: {error}")
            return None


def _pair(a: Candidate, b: Candidate) -> tuple[str, str]:
    one, other = sorted((a.file.content, b.file.content))
    return one, other
