"""Phone-like JPEGs made from a folder of photos: python -m bench.corpus PHOTOS OUT [--count N] [--size 1920x1200].

Every distinct picture shows other parts of other photos; a share of the files are re-encoded copies of another one.
The same photos, arguments and Pillow give the same files.  OUT/truth.csv: path, group_id, relation, scene_id, kind.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context

import numpy as np
from PIL import Image, ImageChops, ImageFilter
from PIL.ExifTags import IFD, Base

TRUTH = "truth.csv"
COLUMNS = ("path", "group_id", "relation", "scene_id", "kind")
COPIES = ("recompressed", "resized", "brightness", "messenger")
_LEAST_SOURCE = 200  # pixels of the short side: below it enlarging leaves nothing but blur
_EXTENSIONS = (".jpg", ".jpeg", ".png")
_CAMERAS = (("Acme", "Phone 5"), ("Borealis", "B-12"), ("Cumulus", "One"))
_QUALITIES = (85, 88, 92)
_GRAIN = 8  # grey levels; fine and coarse grain together bring the bytes of a picture near to those of a camera


@dataclass(frozen=True, slots=True)
class Job:
    """One distinct picture and the copies to make of it."""

    number: int
    seed: int
    size: tuple[int, int]
    photos: tuple[str, ...]
    out: str
    copies: tuple[str, ...]


def sources(folder: str) -> list[str]:
    """List the photos of a folder that are large enough, in order of their paths."""
    found = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(_EXTENSIONS):
                path = os.path.join(place, name)
                try:
                    with Image.open(path) as image:
                        if min(image.size) >= _LEAST_SOURCE:
                            found.append(path)
                except (OSError, ValueError):
                    continue  # whatever can't be opened is no source
    return found


def fingerprint(paths: Sequence[str]) -> str:
    """Return a few digits that stand for a list of source photos, by name and size."""
    told = "\n".join(f"{os.path.basename(path)} {os.path.getsize(path)}" for path in paths)
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def invent(folder: str, count: int, *, size: tuple[int, int] = (480, 360)) -> None:
    """Write made-up photos, soft areas with edges and grain, for trials where no photos are at hand."""
    os.makedirs(folder, exist_ok=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        layers = [
            Image.fromarray(rng.normal(0, 70 / cells**0.5, (cells, cells, 3)).astype(np.float32)[..., band]).resize(
                size, Image.Resampling.BICUBIC
            )
            for cells in (3, 7, 17, 41)
            for band in range(3)
        ]
        bands = [sum(np.asarray(layer) for layer in layers[band::3]) + rng.uniform(80, 170) for band in range(3)]
        picture = np.stack(bands, axis=-1)
        for _ in range(4):
            x, y = rng.integers(0, size[0] - 40), rng.integers(0, size[1] - 40)
            picture[y : y + rng.integers(30, 160), x : x + rng.integers(30, 160)] += rng.normal(0, 50, 3)
        picture += rng.normal(0, 4, picture.shape)
        target = os.path.join(folder, f"invented{number:03}.jpg")
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(target, quality=92)


def make(
    photos: str, out: str, *, count: int, size: tuple[int, int], seed: int = 1, share: float = 0.05, processes: int = 2
) -> int:
    """Make the corpus; return how many files there are.  A finished one is left as it is."""
    truth = os.path.join(out, TRUTH)
    if os.path.exists(truth):
        with open(truth, newline="", encoding="utf-8") as file:
            return sum(1 for _ in csv.DictReader(file))
    found = tuple(sources(photos))
    if len(found) < 3:
        raise SystemExit(f"too few photos of {_LEAST_SOURCE} pixels or more in {photos}: {len(found)}")
    os.makedirs(out, exist_ok=True)
    jobs = _plan(found, out, count=count, size=size, seed=seed, share=share)
    if processes == 1:
        rows = [row for job in jobs for row in _write(job)]
    else:
        with get_context("spawn").Pool(processes) as pool:
            rows = [row for some in pool.imap(_write, jobs, chunksize=4) for row in some]
    with open(f"{truth}.part", "w", newline="", encoding="utf-8") as file:  # named truth.csv when all files are there
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(sorted(rows))
    os.rename(f"{truth}.part", truth)
    return len(rows)


def _plan(
    photos: tuple[str, ...], out: str, *, count: int, size: tuple[int, int], seed: int, share: float
) -> list[Job]:
    copies = round(count * share)
    rng = random.Random(f"{seed} plan")
    distinct = count - copies
    kinds: list[list[str]] = [[] for _ in range(distinct)]
    for at, number in enumerate(rng.sample(range(distinct), copies)):
        kinds[number].append(COPIES[at % len(COPIES)])
    return [Job(number, seed, size, photos, out, tuple(kinds[number])) for number in range(distinct)]


def _write(job: Job) -> list[tuple[str, ...]]:
    rng = random.Random(f"{job.seed} {job.number}")
    picture = compose(rng, [opened(path) for path in rng.sample(job.photos, min(3, len(job.photos)))], job.size)
    exif = _exif(rng, picture)
    group = f"c{job.number:06}"
    rows = [_save(job, f"camera/{job.number // 500:03}/P{job.number:06}.jpg", picture, rng.choice(_QUALITIES), exif)]
    for kind in job.copies:
        copy, quality = _copy(rng, kind, picture)
        path = f"copies/{kind}/P{job.number:06}.jpg"
        rows.append(_save(job, path, copy, quality, b"" if kind == "messenger" else exif))
    relations = ("original", *job.copies)
    return [(path, group, relation, group, "corpus") for path, relation in zip(rows, relations, strict=True)]


def _save(job: Job, path: str, picture: Image.Image, quality: int, exif: bytes) -> str:
    target = os.path.join(job.out, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    picture.save(target, "JPEG", quality=quality, subsampling=2, exif=exif)
    return path


@lru_cache(maxsize=32)
def opened(path: str) -> Image.Image:
    """Decode a source photo to RGB."""
    with Image.open(path) as image:
        return image.convert("RGB")


def compose(rng: random.Random, photos: Sequence[Image.Image], size: tuple[int, int]) -> Image.Image:
    """Make one picture: a cut of one photo, another blended in along a soft edge, a third as an inset; then grain."""
    ground, second, third = (cut(rng, rng.choice(photos) if at >= len(photos) else photos[at], size) for at in range(3))
    picture = Image.composite(ground, second, _soft_edge(rng, size))
    width, height = (max(8, round(side * rng.uniform(0.15, 0.35))) for side in size)
    corner = rng.randrange(size[0] - width), rng.randrange(size[1] - height)
    inset = third.resize((width, height), Image.Resampling.BILINEAR)
    picture.paste(inset, corner, _oval((width, height)))
    gains = [rng.uniform(0.85, 1.15) for _ in range(3)]
    picture = picture.point([min(255, round(level * gain)) for gain in gains for level in range(256)])
    return grained(rng, picture)


def cut(rng: random.Random, photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Take a random part of the aspect of `size`, perhaps mirrored, and bring it to that size."""
    scale = min(photo.width / size[0], photo.height / size[1]) * rng.uniform(0.55, 1.0)
    width, height = size[0] * scale, size[1] * scale
    x, y = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
    part = photo.resize(size, Image.Resampling.BICUBIC, box=(x, y, x + width, y + height))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part


def _soft_edge(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """Make a mask that goes from one photo to the other along a random line."""
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.2, 0.2)
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    side = np.cos(angle) * x + np.sin(angle) * y + offset
    mask = Image.fromarray((255 / (1 + np.exp(-12 * side))).astype(np.uint8))
    return mask.resize(size, Image.Resampling.BILINEAR)


def _oval(size: tuple[int, int]) -> Image.Image:
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    return Image.fromarray(((x * x + y * y < 0.95) * 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)


@lru_cache(maxsize=2)
def _grain(size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """Make grain once for all pictures of a size: what to add, what to take away; fine grain on a coarser one."""
    width, height = size[0] + 64, size[1] + 64
    rng = np.random.default_rng(20)
    fine = rng.normal(0, _GRAIN / 2, (height, width))
    coarse = Image.fromarray(rng.normal(0, _GRAIN, (height // 3, width // 3)).astype(np.float32))
    grain = fine + np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR))
    plus, minus = (Image.fromarray(part.clip(0, 255).astype(np.uint8)) for part in (grain, -grain))
    return plus, minus


def grained(rng: random.Random, picture: Image.Image) -> Image.Image:
    """Add the grain of a camera."""
    x, y = rng.randrange(64), rng.randrange(64)
    plus, minus = (part.crop((x, y, x + picture.width, y + picture.height)) for part in _grain(picture.size))
    lighter = ImageChops.add(picture, Image.merge("RGB", (plus,) * 3))
    return ImageChops.subtract(lighter, Image.merge("RGB", (minus,) * 3))


def _copy(rng: random.Random, kind: str, picture: Image.Image) -> tuple[Image.Image, int]:
    """Return a copy and the quality to store it with."""
    if kind == "resized":
        return _scaled(picture, rng.choice((0.5, 0.7))), 88
    if kind == "brightness":
        factor = rng.choice((0.9, 1.1))
        return picture.point([min(255, round(level * factor)) for level in range(256)] * 3), 88
    if kind == "messenger":
        return _scaled(picture, 1600 / max(picture.size)).filter(ImageFilter.SMOOTH), 70
    return picture, rng.choice((50, 65, 75))


def _scaled(picture: Image.Image, factor: float) -> Image.Image:
    size = tuple(max(1, round(side * min(1.0, factor))) for side in picture.size)
    return picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def _exif(rng: random.Random, picture: Image.Image) -> bytes:
    """Return an EXIF block with what phones write: maker, date, size, and a maker's note that fills some kB."""
    maker, model = rng.choice(_CAMERAS)
    taken = f"20{rng.randint(15, 24)}:{rng.randint(1, 12):02}:{rng.randint(1, 28):02} 12:{rng.randint(0, 59):02}:00"
    block = Image.Exif()
    block[Base.Make], block[Base.Model], block[Base.DateTime], block[Base.Orientation] = maker, model, taken, 1
    preview = io.BytesIO()
    picture.resize((160, 120), Image.Resampling.BILINEAR, reducing_gap=1.0).save(preview, "JPEG", quality=70)
    inner = block.get_ifd(IFD.Exif)
    inner[Base.DateTimeOriginal] = taken
    inner[Base.ExposureTime] = 1 / rng.choice((60, 125, 500))
    inner[Base.MakerNote] = preview.getvalue()
    return block.tobytes()


def parsed_size(text: str) -> tuple[int, int]:
    """Read a size such as 1920x1200."""
    width, _, height = text.partition("x")
    return int(width), int(height)


def main() -> int:
    """Make a corpus from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", help="folder with at least a few dozens of photos")
    parser.add_argument("out", help="folder to write")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--size", type=parsed_size, default=(1920, 1200), metavar="WxH")
    parser.add_argument("--share", type=float, default=0.05, help="share of copies (default 0.05)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    made = make(
        options.photos, options.out, count=options.count, size=options.size, seed=options.seed, share=options.share
    )
    print(f"{made} files in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
