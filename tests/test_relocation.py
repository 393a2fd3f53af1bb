"""One file gets another name: it neither overwrites nor loses anything, on one disk and across two."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from privileges import NOBODY, unprivileged

from py_image_dedup import files
from py_image_dedup.actions import relocation
from py_image_dedup.actions.names import counted
from py_image_dedup.actions.relocation import relocate
from py_image_dedup.errors import ActionRefused


def write(path: str | Path, data: bytes = b"picture") -> str:
    """Write a file, folders included, and return its path."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_bytes(data)
    return str(path)


def move(source: str, destination: str) -> str:
    """Move as an act does: make the folders, and take the next name where one is taken."""
    as_seen = files.look(source)
    if as_seen is None:
        raise FileNotFoundError(source)
    sha256 = files.sha256(source)
    files.make_folders(files.missing_folders(os.path.dirname(destination)))
    for (place,) in counted([destination]):
        hidden = os.path.join(os.path.dirname(place), f".py-image-dedup-{threading.get_ident()}")
        with suppress(FileExistsError):
            relocate(source, place, hidden=hidden, as_seen=as_seen, sha256=sha256)
            return place
    raise AssertionError("names never run out")


def tree(folder: str | Path) -> dict[str, bytes]:
    """Return the contents of all files below a folder by relative path."""
    return {
        os.path.relpath(os.path.join(where, name), folder): Path(where, name).read_bytes()
        for where, _, names in os.walk(folder)
        for name in names
        if not os.path.islink(os.path.join(where, name))
    }


COPYING = ["two disks", "no links, no rename"]


@pytest.fixture(params=["one disk", "no rename", *COPYING])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A target on the same file system, on another one, and on those that lack what renames or links safely."""
    if request.param == "two disks":
        elsewhere: Path = request.getfixturevalue("other_disk")
        assert elsewhere.stat().st_dev != tmp_path.stat().st_dev
        return elsewhere / "target"
    if request.param != "one disk":
        monkeypatch.setattr(relocation, "rename", lambda *_: False)
    if request.param == "no links, no rename":
        monkeypatch.setattr(os, "link", no_links(errno.EPERM))
    return tmp_path / "target"


def no_links(number: int) -> Callable[..., None]:
    """Return an os.link that fails unless, as on a real disk, the name is taken."""

    def link(_source: str, destination: str, **_options: bool) -> None:
        if os.path.lexists(destination):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        raise OSError(number, os.strerror(number))

    return link


def supports_xattr(folder: Path) -> bool:
    """Tell whether a file system takes extended attributes of users."""
    probe = write(folder / "probe")
    try:
        os.setxattr(probe, "user.test", b"1")
    except OSError:
        return False
    finally:
        os.unlink(probe)
    return True


def test_move_keeps_bytes_mode_times_and_attributes(tmp_path: Path, target: Path) -> None:
    """A moved file has the same bytes, mode, modification time to the nanosecond and extended attributes."""
    data = os.urandom(3_000_001)
    source = write(tmp_path / "a/b.jpg", data)
    os.chmod(source, 0o640)
    os.utime(source, ns=(1_111_111_111_123_456_789, -999_999_999_123_456_789))
    attributes = supports_xattr(tmp_path) and supports_xattr(target.parent)
    if attributes:
        os.setxattr(source, "user.rating", b"five")
    went = move(source, str(target / "deep/b.jpg"))
    assert went == str(target / "deep/b.jpg")
    assert not os.path.lexists(source)
    facts = os.stat(went)
    assert stat.S_IMODE(facts.st_mode) == 0o640
    assert facts.st_mtime_ns == -999_999_999_123_456_789
    assert Path(went).read_bytes() == data
    assert facts.st_nlink == 1
    if attributes:
        assert os.getxattr(went, "user.rating") == b"five"


def test_move_never_overwrites(tmp_path: Path, target: Path) -> None:
    """A name that is taken, by a file, folder or dangling link, gets a counter; what was there stays."""
    write(target / "a.jpg", b"there")
    (target / "a (1).jpg").mkdir()
    (target / "a (2).jpg").symlink_to("nowhere")
    went = move(write(tmp_path / "a.jpg", b"first"), str(target / "a.jpg"))
    assert went == str(target / "a (3).jpg")
    again = move(write(tmp_path / "a.jpg", b"second"), str(target / "a.jpg"))
    assert again == str(target / "a (4).jpg")
    assert tree(target)["a.jpg"] == b"there"
    assert (Path(went).read_bytes(), Path(again).read_bytes()) == (b"first", b"second")
    assert os.readlink(target / "a (2).jpg") == "nowhere"


@pytest.mark.parametrize(
    "name",
    [
        "n" * 251 + ".jpg",
        "ü" * 125 + ".jpg",
        "🎉" * 62 + "a.jpg",
        b"\xff".decode(errors="surrogateescape") * 250 + ".jpg",
    ],
    ids=["ascii", "two bytes", "four bytes", "odd bytes"],
)
def test_counters_fit_the_longest_names(tmp_path: Path, target: Path, name: str) -> None:
    """A counter on a name of 255 bytes shortens the name, never within a character, and keeps the extension."""
    names = set()
    for number in range(12):
        went = move(write(tmp_path / name, b"%d" % number), str(target / name))
        names.add(os.path.basename(went))
    assert len(names) == 12
    assert all(len(os.fsencode(one)) <= 255 and one.endswith(".jpg") for one in names)
    assert sorted(tree(target).values()) == sorted(b"%d" % number for number in range(12))


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=255))
def test_free_names_are_distinct_and_short_enough(name: str) -> None:
    """Candidates come without end, all different, and as long as a stem is left never too long."""
    candidates = [one for (one,) in itertools.islice(counted([f"/folder/{name}"]), 25)]
    assert len(set(candidates)) == 25
    extension = os.path.splitext(name)[1]
    if len(os.fsencode(extension)) < 240:
        assert all(len(os.fsencode(os.path.basename(one))) <= 255 for one in candidates[1:])
    assert all(one.endswith(extension) for one in candidates)


def test_move_of_many_to_one_name_at_once(tmp_path: Path, target: Path) -> None:
    """Eight movers with one destination at the same time: every file arrives, none replaces another."""
    for attempt in range(6):
        sources = [write(tmp_path / f"{attempt}/{number}/a.jpg", b"%d" % number * 50_000) for number in range(8)]
        destination = target / str(attempt) / "a.jpg"
        start = threading.Barrier(len(sources))
        arrived: list[str] = []

        def mover(source: str, start: threading.Barrier = start, to: Path = destination) -> None:
            start.wait()
            arrived.append(move(source, str(to)))  # noqa: B023  # all threads end within this attempt

        threads = [threading.Thread(target=mover, args=(source,)) for source in sources]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = tree(destination.parent)
        assert len(set(arrived)) == 8
        assert sorted(found.values()) == [b"%d" % number * 50_000 for number in range(8)]
        assert not any(map(os.path.lexists, sources))


def test_move_of_one_file_by_two_movers(tmp_path: Path, target: Path) -> None:
    """Two movers of the same file: it is at one of the destinations afterwards, never gone."""
    for attempt in range(20):
        source = write(tmp_path / f"{attempt}.jpg", b"%d" % attempt)
        start = threading.Barrier(2)
        arrived: list[str] = []

        def mover(to: str, start: threading.Barrier = start, source: str = source) -> None:
            start.wait()
            with suppress(OSError, ActionRefused):
                arrived.append(move(source, to))  # noqa: B023  # both threads end within this attempt

        threads = [threading.Thread(target=mover, args=(str(target / f"{attempt}/{side}.jpg"),)) for side in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = tree(target / str(attempt)).values()
        assert set(found) == {b"%d" % attempt}
        assert arrived


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS])
def test_disks_without_hard_links_get_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Where a file system refuses hard links the file is copied."""
    monkeypatch.setattr(relocation, "rename", lambda *_: False)
    monkeypatch.setattr(os, "link", no_links(number))
    source = write(tmp_path / "a.jpg", b"data")
    assert Path(move(source, str(tmp_path / "t/a.jpg"))).read_bytes() == b"data"
    assert not os.path.lexists(source)


def test_other_link_errors_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that says nothing about hard links is no reason to copy."""
    monkeypatch.setattr(relocation, "rename", lambda *_: False)
    monkeypatch.setattr(os, "link", no_links(errno.EIO))
    source = write(tmp_path / "a.jpg")
    with pytest.raises(OSError, match="Input/output error"):
        move(source, str(tmp_path / "t/a.jpg"))
    assert tree(tmp_path) == {"a.jpg": b"picture"}


def test_a_full_disk_leaves_all_as_it_was(tmp_path: Path, mount: Callable[..., Path]) -> None:
    """Without room at the target the source stays and the target holds nothing."""
    small = mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", on=tmp_path / "small")
    source = write(tmp_path / "a.jpg", bytes(1 << 20))
    with pytest.raises(OSError, match="No space left"):
        move(source, str(small / "t/a.jpg"))
    assert os.path.getsize(source) == 1 << 20
    assert tree(small) == {}


def half(source: IO[bytes], target: IO[bytes], _length: int = 0) -> None:
    """Copy a little, then find the disk full."""
    target.write(source.read(3))
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def wrong(source: IO[bytes], target: IO[bytes], _length: int = 0) -> None:
    """Copy something else."""
    target.write(source.read()[::-1])


def failing(*_: object, **__: object) -> None:
    """Fail as a disk does."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def interrupted(*_: object, **__: object) -> None:
    """Be stopped by the user."""
    raise KeyboardInterrupt("stopped")


@pytest.mark.parametrize("target", COPYING, indirect=True)
@pytest.mark.parametrize(
    ("where", "what", "error"),
    [
        ("shutil.copyfileobj", half, "No space left"),
        ("shutil.copyfileobj", wrong, "the copy differs"),
        ("shutil.copyfileobj", interrupted, "stopped"),
        ("shutil.copystat", failing, "Input/output error"),
        ("os.fsync", failing, "Input/output error"),
        ("os.fsync", interrupted, "stopped"),
    ],
)
def test_a_copy_that_fails_midway_leaves_no_litter(
    tmp_path: Path, target: Path, where: str, what: Callable[..., None], error: str
) -> None:
    """Whatever fails while copying, the source stays and nothing is left at the target."""
    source = write(tmp_path / "a.jpg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, what)
        with pytest.raises((OSError, ValueError, KeyboardInterrupt), match=error):
            move(source, str(target / "a.jpg"))
    assert Path(source).read_bytes() == b"picture"
    assert tree(target) == {}


def test_a_target_that_cannot_be_synced_gets_nothing(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the new name might not survive a power cut, the old one stays and the new one is taken back."""
    source = write(tmp_path / "a.jpg")
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output error"):
        move(source, str(target / "a.jpg"))
    assert Path(source).read_bytes() == b"picture"
    assert tree(target) == {}


@pytest.mark.parametrize("target", ["no rename", *COPYING], indirect=True)
def test_a_source_that_cannot_go_leaves_no_second_copy(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the old name can't be removed, the new one is taken back."""
    source = write(tmp_path / "a.jpg")
    unlink = os.unlink

    def locked(path: str) -> None:
        if path == source:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        unlink(path)

    monkeypatch.setattr(os, "unlink", locked)
    with pytest.raises(PermissionError):
        move(source, str(target / "a.jpg"))
    assert Path(source).read_bytes() == b"picture"
    assert tree(target) == {}


def test_move_out_of_a_folder_that_may_not_change(open_folder: Path) -> None:
    """A file in a folder of mode 555 stays, and no second copy appears."""
    if os.geteuid() == 0:
        os.chown(open_folder, NOBODY, NOBODY)
    with unprivileged():
        source = write(open_folder / "locked/a.jpg")
        os.chmod(os.path.dirname(source), 0o555)
        with pytest.raises(PermissionError):
            move(source, str(open_folder / "target/a.jpg"))
        assert tree(open_folder) == {"locked/a.jpg": b"picture"}


def test_a_source_that_vanishes_leaves_nothing(tmp_path: Path, target: Path) -> None:
    """A missing source raises and makes no file."""
    with pytest.raises(FileNotFoundError):
        move(str(tmp_path / "none.jpg"), str(target / "none.jpg"))
    assert tree(target) == {}


def test_a_link_in_place_of_the_source_is_not_followed(tmp_path: Path, target: Path) -> None:
    """A symbolic link swapped in for the source never brings its goal's bytes to the target."""
    goal = write(tmp_path / "goal.jpg", b"secret")
    (tmp_path / "a.jpg").symlink_to(goal)
    try:
        move(str(tmp_path / "a.jpg"), str(target / "a.jpg"))
    except OSError:
        assert tree(target) == {}
    else:
        assert (target / "a.jpg").is_symlink()
    assert Path(goal).read_bytes() == b"secret"


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    """A file where the target needs a folder stops the move; nothing changes."""
    source = write(tmp_path / "a.jpg")
    write(tmp_path / "target", b"a file")
    with pytest.raises(OSError):
        move(source, str(tmp_path / "target/a.jpg"))
    assert tree(tmp_path) == {"a.jpg": b"picture", "target": b"a file"}
