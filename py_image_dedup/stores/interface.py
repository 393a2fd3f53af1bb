"""What every store can do: the one seam between the pipeline and SQLite or Elasticsearch.

A store holds *files* (by origin and path) and *contents* (by SHA-256).  It is opened for one origin: every
operation on files sees and touches the files of that origin only; contents are shared by all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from py_image_dedup.model import Content, Facts, File, Look, Match, Record, Turn
from py_image_dedup.signature import Signature

Thumbnail = npt.NDArray[np.uint8]
"""64x64 grey, as in :class:`~py_image_dedup.model.Content`."""

Progress = Callable[[int, int], None]
"""Called with (done, total) while a long operation runs."""


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """Where a store is and what it holds."""

    location: str
    files: int
    contents: int


class Lease(Protocol):
    """The right to work on the files of an origin, which one run has at a time."""

    def check(self) -> None:
        """Raise :class:`~py_image_dedup.errors.LeaseLost` unless it is certain that no other run has it."""


class LookMemory(Protocol):
    """The part of a store that looking at pairs of pictures needs; see :class:`Store`."""

    def thumbnails(self, contents: Collection[str]) -> dict[str, Thumbnail]:
        """Return the thumbnails of these contents that are known, by hash."""

    def looks(self, pairs: Collection[tuple[str, str]], *, version: int) -> dict[tuple[str, str], Look]:
        """Return what is remembered of these pairs."""

    def put_looks(self, looks: Collection[Look]) -> None:
        """Remember what looking at pairs showed."""


class FileRecords(Protocol):
    """The part of a store that acting on files needs; see :class:`Store`."""

    def remove(self, paths: Collection[str]) -> None:
        """Forget these files."""

    def lease(self, note: Callable[[str], None]) -> AbstractContextManager[Lease]:
        """Hold the right to work on the files of this origin."""


class Store(Protocol):
    """Files of one origin, and contents.

    Every method raises :class:`~py_image_dedup.errors.StoreError` (or a subclass) when the store fails; none ever
    answers with an empty result instead of an error.  Methods may be called from several threads.
    """

    def put(self, records: Collection[Record]) -> None:
        """Write records in bulk: contents first, then files; what is there already under the same key is replaced."""

    def known(self, paths: Collection[str]) -> dict[str, File]:
        """Return the files recorded under these paths, by path.

        One whose content has a signature of another version only is left out: it has to be analysed anew.
        """

    def files(self, roots: Collection[str]) -> Iterator[File]:
        """Stream the files recorded at or below these folders, in order of path bytes, each once."""

    def holders(self, contents: Collection[str]) -> Iterator[File]:
        """Yield the files with one of these contents, in any order; those that could not be read too."""

    def remove(self, paths: Collection[str]) -> None:
        """Forget these files (never contents); unknown paths are no error."""

    def has_content(self, content: str) -> bool:
        """Tell whether this content is known with a signature of the current version."""

    def facts(self, contents: Collection[str]) -> dict[str, Facts]:
        """Return the picture facts of these contents, by hash; unknown hashes are left out."""

    def content(self, content: str) -> Content | None:
        """Return one content whole, or None if it is unknown."""

    def thumbnails(self, contents: Collection[str]) -> dict[str, Thumbnail]:
        """Return the thumbnails of these contents, by hash; unknown hashes are left out."""

    def signatures(self, contents: Collection[str]) -> tuple[Sequence[str], Signature]:
        """Return the contents in ascending order, and their signatures of the current version, shape (n, 648).

        One that has none is left out.
        """

    def similar(
        self,
        contents: Collection[str],
        *,
        within: float,
        orientations: Collection[Turn] = (),
        threads: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[Match]:
        """Yield every pair of different contents among these whose signatures are at most `within` apart.

        Each unordered pair comes once, ``a < b``.  A featureless picture (all-zero signature) matches nothing.

        `orientations`: a pair also matches if one picture, turned in one of these ways, is at most `within`
        from the other; either of the two may be turned, so that a turn brings its inverse with it.  The pair comes
        with the turn of least distance; of several that are equally near with upright, else with the first of the
        enumeration.

        `threads`: how many may compare at the same time.
        """

    def near(self, contents: Collection[str], *, within: float, orientations: Collection[Turn] = ()) -> Iterator[Match]:
        """Yield the pairs, as :meth:`similar` does, of one of these contents with any other in the store.

        Made for few: a store may answer by an approximate search that misses one pair in a thousand.
        """

    def looks(self, pairs: Collection[tuple[str, str]], *, version: int) -> dict[tuple[str, str], Look]:
        """Return what is remembered of these pairs of contents (``a < b``), of this version of the comparison."""

    def put_looks(self, looks: Collection[Look]) -> None:
        """Remember what looking at pairs of contents showed; an older look at the same pair is replaced."""

    def lease(self, note: Callable[[str], None]) -> AbstractContextManager[Lease]:
        """Hold the right to work on the files of this origin.

        One that another run has is :class:`~py_image_dedup.errors.StoreUnavailable`, naming that run; one whose holder
        died is taken over, and `note` is told if that takes a while.
        """

    def elsewhere(self, contents: Collection[str]) -> dict[str, int]:
        """Return how many files with one of these contents other origins have, by origin."""

    def status(self) -> StoreStatus:
        """Count what is there (files of this origin, contents of all)."""

    def close(self) -> None:
        """Write what is pending and let go of the store; closing twice is no error."""
