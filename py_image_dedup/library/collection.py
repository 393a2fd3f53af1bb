"""Signed pictures, and what was left out: what :func:`~py_image_dedup.library.build` makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from py_image_dedup.kinds.interface import Kind, Vectors
from py_image_dedup.library.parameters import Place
from py_image_dedup.model import Candidate

Stats = dict[str, Any]
"""Figures of a run, plain data for JSON, in the shape of difPy."""


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """Pictures that can be read, with their signatures, which lie in a file and not in memory.

    ``names``: the paths of the pictures below the folders as these were written; ``pictures``: what is recorded of
    each.  Both are in order of folder and path.  ``rows``: by SHA-256 the row of ``signatures``, shape (n, length).
    ``invalid_files``: by path why a file is not among the pictures.
    """

    kind: Kind
    places: tuple[Place, ...]
    in_folder: bool
    names: Sequence[str]
    pictures: Sequence[Candidate] = field(repr=False)
    rows: Mapping[str, int] = field(repr=False)
    signatures: Vectors = field(repr=False)
    invalid_files: Mapping[str, str] = field(repr=False)
    stats: Stats = field(repr=False)

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        """Yield the paths of the pictures."""
        return iter(self.names)

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders that hold all pictures, real paths."""
        return tuple(dict.fromkeys(place.folder for place in self.places))


class Rows:
    """Signatures on their way into a file, one for each content."""

    def __init__(self, kind: Kind, file: IO[bytes]) -> None:
        self._kind = kind
        self._file = file
        self.of: dict[str, int] = {}
        """By SHA-256 the number of the row."""

    def add(self, content: str, signature: Vectors) -> None:
        """Append the signature of a content, unless it is there already."""
        if content not in self.of:
            self.of[content] = len(self.of)
            self._file.write(np.asarray(signature, self._kind.dtype).tobytes())

    def finished(self) -> Vectors:
        """Return all rows, to be read only; the file may be closed, and removed, while they are used."""
        shape = (len(self.of), self._kind.length)
        if not self.of:
            return np.zeros(shape, self._kind.dtype)
        self._file.flush()
        return np.memmap(self._file, self._kind.dtype, "r", shape=shape)
