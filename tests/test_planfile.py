"""The plan as a file that a person may edit: what was written is read back, and nothing else is let through."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from py_image_dedup.errors import PlanError
from py_image_dedup.files import destination_below
from py_image_dedup.model import Level, Skipped, Turn
from py_image_dedup.plan import Action, Companion, Plan, PlannedAct, PlannedFile, PlannedGroup
from py_image_dedup.planfile import as_data, read
from py_image_dedup.report import COUNTS

SCHEMA = json.loads((Path(__file__).parent.parent / "docs/plan.schema.json").read_text(encoding="utf-8"))
TARGET = "/target"


def file(path: str) -> PlannedFile:
    return PlannedFile(path, 1000, 1_700_000_000_123_456_789, f"{len(path) % 16:x}" * 64, "JPEG", 640, 480)


def act(number: str, path: str, action: Action = Action.MOVE, **facts: Any) -> PlannedAct:
    destination = destination_below(TARGET, path) if action is Action.MOVE else None
    level = Level.SIMILAR if action is Action.KEEP else Level.DUPLICATE
    return PlannedAct(number, file(path), 0.05, level, action, destination, "path", "first by path", **facts)


def plan(*groups: PlannedGroup, target: str | None = TARGET) -> Plan:
    companion = Companion("/photos/b.xmp", 10, 20, "c" * 64, "/target/photos/b.xmp")
    made = groups or (
        PlannedGroup(
            file("/photos/a.jpg"),
            (
                act("1.1", "/photos/b.jpg", companions=(companion,), gain=("GPS position",)),
                act("1.2", "/photos/c.jpg", Action.KEEP, turn=Turn.CLOCKWISE, part=True),
                act("1.3", "/photos/trip/d.jpg", Action.DELETE),
            ),
        ),
        PlannedGroup(file("/photos/c.jpg"), (act("2.1", "/photos/trip/e.jpg", Action.REPORT),)),
    )
    return Plan(
        origin="here",
        roots=("/photos",),
        action=Action.MOVE,
        target=target,
        groups=made,
        empty_folders=("/photos/trip",),
        skipped=(Skipped("/photos/x.jpg", "broken"),),
    )


def refusal(path: Path, data: object) -> str:
    """Return why this data is refused."""
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        read(str(path))
    assert str(caught.value).startswith(json.dumps(str(path))[:20]) or str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "plan.json"


def written(place: Path, made: Plan) -> Path:
    place.write_text(json.dumps(as_data(made)), encoding="utf-8")
    return place


# What was written is read back

names = st.binary(min_size=1, max_size=12).filter(lambda name: b"/" not in name and b"\0" not in name)
paths = (
    st.lists(names, min_size=1, max_size=3)
    .filter(lambda parts: not {b".", b".."} & set(parts))
    .map(lambda parts: os.fsdecode(b"/photos/" + b"/".join(parts)))
)
planned = st.builds(
    PlannedFile,
    path=paths,
    size=st.integers(0, 2**63 - 1),
    mtime_ns=st.integers(-(2**63), 2**63 - 1),
    content=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    format=st.text(max_size=8),
    width=st.integers(0, 100_000),
    height=st.integers(0, 100_000),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any plan that does not contradict itself: every path is met once."""
    found = draw(st.lists(planned, max_size=8, unique_by=lambda one: one.path))
    groups: list[PlannedGroup] = []
    while found:
        keeper, *found = found
        size = draw(st.integers(0, len(found)))
        members, found = found[:size], found[size:]
        acts = tuple(
            PlannedAct(
                id=f"{len(groups) + 1}.{number}",
                file=member,
                distance=draw(st.floats(0, 1)),
                level=draw(st.sampled_from(Level)),
                action=(action := draw(st.sampled_from(Action))),
                destination=destination_below(TARGET, member.path) if action is Action.MOVE else None,
                rule=draw(st.text(max_size=8)),
                reason=draw(st.text(max_size=8)),
                turn=draw(st.sampled_from(Turn)),
                part=draw(st.booleans()),
                gain=tuple(draw(st.lists(st.text(max_size=8), max_size=2))),
            )
            for number, member in enumerate(members, 1)
        )
        groups.append(PlannedGroup(keeper, acts))
    return Plan(
        origin=draw(st.text(min_size=1, max_size=8)),
        roots=("/photos",),
        action=draw(st.sampled_from([action for action in Action if action is not Action.KEEP])),
        target=TARGET,
        groups=tuple(groups),
        empty_folders=tuple(draw(st.lists(paths, max_size=2))),
        skipped=tuple(draw(st.lists(st.builds(Skipped, path=paths, reason=st.text(max_size=8)), max_size=2))),
    )


@settings(max_examples=200, deadline=None)
@given(plans())
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, made: Plan) -> None:
    """Every plan comes back equal, names of any bytes included, and conforms to the published schema."""
    place = written(tmp_path_factory.getbasetemp() / "property.json", made)
    jsonschema.validate(json.loads(place.read_text()), SCHEMA)
    assert read(str(place)) == made


def test_a_whole_plan_is_read_back(place: Path) -> None:
    """Companions, gains, turns, parts, empty folders and skipped files come back too."""
    assert read(str(written(place, plan()))) == plan()


def test_counts_and_results_are_tolerated(place: Path) -> None:
    """What --json adds after a run does not keep a plan from being read."""
    data = as_data(plan())
    data["counts"] = dict.fromkeys(COUNTS, 1)
    data["groups"][0]["duplicates"][0] |= {"result": "done", "detail": "/target/photos/b.jpg"}
    jsonschema.validate(data, SCHEMA)
    place.write_text(json.dumps(data))
    assert read(str(place)) == plan()


def test_the_schema_names_what_the_program_knows() -> None:
    """Actions, levels and turns of the schema are those of the program."""
    properties = SCHEMA["$defs"]["act"]["properties"]
    assert set(properties["action"]["enum"]) == {str(action) for action in Action}
    assert set(properties["level"]["enum"]) == {str(level) for level in Level}
    assert set(properties["turn"]["enum"]) == {turn.name.lower() for turn in Turn}
    assert {*SCHEMA["properties"]["action"]["enum"], "keep"} == {str(action) for action in Action}


# What a person may edit


def edited(place: Path, edit: Callable[[dict[str, Any]], object]) -> Plan:
    """Read a plan after an edit."""
    data = as_data(plan())
    edit(data)
    place.write_text(json.dumps(data))
    return read(str(place))


def test_only_the_action_is_edited(place: Path) -> None:
    """A similar file whose action becomes "move" goes to its own place below the target."""
    made = edited(place, lambda data: data["groups"][1]["duplicates"][0].update(action="move"))
    assert made.groups[1].duplicates[0].destination == "/target/photos/trip/e.jpg"


def test_a_file_that_stays_has_no_destination(place: Path) -> None:
    """A move that becomes "keep" or "delete" leaves its destination behind."""
    for action in ("keep", "delete"):
        made = edited(place, lambda data, to=action: data["groups"][0]["duplicates"][0].update(action=to))  # type: ignore[misc]
        assert made.groups[0].duplicates[0].destination is None
        assert made.groups[0].duplicates[0].companions[0].destination is None


def test_keeper_and_duplicate_change_places(place: Path) -> None:
    """The facts of both files are exchanged; with destination null the other file goes to its own place."""

    def swap(data: dict[str, Any]) -> None:
        group = data["groups"][0]
        keeper, duplicate = group["keeper"], group["duplicates"][0]
        for key in keeper:
            keeper[key], duplicate[key] = duplicate[key], keeper[key]
        duplicate["destination"] = None

    def swap_all(data: dict[str, Any]) -> None:
        swap(data)
        data["groups"][0]["duplicates"][0]["companions"] = []

    with pytest.raises(PlanError, match=r"companions\[0\].path: /photos/b.xmp does not belong to /photos/a.jpg"):
        edited(place, swap)
    made = edited(place, swap_all)
    assert made.groups[0].keeper == file("/photos/b.jpg")
    assert made.groups[0].duplicates[0].file == file("/photos/a.jpg")
    assert made.groups[0].duplicates[0].destination == "/target/photos/a.jpg"


def test_another_place_below_the_target(place: Path) -> None:
    """A destination may be edited as long as it lies below the target."""
    made = edited(place, lambda data: data["groups"][0]["duplicates"][0].update(destination="/target/x/y.jpg"))
    assert made.groups[0].duplicates[0].destination == "/target/x/y.jpg"


# What is refused

FIRST = "groups[0].duplicates[0]"
LIES: dict[str, tuple[list[str | int], object, str]] = {
    "unknown action": (["groups", 0, "duplicates", 0, "action"], "mvoe", f'{FIRST}.action: "mvoe" is none of move, '),
    "action of no text": (["groups", 0, "duplicates", 0, "action"], 1, f"{FIRST}.action: 1 is not a text"),
    "unknown level": (["groups", 0, "duplicates", 0, "level"], "same", f"{FIRST}.level: "),
    "unknown turn": (["groups", 0, "duplicates", 0, "turn"], "left", f"{FIRST}.turn: "),
    "part is a number": (["groups", 0, "duplicates", 0, "part"], 0, f"{FIRST}.part: 0 is not true or false"),
    "size is true": (["groups", 0, "keeper", "size"], True, "groups[0].keeper.size: true is not a whole number"),
    "size is a float": (["groups", 0, "keeper", "size"], 1000.0, "groups[0].keeper.size: 1000.0 is not a whole"),
    "size is negative": (["groups", 0, "keeper", "size"], -1, "groups[0].keeper.size: "),
    "size is a text": (["groups", 0, "keeper", "size"], "1000", "groups[0].keeper.size: "),
    "time beyond 64 bits": (["groups", 0, "keeper", "mtime_ns"], 2**63, "groups[0].keeper.mtime_ns: "),
    "distance is true": (["groups", 0, "duplicates", 0, "distance"], True, f"{FIRST}.distance: true"),
    "distance beyond 1": (["groups", 0, "duplicates", 0, "distance"], 1.5, f"{FIRST}.distance: 1.5"),
    "short hash": (["groups", 0, "keeper", "sha256"], "ab", "groups[0].keeper.sha256: "),
    "hash in capitals": (["groups", 0, "keeper", "sha256"], "A" * 64, "groups[0].keeper.sha256: "),
    "odd id": (["groups", 0, "duplicates", 0, "id"], "one", f"{FIRST}.id: "),
    "an id twice": (["groups", 1, "duplicates", 0, "id"], "1.2", "groups[1].duplicates[0].id: 1.2 is the id of"),
    "relative path": (["groups", 0, "keeper", "path"], "a.jpg", "groups[0].keeper.path: "),
    "path with detours": (["groups", 0, "keeper", "path"], "/photos/x/../../etc/p", "groups[0].keeper.path: "),
    "path with two slashes": (["groups", 0, "keeper", "path"], "//photos/a.jpg", "groups[0].keeper.path: "),
    "path with NUL": (["groups", 0, "keeper", "path"], "/photos/\0", "groups[0].keeper.path: "),
    "path no name can have": (["groups", 0, "keeper", "path"], "/photos/\ud800", "groups[0].keeper.path: "),
    "path written in another way": (["groups", 0, "keeper", "path"], "/photos/\udcc3\udca4", "groups[0].keeper.path: "),
    "keeper outside": (["groups", 0, "keeper", "path"], "/etc/a.jpg", "groups[0].keeper.path: /etc/a.jpg is not below"),
    "file outside": (["groups", 0, "duplicates", 0, "path"], "/photos2/b.jpg", f"{FIRST}.path: /photos2/b.jpg is not"),
    "companion of another": (["groups", 0, "duplicates", 0, "companions", 0, "path"], "/photos/c.xmp", "not belong"),
    "companion elsewhere": (["groups", 0, "duplicates", 0, "companions", 0, "path"], "/photos/x/b.xmp", "not belong"),
    "companion outside": (["groups", 0, "duplicates", 0, "companions", 0, "path"], "/etc/x", f"{FIRST}.companions[0]"),
    "destination outside": (["groups", 0, "duplicates", 0, "destination"], "/elsewhere/b.jpg", f"{FIRST}.destination"),
    "destination by detour": (["groups", 0, "duplicates", 0, "destination"], "/target/../b", f"{FIRST}.destination"),
    "destination is the target": (["groups", 0, "duplicates", 0, "destination"], TARGET, f"{FIRST}.destination"),
    "destination beside": (["groups", 0, "duplicates", 0, "destination"], "/target2/b", f"{FIRST}.destination"),
    "companion goes outside": (["groups", 0, "duplicates", 0, "companions", 0, "destination"], "/b", f"{FIRST}.comp"),
    "move without target": (["target"], None, f"{FIRST}.destination: the file is to be moved, but the plan has no"),
    "target holds a root": (["target"], "/", "target: it is one of the roots, or holds one"),
    "keeper goes": (["groups", 0, "duplicates", 1, "action"], "delete", "is to go, but it is the keeper of groups[1]"),
    "file goes twice": (["groups", 1, "duplicates", 0], {"path": "/photos/b.jpg", "action": "move"}, "goes already by"),
    "its own duplicate": (["groups", 1, "duplicates", 0, "path"], "/photos/c.jpg", "the keeper of its own group"),
    "no roots": (["roots"], [], "roots: it is empty"),
    "no origin": (["origin"], "", "origin: it is empty"),
    "root of the disk to prune": (["empty_folders", 0], "/photos", "empty_folders[0]: "),
    "folder outside to prune": (["empty_folders", 0], "/home", "empty_folders[0]: "),
    "plan that keeps": (["action"], "keep", 'action: "keep" is none of'),
    "newer version": (["version"], 2, "version: the plan is of a newer program"),
    "version is true": (["version"], True, "version: true is not a whole number"),
    "groups is an object": (["groups"], {}, "groups: {} is not a list"),
    "group is a list": (["groups", 0], [], "groups[0]: [] is not an object"),
    "unknown key": (["groups", 0, "duplicates", 0, "acton"], "keep", f'{FIRST}: the key "acton" is unknown'),
    "unknown key above": (["comment"], "mine", 'the key "comment" is unknown'),
    "skipped of no shape": (["skipped", 0], "x", 'skipped[0]: "x" is not an object'),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_refused_with_their_place(place: Path, lie: str) -> None:
    """Whatever is wrong is told in one line with file and place."""
    keys, value, message = LIES[lie]
    data = as_data(plan())
    *above, last = keys
    inner: Any = data
    for key in above:
        inner = inner[key]
    inner[last] = {**inner[last], **value} if isinstance(value, dict) and isinstance(last, int) and value else value
    said = refusal(place, data)
    assert message in said
    assert "\n" not in said


def test_the_refusal_in_the_documentation_is_the_one_that_is_printed(place: Path) -> None:
    """With all actions that there are."""
    documented = (Path(__file__).parent.parent / "docs/plan.md").read_text()
    assert f'"mvoe" is none of {", ".join(Action)}`' in documented
    data = as_data(plan())
    data["groups"][0]["duplicates"][0]["action"] = "mvoe"
    assert f'"mvoe" is none of {", ".join(Action)}' in refusal(place, data)


def test_a_plan_to_move_names_a_target(place: Path) -> None:
    """Also one in which nothing goes by now."""
    data = as_data(plan()) | {"target": None, "groups": []}
    assert "target: it is null, but the plan is to move files" in refusal(place, data)


def test_every_missing_key_is_told(place: Path) -> None:
    """No key of a plan may be left out, at any depth."""

    def missing(data: Any, whole: Any) -> int:
        number = 0
        if isinstance(data, dict):
            for key in list(data):
                value = data.pop(key)
                assert f'the key "{key}" is missing' in refusal(place, whole)
                data[key] = value
                number += 1 + missing(value, whole)
        elif isinstance(data, list):
            number += sum(missing(one, whole) for one in data)
        return number

    data = copy.deepcopy(as_data(plan()))
    assert missing(data, data) > 80
    place.write_text(json.dumps(data))
    assert read(str(place)) == plan()


def test_a_companion_that_goes_twice_is_refused(place: Path) -> None:
    """A file that belongs to two pictures that go would be acted on twice."""
    shared = Companion("/photos/b.xmp", 10, 20, "c" * 64, None)
    groups = PlannedGroup(
        file("/photos/a.jpg"),
        (
            act("1.1", "/photos/b.jpg", Action.DELETE, companions=(shared,)),
            act("1.2", "/photos/b.png", Action.DELETE, companions=(shared,)),
        ),
    )
    assert "/photos/b.xmp is to go, and goes already by groups[0].duplicates[0]" in refusal(
        place, as_data(plan(groups))
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is no JSON"),
        ("{", "it is no JSON"),
        ("[]", 'the key "version" is missing'),
        ("null", 'the key "version" is missing'),
        ('{"version": 1, "version": 1}', 'the key "version" is there twice'),
        ('{"version": NaN}', "NaN is no number"),
        ("[" * 100_000, "it is no JSON"),
        ('{"version": ' + "1" * 5000 + "}", "it is no JSON"),
    ],
)
def test_what_is_no_plan_is_refused(place: Path, text: str, message: str) -> None:
    """Text that is no JSON, or says a thing twice, is told as such."""
    assert message in refusal(place, text)


def test_what_can_not_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder and bytes that are no text are told with their name."""
    (tmp_path / "bytes").write_bytes(b"\xff\xfe{}")
    for name in ("missing", ".", "bytes"):
        with pytest.raises(PlanError, match=str(tmp_path)):
            read(str(tmp_path / name))
