"""How long the exact join takes and what it finds: python bench/join.py [FOLDER] [--sizes N ...] --out DIR."""

from __future__ import annotations

import hashlib
import os
from multiprocessing import Pool

import numpy as np
from PIL import Image, UnidentifiedImageError

from py_image_dedup.images import CANONICAL_SIDE
from py_image_dedup.model import Turn
from py_image_dedup.signature import LENGTH, Signature, goldberg, turned

_SMALLEST = 0.35  # side of a crop, as a share of the photo's


def crops(path: str, count: int, seed: int) -> Signature:
    """Return the signatures of random crops of a photo, shape (count, 648); none if it can't be read."""
    random = np.random.default_rng([seed, *hashlib.sha256(os.path.basename(path).encode()).digest()])
    try:
        photo = Image.open(path).convert("L")
    except (UnidentifiedImageError, OSError):
        return np.empty((0, LENGTH), np.int8)
    found = np.empty((count, LENGTH), np.int8)
    for row in found:
        shares = random.uniform(_SMALLEST, 1, 2)
        left, top = random.uniform(0, 1 - shares)
        box = (
            left * photo.width,
            top * photo.height,
            (left + shares[0]) * photo.width,
            (top + shares[1]) * photo.height,
        )
        small = photo.resize((CANONICAL_SIDE, CANONICAL_SIDE), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
        row[:] = goldberg(np.asarray(small) / 255.0)
    return found


def make_signatures(folder: str, count: int, *, seed: int, processes: int) -> Signature:
    """Return signatures of crops of all photos below a folder and of their seven turned versions, in mixed order."""
    paths = sorted(os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
    each = -(-count // (len(Turn) * len(paths))) * 5 // 4 + 1  # some files are no photos
    with Pool(processes) as pool:
        upright = np.concatenate(pool.starmap(crops, [(path, each, seed) for path in paths], chunksize=4))
    order = np.random.default_rng(seed)
    upright = upright[order.permutation(len(upright))[: -(-count // len(Turn))]]
    return order.permutation(np.concatenate([turned(upright, turn) for turn in Turn])[:count])
