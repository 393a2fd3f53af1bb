"""pdqhash: PDQ of every file in colour, brute force over the 256 bits at its published threshold of 31."""

from __future__ import annotations

from typing import Any

from bench.drivers import common


def bits(path: str) -> Any:
    """Hash one file."""
    import numpy as np
    import pdqhash
    from PIL import Image

    with Image.open(path) as image:
        return pdqhash.compute(np.asarray(image.convert("RGB")))[0].astype(bool)


def main() -> None:
    """Hash, compare, write."""
    options = common.arguments(threshold=31, widest=110)
    paths, hashes, failed = common.hashed(common.walk(options.folder), bits, options.processes)
    within = options.widest if options.sweep else options.threshold
    common.finish(options, paths, common.near(hashes, within), failed)


if __name__ == "__main__":
    main()
