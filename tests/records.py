"""Records made up from a name or a number, and what is true of their signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from py_image_dedup import signature
from py_image_dedup.model import Content, Facts, File, Record
from py_image_dedup.signature import Signature

_WAVES = 5
_SIDE = 64


def digest(name: str) -> str:
    """Return a hash to tell contents apart by."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def file(path: str, *, origin: str = "here", content: str | None = None) -> File:
    """Return a file; its content is named after its path."""
    return File(origin, path, 12_345, 1_700_000_000_123_456_789, content or digest(path))


def content(name: str, vector: Signature | None = None) -> Content:
    """Return a content, the same for the same name."""
    random = np.random.default_rng(int(digest(name)[:8], 16))
    return Content(
        digest(name),
        Facts(
            "JPEG", int(random.integers(1, 9000)), 3000, 1, int(random.integers(40)), "2024:05:01 12:00:00", grey=True
        ),
        random.integers(0, 256, (64, 64)).astype(np.uint8),
        next(signatures(1, seed=int(digest(name)[:8], 16))) if vector is None else vector,
    )


def record(path: str, *, origin: str = "here") -> Record:
    """Return a file with a content of its own."""
    return Record(file(path, origin=origin), content(path))


def records(vectors: Sequence[Signature] | Signature) -> list[Record]:
    """Return a record for each signature, in their order."""
    return [
        Record(file(f"/photos/{number:06}.jpg"), content(f"/photos/{number:06}.jpg", vector))
        for number, vector in enumerate(vectors)
    ]


def signatures(number: int, *, seed: int) -> Iterator[Signature]:
    """Yield the signatures of made-up pictures: soft shapes, as far from each other as photos are."""
    random = np.random.default_rng(seed)
    across = (np.arange(_SIDE) + 0.5) / _SIDE
    waves = np.array([np.cos(np.pi * k * across) for k in range(_WAVES)])
    for _ in range(number):
        grey = waves.T @ random.normal(size=(_WAVES, _WAVES)) @ waves
        yield signature.goldberg((grey - grey.min()) / np.ptp(grey))


def altered(vector: Signature, share: float, *, seed: int) -> Signature:
    """Return a signature with about this share of its values drawn anew."""
    random = np.random.default_rng(seed)
    return np.where(random.random(vector.size) < share, random.integers(-2, 3, vector.size), vector).astype(np.int8)


def pairs_within(vectors: Signature, radius: float) -> set[tuple[int, int]]:
    """Return all pairs of rows up to `radius` apart, by comparing each with each."""
    wide = vectors.astype(np.float32)  # sums of products stay below 2^24: exact
    lengths = np.sqrt((wide**2).sum(axis=1, dtype=np.float64))
    found: set[tuple[int, int]] = set()
    for start in range(0, len(wide), 500):
        some = slice(start, start + 500)
        apart = lengths[some, None] ** 2 + lengths**2 - 2.0 * (wide[some] @ wide.T)
        reach = radius * (lengths[some, None] + lengths) + 1e-6
        a, b = np.nonzero((apart <= reach**2) & (lengths[some, None] > 0) & (lengths > 0))
        a += start
        a, b = a[a < b], b[a < b]
        near: npt.NDArray[np.bool_] = signature.row_distances(vectors[a], vectors[b]) <= radius
        found.update(zip(a[near].tolist(), b[near].tolist(), strict=True))
    return found
