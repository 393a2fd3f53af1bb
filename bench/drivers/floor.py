"""The floor: decode every JPEG of a folder to grey at an eighth of its size, and do nothing else, on one thread.

python -m bench.drivers.floor FOLDER OUT --method simplejpeg|pillow.  OUT also tells the CPU seconds without start-up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench.drivers import common


def _simplejpeg() -> Callable[[str], Any]:
    import simplejpeg

    def decode(path: str) -> Any:
        with open(path, "rb") as file:
            # A least size of one pixel lets it choose the smallest scale there is: an eighth.
            return simplejpeg.decode_jpeg(file.read(), colorspace="GRAY", min_height=1, min_width=1).shape[:2]

    return decode


def _pillow() -> Callable[[str], Any]:
    from PIL import Image

    def decode(path: str) -> Any:
        with Image.open(path) as image:
            image.draft("L", (1, 1))
            image.load()
            return image.size[::-1]

    return decode


def main() -> None:
    """Decode and write how long it took."""
    options = common.arguments(threshold=0, widest=0)
    decode = {"simplejpeg": _simplejpeg, "pillow": _pillow}[options.method]()
    paths = [path for path in common.walk(options.folder) if path.lower().endswith((".jpg", ".jpeg"))]
    start = time.process_time()
    shapes = [decode(path) for path in paths]
    spent = time.process_time() - start
    common.write(options.out, files=len(paths), decode_cpu=spent, shape=shapes[0] if shapes else None)


if __name__ == "__main__":
    main()
