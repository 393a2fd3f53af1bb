"""Care of a store as a whole, all origins together: what it holds, newer layouts, and getting rid of what is unused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Part:
    """One index or table: its name, the version of its layout, and how much is in it.

    ``size`` is in bytes, -1 where the server does not tell us.
    """

    name: str
    version: int
    documents: int
    size: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a store holds.  ``origins``: how many files each has; ``outdated``: contents to be analysed anew."""

    location: str
    software: str
    health: str
    parts: tuple[Part, ...]
    origins: tuple[tuple[str, int], ...]
    outdated: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was dropped as unused: contents that no file has, signatures of old versions, looks at such contents."""

    contents: int
    signatures: int
    looks: int


class Care(Protocol):
    """What can be done to a store as a whole.

    Whatever writes keeps all runs away meanwhile: :class:`~py_image_dedup.errors.StoreUnavailable` names one that is
    under way.  `note` is told how it goes.
    """

    def inventory(self) -> Inventory:
        """Count what is there."""

    def migrate(self, note: Note) -> Sequence[str]:
        """Bring what has the layout of an older version to that of this one; return the names of what was changed."""

    def rebuild(self, note: Note) -> Sequence[str]:
        """Write everything anew from what is recorded; return the names of what was written."""

    def compact(self, note: Note) -> Dropped:
        """Drop what is unused, and give its room back."""

    def close(self) -> None:
        """Let go of the store; closing twice is no error."""
