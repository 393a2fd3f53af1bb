"""What went wrong elsewhere and cost people their pictures; each told, and shown not to happen here."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pictures
import pytest
from command import Command, Finished

IN_A_MOUNT_NAMESPACE = ("unshare", "--mount", "--map-root-user")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three photos in a folder, and another folder that holds nothing but copies of them, one recompressed."""
    folder = tmp_path / "album"
    (folder / "best").mkdir(parents=True)
    (folder / "phone").mkdir()
    for seed in range(3):
        photo = pictures.photo(seed, (320, 240))
        photo.save(folder / f"best/{seed}.jpg", quality=92)
        os.utime(folder / f"best/{seed}.jpg", (2e9, 2e9))
        shutil.copyfile(folder / f"best/{seed}.jpg", folder / f"phone/{seed}.jpg")
    photo.save(folder / "phone/2.jpg", quality=70)
    return folder


def hashes(*folders: Path) -> set[str]:
    """Return the hashes of all files below some folders, links left out."""
    return {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def act(command: Command, *arguments: str | Path, **environment: str) -> Finished:
    """Run for real, with removal of empty folders."""
    environment["PY_IMAGE_DEDUP_REMOVE_EMPTY_FOLDERS"] = "true"
    return command.run("deduplicate", *arguments, "--no-dry-run", "--yes", **environment)


def test_emptied_folders(command: Command, album: Path) -> None:
    """Folders full of pictures were empty afterwards, and their pictures gone (czkawka#1314).

    Here a folder goes only if each file in it has a keeper elsewhere; one that holds anything else stays, and so does
    the named folder itself, even if every file in it is a copy of another.
    """
    (album / "phone/notes.txt").write_text("not a picture")
    (album / "empty before").mkdir()
    shutil.copytree(album / "phone", album / "twice")
    (album / "twice/notes.txt").unlink()
    keepers = {hashlib.sha256((album / f"best/{seed}.jpg").read_bytes()).hexdigest() for seed in range(3)}

    run = act(command, album, "--action", "delete")

    assert run.code == 0, run.err
    assert sorted(path.name for path in album.iterdir()) == ["best", "empty before", "phone"]
    assert [path.name for path in (album / "phone").iterdir()] == ["notes.txt"]
    assert hashes(album / "best") == keepers

    alone = act(command, album / "best", album / "empty before", "--action", "delete")
    assert alone.counts["deleted"] == 0
    assert (album / "best").is_dir()


@pytest.mark.parametrize("action", ["delete", "trash", "hardlink"])
def test_links_that_deleted(command: Command, album: Path, tmp_path: Path, action: str) -> None:
    """A link and the file it leads to were taken for copies, and the file went (difPy, py-image-dedup 2).

    Symbolic links never count; two names of one file are one file, and neither goes for the other.
    """
    shutil.rmtree(album / "phone")
    (album / "zlinks").mkdir()
    for seed in range(3):
        (album / f"zlinks/symbolic {seed}.jpg").symlink_to(album / f"best/{seed}.jpg")
        os.link(album / f"best/{seed}.jpg", album / f"zlinks/hard {seed}.jpg")
    (tmp_path / "alias").symlink_to(album / "best")
    before = sorted(album.rglob("*"))
    run = act(command, album, tmp_path / "alias", "--action", action)
    assert run.code == 0, run.err
    assert run.json["groups"] == []
    assert sorted(album.rglob("*")) == before
    assert len(hashes(album)) == 3


def test_a_link_that_can_not_be_made_deletes_nothing(command: Command, album: Path, tmp_path: Path) -> None:
    """Where links could not be made, the files were gone all the same (czkawka#1498)."""
    other = Path("/dev/shm") / f"incident-{os.getpid()}"
    if not other.parent.is_dir() or other.parent.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system")
    shutil.copytree(album / "best", other)
    try:
        shutil.rmtree(album / "phone")
        before = hashes(album, other)
        for action in ("hardlink", "reflink"):
            run = act(command, album, other, "--action", action)
            assert run.code == 5
            assert (run.counts["refused"] or run.counts["failed"]) == 3
            assert hashes(album) == hashes(other) == before
    finally:
        shutil.rmtree(other)


@pytest.mark.parametrize("action", ["delete", "hardlink"])
def test_protected_folder_entered_by_a_link(command: Command, album: Path, tmp_path: Path, action: str) -> None:
    """A protected folder lost files through a symbolic link to it (czkawka#1172), or named twice (czkawka#2029)."""
    (tmp_path / "alias").symlink_to(album / "phone")
    before = sorted((album / "phone").iterdir())
    for protected in (tmp_path / "alias", f"{album}/phone/", f"{album}/phone,{album / 'best'}"):
        run = act(
            command,
            *(album, tmp_path / "alias", "--action", action),
            PY_IMAGE_DEDUP_DEDUPLICATION_PROTECTED_DIRECTORIES=str(protected),
        )
        assert run.code == 0, run.err
        assert sorted((album / "phone").iterdir()) == before
        assert not any(os.path.samefile(path, album / "best" / path.name) for path in before)


def in_namespace(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount, and whose mounts end with it."""
    before: Sequence[str] = IN_A_MOUNT_NAMESPACE
    if subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    return subprocess.run(
        [*before, "sh", "-euc", script, "sh", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )


def test_protected_folder_entered_by_a_mount(album: Path, tmp_path: Path) -> None:
    """A mount of a folder deep inside a protected one leads to its files under a name that says nothing of it."""
    protected, view = tmp_path / "originals", album / "view"
    (protected / "2020/summer").mkdir(parents=True)
    view.mkdir()
    for path in (album / "best").iterdir():
        shutil.copyfile(path, protected / "2020/summer" / path.name)
    done = in_namespace(
        """
        mount --bind "$2/2020/summer" "$1/view"
        export HOME="$3" PY_IMAGE_DEDUP_ORIGIN=test PY_IMAGE_DEDUP_DEDUPLICATION_PROTECTED_DIRECTORIES="$2"
        "$PYTHON" -m py_image_dedup deduplicate "$1" --action delete --no-dry-run --yes
        ls "$1/view"
        """,
        *(album, protected, tmp_path / "home"),
    )
    assert done.returncode == 0, done.stderr
    assert "Deleted" in done.stdout
    assert sorted(path.name for path in (protected / "2020/summer").iterdir()) == ["0.jpg", "1.jpg", "2.jpg"]


def test_a_file_listed_as_its_own_duplicate(command: Command, album: Path, tmp_path: Path) -> None:
    """A file that was listed twice was its own duplicate, and deleting the copy deleted it (immich#30639).

    Here one file is one file: named twice, by a folder above, by a link, with dots.
    """
    shutil.rmtree(album / "phone")
    (tmp_path / "alias").symlink_to(album)
    before = hashes(album)
    names = (album, album, album / "best", tmp_path / "alias", f"{album}/best/../best", f"{album}//")
    run = act(command, *names, "--action", "delete")
    assert run.code == 0, run.err
    assert run.counts["files"] == 3
    assert run.json["groups"] == []
    assert hashes(album) == before


def test_moves_that_overwrote(command: Command, album: Path, tmp_path: Path) -> None:
    """Files of one name, moved into one folder, replaced each other (difPy); what was there before went too."""
    target = tmp_path / "target"
    for seed in range(3):
        (album / f"phone/{seed}").mkdir()
        (album / f"phone/{seed}.jpg").rename(album / f"phone/{seed}/IMG_1.jpg")
        place = target / f"phone/{seed}/IMG_1.jpg".replace("phone", str(album / "phone").lstrip("/"))
        place.parent.mkdir(parents=True)
        place.write_bytes(b"mine %d" % seed)
    before = hashes(album, target)
    run = act(command, album, "--target", target)
    assert run.counts["moved"] == 3, run.out
    assert hashes(album, target) == before
    assert sum(path.is_file() for path in target.rglob("*")) == 6
    assert command.run("undo").code == 0
    assert sorted(path.read_bytes() for path in target.rglob("*") if path.is_file()) == [
        b"mine 0",
        b"mine 1",
        b"mine 2",
    ]


def test_no_log_and_no_undo_after_years(command: Command, album: Path, tmp_path: Path) -> None:
    """There was no record of what had been removed, and no way back (czkawka#1089, rmlint#587).

    Here every run is listed for good, and any of them can be taken back by its name, long after it.
    """
    before = hashes(album)
    first = act(command, album / "best", album / "phone", "--target", tmp_path / "t0")
    name = first.out.rpartition("py-image-dedup undo ")[2].strip()
    for number in range(1, 12):
        photo = album / f"best/new {number}.jpg"
        pictures.photo(100 + number, (160, 120)).save(photo)
        shutil.copyfile(photo, album / f"best/new {number} copy.jpg")
        act(command, album, "--target", tmp_path / f"t{number}")
    runs = command.home / ".local/state/py-image-dedup/runs"
    for path in runs.iterdir():
        os.utime(path, (1e9, 1e9))
    listed = command.run("history").out
    assert sum(" move " in line for line in listed.splitlines()) == 12
    done = command.run("undo", name)
    assert done.code == 0, done.err
    assert hashes(album) >= before
    assert sorted(path.name for path in (album / "phone").iterdir()) == ["0.jpg", "1.jpg", "2.jpg"]
    assert "yes" in next(line for line in command.run("history").out.splitlines() if line.startswith(name))


def test_all_copies_of_a_picture_gone(command: Command, album: Path) -> None:
    """A rule for all groups at once chose every copy of a picture (czkawka#317, Nextcloud duplicatefinder#180)."""
    for number in range(5):
        shutil.copytree(album / "phone", album / f"phone {number}")
    before = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (album / "best").iterdir()}
    run = act(command, album, "--action", "delete")
    assert run.counts["deleted"] == 18
    left = list(album.rglob("*.jpg"))
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in left} == set(before.values())
    assert len(left) == 3
