"""The command ``search``: difPy's flags and files, with the program's care."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pictures
import pytest
from command import Command
from difpy_oracle import difpy

SIZE = (160, 120)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three photos, two of them twice, one of these turned."""
    folder = tmp_path / "album"
    for seed in range(3):
        pictures.write(folder / f"{seed}.png", pictures.photo(seed, SIZE), "PNG")
    shutil.copy(folder / "0.png", folder / "0 copy.png")
    (folder / "below").mkdir()
    pictures.write(folder / "below" / "1.png", pictures.photo(1, SIZE).rotate(-90, expand=True), "PNG")
    (folder / "notes.txt").write_text("x")
    return folder


def written(folder: Path) -> dict[str, Any]:
    """Read the three files, once it is made sure that they are named as difPy does."""
    found = {}
    for path in folder.glob("difPy_*"):
        name = re.fullmatch(r"difPy_\d{14}_(results\.json|lower_quality\.txt|stats\.json)", path.name)
        assert name, path.name
        text = path.read_text(encoding="utf-8")
        found[name[1]] = json.loads(text) if path.suffix == ".json" else ast.literal_eval(text)
    return found


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_files_are_those_of_difpy(album: Path, command: Command, tmp_path: Path) -> None:
    """Results, lower quality and statistics hold what difPy's hold, in the same form."""
    done = command.run("search", "-D", album, "-Z", tmp_path / "made" / "out", "-s", "similar", "-p", "False")
    theirs = difpy(str(album), search={"similarity": "similar"})
    told = written(tmp_path / "made" / "out")

    assert (done.code, done.err) == (0, "")
    assert "5 pictures: 2 groups with 2 of lower quality." in done.out
    assert told["results.json"] == theirs["result"]
    assert len(told["lower_quality.txt"]) == len(theirs["lower_quality"]) == 2
    stats, others = told["stats.json"], theirs["stats"]
    assert stats.keys() == others.keys()
    assert stats["process"]["search"]["matches_found"] == others["process"]["search"]["matches_found"]
    for step in ("build", "search"):
        assert stats["process"][step].keys() == others["process"][step].keys()
        assert stats["process"][step]["parameters"].keys() == others["process"][step]["parameters"].keys()


@pytest.mark.parametrize(
    ("flags", "groups"),
    [
        ((), 1),
        (("-s", "similar"), 2),
        (("-s", "similar", "-r", "False"), 1),
        (("-s", "similar", "-ro", "false"), 1),
        (("-s", "similar", "-i", "True"), 2),
        (("-s", "5", "-dim", "False", "-px", "20"), 2),
        (("-s", "5", "-le", "False", "-proc", "1", "-ch", "100"), 2),
        (("-s", "65025", "-dim", "False"), 1),
        (("--kind", "goldberg", "-ro", "True"), 2),
        (("-s", "200", "-dim", "False", "--last-look"), 2),
    ],
)
def test_flags(album: Path, command: Command, flags: tuple[str, ...], groups: int) -> None:
    """The flags of difPy mean what they mean there; several folders may follow -D."""
    done = command.run("search", "-D", album, *flags)

    assert done.code == 0, done.err
    assert f" {'1 group' if groups == 1 else f'{groups} groups'} with" in done.out
    assert len(written(command.home)) == 3


def test_folders(album: Path, command: Command) -> None:
    """Several folders follow -D; without any the working folder is searched, and no file is written there."""
    (album / "other").mkdir()
    shutil.copy(album / "2.png", album / "other" / "2.png")
    done = command.run("search", "-s", "similar", "-r", "False", "-D", album, album / "other", album / "below")
    assert "6 pictures: 3 groups" in done.out
    shutil.copy(album / "2.png", command.home / "a.png")
    shutil.copy(album / "2.png", command.home / "b.png")
    before = files(command.home)
    done = command.run("search")
    assert "2 pictures: 1 group with 1 of lower quality." in done.out
    assert "-Z" in done.err
    assert files(command.home) == before


def test_move_and_undo(album: Path, command: Command, tmp_path: Path) -> None:
    """-mv moves, over nothing, and undo brings all back."""
    before = files(album)
    target = tmp_path / "lesser"
    target.mkdir()
    (target / "0.png").write_text("precious")
    done = command.run("search", "-D", album, "-s", "similar", "-mv", target)

    assert done.code == 0, done.err
    assert "Moved 2 files." in done.out
    assert (target / "0.png").read_text() == "precious"
    assert len(os.listdir(target)) == 3
    assert len(files(album)) == len(before) - 2
    assert command.run("undo").code == 0
    assert files(album) == before


def test_delete(album: Path, command: Command) -> None:
    """-d asks, and without a terminal only -sd True answers; -d and -mv exclude each other."""
    before = files(album)
    for flags in (("-d", "True"), ("-d", "True", "-sd", "True", "-mv", "/tmp/x")):
        done = command.run("search", "-D", album, *flags)
        assert done.code == 2, done.out
        assert "-sd True" in done.err or "exclude" in done.err
        assert files(album) == before
    done = command.run("search", "-D", album, "-s", "similar", "-d", "True", "-sd", "True")

    assert done.code == 0, done.err
    assert "Deleted 2 files." in done.out
    assert len(files(album)) == len(before) - 2
    assert "0 of lower quality" in command.run("search", "-D", album, "-s", "similar").out


def test_plan(album: Path, command: Command, tmp_path: Path) -> None:
    """--plan saves what -mv would do; it is applied after a question, since nobody looked at the pixels."""
    plan = tmp_path / "plan.json"
    assert command.run("search", "-D", album, "-s", "similar", "--plan", plan).code == 0
    assert "1.1" in plan.read_text()
    target = tmp_path / "lesser"
    done = command.run("search", "-D", album, "-s", "similar", "--plan", plan, "-mv", target)
    assert "Moved 2 files." in done.out
    assert command.run("undo").code == 0
    done = command.run("apply", plan)
    assert (done.code, "only similar" in done.err) == (2, True)
    assert command.run("apply", plan, "--yes").code == 0
    assert len(os.listdir(target)) == 2


def test_a_file_that_changes_meanwhile_is_refused(album: Path, command: Command, tmp_path: Path) -> None:
    """What lies in a protected folder stays; it is named, and the exit code is 5."""
    done = command.run(
        "search", "-D", album, "-mv", tmp_path / "lesser", PY_IMAGE_DEDUP_DEDUPLICATION_PROTECTED_DIRECTORIES=str(album)
    )

    assert done.code == 5
    assert "refused: " in done.out
    assert "protected" in done.out


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("-px", "5"), "px_size"),
        (("-s", "many"), "similarity"),
        (("-D", "/nowhere"), "/nowhere"),
        (("-r", "maybe"), "-r"),
    ],
)
def test_wrong_flags(album: Path, command: Command, flags: tuple[str, ...], word: str) -> None:
    """What makes no sense is named."""
    done = command.run("search", album, *flags)

    assert done.code in {2, 3}
    assert word in done.err
    assert "Traceback" not in done.err
