"""Taking back what a run did: the tree is as it was, nothing is overwritten, and what can't come back is said."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pictures
import pytest
from command import Command
from disks import Disk, sha256, tree

from py_image_dedup import journal
from py_image_dedup.actions import Result, settle, steps, undo_whole, unit
from py_image_dedup.companions import attach
from py_image_dedup.errors import AnotherRun
from py_image_dedup.files import Inode
from py_image_dedup.journal import Journal, State, Step, acting
from py_image_dedup.journal.step import attributes_of
from py_image_dedup.plan import Action


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A photo with a copy, which has a sidecar, and a small version."""
    folder = tmp_path / "album"
    (folder / "sent").mkdir(parents=True)
    photo = pictures.photo(1, (640, 480))
    photo.save(folder / "a.jpg", quality=92)
    shutil.copyfile(folder / "a.jpg", folder / "sent/a copy.jpg")
    (folder / "sent/a copy.xmp").write_text("<xmp/>")
    photo.resize((320, 240)).save(folder / "sent/small.jpg", quality=90)
    os.utime(folder / "a.jpg", (2e9, 2e9))
    return folder


def whole(folder: str | Path) -> dict[str, tuple[object, ...]]:
    """Return bytes, mode and time of all files, and mode and time of all folders."""
    found = {path: (*what, os.lstat(path).st_mode) for path, what in tree(str(folder)).items()}
    return found | {path: (os.stat(path).st_mode, os.stat(path).st_mtime_ns) for path, _, _ in os.walk(folder)}


def last(disk: Disk) -> journal.Run:
    run = journal.last_to_undo(journal.runs(disk.state))
    assert run is not None
    return run


def undo(disk: Disk, *only: str) -> list[str]:
    """Take back the last run, and return why if something stays."""
    return [one.detail for one in undo_whole(last(disk), disk.state, only=only) if one.result is not Result.DONE]


@pytest.mark.parametrize("action", [Action.MOVE, Action.TRASH, Action.HARDLINK])
def test_the_tree_is_as_it_was(disk: Disk, action: Action) -> None:
    """Names, bytes, modes and times of files and folders come back, removed folders and all; the target is gone."""
    disk.write("a.png")
    for number in range(4):
        path = disk.write(f"trip/day {number % 2}/{number}.png", mtime=2 + number)
        os.chmod(path, 0o600 + number)
    for mtime, folder in enumerate(("trip/day 0", "trip/day 1", "trip", ""), 100):
        os.chmod(f"{disk.photos}/{folder}", 0o750 + mtime % 4)
        os.utime(f"{disk.photos}/{folder}", ns=(mtime, mtime))
    before = whole(disk.photos)
    outcomes = disk.run(disk.plan(action, prune=True))
    assert [outcome.result for outcome in outcomes] == [Result.DONE] * 4
    assert os.path.isdir(f"{disk.photos}/trip") == action.links
    assert undo(disk) == []
    assert whole(disk.photos) == before
    assert not os.path.exists(disk.target)


def test_a_folder_that_somebody_changed_keeps_its_time(disk: Disk) -> None:
    """The time of a folder is given back only if it is the one that the run left."""
    disk.write("a.png")
    disk.write("b.png", mtime=2)
    os.utime(disk.photos, (5, 5))
    disk.run(disk.plan())
    disk.write("new.png", b"new")
    assert undo(disk) == []
    assert os.stat(disk.photos).st_mtime > 5


@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_what_stands_in_the_old_place_is_never_overwritten(disk: Disk, there: str) -> None:
    """If something else has the old name by now, both stay where they are and the reason is told."""
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    disk.run(disk.plan())
    if there == "file":
        disk.write("b.png", b"one", mtime=9)
    elif there == "folder":
        os.mkdir(copy)
    else:
        os.symlink("nowhere", copy)
    before = tree(disk.base + "/photos")
    assert undo(disk) == ["something else stands in its old place"]
    assert tree(disk.base + "/photos") == before
    assert os.path.exists(disk.target + copy)
    if there == "folder":
        os.rmdir(copy)
    else:
        os.unlink(copy)
    assert undo(disk) == []
    assert Path(copy).read_bytes() == b"one"


def test_a_file_that_was_changed_or_lost_at_the_target_is_told(disk: Disk) -> None:
    """What was edited at the target stays there, what is gone is named, and the rest comes back."""
    disk.write("a.png")
    names = [disk.write(f"b{number}.png", mtime=2 + number) for number in range(3)]
    disk.run(disk.plan())
    Path(disk.target + names[0]).write_bytes(b"edited")
    os.unlink(disk.target + names[1])
    assert sorted(undo(disk)) == [f"{disk.target}{names[0]} was changed since", f"{disk.target}{names[1]} is gone"]
    assert [os.path.exists(name) for name in names] == [False, False, True]
    assert Path(disk.target + names[0]).read_bytes() == b"edited"
    (run, _) = journal.runs(disk.state)
    assert run.undone == {"1.3"}


def test_single_files_and_folders_can_be_taken_back(disk: Disk) -> None:
    """With paths only what is at or below them comes back, with the folders that it needs; the rest may follow."""
    disk.write("a.png")
    for name in ("x/b.png", "x/y/c.png", "z/d.png"):
        disk.write(name, mtime=2)
    before = whole(disk.photos)
    disk.run(disk.plan(prune=True))
    assert undo(disk, f"{disk.photos}/x/y") == []
    assert {os.path.relpath(path, disk.photos) for path in tree(disk.photos)} == {"a.png", "x/y/c.png"}
    assert undo(disk, f"{disk.photos}/z/d.png") == []
    assert not os.path.exists(f"{disk.photos}/x/b.png")
    assert undo(disk) == []
    assert whole(disk.photos).keys() == before.keys()
    assert journal.last_to_undo(journal.runs(disk.state)) is None


@pytest.mark.parametrize("cut_off", [False, True])
def test_a_target_that_holds_less_of_a_file(disk: Disk, other_disk: Path, *, cut_off: bool) -> None:
    """FAT knows no modes and every other second: all comes back as it was, also in a second try."""
    disk.write("a.png")
    copy = disk.write("b.png")
    os.chmod(copy, 0o600)
    os.utime(copy, ns=(3_123_456_789, 3_123_456_789))
    with suppress(OSError):  # a file system without them
        os.setxattr(copy, "user.tag", b"beach")
    before, attributes = whole(disk.photos)[copy], attributes_of(copy)
    (outcome,) = disk.run(replace(disk, elsewhere=str(other_disk / "target")).plan())
    os.chmod(outcome.detail, 0o777)
    os.utime(outcome.detail, ns=(2 * 10**9, 2 * 10**9))
    if attributes:
        os.removexattr(outcome.detail, "user.tag")
    if cut_off:
        begun = Journal.open(disk.state, kind=journal.UNDO, undoes=last(disk).id)
        begun.write("intent", {"id": outcome.act.id, "path": copy, "action": "move", "steps": [], "folders": {}})
        begun.close()

    assert undo(disk) == []

    assert (whole(disk.photos)[copy], attributes_of(copy)) == (before, attributes)
    assert not os.path.exists(outcome.detail)


def test_an_act_that_is_left_half_done_is_settled_later(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither going on nor taking back was possible, the next run or undo takes it back."""
    disk.write("a.png")
    copy, sidecar = disk.write("b.png", mtime=2), disk.write("b.png.xmp", b"<xmp/>", mtime=2)
    before = tree(disk.photos)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def first_only(step: Step, as_seen: Inode) -> None:
        if step.path == sidecar:
            fail()
        steps.perform(step, as_seen)

    with monkeypatch.context() as broken:
        broken.setattr(unit, "perform", first_only)
        broken.setattr(unit, "take_back", fail)
        (outcome,) = disk.run(attach(disk.plan(), pictures={".png"}))
    assert outcome.result is Result.FAILED
    assert f"{copy} could not be brought back: Input/output error" in outcome.detail
    assert not os.path.exists(copy)

    assert list(settle(disk.state)) == []

    assert tree(disk.photos) == before
    assert list(journal.unsettled(disk.state)) == []


@pytest.mark.parametrize(
    "damage",
    [b"\0" * 40, b"[]", b'{"event": "intent"}', b'{"event": "intent", "id": "1.1", "path": "x", "steps": 7}'],
    ids=["zeros", "no object", "no id", "no steps"],
)
@pytest.mark.parametrize("ended", [True, False])
def test_what_a_journal_has_lost_is_told_and_stays_open(disk: Disk, damage: bytes, *, ended: bool) -> None:
    """A block of it can't be read any more: what is known comes back, the rest is named with the place to look at."""
    disk.write("a.png")
    copies = [disk.write(f"{name}.png", mtime=2) for name in "bcd"]
    outcomes = disk.run(disk.plan())
    path = Path(last(disk).path)
    lines = path.read_bytes().splitlines()
    lines[1] = damage
    path.write_bytes(b"\n".join(lines if ended else lines[:-1]) + b"\n")
    (path.parent / "29990101T000000.jsonl").symlink_to("nowhere")

    assert list(settle(disk.state)) == []
    assert undo(disk) == [f"the journal has lost what was done to it; look at {outcomes[0].detail}"]

    assert [os.path.exists(copy) for copy in copies] == [False, True, True]
    assert os.path.exists(outcomes[0].detail)
    assert len(undo(disk)) == 1


def test_runs_are_taken_back_from_the_last_to_the_first(disk: Disk) -> None:
    """Undo takes the last run that was not taken back, also through many runs."""
    before = []
    for number in range(4):
        disk.write(f"{number}/a.png", b"%d" % number)
        disk.write(f"{number}/b.png", b"%d" % number, mtime=2)
        before.append(tree(disk.photos))
        disk.run(disk.plan())
        assert len(tree(disk.photos)) == number + 1
    disk.write("3/a.png", b"edited by others", mtime=9)
    for number in reversed(range(4)):
        assert undo(disk) == []
        assert f"{disk.photos}/{number}/b.png" in tree(disk.photos)
    assert journal.last_to_undo(journal.runs(disk.state)) is None
    assert Path(f"{disk.photos}/3/a.png").read_bytes() == b"edited by others"


OLD = """
{{"event": "intent", "time": "2026-01-02T03:04:05+00:00", "id": "1.1", "action": "move", "path": "{0}/b.png",
 "sha256": "{2}", "size": 3, "mtime_ns": 2000000000, "destination": "{1}/b.png", "keeper": "{0}/a.png",
 "keeper_sha256": "{2}"}}
{{"event": "done", "time": "2026-01-02T03:04:05+00:00", "id": "1.1", "path": "{0}/b.png", "detail": "{1}/b (1).png"}}
{{"event": "intent", "time": "2026-01-02T03:04:06+00:00", "id": "1.2", "action": "move", "path": "{0}/d/c.png",
 "sha256": "{2}", "size": 3, "mtime_ns": 3000000000, "destination": "{1}/c.png", "keeper": "{0}/a.png",
 "keeper_sha256": "{2}"}}
{{"event": "done", "time": "2026-01-02T03:04:06+00:00", "id": "1.2", "path": "{0}/d/c.png", "detail": "{1}/c.png"}}
{{"event": "prune", "time": "2026-01-02T03:04:07+00:00", "path": "{0}/d", "mode": 16872, "mtime_ns": 7000000000}}
"""


def test_a_journal_of_version_1_is_taken_back(disk: Disk) -> None:
    """Journals of the first version, without a line about the run, are read and undone (rmlint#587: years later)."""
    disk.write("a.png")
    os.makedirs(disk.target)
    for name, mtime in (("b (1).png", 2), ("c.png", 3)):
        path = Path(f"{disk.target}/{name}")
        path.write_bytes(b"one")
        os.utime(path, (mtime, mtime))
    os.makedirs(f"{disk.state}/runs")
    text = OLD.format(disk.photos, disk.target, sha256(b"one")).replace(",\n", ",").lstrip()
    Path(f"{disk.state}/runs/20260102T030405.000000-7.jsonl").write_text(text)
    assert list(settle(disk.state)) == []
    assert undo(disk) == []
    assert {path: what[2] for path, what in tree(disk.photos).items()} == {
        f"{disk.photos}/a.png": 10**9,
        f"{disk.photos}/b.png": 2 * 10**9,
        f"{disk.photos}/d/c.png": 3 * 10**9,
    }
    assert os.stat(f"{disk.photos}/d").st_mode == 16872


@pytest.mark.parametrize("cut", [2, 10, 100])
def test_a_torn_last_line_is_no_obstacle(disk: Disk, cut: int) -> None:
    """Whatever a power cut left of the last line, the journal is read, settled and undone."""
    disk.write("a.png")
    disk.write("b.png", mtime=2)
    before = tree(disk.photos)
    disk.execute(disk.plan())
    (run,) = journal.runs(disk.state)
    with open(run.path, "r+b") as file:
        file.truncate(os.path.getsize(run.path) - cut)
    (torn,) = journal.runs(disk.state)
    assert [act.state for act in torn.acts.values()] == [State.OPEN]
    assert list(settle(disk.state)) == []
    assert tree(disk.photos) == before
    (settled,) = journal.runs(disk.state)
    assert (settled.ended, [act.state for act in settled.acts.values()]) == (True, [State.FAILED])


HOLDER = """
import sys, time
from py_image_dedup.journal import acting
with acting(sys.argv[1]):
    print(1, flush=True)
    time.sleep(60)
"""


def test_two_processes_never_act_at_once(disk: Disk) -> None:
    """Whoever comes second is told who acts and since when, with exit code 4; the lock ends with its process."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, disk.state], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"1\n"
        with (
            pytest.raises(AnotherRun, match=rf"process {holder.pid}, since \d{{4}}-") as caught,
            acting(disk.state),
        ):
            pass
        assert caught.value.exit_code == 4
    finally:
        holder.kill()
        holder.communicate()
    with acting(disk.state):
        pass


# The commands


def test_undo_and_history_of_a_real_run(command: Command, album: Path, tmp_path: Path) -> None:
    """A run tells how to take it back; history lists it; undo restores the album, and history says so."""
    os.utime(album / "sent", (3e8, 3e8))
    before = whole(album)
    run = command.run(
        "deduplicate", album, "--target", tmp_path / "t", "--no-dry-run", PY_IMAGE_DEDUP_REMOVE_EMPTY_FOLDERS="true"
    )
    assert run.code == 0, run.err
    name = run.out.rpartition("py-image-dedup undo ")[2].strip()
    assert not (album / "sent").exists()

    listed = command.run("history")
    assert name in listed.out
    assert max(map(len, listed.out.splitlines()[:-1])) <= 80
    assert " move " in listed.out
    acts = command.run("history", name[:20])
    assert f"{album}/sent/small.jpg" in acts.out

    shown = command.run("undo", "--dry-run")
    assert shown.code == 0
    assert f"make the folder again: {album}/sent" in shown.out
    assert not (album / "sent").exists()

    done = command.run("undo")
    assert done.code == 0, done.err
    assert "Brought back 2 files" in done.out
    assert whole(album) == before
    assert " yes" in command.run("history").out
    for arguments in ((), (name,), ("--file", album / "sent")):
        assert "nothing to take back" in command.run("undo", *arguments).out
    assert command.run("history").out.count(" undo ") == 1
    again = command.run("deduplicate", album)
    assert again.code == 0
    assert len(again.groups()) == 1


def test_undo_says_what_was_deleted_and_asks_for_the_rest(command: Command, album: Path, tmp_path: Path) -> None:
    """Deleted files are named beforehand; the others come back only with --yes where nobody can be asked."""
    (album / "sent/a copy.xmp").unlink()
    run = command.run("deduplicate", album, "--action", "delete", "--no-dry-run", "--yes")
    assert run.counts["deleted"] == 2, run.out
    assert "To take it back" not in run.out
    (path,) = (command.home / ".local/state/py-image-dedup/runs").iterdir()
    gone = command.run("undo", path.stem)
    assert gone.code == 5
    assert "was deleted and can't be brought back" in gone.err

    moved = tmp_path / "moved.jpg"
    moved.write_bytes(b"one")
    journal_ = Journal.open(str(path.parent.parent), kind="apply")
    step = {
        "action": "move",
        "path": str(album / "b.jpg"),
        "size": 3,
        "sha256": sha256(b"one"),
        "place": str(moved),
        "hidden": ".py-image-dedup-x",
    }
    journal_.write("intent", {"id": "1.1", "action": "move", "path": step["path"], "steps": [step | {"hidden": ".x"}]})
    journal_.write("done", {"id": "1.1", "path": step["path"], "detail": str(moved)})
    journal_.write(
        "intent", {"id": "1.2", "action": "delete", "path": "/x", "steps": [{"action": "delete", "path": "/x"}]}
    )
    journal_.write("done", {"id": "1.2", "path": "/x", "detail": "deleted"})
    journal_.close()
    refused = command.run("undo")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert not (album / "b.jpg").exists()
    done = command.run("undo", "--yes")
    assert done.code == 5
    assert (album / "b.jpg").read_bytes() == b"one"
    assert not moved.exists()


def test_one_file_of_an_earlier_run_comes_back(command: Command, album: Path, tmp_path: Path) -> None:
    """By its old path a file is found in the last run that moved it; what a later run did stays done."""
    command.run("deduplicate", album, "--target", tmp_path / "t", "--no-dry-run")
    photo = album / "other.jpg"
    pictures.photo(8, (320, 240)).save(photo)
    shutil.copyfile(photo, album / "other copy.jpg")
    command.run("deduplicate", album, "--target", tmp_path / "t", "--no-dry-run")
    shown = command.run("undo", "--dry-run", "--file", album / "sent/small.jpg")
    assert f"take back: move: {album}/sent/small.jpg" in shown.out
    assert not (album / "sent/small.jpg").exists()
    done = command.run("undo", "--file", "../album/sent/small.jpg", "--file", tmp_path / "nothing.jpg")
    assert done.code == 0, done.err
    assert "Brought back 1 file (" in done.out
    assert (album / "sent/small.jpg").exists()
    assert sorted(path.name[:5] for path in album.rglob("*.jpg")) == ["a.jpg", "other", "small"]


def test_a_folder_that_is_not_there_is_no_obstacle(command: Command, album: Path, tmp_path: Path) -> None:
    """A disk is away: what is said of other files, and what runs on these did, is still told and taken back."""
    configured = {"PY_IMAGE_DEDUP_ANALYSIS_SOURCE_DIRECTORIES": str(tmp_path / "away")}
    command.run("deduplicate", album, "--target", tmp_path / "target", "--no-dry-run")
    assert command.run("deduplicate", **configured).code == 3
    for words in (["history"], ["keep", album / "a.jpg"], ["different"], ["index", "status"], ["undo"]):
        done = command.run(*words, **configured)
        assert (done.code, done.err) == (0, ""), words
    assert (album / "sent/a copy.jpg").exists()


def test_unknown_and_ambiguous_runs(command: Command, album: Path, tmp_path: Path) -> None:
    """A name that no run has, or several, is wrong usage; the message tells where the names are."""
    assert command.run("history").out.startswith("Nothing was moved")
    for target in "xy":
        command.run("deduplicate", album, "--target", tmp_path / target, "--no-dry-run")
        command.run("undo")
    for name, word in (("nothing", "no run is"), ("2", "several runs are")):
        run = command.run("undo", name)
        assert run.code == 2
        assert word in run.err
        assert "history" in run.err
    undos = [line.split()[0] for line in command.run("history").out.splitlines() if " undo " in line]
    assert command.run("undo", undos[0]).code == 2


def test_a_keeper_that_can_not_be_decoded_lets_nothing_go(command: Command, album: Path, tmp_path: Path) -> None:
    """A keeper with the recorded bytes that is not decoded now (here: too large by now) keeps its copies in place."""
    pictures.photo(5, (1300, 1000)).save(album / "large.jpg")
    shutil.copyfile(album / "large.jpg", album / "large copy.jpg")
    command.run("analyse", album)
    run = command.run(
        "deduplicate",
        *(album, "-sap", "--target", tmp_path / "t", "--no-dry-run"),
        PY_IMAGE_DEDUP_ANALYSIS_MAX_MEGAPIXELS="1",
    )
    assert run.code == 5
    assert (run.counts["moved"], run.counts["refused"]) == (2, 1)
    assert "the keeper can't be decoded any more" in run.out
    assert (album / "large copy.jpg").exists()


def test_history_of_many_runs_is_quick(disk: Disk) -> None:
    """A thousand runs of years are listed, and the last one is found, in a moment."""
    os.makedirs(f"{disk.state}/runs")
    for number in range(1000):
        lines: list[dict[str, object]] = [{"event": "run", "version": 2, "kind": "deduplicate"}]
        for act in range(10):
            path, place = f"/p/{act}", f"/t/{act}"
            step = {"action": "move", "path": path, "size": 5, "place": place}
            lines.append({"event": "intent", "id": f"1.{act}", "action": "move", "path": path, "steps": [step]})
            lines.append({"event": "done", "id": f"1.{act}", "path": path, "detail": place})
        lines.append({"event": "end"})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        Path(f"{disk.state}/runs/20{number:06}T000000.000000-1.jsonl").write_text(text)
    start = time.process_time()
    known = journal.runs(disk.state)
    assert len(known) == 1000
    assert last(disk).id == "20000999T000000.000000-1"
    assert time.process_time() - start < 10
    start = time.process_time()
    assert list(settle(disk.state)) == []
    assert time.process_time() - start < 1
