"""What the drivers share: the walk, the command line, brute force over hashes, and the JSON they write.

Output of a run: {"pairs": [[path, path], ...], "remove": [path, ...] or null, "failed": [[path, reason], ...]}.
Output of a sweep: {"distances": [[path, path, distance], ...]} or {"settings": [{"threshold": t, "pairs": ...}]}.
Standard library alone at import time: every environment can load it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif", ".avif", ".jp2")
)
Failure = tuple[str, str]


def arguments(*, threshold: float, widest: float) -> argparse.Namespace:
    """Read the command line that all drivers have in common."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("out", help="JSON file to write")
    parser.add_argument("--threshold", type=float, default=threshold)
    parser.add_argument("--sweep", action="store_true", help="write all pairs within the widest threshold")
    parser.add_argument("--widest", type=float, default=widest)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--method", default="")
    return parser.parse_args()


def walk(folder: str) -> list[str]:
    """List the pictures below a folder, in order of their paths."""
    return sorted(
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if os.path.splitext(name)[1].lower() in EXTENSIONS
    )


def hashed(
    paths: Sequence[str], function: Callable[[str], Any], processes: int
) -> tuple[list[str], list[Any], list[Failure]]:
    """Map a function over files in processes; what fails is told with its reason."""
    from multiprocessing import Pool

    with Pool(processes) as pool:
        results = pool.map(_Guarded(function), paths, chunksize=8)
        pool.close()
        pool.join()  # its CPU counts only when it was waited for
    good = [(path, value) for path, (value, problem) in zip(paths, results, strict=True) if not problem]
    failed = [(path, problem) for path, (_, problem) in zip(paths, results, strict=True) if problem]
    return [path for path, _ in good], [value for _, value in good], failed


class _Guarded:
    """Calls a function; returns its value, or why there is none."""

    def __init__(self, function: Callable[[str], Any]) -> None:
        self._function = function

    def __call__(self, path: str) -> tuple[Any, str]:
        try:
            return self._function(path), ""
        except Exception as error:  # noqa: BLE001  # whatever a library raises on a file is its answer
            return None, f"{type(error).__name__}: {error}"


def near(bits: Any, within: float) -> Iterable[tuple[int, int, float]]:
    """Yield all pairs of rows of a bit array, shape (n, bits), that differ in at most so many bits: brute force."""
    import numpy as np

    packed = np.packbits(np.asarray(bits, dtype=bool), axis=1)
    words = np.ascontiguousarray(packed).view(np.uint64)
    for one in range(len(words) - 1):
        apart = np.bitwise_count(words[one + 1 :] ^ words[one]).sum(axis=1, dtype=np.int64)
        for other in np.flatnonzero(apart <= within):
            yield one, int(other) + one + 1, float(apart[other])


def finish(
    options: argparse.Namespace,
    paths: Sequence[str],
    distances: Iterable[tuple[int, int, float]],
    failed: Sequence[Failure],
) -> None:
    """Write the result of a library that only gives distances."""
    found = [(paths[a], paths[b], distance) for a, b, distance in distances]
    if options.sweep:
        write(options.out, distances=found, failed=failed)
    else:
        write(options.out, pairs=[(a, b) for a, b, _ in found], remove=None, failed=failed)


def write(path: str, **data: Any) -> None:
    """Write the result."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(data, file)
