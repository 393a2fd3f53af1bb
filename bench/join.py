"""What the exact join costs and finds: python bench/join.py [FOLDER] [--sizes 1000 3000 ...] [--out DIR].

Signatures are those of random crops of the photos below FOLDER (default: the samples that come with scikit-image) and
of their seven turned versions, the same for the same seed.  For each size they are put into a SQLite store as whole
records; then a process of its own asks that store for

- `all`: every pair within the distance,
- `new`: every pair with one of 1,000 contents,
- `turned`: every pair in any of the eight orientations (up to --turned-up-to contents),

and tells its CPU seconds (user and system) and wall seconds, reading included, and its highest memory.  Recall is
against comparing all rows with all, or, of more than 20,000, a sample of 1,000 rows with all.

Prints a table, writes DIR/join.json.  Exit code 1 if a pair is missing or one too many.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import Pool
from typing import Any

import numpy as np
import skimage
from PIL import Image, UnidentifiedImageError

from py_image_dedup.images import CANONICAL_SIDE, THUMBNAIL_SIDE
from py_image_dedup.model import Content, Facts, File, Record, Turn
from py_image_dedup.signature import LENGTH, Signature, goldberg, norms, turned
from py_image_dedup.stores.sqlite import SqliteStore

_SMALLEST_CROP = 0.35  # of the photo's side
_BATCH = 2_000  # records put at once
_NEW = 1_000
_ALL_CHECKED = 20_000
_SAMPLED = 1_000

Pair = tuple[int, int]


def main() -> int:
    """Make what is not there yet, measure, check and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    samples = os.path.join(os.path.dirname(skimage.__file__), "data")
    parser.add_argument("folder", nargs="?", default=samples, help="photos")
    parser.add_argument("--sizes", nargs="+", type=int, default=[1_000, 3_000, 10_000, 30_000, 100_000])
    parser.add_argument("--within", nargs="+", type=float, default=[0.25])
    parser.add_argument("--turned-up-to", type=int, default=30_000)
    parser.add_argument("--out", default="build/bench-join", help="holds signatures, stores and results")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: one a processor")
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)  # what the processes are started with
    arguments = parser.parse_args()
    if arguments.measure:
        kind, database, size, within, threads = arguments.measure
        measure(kind, database, int(size), float(within), int(threads))
        return 0
    os.makedirs(arguments.out, exist_ok=True)
    signatures = cached_signatures(
        os.path.realpath(arguments.folder), max(arguments.sizes), arguments.seed, arguments.out
    )
    rows = []
    for size in arguments.sizes:
        database = filled_store(signatures[:size], arguments.seed, arguments.out)
        for within in arguments.within:
            for kind in ("all", "new", *(["turned"] if size <= arguments.turned_up_to else [])):
                figures = measured(kind, database, size, within, arguments.threads)
                figures |= checked(figures.pop("pairs"), kind, signatures[:size], within)
                rows.append({"asked": kind, "contents": size, "within": within, **figures})
                print(rows[-1], file=sys.stderr)
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"numpy {np.__version__}",
        "threads": arguments.threads,
        "openblas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "default"),
        "rows": rows,
    }
    with open(os.path.join(arguments.out, "join.json"), "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    print(result["machine"], "threads:", arguments.threads, "OpenBLAS:", result["openblas_threads"], end="\n\n")
    print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(str(value) for value in row.values())} |")
    return 0 if all(row["recall"] == 1 and row["too many"] == 0 for row in rows) else 1


# Signatures


def cached_signatures(folder: str, count: int, seed: int, out: str) -> Signature:
    """Read signatures made before, or make and keep them."""
    name = hashlib.sha256(f"{folder} {seed} {_SMALLEST_CROP}".encode()).hexdigest()[:12]
    path = os.path.join(out, f"signatures-{name}-{count}.npy")
    if not os.path.exists(path):
        np.save(path, make_signatures(folder, count, seed))
    return np.asarray(np.load(path, mmap_mode="r"))


def make_signatures(folder: str, count: int, seed: int) -> Signature:
    """Return signatures of crops of all photos below a folder and of their turned versions, in mixed order."""
    paths = sorted(os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
    with Pool(2) as pool:
        paths = [path for path, is_photo in zip(paths, pool.map(is_readable, paths), strict=True) if is_photo]
        each = -(-count // (len(Turn) * len(paths)))
        upright = np.concatenate(pool.starmap(crops, [(path, each, seed) for path in paths], chunksize=4))
    order = np.random.default_rng(seed)
    upright = order.permutation(upright)[: -(-count // len(Turn))]
    return order.permutation(np.concatenate([turned(upright, turn) for turn in Turn]))[:count]


def is_readable(path: str) -> bool:
    """Tell whether a file is a picture."""
    try:
        Image.open(path).convert("L")
    except (UnidentifiedImageError, OSError):
        return False
    return True


def crops(path: str, count: int, seed: int) -> Signature:
    """Return the signatures of random crops of a photo, shape (count, 648)."""
    random = np.random.default_rng([seed, *hashlib.sha256(os.path.basename(path).encode()).digest()])
    photo = Image.open(path).convert("L")
    found = np.empty((count, LENGTH), np.int8)
    for row in found:
        width, height = random.uniform(_SMALLEST_CROP, 1, 2) * photo.size
        left, top = random.uniform(0, 1, 2) * (photo.width - width, photo.height - height)
        box = (left, top, left + width, top + height)
        side = (CANONICAL_SIDE, CANONICAL_SIDE)
        small = photo.resize(side, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
        row[:] = goldberg(np.asarray(small))
    return found


# The store


def name_of(row: int) -> str:
    """Return the hash of the content that carries a signature."""
    return hashlib.sha256(f"{row}".encode()).hexdigest()


def filled_store(signatures: Signature, seed: int, out: str) -> str:
    """Return the path of a store that holds a whole record for each signature."""
    name = hashlib.sha256(signatures[:: max(1, len(signatures) // 1000)].tobytes()).hexdigest()[:12]
    path = os.path.join(out, f"{len(signatures)}-{name}.sqlite")
    if not os.path.exists(path):
        part = f"{path}.part"
        if os.path.exists(part):
            os.remove(part)
        store = SqliteStore.open(part, origin="bench")
        for batch in batches(signatures, seed):
            store.put(batch)
        store.close()
        os.remove(f"{part}.lock")
        os.rename(part, path)
    return path


def batches(signatures: Signature, seed: int) -> Iterator[list[Record]]:
    """Yield records as analysing would make them, some at a time."""
    random = np.random.default_rng(seed)
    for start in range(0, len(signatures), _BATCH):
        some = np.array(signatures[start : start + _BATCH])
        thumbnails = random.integers(0, 256, (len(some), THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.uint8)
        yield [
            Record(
                File("bench", f"/photos/{row // 1000}/{row:07}.jpg", 3_000_000, 10**18 + row, name_of(row)),
                Content(name_of(row), Facts("JPEG", 4000, 3000, 1, 30, "2024:05:01 12:00:00"), thumbnail, vector),
            )
            for row, (vector, thumbnail) in enumerate(zip(some, thumbnails, strict=True), start)
        ]


# Measuring


def measured(kind: str, database: str, size: int, within: float, threads: int) -> dict[str, Any]:
    """Run one query in a process of its own; return its figures, and the pairs in the order of rows."""
    command = [sys.executable, __file__, "--measure", kind, database, str(size), str(within), str(threads)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    figures: dict[str, Any] = json.loads(lines.pop())
    row_of = {name_of(row): row for row in range(size)}
    pairs = [tuple(sorted(row_of[name] for name in line.split())) for line in lines]
    return {**figures, "matches": len(pairs), "pairs": pairs}


def measure(kind: str, database: str, size: int, within: float, threads: int) -> None:
    """Ask the store, print the pairs line by line, and last what it took."""
    store = SqliteStore.open(database, origin="bench")
    contents = [name_of(row) for row in range(size)]
    new = [contents[row] for row in new_rows(size)]
    turns = list(Turn) if kind == "turned" else []
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    every = store.similar(contents, within=within, orientations=turns, threads=threads)
    for match in every if kind != "new" else store.near(new, within=within):
        print(match.a, match.b)
    after, wall = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - started
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures = {"CPU s": round(cpu, 2), "wall s": round(wall, 2), "peak MB": peak_megabytes()}
    print(json.dumps(figures))


def peak_megabytes() -> int:
    """Return the highest memory of this process; getrusage would tell of the process that started it, if larger."""
    with open("/proc/self/status", encoding="ascii") as status:
        (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def new_rows(size: int) -> list[int]:
    """Return the rows whose contents are taken for new."""
    return list(range(0, size, max(1, size // _NEW)))[:_NEW]


def checked(pairs: list[Pair], kind: str, signatures: Signature, within: float) -> dict[str, Any]:
    """Compare rows with all others the slow way, and tell what share of the pairs was found, and what was not one."""
    size = len(signatures)
    rows = new_rows(size) if kind == "new" else list(range(size))
    if size > _ALL_CHECKED:
        rows = sorted(np.random.default_rng(0).choice(rows, _SAMPLED, replace=False).tolist())
    expected = set(brute_force(signatures, rows, within, list(Turn) if kind == "turned" else [Turn.UPRIGHT]))
    of_rows = set(rows)
    found = {pair for pair in pairs if of_rows & set(pair)}
    recall = len(found & expected) / len(expected) if expected else 1.0
    return {
        "checked rows": len(rows),
        "true pairs of these": len(expected),
        "recall": recall,
        "too many": len(found - expected),
    }


def brute_force(signatures: Signature, rows: list[int], within: float, turns: list[Turn]) -> Iterator[Pair]:
    """Yield the pairs of these rows with all rows, by the definition of the distance (sums are exact in float32)."""
    some = np.array(signatures[rows])
    lengths = norms(some)
    for start in range(0, len(signatures), 1024):
        others = np.array(signatures[start : start + 1024])
        wide = others.astype(np.float32)
        of_others = norms(others)
        together = lengths[:, None] + of_others
        for turn in turns:  # turning these rows forth is turning the others back: all turns are tried
            products = (turned(some, turn).astype(np.float32) @ wide.T).astype(np.float64)
            apart = np.sqrt(lengths[:, None] ** 2 + of_others**2 - 2 * products + 1e-12)
            near = (apart <= within * together + 1e-9) & (lengths[:, None] > 0) & (of_others > 0)
            for a, b in np.argwhere(near).tolist():
                if rows[a] != start + b:
                    yield min(rows[a], start + b), max(rows[a], start + b)


if __name__ == "__main__":
    sys.exit(main())
