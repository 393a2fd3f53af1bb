"""ImageHash: phash of every file, brute force over its 64 bits.  It names no threshold: 10 is imagededup's."""

from __future__ import annotations

from typing import Any

from bench.drivers import common


def bits(path: str) -> Any:
    """Hash one file."""
    import imagehash
    from PIL import Image

    with Image.open(path) as image:
        return imagehash.phash(image).hash.ravel()


def main() -> None:
    """Hash, compare, write."""
    options = common.arguments(threshold=10, widest=26)
    paths, hashes, failed = common.hashed(common.walk(options.folder), bits, options.processes)
    within = options.widest if options.sweep else options.threshold
    common.finish(options, paths, common.near(hashes, within), failed)


if __name__ == "__main__":
    main()
