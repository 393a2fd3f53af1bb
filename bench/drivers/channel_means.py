"""The script that ran on a picture frame before: mean of each channel of every picture, every pair compared.

It decodes pictures whole, keeps nothing from one night to the next, and prints what it takes for copies.
"""

from __future__ import annotations

import sys
from itertools import combinations

import numpy as np
from PIL import Image

from bench.drivers import common

_NEAR = 0.5  # grey levels of every channel


def means(path: str) -> tuple[float, float, float]:
    """Return the mean of red, green and blue."""
    with Image.open(path) as image:
        red, green, blue = np.asarray(image.convert("RGB")).mean(axis=(0, 1))
    return float(red), float(green), float(blue)


def main() -> None:
    """Compare all pictures below the folder that is named."""
    told = [(path, means(path)) for path in common.walk(sys.argv[1])]
    for (a, (red, green, blue)), (b, other) in combinations(told, 2):
        if abs(red - other[0]) < _NEAR and abs(green - other[1]) < _NEAR and abs(blue - other[2]) < _NEAR:
            print(a, b)


if __name__ == "__main__":
    main()
