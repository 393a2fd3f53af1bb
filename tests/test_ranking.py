"""Rules, the order they give, and the reason in words."""

import itertools
import os
import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from py_image_dedup.config import RULE_NAMES
from py_image_dedup.config.names import DEFAULT_RULES
from py_image_dedup.model import Candidate, Facts, File
from py_image_dedup.ranking import MEASURES, RULES, decide, key

PAGE = Path(__file__).parents[1] / "docs" / "ranking.md"

Ranked = tuple[Candidate, float]
"""A candidate and its mean distance to its duplicates."""


def candidate(
    path: str = "/photos/a.jpg",
    *,
    size: int = 1000,
    mtime_ns: int = 0,
    width: int = 100,
    height: int = 100,
    exif_count: int = 0,
    grey: bool = False,
) -> Candidate:
    facts = Facts("JPEG", width, height, exif_count=exif_count, grey=grey)
    return Candidate(File("here", path, size, mtime_ns, "0" * 64), facts, "/photos")


def first(*paths: str, rules: tuple[str, ...]) -> str:
    """Return the path that wins among files that are equal but for their paths."""
    return min((candidate(path) for path in paths), key=lambda c: key(c, 0.0, rules)).file.path


def compare(one: Ranked, other: Ranked, rule: str) -> int:
    """Return -1 if the rule alone puts one before the other, 1 if behind, 0 if it does not tell them apart."""
    mine, its = (key(*who, (rule,))[1] for who in (one, other))
    assert not isinstance(mine, bytes)
    assert not isinstance(its, bytes)
    return (mine > its) - (mine < its)


names = st.binary(min_size=1, max_size=12).map(
    lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_").replace(b"\n", b"copy"))
)
"""File names as Linux allows them: any bytes but slash and NUL, some with "copy"."""

candidates = st.builds(
    candidate,
    st.builds(lambda folder, name: f"/photos/{folder}/{name}", names, names),
    size=st.integers(0, 5) | st.integers(0, 1 << 40),
    mtime_ns=st.integers(0, 3) | st.integers(-(10**21), 10**21),
    width=st.integers(1, 4),
    height=st.integers(1, 4) | st.integers(1, 30000),
    exif_count=st.integers(0, 3),
    grey=st.booleans(),
)
ranked = st.tuples(candidates, st.sampled_from([0.0, 0.05, 0.1, 1 / 3]) | st.floats(0, 1))
orders = st.lists(st.sampled_from(sorted(RULES)), max_size=12).map(tuple)


def test_every_configurable_rule_exists_and_no_other() -> None:
    """What the configuration accepts as a rule is exactly what ranking knows."""
    assert sorted(RULE_NAMES) == sorted(RULES)
    assert len(RULES) == 2 * len(MEASURES) == 20


def test_rules_are_those_of_version_2() -> None:
    """Every rule of py-image-dedup 2 keeps its name, in both directions."""
    pairs = {
        ("higher-pixel-count", "lower-pixel-count"),
        ("more-exif-data", "less-exif-data"),
        ("bigger-file-size", "smaller-file-size"),
        ("newer-file-modification-date", "older-file-modification-date"),
        ("bigger-distance", "smaller-distance"),
        ("contains-copy-in-file-name", "doesnt-contain-copy-in-file-name"),
        ("longer-file-name", "shorter-file-name"),
        ("longer-path", "shorter-path"),
        ("longer-folder-path", "shorter-folder-path"),
        ("higher-score", "lower-score"),
    }
    assert {(measure.more, measure.less) for measure in MEASURES} == pairs


def test_default_order() -> None:
    """The default order asks for quality first, then time, then the name."""
    assert DEFAULT_RULES == (
        "higher-pixel-count",
        "more-exif-data",
        "bigger-file-size",
        "newer-file-modification-date",
        "smaller-distance",
        "doesnt-contain-copy-in-file-name",
        "longer-file-name",
        "shorter-folder-path",
        "higher-score",
    )


SMALL = candidate("/p/ab", size=1, mtime_ns=1, width=1, height=1, exif_count=1)
LARGE = candidate("/p/c/a copy", size=2, mtime_ns=2, width=2, height=2, exif_count=2)


@pytest.mark.parametrize(
    ("rule", "winner"),
    [
        ("higher-pixel-count", LARGE),
        ("lower-pixel-count", SMALL),
        ("more-exif-data", LARGE),
        ("less-exif-data", SMALL),
        ("bigger-file-size", LARGE),
        ("smaller-file-size", SMALL),
        ("newer-file-modification-date", LARGE),
        ("older-file-modification-date", SMALL),
        ("bigger-distance", LARGE),
        ("smaller-distance", SMALL),
        ("contains-copy-in-file-name", LARGE),
        ("doesnt-contain-copy-in-file-name", SMALL),
        ("longer-file-name", LARGE),
        ("shorter-file-name", SMALL),
        ("longer-path", LARGE),
        ("shorter-path", SMALL),
        ("longer-folder-path", LARGE),
        ("shorter-folder-path", SMALL),
        ("higher-score", SMALL),
        ("lower-score", LARGE),
    ],
)
def test_each_rule_prefers_what_its_name_says(rule: str, winner: Candidate) -> None:
    """Each rule alone puts first the file that its name describes, and is named as the reason."""
    best = (winner, 0.2 if winner is LARGE else 0.1)
    other = (SMALL, 0.1) if winner is LARGE else (LARGE, 0.2)
    assert key(*best, (rule,)) < key(*other, (rule,))
    verdict = decide(best, other, (rule,))
    assert verdict.rule == rule
    assert verdict.reason.startswith(RULES[rule].words)


@given(ranked, ranked)
@settings(max_examples=100, deadline=None)
def test_both_directions_are_exact_opposites(one: Ranked, other: Ranked) -> None:
    """What one rule of a pair prefers, the other one does not; where one is undecided, both are."""
    for measure in MEASURES:
        more, less = (compare(one, other, name) for name in (measure.more, measure.less))
        assert more == -less


@given(st.lists(ranked, min_size=1, max_size=8), orders, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_order_is_total_and_repeatable(some: list[Ranked], rules: tuple[str, ...], random: Random) -> None:
    """Any files, in any order, by any rules, come out in one order; only equal paths can be equal."""
    shuffled = list(some)
    random.shuffle(shuffled)
    once, again = (sorted(key(*who, rules) for who in order) for order in (some, shuffled))
    assert once == again
    for (one, _), (other, _) in itertools.combinations(some, 2):
        if one.file.path != other.file.path:
            assert key(one, 0.0, rules) != key(other, 0.0, rules)


@given(st.lists(names, min_size=2, max_size=5, unique=True), orders)
@settings(max_examples=50, deadline=None)
def test_ties_end_with_the_path(some: list[str], rules: tuple[str, ...]) -> None:
    """Files that no rule tells apart are in order of the bytes of their paths."""
    rules = tuple(rule for rule in rules if not re.search("copy|name|path", rule))
    paths = [f"/photos/{name}" for name in some]
    assert first(*paths, rules=rules) == min(paths, key=os.fsencode)
    verdict = decide((candidate(min(paths, key=os.fsencode)), 0.0), (candidate(paths[0]), 0.0), rules)
    assert verdict.rule == "path"
    assert verdict.reason


@given(ranked, ranked, orders)
@settings(max_examples=200, deadline=None)
def test_reason_names_the_first_rule_that_differs(one: Ranked, other: Ranked, rules: tuple[str, ...]) -> None:
    """The reason is never empty, fits on a line, and names the rule that the order follows."""
    winner, loser = sorted((one, other), key=lambda who: key(who[0], who[1], rules))
    verdict = decide(winner, loser, rules)
    assert verdict.reason.strip()
    assert verdict.reason.isprintable()
    if verdict.rule == "colour":
        assert loser[0].facts.grey
        assert not winner[0].facts.grey
        return
    undecided = rules if verdict.rule == "path" else rules[: rules.index(verdict.rule)]
    assert all(compare(winner, loser, name) == 0 for name in undecided)
    assert verdict.rule == "path" or compare(winner, loser, verdict.rule) == -1


def test_reason_tells_the_values() -> None:
    """A reason tells both values where that helps, and leaves out two that would look the same."""
    rules = ("higher-pixel-count", "bigger-file-size")
    large, small = candidate(width=4000, height=3000), candidate(width=2000, height=1000)
    assert decide((large, 0), (small, 0), rules).reason == "more pixels (12.00 MP against 2.00 MP)"
    assert decide((candidate(size=1_000_001), 0), (candidate(size=1_000_000), 0), rules).reason == "bigger file"
    newer, older = candidate(mtime_ns=1_600_000_000 * 10**9), candidate(mtime_ns=0)
    assert decide((newer, 0), (older, 0), ("newer-file-modification-date",)).reason == (
        "newer (2020-09-13 12:26:40 against 1970-01-01 00:00:00)"
    )


@pytest.mark.parametrize("mtime_ns", [10**21, -(10**21), 2**63 - 1, -(2**63), 10**30])
def test_impossible_times_are_compared_and_told(mtime_ns: int) -> None:
    """A file with a time that no calendar knows, as a broken disk or clock leaves it, is ranked like any other."""
    odd, usual = candidate(mtime_ns=mtime_ns), candidate(mtime_ns=1)
    rule = ("newer-file-modification-date",)
    winner, loser = sorted((odd, usual), key=lambda c: key(c, 0.0, rule))
    assert winner is (odd if mtime_ns > 0 else usual)
    assert decide((winner, 0.0), (loser, 0.0), rule).reason.startswith("newer (")


@pytest.mark.parametrize("copy", ["a copy.jpg", "Copy of a.jpg", "a-COPY(2).jpg", "photocopy.jpg"])
def test_names_without_copy_come_first(copy: str) -> None:
    """doesnt-contain-copy puts the plain name first, which version 2 got the wrong way round."""
    plain = "/photos/zzz.jpg"
    assert first(f"/photos/{copy}", plain, rules=("doesnt-contain-copy-in-file-name",)) == plain
    assert first(f"/photos/{copy}", plain, rules=("contains-copy-in-file-name",)) == f"/photos/{copy}"
    verdict = decide((candidate(plain), 0.0), (candidate(copy), 0.0), ("doesnt-contain-copy-in-file-name",))
    assert verdict.reason == 'has no "copy" in its name'


def test_copy_in_a_folder_does_not_count() -> None:
    """Only the file's own name is searched for "copy", not the folders above it."""
    assert first("/copy/a.jpg", "/photos/b.jpg", rules=("doesnt-contain-copy-in-file-name",)) == "/copy/a.jpg"


@given(ranked, ranked, orders)
@settings(max_examples=150, deadline=None)
def test_grey_never_comes_before_coloured(one: Ranked, other: Ranked, rules: tuple[str, ...]) -> None:
    """Whatever the rules say, a file that stores no colour stays behind one that does, and the reason says so."""
    if one[0].facts.grey == other[0].facts.grey:
        return
    coloured, grey = (other, one) if one[0].facts.grey else (one, other)
    assert key(*coloured, rules) < key(*grey, rules)
    assert decide(coloured, grey, rules).rule == "colour"


@pytest.mark.parametrize("place", range(3))
def test_files_without_exif_are_compared_by_the_same_rules(place: int) -> None:
    """A file without EXIF data does not shift the rules after it, as it did in version 2."""
    rules = ["bigger-file-size", "longer-file-name"]
    rules.insert(place, "more-exif-data")
    without = candidate("/photos/a.jpg", size=5, exif_count=0)
    with_exif = candidate("/photos/b.jpg", size=5, exif_count=3)
    assert len(key(without, 0.0, rules)) == len(key(with_exif, 0.0, rules))
    assert decide((with_exif, 0.0), (without, 0.0), rules).rule == "more-exif-data"
    bigger = candidate("/photos/a.jpg", size=900, exif_count=0)
    by_size = key(bigger, 0.0, rules) < key(with_exif, 0.0, rules)
    assert by_size == (place > 0)


def test_odd_bytes_in_names_are_ranked() -> None:
    """Names that are no text are counted, compared by their bytes and never break the order."""
    odd, plain = os.fsdecode(b"/photos/\xff\xfe copy.jpg"), "/photos/a.jpg"
    assert first(odd, plain, rules=("doesnt-contain-copy-in-file-name",)) == plain
    assert first(odd, plain, rules=("longer-file-name",)) == odd
    assert first(odd, plain, rules=()) == plain
    assert decide((candidate(plain), 0.0), (candidate(odd), 0.0), ("shorter-file-name",)).reason == (
        "shorter file name (5 characters against 11 characters)"
    )


@pytest.mark.parametrize(
    ("stays", "goes", "rule"),
    [
        (candidate("/p/photo.jpg", width=4000, height=3000), candidate("/p/small.jpg", width=1000, height=750),
         "higher-pixel-count"),
        (candidate("/p/photo.jpg", exif_count=40), candidate("/p/sent.jpg"), "more-exif-data"),
        (candidate("/p/photo.jpg"), candidate("/p/photo copy.jpg"), "doesnt-contain-copy-in-file-name"),
        (candidate("/p/photo copy.jpg", mtime_ns=6 * 10**9), candidate("/p/photo.jpg", mtime_ns=5 * 10**9),
         "newer-file-modification-date"),
        (candidate("/p/2019/trip/photo.jpg"), candidate("/p/backup/2019/trip/photo.jpg"), "shorter-folder-path"),
    ],
)  # fmt: skip
def test_examples_of_the_page_hold(stays: Candidate, goes: Candidate, rule: str) -> None:
    """The examples in docs/ranking.md come out as they stand there, by the default order."""
    assert key(stays, 0.0, DEFAULT_RULES) < key(goes, 0.0, DEFAULT_RULES)
    assert decide((stays, 0.0), (goes, 0.0), DEFAULT_RULES).rule == rule
    example = rf"\| .*{os.path.basename(stays.file.path)}.*`{rule}` \| .*{os.path.basename(stays.file.path)}` \|"
    assert re.search(example, PAGE.read_text())


def test_page_lists_every_rule() -> None:
    """docs/ranking.md describes every rule once, in a row of its table, and none that does not exist."""
    table = PAGE.read_text().partition("### The rules")[2].partition("\n\nFor ")[0]
    assert sorted(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == sorted(RULES)


def test_page_shows_the_default_order() -> None:
    """docs/ranking.md shows the default order as the configuration has it."""
    block = PAGE.read_text().partition("prioritization_rules:\n")[2].partition("```")[0]
    assert tuple(re.findall(r"- ([a-z-]+)", block)) == DEFAULT_RULES
