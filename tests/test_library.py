"""The library: what difPy means, right where difPy is wrong, and nothing lost when it acts."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
from command import Command
from difpy_oracle import difpy
from PIL import Image

import py_image_dedup as dedup
from py_image_dedup import planfile, report
from py_image_dedup.errors import ConfigError, RootError, UsageError
from py_image_dedup.kinds.tensor import Tensor
from py_image_dedup.model import Level
from py_image_dedup.plan import Action

SIZE = (160, 120)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own: the journal is written there, and no configuration is read."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith(("XDG_", "PY_IMAGE_DEDUP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Photos with copies of several kinds, one of another size, and files that are no pictures."""
    folder = tmp_path / "album"
    for seed in range(8):
        pictures.write(folder / f"{seed}.png", pictures.photo(seed, SIZE), "PNG")
    for seed in range(3):
        pictures.write(folder / "sent" / f"{seed}.jpg", pictures.photo(seed, SIZE), quality=98, subsampling=0)
    shutil.copy(folder / "3.png", folder / "sent" / "3.png")
    shutil.copy(folder / "3.png", folder / "3 copy.png")
    pictures.write(folder / "turned" / "4.png", pictures.photo(4, SIZE).rotate(-90, expand=True), "PNG")
    pictures.write(folder / "turned" / "5.png", pictures.photo(5, SIZE).rotate(180), "PNG")
    pictures.write(folder / "small" / "6.png", pictures.scaled(pictures.photo(6, SIZE), 90), "PNG")
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / ".hidden.png").write_bytes(b"no picture")
    return folder


def search(*folders: str | Path | list[str], similarity: str | float = "duplicates", **options: Any) -> dedup.Search:
    of_build = {name: options.pop(name) for name in [*options] if name in {"kind", "px_size", "in_folder", "recursive"}}
    collection = dedup.build(*folders, show_progress=False, **of_build)
    return dedup.search(collection, similarity, show_progress=False, **options)


def shape(value: Any) -> Any:
    """Return the keys and types of nested data; what the keys of a log are does not matter."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key != "logs"}
    return float if isinstance(value, float | int) and not isinstance(value, bool) else type(value)


@pytest.mark.parametrize("options", [
    {},
    {"similarity": "similar"},
    {"similarity": 2.5, "same_dim": False},
    {"similarity": "similar", "rotate": False},
    {"similarity": "similar", "same_dim": False, "rotate": False},
])  # fmt: skip
def test_result_is_that_of_difpy(album: Path, options: dict[str, Any]) -> None:
    """On photos with copies, resized, turned and recompressed ones, both find the same with the same errors."""
    theirs, ours = difpy(str(album), search=options), search(album, **options)

    assert theirs["result"]
    assert ours.result == theirs["result"]
    assert [*ours.result] == [*theirs["result"]]
    counts = ("total_files", "files_searched", "matches_found")
    assert shape(ours.stats) == shape(theirs["stats"])
    for name in counts:
        mine, others = ours.stats, theirs["stats"]
        if name != "total_files":
            mine, others = mine["process"]["search"], others["process"]["search"]
        assert mine[name] == others[name], name
    assert ours.stats["invalid_files"]["logs"].keys() == theirs["stats"]["invalid_files"]["logs"].keys()
    assert json.loads(json.dumps(ours.stats)) == ours.stats


@pytest.mark.parametrize("options", [{"similarity": "similar"}, {"similarity": "similar", "same_dim": False}])
def test_lower_quality_is_that_of_difpy(album: Path, options: dict[str, Any]) -> None:
    """One picture of each group stays; it is the same where sizes differ.  Of equal sizes difPy keeps the last name."""
    theirs, ours = difpy(str(album), search=options), search(album, **options)

    assert len(ours.lower_quality) == len(set(ours.lower_quality)) == len(theirs["lower_quality"])
    for group in ([first, *(path for path, _ in matches)] for first, matches in ours.result.items()):
        assert len(set(group) - set(ours.lower_quality)) == len(set(group) - set(theirs["lower_quality"])) == 1
    small = str(album / "small" / "6.png")
    assert (small in ours.lower_quality) is (small in theirs["lower_quality"]) is ("same_dim" in options)


def test_examples_of_difpy_run(album: Path, tmp_path: Path) -> None:
    """What difPy's own page shows runs with the import changed, and leaves the same files behind."""
    example = """
dif = difPy.build([FOLDER + 'sent', FOLDER + 'turned', FOLDER], recursive=False, show_progress=False)
search = difPy.search(dif, similarity='similar', show_progress=False)
assert search.result and search.lower_quality and search.stats['process']['search']['files_searched'] > 5
search.move_to(destination_path=TARGET)
search = difPy.search(difPy.build(FOLDER, show_progress=False), similarity='similar', show_progress=False)
if search.lower_quality:  # with nothing to do, difPy raises
    search.delete(silent_del=True)
"""
    left = []
    for name in ("py_image_dedup", "difPy"):
        folder, target = tmp_path / name / "album", tmp_path / name / "lesser"
        shutil.copytree(album, folder)
        paths = f"FOLDER, TARGET = {str(folder) + '/'!r}, {str(target)!r}"
        subprocess.run(
            [sys.executable, "-c", f"import {name} as difPy\n{paths}\n{example}"],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        left.append((len(list(folder.rglob("*.*"))), len(list(target.iterdir()))))

    assert left[0][0] == left[1][0]
    assert left[0][1] >= left[1][1] > 0  # difPy has overwritten what had the same name


def test_folders_apart(album: Path) -> None:
    """With in_folder the result is by folder, and copies in another folder are none."""
    folders = [str(album / "sent"), str(album / "turned"), str(album)]
    shutil.copy(album / "sent" / "0.jpg", album / "sent" / "0 copy.jpg")
    options = {"in_folder": True, "recursive": False}
    theirs = difpy(*folders, build=options, search={"similarity": "similar"})
    ours = search(*folders, similarity="similar", **options)

    assert [*ours.result] == [str(album), str(album / "sent")]
    assert ours.result == theirs["result"]
    assert {os.path.dirname(path) for path in ours.lower_quality} == {str(album), str(album / "sent")}


def test_paths_are_told_as_the_folder_was_given(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder gives relative paths, as with difPy, and what is done does not depend on where that is."""
    monkeypatch.chdir(album.parent)
    found = search("album/")

    assert found.result["album/3 copy.png"] == [["album/3.png", 0.0], ["album/sent/3.png", 0.0]]
    assert found.stats["directory"] == ["album/"]
    assert os.path.exists(found[0].keeper.path)


def test_single_files_and_lists(album: Path) -> None:
    """Files are searched as well as folders, and they may come in a list."""
    files = [str(album / name) for name in ("3.png", "3 copy.png", "sent/3.png", "1.png")]

    assert search(files).result == difpy(*files)["result"] == {files[1]: [[files[0], 0.0], [files[2], 0.0]]}
    assert search(files[0], files[1]).lower_quality == [files[0]]


# What difPy gets wrong, each with brute force in float64


def mse(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], quarters: Sequence[int], *, wraps: bool) -> float:
    """Return the least mean squared error of two tensors, the second turned by these quarters; bytes wrap if asked."""
    number = np.uint8 if wraps else np.float64
    one = a.astype(number)
    return min(float(np.square(one - np.rot90(b, k).astype(number)).mean()) for k in quarters)


def expected(paths: Sequence[str], limit: float, quarters: Sequence[int], *, wraps: bool) -> dict[str, Any]:
    """List matches as difPy does, by comparing all pairs in order of path."""
    tensors = []
    for path in paths:
        with Image.open(path) as image:
            tensors.append(np.asarray(image.convert("RGB").resize((50, 50), Image.Resampling.BICUBIC)))
    result: dict[str, Any] = {}
    taken = set()
    for a, b in combinations(range(len(paths)), 2):
        error = mse(tensors[a], tensors[b], quarters, wraps=wraps)
        if error <= limit and b not in taken:
            taken.add(b)
            result.setdefault(paths[a], []).append([paths[b], error])
    return result


@pytest.mark.parametrize("limit", [0, 5, 200])
def test_where_difpy_is_wrong(tmp_path: Path, limit: float) -> None:
    """Errors that wrap at 256, and copies turned by 270 degrees: both programs are what brute force says of each."""
    photo = np.asarray(pictures.photo(1, (80, 80))) // 2 + 40
    for name, pixels in (
        ("a", photo),
        ("b", photo + 16),  # brighter by 16 levels: an error of 256, for difPy 0
        ("c", photo + 3),
        ("d", np.rot90(photo, 1)),
        ("e", np.rot90(photo, 3)),
        ("f", np.asarray(pictures.photo(2, (80, 80)))),
        ("g", np.asarray(pictures.photo(3, (80, 80)))),
    ):
        pictures.write(tmp_path / f"{name}.png", Image.fromarray(pixels.astype(np.uint8)), "PNG")
    paths = sorted(map(str, tmp_path.glob("*.png")))
    theirs, ours = difpy(str(tmp_path), search={"similarity": limit})["result"], search(tmp_path, similarity=limit)

    assert theirs == expected(paths, limit, (0, 1, 2), wraps=True)
    assert ours.result == expected(paths, limit, (0, 1, 2, 3), wraps=False)
    assert theirs != ours.result


def test_names_that_are_patterns(tmp_path: Path) -> None:
    """A folder with brackets in its name is searched; difPy takes it for a pattern and finds nothing."""
    for name in ("a.png", "b.png"):
        pictures.write(tmp_path / "[2024] trip" / name, pictures.photo(1, SIZE), "PNG")

    assert len(search(tmp_path / "[2024] trip").lower_quality) == 1
    assert difpy(str(tmp_path / "[2024] trip"))["result"] == {}


def test_a_folder_inside_another_counts_once(album: Path) -> None:
    """A file in two of the folders is one file; difPy finds it to be a copy of itself, and would delete it."""
    found = search(album, album / "sent")
    names = [one.path for group in found for one in group]

    assert len(names) == len(set(names))
    assert len(found[0]) == 3


def test_chains_lose_no_picture(tmp_path: Path) -> None:
    """A is near B and B near C, not A to C: no file goes for one that it does not match."""
    base = np.asarray(pictures.photo(1, (50, 50))) // 2 + 30
    for name, shift in (("a", 0), ("b", 2), ("c", 4), ("d", 6)):
        pictures.write(tmp_path / f"{name}.png", Image.fromarray((base + shift).astype(np.uint8)), "PNG")
    found = search(tmp_path, similarity=5)

    for group in found:
        for copy in group.copies:
            with Image.open(group.keeper.path) as one, Image.open(copy.path) as other:
                error = mse(np.asarray(one), np.asarray(other), (0,), wraps=False)
            assert error == copy.distance <= 5
    assert len(found.lower_quality) == 2


def test_links_are_no_copies(tmp_path: Path) -> None:
    """A symbolic link is left out with the reason, and a second name of a file is nothing that could go."""
    real = pictures.write(tmp_path / "a.png", pictures.photo(1, SIZE), "PNG")
    os.symlink(real, tmp_path / "b.png")
    os.link(real, tmp_path / "c.png")
    found = search(tmp_path)

    assert found.invalid_files == {str(tmp_path / "b.png"): "a symbolic link, not followed"}
    assert found.result == {str(real): [[str(tmp_path / "c.png"), 0.0]]}
    assert found.lower_quality == []


def test_animations_with_one_first_frame_differ(tmp_path: Path) -> None:
    """Pictures with several frames are equal only by their bytes; difPy looks at the first frame."""
    first, *rest = (pictures.photo(seed, SIZE) for seed in range(3))
    for name, last in zip(("a.gif", "b.gif"), rest, strict=True):
        first.save(tmp_path / name, save_all=True, append_images=[last])
    shutil.copy(tmp_path / "a.gif", tmp_path / "c.gif")

    assert search(tmp_path).result == {str(tmp_path / "a.gif"): [[str(tmp_path / "c.gif"), 0.0]]}
    assert len(difpy(str(tmp_path))["lower_quality"]) == 2


def test_quality_is_pixels_then_bytes(tmp_path: Path) -> None:
    """Of equal pictures the one of most pixels stays, then that of most bytes; the group says so."""
    photo = pictures.photo(1, (200, 150))
    large = pictures.write(tmp_path / "large.png", photo.resize((400, 300), Image.Resampling.NEAREST), "PNG")
    heavy = pictures.write(tmp_path / "heavy.bmp", photo, "BMP")
    light = pictures.write(tmp_path / "light.png", photo, "PNG")
    found = search(tmp_path, similarity=50, same_dim=False)

    (group,) = found
    assert [one.path for one in group] == [str(path) for path in (large, heavy, light)]
    assert ["pixels" in copy.reason for copy in group.copies] == [True, True]
    assert search(heavy, light).lower_quality == [str(light)]


# Acting


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_move_and_undo(album: Path, tmp_path: Path, home: Path) -> None:
    """Lesser copies go into one folder, what is there stays under its name, and undo brings all back."""
    (album / "3.xmp").write_text("belongs to 3.png")
    pictures.write(album / "sent" / "again" / "3.png", pictures.photo(3, SIZE), "PNG", compress_level=9)
    target = tmp_path / "lesser"
    target.mkdir()
    (target / "3.png").write_text("precious")
    before = everything(album)
    found = search(album)
    wanted = set(found.lower_quality)
    done = found.move_to(str(target))

    assert (target / "3.png").read_text() == "precious"
    assert set(done.done) == wanted
    assert sorted(found.lower_quality) == sorted(done.done.values())
    assert all(os.path.dirname(path) == str(target) for path in found.lower_quality)
    assert sorted(os.listdir(target)) == ["3 (1).png", "3 (1).xmp", "3 (2).png", "3 (3).png", "3.png", "5.png"]
    assert all(os.path.exists(group.keeper.path) for group in found)

    assert dedup_command(home, "undo", done.run) == 0
    assert everything(album) == before
    assert os.listdir(target) == ["3.png"]


def dedup_command(home: Path, *arguments: str) -> int:
    command = Command(home)
    command.environment["PY_IMAGE_DEDUP_ORIGIN"] = os.uname().nodename
    return command.run(*arguments).code


def test_delete_asks(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleting asks, unless it is told not to; one copy of every picture stays."""
    answers = iter(["n", "y"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    before = everything(album)
    found = search(album)

    assert found.delete() is None
    assert everything(album) == before
    assert found.delete() is not None
    assert len(everything(album)) == len(before) - len(found.lower_quality)
    assert all(os.path.exists(group.keeper.path) for group in found)
    again = search(album, similarity="similar")
    deleted = again.delete(silent_del=True)
    assert deleted is not None
    assert len(deleted.done) == len(again.lower_quality) > 0
    assert search(album).delete(silent_del=True) is not None  # nothing is left to do, and that is no error


def test_what_changed_since_stays(album: Path, tmp_path: Path) -> None:
    """A file, or a keeper, that changed after the search is left alone, and a warning says why."""
    found = search(album)
    (group,) = (group for group in found if len(group) == 3)
    with open(group.keeper.path, "ab") as file:
        file.write(b"x")

    with pytest.warns(UserWarning, match="Could not move file: .*3.*the keeper changed"):
        done = found.move_to(str(tmp_path / "lesser"))

    assert set(done.refused) == {copy.path for copy in group.copies}
    assert all(os.path.exists(path) for path in done.refused)
    assert set(done.refused) < set(found.lower_quality)


def test_protected_folders_hold(album: Path, tmp_path: Path, home: Path) -> None:
    """The settings of the commands hold: what lies in a protected folder stays."""
    (home / "py_image_dedup.yaml").write_text(
        f"py_image_dedup:\n  deduplication:\n    protected_directories: [{album / 'sent'}]\n"
    )
    found = search(album)
    with pytest.warns(UserWarning, match="protected folder"):
        done = found.move_to(str(tmp_path / "lesser"))

    assert [*done.refused] == [str(album / "sent" / "3.png")]
    assert (album / "sent" / "3.png").exists()


def test_a_plan_can_be_saved_and_read(album: Path, tmp_path: Path) -> None:
    """The plan of a search is one of the program; copies that nobody looked at are only similar."""
    found = search(album, similarity="similar")
    plan = found.plan("move", str(tmp_path / "lesser"))
    report.write_json(str(tmp_path / "plan.json"), plan, dict.fromkeys(report.COUNTS, 0))

    assert planfile.read(str(tmp_path / "plan.json")).groups == plan.groups
    levels = {os.path.basename(act.file.path): act.level for _, act in plan.acts()}
    assert levels["3.png"] is Level.DUPLICATE
    assert levels["0.jpg"] is Level.SIMILAR
    assert len(levels) > 4
    assert {act.action for _, act in plan.acts()} == {Action.MOVE}
    looked = search(album, similarity="similar", last_look=True).plan("delete")
    assert {act.level for _, act in looked.acts()} == {Level.DUPLICATE}


def test_a_last_look_tells_a_word_apart(tmp_path: Path) -> None:
    """Pages that differ in a corner are equal at 50 pixels; who asks for a last look is told that they are not."""
    page = np.full((600, 450), 255, np.uint8)
    page[40:560:20, 30:420] = 0
    other = page.copy()
    other[300:303, 100:140] = 0
    for name, pixels in (("a.png", page), ("b.png", other)):
        pictures.write(tmp_path / name, pictures.from_array(pixels), "PNG")

    assert len(search(tmp_path, similarity=5)) == 1
    assert search(tmp_path, similarity=5, last_look=True).result == {}


# Kinds


def test_default_kind_of_the_commands(album: Path) -> None:
    """With goldberg, resized, recompressed and turned copies are found at once, each looked at before it counts."""
    found = search(album, kind="goldberg", same_dim=False)

    assert len(found) == 7
    assert all(0 <= copy.distance <= 0.25 for group in found for copy in group.copies)


def test_mean_kind_decides_as_the_frame_script(album: Path) -> None:
    """On real photos and copies of them, files with means within 0.01 are exactly those that the script puts aside."""
    for name in pictures.SAMPLES:
        photo = pictures.sample(name)
        pictures.write(album / f"{name}.png", photo, "PNG")
        pictures.write(album / "frame" / f"{name}.png", photo.rotate(180), "PNG")
        pictures.write(album / "frame" / f"{name}.jpg", photo, quality=98)
    paths = sorted(path for path in map(str, album.rglob("*.*")) if path.endswith((".png", ".jpg")))
    kept: list[tuple[float, ...]] = []
    quarantine = []
    for path in paths:  # the script: what has the means of a picture met before goes
        try:
            with Image.open(path) as image:
                means = tuple(np.asarray(image.convert("RGB")).mean(axis=(0, 1)))
        except OSError:
            continue
        if any(all(abs(a - b) <= 0.01 for a, b in zip(means, other, strict=True)) for other in kept):
            quarantine.append(path)
        else:
            kept.append(means)
    found = search(album, kind="mean", same_dim=False)

    assert len(quarantine) > 5
    assert sorted(path for matches in found.result.values() for path, _ in matches) == sorted(quarantine)


def test_means_call_different_pictures_the_same(tmp_path: Path) -> None:
    """A chequered board and its opposite have equal means: the reason why this kind is no default."""
    board = np.indices((64, 64)).sum(axis=0) // 8 % 2 * 255
    pictures.write(tmp_path / "a.png", pictures.from_array(board), "PNG")
    pictures.write(tmp_path / "b.png", pictures.from_array(255 - board), "PNG")

    assert len(search(tmp_path, kind="mean")) == 1
    assert len(search(tmp_path)) == 0
    assert len(search(tmp_path, kind="goldberg")) == 0


def test_a_kind_of_ones_own(album: Path) -> None:
    """A kind may be handed in; a grey tensor finds a copy without colours."""
    pictures.write(album / "grey" / "7.png", pictures.photo(7, SIZE).convert("L"), "PNG")
    found = search(album, kind=Tensor(grey=True))

    assert [os.path.basename(path) for path in found.lower_quality].count("7.png") == 1
    assert str(album / "grey" / "7.png") in found.lower_quality  # which stores no colour, so the other is better


# Objects


def test_groups(album: Path) -> None:
    """Groups can be counted, indexed and gone through, and tell what was measured."""
    found = search(album, similarity="similar")

    assert len(found) == len([*found]) == len(found[:]) > 5
    assert found[-1].keeper.path == [*found][-1].keeper.path
    (turned,) = (copy for group in found for copy in group.copies if copy.turn == "half")
    assert (turned.width, turned.height, turned.format) == (*SIZE, "PNG")
    assert os.path.basename(turned.path) == "5.png"
    assert len(turned.sha256) == 64
    assert turned.reason


def test_notebook(album: Path) -> None:
    """A group shows its pictures and escapes their names."""
    pictures.write(album / "<script>.png", pictures.photo(0, SIZE), "PNG")
    shown = search(album)._repr_html_()

    assert shown.count("data:image/jpeg;base64,") == sum(len(group) for group in search(album))
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown


def test_pandas(album: Path) -> None:
    """There is a row for each picture of a group."""
    pytest.importorskip("pandas")
    frame = search(album).to_pandas()

    assert frame["keeper"].sum() == len(search(album))
    assert len(frame) == sum(len(group) for group in search(album))
    assert {"group", "path", "distance", "reason"} <= set(frame.columns)


@pytest.mark.parametrize("options", [{}, {"similarity": "similar"}, {"similarity": 50, "same_dim": False}])
def test_pairs_one_by_one(album: Path, options: dict[str, Any]) -> None:
    """Every near pair comes once: what the result lists, and what it leaves out because an earlier one has taken it."""
    collection = dedup.build(album, show_progress=False)
    found = [(one.path, one.other, one.distance) for one in dedup.pairs(collection, **options)]
    told = {frozenset((one, other)): distance for one, other, distance in found}
    result = dedup.search(collection, show_progress=False, **options).result
    listed = {frozenset((one, other)): distance for one, matches in result.items() for other, distance in matches}

    assert len(told) == len(found)
    assert told.items() >= listed.items()
    three = [str(album / name) for name in ("3 copy.png", "3.png", "sent/3.png")]
    assert told.keys() - listed.keys() == {frozenset(three[1:])}


def test_leaks(album: Path, tmp_path: Path) -> None:
    """Pictures of a test set that are in a training set too, turned ones included, and no pairs within one set."""
    test = tmp_path / "test"
    pictures.write(test / "0.jpg", pictures.photo(0, SIZE), quality=99, subsampling=0)
    pictures.write(test / "turned.png", pictures.photo(1, SIZE).rotate(90, expand=True), "PNG")
    pictures.write(test / "new.png", pictures.photo(100, SIZE), "PNG")
    shutil.copy(test / "new.png", test / "again.png")
    shutil.copy(album / "7.png", test / "seven.png")
    found = {(os.path.basename(one.path), os.path.basename(one.other)): one for one in dedup.leaks(album, [test])}

    assert found.keys() == {
        ("0.png", "0.jpg"), ("0.jpg", "0.jpg"), ("1.png", "turned.png"), ("1.jpg", "turned.png"), ("7.png", "seven.png")
    }  # fmt: skip
    assert all(str(album) in one.path and str(test) in one.other for one in found.values())
    assert found["1.png", "turned.png"].turn == "clockwise"
    assert found["7.png", "seven.png"].distance == 0
    with pytest.raises(UsageError, match="are the same"):
        dedup.leaks(album, album)


def test_no_state_is_shared(album: Path) -> None:
    """Searches of one collection do not change it or each other."""
    collection = dedup.build(album, show_progress=False)
    strict = dedup.search(collection, show_progress=False)
    wide = dedup.search(collection, "similar", show_progress=False)

    assert "search" not in collection.stats["process"]
    assert strict.stats["process"]["search"]["parameters"]["similarity_mse"] == 0
    assert wide.stats["process"]["search"]["parameters"]["similarity_mse"] == 5
    assert len(wide) > len(strict)


def test_without_a_main_guard(album: Path, tmp_path: Path) -> None:
    """A script needs no ``if __name__ == "__main__"``, however processes are started, and gets no noise."""
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "multiprocessing.set_start_method('spawn')\n"
        "import py_image_dedup as dedup\n"
        "print(len(dedup.search(dedup.build(sys.argv[1]))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", script, album], check=True, capture_output=True, text=True, timeout=60
    )

    assert (done.stdout, done.stderr) == (f"{len(search(album))}\n", "")


def test_the_library_loads_when_it_is_used() -> None:
    """Importing the package loads neither numpy nor Pillow; its names can be listed before."""
    program = (
        "import sys, py_image_dedup\n"
        "assert {'build', 'search'} <= set(dir(py_image_dedup))\n"
        "assert not {'numpy', 'PIL', 'rich'} & set(sys.modules)\n"
        "py_image_dedup.build\n"
        "assert 'numpy' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    with pytest.raises(AttributeError):
        _ = dedup.nothing  # type: ignore[attr-defined]


# What makes no sense


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"px_size": 9}, "px_size is 9; it must be a whole number from 10 to 5000"),
        ({"kind": "hash"}, 'kind is "hash"; there are tensor, goldberg, mean'),
        ({"processes": 0}, "processes is 0"),
        ({"processes": "2"}, "processes is '2'; it must be a whole number"),
        ({"processes": 1.5}, "processes is 1.5"),
        ({"px_size": 50.0}, "px_size is 50.0"),
        ({"kind": 5}, "kind is 5; it must be a name or have all that Kind"),
    ],
)
def test_wrong_parameters_of_build(album: Path, options: dict[str, Any], message: str) -> None:
    """What makes no sense is refused with the parameter's name and what it may be."""
    with pytest.raises(UsageError, match=message):
        dedup.build(album, show_progress=False, **options)


@pytest.mark.parametrize("similarity", ["low", "", -1, float("nan"), None, [5], b"similar"])
def test_wrong_similarity(album: Path, similarity: Any) -> None:
    """Only the two words and numbers of at least 0 are a similarity."""
    with pytest.raises(UsageError, match="similarity"):
        search(album / "sent", similarity=similarity)


def test_wrong_folders(album: Path) -> None:
    """No folder, one that is not there, and one named twice are refused."""
    with pytest.raises(UsageError, match="at least one"):
        dedup.build()
    with pytest.raises(RootError, match=r"there is no .*/nowhere"):
        dedup.build(album / "nowhere")
    with pytest.raises(UsageError, match="are the same"):
        dedup.build(str(album), f"{album}/sent/..")
    for wrong in (5, None, b"/photos", [album, 5], [b"/photos"]):
        with pytest.raises(UsageError, match="is no path; name a folder"):
            dedup.build(wrong)  # type: ignore[arg-type]


def test_wrong_actions(album: Path, tmp_path: Path) -> None:
    """An action that is none, a move without a target, and a target that holds the pictures are refused."""
    found = search(album)
    with pytest.raises(UsageError, match='action is "burn"; there are move, trash, delete'):
        found.act("burn")
    with pytest.raises(UsageError, match="target"):
        found.act("move")
    with pytest.raises(UsageError, match="target: 5 is no path"):
        found.move_to(5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="action is"):
        found.act(5)  # type: ignore[arg-type]
    for target in (album, tmp_path):
        with pytest.raises(ConfigError, match=r"(holds|is) the source folder"):
            found.move_to(target)


def test_lazy_is_the_old_name(album: Path) -> None:
    """What difPy called lazy before 4.2 means same_dim, with a warning."""
    with pytest.warns(DeprecationWarning, match="same_dim"):
        found = search(album, similarity="similar", lazy=False)

    assert found.result == search(album, similarity="similar", same_dim=False).result


def test_nothing_to_find(tmp_path: Path) -> None:
    """An empty folder, and one without copies, give empty results of the right shape."""
    empty = search(tmp_path / "home")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (empty.result, empty.lower_quality, len(empty)) == ({}, [], 0)
        empty.delete(silent_del=True)
        empty.move_to(str(tmp_path / "lesser"))
    assert not (tmp_path / "lesser").exists()


def test_pictures_of_any_mode(tmp_path: Path) -> None:
    """Grey, palette and 16-bit pictures are signed; deep grey by its eight high bits, and not cut to white."""
    deep = (np.indices((40, 60)).sum(axis=0) * 600).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(60_000 - deep // 2).save(tmp_path / "other.png")
    out = io.BytesIO()
    pictures.photo(1, SIZE).convert("P").save(out, "PNG")
    (tmp_path / "palette.png").write_bytes(out.getvalue())
    found = search(tmp_path, similarity=100)

    assert len(found.invalid_files) == 0
    assert found.result == {}
