"""From matches to groups: a keeper, and the files that match *it*.  Pure.

Matching is not transitive: A near B and B near C do not remove C for A.  So within every set of connected files
the best comes first and takes all that match it; the best of those still left becomes the next keeper.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from py_image_dedup.model import Candidate, Facts, Group, Level, Match, Member
from py_image_dedup.ranking import decide, key

_MOST_STRETCH = 1.5
"""How far the shapes (width / height) of duplicates may differ: signatures do not see stretching, people do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """What makes a match, and which rules choose the keeper.

    `max_distance`: up to here a match is a duplicate; `review_distance`: up to here it is similar (0..1 each).
    `max_mtime_difference_ns`: files further apart in time do not match; None for no limit.
    `across_roots`: whether files below different roots match.
    """

    rules: Sequence[str]
    max_distance: float
    review_distance: float
    max_mtime_difference_ns: int | None = None
    across_roots: bool = True


class Neighbours:
    """Which contents are near which: matches looked up from both ends."""

    def __init__(self, matches: Iterable[Match], *, whole: Mapping[str, bool]) -> None:
        """`whole` tells of each content whether it may match others by look; several frames match by bytes only."""
        self._near: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for a, b, distance, _ in matches:
            if whole.get(a, False) and whole.get(b, False):
                self._near[a][b] = distance
                self._near[b][a] = distance

    def of(self, content: str) -> Mapping[str, float]:
        """Return the contents near this one, with their distances; itself is not among them."""
        return self._near.get(content, {})

    def distance(self, a: str, b: str) -> float | None:
        """Return the distance of two contents, 0 for equal ones, None if they do not match."""
        return 0.0 if a == b else self.of(a).get(b)


Same = Callable[[Candidate, Candidate], bool]
"""Tells of two near files with different bytes whether they show the same picture."""

Connected = list[Candidate]
Kept = list[tuple[Candidate, list[Member]]]
Run = Callable[[Callable[[Connected], Kept], Iterable[Connected]], Iterable[Kept]]
"""Applies a function to many independent sets of files, in order: ``map``, or the ``map`` of a pool."""


def group(
    candidates: Sequence[Candidate],
    matches: Iterable[Match],
    *,
    by: Grouping,
    same: Same = lambda _a, _b: True,
    run: Run = map,
) -> list[Group]:
    """Form groups of the candidates, sorted by the path of their keepers.

    `same` is asked only about pairs that would become keeper and duplicate; what it refuses is similar at most.
    The result depends on the candidates, matches, rules and answers only, never on their order.
    """
    whole = {candidate.file.content: candidate.facts.frames == 1 for candidate in candidates}
    near = Neighbours(matches, whole=whole)
    sides: defaultdict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        sides["" if by.across_roots else candidate.root].append(candidate)
    groups = [found for side in sides.values() for found in _OneSide(side, near, by, same).groups(run)]
    return sorted(groups, key=lambda found: os.fsencode(found.keeper.file.path))


class _OneSide:
    """Files that may match each other: all of them, or those below one root."""

    def __init__(self, candidates: Sequence[Candidate], near: Neighbours, by: Grouping, same: Same) -> None:
        self._near = near
        self._by = by
        self._same = same
        self._holders: defaultdict[str, list[Candidate]] = defaultdict(list)
        for candidate in candidates:
            self._holders[candidate.file.content].append(candidate)
        self._mean = {content: self._mean_distance(content) for content in self._holders}

    def groups(self, run: Run) -> Iterator[Group]:
        """Yield the groups of this side, in no particular order."""
        kept = [one for some in run(self._keepers, self._connected()) for one in some]
        similar = self._similar(sorted((keeper for keeper, _ in kept), key=self._key))
        for keeper, duplicates in kept:
            if members := (*duplicates, *similar.get(keeper.file.path, ())):
                yield Group(keeper, members)

    def _keepers(self, connected: Connected) -> Kept:
        """Split connected files into keepers and the duplicates that each takes."""
        kept: Kept = []
        left = sorted(connected, key=self._key)
        while left:
            keeper, *others = left
            taken = {other.file.path: self._duplicate(keeper, other) for other in others}
            kept.append((keeper, [member for member in taken.values() if member]))
            left = [other for other in others if not taken[other.file.path]]
        return kept

    def _connected(self) -> Iterator[Connected]:
        """Yield sets of files that chains of duplicates connect, single files included."""
        met: set[str] = set()
        for start in self._holders:
            if start in met:
                continue
            met.add(start)
            contents = [start]
            for content in contents:
                for other, distance in self._near.of(content).items():
                    if other not in met and self._are_duplicates(content, other, distance):
                        met.add(other)
                        contents.append(other)
            yield [holder for content in contents for holder in self._holders[content]]

    def _similar(self, standing: Sequence[Candidate]) -> Mapping[str, list[Member]]:
        """List each file that stays once, below the best file it is only similar to."""
        found: defaultdict[str, list[Member]] = defaultdict(list)
        stays: defaultdict[str, list[Candidate]] = defaultdict(list)
        for candidate in standing:
            stays[candidate.file.content].append(candidate)
        listed: set[str] = set()
        for keeper in standing:
            for content, distance in sorted(self._near.of(keeper.file.content).items()):
                for other in stays.get(content, ()):
                    path = other.file.path
                    if path not in listed and self._before(keeper, other) and self._is_similar(keeper, other, distance):
                        listed.add(path)
                        found[keeper.file.path].append(self._member(keeper, other, distance, Level.SIMILAR))
        return found

    def _duplicate(self, keeper: Candidate, other: Candidate) -> Member | None:
        distance = self._near.distance(keeper.file.content, other.file.content)
        if distance is None or not self._near_in_time(keeper, other):
            return None
        one, another = keeper.file.content, other.file.content
        if not self._are_duplicates(one, another, distance) or (one != another and not self._same(keeper, other)):
            return None
        return self._member(keeper, other, distance, Level.DUPLICATE)

    def _member(self, keeper: Candidate, other: Candidate, distance: float, level: Level) -> Member:
        verdict = decide((keeper, self._mean_of(keeper)), (other, self._mean_of(other)), self._by.rules)
        return Member(other, distance, level, verdict.rule, verdict.reason)

    def _are_duplicates(self, a: str, b: str, distance: float) -> bool:
        """Tell whether two contents are near enough for duplicates; False for one that no file here holds."""
        if a == b:
            return True
        if distance > self._by.max_distance or a not in self._holders or b not in self._holders:
            return False
        return _stretch(self._holders[a][0].facts, self._holders[b][0].facts) <= _MOST_STRETCH

    def _is_similar(self, keeper: Candidate, other: Candidate, distance: float) -> bool:
        widest = max(self._by.max_distance, self._by.review_distance)
        return distance <= widest and self._near_in_time(keeper, other)

    def _near_in_time(self, a: Candidate, b: Candidate) -> bool:
        limit = self._by.max_mtime_difference_ns
        return limit is None or abs(a.file.mtime_ns - b.file.mtime_ns) <= limit

    def _before(self, keeper: Candidate, other: Candidate) -> bool:
        return self._key(keeper) < self._key(other)

    def _key(self, candidate: Candidate) -> tuple[int | float | bytes, ...]:
        return key(candidate, self._mean_of(candidate), self._by.rules)

    def _mean_of(self, candidate: Candidate) -> float:
        return self._mean[candidate.file.content]

    def _mean_distance(self, content: str) -> float:
        """Average the distances from one file of this content to every other file that is its duplicate."""
        others = len(self._holders[content]) - 1
        total = 0.0
        for other, distance in sorted(self._near.of(content).items()):
            if self._are_duplicates(content, other, distance):
                others += len(self._holders[other])
                total += distance * len(self._holders[other])
        return round(total / others, 12) if others else 0.0  # no noise of the sum's order may decide a tie


def _stretch(a: Facts, b: Facts) -> float:
    """Return by what factor two pictures differ in shape, 1 or more."""
    ratio = (a.width * b.height) / (a.height * b.width)
    return max(ratio, 1 / ratio)
