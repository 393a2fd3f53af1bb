"""Several steps that go together: a picture, what belongs to it, and the folders made for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from py_image_dedup import files
from py_image_dedup.actions.outcome import reason_of
from py_image_dedup.actions.steps import finish, perform, take_back
from py_image_dedup.errors import ActionRefused
from py_image_dedup.files import Inode
from py_image_dedup.journal import Step


class HalfDone(ActionRefused):
    """An act failed and could not be taken back whole."""


def carry_out(
    steps: Sequence[Step], seen: Sequence[Inode], made: Sequence[str], *, confirm: Callable[[], None]
) -> None:
    """Do all steps of an act; where one fails, the others and the folders are taken back.

    `confirm` is called before anything is final, and may raise :class:`ActionRefused`.
    """
    begun: list[Step] = []
    try:
        files.make_folders(made)
        for step, as_seen in zip(steps, seen, strict=True):
            perform(step, as_seen)
            begun.append(step)
        confirm()
        for step in reversed(steps):  # the picture last
            finish(step)
            begun.remove(step)
    except BaseException as error:
        problems = list(_taken_back(reversed(begun)))
        unmake(made)
        if problems and isinstance(error, Exception):
            raise HalfDone("; ".join([reason_of(error), *problems])) from error
        raise


def _taken_back(steps: Iterable[Step]) -> Iterator[str]:
    """Take back steps, and yield what could not be, and why."""
    for step in steps:
        try:
            take_back(step)
        except (OSError, ActionRefused) as error:
            yield f"{files.printable(step.path)} could not be brought back: {reason_of(error)}"


def unmake(made: Iterable[str]) -> None:
    """Remove folders that were made for an act, as far as they are empty."""
    for folder in sorted(made, reverse=True):
        try:
            os.rmdir(folder)
        except OSError:
            continue


def times_of(folders: Iterable[str]) -> dict[str, int]:
    """Return the modification times of those folders that are there."""
    times = {}
    for folder in sorted(folders):
        try:
            times[folder] = os.stat(folder).st_mtime_ns
        except OSError:
            continue
    return times
