"""The trash: the one of the desktop, on the file's own disk, and desktops can restore from it."""

from __future__ import annotations

import configparser
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from disks import Disk, tree

from py_image_dedup import journal
from py_image_dedup.actions import Result, Trash, undo_whole
from py_image_dedup.errors import ActionRefused
from py_image_dedup.plan import Action
from py_image_dedup.walking import Selector, walk


def path_in(info: str) -> bytes:
    """Return the path that a note of the trash tells."""
    parser = configparser.RawConfigParser()
    parser.read_string(Path(info).read_text())
    assert parser["Trash Info"]["deletiondate"]
    return unquote_to_bytes(parser["Trash Info"]["path"])


@pytest.mark.parametrize("name", ["b.png", "Grüße 100%.png", os.fsdecode(b"\xff\n[x].png"), "n" * 251 + ".png"])
def test_a_file_goes_to_the_trash_with_its_note_and_comes_back(disk: Disk, name: str) -> None:
    """The picture is in files/, the note in info/ tells its old place to the byte, and undo takes both away."""
    disk.write("a.png")
    copy = disk.write(name, mtime=2)
    before = tree(disk.photos)
    (outcome,) = disk.run(disk.plan(Action.TRASH))
    assert outcome.result is Result.DONE, outcome.detail
    assert outcome.freed == 0
    trash = f"{disk.base}/Trash"
    (trashed,), (note,) = os.listdir(f"{trash}/files"), os.listdir(f"{trash}/info")
    assert note == f"{trashed}.trashinfo"
    assert path_in(f"{trash}/info/{note}") == os.fsencode(copy)
    assert stat.S_IMODE(os.stat(f"{trash}/files").st_mode) == 0o700
    (run,) = journal.runs(disk.state)
    assert [one.result for one in undo_whole(run, disk.state)] == [Result.DONE]
    assert tree(disk.photos) == before
    assert tree(trash) == {}


def test_names_in_the_trash_are_never_taken_twice(disk: Disk) -> None:
    """Files of one name lie beside each other in the trash; what was there stays."""
    os.makedirs(f"{disk.base}/Trash/files")
    os.makedirs(f"{disk.base}/Trash/info")
    Path(f"{disk.base}/Trash/files/b.png").write_bytes(b"older")
    Path(f"{disk.base}/Trash/info/b 2.png.trashinfo").write_bytes(b"a note without a file")
    disk.write("a.png")
    for folder in "xy":
        disk.write(f"{folder}/b.png", mtime=2)
    outcomes = disk.run(disk.plan(Action.TRASH))
    assert [outcome.result for outcome in outcomes] == [Result.DONE] * 2
    assert sorted(os.listdir(f"{disk.base}/Trash/files")) == ["b 3.png", "b 4.png", "b.png"]
    assert Path(f"{disk.base}/Trash/files/b.png").read_bytes() == b"older"


def test_another_disk_has_its_own_trash(tmp_path: Path, mount: Callable[..., Path]) -> None:
    """A file on another disk goes to the trash at the top of that disk, its note with a relative path."""
    top = mount("-t", "tmpfs", "tmpfs", on=tmp_path / "stick")
    path = top / "photos/b.png"
    path.parent.mkdir()
    path.touch()
    trash = Trash(f"{tmp_path}/Trash", os.getuid())
    place, info = trash.place(str(path))
    assert place == f"{top}/.Trash-{os.getuid()}/files/b.png"
    disk = Disk(str(top))
    Path(path).unlink()
    disk.write("a.png")
    copy = disk.write("b.png", mtime=2)
    journal_ = journal.Journal.open(disk.state)
    (outcome,) = disk.acting(disk.plan(Action.TRASH), journal_, trash=trash)
    journal_.close()
    assert outcome.detail == place
    assert path_in(info) == os.fsencode(os.path.relpath(copy, top))


def test_the_shared_trash_of_a_disk_is_used_if_it_is_safe(tmp_path: Path, mount: Callable[..., Path]) -> None:
    """An administrator's .Trash counts only as a folder with the sticky bit; a link never does."""
    top = mount("-t", "tmpfs", "tmpfs", on=tmp_path / "stick")
    (top / "b.png").touch()
    trash = Trash(f"{tmp_path}/Trash", os.getuid())
    own = f"{top}/.Trash-{os.getuid()}"
    (top / ".Trash").mkdir()
    assert trash.place(f"{top}/b.png")[0] == f"{own}/files/b.png"
    (top / ".Trash").chmod(0o1777)
    assert trash.place(f"{top}/b.png")[0] == f"{top}/.Trash/{os.getuid()}/files/b.png"
    shutil.rmtree(top / ".Trash")
    (top / ".Trash").symlink_to(tmp_path)
    assert trash.place(f"{top}/b.png")[0] == f"{own}/files/b.png"
    shutil.rmtree(own)
    os.symlink(tmp_path, own)
    with pytest.raises(ActionRefused, match="no trash of yours"):
        trash.place(f"{top}/b.png")


def test_without_a_trash_the_act_is_refused(tmp_path: Path, mount: Callable[..., Path]) -> None:
    """A disk on which no trash can be made keeps its files; nothing is deleted instead (czkawka#1197)."""
    top = mount("-t", "tmpfs", "tmpfs", on=tmp_path / "stick")
    (top / "b.png").touch()
    subprocess.run(["mount", "-o", "remount,ro", top], check=True)
    with pytest.raises(ActionRefused, match=r"there can be no trash on its disk.*Read-only file system"):
        Trash(f"{tmp_path}/Trash", os.getuid()).place(f"{top}/b.png")


def test_the_trash_is_where_the_environment_says(tmp_path: Path) -> None:
    """XDG_DATA_HOME counts if it is absolute, else ~/.local/share."""
    assert Trash.of({"XDG_DATA_HOME": str(tmp_path)}).home == f"{os.path.realpath(tmp_path)}/Trash"
    home = os.path.realpath(os.path.expanduser("~"))
    assert Trash.of({"XDG_DATA_HOME": "relative"}).home == f"{home}/.local/share/Trash"
    assert Trash.of({}).user == os.getuid()


@pytest.mark.parametrize("place", [".Trash-1000/files", ".Trash/1000/files", ".local/share/Trash/files"])
def test_a_trash_is_never_searched(tmp_path: Path, place: str) -> None:
    """What lies in a trash is neither keeper nor duplicate, also where hidden folders are searched."""
    for folder in (place, "Trash of pictures", ".hidden"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.png").touch()
    select = Selector(extensions=frozenset({".png"}), hidden=True)
    found = {os.path.relpath(one.path, tmp_path) for one in walk([str(tmp_path)], select=select)}
    assert found == {"Trash of pictures/a.png", ".hidden/a.png"}
