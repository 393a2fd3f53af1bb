"""What can be chosen in a group: no file ever goes for a keeper that it was not compared with."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from py_image_dedup.errors import UsageError
from py_image_dedup.model import Level, Turn
from py_image_dedup.plan import Action, Plan, PlannedAct, PlannedFile, PlannedGroup
from py_image_dedup.review import choices
from py_image_dedup.review.choices import Compared, Fate
from py_image_dedup.review.sight import could_free, frees


def file(name: str, content: str | None = None) -> PlannedFile:
    return PlannedFile(f"/a/{name}", 10, 1, content or name, "JPEG", 4, 3)


def act(number: int, one: PlannedFile, level: Level = Level.DUPLICATE, action: Action = Action.MOVE) -> PlannedAct:
    destination = f"/t{one.path}" if action is Action.MOVE else None
    return PlannedAct(f"1.{number}", one, 0.1 * number, level, action, destination, "rule", "reason", Turn.CLOCKWISE)


def fate(action: Action = Action.MOVE, protected: Callable[[str], bool] = lambda _: False) -> Fate:
    plan = Plan(origin="o", roots=("/a",), action=action, target="/t", groups=())
    return Fate.by(plan, protected)


K, D, X = file("k"), file("d"), file("x")
GROUP = PlannedGroup(K, (act(1, D), act(2, X), act(3, file("k2", "k")), act(4, file("d2", "d"))))


def never(*_: object) -> Compared:
    raise AssertionError("nothing is to be compared")


def fates(group: PlannedGroup) -> dict[str, str]:
    return {one.file.path[3:]: str(one.action) for one in group.duplicates}


@pytest.mark.parametrize(("level", "expected"), [(Level.DUPLICATE, "move"), (Level.SIMILAR, "keep")])
def test_what_matched_the_old_keeper_only_stays(level: Level, expected: str) -> None:
    """A~B, B~C does not remove C for A: the third file is compared, and goes only as a duplicate of the new keeper."""
    asked = []

    def compare(keeper: PlannedFile, other: PlannedFile) -> Compared:
        asked.append((keeper, other))
        return Compared(0.4, level, Turn.HALF, part=True)

    group = choices.make_keeper(GROUP, 1, fate(), compare)

    assert asked == [(D, X)]  # what has the bytes of either keeper is known
    assert group.keeper == D
    assert fates(group) == {"k": "move", "x": expected, "k2": "move", "d2": "move"}
    old, third, *_ = group.duplicates
    assert (old.id, old.distance, old.turn, old.destination) == ("1.1", 0.1, Turn.COUNTERCLOCKWISE, "/t/a/k")
    assert (third.distance, third.turn, third.part, third.level) == (0.4, Turn.HALF, True, level)
    assert {one.file for one in group.duplicates} | {group.keeper} == {one.file for one in GROUP.duplicates} | {K}


def test_there_and_back_is_where_one_was() -> None:
    """Files, fates, distances and turns; the words say who chose."""
    same = lambda *_: Compared(0.2, Level.DUPLICATE, Turn.CLOCKWISE)  # noqa: E731
    again = choices.make_keeper(choices.make_keeper(GROUP, 1, fate(), same), 1, fate(), same)
    assert (again.keeper, fates(again)) == (K, fates(GROUP))
    assert [(one.distance, one.turn) for one in again.duplicates][:2] == [(0.1, Turn.CLOCKWISE), (0.2, Turn.CLOCKWISE)]
    assert {one.rule for one in again.duplicates} == {choices.CHOSEN}


def test_what_stayed_stays_with_another_keeper() -> None:
    """Nothing goes that a person took out before, and nothing for a keeper that is only similar."""
    group = choices.let_all_stay(GROUP)
    assert set(fates(choices.make_keeper(group, 3, fate(), lambda *_: Compared(0.0, Level.DUPLICATE))).values()) == {
        "keep"
    }
    group = PlannedGroup(K, (act(1, D, Level.SIMILAR, Action.KEEP),))
    assert fates(choices.make_keeper(group, 1, fate(), never)) == {"k": "keep"}


def test_a_protected_keeper_stays() -> None:
    group = choices.make_keeper(PlannedGroup(K, (act(1, D),)), 1, fate(protected=lambda path: path == "/a/k"), never)
    assert fates(group) == {"k": "keep"}
    with pytest.raises(UsageError, match="protected folder"):
        choices.let_go(group, 1, fate(protected=lambda _: True))


def test_links_are_for_equal_bytes_only() -> None:
    group = choices.let_all_stay(PlannedGroup(K, (act(1, D), act(2, file("k2", "k")))))
    assert fates(choices.let_go(group, 2, fate(Action.HARDLINK))) == {"d": "keep", "k2": "hardlink"}
    with pytest.raises(UsageError, match="other bytes"):
        choices.let_go(group, 1, fate(Action.HARDLINK))


@pytest.mark.parametrize("position", [0, -1, 5])
def test_a_position_that_is_not_there_is_refused(position: int) -> None:
    for choose in (choices.let_stay, lambda group, at: choices.let_go(group, at, fate())):
        with pytest.raises(UsageError):
            choose(GROUP, position)
    with pytest.raises(UsageError):
        choices.make_keeper(GROUP, position, fate(), never)


def test_what_stays_frees_nothing_and_could_free_as_much() -> None:
    group = choices.let_stay(GROUP, 2)
    assert (frees(GROUP), could_free(GROUP)) == (40, 40)
    assert (frees(group), could_free(group)) == (30, 40)
    assert choices.let_go(group, 2, fate()) == GROUP


def test_preferred_are_duplicates_of_the_keeper_only() -> None:
    """The first of them; what is only similar is never made keeper by a rule, and a preferred keeper stays."""
    group = PlannedGroup(K, (act(1, X, Level.SIMILAR, Action.KEEP), act(2, D), act(3, file("d2", "d"))))
    similar = lambda *_: Compared(0.3, Level.SIMILAR)  # noqa: E731

    def preferred(*inside: bool) -> str | None:
        found = choices.prefer(group, inside, fate(), similar)
        return found.keeper.path if found else None

    assert preferred(False, True, False, True) == "/a/d2"
    assert preferred(False, True, True, True) == "/a/d"
    assert preferred(False, True, False, False) is None
    assert preferred(True, True, True, True) is None
