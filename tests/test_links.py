"""Copies become links and files again; there is no moment without a whole file under their names."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from disks import Disk, tree

from py_image_dedup import files, journal
from py_image_dedup.actions import Result, relocation, settle, undo_whole
from py_image_dedup.plan import Action


@pytest.fixture
def sharing(btrfs: Path, request: pytest.FixtureRequest) -> Disk:
    """A disk on which files can share bytes."""
    made = Disk(str(btrfs / request.node.name.replace("/", "_")))
    os.makedirs(made.photos)
    return made


def undo(disk: Disk) -> list[str]:
    """Take back the last run, and return why if something stays."""
    run = journal.last_to_undo(journal.runs(disk.state))
    assert run is not None
    return [one.detail for one in undo_whole(run, disk.state) if one.result is not Result.DONE]


def extents(path: str) -> str:
    """Return where on disk the bytes of a file lie."""
    done = subprocess.run(["filefrag", "-v", path], check=True, capture_output=True, text=True)
    return " ".join(line.split(":")[2] for line in done.stdout.splitlines() if line.strip()[:1].isdigit())


def test_a_hard_link_is_another_name_of_the_keeper(disk: Disk) -> None:
    """The copy is the keeper's inode afterwards; undo makes it a file of its own with its mode, time and attributes."""
    keeper, copy = disk.write("a.png"), disk.write("t/b.png", mtime=2)
    os.chmod(copy, 0o604)
    attributes = True
    try:
        os.setxattr(copy, "user.rating", b"five")
    except OSError:
        attributes = False
    before = tree(disk.photos)
    (outcome,) = disk.run(disk.plan(Action.HARDLINK))
    assert (outcome.result, outcome.gone, outcome.freed) == (Result.DONE, (), 3)
    assert os.path.samefile(keeper, copy)
    assert os.listdir(f"{disk.photos}/t") == ["b.png"]
    assert undo(disk) == []
    assert not os.path.samefile(keeper, copy)
    assert tree(disk.photos) == before
    assert os.stat(copy).st_mode & 0o777 == 0o604
    assert os.stat(keeper).st_nlink == 1
    if attributes:
        assert os.getxattr(copy, "user.rating") == b"five"


def test_a_reflink_shares_bytes_and_keeps_what_is_its_own(sharing: Disk) -> None:
    """A reflink has the bytes of the keeper on disk, and mode, time and attributes of the copy; undo parts them."""
    data = os.urandom(1 << 20)
    keeper, copy = sharing.write("a.png", data), sharing.write("b.png", data, mtime=2)
    os.chmod(copy, 0o604)
    os.setxattr(copy, "user.rating", b"five")
    os.sync()
    before = tree(sharing.photos)
    assert extents(keeper) != extents(copy)
    (outcome,) = sharing.run(sharing.plan(Action.REFLINK))
    assert outcome.result is Result.DONE, outcome.detail
    os.sync()
    assert extents(keeper) == extents(copy)
    assert tree(sharing.photos) == before
    assert os.stat(copy).st_mode & 0o777 == 0o604
    assert os.getxattr(copy, "user.rating") == b"five"
    assert not os.path.samefile(keeper, copy)
    assert undo(sharing) == []
    os.sync()
    assert extents(keeper) != extents(copy)
    assert tree(sharing.photos) == before
    assert os.getxattr(copy, "user.rating") == b"five"


def test_a_disk_that_can_not_share_bytes_refuses(disk: Disk, tmp_path: Path, mount: Callable[..., Path]) -> None:
    """Where no reflink can be made the copy stays as it is, and nothing else is done instead (fclones#196)."""
    top = mount("-t", "tmpfs", "tmpfs", on=tmp_path / "memory")
    disk = Disk(str(top))
    disk.write("a.png")
    disk.write("b.png", mtime=2)
    before = tree(disk.photos)
    (outcome,) = disk.run(disk.plan(Action.REFLINK))
    assert outcome.result is Result.FAILED
    assert outcome.detail == "its file system can't share bytes between these files (reflink); use another action"
    assert tree(disk.photos) == before


def test_no_hard_link_leads_to_another_disk(disk: Disk, tmp_path: Path, mount: Callable[..., Path]) -> None:
    """A copy on another disk than its keeper is refused with the reason; no symbolic link is made instead."""
    disk.write("a.png")
    mount("-t", "tmpfs", "tmpfs", on=tmp_path / "photos/stick")
    copy = disk.write("stick/b.png", mtime=2)
    (outcome,) = disk.run(disk.plan(Action.HARDLINK))
    assert outcome.result is Result.REFUSED
    assert "another file system than its keeper" in outcome.detail
    assert os.lstat(copy).st_nlink == 1


@pytest.mark.parametrize("action", [Action.HARDLINK, Action.REFLINK])
def test_other_bytes_are_never_replaced_by_a_link(disk: Disk, action: Action) -> None:
    """A plan that would link a near copy is refused: its bytes exist nowhere else."""
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    plan = disk.plan(action)
    (group,) = plan.groups
    Path(copy).write_bytes(b"two")
    os.utime(copy, (2, 2))
    (act,) = group.duplicates
    act = replace(act, file=replace(act.file, content=files.sha256(copy)))
    (outcome,) = disk.execute(replace(plan, groups=(replace(group, duplicates=(act,)),)))
    assert outcome.detail == f"only byte-identical files can become a {action}"
    assert Path(copy).read_bytes() == b"two"


@pytest.mark.parametrize("offered", [True, False])
def test_a_file_that_is_put_there_at_the_last_moment_stays(
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    offered: bool,  # noqa: FBT001
) -> None:
    """A picture that somebody saves under the name of the copy while the link is made is not lost."""
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    plan = disk.plan(Action.HARDLINK)
    rename, link = relocation.rename, os.link

    def save() -> None:
        Path(f"{disk.base}/new").write_bytes(b"a new picture")
        os.replace(f"{disk.base}/new", copy)

    def late(one: str, other: str, flags: int) -> bool:
        save()
        return rename(one, other, flags)

    def early(one: str, other: str, **options: bool) -> None:
        link(one, other, **options)
        save()

    if offered:
        monkeypatch.setattr(relocation, "rename", late)
    else:
        monkeypatch.setattr(relocation, "rename", lambda *_: False)
        monkeypatch.setattr(os, "link", early)
    (outcome,) = disk.execute(plan)
    assert (outcome.result, outcome.detail) == (Result.FAILED, "it changed at the last moment")
    assert Path(copy).read_bytes() == b"a new picture"
    assert sorted(os.listdir(disk.photos)) == ["a.png", "b.png"]


def test_a_link_that_was_edited_stays_as_it_is(disk: Disk) -> None:
    """Undo does not put the old picture over one that was changed since."""
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    disk.run(disk.plan(Action.HARDLINK))
    os.unlink(copy)
    Path(copy).write_bytes(b"edited")
    assert undo(disk) == ["it was changed since"]
    assert Path(copy).read_bytes() == b"edited"


def test_too_many_links_fail_the_act(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper that can have no more names leaves the copy as it is."""
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    plan = disk.plan(Action.HARDLINK)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))

    monkeypatch.setattr(os, "link", full)
    (outcome,) = disk.execute(plan)
    assert (outcome.result, outcome.detail) == (Result.FAILED, "Too many links")
    assert os.lstat(copy).st_nlink == 1


def test_a_copy_that_waits_to_go_outlives_a_change_of_its_keeper(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off after the link got its name, and the keeper edited then: the old bytes are still there, and stay."""
    keeper, copy = disk.write("a.png"), disk.write("b.png", mtime=2)
    plan = disk.plan(Action.HARDLINK)

    class Killed(BaseException):
        """The process is gone."""

    def kill(_: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", kill)
        with pytest.raises(Killed):
            disk.run(plan)
    assert os.path.samefile(keeper, copy)
    Path(keeper).write_bytes(b"edited")
    (left,) = settle(disk.state)
    (kept,) = set(os.listdir(disk.photos)) - {"a.png", "b.png"}
    assert (
        left.detail == f"it was cut off, and something else stands in its place, and it is kept as {disk.photos}/{kept}"
    )
    assert Path(disk.photos, kept).read_bytes() == b"one"
    os.unlink(copy)
    assert list(settle(disk.state)) == []
    assert Path(copy).read_bytes() == b"one"
    assert sorted(os.listdir(disk.photos)) == ["a.png", "b.png"]
