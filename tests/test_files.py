"""The file system: what the walker finds and names, and a move that neither overwrites nor loses anything."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import re
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from privileges import unprivileged

from py_image_dedup import files, walking
from py_image_dedup.errors import RootError
from py_image_dedup.model import Seen, Skipped

JPG = frozenset({".jpg", ".jpeg"})
SELECT = walking.Selector(extensions=JPG)


def write(path: str | Path, data: bytes = b"picture") -> str:
    """Write a file, folders included, and return its path."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_bytes(data)
    return str(path)


def seen(found: Sequence[Seen | Skipped], root: str | Path) -> list[str]:
    """Return the paths below the root that were seen, in order."""
    return [os.path.relpath(one.path, root) for one in found if isinstance(one, Seen)]


def skipped(found: Sequence[Seen | Skipped], root: str | Path) -> dict[str, str]:
    """Return the reasons of what was skipped, by path below the root."""
    return {os.path.relpath(one.path, root): one.reason for one in found if isinstance(one, Skipped)}


def walk(
    *roots: str | Path, select: walking.Selector = SELECT, avoid: str | Path | None = None
) -> list[Seen | Skipped]:
    """Walk to the end."""
    return list(walking.walk([str(root) for root in roots], select=select, avoid=None if avoid is None else str(avoid)))


# The walker


def test_order_is_by_name_folder_by_folder(tmp_path: Path) -> None:
    """Files of a folder come first, by name, then its folders by name, whatever order the disk lists them in."""
    rng = random.Random(1)
    names = [f"{rng.choice('abcAB')}{number}" for number in range(40)]
    for name in rng.sample(names, len(names)):
        write(tmp_path / rng.choice(["", "x/", "X/", "x/deeper/", "a/"]) / f"{name}.jpg")
    expected = []
    for folder, folders, inside in os.walk(tmp_path):
        folders.sort()
        expected += [os.path.join(folder, name) for name in sorted(inside)]
    assert [one.path for one in walk(tmp_path)] == expected
    assert len(expected) == len(set(names))


def test_what_is_seen(tmp_path: Path) -> None:
    """A file is seen with its size and modification time, unopened."""
    path = write(tmp_path / "a.jpg", b"12345")
    os.utime(path, ns=(1, -2_000_000_000_000_000_001))
    assert walk(tmp_path) == [Seen(path, 5, -2_000_000_000_000_000_001)]


def test_nested_roots_come_once_and_belong_to_the_inner(tmp_path: Path) -> None:
    """A root inside another is walked as a root of its own, in its turn, also where the outer would not enter it."""
    for name in ("a.jpg", "inner/b.jpg", "inner/deep/c.jpg", "z.jpg", ".hidden/d.jpg", ".hidden/also/e.jpg"):
        write(tmp_path / name)
    inner, hidden = tmp_path / "inner", tmp_path / ".hidden/also"
    assert seen(walk(tmp_path, inner, hidden), tmp_path) == [
        "a.jpg",
        "z.jpg",
        "inner/b.jpg",
        "inner/deep/c.jpg",
        ".hidden/also/e.jpg",
    ]
    assert seen(walk(inner, tmp_path), tmp_path)[:2] == ["inner/b.jpg", "inner/deep/c.jpg"]
    assert len(walk(inner / "deep", inner, tmp_path)) == 4


def test_siblings_with_a_common_prefix_are_no_nested_roots(tmp_path: Path) -> None:
    """The folder "photos 2" is not inside "photos"."""
    write(tmp_path / "photos/a.jpg")
    write(tmp_path / "photos 2/b.jpg")
    assert len(walk(tmp_path / "photos", tmp_path / "photos 2")) == 2


def test_target_is_avoided(tmp_path: Path) -> None:
    """The target of moves is not entered; one that does not exist yet does no harm."""
    write(tmp_path / "a.jpg")
    write(tmp_path / "target/b.jpg")
    write(tmp_path / "target 2/c.jpg")
    assert seen(walk(tmp_path, avoid=tmp_path / "target"), tmp_path) == ["a.jpg", "target 2/c.jpg"]
    assert seen(walk(tmp_path, avoid=tmp_path / "target/"), tmp_path) == ["a.jpg", "target 2/c.jpg"]
    assert len(walk(tmp_path, avoid=tmp_path / "nowhere")) == 3
    assert walk(tmp_path / "target", avoid=tmp_path / "target") == []


def test_target_is_avoided_through_links(tmp_path: Path) -> None:
    """A root, or the target, reached through a symbolic link makes no difference."""
    write(tmp_path / "disk/a.jpg")
    write(tmp_path / "disk/target/b.jpg")
    (tmp_path / "link").symlink_to("disk")
    assert seen(walk(tmp_path / "link", avoid=tmp_path / "disk/target"), tmp_path) == ["link/a.jpg"]
    assert seen(walk(tmp_path / "disk", avoid=tmp_path / "link/target"), tmp_path) == ["disk/a.jpg"]
    (tmp_path / "shortcut").symlink_to("disk/target")
    assert seen(walk(tmp_path / "disk", avoid=tmp_path / "shortcut"), tmp_path) == ["disk/a.jpg"]


def test_target_is_avoided_under_a_second_mount(tmp_path: Path, mount: Callable[..., Path]) -> None:
    """A bind mount of the target inside a root is the target."""
    write(tmp_path / "target/b.jpg")
    write(tmp_path / "root/a.jpg")
    mount("--bind", str(tmp_path / "target"), on=tmp_path / "root/again")
    assert seen(walk(tmp_path / "root"), tmp_path) == ["root/a.jpg", "root/again/b.jpg"]
    assert seen(walk(tmp_path / "root", avoid=tmp_path / "target"), tmp_path) == ["root/a.jpg"]


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    """Links named like pictures are skipped with a reason; links to folders are not entered, so loops do no harm."""
    write(tmp_path / "real/a.jpg")
    for name, goal in {
        "to_file.jpg": "real/a.jpg",
        "dangling.jpg": "nowhere",
        "loop.jpg": "pool.jpg",
        "pool.jpg": "loop.jpg",
        "self.jpg": "self.jpg",
        "zero.jpg": "/dev/zero",
        "folder.jpg": "real",
        "up": "..",
        "real/here": ".",
        "to_folder": "real",
    }.items():
        (tmp_path / name).symlink_to(goal)
    found = walk(tmp_path)
    assert seen(found, tmp_path) == ["real/a.jpg"]
    named = ["dangling.jpg", "folder.jpg", "loop.jpg", "pool.jpg", "self.jpg", "to_file.jpg", "zero.jpg"]
    assert skipped(found, tmp_path) == dict.fromkeys(named, "a symbolic link, not followed")


def test_special_files_are_named_and_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO, on which opening would wait for ever, and a socket named .jpg are skipped with a reason."""
    monkeypatch.chdir(tmp_path)  # the path of a socket may hold 107 bytes only
    os.mkfifo("fifo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
    os.mkfifo("fifo")
    assert skipped(walk(tmp_path), tmp_path) == {
        "fifo.jpg": "not a regular file",
        "socket.jpg": "not a regular file",
    }


def test_folders_named_like_pictures_are_folders(tmp_path: Path) -> None:
    """A folder called folder.jpg is entered, an empty one gives nothing."""
    write(tmp_path / "folder.jpg/a.jpg")
    (tmp_path / "empty.jpg").mkdir()
    assert seen(walk(tmp_path), tmp_path) == ["folder.jpg/a.jpg"]


def test_folders_without_permission_are_named(open_folder: Path) -> None:
    """What can't be listed, and files that can't be looked at, are skipped with the reason; the rest is seen."""
    for name in ("locked", "list_only", "no_list"):
        write(open_folder / name / "a.jpg")
    write(open_folder / "open.jpg")
    (open_folder / "locked").chmod(0o000)
    (open_folder / "list_only").chmod(0o444)
    (open_folder / "no_list").chmod(0o111)
    with unprivileged():
        found = walk(open_folder)
    assert seen(found, open_folder) == ["open.jpg"]
    assert skipped(found, open_folder) == {
        "locked": "the folder can't be listed: Permission denied",
        "list_only/a.jpg": "can't be looked at: Permission denied",
        "no_list": "the folder can't be listed: Permission denied",
    }


def test_disk_errors_while_listing_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that fails in the middle of its list is skipped with the reason; the others are walked."""
    write(tmp_path / "bad/a.jpg")
    write(tmp_path / "good/b.jpg")
    scandir = os.scandir

    @contextmanager
    def failing(folder: str) -> Iterator[Iterator[os.DirEntry[str]]]:
        def entries() -> Iterator[os.DirEntry[str]]:
            yield from scan
            if folder.endswith("bad"):
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        with scandir(folder) as scan:
            yield entries()

    monkeypatch.setattr(os, "scandir", failing)
    found = walk(tmp_path)
    assert seen(found, tmp_path) == ["good/b.jpg"]
    assert skipped(found, tmp_path) == {"bad": "the folder can't be listed: Input/output error"}


def test_file_systems_that_list_no_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry whose type can't be found out is skipped with the reason and does not end the walk."""

    class Unknown:
        name = "odd.jpg"
        path = str(tmp_path / name)

        def is_dir(self, *, follow_symlinks: bool = True) -> bool:
            assert not follow_symlinks
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    write(tmp_path / "a.jpg")
    scandir = os.scandir

    @contextmanager
    def with_unknown(folder: str) -> Iterator[list[Any]]:
        with scandir(folder) as scan:
            yield [*scan, Unknown()]

    monkeypatch.setattr(os, "scandir", with_unknown)
    found = walk(tmp_path)
    assert seen(found, tmp_path) == ["a.jpg"]
    assert skipped(found, tmp_path) == {"odd.jpg": "can't be looked at: Permission denied"}


def test_odd_names_survive(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, line breaks, quotes, 255-byte names and both Unicode forms come back as they are."""
    names = [
        b"bad\xff\xfe.jpg",
        b"dir_\xff/in\xe9side.jpg",
        b"line\nbreak.jpg",
        b"cr\r tab\t.jpg",
        b"-rf.jpg",
        b"n" * 251 + b".jpg",
        "ü".encode() * 125 + b".jpg",
        b'quote\'s "double" $HOME `id` %s {0} *?[x] \\.jpg',
        "u\u0308.jpg".encode(),
        "ü.jpg".encode(),
        "\u202egpj.exe.jpg".encode(),
        b"esc\x1b[31m.jpg",
        b"a.b.jpg",
    ]
    for name in names:
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(name)
    found = walk(tmp_path)
    assert sorted(os.fsencode(path) for path in seen(found, tmp_path)) == sorted(names)
    for one in found:
        assert files.sha256(one.path) == hashlib.sha256(os.fsencode(os.path.relpath(one.path, tmp_path))).hexdigest()


def test_paths_beyond_the_longest_are_named(tmp_path: Path) -> None:
    """A tree deeper than the longest path the kernel takes is skipped with a reason; the rest is seen."""
    base = tmp_path / "deep"
    base.mkdir()
    here = os.open(base, os.O_RDONLY)
    for _ in range(22):
        os.mkdir(b"d" * 200, dir_fd=here)
        below = os.open(b"d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open(b"lost.jpg", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)
    write(tmp_path / "z.jpg")
    try:
        found = walk(tmp_path)
        assert seen(found, tmp_path) == ["z.jpg"]
        assert list(skipped(found, tmp_path).values()) == ["the folder can't be listed: File name too long"]
    finally:
        shutil.rmtree(base)


def test_a_file_that_vanishes_while_walking(tmp_path: Path) -> None:
    """A folder removed between listing and entering it is skipped, not an error."""
    write(tmp_path / "a.jpg")
    write(tmp_path / "gone/b.jpg")
    found = []
    for one in walking.walk([str(tmp_path)], select=SELECT):
        found.append(one)
        shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    assert skipped(found, tmp_path) == {"gone": "the folder can't be listed: No such file or directory"}


# The selector


def test_extensions_count_in_any_case(tmp_path: Path) -> None:
    """The last extension decides, whatever its case; names without one are out of scope."""
    for name in ("a.JPG", "b.Jpeg", "c.jpg.bak", "d.png", "jpg", "e.tar.jpg", "f.jpg ", "g."):
        write(tmp_path / name)
    assert seen(walk(tmp_path), tmp_path) == ["a.JPG", "b.Jpeg", "e.tar.jpg"]


def test_hidden_names(tmp_path: Path) -> None:
    """Names that start with a dot, files and folders, count only when asked for; a hidden root always does."""
    for name in (".a.jpg", ".folder/b.jpg", "open/.c.jpg", "d.jpg", ".jpg"):
        write(tmp_path / name)
    assert seen(walk(tmp_path), tmp_path) == ["d.jpg"]
    everything = walking.Selector(extensions=JPG, hidden=True)
    assert seen(walk(tmp_path, select=everything), tmp_path) == [".a.jpg", "d.jpg", ".folder/b.jpg", "open/.c.jpg"]
    assert seen(walk(tmp_path / ".folder"), tmp_path) == [".folder/b.jpg"]


@pytest.mark.parametrize("hidden", [True, False])
def test_resource_forks_are_no_pictures(tmp_path: Path, hidden: bool) -> None:  # noqa: FBT001
    """What macOS keeps beside a picture under its name is never a picture, also where hidden files count."""
    write(tmp_path / "._IMG_0001.jpg")
    write(tmp_path / "IMG_0001.jpg")
    found = walk(tmp_path, select=walking.Selector(extensions=JPG, hidden=hidden))
    assert seen(found, tmp_path) == ["IMG_0001.jpg"]


def test_exclusions_are_searched_in_the_path(tmp_path: Path) -> None:
    """A pattern that matches anywhere in the path of a file leaves it out; one that ends in a slash, a folder."""
    for name in ("a.jpg", "small/b.jpg", "smallish/c.jpg", "x/thumb_d.jpg", "x/e.jpg"):
        write(tmp_path / name)

    def left(*patterns: str) -> list[str]:
        select = walking.Selector(extensions=JPG, exclusions=tuple(map(re.compile, patterns)))
        return seen(walk(tmp_path, select=select), tmp_path)

    assert left("/small/") == ["a.jpg", "smallish/c.jpg", "x/e.jpg", "x/thumb_d.jpg"]
    assert left("small") == ["a.jpg", "x/e.jpg", "x/thumb_d.jpg"]
    assert left("/thumb_[^/]*$", "/small") == ["a.jpg", "x/e.jpg"]
    assert left("(?i)E\\.JPG$") == ["a.jpg", "small/b.jpg", "smallish/c.jpg", "x/thumb_d.jpg"]


def test_without_recursion_only_the_roots_are_listed(tmp_path: Path) -> None:
    """Folders are not entered, but a root inside another still is one."""
    for name in ("a.jpg", "x/b.jpg", "x/y/c.jpg"):
        write(tmp_path / name)
    flat = walking.Selector(extensions=JPG, recursive=False)
    assert seen(walk(tmp_path, select=flat), tmp_path) == ["a.jpg"]
    assert seen(walk(tmp_path, tmp_path / "x", select=flat), tmp_path) == ["a.jpg", "x/b.jpg"]


@pytest.mark.parametrize(
    "select",
    [
        SELECT,
        walking.Selector(extensions=None, hidden=True),
        walking.Selector(extensions=JPG, recursive=False),
        walking.Selector(extensions=JPG, exclusions=(re.compile("/x/"), re.compile("c[.]jpg$"))),
    ],
)
@pytest.mark.parametrize("avoid", [None, "target", "x", "shortcut", "nowhere", "."])
def test_coverage_is_what_the_walk_comes_to(tmp_path: Path, select: walking.Selector, avoid: str | None) -> None:
    """Asked of any path, by whatever settings it was recorded, it says what a walk by these says."""
    names = ("a.jpg", "b.png", ".c.jpg", ".hidden/d.jpg", "x/e.jpg", "x/y/c.jpg", "x/y/z/.thumbs/f.jpg", "target/g.jpg")
    for name in (*names, "target/x/h.jpg", ".Trash-0/files/i.jpg"):
        write(tmp_path / "root" / name)
    write(tmp_path / "root 2/k.jpg")
    (tmp_path / "root/shortcut").symlink_to("target")
    root = tmp_path / "root"
    for roots in ([root], [root, root / "x"], [root / "target", root / "x/y"]):
        scope = walking.Scope(
            roots=list(map(str, roots)), select=select, avoid=None if avoid is None else str(root / avoid)
        )
        walked = {one.path for one in scope.walk() if isinstance(one, Seen)}
        covers = scope.coverage()

        paths = [os.path.join(folder, name) for folder, _, inside in os.walk(tmp_path) for name in inside]
        assert {path for path in paths if covers(path)} == walked


# Roots and small questions


def test_roots_must_be_folders_that_can_be_listed(tmp_path: Path, open_folder: Path) -> None:
    """A missing, unreadable or wrong root is refused with its name and the key to change."""
    file = write(tmp_path / "a.jpg")
    files.check_roots([str(tmp_path)])
    for root, reason in ((str(tmp_path / "none\n"), "No such file"), (file, "Not a directory")):
        with pytest.raises(RootError, match=reason) as caught:
            files.check_roots([str(tmp_path), root])
        assert files.printable(root) in str(caught.value)
        assert "analysis.source_directories" in str(caught.value)
    locked = open_folder / "locked"
    locked.mkdir(mode=0o000)
    with unprivileged(), pytest.raises(RootError, match="Permission denied"):
        files.check_roots([str(locked)])


def test_empty_folders(tmp_path: Path) -> None:
    """A folder is empty when it holds nothing at all, hidden files included."""
    assert files.is_empty(str(tmp_path))
    write(tmp_path / ".hidden")
    assert not files.is_empty(str(tmp_path))


def test_vanished_is_certain(tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only "no such file" counts as vanished: a dangling link is there, and errors may pass."""
    path = write(tmp_path / "a.jpg")
    (tmp_path / "link").symlink_to("nowhere")
    assert not files.vanished(path)
    assert not files.vanished(str(tmp_path / "link"))
    assert files.vanished(str(tmp_path / "none.jpg"))
    assert files.vanished(str(tmp_path / "none/none.jpg"))
    assert files.vanished(path + "/below.jpg")
    locked = write(open_folder / "locked/a.jpg")
    os.chmod(os.path.dirname(locked), 0)
    with unprivileged():
        assert not files.vanished(locked)
    for number in (errno.EIO, errno.EACCES, errno.ESTALE, errno.ENAMETOOLONG):

        def failing(*_: object, number: int = number) -> os.stat_result:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(os, "lstat", failing)
            assert not files.vanished(str(tmp_path / "none.jpg"))


def test_look_takes_regular_files_only(tmp_path: Path) -> None:
    """Device, inode, size and time of a regular file; nothing for links, folders, FIFOs and missing files."""
    path = write(tmp_path / "a.jpg", b"123")
    facts = os.stat(path)
    assert files.look(path) == files.Inode(facts.st_dev, facts.st_ino, 3, facts.st_mtime_ns)
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    os.mkfifo(tmp_path / "fifo.jpg")
    for other in ("link.jpg", "fifo.jpg", "", "none"):
        assert files.look(str(tmp_path / other)) is None


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A link, FIFO, socket, folder or device in place of a file raises OSError at once and leaves nothing open."""
    write(tmp_path / "a.jpg")
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    os.mkfifo(tmp_path / "fifo.jpg")
    before = os.listdir("/proc/self/fd")
    for path in (tmp_path / "link.jpg", tmp_path / "fifo.jpg", tmp_path, Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(OSError), files.open_regular(str(path)):  # it must not come to the body
            pytest.fail(f"{path} was opened")
    assert os.listdir("/proc/self/fd") == before
    with files.open_regular(str(tmp_path / "a.jpg")) as file:
        assert file.read() == b"picture"
        assert not os.get_inheritable(file.fileno())


def test_hash_of_a_file(tmp_path: Path) -> None:
    """The SHA-256 of its bytes, an empty file included."""
    for data in (b"", b"x" * 3_000_000):
        assert files.sha256(write(tmp_path / "a", data)) == hashlib.sha256(data).hexdigest()


def test_is_below() -> None:
    """A folder holds itself and what lies in it, not what merely starts with its name."""
    assert files.is_below("/a/b", ["/a/b"])
    assert files.is_below("/a/b/c", ["/x", "/a/b"])
    assert files.is_below("/a/b/c", ["/a/b/"])
    assert files.is_below("/a", ["/"])
    assert not files.is_below("/a/bc", ["/a/b"])
    assert not files.is_below("/a/b.jpg", ["/a/b"])
    assert not files.is_below("/a", ["/a/b"])
    assert not files.is_below("/a", [])


def test_folder_set_by_name_and_alias(tmp_path: Path) -> None:
    """A folder holds what lies in it at any depth, under its own name or through a link; not its namesakes."""
    write(tmp_path / "keep/deep/er/a.jpg")
    write(tmp_path / "keep 2/b.jpg")
    (tmp_path / "alias").symlink_to("keep")
    held = files.FolderSet([str(tmp_path / "keep"), str(tmp_path / "missing")])
    for path in ("keep/a.jpg", "keep/deep/er/a.jpg", "alias/deep/er/a.jpg", "alias/new.jpg", "keep/none/yet/c.jpg"):
        assert held.holds(str(tmp_path / path)), path
    for path in ("keep", "keep 2/b.jpg", "a.jpg", "missing/c.jpg", "keepsake.jpg"):
        assert not held.holds(str(tmp_path / path)), path
    through_link = files.FolderSet([str(tmp_path / "alias")])
    assert through_link.holds(str(tmp_path / "keep/deep/er/a.jpg"))
    assert not files.FolderSet([]).holds(str(tmp_path / "keep/a.jpg"))


def test_folder_set_of_deep_folders(tmp_path: Path) -> None:
    """Deeper than Python calls itself."""
    (tmp_path / "in").mkdir()
    protected = files.FolderSet([str(tmp_path / "in")])
    assert protected.holds(f"{tmp_path}/in{'/d' * 1500}/a.jpg")
    assert not protected.holds(f"{tmp_path}/out{'/d' * 1500}/a.jpg")


def test_folder_set_under_a_second_mount(tmp_path: Path, mount: Callable[..., Path]) -> None:
    """A bind mount of a protected folder is that folder."""
    write(tmp_path / "keep/deep/a.jpg")
    held = files.FolderSet([str(tmp_path / "keep")])
    alias = mount("--bind", str(tmp_path / "keep"), on=tmp_path / "mounted")
    assert held.holds(str(alias / "deep/a.jpg"))
    assert not held.holds(str(tmp_path / "other.jpg"))


def test_destination_keeps_the_whole_path() -> None:
    """Below the target lies the absolute path, so that two files of one name do not meet."""
    assert files.destination_below("/t", "/home/me/a.jpg") == "/t/home/me/a.jpg"
    assert files.destination_below("/t/x", "/a.jpg") == "/t/x/a.jpg"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/plain/ü é 日本 🎉.jpg", "/plain/ü é 日本 🎉.jpg"),
        ("line\nbreak\r\t", "line\\nbreak\\r\\t"),
        ("esc\x1b[31mred\x07\x00", "esc\\x1b[31mred\\x07\\x00"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("bad\udcff\udcfe", "bad\\udcff\\udcfe"),
        ("\x9b31m\xa0", "\\x9b31m\\xa0"),
        ("\u2028\u2066\ufeff", "\\u2028\\u2066\\ufeff"),
    ],
)
def test_printable(path: str, shown: str) -> None:
    """Control characters, direction marks, invisible characters and odd bytes are escaped; all else is shown."""
    assert files.printable(path) == shown


@given(st.binary(max_size=60))
def test_printable_never_fails(name: bytes) -> None:
    """Whatever bytes a name has, what is shown can be printed and encoded."""
    shown = files.printable(os.fsdecode(name))
    assert shown.isprintable()
    shown.encode()


# Folders left empty


def test_folders_left_empty(tmp_path: Path) -> None:
    """Folders that only held what goes, the deepest first; never a root, nor one that holds anything else."""
    going = [
        write(tmp_path / name)
        for name in ("a/b/c/1.jpg", "a/b/2.jpg", "a/3.jpg", "kept/4.jpg", "hidden/5.jpg", "6.jpg", "full/sub/7.jpg")
    ]
    write(tmp_path / "kept/sidecar.xmp")
    write(tmp_path / "hidden/.thing")
    (tmp_path / "full/empty").mkdir()
    root = str(tmp_path)
    assert files.folders_left_empty(going, [root]) == [f"{root}/{name}" for name in ("a/b/c", "full/sub", "a/b", "a")]
    assert files.folders_left_empty(going[:2], [root]) == [f"{root}/a/b/c", f"{root}/a/b"]
    assert files.folders_left_empty(going[1:], [root]) == [f"{root}/full/sub"]
    assert files.folders_left_empty([], [root]) == []


def test_roots_are_never_left_empty(tmp_path: Path) -> None:
    """A root stays though all its files go, and with it the folders above it."""
    going = [write(tmp_path / "outer/inner/a.jpg"), write(tmp_path / "outer/b.jpg")]
    outer, inner = str(tmp_path / "outer"), str(tmp_path / "outer/inner")
    assert files.folders_left_empty(going, [outer, inner]) == []
    assert files.folders_left_empty(going, [outer]) == [inner]
    assert files.folders_left_empty(going, [inner]) == []


def test_folders_left_empty_come_in_one_order(tmp_path: Path) -> None:
    """The order does not depend on that of the files."""
    going = [write(tmp_path / f"{number:02}/a.jpg") for number in range(30)]
    found = files.folders_left_empty(going, [str(tmp_path)])
    assert found == files.folders_left_empty(going[::-1], [str(tmp_path)])
    assert found == sorted(found, reverse=True)


def test_folders_that_cannot_be_listed_are_not_left_empty(tmp_path: Path) -> None:
    """A folder that is gone or can't be listed is not named."""
    assert files.folders_left_empty([str(tmp_path / "none/a.jpg")], [str(tmp_path)]) == []


def test_a_time_beyond_the_stores_is_brought_within(tmp_path: Path) -> None:
    """A file dated 2400, which ext4 can hold, is seen at the latest time that a store can hold."""
    path = tmp_path / "future.jpg"
    path.write_bytes(b"picture")
    os.utime(path, (13_569_465_600, 13_569_465_600))

    (seen,) = walking.walk([str(tmp_path)], select=walking.Selector(extensions=frozenset({".jpg"})))

    assert isinstance(seen, Seen)
    assert seen.mtime_ns <= 2**63 - 1
    inode = files.look(str(path))
    assert inode is not None
    assert inode.mtime_ns == seen.mtime_ns
