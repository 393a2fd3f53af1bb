"""Killed with SIGKILL at every single step on disk: nothing is lost, and undo and the next run both end right."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from disks import Disk, contents, sha256, tree
from faults import Countdown, told

from py_image_dedup import journal
from py_image_dedup.actions import Result, settle, undo_whole
from py_image_dedup.plan import Action

RAW, SIDECAR = b"raw" * 50, b"<xmp/>"
ACTIONS = [Action.MOVE, Action.TRASH, Action.DELETE, Action.HARDLINK, Action.REFLINK]


def prepare(disk: Disk) -> None:
    """Two pictures with a copy each, which lies alone in its folder; one copy has a raw file and a sidecar."""
    os.makedirs(disk.photos)
    for family in "xy":
        disk.write(f"{family}/keeper.png", family.encode() * 9)
        os.chmod(disk.write(f"{family} copies/in/copy.png", family.encode() * 9, mtime=5), 0o640)
    for folder, name in (("x", "keeper"), ("x copies/in", "copy")):
        disk.write(f"{folder}/{name}.cr2", RAW, mtime=6)
        disk.write(f"{folder}/{name}.png.xmp", SIDECAR, mtime=7)


def whole(folder: str) -> dict[str, tuple[object, ...]]:
    """Return all below a folder: bytes, mode and time of files, mode of folders."""
    found = {path: (*what, os.lstat(path).st_mode) for path, what in tree(folder).items()}
    return found | {path: (os.stat(path).st_mode,) for path, _, _ in os.walk(folder)}


def everything(disk: Disk) -> set[str]:
    """Return the hashes of all that is in the photos, the target and the trash."""
    return contents(disk.photos, disk.target, f"{disk.base}/Trash")


def killed_at(step: int, work: Callable[[], None]) -> bool:
    """Do something in a process of its own that is killed at this step; False if it came to its end before."""
    if child := os.fork():
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status) or status == 0, f"the process failed before step {step}"
        return os.WIFSIGNALED(status)
    code = 1
    try:
        with told(Countdown(step, lambda: os.kill(os.getpid(), signal.SIGKILL))):
            work()
        code = 0
    finally:
        os._exit(code)
    raise AssertionError


def undo_last(disk: Disk) -> None:
    """Do as the command undo does."""
    assert list(settle(disk.state)) == []
    if run := journal.last_to_undo(journal.runs(disk.state)):
        assert [one.detail for one in undo_whole(run, disk.state) if one.result is not Result.DONE] == []


@pytest.fixture(params=[*ACTIONS, "across"])
def story(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Action, str | None]:
    """Where to act, how, and the target where it is on another disk."""
    if request.param == "across":
        return tmp_path, Action.MOVE, str(request.getfixturevalue("other_disk"))
    if request.param is Action.REFLINK:
        return request.getfixturevalue("btrfs"), Action.REFLINK, None
    return tmp_path, request.param, None


def test_a_kill_at_any_step_loses_nothing(story: tuple[Path, Action, str | None]) -> None:
    """Killed before any step of a run, all is still there; undo restores the tree, and a second run ends it.

    The steps are every line of the journal, every sync, link, rename, copy, removal and folder.
    """
    base, action, elsewhere = story
    step, killed = 0, True
    while killed:
        disk = Disk(os.path.realpath(base) + f"/{step}", elsewhere and f"{elsewhere}/{step}")
        os.mkdir(disk.base)
        prepare(disk)
        before, had = whole(disk.photos), everything(disk)
        plan = disk.plan(action, prune=True)
        assert sum(len(act.unit) for _, act in plan.acts()) == (2 if action.links else 4)
        killed = killed_at(step, lambda disk=disk, plan=plan: disk.run(plan))  # type: ignore[misc]
        assert everything(disk) >= had, f"killed at step {step}"
        announced = {path for line in disk.lines("intent") for one in line["steps"] for path in [one["path"]]}
        assert before.keys() - whole(disk.photos).keys() <= announced
        if step % 2:
            undo_last(disk)
            if action is not Action.DELETE:
                assert whole(disk.photos) == before, f"killed at step {step}"
                assert not tree(disk.target)
            assert not _litter(disk)
        assert list(settle(disk.state)) == []
        outcomes = disk.run(disk.plan(action, prune=True))
        assert [outcome.detail for outcome in outcomes if outcome.result is not Result.DONE] == []
        assert not _litter(disk)
        assert everything(disk) >= had
        step += 1
    assert step > 30


@pytest.mark.parametrize("again", ["undo", "run"])
def test_a_kill_at_any_step_of_undo_loses_nothing(story: tuple[Path, Action, str | None], again: str) -> None:
    """Killed before any step of an undo, all is still there; a second undo, or a new run, ends right."""
    base, action, elsewhere = story
    if action is Action.DELETE:
        pytest.skip("deleting can't be undone")
    step, killed = 0, True
    while killed:
        name = f"{again}{step}"
        disk = Disk(os.path.realpath(base) + f"/{name}", elsewhere and f"{elsewhere}/{name}")
        os.mkdir(disk.base)
        prepare(disk)
        before, had, folders = whole(disk.photos), everything(disk), times(disk)
        disk.run(disk.plan(action, prune=True))
        killed = killed_at(step, lambda disk=disk: undo_last(disk))  # type: ignore[misc]
        assert everything(disk) >= had, f"killed at step {step}"
        if again == "run":
            assert list(settle(disk.state)) == []
            disk.run(disk.plan(action, prune=True))
        else:
            undo_last(disk)
            assert whole(disk.photos) == before, f"killed at step {step}"
            assert times(disk) == folders, f"killed at step {step}"
            assert not tree(disk.target)
            assert not _litter(disk)
        assert everything(disk) >= had
        step += 1
    assert step > 20


def times(disk: Disk) -> dict[str, int]:
    """Return the modification times of all folders of photos."""
    return {path: os.stat(path).st_mtime_ns for path, _, _ in os.walk(disk.photos)}


def _litter(disk: Disk) -> list[str]:
    return [path for folder in (disk.photos, disk.target) for path in tree(folder) if ".py-image-dedup-" in path]


def test_the_contents_of_the_story_are_four() -> None:
    """The tests above can fail: they know every content."""
    assert len({sha256(data) for data in (b"x" * 9, b"y" * 9, RAW, SIDECAR)}) == 4
    assert sys.platform == "linux"
