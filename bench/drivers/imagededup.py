"""imagededup: encode a folder and find duplicates as its README shows, at its threshold of 10 of 64 bits."""

from __future__ import annotations

import os
from typing import Any

from bench.drivers import common


def load() -> Any:
    """Import its methods.

    Importing them builds a network that hashing does not use, and downloads its weights; here it is built without.
    """
    from torchvision import models

    build = models.mobilenet_v3_small

    def without_weights(**options: Any) -> Any:
        return build(**{**options, "weights": None})

    models.mobilenet_v3_small = without_weights
    from imagededup import methods

    return methods


def main() -> None:
    """Encode, compare, write."""
    options = common.arguments(threshold=10, widest=26)
    method = getattr(load(), options.method or "PHash")(verbose=False)
    encodings = method.encode_images(image_dir=options.folder, recursive=True, num_enc_workers=options.processes)
    within = int(options.widest if options.sweep else options.threshold)
    found = method.find_duplicates(
        encoding_map=encodings, max_distance_threshold=within, scores=True, num_dist_workers=options.processes
    )
    pairs = sorted(
        {(*sorted((name, other)), int(distance)) for name, others in found.items() for other, distance in others}
    )
    whole = [(os.path.join(options.folder, a), os.path.join(options.folder, b), d) for a, b, d in pairs]
    failed = [
        (path, "not encoded")
        for path in common.walk(options.folder)
        if os.path.relpath(path, options.folder) not in encodings
    ]
    if options.sweep:
        common.write(options.out, distances=whole, failed=failed)
        return
    remove = method.find_duplicates_to_remove(
        encoding_map=encodings, max_distance_threshold=within, num_dist_workers=options.processes
    )
    common.write(
        options.out,
        pairs=[(a, b) for a, b, _ in whole],
        remove=[os.path.join(options.folder, name) for name in remove],
        failed=failed,
    )


if __name__ == "__main__":
    main()
