"""Acting on a plan, on real files: whatever changes on disk after planning, no picture is lost."""

import inspect
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from disks import BY, Disk, contents, sha256, tree
from hypothesis import given, settings
from hypothesis import strategies as st

from py_image_dedup import files, mounts
from py_image_dedup.actions import Outcome, Result, relocation
from py_image_dedup.errors import StateDirectoryError
from py_image_dedup.events import Observer, Tally
from py_image_dedup.execution import Execution
from py_image_dedup.journal import Journal
from py_image_dedup.model import Group, Level, Match, Member
from py_image_dedup.plan import Action, make_plan


def refusal(outcomes: Sequence[Outcome]) -> str:
    """Return why the only act was refused."""
    (outcome,) = outcomes
    assert outcome.result is Result.REFUSED
    return outcome.detail


# What an act does


def test_a_move_keeps_bytes_time_and_mode(disk: Disk) -> None:
    """A duplicate moves to its own path below the target, as it is; the keeper stays."""
    keeper, copy = disk.write("a.png"), disk.write("trip/b.png", mtime=5)
    os.chmod(copy, 0o640)
    (outcome,) = disk.execute(disk.plan())
    moved = disk.target + copy
    assert (outcome.result, outcome.detail) == (Result.DONE, moved)
    assert tree(disk.base) == {
        keeper: ("file", b"one", 10**9),
        moved: ("file", b"one", 5 * 10**9),
        **{path: what for path, what in tree(disk.base).items() if path.startswith(disk.state)},
    }
    assert stat.S_IMODE(os.stat(moved).st_mode) == 0o640


def test_delete_removes_the_duplicate_only(disk: Disk) -> None:
    """Deleting removes the duplicates of a group and leaves its keeper and all other files."""
    keeper, other = disk.write("a.png"), disk.write("other.png", b"two")
    disk.write("b.png", mtime=2)
    disk.write("c.png", mtime=3)
    outcomes = disk.execute(disk.plan(Action.DELETE))
    assert [(outcome.result, outcome.detail) for outcome in outcomes] == [(Result.DONE, "deleted")] * 2
    assert sorted(tree(disk.photos)) == [keeper, other]
    assert not os.path.exists(disk.target)


@pytest.mark.parametrize("action", [Action.REPORT, Action.KEEP])
def test_nothing_else_acts(disk: Disk, action: Action) -> None:
    """Reporting and keeping touch nothing."""
    disk.write("a.png")
    disk.write("b.png", mtime=2)
    before = tree(disk.photos)
    assert disk.execute(disk.plan(action)) == []
    assert tree(disk.photos) == before


def test_similar_files_stay(disk: Disk) -> None:
    """A file that is only similar is in the plan and stays on disk."""
    keeper, other = (candidate for candidate in [disk.write("a.png"), disk.write("b.png", b"two", mtime=2)])
    one, two = disk.candidates()
    groups = [Group(one, (Member(two, 0.2, Level.SIMILAR, "path", "first by path"),))]
    plan = make_plan(
        groups, origin="here", roots=[disk.photos], action=Action.DELETE, target=None, protected=lambda _: False
    )
    assert disk.execute(plan) == []
    assert sorted(tree(disk.photos)) == [keeper, other]


def test_target_collision_gets_a_counter(disk: Disk) -> None:
    """A name that is taken at the target is never overwritten (difPy's move_to does)."""
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    taken = [disk.target + copy, disk.target + copy.replace("b.png", "b (1).png")]
    os.makedirs(os.path.dirname(taken[0]))
    Path(taken[0]).write_bytes(b"someone else's")
    os.symlink("nowhere", taken[1])
    (outcome,) = disk.execute(disk.plan())
    assert outcome.detail == disk.target + copy.replace("b.png", "b (2).png")
    assert Path(outcome.detail).read_bytes() == b"one"
    assert Path(taken[0]).read_bytes() == b"someone else's"
    assert os.readlink(taken[1]) == "nowhere"
    assert disk.journal()[-1]["detail"] == outcome.detail


def test_a_move_without_destination_never_deletes(disk: Disk) -> None:
    """An act that can't be done as asked does not turn into a worse one (czkawka#1498, fclones#196)."""
    disk.write("a.png")
    disk.write("b.png", mtime=2)
    plan = disk.plan()
    (planned,) = plan.groups
    broken = replace(planned, duplicates=(replace(planned.duplicates[0], destination=None),))
    before = tree(disk.photos)
    assert "no place to move it to" in refusal(disk.execute(replace(plan, groups=(broken,))))
    assert tree(disk.photos) == before


def test_names_of_any_bytes_are_acted_on(disk: Disk) -> None:
    """Files whose names are no text move like all others, and the journal tells their names to the byte."""
    disk.write("a.png")
    copy = disk.write(os.fsdecode(b"odd \xff\n\x1b[31m.png"), mtime=2)
    (outcome,) = disk.execute(disk.plan())
    assert outcome.detail == disk.target + copy
    assert os.path.exists(outcome.detail)
    assert disk.journal()[0]["path"] == copy


# What is looked at again right before each act


def move_away(disk: Disk, path: str) -> None:
    os.rename(path, f"{disk.base}/elsewhere")


def other_bytes(_: Disk, path: str) -> None:
    """Change the bytes of a file but not its size and time."""
    before = os.stat(path)
    Path(path).write_bytes(bytes(255 - byte for byte in Path(path).read_bytes()))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def touch(_: Disk, path: str) -> None:
    os.utime(path, (99, 99))


def append(_: Disk, path: str) -> None:
    before = os.stat(path)
    with open(path, "ab") as file:
        file.write(b"!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def become_folder(disk: Disk, path: str) -> None:
    move_away(disk, path)
    os.mkdir(path)


def become_pipe(disk: Disk, path: str) -> None:
    move_away(disk, path)
    os.mkfifo(path)


def become_link(disk: Disk, path: str) -> None:
    """Put a symbolic link to the same bytes in place of a file."""
    move_away(disk, path)
    os.symlink(f"{disk.base}/elsewhere", path)


CHANGES = [
    (move_away, "gone"),
    (other_bytes, "other bytes"),
    (touch, "changed"),
    (append, "changed"),
    (become_folder, "gone"),
    (become_pipe, "gone"),
    (become_link, "gone"),
]


@pytest.mark.parametrize("action", [Action.MOVE, Action.DELETE])
@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_nothing_goes_for_a_keeper_that_changed(
    disk: Disk, change: Callable[[Disk, str], None], reason: str, action: Action
) -> None:
    """The keeper must be there as recorded (py-image-dedup 2 trusted stale entries; rmlint#672 old checksums)."""
    keeper = disk.write("a.png")
    disk.write("b.png", mtime=2)
    plan = disk.plan(action)
    change(disk, keeper)
    before = tree(disk.base)
    said = refusal(disk.execute(plan))
    assert said.startswith("the keeper")
    assert reason in said
    assert {path: what for path, what in tree(disk.base).items() if not path.startswith(disk.state)} == before


@pytest.mark.parametrize("action", [Action.MOVE, Action.DELETE])
@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_no_file_goes_that_changed(
    disk: Disk, change: Callable[[Disk, str], None], reason: str, action: Action
) -> None:
    """A file that is no longer what was compared stays, whatever it became."""
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    plan = disk.plan(action)
    change(disk, copy)
    before = tree(disk.base)
    said = refusal(disk.execute(plan))
    assert said.startswith("the file")
    assert reason in said
    assert {path: what for path, what in tree(disk.base).items() if not path.startswith(disk.state)} == before


def test_a_refused_act_does_not_stop_the_rest(disk: Disk) -> None:
    """Where one act is refused, the others still happen."""
    disk.write("a.png")
    copies = [disk.write(f"b{number}.png", mtime=2 + number) for number in range(3)]
    plan = disk.plan()
    touch(disk, copies[1])
    outcomes = disk.execute(plan)
    assert [outcome.result for outcome in outcomes] == [Result.DONE, Result.REFUSED, Result.DONE]
    assert os.path.exists(copies[1])


def test_the_keeper_is_looked_at_before_every_act(disk: Disk) -> None:
    """A keeper that changes in the middle of a run saves the copies that are still there."""
    keeper = disk.write("a.png")
    disk.write("b.png", mtime=2)
    last = disk.write("c.png", mtime=3)
    plan = disk.plan(Action.DELETE)
    journal = Journal.open(disk.state)
    outcomes = disk.acting(plan, journal)
    assert next(outcomes).result is Result.DONE
    os.unlink(keeper)
    assert next(outcomes).result is Result.REFUSED
    journal.close()
    assert Path(last).read_bytes() == b"one"


def test_two_names_of_one_file_are_no_copies(disk: Disk) -> None:
    """If file and keeper became hard links to one inode, neither name goes."""
    keeper, copy = disk.write("a.png"), disk.write("b.png", mtime=1)
    plan = disk.plan(Action.DELETE)
    os.unlink(copy)
    os.link(keeper, copy)
    assert "the same file as its keeper" in refusal(disk.execute(plan))
    assert sorted(tree(disk.photos)) == [keeper, copy]


def test_a_file_is_never_its_own_duplicate(disk: Disk) -> None:
    """A plan that lists a file as its own duplicate does not remove it (immich#30639, czkawka#1405)."""
    path = disk.write("a.png")
    (one,) = disk.candidates()
    groups = [Group(one, (Member(one, 0.0, Level.DUPLICATE, "path", "first by path"),))]
    plan = make_plan(
        groups, origin="here", roots=[disk.photos], action=Action.DELETE, target=None, protected=lambda _: False
    )
    assert "the same file as its keeper" in refusal(disk.execute(plan))
    assert os.path.exists(path)


def test_a_link_and_its_target_are_no_copies(disk: Disk) -> None:
    """A keeper that became a symbolic link to the file does not let the file go (difPy, py-image-dedup 2)."""
    keeper, copy = disk.write("a.png"), disk.write("b.png", mtime=1)
    plan = disk.plan(Action.DELETE)
    os.unlink(keeper)
    os.symlink(copy, keeper)
    assert refusal(disk.execute(plan)) == "the keeper is gone"
    assert Path(copy).read_bytes() == b"one"


@pytest.mark.parametrize("swapped", ["keeper", "file"])
def test_a_folder_that_became_a_link_is_not_followed(disk: Disk, swapped: str) -> None:
    """If a folder above the file or its keeper became a symbolic link, nothing goes through it."""
    paths = {"keeper": disk.write("old/in/a.png"), "file": disk.write("new/in/b.png", mtime=2)}
    plan = disk.plan(Action.DELETE)
    folder = os.path.dirname(os.path.dirname(paths[swapped]))
    os.rename(folder, f"{disk.base}/outside")
    os.symlink(f"{disk.base}/outside", folder)
    assert refusal(disk.execute(plan)) == f"a folder above the {swapped} became a symbolic link"
    assert all(os.path.exists(path) for path in paths.values())


def test_no_file_outside_the_folders_goes(disk: Disk) -> None:
    """A file outside the roots is refused, also where only the first letters agree (py-image-dedup 2 moved them)."""
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    plan = disk.plan(Action.DELETE)
    for roots in ((f"{disk.base}/other",), (disk.photos[:-1],), (f"{disk.photos}/b",), ()):
        assert refusal(disk.execute(replace(plan, roots=roots))) == "it is not below the folders of this run"
    assert os.path.exists(copy)


def test_no_file_goes_for_a_keeper_outside_the_folders(disk: Disk) -> None:
    """A keeper outside the roots, as a foreign entry of a shared index can be, lets nothing go."""
    disk.write("old/a.png")
    copy = disk.write("new/b.png", mtime=2)
    plan = replace(disk.plan(Action.DELETE), roots=(f"{disk.photos}/new",))
    assert refusal(disk.execute(plan)) == "the keeper is not below the folders of this run"
    assert os.path.exists(copy)


def test_a_path_with_dots_does_not_lead_out(disk: Disk) -> None:
    """A plan whose path climbs out of the roots is refused."""
    disk.write("old/a.png")
    copy = disk.write("new/b.png", mtime=2)
    plan = disk.plan(Action.DELETE)
    (planned,) = plan.groups
    (act,) = planned.duplicates
    climbing = replace(act, file=replace(act.file, path=f"{disk.photos}/old/../new/b.png"))
    sneaky = replace(plan, groups=(replace(planned, duplicates=(climbing,)),), roots=(f"{disk.photos}/old",))
    assert disk.execute(sneaky)[0].result is Result.REFUSED
    assert os.path.exists(copy)


# Protected folders


def test_protected_when_planned_and_when_acting(disk: Disk) -> None:
    """A protected file is not planned to go, and a plan that says so anyway is refused."""
    disk.write("a.png")
    safe = disk.write("originals/b.png", mtime=2)
    protected = files.FolderSet([f"{disk.photos}/originals"]).holds
    assert list(disk.plan(protected=protected).acts()) == []
    assert refusal(disk.execute(disk.plan(), protected=protected)) == "it lies in a protected folder"
    assert os.path.exists(safe)


@pytest.mark.parametrize("above", ["", "/in/deeper"])
def test_protected_through_a_link(disk: Disk, above: str) -> None:
    """A folder that is protected under the name of a symbolic link is protected (czkawka#1172)."""
    disk.write("a.png")
    safe = disk.write(f"originals{above}/b.png", mtime=2)
    os.symlink(f"{disk.photos}/originals", f"{disk.base}/alias")
    protected = files.FolderSet([f"{disk.base}/alias"]).holds
    assert list(disk.plan(protected=protected).acts()) == []
    assert refusal(disk.execute(disk.plan(Action.DELETE), protected=protected)) == "it lies in a protected folder"
    assert os.path.exists(safe)


def test_protected_named_twice(disk: Disk) -> None:
    """A folder that is named twice, or as source and as protected, is protected (czkawka#2029)."""
    disk.write("a.png")
    safe = disk.write("b.png", mtime=2)
    protected = files.FolderSet([disk.photos, disk.photos + "/", f"{disk.photos}/../photos"]).holds
    assert list(disk.plan(protected=protected).acts()) == []
    assert refusal(disk.execute(disk.plan(), protected=protected)) == "it lies in a protected folder"
    assert os.path.exists(safe)


def test_a_folder_beside_a_protected_one_is_not_protected(disk: Disk) -> None:
    """A name that only begins like that of a protected folder is not protected."""
    disk.write("a.png")
    disk.write("originals2/b.png", mtime=2)
    os.mkdir(f"{disk.photos}/originals")
    (outcome,) = disk.execute(disk.plan(), protected=files.FolderSet([f"{disk.photos}/originals"]).holds)
    assert outcome.result is Result.DONE


def in_python(script: str, *arguments: str, before: Sequence[str] = ()) -> None:
    """Run a script in a Python of its own that can import this file, and fail as it does."""
    command = [*before, sys.executable, "-c", script, os.path.dirname(__file__), *arguments]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    )
    assert result.returncode == 0, result.stderr


IN_A_MOUNT_NAMESPACE = ("unshare", "--mount", "--map-root-user")

MOUNTED = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from disks import Action, Disk, Journal, files
from py_image_dedup.actions import Result

def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)

disk, story = Disk(sys.argv[2]), sys.argv[3]
if story == "bound":
    mount("--bind", disk.base + "/originals", disk.photos + "/view")
    protected = files.FolderSet([disk.base + "/originals"]).holds
    assert len(list(disk.plan().acts())) == 1
    assert list(disk.plan(protected=protected).acts()) == []
    (outcome,) = disk.execute(disk.plan(Action.DELETE), protected=protected)
    assert outcome.detail == "it lies in a protected folder", outcome
elif story == "twice":
    plans = [disk.plan(action) for action in (Action.DELETE, Action.MOVE)]
    mount("--bind", disk.photos + "/one", disk.photos + "/other")
    by_number = files.Inode.is_same_file
    def as_in_a_union_of_disks(one, other):  # which numbers files in its own way: no check before the act tells
        return sys._getframe(1).f_code.co_name != "look_again" and by_number(one, other)
    files.Inode.is_same_file = as_in_a_union_of_disks
    for plan in plans:
        (outcome,) = disk.execute(plan)
        assert outcome.result is Result.FAILED and outcome.detail.startswith("the keeper went with it"), outcome
        assert os.listdir(disk.photos + "/one") == ["a.png"] and not os.listdir(disk.target)
        assert open(disk.photos + "/one/a.png").read() == "one"
elif story == "away":
    mount("-t", "tmpfs", "tmpfs", disk.target)
    journal = Journal.open(disk.state)
    acts = disk.acting(disk.plan(), journal)
    assert next(acts).result is Result.DONE
    subprocess.run(["umount", disk.target], check=True)
    (outcome,) = acts
    assert outcome.result is Result.REFUSED and "on another disk than before" in outcome.detail, outcome
    assert os.path.exists(outcome.act.file.path) and not os.listdir(disk.target)
elif story == "full":
    mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", disk.target)
    large, small = disk.execute(disk.plan())
    assert large.result is Result.FAILED and large.detail.startswith("No space left on device"), large
    assert small.result is Result.DONE and os.path.exists(small.detail), small
    assert os.path.exists(large.act.file.path) and not os.path.exists(large.act.destination)
elif story == "read-only":
    mount("-t", "tmpfs", "-o", "ro", "tmpfs", disk.target)
    for outcome in disk.execute(disk.plan()):
        assert outcome.result is Result.FAILED, outcome
        assert outcome.detail == "Read-only file system: " + disk.target + "/" + disk.base.split("/")[1], outcome
        assert os.path.exists(outcome.act.file.path)
"""


@pytest.mark.parametrize("story", ["bound", "twice", "away", "full", "read-only"])
def test_mounted_folders(disk: Disk, story: str) -> None:
    """Mounts keep their promises: a protected folder bound elsewhere, files seen twice, a full or read-only target.

    What is protected stays protected under its other name.  A file is not taken for a copy of itself.  What does not
    fit on the target stays where it was, with nothing left behind at the target, and the rest goes on.
    """
    if subprocess.run([*IN_A_MOUNT_NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    os.mkdir(disk.target)
    if story == "bound":
        os.makedirs(f"{disk.base}/originals/in")
        disk.write("a.png")
        disk.write("../originals/in/b.png", mtime=2)
        os.mkdir(f"{disk.photos}/view")
    elif story == "twice":
        disk.write("one/a.png")
        disk.write("other/a.png")
    else:
        for name, data in (("large", os.urandom(200_000)), ("small", b"one")):
            disk.write(f"{name}/a.png", data)
            disk.write(f"{name}/b.png", data, mtime=2)
    in_python(MOUNTED, disk.base, story, before=IN_A_MOUNT_NAMESPACE)


# What can't be done


def test_unwritable_target_fails_the_act_and_the_rest_goes_on(disk: Disk) -> None:
    """Where one file can't be moved it stays and is named, and the others move."""
    disk.write("a.png")
    copies = [disk.write("in/deep/b.png", mtime=2), disk.write("out/c.png", mtime=3)]
    os.makedirs(disk.target + disk.photos)
    Path(f"{disk.target}{disk.photos}/in").touch()
    first, second = disk.execute(disk.plan())
    assert (first.result, first.detail) == (Result.FAILED, f"Not a directory: {disk.target}{disk.photos}/in/deep")
    assert second.result is Result.DONE
    assert Path(copies[0]).read_bytes() == b"one"
    assert [line["event"] for line in disk.journal()] == ["intent", "failed", "intent", "done"]
    assert disk.journal()[1]["reason"] == first.detail


def test_a_name_too_long_for_the_target_fails_the_act(disk: Disk) -> None:
    """A path that is too long below the target leaves the file where it is."""
    folder = "/".join(["d" * 200] * 12)
    disk.write("a.png")
    copy = disk.write(f"{folder}/b.png", mtime=2)
    plan = disk.plan()
    (planned,) = plan.groups
    (act,) = planned.duplicates
    far = replace(act, destination=f"{disk.target}/{'/'.join(['t' * 200] * 10)}{copy}")
    (outcome,) = disk.execute(replace(plan, groups=(replace(planned, duplicates=(far,)),)))
    assert outcome.result is Result.FAILED
    assert outcome.detail.startswith(f"File name too long: {disk.target}/")
    assert not os.path.exists(disk.target)
    assert os.path.exists(copy)


@pytest.mark.parametrize("called", ["rename", "unlink"])
def test_a_file_that_can_not_be_deleted_fails_the_act(disk: Disk, monkeypatch: pytest.MonkeyPatch, called: str) -> None:
    """A file in a folder that can't be written stays, and is named with the reason."""
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    plan = disk.plan(Action.DELETE)

    def refuse(*_: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, called, refuse)
    (outcome,) = disk.execute(plan)
    assert (outcome.result, outcome.detail) == (Result.FAILED, "Permission denied")
    assert sorted(os.listdir(disk.photos)) == ["a.png", "b.png"]
    assert Path(copy).read_bytes() == b"one"


def test_an_unreadable_keeper_refuses_the_act(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper that can't be read any more, as on a dying disk, lets nothing go."""
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    plan = disk.plan(Action.DELETE)

    def fail(_: str) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files, "sha256", fail)
    assert refusal(disk.execute(plan)) == "the keeper can't be read: Input/output error"
    assert os.path.exists(copy)


def test_a_keeper_that_can_not_be_decoded_is_none(disk: Disk) -> None:
    """What no decoder reads now lets nothing go; each keeper is decoded once in a run, however many copies it has."""
    disk.write("a.png")
    copies = [disk.write(f"b{number}.png", mtime=2 + number) for number in range(3)]
    plan = disk.plan(Action.DELETE)
    asked: list[str] = []

    def decodable(path: str) -> bool:
        asked.append(path)
        return False

    journal = Journal.open(disk.state)
    outcomes = list(disk.acting(plan, journal, decodable=decodable))
    journal.close()
    assert {outcome.detail for outcome in outcomes} == {"the keeper can't be decoded any more"}
    assert all(map(os.path.exists, copies))
    assert asked == [f"{disk.photos}/a.png"]


def test_what_is_put_there_at_the_last_moment_is_not_deleted(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that somebody saves under the name of a copy right before it is deleted stays."""
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    plan = disk.plan(Action.DELETE)
    rename = os.rename

    def late(path: str, place: str) -> None:
        if path == copy:
            Path(f"{disk.base}/new").write_bytes(b"a new picture")
            os.replace(f"{disk.base}/new", copy)
        rename(path, place)

    monkeypatch.setattr(os, "rename", late)
    (outcome,) = disk.execute(plan)
    assert (outcome.result, outcome.detail) == (Result.FAILED, "it changed at the last moment")
    assert Path(copy).read_bytes() == b"a new picture"
    assert sorted(os.listdir(disk.photos)) == ["a.png", "b.png"]


def test_a_keeper_that_goes_while_the_copy_is_read_saves_it(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a large file takes its time; the keeper is looked at once more after that."""
    keeper, copy = disk.write("a.png"), disk.write("b.png", mtime=2)
    plan = disk.plan(Action.DELETE)
    digest = files.sha256

    def slow(path: str) -> str:
        if path == copy:
            os.unlink(keeper)
        return digest(path)

    monkeypatch.setattr(files, "sha256", slow)
    assert refusal(disk.execute(plan)) == "the keeper changed since it was analysed"
    assert os.path.exists(copy)


def test_a_target_on_a_disk_that_is_gone_refuses(disk: Disk) -> None:
    """Folders are made inside the target only: without the folder above it nothing moves (is a disk not mounted?)."""
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    away = replace(disk, elsewhere=f"{disk.base}/stick/target")
    assert "is a disk not mounted?" in refusal(away.execute(away.plan()))
    assert os.path.exists(copy)
    assert not os.path.exists(f"{disk.base}/stick")


def test_a_target_on_an_empty_mount_point_refuses(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount: Callable[..., Path]
) -> None:
    """A disk that belongs there would cover what is moved below its mount point; once it is there, files move."""
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    stick = tmp_path / "a stick"
    stick.mkdir()
    table = tmp_path / "fstab"
    table.write_text(f"# disks\n\nUUID=0 none swap sw 0 0\nUUID=1 {tmp_path}/a\\040stick ext4 nofail 0 2\n")
    monkeypatch.setattr(mounts, "_PLANNED", str(table))
    away = replace(disk, elsewhere=f"{stick}/target")
    assert f"the target is on {stick}, where no disk is mounted" in refusal(away.execute(away.plan()))
    assert os.path.exists(copy)
    mount("-t", "tmpfs", "tmpfs", on=stick)
    away.outcomes.clear()
    assert [outcome.result for outcome in away.execute(away.plan())] == [Result.DONE]


def test_a_link_inside_the_target_is_not_followed(disk: Disk) -> None:
    """A folder of the target that leads elsewhere gets nothing."""
    disk.write("a.png")
    disk.write("b.png", mtime=2)
    os.makedirs(f"{disk.base}/elsewhere")
    os.makedirs(os.path.dirname(disk.target + disk.photos))
    os.symlink(f"{disk.base}/elsewhere", disk.target + disk.photos)
    assert refusal(disk.execute(disk.plan())) == "a folder of the target became a symbolic link"
    assert os.listdir(f"{disk.base}/elsewhere") == []


@pytest.mark.parametrize("place", ["{base}/other/b.png", "{target}/../b.png", "{target}2/b.png", "{target}"])
def test_a_plan_that_leads_out_of_the_target_is_refused(disk: Disk, place: str) -> None:
    """An edited plan moves files below its target only."""
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    plan = disk.plan()
    (planned,) = plan.groups
    act = replace(planned.duplicates[0], destination=place.format(base=disk.base, target=disk.target))
    edited = replace(plan, groups=(replace(planned, duplicates=(act,)),))
    assert refusal(disk.execute(edited)) == "the place to move it to is not below the target folder"
    assert os.path.exists(copy)


# The journal


def test_unwritable_state_directory_touches_nothing(disk: Disk) -> None:
    """Without a journal no act begins: the run ends with an error, and the disk is as it was."""
    disk.write("a.png")
    disk.write("b.png", mtime=2)
    plan = disk.plan(Action.DELETE)
    Path(disk.state).touch()
    before = tree(disk.base)
    wishes = SimpleNamespace(
        state_directory=disk.state, deduplication=SimpleNamespace(protected_directories=[]), origin="here"
    )
    parts = dict.fromkeys(inspect.signature(Execution).parameters) | {
        "settings": wishes,
        "store": SimpleNamespace(lease=lambda _: nullcontext()),
        "observer": (observer := Observer()),
        "tally": Tally(observer),
    }
    with pytest.raises(StateDirectoryError, match="state_directory"):
        Execution(**cast("Any", parts)).execute(plan)
    assert tree(disk.base) == before


def test_journal_line_before_and_after_each_act(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An act is announced before it begins, with all that undoing needs, and confirmed after it ended."""
    keeper, copy = disk.write("a.png"), disk.write("b.png", mtime=2)
    told: list[str] = []
    relocate, write = relocation.relocate, Journal.write

    def watched_move(*arguments: Any, **options: Any) -> None:
        told.append("move")
        relocate(*arguments, **options)

    def watched_write(self: Journal, event: str, facts: dict[str, object]) -> None:
        write(self, event, facts)
        told.append(event)

    monkeypatch.setattr(relocation, "relocate", watched_move)
    monkeypatch.setattr(Journal, "write", watched_write)
    disk.execute(disk.plan())
    assert told == ["run", "intent", "move", "done"]
    intent, done = disk.journal()
    intent.pop("time")
    (step,) = intent.pop("steps")
    facts = os.lstat(disk.target + copy)
    assert step.pop("hidden").startswith(files.HIDDEN)
    assert step == {
        "action": "move",
        "path": copy,
        "size": 3,
        "mtime_ns": 2 * 10**9,
        "sha256": sha256(b"one"),
        "inode": facts.st_ino,
        "mode": facts.st_mode,
        "owner": [os.getuid(), os.getgid()],
        "place": disk.target + copy,
    }
    assert set(intent.pop("folders")) == {disk.base, disk.photos}
    assert intent.pop("made") == [disk.target + copy[:end] for end, letter in enumerate(copy) if letter == "/"]
    assert intent == {
        "event": "intent",
        "id": "1.1",
        "action": "move",
        "path": copy,
        "keeper": keeper,
        "keeper_sha256": sha256(b"one"),
    }
    assert (done["id"], done["path"], done["detail"]) == ("1.1", copy, disk.target + copy)


def test_a_refused_act_is_told_but_not_announced(disk: Disk) -> None:
    """What is refused never began: the journal tells why, and has no line as of an act."""
    disk.write("a.png")
    touch(disk, disk.write("b.png", mtime=2))
    plan = disk.plan()
    touch(disk, f"{disk.photos}/a.png")
    os.utime(f"{disk.photos}/a.png", (5, 5))
    assert disk.execute(plan)[0].result is Result.REFUSED
    assert [(line["event"], line["reason"]) for line in disk.journal()] == [
        ("refused", "the keeper changed since it was analysed")
    ]


@pytest.mark.parametrize("action", [Action.MOVE, Action.DELETE])
@pytest.mark.parametrize("room", range(5))
def test_a_full_disk_under_the_journal_stops_the_run(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, room: int, action: Action
) -> None:
    """When a line can't be written the run ends with an error: what was not announced was not touched."""
    disk.write("a.png")
    copies = [disk.write(f"b{number}.png", mtime=2 + number) for number in range(3)]
    plan = disk.plan(action)
    full = os.open("/dev/full", os.O_WRONLY)
    write = os.write
    lines = -1  # the first one tells about the run

    def until_full(descriptor: int, data: bytes) -> int:
        nonlocal lines
        lines += 1
        return write(descriptor if lines <= room else full, data)

    monkeypatch.setattr(os, "write", until_full)
    journal = Journal.open(disk.state)
    with pytest.raises(StateDirectoryError, match="No space left"):
        list(disk.acting(plan, journal))
    journal.close()
    os.close(full)
    announced = [line["path"] for line in disk.journal() if line["event"] == "intent"]
    assert [path for path in copies if not os.path.exists(path)] == announced
    assert len(announced) == (room + 1) // 2


# Folders


def test_prune_removes_what_the_plan_emptied(disk: Disk) -> None:
    """Folders that the acts leave empty are removed, deepest first, with a line in the journal before."""
    disk.write("a.png")
    disk.write("trip/day/b.png", mtime=2)
    disk.write("trip/night/c.png", mtime=3)
    os.mkdir(f"{disk.photos}/empty before")
    plan = disk.plan(prune=True)
    assert disk.prune(plan) == []
    disk.execute(plan)
    os.chmod(f"{disk.photos}/trip", 0o750)
    removed = disk.prune(plan)
    assert sorted(removed) == [f"{disk.photos}/trip", f"{disk.photos}/trip/day", f"{disk.photos}/trip/night"]
    assert removed[-1] == f"{disk.photos}/trip"
    assert sorted(os.listdir(disk.photos)) == ["a.png", "empty before"]
    assert [(line["event"], line["path"]) for line in disk.journal()] == [
        (event, path) for path in removed for event in ("intent", "done")
    ]
    (step,) = disk.journal()[-2]["steps"]
    assert stat.S_IMODE(step["mode"]) == 0o750
    assert isinstance(step["mtime_ns"], int)


def test_prune_never_removes_a_root(disk: Disk) -> None:
    """A root stays even if all its files went, and so does one that lies inside another."""
    disk.write("inner/a.png", mtime=2)
    outside = disk.write("../other/keeper.png")
    inner = f"{disk.photos}/inner"
    assert files.folders_left_empty([f"{inner}/a.png"], [disk.photos, inner]) == []
    assert files.folders_left_empty([f"{inner}/a.png"], [disk.photos]) == [inner]
    assert os.path.exists(outside)


@pytest.mark.parametrize("left", ["file", ".hidden", "folder", "link"])
def test_prune_leaves_folders_with_anything_in_them(disk: Disk, left: str) -> None:
    """A folder that still holds anything, hidden files and folders included, stays with what is above it."""
    disk.write("a.png")
    disk.write("trip/day/b.png", mtime=2)
    plan = disk.plan(prune=True)
    disk.execute(plan)
    path = f"{disk.photos}/trip/day/{left}"
    if left == "folder":
        os.mkdir(path)
    elif left == "link":
        os.symlink("nowhere", path)
    else:
        Path(path).touch()
    assert disk.prune(plan) == []
    assert os.path.lexists(path)


def test_prune_keeps_the_folder_of_a_file_that_stayed(disk: Disk) -> None:
    """Where an act was refused, its folder is not empty and stays."""
    disk.write("a.png")
    copy = disk.write("trip/b.png", mtime=2)
    plan = disk.plan(prune=True)
    touch(disk, copy)
    disk.execute(plan)
    assert disk.prune(plan) == []
    assert os.path.exists(copy)


def test_prune_keeps_a_folder_that_somebody_else_emptied(disk: Disk) -> None:
    """A folder whose file went by another hand is not this run's to remove."""
    disk.write("a.png")
    copy = disk.write("trip/b.png", mtime=2)
    plan = disk.plan(prune=True)
    os.unlink(copy)
    disk.execute(plan)
    assert disk.prune(plan) == []
    assert os.path.isdir(f"{disk.photos}/trip")


def test_prune_follows_no_link(disk: Disk) -> None:
    """If a folder above became a symbolic link, nothing is removed where it leads."""
    disk.write("a.png")
    disk.write("trip/day/b.png", mtime=2)
    plan = disk.plan(prune=True)
    disk.execute(plan)
    os.makedirs(f"{disk.base}/outside/day")
    shutil.rmtree(f"{disk.photos}/trip")
    os.symlink(f"{disk.base}/outside", f"{disk.photos}/trip")
    assert disk.prune(plan) == []
    assert os.path.isdir(f"{disk.base}/outside/day")


def test_prune_goes_on_after_a_folder_that_can_not_be_removed(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that can't be removed stays, and the others go."""
    disk.write("a.png")
    disk.write("one/b.png", mtime=2)
    disk.write("two/c.png", mtime=3)
    plan = disk.plan(prune=True)
    disk.execute(plan)
    rmdir = os.rmdir

    def refuse_one(path: str) -> None:
        if path.endswith("one"):
            raise PermissionError(13, "Permission denied")
        rmdir(path)

    monkeypatch.setattr(os, "rmdir", refuse_one)
    assert disk.prune(plan) == [f"{disk.photos}/two"]


# Any tree, any plan, any change in between

NAMES = ("a.png", "d/a.png", "d/b.png", "d/e/a.png", "f/a copy.png", "f/c.png", "g/h/i.png")
FAMILIES = ("x", "y")
STEP = 0.06  # one version to the next: two steps are beyond max_distance, so there are chains


def versions() -> dict[str, tuple[str, int]]:
    """Return the family and version of each content that the trees are made of, by hash."""
    return {sha256(f"{family}{version}".encode()): (family, version) for family in FAMILIES for version in range(3)}


def near_matches() -> list[Match]:
    known = sorted(versions().items())
    return [
        Match(a, b, abs(one[1] - other[1]) * STEP)
        for number, (a, one) in enumerate(known)
        for b, other in known[number + 1 :]
        if one[0] == other[0]
    ]


def relink(disk: Disk, path: str, other: str) -> None:
    del disk
    if os.path.isfile(other) and path != other:
        os.unlink(path)
        os.link(other, path)


def point_to(disk: Disk, path: str, other: str) -> None:
    del disk
    os.unlink(path)
    os.symlink(other, path)


def swap(disk: Disk, path: str, other: str) -> None:
    if os.path.isfile(other):
        os.rename(path, f"{disk.base}/swap")
        if os.path.isfile(other):
            os.rename(other, path)
        os.rename(f"{disk.base}/swap", other)


def alone(change: Callable[[Disk, str], None]) -> Callable[[Disk, str, str], None]:
    return lambda disk, path, _: change(disk, path)


def delete(_: Disk, path: str) -> None:
    os.unlink(path)


def overwrite(_: Disk, path: str) -> None:
    """Put another picture in place, and set the clock back as if nothing had been."""
    before = os.stat(path)
    Path(path).write_bytes(b"zz")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def detour(disk: Disk, path: str) -> None:
    """Put a link in place of the folder of a file."""
    folder = os.path.dirname(path)
    if folder != disk.photos:
        os.rename(folder, f"{disk.base}/moved{len(os.listdir(disk.base))}")
        os.symlink(f"{disk.base}/moved{len(os.listdir(disk.base)) - 1}", folder)


def hollow(_: Disk, path: str) -> None:
    os.unlink(path)
    os.mkdir(path)


changes: list[Callable[[Disk, str, str], None]] = [
    relink,
    point_to,
    swap,
    *map(alone, (delete, overwrite, touch, append, detour, hollow)),
]


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.tuples(st.sampled_from(sorted(versions().values())), st.integers(1, 3)),
        min_size=2,
    ),
    st.lists(st.tuples(st.sampled_from(changes), st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=4),
    st.sampled_from([Action.MOVE, Action.DELETE]),
    st.sets(st.sampled_from(["d", "f", "g/h"]), max_size=2),
)
@settings(max_examples=120, deadline=None)
def test_whatever_happens_in_between_nothing_is_lost(
    tree_of: dict[str, tuple[tuple[str, int], int]],
    happenings: list[tuple[Callable[[Disk, str, str], None], str, str]],
    action: Action,
    safe: set[str],
) -> None:
    """Files are deleted, changed, swapped and linked between plan and act: no picture is lost, none goes unasked.

    For every file that went there is a keeper on disk, with the bytes that were recorded, within max_distance.  Every
    other file is as it was.  Moving leaves every content on the disk; deleting leaves those of the keepers.  Only
    empty folders that the plan named are removed.
    """
    with tempfile.TemporaryDirectory() as base, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # nobody pulls the plug here
        disk = Disk(os.path.realpath(base))
        for name, ((family, version), mtime) in tree_of.items():
            disk.write(name, f"{family}{version}".encode(), mtime=mtime)
        protected = files.FolderSet([f"{disk.photos}/{name}" for name in safe]).holds
        plan = disk.plan(action, matches=near_matches(), protected=protected, prune=True)
        happened = False
        for change, name, other in happenings:
            if files.look(f"{disk.photos}/{name}"):
                change(disk, f"{disk.photos}/{name}", f"{disk.photos}/{other}")
                happened = True
        before = tree(disk.base)
        had = contents(disk.base)
        outcomes = disk.execute(plan, protected=protected)
        removed = disk.prune(plan)
        went = {outcome.act.file.path: outcome for outcome in outcomes if outcome.result is Result.DONE}
        assert happened or len(went) == len(outcomes)

        after = {path: what for path, what in tree(disk.base).items() if not path.startswith(disk.state + "/")}
        assert {path: what for path, what in after.items() if not path.startswith(disk.target + "/")} == {
            path: what for path, what in before.items() if path not in went
        }
        assert {path for path in after if path.startswith(disk.target + "/")} == {
            outcome.detail for outcome in went.values() if action is Action.MOVE
        }
        for planned, act in plan.acts():
            if (outcome := went.get(act.file.path)) is None:
                continue
            assert not any(act.file.path.startswith(f"{disk.photos}/{name}/") for name in safe)
            assert files.sha256(planned.keeper.path) == planned.keeper.content
            (family, one), (other_family, other_one) = (versions()[file.content] for file in (act.file, planned.keeper))
            assert family == other_family
            assert abs(one - other_one) * STEP == act.distance <= BY.max_distance
            if action is Action.MOVE:
                assert files.sha256(outcome.detail) == act.file.content
        has = contents(disk.base)
        if action is Action.MOVE:
            assert has >= had
        else:
            assert had - has <= {outcome.act.file.content for outcome in went.values()}
        assert set(removed) <= set(plan.empty_folders)
        assert disk.photos not in removed
