"""Disks that are full and folders that may not be changed: refused or rolled back, and the rest goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pictures
import pytest
from command import Command
from disks import Disk, contents, tree
from privileges import NOBODY, unprivileged

from py_image_dedup import journal
from py_image_dedup.actions import Result, settle, undo_whole
from py_image_dedup.errors import StateDirectoryError
from py_image_dedup.plan import Action


def small(mount: Callable[..., Path], on: Path, kilobytes: int) -> Path:
    """Mount a disk of this size."""
    return mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", on=on)


def test_a_full_target_takes_what_fits(mount: Callable[..., Path], tmp_path: Path) -> None:
    """By command: what does not fit stays and is named, smaller files still go, and the exit code is 5."""
    target, album = small(mount, tmp_path / "target", 64), tmp_path / "album"
    album.mkdir()
    for seed, name, size in ((1, "large", (2000, 1500)), (2, "small", (120, 90))):
        for copy in ("", " copy"):
            pictures.photo(seed, size).save(album / f"{name}{copy}.jpg", quality=92)
    command = Command(tmp_path / "home")
    run = command.run("deduplicate", album, "--target", target, "--no-dry-run")
    assert run.code == 5
    assert (run.counts["moved"], run.counts["failed"]) == (1, 1)
    assert "No space left on device" in run.out
    assert sorted(path.name for path in target.rglob("*.jpg")) in (["small.jpg"], ["small copy.jpg"])
    assert not [path for path in target.rglob("*") if path.name.startswith(".")]
    assert len(list(album.glob("large*"))) == 2
    assert command.run("undo").code == 0
    assert len(list(album.iterdir())) == 4
    assert list(target.iterdir()) == []


def test_a_unit_that_fits_in_part_stays_whole(disk: Disk, mount: Callable[..., Path], tmp_path: Path) -> None:
    """A picture that fits comes back when its raw file does not fit; no empty folders are left."""
    target = small(mount, tmp_path / "stick", 64)
    disk = Disk(disk.base, str(target / "target"))
    disk.write("a.png")
    disk.write("in/b.png", mtime=2)
    disk.write("in/b.cr2", os.urandom(200_000), mtime=2)
    disk.write("c.png", mtime=3)
    before = tree(disk.photos)
    outcomes = {os.path.basename(outcome.act.file.path): outcome for outcome in disk.run(disk.plan())}
    assert outcomes["b.png"].result is Result.FAILED
    assert "No space left on device" in outcomes["b.png"].detail
    assert outcomes["c.png"].result is Result.DONE
    assert set(before) - set(tree(disk.photos)) == {f"{disk.photos}/c.png"}
    assert not os.path.exists(f"{disk.target}{disk.photos}/in")


def test_a_full_disk_under_the_copies_can_not_be_undone_yet(
    disk: Disk, mount: Callable[..., Path], tmp_path: Path
) -> None:
    """Where there is no room to bring a file back to, it stays where it is, and comes back when there is room."""
    photos = small(mount, tmp_path / "photos", 300)
    disk.write("a.png", b"k" * 100_000)
    disk.write("b.png", b"k" * 100_000, mtime=2)
    disk.run(disk.plan())
    (photos / "filler").write_bytes(bytes(150_000))
    run = journal.last_to_undo(journal.runs(disk.state))
    assert run is not None
    (left,) = undo_whole(run, disk.state)
    assert "No space left on device" in left.detail
    assert sorted(path.name for path in photos.iterdir()) == ["a.png", "filler"]
    (photos / "filler").unlink()
    (run, _) = journal.runs(disk.state)
    assert [one.result for one in undo_whole(run, disk.state)] == [Result.DONE]
    assert (photos / "b.png").stat().st_size == 100_000


@pytest.mark.parametrize("action", [Action.MOVE, Action.DELETE, Action.TRASH, Action.HARDLINK])
def test_a_full_disk_under_the_journal_ends_the_run(
    disk: Disk, mount: Callable[..., Path], tmp_path: Path, action: Action
) -> None:
    """Acts end where the journal ends; nothing is lost, and with room again all is settled and undone."""
    state = small(mount, tmp_path / "state", 16)
    disk.write("a.png")
    for number in range(40):
        disk.write(f"b{number}.png", mtime=2 + number)
    before, had = tree(disk.photos), contents(disk.photos)
    with pytest.raises(StateDirectoryError):
        disk.run(disk.plan(action))
    assert contents(disk.photos, disk.target) >= had
    assert len(disk.lines("done")) in range(2, 39)
    subprocess.run(["mount", "-o", "remount,size=1m", state], check=True)
    assert list(settle(disk.state)) == []
    if action is not Action.DELETE:
        run = journal.last_to_undo(journal.runs(disk.state))
        assert run is not None
        assert all(one.result is Result.DONE for one in undo_whole(run, disk.state))
        assert tree(disk.photos) == before


@pytest.mark.parametrize("action", [Action.MOVE, Action.DELETE, Action.TRASH, Action.HARDLINK])
def test_folders_that_may_not_change(open_folder: Path, action: Action) -> None:
    """Files in a folder that is not writable stay, with the reason; the others go (as an ordinary user)."""
    if os.geteuid() == 0:
        os.chown(open_folder, NOBODY, NOBODY)
    with unprivileged():
        disk = Disk(str(open_folder))
        disk.write("a.png")
        locked, free = disk.write("locked/b.png", mtime=2), disk.write("free/c.png", mtime=3)
        plan = disk.plan(action)
        os.chmod(os.path.dirname(locked), 0o555)
        outcomes = {outcome.act.file.path: outcome for outcome in disk.run(plan)}
        assert outcomes[locked].result is Result.FAILED
        assert outcomes[locked].detail.startswith("Permission denied")
        assert outcomes[free].result is Result.DONE
        assert Path(locked).read_bytes() == b"one"
        assert os.listdir(os.path.dirname(locked)) == ["b.png"]


def test_a_target_that_may_not_change(open_folder: Path) -> None:
    """A target without permission takes nothing and loses nothing (as an ordinary user)."""
    if os.geteuid() == 0:
        os.chown(open_folder, NOBODY, NOBODY)
    with unprivileged():
        disk = Disk(str(open_folder))
        disk.write("a.png")
        disk.write("b.png", mtime=2)
        os.mkdir(disk.target, 0o555)
        before = tree(disk.photos)
        (outcome,) = disk.run(disk.plan())
        assert outcome.detail == f"Permission denied: {disk.target}/{disk.base.split('/')[1]}"
        assert tree(disk.photos) == before
