"""A library keeps no database: what is recorded of files that go is removed by the next run of the program."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext

from py_image_dedup.analysis import Limits, MemoryBudget
from py_image_dedup.looks import LastLook
from py_image_dedup.model import Look
from py_image_dedup.stores.interface import Lease, Thumbnail


class NoRecords:
    """Remembers nothing, and lends itself to everybody: the journal's lock lets one process act at a time."""

    def thumbnails(self, contents: Collection[str]) -> dict[str, Thumbnail]:
        """Know none."""
        del contents
        return {}

    def looks(self, pairs: Collection[tuple[str, str]], *, version: int) -> dict[tuple[str, str], Look]:
        """Know none."""
        del pairs, version
        return {}

    def put_looks(self, looks: Collection[Look]) -> None:
        """Forget them."""

    def remove(self, paths: Collection[str]) -> None:
        """Have nothing to forget."""

    def lease(self, note: Callable[[str], None]) -> AbstractContextManager[Lease]:
        """Give what is always held."""
        del note
        return nullcontext(_Held())


class _Held:
    def check(self) -> None:
        """Find nothing wrong."""


def last_look() -> LastLook:
    """Return a look that remembers nothing, with the limits that the program has by default."""
    return LastLook(NoRecords(), max_pixels=Limits().max_pixels, reserve=MemoryBudget().reserve)
