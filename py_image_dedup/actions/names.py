"""Names at the target that nothing has yet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

_LONGEST_NAME: Final = 255  # bytes; what Linux file systems allow


def free_places(wanted: Sequence[str]) -> list[str]:
    """Return the paths of a picture and its companions, with one counter for all if any of them is taken."""
    return next(places for places in counted(wanted) if not any(map(os.path.lexists, places)))


def counted(wanted: Sequence[str]) -> Iterator[list[str]]:
    """Yield the paths, then "name (1).ext", "name (2).ext" ..., none longer than a file system allows.

    What follows the stem of the first in the others stays: ``b.jpg`` and ``b.jpg.xmp`` get ``b (1).jpg.xmp``.
    """
    yield list(wanted)
    stem = os.path.splitext(os.path.basename(wanted[0]))[0]
    parts = [_split(path, stem) for path in wanted]
    number = 0
    while True:
        number += 1
        surplus = max(_surplus(name, f" ({number}){rest}") for _, name, rest in parts)
        yield [os.path.join(folder, f"{name[: len(name) - surplus]} ({number}){rest}") for folder, name, rest in parts]


def _split(path: str, stem: str) -> tuple[str, str, str]:
    """Return folder, stem and the rest of the name."""
    folder, name = os.path.split(path)
    if name[: len(stem)].lower() == stem.lower():
        return folder, name[: len(stem)], name[len(stem) :]
    return folder, *os.path.splitext(name)


def _surplus(name: str, suffix: str) -> int:
    """Return how many letters a stem has to lose for the name to fit."""
    room = _LONGEST_NAME - len(os.fsencode(suffix))
    return next((cut for cut in range(len(name)) if len(os.fsencode(name[: len(name) - cut])) <= room), len(name))
