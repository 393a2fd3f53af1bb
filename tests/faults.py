"""Faults at every step on disk: each call that changes something is counted and told before it happens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

from py_image_dedup.actions import relocation

STEPS: Final = (
    *(
        (os, name)
        for name in ("write", "fsync", "link", "unlink", "rename", "rmdir", "mkdir", "open", "utime", "chmod")
    ),
    (shutil, "copystat"),
    (relocation, "rename"),
)
"""What changes the disk, or makes a change last."""


@contextmanager
def told(step: Callable[[], None]) -> Iterator[None]:
    """Call `step` before each change of the disk while the block runs, and in the middle of each copy."""
    originals = [(module, name, getattr(module, name)) for module, name in STEPS]
    originals.append((shutil, "copyfileobj", shutil.copyfileobj))
    try:
        for module, name, original in originals[:-1]:
            setattr(module, name, _watched(original, step))
        shutil.copyfileobj = _copy_in_halves(step)  # type: ignore[assignment]
        yield
    finally:
        for module, name, original in originals:
            setattr(module, name, original)


def _watched(original: Callable[..., Any], step: Callable[[], None]) -> Callable[..., Any]:
    def watched(*arguments: Any, **options: Any) -> Any:
        step()
        return original(*arguments, **options)

    return watched


def _copy_in_halves(step: Callable[[], None]) -> Callable[[IO[bytes], IO[bytes], int], None]:
    def copy(source: IO[bytes], target: IO[bytes], _length: int = 0) -> None:
        data = source.read()
        target.write(data[: len(data) // 2])
        target.flush()
        step()
        target.write(data[len(data) // 2 :])

    return copy


class Countdown:
    """Does something at a certain step, and tells whether it came so far."""

    def __init__(self, steps: int, then: Callable[[], None]) -> None:
        self.left = steps
        self._then = then

    def __call__(self) -> None:
        """Count one step."""
        self.left -= 1
        if self.left < 0:
            self._then()

    @property
    def struck(self) -> bool:
        """Tell whether the step was reached."""
        return self.left < 0
