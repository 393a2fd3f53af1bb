"""Which of several copies is the best: rules, the order they give, and the reason in words.  Pure.

To add a rule, add a line to ``MEASURES``: both directions come from one measure, so they cannot disagree.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from py_image_dedup.model import Candidate

Number = int | float
Key = tuple[Number | bytes, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that can be larger or smaller, and the two rules that prefer either.

    `of` takes a candidate and its mean distance to the others; `show` prints one value.
    """

    more: str
    less: str
    of: Callable[[Candidate, float], Number]
    show: Callable[[Number], str]
    more_words: str
    less_words: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One direction of a measure."""

    name: str
    measure: Measure
    sign: int
    words: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The rule that put one file before another, and why, in words."""

    rule: str
    reason: str


def _name(candidate: Candidate) -> str:
    return os.path.basename(candidate.file.path)


def _folder(candidate: Candidate) -> str:
    return os.path.dirname(candidate.file.path)


def date(value: Number) -> str:
    """Print a time in nanoseconds since 1970, in UTC."""
    try:
        return f"{dt.datetime.fromtimestamp(value / 1e9, tz=dt.UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError):  # a broken disk or clock left a time that no calendar knows
        return f"{value / 1e9:.0f} seconds from 1970"


def _count(unit: str) -> Callable[[Number], str]:
    return lambda value: f"{value:.0f} {unit}"


def _decimals(value: Number) -> str:
    return f"{value:.3f}"


MEASURES: Final = (
    Measure("higher-pixel-count", "lower-pixel-count", lambda c, _: c.facts.pixels,
            lambda v: f"{v / 1e6:.2f} MP" if v >= 1e6 else f"{v:.0f} px", "more pixels", "fewer pixels"),
    Measure("more-exif-data", "less-exif-data", lambda c, _: c.facts.exif_count,
            _count("tags"), "more EXIF data", "less EXIF data"),
    Measure("bigger-file-size", "smaller-file-size", lambda c, _: c.file.size,
            lambda v: f"{v / 1e6:.2f} MB" if v >= 1e6 else f"{v:.0f} bytes", "bigger file", "smaller file"),
    Measure("newer-file-modification-date", "older-file-modification-date", lambda c, _: c.file.mtime_ns,
            date, "newer", "older"),
    Measure("bigger-distance", "smaller-distance", lambda _, d: d,
            _decimals, "farther from the others", "nearer to the others"),
    Measure("contains-copy-in-file-name", "doesnt-contain-copy-in-file-name",
            lambda c, _: "copy" in _name(c).lower(), lambda _: "",
            'has "copy" in its name', 'has no "copy" in its name'),
    Measure("longer-file-name", "shorter-file-name", lambda c, _: len(_name(c)),
            _count("characters"), "longer file name", "shorter file name"),
    Measure("longer-path", "shorter-path", lambda c, _: len(c.file.path),
            _count("characters"), "longer path", "shorter path"),
    Measure("longer-folder-path", "shorter-folder-path", lambda c, _: len(_folder(c)),
            _count("characters"), "longer folder path", "shorter folder path"),
    Measure("higher-score", "lower-score", lambda _, d: 1.0 - d,
            _decimals, "higher score", "lower score"),
)  # fmt: skip
"""Every measure.  A candidate's distance is its mean to the others of its kind, its score is 1 - distance."""

RULES: Final[dict[str, Rule]] = {
    rule.name: rule
    for measure in MEASURES
    for rule in (
        Rule(measure.more, measure, -1, measure.more_words),
        Rule(measure.less, measure, 1, measure.less_words),
    )
}

BY_PERSON: Final = Verdict("kept", "kept: you said so")
BY_COLOUR: Final = Verdict("colour", "in colour")
BY_PATH: Final = Verdict("path", "equal by every rule, first by path")


def key(candidate: Candidate, mean_distance: float, rules: Sequence[str]) -> Key:
    """Return what sorts a candidate among others: the best has the smallest key.

    Before all rules, a file that stores no colour comes after one that does: its loss could not be made good.
    Ties end with the path.
    """
    values = (RULES[name] for name in rules)
    return (
        candidate.facts.grey,
        *(rule.sign * rule.measure.of(candidate, mean_distance) for rule in values),
        os.fsencode(candidate.file.path),
    )


def decide(winner: tuple[Candidate, float], loser: tuple[Candidate, float], rules: Sequence[str]) -> Verdict:
    """Say which rule puts the winner, with its mean distance, before the loser."""
    if winner[0].facts.grey != loser[0].facts.grey:
        return BY_COLOUR
    for name in rules:
        rule = RULES[name]
        best, other = rule.measure.of(*winner), rule.measure.of(*loser)
        if best != other:
            shown, against = rule.measure.show(best), rule.measure.show(other)
            details = "" if shown == against else f" ({shown} against {against})"
            return Verdict(name, rule.words + details)
    return BY_PATH
