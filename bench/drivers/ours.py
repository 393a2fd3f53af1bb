"""Distances between the signatures of py-image-dedup, without any look: the program's own decoding and signature."""

from __future__ import annotations

from typing import Any

from bench.drivers import common

_MAX_PIXELS = 250_000_000


def sign(path: str) -> Any:
    """Decode one file as the program does and compute its signature."""
    from py_image_dedup import images, signature

    with open(path, "rb") as file:
        picture = images.read(file, max_pixels=_MAX_PIXELS)
    return signature.goldberg(picture.grey)


def main() -> None:
    """Sign, compare, write."""
    options = common.arguments(threshold=0.25, widest=0.55)
    import numpy as np

    from py_image_dedup import signature

    paths, signed, failed = common.hashed(common.walk(options.folder), sign, options.processes)
    rows = np.asarray(signed)
    within = options.widest if options.sweep else options.threshold
    found = (
        (one, int(other) + one + 1, float(distances[other]))
        for one in range(len(rows) - 1)
        for distances in (signature.distances(rows[one], rows[one + 1 :]),)
        for other in np.flatnonzero(distances <= within)
    )
    common.finish(options, paths, found, failed)


if __name__ == "__main__":
    main()
