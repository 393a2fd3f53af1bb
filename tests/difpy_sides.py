"""difPy and the library on either side of 5,000 pictures, from where difPy compares in another way.

Every match that only one of them lists is looked at by brute force in float64: it must be one that difPy gets wrong.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pictures
from difpy_oracle import difpy
from PIL import Image

import py_image_dedup as dedup

_SIDE = 10  # pixels of tensors: the least that difPy takes
_COPIES = 50

Pair = frozenset[str]


def write(folder: Path, count: int) -> None:
    """Write so many small pictures; the last ones, in order of name, are copies of the first."""
    for number in range(count - _COPIES):
        pictures.write(folder / f"{number:05}.png", pictures.noise(number, (20, 20)).convert("RGB"), "PNG")
    for number in range(_COPIES):
        with Image.open(folder / f"{number:05}.png") as original:
            copy = original.transpose(Image.Transpose.ROTATE_180) if number % 2 else original.copy()
        pictures.write(folder / f"{count - _COPIES + number:05}.png", copy, "PNG")


def compare(folder: Path, count: int) -> dict[str, int]:
    """Search with both; return how many matches both list, and how many only one does, rightly or wrongly."""
    write(folder, count)
    theirs = _pairs(difpy(str(folder), build={"px_size": _SIDE})["result"])
    collection = dedup.build(folder, px_size=_SIDE, show_progress=False)
    ours = _pairs(dedup.search(collection, show_progress=False).result)
    return {
        "both": len(theirs & ours),
        "difPy only, rightly": sum(_equal(pair) for pair in theirs - ours),
        "difPy only, wrongly": sum(not _equal(pair) for pair in theirs - ours),
        "library only, rightly": sum(_equal(pair) for pair in ours - theirs),
        "library only, wrongly": sum(not _equal(pair) for pair in ours - theirs),
    }


def _pairs(result: dict[str, Any]) -> set[Pair]:
    return set(chain.from_iterable((frozenset((one, other)) for other, _ in some) for one, some in result.items()))


def _equal(pair: Pair) -> bool:
    """Compare two pictures, turned in all four ways."""
    tensors = []
    for path in pair:
        with Image.open(path) as image:
            tensors.append(np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC), np.float64))
    a, b = tensors
    return any(((a - np.rot90(b, quarters)) ** 2).mean() == 0 for quarters in range(4))
