"""What the last look takes for a copy, in figures: python bench/looks.py [FOLDER] [--pages N] [--processes N].

Pages (letters, tables, invoices, receipts, chats, slides, forms; tests/pages.py) are compared with twins that differ
in one spot, with re-encodings of themselves, and with re-encodings and smaller copies of their twins.  With a FOLDER
that has a truth.csv (path, group_id, relation), its originals are compared with their copies, with copies made here,
with pictures altered on purpose, and with every picture of another group that comes within distance .45.

Thresholds were chosen on the first six seeds and the groups with even numbers; figures are shown for these and for
the others.  Exit code 1 if a twin or another picture is called a duplicate.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from multiprocessing import Pool
from multiprocessing.pool import Pool as WorkerPool
from typing import NamedTuple

import numpy as np
import pillow_heif
from PIL import Image, ImageDraw, ImageFilter, ImageOps

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))

import pages

from py_image_dedup import verification
from py_image_dedup.signature import distances, goldberg
from py_image_dedup.verification import Comparison

PLAIN = (
    *("exact-copy", "metadata-only", "resized", "recompressed", "messenger", "format-converted", "grayscale"),
    *("brightness", "exif-rotated", "gamma-0.8", "gamma-1.25", "noise-5", "sharpened"),
)
CHOSEN_ON = 6
"""Thresholds were chosen on the seeds below."""
UPRIGHT = (*PLAIN, "edited", "watermark", "cropped-1pct")


class Row(NamedTuple):
    """One pair: is it a copy, of what sort, in which half, and what became of it."""

    copy: bool
    sort: str
    half: int
    duplicate: bool
    look: Comparison
    names: str


def row(sort: str, half: int, images: tuple[Image.Image, Image.Image], names: str, *, copy: bool) -> Row:
    """Compare two pictures."""
    return Row(copy, sort, half, *pages.settle(*images), names)


def page_rows(job: tuple[str, int]) -> list[Row]:
    """Compare one page with its twin in four ways and with three of its re-encodings."""
    kind, seed = job
    rng = random.Random(f"{kind} {seed} rows")
    page, twin, change = pages.pair(kind, seed)
    ways = rng.sample(sorted(pages.REENCODINGS), 6)
    again = pages.REENCODINGS
    share = rng.choice((0.25, 0.5))
    pairs = [
        (False, f"twin: {change}", page, twin),
        (False, "twin, re-encoded", page, again[ways[0]](twin)),
        (False, "both re-encoded", again[ways[1]](page), again[ways[2]](twin)),
        (False, f"twin at {share:.0%}", page, pages.shrunk(twin, share, Image.Resampling.BICUBIC)),
        *((True, way, page, again[way](page)) for way in ways[3:]),
    ]
    return [row(sort, int(seed >= CHOSEN_ON), (a, b), f"{kind} {seed}", copy=copy) for copy, sort, a, b in pairs]


def opened(path: str) -> Image.Image:
    """Decode upright to RGB, on white."""
    with Image.open(path) as stored:
        image = ImageOps.exif_transpose(stored)
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def made(image: Image.Image, seed: int) -> Iterator[tuple[bool, str, Image.Image]]:
    """Make copies, and pictures that are none."""
    rng = np.random.default_rng(seed)
    array = np.asarray(image)
    width, height = image.size
    for gamma in (0.8, 1.25):
        yield True, f"gamma-{gamma}", Image.fromarray(np.rint(255 * (array / 255.0) ** gamma).astype(np.uint8))
    noisy = np.clip(array + rng.normal(0, 5, array.shape), 0, 255).astype(np.uint8)
    yield True, "noise-5", Image.fromarray(noisy)
    yield True, "sharpened", image.filter(ImageFilter.UnsharpMask(2, 60, 2))
    yield False, "red and blue swapped", Image.fromarray(array[..., ::-1].copy())
    hue, saturation, value = image.convert("HSV").split()
    for turn in (21, 43):
        turned = Image.fromarray(np.asarray(hue) + np.uint8(turn))
        yield (
            False,
            f"hue turned {turn * 360 // 256} degrees",
            Image.merge("HSV", (turned, saturation, value)).convert("RGB"),
        )
    side = max(3, width // 20)
    x, y, x2, y2 = (int(rng.integers(0, limit - side)) for limit in (width, height, width, height))
    disc = image.copy()
    ImageDraw.Draw(disc).ellipse(
        (x, y, x + side, y + side), fill=tuple(int(level) for level in rng.integers(0, 256, 3))
    )
    yield False, "disc of 1/20 added", disc
    clone = image.copy()
    clone.paste(image.crop((x2, y2, x2 + side, y2 + side)), (x, y))
    yield False, "1/20 cloned elsewhere", clone


def photo_rows(job: tuple[str, int, str, list[tuple[str, str]]]) -> list[Row]:
    """Compare one original with its copies and with what is made of it."""
    folder, number, original, copies = job
    image = opened(os.path.join(folder, original))
    rows = [
        row(relation, number % 2, (image, opened(os.path.join(folder, path))), path, copy=True)
        for path, relation in copies
        if relation in UPRIGHT
    ]
    rows += [row(sort, number % 2, (image, other), original, copy=copy) for copy, sort, other in made(image, number)]
    dark = image.point(lambda level: level * 0.06)
    rows.append(
        row("nearly black, q90", number % 2, (dark, pages.through(dark, "JPEG", quality=90)), original, copy=True)
    )
    return rows


def other_rows(job: tuple[str, str, str]) -> list[Row]:
    """Compare two pictures of different groups."""
    folder, a, b = job
    return [
        row(
            "other picture",
            0,
            (opened(os.path.join(folder, a)), opened(os.path.join(folder, b))),
            f"{a} {b}",
            copy=False,
        )
    ]


def signature(path: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    """Return the signature of a file."""
    return goldberg(np.asarray(ImageOps.grayscale(opened(path)).resize((128, 128), reducing_gap=3.0)))


def near_pairs(pool: WorkerPool, folder: str, rows: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    """List the pairs of different groups within distance .45."""
    paths = [os.path.join(folder, one["path"]) for one in rows]
    signatures = np.array(pool.map(signature, paths, chunksize=8))
    return [
        (folder, one["path"], rows[j]["path"])
        for i, one in enumerate(rows)
        for j in np.flatnonzero(distances(signatures[i], signatures[i + 1 :]) <= 0.45) + i + 1
        if one["group_id"] != rows[j]["group_id"]
    ]


def show(title: str, rows: Iterable[Row]) -> None:
    """Print a table: per sort and half how many pairs and what share of them is called a duplicate."""
    sorts: defaultdict[str, list[Row]] = defaultdict(list)
    for one in rows:
        sorts[one.sort].append(one)
    head = (
        *("pair", "n (chosen on, others)", "duplicate (same)"),
        *("structure low / median / high", "detail low / median / high", "colour median / high"),
    )
    print(f"\n{title}\n\n| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for sort, members in sorts.items():
        halves = [[one.duplicate for one in members if one.half == half] for half in (0, 1)]
        structure, detail = (
            "{:.2f} / {:.2f} / {:.2f}".format(
                *np.percentile([getattr(one.look, name) for one in members], (0, 50, 100))
            )
            for name in ("structure", "detail")
        )
        colour = "{:.1f} / {:.1f}".format(*np.percentile([one.look.colour for one in members], (50, 100)))
        shares = ", ".join(f"{np.mean(half):.3f}" if half else "-" for half in halves)
        print(f"| {sort} | {len(halves[0])}, {len(halves[1])} | {shares} | {structure} | {detail} | {colour} |")


def total(name: str, rows: list[Row]) -> None:
    """Print the share of duplicates in both halves."""
    for half, label in enumerate(("chosen on", "others")):
        found = [one.duplicate for one in rows if one.half == half]
        if found:
            print(f"{name}, {label}: {sum(found)} of {len(found)} duplicates ({np.mean(found):.4f})")


def cost() -> None:
    """Print the CPU time of one comparison."""
    for width, height, page in ((768, 576, 0.0), (768, 576, 1.0), (1700, 2400, 1.0)):
        pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
        a = pages.as_view(Image.fromarray(pixels))
        times = []
        for _ in range(5):
            start = time.process_time()
            verification.compare(a, a, text=page)
            times.append(time.process_time() - start)
        print(f"compare {width}x{height}{' as a page' if page else ''}: {1000 * min(times):.1f} ms CPU")


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="photos with a truth.csv")
    parser.add_argument("--pages", type=int, default=24, metavar="N", help="seeds per kind of page (default 24)")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    pillow_heif.register_heif_opener()
    cost()
    wrong: list[Row] = []
    with Pool(arguments.processes) as pool:
        jobs = [(kind, seed) for seed in range(arguments.pages) for kind in pages.MAKERS]
        rows = [one for some in pool.imap(page_rows, jobs) for one in some]
        twins, copies = ([one for one in rows if one.copy == copy] for copy in (False, True))
        wrong += [one for one in twins if one.duplicate]
        show("Pages and twins that differ in one spot", sorted(twins, key=lambda one: one.sort))
        show("Pages and their re-encodings", sorted(copies, key=lambda one: one.sort))
        total("\ntwins", twins)
        total("re-encodings", copies)
        if arguments.folder:
            with open(os.path.join(arguments.folder, "truth.csv"), newline="", encoding="utf-8") as file:
                truth = list(csv.DictReader(file))
            groups: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
            for entry in truth:
                groups[entry["group_id"]].append(entry)
            photos = []
            for number, group in enumerate(groups.values()):
                originals = [entry["path"] for entry in group if entry["relation"] == "original"]
                if originals:
                    others = [(entry["path"], entry["relation"]) for entry in group if entry["path"] != originals[0]]
                    photos.append((arguments.folder, number, originals[0], others))
            rows = [one for some in pool.imap(photo_rows, photos) for one in some]
            show("Photos and their copies", [one for one in rows if one.copy])
            show("Photos and what was altered on purpose", [one for one in rows if not one.copy])
            plain = [one for one in rows if one.sort in PLAIN]
            total("\nplain copies", plain)
            for one in plain:
                if not one.duplicate:
                    print("  missed:", one.sort, one.names, one.look)
            near = pool.imap(other_rows, near_pairs(pool, arguments.folder, truth), chunksize=4)
            others_ = [one for some in near for one in some]
            show("Other pictures within distance .45", others_)
            wrong += [one for one in others_ if one.duplicate]
    for one in wrong:
        print("wrong:", one.sort, one.names, one.look)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
