"""More kinds of copies from the originals of a folder: python -m bench.variants FOLDER OUT [--seed N] [--kinds A,B].

OUT becomes a copy of FOLDER with variants in OUT/variants and a longer truth.csv, so that the same scorer runs on it.
FOLDER is only read.  The same seed gives the same files.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import shutil
import sys
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from bench.corpus import TRUTH

READABLE = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
"""Originals in other formats have no variants: not every Pillow reads them."""


def gamma(rng: random.Random, image: Image.Image) -> tuple[Image.Image, str]:
    """Brighten or darken the middle tones."""
    power = rng.choice((0.75, 0.85, 1.2, 1.35))
    return image.point([round(255 * (level / 255) ** power) for level in range(256)] * 3), f"power={power}"


def noise(rng: random.Random, image: Image.Image) -> tuple[Image.Image, str]:
    """Add the grain of a poor sensor."""
    deviation = rng.choice((4, 7, 10))
    grain = np.random.default_rng(rng.randrange(1 << 32)).normal(0, deviation, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8)), f"deviation={deviation}"


def sharpened(rng: random.Random, image: Image.Image) -> tuple[Image.Image, str]:
    """Sharpen a little, as viewers and printers do."""
    percent = rng.choice((40, 70, 100))
    return image.filter(ImageFilter.UnsharpMask(radius=1.5, percent=percent, threshold=2)), f"percent={percent}"


def blurred(rng: random.Random, image: Image.Image) -> tuple[Image.Image, str]:
    """Blur by a share of the short side that leaves the motif plain."""
    radius = round(min(image.size) * rng.choice((0.002, 0.003, 0.004)), 2)
    return image.filter(ImageFilter.GaussianBlur(radius)), f"radius={radius}"


def captioned(rng: random.Random, image: Image.Image) -> tuple[Image.Image, str]:
    """Write a line over the picture, as chats and sharing sites do."""
    words = rng.choice(("greetings from the coast", "what a day", "best of summer", "see you soon"))
    size = max(10, round(min(image.size) * rng.uniform(0.05, 0.08)))
    marked = image.copy()
    draw = ImageDraw.Draw(marked)
    font = ImageFont.load_default(size)
    left, top, right, bottom = draw.textbbox((0, 0), words, font=font, stroke_width=2)
    x = rng.uniform(0.02, 0.1) * image.width
    y = rng.choice((0.05, 0.85)) * image.height
    draw.text((x, y), words, fill="white", font=font, stroke_width=2, stroke_fill="black")
    return marked, f"{right - left:.0f}x{bottom - top:.0f} pixels"


KINDS: dict[str, Callable[[random.Random, Image.Image], tuple[Image.Image, str]]] = {
    "gamma": gamma,
    "noise": noise,
    "sharpened": sharpened,
    "blurred": blurred,
    "captioned": captioned,
}


def make(folder: str, out: str, *, seed: int = 1, kinds: tuple[str, ...] = tuple(KINDS)) -> int:
    """Copy the folder and add variants; return how many were made.  A finished one is left as it is."""
    target = os.path.join(out, TRUTH)
    with open(os.path.join(folder, TRUTH), newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or ())
        rows = list(reader)
    if os.path.exists(target):
        with open(target, newline="", encoding="utf-8") as file:
            return sum(1 for _ in csv.DictReader(file)) - len(rows)
    added = []
    for row in rows:
        path = os.path.join(out, row["path"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copyfile(os.path.join(folder, row["path"]), path)
        if row["relation"] == "original" and row["path"].lower().endswith(READABLE):
            added += [_variant(folder, out, row, kind, seed) for kind in kinds]
    with open(f"{target}.part", "w", newline="", encoding="utf-8") as file:  # named truth.csv when all are there
        writer = csv.DictWriter(file, columns, lineterminator="\n", restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows + added)
    os.rename(f"{target}.part", target)
    return len(added)


def _variant(folder: str, out: str, row: dict[str, str], kind: str, seed: int) -> dict[str, str]:
    rng = random.Random(f"{seed} {row['path']} {kind}")
    with Image.open(os.path.join(folder, row["path"])) as stored:
        image = ImageOps.exif_transpose(stored).convert("RGB")
    changed, told = KINDS[kind](rng, image)
    quality = rng.choice((85, 90, 94))
    path = f"variants/{row['group_id']}_{kind}.jpg"
    target = os.path.join(out, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    changed.save(target, "JPEG", quality=quality)
    return {**row, "path": path, "relation": kind, "kind": "variant", "params": f"{told} quality={quality}"}


def main() -> int:
    """Make variants from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a folder with a truth.csv: path, group_id, relation, ...")
    parser.add_argument("out", help="folder to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join(KINDS), help="comma-separated (default all: %(default)s)")
    options = parser.parse_args()
    made = make(options.folder, options.out, seed=options.seed, kinds=tuple(options.kinds.split(",")))
    print(f"{made} variants in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
