"""How an act ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from py_image_dedup.files import printable
from py_image_dedup.plan import PlannedAct


class Result(StrEnum):
    """How an act ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """An act and how it ended: for a move ``detail`` is where the file went, else the reason.

    ``gone``: the paths at which nothing is any more; ``freed``: bytes that the folder holds less now.
    """

    act: PlannedAct
    result: Result
    detail: str
    gone: tuple[str, ...] = ()
    freed: int = 0


def reason_of(error: Exception) -> str:
    """Return why something failed, with the path at fault where that is known."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    path = error.filename2 or error.filename
    return f"{error.strerror}: {printable(path)}" if isinstance(path, str) else error.strerror
