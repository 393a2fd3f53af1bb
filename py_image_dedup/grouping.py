"""From matches to groups: a keeper, and the files that match *it*.  Pure.

Matching is not transitive: A near B and B near C do not remove C for A.  So within every set of connected files
the best comes first and takes all that match it; the best of those still left becomes the next keeper.  Once it is
known who stays, each file that goes is put below the nearest keeper that is better than it: a small copy of a photo
belongs to that photo, not to its larger version with a watermark too faint to be seen in the copy.

What a person has said comes before all this: see :class:`~py_image_dedup.model.Decisions`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Final, NamedTuple, Protocol, TypeVar

from py_image_dedup.model import Candidate, Decisions, Facts, Group, Level, Match, Member, Turn
from py_image_dedup.ranking import BY_PERSON, Key, decide, key

MOST_STRETCH: Final = 1.5
"""How far the shapes of duplicates may differ, if nothing else is said."""
_LARGE = 32  # files of one set, from which they and not the sets are looked at side by side
_LEAST_PIECE = 8  # of them handed to a thread at once: most pairs of a long series cost less than that does
_MOST_PIECES = 16  # to hand out for one keeper

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """What makes a match, and which rules choose the keeper.

    `max_distance`: up to here a match is a duplicate; `review_distance`: up to here it is similar (0..1 each).
    `max_mtime_difference_ns`: files further apart in time do not match; None for no limit.
    `across_roots`: whether files below different roots match.  `decisions`: what a person has said of contents.
    `most_stretch`: by what factor the shapes (width / height) of duplicates may differ: signatures do not see
    stretching, people do.
    """

    rules: Sequence[str]
    max_distance: float
    review_distance: float
    max_mtime_difference_ns: int | None = None
    across_roots: bool = True
    decisions: Decisions = field(default_factory=Decisions)
    most_stretch: float = MOST_STRETCH


class Near(NamedTuple):
    """How near a content is to another, what must be done to it to look like that one, and whether one is a part."""

    distance: float
    turn: Turn = Turn.UPRIGHT
    part: bool = False


class Neighbours:
    """Which contents are near which: matches looked up from both ends."""

    def __init__(self, matches: Iterable[Match], *, whole: Mapping[str, bool]) -> None:
        """`whole` tells of each content whether it may match others by look; several frames match by bytes only."""
        self._near: defaultdict[str, dict[str, Near]] = defaultdict(dict)
        for a, b, distance, turn, part in matches:
            if whole.get(a, False) and whole.get(b, False):
                near = self._near[a][b] = Near(distance, turn, part)
                self._near[b][a] = near if (back := turn.inverse) is turn else Near(distance, back, part)

    def of(self, content: str) -> Mapping[str, Near]:
        """Return the contents near this one; itself is not among them."""
        return self._near.get(content, {})

    def between(self, a: str, b: str) -> Near | None:
        """Return how near `b` is to `a`, at distance 0 for equal ones; None if they do not match."""
        return Near(0.0) if a == b else self.of(a).get(b)


Same = Callable[[Candidate, Candidate, Turn], bool]
"""Tells of two near files with different bytes whether they show the same picture, once the second is turned so."""

Connected = list[Candidate]
Kept = list[tuple[Candidate, list[Member]]]


class Mapper(Protocol):
    """Applies a function to many things that do not depend on each other, in order: ``map``, or that of a pool."""

    def __call__(self, function: Callable[[A], B], things: Iterable[A], /) -> Iterable[B]:
        """Return what the function makes of each."""


def group(
    candidates: Sequence[Candidate],
    matches: Iterable[Match],
    *,
    by: Grouping,
    same: Same = lambda _a, _b, _turn: True,
    run: Mapper = map,
) -> list[Group]:
    """Form groups of the candidates, sorted by the path of their keepers.

    `same` is asked only about pairs that would become keeper and duplicate; what it refuses is similar at most.
    The result depends on the candidates, matches, rules and answers only, never on their order.
    """
    whole = {candidate.file.content: candidate.facts.frames == 1 for candidate in candidates}
    near = Neighbours((one for one in matches if not by.decisions.are_different(one.a, one.b)), whole=whole)
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
        facts = ((content, holders[0].facts) for content, holders in self._holders.items())
        self._seen = {content: shown for content, shown in facts if not shown.is_raw}  # of raw ones only previews were
        # A raw file goes where its picture goes; that one stands for both among similar pictures.
        self._pictured = {_shot(candidate) for candidate in candidates if not candidate.facts.is_raw}
        self._mean = {content: self._mean_distance(content) for content in self._holders}
        self._foreign: defaultdict[str, list[Candidate]] = defaultdict(list)
        for a, b in by.decisions.different:
            self._foreign[a] += self._holders.get(b, ())[:1]
            self._foreign[b] += self._holders.get(a, ())[:1]

    def groups(self, run: Mapper) -> Iterator[Group]:
        """Yield the groups of this side, in no particular order."""
        sets = list(self._connected())
        kept = [one for some in run(self._keepers, (few for few in sets if len(few) < _LARGE)) for one in some]
        for many in sets:
            if len(many) >= _LARGE:
                kept += self._keepers(many, run)
        similar = self._similar(kept)
        for keeper, duplicates in kept:
            if members := (*duplicates, *similar.get(keeper.file.path, ())):
                yield Group(keeper, members)

    def _keepers(self, connected: Connected, run: Mapper = map) -> Kept:
        """Split connected files into keepers and the duplicates of each."""
        kept: Kept = []
        left = sorted(connected, key=self._key)
        while left:
            keeper, *others = left
            near = {keeper.file.content, *self._near.of(keeper.file.content)}
            asked = [other for other in others if other.file.content in near]
            found = [member for member in _in_pieces(partial(self._duplicate, keeper), asked, run) if member]
            taken = {member.candidate.file.path for member in found}
            kept.append((keeper, found))
            left = [other for other in others if other.file.path not in taken]
        return self._nearest(kept, run) if len(kept) > 1 else kept

    def _nearest(self, kept: Kept, run: Mapper) -> Kept:
        """Put each duplicate below the nearest keeper that is before it, the better one of two that are as near."""
        keepers: defaultdict[str, list[Candidate]] = defaultdict(list)
        members: dict[str, list[Member]] = {}
        for keeper, _ in kept:
            keepers[keeper.file.content].append(keeper)
            members[keeper.file.path] = []

        def nearest(first: tuple[Candidate, Member]) -> tuple[Candidate, Member]:
            _, member = first
            for *_, nearer in sorted(self._nearer(member, keepers), key=itemgetter(0, 1)):
                if found := self._duplicate(nearer, member.candidate):
                    return nearer, found
            return first

        duplicates = [(keeper, member) for keeper, found in kept for member in found]
        for keeper, member in _in_pieces(nearest, duplicates, run):
            members[keeper.file.path].append(member)
        return [(keeper, members[keeper.file.path]) for keeper, _ in kept]

    def _nearer(self, member: Member, keepers: Mapping[str, list[Candidate]]) -> Iterator[tuple[float, Key, Candidate]]:
        """Yield the keepers that are nearer to a member than its own, and before it, with distance and rank."""
        other = member.candidate
        for content, near in {other.file.content: Near(0.0), **self._near.of(other.file.content)}.items():
            if near.distance < member.distance:
                for keeper in keepers.get(content, ()):
                    if self._before(keeper, other):
                        yield near.distance, self._key(keeper), keeper

    def _connected(self) -> Iterator[Connected]:
        """Yield sets of files that chains of duplicates connect, single files included."""
        met: set[str] = set()
        for start in self._holders:
            if start in met:
                continue
            met.add(start)
            contents = [start]
            for content in contents:
                for other, near in self._near.of(content).items():
                    if other not in met and self._are_duplicates(content, other, near):
                        met.add(other)
                        contents.append(other)
            yield [holder for content in contents for holder in self._holders[content]]

    def _similar(self, kept: Kept) -> Mapping[str, list[Member]]:
        """List each file that stays once at most, so that what hangs together stands together.

        The file that most others belong to, as duplicates or as similar ones, takes all that are similar to it; then
        the next, and so on.  One that has taken others is not listed below one of those.
        """
        kept = [one for one in kept if not (one[0].facts.is_raw and _shot(one[0]) in self._pictured)]
        stays: defaultdict[str, list[Candidate]] = defaultdict(list)
        for keeper, _ in kept:
            stays[keeper.file.content].append(keeper)
        neighbours = {keeper.file.path: list(self._similar_to(keeper, stays)) for keeper, _ in kept}
        size = {keeper.file.path: len(neighbours[keeper.file.path]) + len(members) for keeper, members in kept}
        found: dict[str, list[Member]] = {}
        listed: set[str] = set()
        for keeper in sorted((keeper for keeper, _ in kept), key=lambda one: (-size[one.file.path], self._key(one))):
            new = [
                one
                for one in neighbours[keeper.file.path]
                if one[1].file.path not in listed and one[1].file.path not in found
            ]
            listed.update(other.file.path for _, other in new)
            if new:
                found[keeper.file.path] = [self._member(keeper, other, near, Level.SIMILAR) for near, other in new]
        return found

    def _similar_to(self, keeper: Candidate, stays: Mapping[str, list[Candidate]]) -> Iterator[tuple[Near, Candidate]]:
        for content, near in sorted(self._near.of(keeper.file.content).items()):
            for other in stays.get(content, ()):
                if self._is_similar(keeper, other, near):
                    yield near, other

    def _duplicate(self, keeper: Candidate, other: Candidate) -> Member | None:
        one, another = keeper.file.content, other.file.content
        near = self._near.between(one, another)
        if near is None or not self._near_in_time(keeper, other):
            return None
        if one != another and (another in self._by.decisions.kept or not self._agree(keeper, other, near)):
            return None
        if one != another and any(self._agree(keeper, foreign) for foreign in self._foreign.get(another, ())):
            return None  # a person called them different, and the keeper looks like both: of which is it a copy?
        return self._member(keeper, other, near, Level.DUPLICATE)

    def _agree(self, keeper: Candidate, other: Candidate, near: Near | None = None) -> bool:
        """Tell whether two files with different bytes show the same, as far as the program can tell."""
        one, another = keeper.file.content, other.file.content
        near = near or self._near.between(one, another)
        return near is not None and self._are_duplicates(one, another, near) and self._same(keeper, other, near.turn)

    def _member(self, keeper: Candidate, other: Candidate, near: Near, level: Level) -> Member:
        one, another = (keeper, self._mean_of(keeper)), (other, self._mean_of(other))
        if self._before(keeper, other):
            named = keeper.file.content == other.file.content and self._is_named(keeper) > self._is_named(other)
            verdict = BY_PERSON if named else decide(one, another, self._by.rules)
            return Member(other, near.distance, level, verdict.rule, verdict.reason, near.turn, near.part)
        verdict = decide(another, one, self._by.rules)
        reason = f"would win: {verdict.reason}"
        return Member(other, near.distance, level, verdict.rule, reason, near.turn, near.part, better=True)

    def _are_duplicates(self, a: str, b: str, near: Near) -> bool:
        """Tell whether two contents are near enough for duplicates; False for one that no file here holds."""
        if a == b:
            return True
        if near.part or near.distance > self._by.max_distance:
            return False
        one, other = self._seen.get(a), self._seen.get(b)
        return one is not None and other is not None and stretch(one, other, near.turn) <= self._by.most_stretch

    def _is_similar(self, keeper: Candidate, other: Candidate, near: Near) -> bool:
        widest = max(self._by.max_distance, self._by.review_distance)
        return near.distance <= widest and self._near_in_time(keeper, other)

    def _near_in_time(self, a: Candidate, b: Candidate) -> bool:
        limit = self._by.max_mtime_difference_ns
        return limit is None or abs(a.file.mtime_ns - b.file.mtime_ns) <= limit

    def _before(self, keeper: Candidate, other: Candidate) -> bool:
        return self._key(keeper) < self._key(other)

    def _key(self, candidate: Candidate) -> Key:
        """Return what sorts files; of equal ones whose content is kept those that a person named come first."""
        content = candidate.file.content
        own = key(candidate, self._mean_of(candidate), self._by.rules)
        if content not in self._by.decisions.kept:
            return own
        best = min(key(holder, self._mean_of(holder), self._by.rules) for holder in self._holders[content])
        return (*best, not self._is_named(candidate), *own)

    def _is_named(self, candidate: Candidate) -> bool:
        return candidate.file.path in self._by.decisions.kept.get(candidate.file.content, ())

    def _mean_of(self, candidate: Candidate) -> float:
        return self._mean[candidate.file.content]

    def _mean_distance(self, content: str) -> float:
        """Average the distances from one file of this content to every other file that is its duplicate."""
        others = len(self._holders[content]) - 1
        total = 0.0
        for other, near in sorted(self._near.of(content).items()):
            if self._are_duplicates(content, other, near):
                others += len(self._holders[other])
                total += near.distance * len(self._holders[other])
        return round(total / others, 12) if others else 0.0  # no noise of the sum's order may decide a tie


def _in_pieces(function: Callable[[A], B], things: Sequence[A], run: Mapper) -> list[B]:
    """Apply a function to all things, a piece of them at a time."""
    size = max(_LEAST_PIECE, -(-len(things) // _MOST_PIECES))
    pieces = [things[start : start + size] for start in range(0, len(things), size)]
    return [one for found in run(lambda piece: list(map(function, piece)), pieces) for one in found]


def _shot(candidate: Candidate) -> tuple[str, str]:
    """Return what a raw file and the picture that was put beside it have in common: folder and stem."""
    folder, name = os.path.split(candidate.file.path)
    return folder, os.path.splitext(name)[0].lower()


def stretch(a: Facts, b: Facts, turn: Turn) -> float:
    """Return by what factor two pictures differ in shape once the second is turned so, 1 or more."""
    width, height = (b.height, b.width) if turn.lays_over else (b.width, b.height)
    ratio = (a.width * height) / (a.height * width)
    return max(ratio, 1 / ratio)
