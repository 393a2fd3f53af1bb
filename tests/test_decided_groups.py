"""What a person has decided, in groups and plans: kept pictures stay, pictures told apart never meet."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from test_grouping import PLAIN, candidate, content, match, outline

from py_image_dedup.grouping import Grouping, group
from py_image_dedup.model import Candidate, Decisions, Group, Level, Match
from py_image_dedup.plan import Action, Plan, make_plan


def keeping(**names: str) -> Decisions:
    """Return a decision to keep contents, each under the names of some files (letters)."""
    return Decisions(kept={content(one): frozenset(f"/photos/{name}" for name in some) for one, some in names.items()})


def apart(*pairs: str) -> Decisions:
    """Return a decision that pairs of contents, two letters each, are different."""
    return Decisions(different={(content(a), content(b)): (f"/{a}", f"/{b}") for a, b in map(sorted, pairs)})


def by(said: Decisions) -> Grouping:
    return Grouping(
        rules=PLAIN.rules, max_distance=PLAIN.max_distance, review_distance=PLAIN.review_distance, decisions=said
    )


def grouped(candidates: Iterable[Candidate], matches: Iterable[Match], said: Decisions) -> list[Group]:
    return group(list(candidates), list(matches), by=by(said))


def planned(groups: list[Group], said: Decisions, *, risk: bool = False, protected: str = "-") -> Plan:
    return make_plan(
        groups,
        origin="here",
        roots=["/photos"],
        action=Action.DELETE,
        target=None,
        protected=lambda path: protected in path,
        decisions=said,
        different_pictures=risk,
    )


def going(plan: Plan) -> dict[str, str]:
    """Return the names of what goes, each with its keeper's."""
    return {
        act.file.path.rpartition("/")[2]: found.keeper.path.rpartition("/")[2]
        for found in plan.groups
        for act in found.duplicates
        if act.action.acts
    }


LARGE_MIDDLE_SMALL = (candidate("l", "x", 300), candidate("m", "y", 200), candidate("s", "z", 100))
ALL_NEAR = (match("x", "y", 0.01), match("x", "z", 0.02), match("y", "z", 0.03))


def test_a_kept_picture_stays_and_is_shown() -> None:
    """It does not go for a better one; it is listed with it, with the reason, and does not push that one out."""
    said = keeping(y="m")
    groups = grouped(LARGE_MIDDLE_SMALL, ALL_NEAR, said)
    plan = planned(groups, said)
    assert outline(groups) == {"l": {"m": (0.01, "similar"), "s": (0.02, "duplicate")}}
    assert going(plan) == {"s": "l"}
    (reason,) = [act.reason for act in plan.groups[0].duplicates if act.file.path.endswith("m")]
    assert reason.startswith("kept: you said so")


def test_a_kept_picture_stays_under_any_name() -> None:
    """Keeping belongs to the bytes: a file that was renamed since is kept as well."""
    said = keeping(y="q")
    assert going(planned(grouped(LARGE_MIDDLE_SMALL, ALL_NEAR, said), said)) == {"s": "l"}


def test_of_equal_bytes_the_named_file_stays() -> None:
    """Copies of a kept file go for it, though the rules prefer another one of them."""
    files = [candidate(name, "x") for name in "abc"]
    assert going(planned(grouped(files, [], Decisions()), Decisions())) == {"b": "a", "c": "a"}
    said = keeping(x="b")
    groups = grouped(files, [], said)
    assert going(planned(groups, said)) == {"a": "b", "c": "b"}
    assert {member.rule for member in groups[0].members} == {"kept"}


def test_all_named_files_stay() -> None:
    """Of equal files each that was named stays, the others go."""
    said = keeping(x="bc")
    assert going(planned(grouped([candidate(name, "x") for name in "abc"], [], said), said)) == {"a": "b"}


def test_copies_of_a_kept_picture_go_for_its_bytes_only() -> None:
    """A copy of a kept picture goes for the kept one, never for a better picture with other bytes."""
    said = keeping(y="m")
    groups = grouped([*LARGE_MIDDLE_SMALL, candidate("copy of m", "y", 200)], ALL_NEAR, said)
    assert going(planned(groups, said)) == {"s": "l", "copy of m": "m"}


def test_a_kept_picture_may_be_keeper() -> None:
    """What is lesser than a kept picture goes for it as for any other."""
    said = keeping(x="l")
    assert going(planned(grouped(LARGE_MIDDLE_SMALL, ALL_NEAR, said), said)) == {"m": "l", "s": "l"}


def test_pictures_told_apart_never_meet() -> None:
    """Neither as duplicates nor as similar ones."""
    said = apart("xy")
    groups = grouped(LARGE_MIDDLE_SMALL[:2], ALL_NEAR[:1], said)
    assert groups == []


def test_equal_copies_of_what_was_told_apart() -> None:
    """Copies with the same bytes as either stay apart as well, and still go for their own."""
    said = apart("xy")
    files = [*LARGE_MIDDLE_SMALL[:2], candidate("l2", "x", 300), candidate("m2", "y", 200)]
    assert going(planned(grouped(files, ALL_NEAR[:1], said), said)) == {"l2": "l", "m2": "m"}


def test_what_looks_like_both_takes_neither() -> None:
    """A picture that looks like two that a person told apart is a copy of one at most; of which is not known."""
    said = apart("yz")
    groups = grouped(LARGE_MIDDLE_SMALL, ALL_NEAR, said)
    assert going(planned(groups, said)) == {}
    assert outline(groups) == {"l": {"m": (0.01, "similar"), "s": (0.02, "similar")}}


def test_what_looks_like_one_of_two_takes_it() -> None:
    """Where the last look tells two pictures apart as the person does, the copy of one goes for it."""
    said = apart("yz")
    groups = group(
        LARGE_MIDDLE_SMALL,
        ALL_NEAR,
        by=by(said),
        same=lambda a, b, _: {a.file.content, b.file.content} != {content("x"), content("z")},
    )
    assert going(planned(groups, said)) == {"m": "l"}


def test_what_was_told_apart_does_not_chain() -> None:
    """Two pictures that were told apart do not come together by a third that is near both."""
    said = apart("xz")
    assert going(planned(grouped(LARGE_MIDDLE_SMALL, ALL_NEAR, said), said)).get("s") != "l"


SIMILAR = (match("x", "y", 0.2), match("x", "z", 0.2))


def similar(said: Decisions | None = None, *, better: bool = False) -> list[Group]:
    """Return groups of similar pictures only."""
    wide = Grouping(
        rules=("lower-pixel-count",) if better else PLAIN.rules,
        max_distance=0.1,
        review_distance=0.3,
        decisions=said or Decisions(),
    )
    return group(LARGE_MIDDLE_SMALL, SIMILAR, by=wide)


def test_similar_pictures_go_by_a_named_risk_only() -> None:
    """Without the risk nothing goes; with it what is worse than its keeper."""
    assert going(planned(similar(), Decisions())) == {}
    assert going(planned(similar(), Decisions(), risk=True)) == {"m": "l", "s": "l"}


def test_what_is_better_than_its_keeper_never_goes() -> None:
    """A similar picture that would win stays whatever is risked."""
    (found,) = similar(better=True)
    assert [member.better for member in found.members] == [True, True]
    assert going(planned([found], Decisions(), risk=True)) == {}


def test_a_keeper_never_goes_for_another() -> None:
    """A similar picture that others go for stays whatever is risked: the last copy could go in a chain."""
    files = [*LARGE_MIDDLE_SMALL, candidate("copy of m", "y", 150)]
    groups = group(files, SIMILAR, by=Grouping(rules=PLAIN.rules, max_distance=0.1, review_distance=0.3))
    assert going(planned(groups, Decisions(), risk=True)) == {"copy of m": "m", "s": "l"}


def test_risk_does_not_reach_what_is_kept_or_protected() -> None:
    """A decision, under whatever name, and a protected folder hold against the risk."""
    assert going(planned(similar(), keeping(y="q"), risk=True)) == {"s": "l"}
    assert going(planned(similar(keeping(y="m")), keeping(y="m"), risk=True, protected="/s")) == {}


letters = "abcdef"


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_decisions_hold_in_every_plan(data: st.DataObject) -> None:
    """Whatever matches and was said: nothing kept goes for other bytes, and what was told apart never meets."""
    holders = data.draw(st.lists(st.sampled_from(letters), min_size=2, max_size=9))
    files = [
        candidate(f"f{number}", holds, side=data.draw(st.integers(1, 3)) * 100) for number, holds in enumerate(holders)
    ]
    pairs = list(combinations(letters, 2))
    near = [
        match(a, b, data.draw(st.sampled_from([0.01, 0.05, 0.2])))
        for a, b in data.draw(st.lists(st.sampled_from(pairs), unique=True))
    ]
    said = Decisions(
        kept={
            content(one): frozenset(
                data.draw(st.lists(st.sampled_from([file.file.path for file in files]), min_size=1))
            )
            for one in data.draw(st.lists(st.sampled_from(letters), unique=True, max_size=2))
        },
        different=apart(*("".join(pair) for pair in data.draw(st.lists(st.sampled_from(pairs), max_size=4)))).different,
    )
    groups = group(files, near, by=Grouping(rules=PLAIN.rules, max_distance=0.1, review_distance=0.3, decisions=said))
    plan = planned(groups, said, risk=data.draw(st.booleans()))

    gone = {act.file.path for _, act in plan.acts()}
    for found, act in plan.acts():
        names = said.kept.get(act.file.content, frozenset())
        assert act.file.path not in names
        assert not names or found.keeper.content == act.file.content
        assert found.keeper.path not in gone
    for one in groups:
        taken = [one.keeper.file.content]
        taken += [member.candidate.file.content for member in one.members if member.level is Level.DUPLICATE]
        assert not any(said.are_different(a, b) for a, b in combinations(taken, 2))
        shown = {member.candidate.file.content for member in one.members}
        assert not any(said.are_different(one.keeper.file.content, other) for other in shown)
    assert all(a.path != b.path for a, b in pairwise([act.file for _, act in plan.acts()]))
