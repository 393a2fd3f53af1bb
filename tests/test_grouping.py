"""From matches to groups: who keeps, who goes, who is only shown."""

import itertools
import math
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from py_image_dedup.grouping import Grouping, group
from py_image_dedup.model import Candidate, Facts, File, Group, Level, Match, Turn
from py_image_dedup.ranking import RULES, decide, key

PLAIN = Grouping(rules=("higher-pixel-count",), max_distance=0.1, review_distance=0.1)


def content(name: str) -> str:
    return name * 64


def candidate(  # noqa: PLR0917  # a row of a table
    name: str, holds: str, side: int = 100, mtime_ns: int = 0, root: str = "/photos", frames: int = 1
) -> Candidate:
    """Make a file of the root with this content (one letter stands for a hash), a square picture."""
    facts = Facts("JPEG", side, side, frames=frames)
    return Candidate(File("here", f"{root}/{name}", 1000, mtime_ns, content(holds)), facts, root)


def match(a: str, b: str, distance: float) -> Match:
    return Match(content(min(a, b)), content(max(a, b)), distance)


def outline(groups: Iterable[Group]) -> dict[str, dict[str, tuple[float, str]]]:
    """Return for each keeper its members with distance and level, all by file name."""
    return {
        found.keeper.file.path.rpartition("/")[2]: {
            member.candidate.file.path.rpartition("/")[2]: (member.distance, str(member.level))
            for member in found.members
        }
        for found in groups
    }


def distance_of(a: Candidate, b: Candidate, matches: Sequence[Match]) -> float | None:
    if a.file.content == b.file.content:
        return 0.0
    if a.facts.frames > 1 or b.facts.frames > 1:
        return None
    known = {(m.a, m.b): m.distance for m in matches}
    return known.get(pair(a, b))


def pair(a: Candidate, b: Candidate) -> tuple[str, str]:
    low, high = sorted((a.file.content, b.file.content))
    return low, high


@dataclass(frozen=True)
class Situation:
    """Files, matches, wishes, and which pairs of contents turn out different when looked at."""

    candidates: list[Candidate]
    matches: list[Match]
    by: Grouping
    different: frozenset[tuple[str, str]]

    def groups(self) -> list[Group]:
        return group(self.candidates, self.matches, by=self.by, same=self.same)

    def same(self, a: Candidate, b: Candidate, _turn: Turn = Turn.UPRIGHT) -> bool:
        return pair(a, b) not in self.different

    def near_enough(self, a: Candidate, b: Candidate) -> bool:
        """Tell, the slow way, whether two files are near enough, and shaped alike enough, to be duplicates."""
        if a.file.content == b.file.content:
            return True
        distance = distance_of(a, b, self.matches)
        shapes = [Fraction(one.facts.width, one.facts.height) for one in (a, b)]
        near = distance is not None and distance <= self.by.max_distance
        return near and max(shapes) <= min(shapes) * Fraction(3, 2)

    def may_meet(self, a: Candidate, b: Candidate) -> bool:
        limit = self.by.max_mtime_difference_ns
        near = limit is None or abs(a.file.mtime_ns - b.file.mtime_ns) <= limit
        return near and (self.by.across_roots or a.root == b.root)

    def duplicates(self, a: Candidate, b: Candidate) -> bool:
        equal = a.file.content == b.file.content
        return self.may_meet(a, b) and self.near_enough(a, b) and (equal or self.same(a, b))

    def similar(self, a: Candidate, b: Candidate) -> bool:
        distance = distance_of(a, b, self.matches)
        widest = max(self.by.max_distance, self.by.review_distance)
        different = a.file.content != b.file.content
        return different and distance is not None and distance <= widest and self.may_meet(a, b)

    def mean(self, one: Candidate) -> float:
        """Average the distances of a file to all other files on its side that are near enough for duplicates."""
        found = [
            distance
            for other in self.candidates
            if other is not one
            and (self.by.across_roots or other.root == one.root)
            and (distance := distance_of(one, other, self.matches)) is not None
            and self.near_enough(one, other)
        ]
        return round(math.fsum(found) / len(found), 12) if found else 0.0


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Make some files of few contents below two roots, some matches, and some wishes."""
    letters = "abcdefgh"[: draw(st.integers(1, 8))]
    facts = {
        letter: Facts(
            "JPEG",
            draw(st.integers(2, 4)),
            draw(st.integers(2, 3)),
            frames=draw(st.sampled_from([1, 1, 1, 1, 2])),
            exif_count=draw(st.integers(0, 2)),
            grey=draw(st.sampled_from([False, False, True])),
        )
        for letter in letters
    }
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from(letters), st.sampled_from(["/photos", "/backup"]), st.integers(0, 3)),
            max_size=14,
        )
    )
    candidates = [
        Candidate(
            File("here", f"{root}/{number % 3}/{number} {'copy' * (time % 2)}", ord(letter), time, content(letter)),
            facts[letter],
            root,
        )
        for number, (letter, root, time) in enumerate(rows)
    ]
    distances = st.none() | st.sampled_from([0.0, 0.05, 0.1, 0.1 + 1e-12, 0.2, 0.3, 0.5])
    matches = [
        match(a, b, distance)
        for a, b in itertools.combinations(letters, 2)
        if (distance := draw(distances)) is not None
    ]
    by = Grouping(
        rules=tuple(draw(st.lists(st.sampled_from(sorted(RULES)), max_size=5))),
        max_distance=draw(st.sampled_from([0.0, 0.1, 0.2])),
        review_distance=draw(st.sampled_from([0.0, 0.1, 0.3])),
        max_mtime_difference_ns=draw(st.sampled_from([None, None, 0, 1])),
        across_roots=draw(st.booleans()),
    )
    different = draw(st.frozensets(st.sampled_from([(m.a, m.b) for m in matches]))) if matches else frozenset()
    return Situation(candidates, matches, by, different)


@given(situations(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_result_does_not_depend_on_any_order(situation: Situation, random: Random) -> None:
    """Candidates and matches in another order, or matches told twice, give the very same groups."""
    again, told = list(situation.candidates), situation.matches + situation.matches[:2]
    random.shuffle(again)
    random.shuffle(told)
    assert replace(situation, candidates=again, matches=told).groups() == situation.groups()


@given(situations())
@settings(max_examples=150, deadline=None)
def test_groups_equal_those_of_a_plain_search(situation: Situation) -> None:
    """The groups are those of the rule as the page states it, followed the slow way.

    In order of rank, each file that is a duplicate of a keeper goes, any other becomes a keeper.  A file that goes
    does so for the nearest keeper before it.  Of the keepers, the one with most duplicates and similar keepers takes
    the similar ones below it, then the next takes what is left, but none that has taken some itself.
    """
    ranked = sorted(situation.candidates, key=lambda one: key(one, situation.mean(one), situation.by.rules))
    keepers: dict[str, tuple[Candidate, dict[str, str]]] = {}
    for one in ranked:
        better = [keeper for keeper, _ in keepers.values() if situation.duplicates(keeper, one)]
        if better:
            nearest = min(better, key=lambda keeper: distance_of(keeper, one, situation.matches) or 0.0)
            keepers[nearest.file.path][1][one.file.path] = "duplicate"
        else:
            keepers[one.file.path] = (one, {})
    standing = [keeper for keeper, _ in keepers.values()]
    alike = {path: [one for one in standing if situation.similar(keeper, one)] for path, (keeper, _) in keepers.items()}
    largest = sorted(keepers, key=lambda path: -len(keepers[path][1]) - len(alike[path]))  # stable: else by rank
    below: dict[str, str] = {}
    for path in largest:
        below |= {
            one.file.path: path
            for one in alike[path]
            if one.file.path not in below and one.file.path not in below.values()
        }
    for path, above in below.items():
        keepers[above][1][path] = "similar"
    expected = {path: members for path, (_, members) in keepers.items() if members}
    found = {
        one.keeper.file.path: {member.candidate.file.path: str(member.level) for member in one.members}
        for one in situation.groups()
    }
    assert found == expected


@given(situations())
@settings(max_examples=150, deadline=None)
def test_promises_of_every_group(situation: Situation) -> None:
    """Whatever the files, matches and rules: nothing goes that a user could miss.

    Each file that goes is within max_distance of its own keeper and was not found different from it, goes once, and
    for a file that stays.  The keeper is before all its members by the rules.  Roots, times and levels are kept apart
    as asked.
    """
    by, groups = situation.by, situation.groups()
    keepers = [found.keeper.file.path for found in groups]
    going, shown = (
        [m.candidate.file.path for found in groups for m in found.members if m.level is level]
        for level in (Level.DUPLICATE, Level.SIMILAR)
    )
    assert len(set(keepers)) == len(keepers)
    assert len(set(going)) == len(going)
    assert len(set(shown)) == len(shown)
    assert not set(going) & (set(keepers) | set(shown))
    assert keepers == sorted(keepers)
    for found in groups:
        assert found.members
        for member in found.members:
            one = member.candidate
            equal = one.file.content == found.keeper.file.content
            assert one.file.path != found.keeper.file.path
            assert member.distance == distance_of(found.keeper, one, situation.matches)
            assert situation.may_meet(found.keeper, one)
            assert (member.level is Level.DUPLICATE) == situation.duplicates(found.keeper, one)
            assert member.distance <= max(by.max_distance, by.review_distance)
            if member.level is Level.DUPLICATE:
                assert member.distance <= by.max_distance
                assert equal or situation.same(found.keeper, one)
            if 2 in {found.keeper.facts.frames, one.facts.frames}:
                assert equal
            better, worse = [(found.keeper, situation.mean(found.keeper)), (one, situation.mean(one))]
            first = key(*better, by.rules) < key(*worse, by.rules)
            assert first or member.level is Level.SIMILAR
            verdict = decide(better, worse, by.rules) if first else decide(worse, better, by.rules)
            assert member.rule == verdict.rule
            assert member.reason == ("" if first else "would win: ") + verdict.reason
            assert not first or found.keeper.facts.grey <= one.facts.grey


@given(situations())
@settings(max_examples=100, deadline=None)
def test_only_pairs_that_matter_are_looked_at(situation: Situation) -> None:
    """A look costs two decodings, so it is taken only where its answer decides, and never at equal bytes."""
    asked: list[tuple[Candidate, Candidate]] = []

    def same(a: Candidate, b: Candidate, _turn: Turn) -> bool:
        asked.append((a, b))
        return situation.same(a, b)

    group(situation.candidates, situation.matches, by=situation.by, same=same)
    for keeper, other in asked:
        assert keeper.file.content != other.file.content
        assert situation.near_enough(keeper, other)
        assert situation.may_meet(keeper, other)
    assert len({frozenset((a.file.path, b.file.path)) for a, b in asked}) == len(asked)


@given(situations(), st.sampled_from([1, 3, 1000]))
@settings(max_examples=60, deadline=None)
def test_sets_and_files_may_be_worked_on_side_by_side(situation: Situation, large: int) -> None:
    """The groups are the same where several threads form them, each of its own sets or all of one large set."""
    with (
        ThreadPoolExecutor(3) as pool,
        patch("py_image_dedup.grouping._LARGE", large),
        patch("py_image_dedup.grouping._LEAST_PIECE", 2),
    ):
        found = group(situation.candidates, situation.matches, by=situation.by, same=situation.same, run=pool.map)
    assert found == situation.groups()


def test_a_large_set_is_looked_through_by_all_threads() -> None:
    """One picture with many copies does not keep one thread busy while the others wait."""
    files = [candidate(chr(97 + i), chr(97 + i), 100 - i) for i in range(33)]
    matches = [match("a", file.file.path[-1], 0.05) for file in files[1:]]
    both = threading.Barrier(2)

    def same(*_: object) -> bool:
        both.wait(timeout=30)  # for the other thread
        return True

    with ThreadPoolExecutor(2) as pool:
        found = group(files, matches, by=PLAIN, same=same, run=pool.map)
    assert [len(one.members) for one in found] == [32]


def test_what_looks_different_is_only_similar() -> None:
    """A near file that shows something else on a closer look is listed as similar and may keep others."""
    files = [candidate("a", "a", 300), candidate("b", "b", 200), candidate("c", "c", 100)]
    matches = [match("a", "b", 0.05), match("b", "c", 0.06), match("a", "c", 0.07)]
    found = group(files, matches, by=PLAIN, same=lambda a, *_: a.file.path != "/photos/a")
    assert outline(found) == {"b": {"c": (0.06, "duplicate"), "a": (0.05, "similar")}}


def test_equal_bytes_need_no_look() -> None:
    """Files of equal bytes are duplicates whatever a look would say."""
    files = [candidate("a", "a"), candidate("b", "a")]
    assert outline(group(files, [], by=PLAIN, same=lambda *_: False)) == {"a": {"b": (0.0, "duplicate")}}


def test_no_chains() -> None:
    """A near B and B near C do not remove C for A: the third keeps its place."""
    files = [candidate("a", "a", 300), candidate("b", "b", 200), candidate("c", "c", 100)]
    matches = [match("a", "b", 0.08), match("b", "c", 0.08)]
    assert outline(group(files, matches, by=PLAIN)) == {"a": {"b": (0.08, "duplicate")}}


def test_middle_of_a_chain_keeps_both_ends_out() -> None:
    """If the middle of a chain is the best, both ends match it and go."""
    files = [candidate("a", "a", 100), candidate("b", "b", 300), candidate("c", "c", 200)]
    matches = [match("a", "b", 0.08), match("b", "c", 0.09)]
    assert outline(group(files, matches, by=PLAIN)) == {"b": {"c": (0.09, "duplicate"), "a": (0.08, "duplicate")}}


def test_long_chain_splits_into_groups() -> None:
    """Along a chain of neighbours every group keeps its own, and no file goes for one that it does not match."""
    names = "abcdefg"
    files = [candidate(name, name, 700 - 100 * number) for number, name in enumerate(names)]
    matches = [match(*pair, 0.1) for pair in itertools.pairwise(names)]
    assert outline(group(files, matches, by=PLAIN)) == {
        "a": {"b": (0.1, "duplicate")},
        "c": {"d": (0.1, "duplicate")},
        "e": {"f": (0.1, "duplicate")},
    }


def test_a_copy_belongs_to_the_nearest_keeper() -> None:
    """A larger version with a watermark does not take the small copies, in which no watermark can be seen."""
    files = [candidate("marked", "a", 300), candidate("original", "b", 200), candidate("small", "c", 50)]
    matches = [match("a", "b", 0.09), match("a", "c", 0.08), match("b", "c", 0.02)]

    def same(a: Candidate, b: Candidate, _turn: Turn) -> bool:
        return pair(a, b) != (content("a"), content("b"))

    found = group(files, matches, by=PLAIN, same=same)
    assert outline(found) == {"original": {"small": (0.02, "duplicate"), "marked": (0.09, "similar")}}


def test_never_all_copies_go() -> None:
    """However equal the copies are, one of each set stays (Nextcloud duplicatefinder#180, czkawka#317)."""
    files = [candidate(f"{number}", "a") for number in range(3)]
    assert outline(group(files, [], by=PLAIN)) == {"0": {"1": (0.0, "duplicate"), "2": (0.0, "duplicate")}}


def test_equal_contents_without_any_match_group() -> None:
    """Files of equal bytes are duplicates even where the store names no match, as for featureless pictures."""
    files = [candidate("x", "a"), candidate("y", "a"), candidate("z", "b")]
    assert outline(group(files, [], by=replace(PLAIN, max_distance=0.0))) == {"x": {"y": (0.0, "duplicate")}}


def test_single_files_form_no_group() -> None:
    """A file that nothing matches is in no group, and no files give no groups."""
    assert group([candidate("x", "a")], [], by=PLAIN) == []
    assert group([], [match("a", "b", 0.0)], by=PLAIN) == []


def test_matches_of_contents_without_files_are_ignored() -> None:
    """A match with a content that no file of this run holds puts nothing up for removal."""
    files = [candidate("x", "a"), candidate("y", "b")]
    matches = [match("a", "c", 0.0), match("b", "c", 0.0)]
    assert group(files, matches, by=PLAIN) == []


def test_several_frames_match_by_bytes_only() -> None:
    """An animation is no duplicate of its first frame, nor of another animation that starts alike."""
    files = [
        candidate("still", "a"),
        candidate("moving", "b", frames=2),
        candidate("moving copy", "b", frames=2),
        candidate("other", "c", frames=9),
    ]
    matches = [match("a", "b", 0.0), match("b", "c", 0.0), match("a", "c", 0.0)]
    by = replace(PLAIN, review_distance=0.5)
    assert outline(group(files, matches, by=by)) == {"moving": {"moving copy": (0.0, "duplicate")}}


def test_roots_are_kept_apart_unless_asked() -> None:
    """With across_roots off no group holds files of two roots, though their bytes are equal."""
    files = [
        candidate("x", "a", root="/photos"),
        candidate("y", "a", root="/photos"),
        candidate("x", "a", 900, root="/backup"),
        candidate("z", "b", root="/backup"),
    ]
    matches = [match("a", "b", 0.02)]
    apart = group(files, matches, by=replace(PLAIN, across_roots=False))
    assert [found.keeper.file.path for found in apart] == ["/backup/x", "/photos/x"]
    assert outline(apart[:1]) == {"x": {"z": (0.02, "duplicate")}}
    assert outline(apart[1:]) == {"x": {"y": (0.0, "duplicate")}}
    together = group(files, matches, by=PLAIN)
    assert [found.keeper.file.path for found in together] == ["/backup/x"]
    assert len(together[0].members) == 3


def test_files_far_apart_in_time_do_not_match() -> None:
    """The limit in time holds between a file and its own keeper, to the nanosecond, for equal bytes too."""
    by = replace(PLAIN, rules=("newer-file-modification-date",), max_mtime_difference_ns=10)
    files = [candidate(f"{mtime}", "a", mtime_ns=mtime) for mtime in (100, 90, 89, 80, 79)]
    assert outline(group(files, [], by=by)) == {
        "100": {"90": (0.0, "duplicate")},
        "89": {"80": (0.0, "duplicate"), "79": (0.0, "duplicate")},
    }


def test_similar_files_are_shown_and_stay() -> None:
    """Between max_distance and review_distance a file is listed as similar, below the one that has more copies."""
    files = [candidate("a", "a", 300), candidate("b", "b", 200), candidate("b copy", "b", 100)]
    found = group(files, [match("a", "b", 0.2)], by=replace(PLAIN, review_distance=0.3))
    assert outline(found) == {"b": {"b copy": (0.0, "duplicate"), "a": (0.2, "similar")}}


def test_a_file_that_goes_is_not_shown_as_similar() -> None:
    """What is similar to one keeper and a duplicate of another is listed once, as what it is: a duplicate."""
    files = [candidate("a", "a", 300), candidate("b", "b", 200), candidate("c", "c", 100)]
    found = group(files, [match("a", "c", 0.2), match("b", "c", 0.05)], by=replace(PLAIN, review_distance=0.3))
    assert outline(found) == {"b": {"c": (0.05, "duplicate")}}


def test_what_hangs_together_stands_together() -> None:
    """The picture that most others are similar to takes them all, a framed version with more pixels among them."""
    files = [candidate(name, name, side) for name, side in (("a", 200), ("b", 300), ("c", 100), ("d", 50))]
    matches = [match("a", "b", 0.2), match("a", "c", 0.15), match("a", "d", 0.25), match("c", "d", 0.1)]
    for order in itertools.permutations(files):
        (found,) = group(order, matches, by=replace(PLAIN, max_distance=0.0, review_distance=0.3))
        assert outline([found]) == {
            "a": {"b": (0.2, "similar"), "c": (0.15, "similar"), "d": (0.25, "similar")},
        }
        assert found.members[0].reason == "would win: more pixels (90000 px against 40000 px)"


def test_limits_are_inclusive() -> None:
    """A distance exactly at the limit is within it, one bit more is not."""
    files = [candidate("a", "a", 300), candidate("b", "b", 200), candidate("c", "c", 100)]
    matches = [match("a", "b", 0.1), match("a", "c", 0.1 + 1e-17 + 1e-16)]
    assert outline(group(files, matches, by=PLAIN)) == {"a": {"b": (0.1, "duplicate")}}


def test_mean_distance_counts_every_duplicate_file() -> None:
    """A file's distance is its mean to all other duplicates of it, those of equal bytes included; the score mirrors it.

    The two files of content a have 0 and 0.08, so 0.04; b has 0.08, 0.08 and 0.1; c only b at 0.1.
    """
    files = [candidate("a1", "a"), candidate("a2", "a"), candidate("b", "b"), candidate("c", "c")]
    matches = [match("a", "b", 0.08), match("b", "c", 0.1), match("a", "c", 0.4)]
    near = group(files, matches, by=replace(PLAIN, rules=("smaller-distance",)))
    assert outline(near) == {"a1": {"a2": (0.0, "duplicate"), "b": (0.08, "duplicate")}}
    assert near[0].members[1].reason == "nearer to the others (0.040 against 0.087)"
    score = group(files, matches, by=replace(PLAIN, rules=("higher-score",)))
    assert outline(score) == outline(near)
    assert score[0].members[1].reason == "higher score (0.960 against 0.913)"
    far = group(files, matches, by=replace(PLAIN, rules=("bigger-distance",)))
    assert outline(far) == {"a1": {"a2": (0.0, "duplicate")}, "c": {"b": (0.1, "duplicate")}}


def test_equal_means_are_equal() -> None:
    """Two files with the same distances, met in another order, tie, and the next rule decides."""
    distances = {"ab": 0.05, "ac": 0.1, "ad": 0.2, "be": 0.2, "bf": 0.1}
    files = [candidate("a", "a", 100), candidate("b", "b", 200), *(candidate(name, name) for name in "cdef")]
    files[2:] = [replace(file, facts=replace(file.facts, grey=True)) for file in files[2:]]
    matches = [match(pair[0], pair[1], distance) for pair, distance in distances.items()]
    by = replace(PLAIN, rules=("bigger-distance", "higher-pixel-count"), max_distance=0.3, review_distance=0.3)
    assert 0.05 + 0.1 + 0.2 != 0.05 + 0.2 + 0.1  # what the order of a sum can do
    rules = {m.candidate.file.path[-1]: m.rule for g in group(files, matches, by=by) for m in g.members}
    assert rules["a"] == "higher-pixel-count"


def test_best_copy_stays_even_if_it_is_smaller_in_bytes() -> None:
    """The keeper follows the rules, not the number of bytes (czkawka#1992, difPy#79)."""
    large, small = candidate("large", "a", 3000), candidate("small", "b", 1000)
    small = replace(small, file=replace(small.file, size=50_000_000))
    by = replace(PLAIN, rules=("higher-pixel-count", "bigger-file-size"))
    found = group([small, large], [match("a", "b", 0.03)], by=by)
    assert outline(found) == {"large": {"small": (0.03, "duplicate")}}
    assert found[0].members[0].reason == "more pixels (9.00 MP against 1.00 MP)"


def test_grey_copy_never_replaces_the_coloured_one() -> None:
    """A grey copy goes for a coloured one, however much larger it is."""
    coloured, grey = candidate("coloured", "a", 100), candidate("grey", "b", 900)
    grey = replace(grey, facts=replace(grey.facts, grey=True))
    found = group([grey, coloured], [match("a", "b", 0.01)], by=PLAIN)
    assert outline(found) == {"coloured": {"grey": (0.01, "duplicate")}}
    assert found[0].members[0].rule == "colour"


@pytest.mark.parametrize(
    ("width", "height", "level"), [(100, 100, "duplicate"), (300, 200, "duplicate"), (301, 200, "similar")]
)
def test_a_stretched_picture_is_only_similar(width: int, height: int, level: str) -> None:
    """Signatures do not see stretching, so a picture of a clearly other shape is shown and never goes."""
    square, other = candidate("square", "a", 500), candidate("other", "b")
    for facts in (Facts("JPEG", width, height), Facts("JPEG", height, width)):
        files = [square, replace(other, facts=facts)]
        assert outline(group(files, [match("a", "b", 0.0)], by=PLAIN)) == {"square": {"other": (0.0, level)}}


def test_a_turned_copy_has_the_shape_that_it_is_turned_to() -> None:
    """A copy lying on its side is no stretched picture, is looked at turned, and tells how it must be turned."""
    files = [candidate("a", "a"), candidate("b", "b")]
    files = [replace(one, facts=Facts("JPEG", *size)) for one, size in zip(files, [(300, 100), (90, 270)], strict=True)]
    asked: list[tuple[str, str, Turn]] = []

    def same(a: Candidate, b: Candidate, turn: Turn) -> bool:
        asked.append((a.file.path[-1], b.file.path[-1], turn))
        return True

    for hashes, turn in (("ab", Turn.CLOCKWISE), ("ba", Turn.COUNTERCLOCKWISE)):
        held = [replace(one, file=replace(one.file, content=content(h))) for one, h in zip(files, hashes, strict=True)]
        matches = [Match(content("a"), content("b"), 0.08, Turn.CLOCKWISE)]
        ((found,),) = [one.members for one in group(held, matches, by=PLAIN, same=same)]
        assert (found.level, found.turn) == (Level.DUPLICATE, turn)
        assert asked.pop() == ("a", "b", turn)
    upright = [Match(content("a"), content("b"), 0.08)]
    assert outline(group(files, upright, by=PLAIN)) == {"a": {"b": (0.08, "similar")}}


def test_a_part_is_only_similar() -> None:
    """One that shows a part of the other never goes for it, however near that part is."""
    files = [candidate("a", "a", 300), candidate("b", "b", 200)]
    ((found,),) = [one.members for one in group(files, [Match(content("a"), content("b"), 0.01, part=True)], by=PLAIN)]
    assert (found.level, found.part, found.distance) == (Level.SIMILAR, True, 0.01)


@pytest.mark.parametrize("limit", [None, 0])
def test_thousands_of_equal_files_in_reasonable_time(limit: int | None) -> None:
    """2,000 files of equal bytes group within seconds, even if the limit in time keeps all of them apart."""
    files = [candidate(f"{number:04}", "a", mtime_ns=number) for number in range(2000)]
    started = time.process_time()
    groups = group(files, [], by=replace(PLAIN, max_mtime_difference_ns=limit))
    assert time.process_time() - started < 10
    assert [len(found.members) for found in groups] == ([1999] if limit is None else [])


def test_hundreds_of_contents_that_all_match_in_reasonable_time() -> None:
    """500 contents that all match each other, as a burst does, group within seconds."""
    contents = [f"{number:064x}" for number in range(500)]
    template = candidate("", "a")
    files = [replace(template, file=replace(template.file, path=f"/photos/{name}", content=name)) for name in contents]
    matches = [Match(a, b, 0.05) for a, b in itertools.combinations(contents, 2)]
    started = time.process_time()
    (found,) = group(files, matches, by=replace(PLAIN, review_distance=0.2))
    assert time.process_time() - started < 10
    assert len(found.members) == 499
