"""image-match: the signature of every full-size grey picture, compared exactly at its published cutoff of 0.45.

Its search through a server is left out: comparing everything finds at least as much.  It hands what it read to
``rgb2gray``, which refuses what is grey already in current scikit-image, so that step becomes the identity.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from bench.drivers import common


@cache
def _generator() -> Any:
    from image_match.goldberg import ImageSignature

    class Signature(ImageSignature):  # type: ignore[misc,unused-ignore]
        @staticmethod
        def preprocess_image(image: Any, **_: Any) -> Any:
            return image

    return Signature()


def signature(path: str) -> Any:
    """Read one file to grey at full size, as image-match does, and compute its signature."""
    from skimage.io import imread

    return _generator().generate_signature(imread(path, as_gray=True))


def near(signatures: Any, within: float) -> Iterable[tuple[int, int, float]]:
    """Yield all pairs within a distance, with the distance of image-match."""
    import numpy as np

    rows = np.asarray(signatures, dtype=np.float32).reshape(len(signatures), -1)
    norms = np.linalg.norm(rows, axis=1)
    for one in range(len(rows) - 1):
        together = norms[one + 1 :] + norms[one]
        apart = np.linalg.norm(rows[one + 1 :] - rows[one], axis=1)
        distance = np.divide(apart, together, out=np.ones_like(apart), where=together > 0)
        for other in np.flatnonzero(distance <= within):
            yield one, int(other) + one + 1, float(distance[other])


def main() -> None:
    """Sign, compare, write."""
    options = common.arguments(threshold=0.45, widest=0.55)
    paths, signatures, failed = common.hashed(common.walk(options.folder), signature, options.processes)
    within = options.widest if options.sweep else options.threshold
    common.finish(options, paths, near(signatures, within), failed)


if __name__ == "__main__":
    main()
