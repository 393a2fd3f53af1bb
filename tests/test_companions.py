"""What belongs to a picture goes with it, whole or not at all."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from disks import Disk, contents, sha256, tree

from py_image_dedup import files, journal
from py_image_dedup.actions import Result, relocation, undo_whole
from py_image_dedup.companions import RAW, attach, belongs
from py_image_dedup.plan import Action, Companion


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("b.xmp", "b.jpg"),
        ("B.XMP", "b.jpg"),
        ("b.jpg.xmp", "b.jpg"),
        ("b.aae", "b.HEIC"),
        ("IMG_1.MOV", "img_1.heic"),
        ("b.mp4", "b.jpg"),
        ("b.cr2", "b.jpg"),
        ("b.cr2.xmp", "b.jpg"),
        ("b.jpg.json", "b.jpg"),
        ("b.json", "b.jpg"),
        ("b.jpg.supplemental-metadata.json", "b.jpg"),
        ("b.jpg.supplemental-met.json", "b.jpg"),
        ("b.jpg.s.json", "b.jpg"),
        ("a.b.jpg.pp3", "a.b.jpg"),
        ("b.xmp", "b.cr2"),
        ("b.jpg(1).json", "b(1).jpg"),
        ("b.jpg.supplemental-metadata(2).json", "B(2).JPG"),
        ("b.jpg.suppl(1).json", "b(1).jpg"),
        ("b(1).jpg.json", "b(1).jpg"),
        ("b(1).xmp", "b(1).jpg"),
        ("PXL_1.MP", "PXL_1.MP.jpg"),
        ("PXL_1.MP", "PXL_1.jpg"),
        ("PXL_1.MP.jpg.supplemental-metadata.json", "PXL_1.MP.jpg"),
        ("MVIMG_1", "MVIMG_1.jpg"),
        ("IMG_O1234.AAE", "IMG_1234.HEIC"),
        ("IMG_O1234.AAE", "IMG_O1234.HEIC"),
        ("DSC1.WAV", "DSC1.JPG"),
        ("DSC1.acr", "DSC1.DNG"),
        (f"{'n' * 46}.json", f"{'n' * 47}.jpg"),
        (f"{'n' * 40}.jpg.s.json", f"{'n' * 40}.jpg"),
        (f"{'n' * 43}.jp.json", f"{'n' * 43}.jpg"),
    ],
)
def test_names_that_belong(name: str, picture: str) -> None:
    """Sidecars by stem and by whole name, Takeout's files, raw files, clips, and the sidecars of these."""
    assert belongs(name, picture)


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("b.jpg", "b.jpg"),
        ("b2.xmp", "b.jpg"),
        ("b.png", "b.jpg"),
        ("b.txt", "b.jpg"),
        ("b (1).xmp", "b.jpg"),
        ("b.png.xmp", "b.jpg"),
        ("b.jpg.other.json", "b.jpg"),
        ("a.xmp", "a.b.jpg"),
        ("b.dng", "b.cr2"),
        ("b.mov", "b.cr2"),
        ("b.jpg(1).json", "b.jpg"),
        ("b.jpg(1).json", "b(2).jpg"),
        ("b.jpg.json", "b(1).jpg"),
        ("b.jpg(1).xmp", "b(1).jpg"),
        ("b.xmp", "b(1).jpg"),
    ],
)
def test_names_that_do_not_belong(name: str, picture: str) -> None:
    """Other stems, other pictures and what belongs to these; a raw file brings no other raw file and no clip."""
    assert not belongs(name, picture)


def test_a_unit_moves_together_and_comes_back(disk: Disk) -> None:
    """Picture, raw file, clip and sidecars go to the target under their own names, and undo brings all back."""
    disk.write("a.png")
    names = ["t/b.png", "t/b.CR2", "t/b.mov", "t/b.xmp", "t/b.png.json", "t/b.CR2.xmp"]
    for mtime, name in enumerate(names, 2):
        disk.write(name, name.encode() if name != "t/b.png" else b"one", mtime=mtime)
    stays = disk.write("t/other.xmp", b"other")
    before = tree(disk.photos)
    (outcome,) = disk.run(disk.plan(prune=True))
    assert outcome.result is Result.DONE, outcome.detail
    assert set(tree(disk.photos)) == {f"{disk.photos}/a.png", stays}
    assert set(tree(disk.target)) == {f"{disk.target}{disk.photos}/{name}" for name in names}
    assert set(outcome.gone) == {f"{disk.photos}/{name}" for name in names}
    (run,) = journal.runs(disk.state)
    assert [one.result for one in undo_whole(run, disk.state)] == [Result.DONE]
    assert tree(disk.photos) == before


def test_a_taken_name_gives_the_whole_unit_a_counter(disk: Disk) -> None:
    """If any name of a unit is taken at the target, all get the same counter, so that they still belong together."""
    disk.write("a.png")
    for name in ("b.png", "b.png.xmp", "b.cr2"):
        disk.write(name, b"one" if name == "b.png" else name.encode(), mtime=2)
    os.makedirs(disk.target + disk.photos)
    Path(f"{disk.target}{disk.photos}/b.cr2").write_bytes(b"someone else's")
    (outcome,) = disk.execute(disk.plan())
    assert outcome.result is Result.DONE, outcome.detail
    assert sorted(os.listdir(disk.target + disk.photos)) == ["b (1).cr2", "b (1).png", "b (1).png.xmp", "b.cr2"]


@pytest.mark.parametrize("broken", ["b.png", "b.cr2", "b.png.xmp"])
@pytest.mark.parametrize("action", [Action.MOVE, Action.TRASH, Action.DELETE])
def test_a_unit_that_can_not_go_whole_stays_whole(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, action: Action, broken: str
) -> None:
    """If one part can't go, what went already comes back, and the place it went to is empty."""
    for keeper, mtime in (("a", 1), ("b", 2)):
        for extension, data in ((".png", b"one"), (".cr2", b"raw"), (".png.xmp", b"xmp")):
            disk.write(keeper + extension, data, mtime=mtime)
    plan = disk.plan(action)
    before = tree(disk.photos)
    rename, os_rename = relocation.rename, os.rename

    def refuse(path: str, place: str, flags: int = 1) -> bool:
        if path == f"{disk.photos}/{broken}" and files.HIDDEN not in path:
            raise PermissionError(13, "Permission denied", path)
        return rename(path, place, flags)

    def refuse_aside(path: str, place: str) -> None:
        if path == f"{disk.photos}/{broken}":
            raise PermissionError(13, "Permission denied", path)
        os_rename(path, place)

    monkeypatch.setattr(relocation, "rename", refuse)
    monkeypatch.setattr(os, "rename", refuse_aside)
    (outcome,) = disk.execute(plan)
    assert outcome.result is Result.FAILED
    assert outcome.detail == f"Permission denied: {disk.photos}/{broken}"
    assert tree(disk.photos) == before
    assert tree(disk.target) == {}
    assert tree(f"{disk.base}/Trash") == {}


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_a_companion_that_changed_keeps_the_picture(disk: Disk, change: str) -> None:
    """Companions must be as they were planned, or the picture stays with them."""
    disk.write("a.png")
    disk.write("b.png", mtime=2)
    side = disk.write("b.xmp", b"rating 5", mtime=2)
    plan = disk.plan()
    if change == "gone":
        os.unlink(side)
    else:
        disk.write("b.xmp", b"rating 1", mtime=2)
    (outcome,) = disk.execute(plan)
    assert outcome.result is Result.REFUSED
    assert "b.xmp" in outcome.detail
    assert os.path.exists(f"{disk.photos}/b.png")


def test_takeouts_sidecar_of_a_second_file_goes_with_it(disk: Disk) -> None:
    """Its number stands elsewhere than in the name of the picture, and deleting asks for its like."""
    disk.write("b.png")
    disk.write("b.png.json", b"first")
    copy = disk.write("b(1).png", mtime=2)
    sidecar = disk.write("b.png(1).json", b"second", mtime=2)
    assert list(disk.plan(Action.DELETE).acts()) == []
    (outcome,) = disk.execute(disk.plan())
    assert outcome.gone == (copy, sidecar)
    assert os.path.exists(f"{disk.photos}/b.png.json")


def test_a_companion_of_a_picture_that_stays_stays(disk: Disk) -> None:
    """A clip that belongs to a HEIC and to the JPEG made from it stays with the one that stays."""
    disk.write("a.png")
    disk.write("b.png", mtime=2)
    shared = disk.write("b.mov", b"moving", mtime=2)
    own = disk.write("b.png.xmp", b"its own", mtime=2)
    disk.write("b.heic", b"another picture")
    plan = attach(disk.plan(), pictures={".png", ".heic"})
    (act,) = (act for _, act in plan.acts())
    assert [one.path for one in act.companions] == [own]
    disk.execute(plan)
    assert os.path.exists(shared)
    assert not os.path.exists(own)


@pytest.mark.parametrize("touched", [None, "b.PNG", "b.png"])
def test_a_shared_companion_goes_with_the_last_picture_or_stays(disk: Disk, touched: str | None) -> None:
    """If all pictures of a stem go, the last one takes it; if one of them stays in the end, it stays too."""
    disk.write("a.png")
    for mtime, name in enumerate(("b.PNG", "b.png"), 2):
        disk.write(name, mtime=mtime)
    shared = disk.write("b.xmp", b"shared", mtime=2)
    plan = disk.plan()
    assert [len(act.companions) for _, act in plan.acts()] == [0, 1]
    if touched:
        os.utime(f"{disk.photos}/{touched}", (9, 9))
    outcomes = disk.execute(plan)
    assert [outcome.result is Result.DONE for outcome in outcomes] == [touched != "b.PNG", touched != "b.png"]
    assert os.path.exists(shared) == (touched is not None)


def test_a_shared_companion_stays_with_a_picture_that_a_person_keeps(disk: Disk) -> None:
    """What was planned to go with the last picture stays when another one of its pictures was taken out."""
    disk.write("a.png")
    for mtime, name in enumerate(("b.PNG", "b.png"), 2):
        disk.write(name, mtime=mtime)
    shared = disk.write("b.xmp", b"shared", mtime=2)
    plan = disk.plan()
    first, last = (act for _, act in plan.acts())

    (outcome,) = disk.execute(plan.without([first.id]))

    assert (outcome.act.file.path, outcome.result) == (last.file.path, Result.DONE)
    assert os.path.exists(first.file.path)
    assert os.path.exists(shared)


@pytest.mark.parametrize("action", [Action.DELETE, Action.TRASH])
def test_a_raw_file_that_exists_nowhere_else_keeps_its_jpeg(disk: Disk, action: Action) -> None:
    """A raw file is never deleted or trashed because of its JPEG; the picture stays, and the plan says why."""
    disk.write("a.png")
    copy, raw = disk.write("b.png", mtime=2), disk.write("b.cr2", b"all the light", mtime=2)
    plan = disk.plan(action)
    assert list(plan.acts()) == []
    reason = plan.groups[0].duplicates[0].reason
    assert reason.startswith("b.cr2 belongs to it and is not beside the keeper; else: ")
    disk.write("a.cr2", b"all the light")
    plan = disk.plan(action)
    assert [act.file.path for _, act in plan.acts()] == [copy]
    os.unlink(f"{disk.photos}/a.cr2")
    (outcome,) = disk.execute(plan)
    assert outcome.detail == "b.cr2 belongs to it and is not beside the keeper"
    assert os.path.exists(copy)
    assert os.path.exists(raw)


def test_deleting_asks_for_the_like_of_every_companion(disk: Disk) -> None:
    """A sidecar with other ratings than the keeper's is not deleted; the trash takes it along."""
    disk.write("a.png")
    disk.write("a.xmp", b"rating 1")
    disk.write("b.png", mtime=2)
    side = disk.write("b.xmp", b"rating 5", mtime=2)
    assert list(disk.plan(Action.DELETE).acts()) == []
    plan = disk.plan(Action.TRASH)
    (outcome,) = disk.execute(plan)
    assert outcome.result is Result.DONE
    assert not os.path.exists(side)
    assert sha256(b"rating 5") in contents(f"{disk.base}/Trash")
    disk.write("b.png", mtime=2)
    disk.write("b.xmp", b"rating 1", mtime=2)
    (outcome,) = disk.execute(disk.plan(Action.DELETE))
    assert outcome.result is Result.DONE
    assert sorted(os.listdir(disk.photos)) == ["a.png", "a.xmp"]


def test_companions_of_links_stay(disk: Disk) -> None:
    """A copy that becomes a link keeps its name, and its companions their places."""
    disk.write("a.png")
    disk.write("b.png", mtime=2)
    side = disk.write("b.cr2", b"raw", mtime=2)
    plan = disk.plan(Action.HARDLINK)
    assert [act.companions for _, act in plan.acts()] == [()]
    disk.execute(plan)
    assert os.path.exists(side)


def test_a_raw_file_that_is_a_keeper_goes_with_nobody(disk: Disk) -> None:
    """A companion that is itself in the plan is dealt with there, and a plan that says otherwise is refused."""
    disk.write("a.png")
    disk.write("b.png", mtime=2)
    keeper = disk.write("c.png", b"two")
    disk.write("d.png", b"two", mtime=2)
    plan = disk.plan()
    facts = os.stat(keeper)
    wrong = Companion(keeper, 3, facts.st_mtime_ns, sha256(b"two"), f"{disk.target}{keeper}")
    group = next(one for one in plan.groups if one.keeper.path != keeper)
    acts = (replace(group.duplicates[0], companions=(wrong,)),)
    edited = replace(plan, groups=(replace(group, duplicates=acts), *(one for one in plan.groups if one != group)))
    first, _ = disk.execute(edited)
    assert first.detail == "c.png, which belongs to it, is the keeper of other files"
    assert os.path.exists(keeper)


def test_a_large_folder_is_listed_once(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attaching companions to thousands of acts lists each folder once and reads nothing else."""
    for number in range(1500):
        disk.write(f"k/{number}.png", b"%d" % number)
        disk.write(f"c/{number}.png", b"%d" % number, mtime=2)
        disk.write(f"other/{number}.xmp", b"x")
    disk.write("c/7.xmp", b"seven", mtime=2)
    plan = disk.plan()
    listed: list[str] = []
    read: list[str] = []
    listdir, digest = os.listdir, files.sha256

    def watched_listdir(path: str) -> list[str]:
        listed.append(path)
        return listdir(path)

    def watched_digest(path: str) -> str:
        read.append(path)
        return digest(path)

    monkeypatch.setattr(os, "listdir", watched_listdir)
    monkeypatch.setattr(files, "sha256", watched_digest)
    start = time.process_time()
    attached = attach(plan, pictures={".png"})
    assert time.process_time() - start < 2
    assert listed == [f"{disk.photos}/c"]
    assert read == [f"{disk.photos}/c/7.xmp"]
    assert sum(len(act.companions) for _, act in attached.acts()) == 1


def test_raw_extensions_are_lower_case_with_dot() -> None:
    """The table is compared with lowered names."""
    assert all(one.startswith(".") and one == one.lower() and len(one) > 2 for one in RAW)
