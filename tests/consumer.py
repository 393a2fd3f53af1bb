"""How people use the library with types: checked by mypy in strict mode, and run by test_library_types.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import py_image_dedup as dedup
from py_image_dedup.errors import DedupError
from py_image_dedup.kinds.interface import Kind
from py_image_dedup.kinds.tensor import Tensor


def largest(search: dedup.Search) -> dict[str, list[str]]:
    """Return by keeper the paths of its copies."""
    found: dict[str, list[str]] = {}
    for group in search:
        keeper: dedup.Picture = group.keeper
        copies: tuple[dedup.Copy, ...] = group.copies
        found[keeper.path] = [copy.path for copy in copies if copy.distance <= 5.0 and copy.width * copy.height > 0]
    return found


def main(folder: str | os.PathLike[str]) -> int:
    """Search a folder, and say how many copies there are."""
    kind: Kind = Tensor(side=32)
    try:
        collection: dedup.Collection = dedup.build(folder, kind=kind, show_progress=False)
        search = dedup.search(collection, 5.0, rotate=False, show_progress=False)
    except DedupError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    invalid: Mapping[str, str] = search.invalid_files
    lower: list[str] = search.lower_quality
    first: dedup.Copies | None = search[0] if search else None
    sys.stdout.write(f"{len(largest(search))} {len(lower)} {len(invalid)} {first is not None and len(first)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
