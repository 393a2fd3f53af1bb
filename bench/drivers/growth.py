"""How long comparing takes, and nothing else: python -m bench.drivers.growth TOOL COUNT OUT.

Hashes of the size that TOOL works on are made from a seed, one in fifty near another one, and handed to the comparison
that the tool (or, where the library has none, our driver) uses.  OUT: {"wall": s, "cpu": s, "pairs": n}.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.drivers import common

_PROCESSES = 2  # or threads, of every tool that can
_NEAR = 50  # one in so many is a copy of another with a few changes


def _random(count: int) -> Any:
    import numpy as np

    return np.random.default_rng(count)


def _bits(count: int, width: int) -> Any:
    """Make rows of random bits, shape (count, width), some of them near others."""
    rng = _random(count)
    rows = rng.integers(0, 2, (count, width)).astype(bool)
    for copy in range(count - count // _NEAR, count):
        rows[copy] = rows[rng.integers(0, count - count // _NEAR)]
        rows[copy, rng.integers(0, width, 3)] ^= True
    return rows


def _signatures(count: int) -> Any:
    """Make int8 rows as Goldberg's signatures are: differences of neighbours of smooth 9x9 fields, in five levels."""
    import numpy as np

    rng = _random(count)
    levels = rng.normal(0, 1, (count, 9, 9)).cumsum(axis=1).cumsum(axis=2).astype(np.float32)
    for copy in range(count - count // _NEAR, count):
        levels[copy] = levels[rng.integers(0, count - count // _NEAR)] + rng.normal(0, 0.05, (9, 9))
    padded = np.pad(levels, ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    steps = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]
    shifted = [padded[:, 1 + down : 10 + down, 1 + right : 10 + right] for down, right in steps]
    differences = np.nan_to_num(levels[..., None] - np.stack(shifted, axis=-1)).reshape(count, -1)
    middle = np.median(np.abs(differences), axis=1, keepdims=True)
    return (np.sign(differences) * (1 + (np.abs(differences) > middle)) * (np.abs(differences) > 0.01)).astype(np.int8)


def _ours(count: int) -> Callable[[], int]:
    from py_image_dedup.stores import join

    rows = _signatures(count)
    return lambda: sum(len(pairs.a) for pairs in join.join(rows, within=0.25, threads=_PROCESSES))


def _image_match(count: int) -> Callable[[], int]:
    from bench.drivers import image_match

    rows = _signatures(count)
    return lambda: sum(1 for _ in image_match.near(rows, 0.45))


def _hamming(width: int, within: float) -> Callable[[int], Callable[[], int]]:
    def prepare(count: int) -> Callable[[], int]:
        rows = _bits(count, width)
        return lambda: sum(1 for _ in common.near(rows, within))

    return prepare


def _imagededup(count: int) -> Callable[[], int]:
    import numpy as np

    from bench.drivers import imagededup

    hashes = np.packbits(_bits(count, 64), axis=1)
    encodings = {f"{number:08}.jpg": bytes(row).hex() for number, row in enumerate(hashes)}
    method = imagededup.load().PHash(verbose=False)
    return lambda: sum(len(some) for some in method.find_duplicates(encoding_map=encodings).values()) // 2


class _Built:
    """What difPy.build leaves for difPy.search, without files."""

    def __init__(self, count: int) -> None:
        import numpy as np

        self._tensor_dictionary = dict(enumerate(_random(count).integers(0, 256, (count, 50, 50, 3), np.uint8)))
        self._id_to_shape_dictionary = dict.fromkeys(range(count), (1200, 1920, 3))
        self._filename_dictionary = {number: f"{number:08}.jpg" for number in range(count)}
        parameters = {"in_folder": False, "recursive": True, "limit_extensions": True, "px_size": 50}
        build = {"duration": {"start": "", "end": "", "seconds_elapsed": 0}, "parameters": parameters}
        self.stats = {
            "directory": (),
            "process": {"build": {**build, "processes": _PROCESSES}},
            "total_files": count,
            "invalid_files": {"count": 0, "logs": {}},
            "skipped_files": {"count": 0, "logs": []},
        }


def _difpy(count: int) -> Callable[[], int]:
    import difPy

    built = _Built(count)

    def compare() -> int:
        found = difPy.search(built, similarity="similar", same_dim=False, show_progress=False, processes=_PROCESSES)
        return sum(len(some) for some in found.result.values())

    return compare


TOOLS: dict[str, Callable[[int], Callable[[], int]]] = {
    "ours": _ours,
    "image-match": _image_match,
    "imagehash": _hamming(64, 10),
    "pdqhash": _hamming(256, 31),
    "imagededup": _imagededup,
    "difpy": _difpy,
}


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Prepare, compare, write."""
    tool, count, out = sys.argv[1:4]
    compare = TOOLS[tool](int(count))
    wall, cpu = time.perf_counter(), _cpu()
    pairs = compare()
    common.write(out, wall=time.perf_counter() - wall, cpu=_cpu() - cpu, pairs=pairs)


if __name__ == "__main__":
    main()
