"""What searching tensors costs here and in difPy: python -m bench.tensors [FOLDER] [--sizes 2000 4000] [--ours 20000].

Tensors (50x50, RGB) are those of random crops of the photos below FOLDER (default: the samples that come with
scikit-image), one in ten a copy of another: recompressed, or turned by 90 or 180 degrees.  Both programs are given
the same decoded tensors and search them for a mean squared error of at most 5, rotated ones included, each in a process
of its own; difPy with as many processes as there are processors, as it comes.  That of 20,000 is searched for 0 and 200
too, by the library only.  What the library finds is compared with comparing 300 of the rows with all.

Prints a table with CPU seconds (all processes), wall seconds, peak memory, and the exponent of growth between the two
sizes.  Exit code 1 if a pair is missing or one too many, or if what is promised is not kept: 4,000 at least 50 times
faster than difPy, and each search of the library in at most 60 CPU seconds and 1.5 GB.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import skimage
from PIL import Image

from bench import corpus
from py_image_dedup.kinds.tensor import Tensor
from py_image_dedup.model import Turn

_KIND = Tensor()
_SIDE = _KIND.side
_ROTATIONS = (Turn.HALF, Turn.CLOCKWISE, Turn.COUNTERCLOCKWISE)
_CHECKED = 300
_FASTER, _MOST_CPU, _MOST_MB = 50, 60, 1500  # what is promised

Figures = dict[str, Any]


def tensors(folder: str, count: int, out: str) -> str:
    """Return a file with so many tensors, uint8, shape (count, 7500), made unless it is there."""
    path = os.path.join(out, f"tensors-{count}.npy")
    if not os.path.exists(path):
        photos = [corpus.opened(one).convert("RGB") for one in corpus.sources(folder)]
        rng = np.random.default_rng(1)
        rows = np.empty((count, _KIND.length), np.uint8)
        for row in range(count):
            kind = rng.integers(30)
            if row and kind < 3:
                rows[row] = _copy(rows[rng.integers(row)], int(kind), rng)
            else:
                rows[row] = _crop(photos[rng.integers(len(photos))], rng)
        np.save(path, rows)
    return path


def _crop(photo: Image.Image, rng: np.random.Generator) -> Any:
    side = round(min(photo.size) * rng.uniform(0.2, 0.6))
    left, top = (int(rng.integers(length - side)) for length in photo.size)
    small = photo.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    return np.asarray(small).reshape(-1)


def _copy(row: Any, kind: int, rng: np.random.Generator) -> Any:
    if kind == 0:
        return np.clip(row + rng.integers(-2, 3, len(row)), 0, 255).astype(np.uint8)
    return _KIND.turned(row[None], Turn.CLOCKWISE if kind == 1 else Turn.HALF)[0]


def search_here(path: str, within: float) -> Figures:
    """Search with the library's join; the pairs come back by a file."""
    from py_image_dedup.stores.join import join

    rows = np.load(path)
    started, cpu = time.perf_counter(), _cpu()
    found = [*join(rows, within=within, kind=_KIND, orientations=_ROTATIONS)]
    figures = {"cpu": _cpu() - cpu, "wall": time.perf_counter() - started, "mb": _peak(), "pairs": 0}
    pairs = np.concatenate([np.stack([one.a, one.b]) for one in found], axis=1) if found else np.zeros((2, 0), int)
    np.save(f"{path}.found.npy", pairs)
    return figures | {"pairs": pairs.shape[1]}


def search_difpy(path: str, within: float) -> Figures:
    """Search with difPy, as if it had decoded these itself."""
    import difPy

    rows = np.load(path).reshape(-1, _SIDE, _SIDE, 3)
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, f"{number:06}.png") for number in range(len(rows))]
        Image.new("RGB", (_SIDE, _SIDE)).save(names[0])
        for name in names[1:]:
            os.link(names[0], name)
        built = difPy.build(names[0], show_progress=False, processes=1)
        built._tensor_dictionary = dict(enumerate(rows))  # noqa: SLF001
        built._id_to_shape_dictionary = dict.fromkeys(range(len(rows)), rows.shape[1:])  # noqa: SLF001
        built._filename_dictionary = dict(enumerate(names))  # noqa: SLF001
        started, cpu = time.perf_counter(), _cpu()
        found = difPy.search(built, similarity=within, show_progress=False)
    matches = found.stats["process"]["search"]["matches_found"]
    return {
        "cpu": _cpu() - cpu,
        "wall": time.perf_counter() - started,
        "mb": _peak(),
        "pairs": matches["duplicates"] + matches["similar"],
    }


def _cpu() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _peak() -> float:
    """Return the most memory that this process, or one of its children, had, in MB."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e3


def measured(who: str, path: str, within: float) -> Figures:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "bench.tensors", "--measure", who, path, str(within)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def wrong(path: str, within: float) -> int:
    """Return how many pairs of some rows with any other are missing, or too many."""
    rows = np.load(path)
    some = np.random.default_rng(2).choice(len(rows), min(_CHECKED, len(rows)), replace=False)
    expected = set()
    wide = rows.astype(np.float32)
    squares = np.einsum("ij,ij->i", wide, wide, dtype=np.float64)
    for row in some.tolist():
        for turn in (Turn.UPRIGHT, *_ROTATIONS):
            turned = _KIND.turned(rows[row : row + 1], turn)[0].astype(np.float32)
            roughly = squares + squares[row] - 2.0 * (wide @ turned)
            for other in np.flatnonzero(roughly <= (within + 5) * _KIND.length).tolist():
                apart = rows[other].astype(np.int64) - turned.astype(np.int64)
                if other != row and (apart**2).sum() / _KIND.length <= within:
                    expected.add((min(row, other), max(row, other)))
    found = {(a, b) for a, b in np.load(f"{path}.found.npy").T.tolist() if a in set(some) or b in set(some)}
    return len(found ^ expected)


def main() -> int:
    """Make what is not there yet, measure, check and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    samples = os.path.join(os.path.dirname(skimage.__file__), "data")
    parser.add_argument("folder", nargs="?", default=samples, help="photos")
    parser.add_argument("--sizes", nargs=2, type=int, default=[2000, 4000], help="how many both search")
    parser.add_argument("--ours", type=int, default=20_000, help="how many the library searches")
    parser.add_argument("--out", default="build/bench-tensors", help="holds the tensors")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)  # what the processes are started with
    options = parser.parse_args()
    if options.measure:
        who, path, within = options.measure
        search = {"difPy": search_difpy, "library": search_here}[who]
        print(json.dumps(search(path, float(within))))
        return 0
    os.makedirs(options.out, exist_ok=True)
    rows, errors = [], 0
    for size in options.sizes:
        path = tensors(options.folder, size, options.out)
        rows += [{"who": who, "size": size, "within": 5.0, **measured(who, path, 5.0)} for who in ("library", "difPy")]
        errors += wrong(path, 5.0)
    path = tensors(options.folder, options.ours, options.out)
    for within in (0.0, 5.0, 200.0):
        rows.append({"who": "library", "size": options.ours, "within": within, **measured("library", path, within)})
        errors += wrong(path, within)
    print("| program | tensors | error | CPU s | wall s | MB | matches |\n|---|---:|---:|---:|---:|---:|---:|")
    for one in rows:
        print("| {who} | {size:,} | {within:g} | {cpu:.2f} | {wall:.2f} | {mb:.0f} | {pairs:,} |".format(**one))
    here, there = ([one for one in rows if one["who"] == who] for who in ("library", "difPy"))
    factor = there[1]["wall"] / here[1]["wall"]
    growth = math.log(there[1]["cpu"] / there[0]["cpu"]) / math.log(options.sizes[1] / options.sizes[0])
    print(
        f"\n{options.sizes[1]:,} tensors: {factor:.0f} times faster.  difPy's time grows with the power {growth:.2f}."
    )
    print(f"Pairs missing, or too many, among those of {_CHECKED} rows with all: {errors}")
    kept = factor >= _FASTER and all(one["mb"] <= _MOST_MB and one["cpu"] <= _MOST_CPU for one in here)
    return 0 if kept and not errors else 1


if __name__ == "__main__":
    sys.exit(main())
