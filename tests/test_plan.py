"""From groups to a plan: what goes, what stays, and the plan as data."""

import json
import os
from dataclasses import replace

import pytest

from py_image_dedup.model import Candidate, Facts, File, Group, Level, Member, Skipped
from py_image_dedup.plan import Action, Plan, PlannedFile, make_plan
from py_image_dedup.planfile import as_data


def candidate(path: str, *, size: int = 1000) -> Candidate:
    return Candidate(File("here", path, size, 7, f"{len(path) % 16:x}" * 64), Facts("PNG", 40, 30), "/photos")


def member(path: str, level: Level = Level.DUPLICATE, *, size: int = 1000) -> Member:
    return Member(candidate(path, size=size), 0.05, level, "bigger-file-size", "bigger file (2 bytes against 1 bytes)")


GROUPS = (
    Group(
        candidate("/photos/a.png"),
        (
            member("/photos/b.png", size=10),
            member("/photos/originals/c.png", size=200),
            member("/photos/d.png", Level.SIMILAR, size=3000),
        ),
    ),
    Group(candidate("/photos/d.png"), (member("/photos/e/e.png", size=40000),)),
)


def plan(action: Action = Action.MOVE, *, target: str | None = "/target", groups: tuple[Group, ...] = GROUPS) -> Plan:
    """Plan for two groups, of which one file lies in a protected folder and one is only similar."""
    return make_plan(
        groups,
        origin="here",
        roots=["/photos"],
        action=action,
        target=target,
        protected=lambda path: "/originals/" in path,
    )


@pytest.mark.parametrize("action", [Action.MOVE, Action.DELETE])
def test_only_unprotected_duplicates_go(action: Action) -> None:
    """A similar picture, a protected one and the keeper stay; duplicates that are neither go."""
    made = plan(action)
    assert [act.file.path for _, act in made.acts()] == ["/photos/b.png", "/photos/e/e.png"]
    assert {act.file.path: act.action for group in made.groups for act in group.duplicates} == {
        "/photos/b.png": action,
        "/photos/originals/c.png": Action.KEEP,
        "/photos/d.png": Action.KEEP,
        "/photos/e/e.png": action,
    }


def test_a_report_touches_nothing() -> None:
    """Without a target nothing goes: duplicates are listed, with what could be freed."""
    made = plan(Action.REPORT, target=None)
    assert list(made.acts()) == []
    assert made.duplicates == 3
    assert made.reclaimable == 40010


def test_which_actions_act() -> None:
    """Reporting and keeping change nothing on disk; links leave a file under the name, the others do not."""
    assert {action for action in Action if not action.acts} == {Action.REPORT, Action.KEEP}
    assert {action for action in Action if action.removes} == {Action.MOVE, Action.TRASH, Action.DELETE}
    assert {action for action in Action if action.links} == {Action.HARDLINK, Action.REFLINK}


@pytest.mark.parametrize("action", [Action.HARDLINK, Action.REFLINK])
def test_only_identical_bytes_are_linked(action: Action) -> None:
    """A copy with other bytes than its keeper stays, and the plan says why; an identical one becomes a link."""
    keeper, other = candidate("/photos/a.png"), member("/photos/other.png")
    same = replace(other, candidate=Candidate(replace(keeper.file, path="/photos/same.png"), keeper.facts, "/photos"))
    made = plan(action, groups=(Group(keeper, (other, same)),))
    first, second = made.groups[0].duplicates
    assert (first.action, second.action) == (Action.KEEP, action)
    assert first.reason == f"other bytes, so no {action}; else: {other.reason}"
    assert made.reclaimable == 1000


def test_a_file_with_other_names_frees_nothing() -> None:
    """A hard link to a file that has another name is a duplicate, but removing it gives no space back."""
    linked = member("/photos/b.png", size=200)
    linked = replace(linked, candidate=replace(linked.candidate, links=2))
    made = plan(groups=(Group(candidate("/photos/a.png"), (linked, member("/photos/c.png", size=10))),))
    assert (made.duplicates, made.reclaimable) == (2, 10)


def test_each_act_comes_with_its_own_keeper() -> None:
    """An act is handed out with the group it belongs to, so that its keeper can be looked at again."""
    assert [(group.keeper.path, act.file.path) for group, act in plan().acts()] == [
        ("/photos/a.png", "/photos/b.png"),
        ("/photos/d.png", "/photos/e/e.png"),
    ]


def test_ids_are_unique_and_stable() -> None:
    """Every act has its own id, the same each time, counted by group and position."""
    ids = [act.id for group in plan().groups for act in group.duplicates]
    assert ids == ["1.1", "1.2", "1.3", "2.1"]
    many = tuple(Group(candidate(f"/p/{n}"), tuple(member(f"/p/{n}-{m}") for m in range(12))) for n in range(12))
    ids = [act.id for group in plan(groups=many).groups for act in group.duplicates]
    assert len(set(ids)) == len(ids) == 144


def test_destination_keeps_the_whole_path_below_the_target() -> None:
    """A file moves to its absolute path below the target, so names of different folders never meet there."""
    made = plan(target="/target/of mine")
    assert {act.file.path: act.destination for group in made.groups for act in group.duplicates} == {
        "/photos/b.png": "/target/of mine/photos/b.png",
        "/photos/originals/c.png": None,
        "/photos/d.png": None,
        "/photos/e/e.png": "/target/of mine/photos/e/e.png",
    }


def test_only_moves_have_a_destination() -> None:
    """A file that is deleted goes nowhere, even where a target is set."""
    assert all(act.destination is None for group in plan(Action.DELETE).groups for act in group.duplicates)


def test_totals() -> None:
    """Totals count duplicates and similar pictures; what is protected frees nothing."""
    made = plan()
    assert (made.duplicates, made.similar, made.reclaimable) == (3, 1, 40010)
    empty = plan(groups=())
    assert (empty.duplicates, empty.similar, empty.reclaimable) == (0, 0, 0)


def test_protected_files_say_so() -> None:
    """The reason of a protected file tells that it is protected and what would have decided else."""
    act = plan().groups[0].duplicates[1]
    assert act.reason == "protected folder; else: bigger file (2 bytes against 1 bytes)"
    assert act.rule == "bigger-file-size"


def test_a_protected_keeper_sends_its_duplicates_away() -> None:
    """A file in a protected folder may be the keeper, and what matches it goes."""
    groups = (Group(candidate("/photos/originals/a.png"), (member("/photos/b.png"),)),)
    assert [act.file.path for _, act in plan(groups=groups).acts()] == ["/photos/b.png"]


def test_planned_facts_are_those_recorded() -> None:
    """The plan quotes size, time, hash and shape of every file, which must still hold when it is acted on."""
    one = candidate("/photos/a.png", size=5)
    assert PlannedFile.of(one) == PlannedFile("/photos/a.png", 5, 7, one.file.content, "PNG", 40, 30)


def test_data_has_the_shape_others_rely_on() -> None:
    """The JSON data holds the keys that scripts read, each with its type, and survives being written and read."""
    data = json.loads(json.dumps(as_data(plan())))
    assert data["version"] == 1
    assert set(data) == {"version", "origin", "roots", "action", "target", "groups", "empty_folders", "skipped"}
    file = {"path": str, "size": int, "mtime_ns": int, "sha256": str, "format": str, "width": int, "height": int}
    act = {
        "id": str,
        "distance": float,
        "turn": str,
        "part": bool,
        "level": str,
        "action": str,
        "rule": str,
        "reason": str,
        "companions": list,
        "gain": list,
    } | file
    assert len(data["groups"]) == 2
    for group in data["groups"]:
        assert {name: type(value) for name, value in group["keeper"].items()} == file
        for duplicate in group["duplicates"]:
            destination = duplicate.pop("destination")
            assert {name: type(value) for name, value in duplicate.items()} == act
            assert duplicate["level"] in {"duplicate", "similar"}
            assert duplicate["action"] in {"move", "keep"}
            assert (destination is None) == (duplicate["action"] == "keep")


def test_data_tells_skipped_files_and_folders() -> None:
    """Skipped files, with their reasons, and folders that would be empty are part of the data."""
    made = Plan(
        origin="here",
        roots=("/photos",),
        action=Action.REPORT,
        target=None,
        groups=(),
        empty_folders=("/photos/e",),
        skipped=(Skipped("/photos/x.jpg", "broken"),),
    )
    data = as_data(made)
    assert data["skipped"] == [{"path": "/photos/x.jpg", "reason": "broken"}]
    assert data["empty_folders"] == ["/photos/e"]
    assert data["target"] is None


@pytest.mark.parametrize("name", [b"\xff\xfe.png", b"a\nb\x1b[31m.png", "Grüße 💾.png".encode(), b"\xc3(.png", b"\x01"])
def test_odd_bytes_survive_the_data(name: bytes) -> None:
    """A path of any bytes comes back from JSON as the same bytes, and JSON itself is plain ASCII."""
    path = os.fsdecode(b"/photos/" + name)
    groups = (Group(candidate(path), (member(path + "2"),)),)
    text = json.dumps(as_data(plan(groups=groups)))
    (group,) = json.loads(text.encode("ascii"))["groups"]
    assert os.fsencode(group["keeper"]["path"]) == b"/photos/" + name
    assert os.fsencode(group["duplicates"][0]["destination"]) == b"/target/photos/" + name + b"2"
