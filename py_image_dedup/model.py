"""The words of the program as frozen data: file, content, record, match, group.

Paths are ``str`` with surrogate escapes (``os.fsdecode``), so that every name Linux allows survives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as the walker met it on disk, not opened yet.

    ``size`` in bytes, ``mtime_ns`` in nanoseconds since 1970.
    """

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class File:
    """What the store knows of one path of one origin.

    ``content`` is the SHA-256 of the bytes (hex), the key of the :class:`Content`.  A file that no decoder could
    read has ``problem`` set to the reason and ``reader`` to the decoders that tried, and has no content in the store.
    """

    origin: str
    path: str
    size: int
    mtime_ns: int
    content: str
    problem: str = ""
    reader: str = ""

    def unchanged(self, seen: Seen) -> bool:
        """Tell whether the disk still shows what was recorded (size and mtime_ns)."""
        return self.size == seen.size and self.mtime_ns == seen.mtime_ns


RAW: Final = "RAW"
"""The format of all cameras' raw files."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a picture says about itself; pixels as shown upright.

    ``frames`` counts frames or pages.  ``exif_count`` is the number of EXIF tags,
    ``taken`` the EXIF capture date as written there (``2024:05:01 12:00:00``) or the empty string.  ``grey`` tells
    that the picture shows no colour.
    """

    format: str
    width: int
    height: int
    frames: int = 1
    exif_count: int = 0
    taken: str = ""
    grey: bool = False

    @property
    def is_raw(self) -> bool:
        """Whether only the preview in a raw file was seen: nothing but the same bytes is a duplicate of it."""
        return self.format == RAW

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """What is known of one sequence of bytes, keyed by its SHA-256 (hex).

    ``thumbnail``: 64x64 grey, upright, area-averaged; uint8, shape (64, 64).
    ``signature``: the ``goldberg`` signature, int8, shape (648,); all zero for a featureless picture.
    """

    hash: str
    facts: Facts
    thumbnail: npt.NDArray[np.uint8]
    signature: npt.NDArray[np.int8]


CELL: Final = 4
"""Side in pixels of the cells of a view; all blocks that are compared are made of cells."""


_SAME_LIGHT: Final = 1.1  # programs round; the shots of a bracket are at least 1.2 times as long as each other
_SHORT: Final = 0.3  # seconds, up to which people tell times of exposure as 1/n


class Exposure(NamedTuple):
    """When and how a photo was taken; empty or 0 for what is not known.

    ``date``: fourteen digits, by the camera's clock; ``fraction``: of that second, the digits behind the point, as many
    as a program left; ``seconds`` the shutter was open; ``aperture``: f-number; ``sensitivity``: ISO.
    """

    date: str = ""
    fraction: str = ""
    seconds: float = 0.0
    aperture: float = 0.0
    sensitivity: float = 0.0

    def is_other_than(self, other: Exposure) -> bool:
        """Tell whether something that is known of both differs, so that they are two shots."""
        written = zip(self[:2], other[:2], strict=True)
        measured = zip(self[2:], other[2:], strict=True)
        return any(x[: len(y)] != y[: len(x)] for x, y in written) or any(
            x and y and max(x, y) > _SAME_LIGHT * min(x, y) for x, y in measured
        )

    @property
    def words(self) -> str:
        """What is known of it."""
        date, fraction, seconds, aperture, sensitivity = self
        told = (
            date and f"{date[:4]}-{date[4:6]}-{date[6:8]} {date[8:10]}:{date[10:12]}:{date[12:]}",
            fraction and f".{fraction}",
            seconds and (f", {seconds:g} s" if seconds > _SHORT else f", 1/{1 / seconds:.0f} s"),
            aperture and f", f/{aperture:g}",
            sensitivity and f", ISO {sensitivity:g}",
        )
        return "".join(one for one in told if one).removeprefix(", ")


class View(NamedTuple):
    """A picture as a person sees it, in the colours of JPEG (YCbCr, full range), to be compared with another.

    ``luma``: uint8, shape (height, width).  ``chroma``: Cb and Cr of cells of 4 pixels, those at the far edges may be
    smaller; uint8, shape (ceil(height / 4), ceil(width / 4), 2).  ``transparent``: the ground shows through somewhere.
    """

    luma: npt.NDArray[np.uint8]
    chroma: npt.NDArray[np.uint8]
    transparent: bool = False
    exposure: Exposure = Exposure()


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A file with its content; ``content`` is None when the store already holds it."""

    file: File
    content: Content | None


class Cause(StrEnum):
    """Why a file or folder could not be used, to be counted by."""

    CHANGED = "changed"
    """It changed while it was looked at."""
    LARGE = "too_large"
    NO_FILE = "no_regular_file"
    """A link, pipe or device."""
    NO_PICTURE = "no_picture"
    """No decoder can read it."""
    UNREADABLE = "unreadable"
    """The system did not let it be read."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that could not be used, and why, in words."""

    path: str
    reason: str
    cause: Cause = field(default=Cause.NO_PICTURE, compare=False)


class Turn(IntEnum):
    """What is done to a picture to look at it another way up; numbered as EXIF orientations, which ask for it."""

    UPRIGHT = 1
    """Nothing."""
    MIRRORED = 2
    """Left and right change places."""
    HALF = 3
    """Turned by 180 degrees."""
    FLIPPED = 4
    """Top and bottom change places."""
    TRANSPOSED = 5
    """Mirrored along the diagonal from the upper left corner."""
    CLOCKWISE = 6
    """Turned by 90 degrees clockwise."""
    TRANSVERSED = 7
    """Mirrored along the diagonal from the upper right corner."""
    COUNTERCLOCKWISE = 8
    """Turned by 90 degrees counterclockwise."""

    @property
    def inverse(self) -> Turn:
        """The turn that takes this one back."""
        if self is Turn.CLOCKWISE:
            return Turn.COUNTERCLOCKWISE
        return Turn.CLOCKWISE if self is Turn.COUNTERCLOCKWISE else self

    @property
    def lays_over(self) -> bool:
        """Tell whether width and height change places."""
        return self >= Turn.TRANSPOSED

    @property
    def words(self) -> str:
        """What people call a picture that needs it; empty for one that is upright."""
        if self is Turn.UPRIGHT:
            return ""
        return "turned" if self in {Turn.HALF, Turn.CLOCKWISE, Turn.COUNTERCLOCKWISE} else "mirrored"


class Match(NamedTuple):
    """Two different contents (hashes, ``a < b``) and the distance of their signatures, 0..1.

    ``turn`` is what must be done to ``b`` to look like ``a``; ``distance`` is that of ``a`` to ``b`` turned so.
    ``part``: one shows a part of the other; then the distance is that to the part, and they are no duplicates.
    """

    a: str
    b: str
    distance: float
    turn: Turn = Turn.UPRIGHT
    part: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What comparing the pixels of two contents showed (hashes, ``a < b``), remembered so that it is done once.

    ``version`` names the way they were compared; ``structure`` is the agreement of the worst block, or of all that is
    in common (-1..1), ``colour`` the difference in chroma of the worst block (0 or more); ``duplicate`` the verdict.
    """

    a: str
    b: str
    version: int
    structure: float
    colour: float
    duplicate: bool


class Level(StrEnum):
    """How sure a match is: a duplicate may be acted on, a similar picture is only shown."""

    DUPLICATE = "duplicate"
    SIMILAR = "similar"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file with the facts that ranking and grouping look at.

    ``root`` is the configured folder it lies below, ``links`` how many names it has on disk.
    """

    file: File
    facts: Facts
    root: str
    links: int = 1


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a group, seen from its keeper: the distance to *that keeper*, the level, and why the keeper won.

    ``turn`` is what must be done to the file to look like the keeper; ``part``: one shows a part of the other;
    ``better``: by the rules the file comes before the keeper, as one that is only similar may.
    """

    candidate: Candidate
    distance: float
    level: Level
    rule: str
    reason: str
    turn: Turn = Turn.UPRIGHT
    part: bool = False
    better: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A keeper and the files that match it."""

    keeper: Candidate
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a person has said of contents, to hold until it is taken back.

    ``kept``: contents (hashes) that never go, with the paths of the files that were named.  ``different``: pairs of
    contents (``a < b``) that never match, with the paths that were named.
    """

    kept: Mapping[str, frozenset[str]] = field(default_factory=dict)
    different: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def are_different(self, a: str, b: str) -> bool:
        """Tell whether a person called these two contents different pictures."""
        return ((a, b) if a < b else (b, a)) in self.different

    def keeps(self, path: str, content: str, *, keeper: str) -> bool:
        """Tell whether a file must not go for a keeper of this content.

        The files that were named never go.  Of others with the same bytes one has to stay, so they go for a keeper
        with these bytes only.
        """
        names = self.kept.get(content)
        return names is not None and (path in names or keeper != content)
