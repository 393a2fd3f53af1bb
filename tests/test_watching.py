"""Changes are noticed, by inotify and by polling, on real folders."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import InotifyFD

from py_image_dedup.daemon.inbox import Heard, Inbox
from py_image_dedup.daemon.watching import Watching
from py_image_dedup.files import is_being_written
from py_image_dedup.log import Log
from py_image_dedup.mounts import Mounts
from py_image_dedup.walking import Scope, Selector


class Watched:
    """A folder that is watched; time passes at will."""

    def __init__(self, root: Path, *, polling: bool, recursive: bool = True) -> None:
        self.root = root
        self.said = io.StringIO()
        self.inbox = Inbox()
        self.scope = Scope(
            roots=[str(root)],
            select=Selector(extensions=frozenset({".jpg"}), recursive=recursive),
            avoid=str(root / "target"),
        )
        self.watching = Watching(self.scope, self.inbox, Log(self.said), polling=polling)
        self._now = 0.0

    def look(self) -> None:
        self._now += 1e6
        self.watching.look(self._now + time.monotonic())

    def hears_everything(self) -> bool:
        """Tell whether it is said that everything has to be walked, sooner or later."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            self.look()
            if self.inbox.take(0.2).everything:
                return True
        return False

    def heard(self, *names: str) -> Heard:
        """Return what is heard until these names were, and a little longer."""
        wanted = {str(self.root / name) for name in names}
        paths: set[str] = set()
        everything = False
        until = time.monotonic() + 10
        quiet = False
        while time.monotonic() < until and not quiet:
            self.look()
            found = self.inbox.take(0.2)
            quiet = not found.paths and wanted <= paths
            paths |= found.paths
            everything |= found.everything
        return Heard({os.path.relpath(path, self.root) for path in paths}, everything)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("a.jpg", "sub/b.jpg", "sub/deep/c.jpg", "target/t.jpg", ".hidden/h.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"old")
    return folder


@pytest.fixture(params=["inotify", "polling"])
def watched(request: pytest.FixtureRequest, root: Path) -> Iterator[Watched]:
    made = Watched(root, polling=request.param == "polling")
    made.watching.start()
    yield made
    made.watching.stop()
    assert "begins anew" not in made.said.getvalue()


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"new picture")


Change = tuple[Callable[[Path, Path], object], set[str]]

CHANGES: dict[str, Change] = {
    "create": (lambda root, _: write(root / "new.jpg"), {"new.jpg"}),
    "modify": (lambda root, _: write(root / "sub/b.jpg"), {"sub/b.jpg"}),
    "touch": (lambda root, _: os.utime(root / "a.jpg", (1, 1)), {"a.jpg"}),
    "truncate": (lambda root, _: os.truncate(root / "a.jpg", 1), {"a.jpg"}),
    "delete": (lambda root, _: (root / "sub/deep/c.jpg").unlink(), {"sub/deep/c.jpg"}),
    "rename": (lambda root, _: (root / "a.jpg").rename(root / "sub/z.jpg"), {"a.jpg", "sub/z.jpg"}),
    "rename of x.tmp to x.jpg": (lambda root, _: (root / "x.tmp").rename(root / "x.jpg"), {"x.jpg"}),
    "rename out": (lambda root, out: (root / "a.jpg").rename(out / "a.jpg"), {"a.jpg"}),
    "rename in": (lambda root, out: (out / "in.jpg").rename(root / "in.jpg"), {"in.jpg"}),
    "hard link": (lambda root, out: os.link(out / "in.jpg", root / "link.jpg"), {"link.jpg"}),
    "folder of new files": (lambda root, _: write(root / "x/y/z/n.jpg"), {"x/y/z/n.jpg"}),
    "folder moved in": (lambda root, out: (out / "album").rename(root / "album"), {"album/1.jpg", "album/in/2.jpg"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_hears_of(watched: Watched, tmp_path: Path, name: str) -> None:
    """Every change of a file in scope is heard of, by its own path, and nothing else is."""
    out = tmp_path / "out"
    for path in (out / "in.jpg", out / "album/1.jpg", out / "album/in/2.jpg", watched.root / "x.tmp"):
        write(path)
    watched.heard()
    change, expected = CHANGES[name]
    change(watched.root, out)

    assert watched.heard(*expected) == (expected, False)


def test_a_folder_that_comes_while_the_one_above_is_entered(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is met by the walk and told by the kernel too, and that is no trouble."""
    walk = Scope.walk

    def slow_walk(
        scope: Scope, start: str | None = None, entered: Callable[[str], None] = lambda _: None
    ) -> Iterator[object]:
        def enters(folder: str) -> None:
            entered(folder)
            if folder == str(watched.root / "x"):
                (watched.root / "x/y").mkdir(exist_ok=True)

        return walk(scope, start, enters)

    monkeypatch.setattr(Scope, "walk", slow_walk)
    (watched.root / "x").mkdir()
    watched.heard()
    write(watched.root / "x/y/n.jpg")

    assert watched.heard("x/y/n.jpg") == ({"x/y/n.jpg"}, False)


@pytest.mark.parametrize("how", ["moved away", "deleted"])
def test_hears_of_a_folder_that_went(watched: Watched, tmp_path: Path, how: str) -> None:
    """Either the folder is told or all its files; what happens where it went is not."""
    away = tmp_path / "away"
    if how == "deleted":
        shutil.rmtree(watched.root / "sub")
    else:
        (watched.root / "sub").rename(away)
    heard = watched.heard("sub/b.jpg") if watched.watching.is_polled(str(watched.root / "x")) else watched.heard("sub")
    assert {"sub"} <= heard.paths or {"sub/b.jpg", "sub/deep/c.jpg"} <= heard.paths
    if how == "moved away":
        write(away / "b.jpg")
        assert watched.heard().paths == set()


def test_follows_a_folder_that_is_renamed(watched: Watched) -> None:
    """Its files are told under their new names, and changes below it too."""
    (watched.root / "sub").rename(watched.root / "other")
    assert {"other/b.jpg", "other/deep/c.jpg"} <= watched.heard("other/b.jpg", "other/deep/c.jpg").paths
    write(watched.root / "other/deep/d.jpg")
    assert watched.heard("other/deep/d.jpg").paths == {"other/deep/d.jpg"}
    (watched.root / "other").rename(watched.root / "sub")
    assert "sub/deep/d.jpg" in watched.heard("sub/deep/d.jpg").paths


def test_what_is_out_of_scope_is_not_heard_of(watched: Watched) -> None:
    """Other names, hidden files and folders, and the target of moves."""
    for name in ("a.txt", ".a.jpg", ".hidden/new.jpg", "target/new.jpg", "target/x/new.jpg", "sub/.x/new.jpg"):
        write(watched.root / name)
    assert watched.heard() == (set(), False)


def test_below_a_root_only_if_asked(root: Path) -> None:
    """Without `recursive` only files right in the root are heard of."""
    watched = Watched(root, polling=False, recursive=False)
    watched.watching.start()
    write(root / "sub/new.jpg")
    write(root / "new/new.jpg")
    write(root / "new.jpg")
    assert watched.heard("new.jpg").paths == {"new.jpg"}
    watched.watching.stop()


def test_lost_events_mean_that_everything_is_walked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When more changes than the kernel can hold, the daemon knows, and hears again of what comes after."""
    watched = Watched(root, polling=False)
    watched.watching.start()
    go_on = threading.Event()
    put = watched.inbox.put
    monkeypatch.setattr(watched.inbox, "put", lambda path: go_on.wait() and put(path))
    many = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(many // 3 + 100):
        (root / f"{number % 50}.jpg").write_bytes(b"x" * (1 + number % 7))
        (root / f"{number % 50}.jpg").rename(root / f"n{number % 50}.jpg")
    go_on.set()
    assert watched.hears_everything()
    assert "more changed at once" in watched.said.getvalue()
    assert watched.watching.renewals == 1
    write(root / "sub/after.jpg")
    assert "sub/after.jpg" in watched.heard("sub/after.jpg").paths
    watched.watching.stop()


def test_a_thread_that_died_is_noticed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading goes on with another one, and everything is walked, for what was missed."""
    watched = Watched(root, polling=False)
    watched.watching.start()
    with monkeypatch.context() as patch:
        patch.setattr(InotifyFD, "should_keep_running", lambda _: False)
        write(root / "missed.jpg")
        deadline = time.monotonic() + 10
        assert watched.watching._inotify is not None
        while watched.watching._inotify._reader.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert watched.hears_everything()
    assert "the thread that reads changes has ended" in watched.said.getvalue()
    write(root / "after.jpg")
    assert watched.heard("after.jpg").paths == {"after.jpg"}
    watched.watching.stop()


def test_an_error_while_watching_is_noticed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong with an event, it is told, and everything is walked."""
    watched = Watched(root, polling=False)
    watched.watching.start()
    monkeypatch.setattr(watched.inbox, "put", lambda _: 1 / 0)
    write(root / "new.jpg")
    assert watched.hears_everything()
    assert "division by zero" in watched.said.getvalue()
    watched.watching.stop()


def test_polls_where_the_kernel_has_no_watches_left(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which limit to raise, and nothing is missed."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(InotifyFD, "add_callback", full)
    watched = Watched(root, polling=False)
    watched.watching.start()
    assert "max_user_watches" in watched.said.getvalue()
    write(root / "new.jpg")
    assert watched.heard("new.jpg").paths == {"new.jpg"}
    watched.watching.stop()


@pytest.mark.parametrize("polling", [False, True])
def test_a_disk_that_goes_and_comes_back(mount: Callable[..., Path], tmp_path: Path, *, polling: bool) -> None:
    """Nothing is heard while it is gone; when it is back everything is walked, and changes are heard of again."""
    root = mount("-t", "tmpfs", "tmpfs", on=tmp_path / "disk")
    write(root / "a.jpg")
    watched = Watched(root, polling=polling)
    watched.watching.start()
    watched.heard()
    assert not watched.watching.lost
    subprocess.run(["umount", root], check=True)
    write(root / "not on the disk.jpg")  # so that the folder is not even empty
    watched.look()
    assert [*watched.watching.lost] == [str(root)]
    assert watched.inbox.take(0).everything is False
    (root / "not on the disk.jpg").unlink()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root], check=True)
    assert watched.hears_everything()
    assert not watched.watching.lost
    write(root / "b.jpg")
    assert watched.heard("b.jpg").paths == {"b.jpg"}
    watched.watching.stop()


def test_another_folder_in_place_of_a_root(root: Path, tmp_path: Path) -> None:
    """A root that is replaced is watched anew."""
    watched = Watched(root, polling=False)
    watched.watching.start()
    root.rename(tmp_path / "old")
    watched.look()
    assert watched.watching.lost == (str(root),)
    root.mkdir()
    assert watched.hears_everything()
    write(root / "new.jpg")
    assert watched.heard("new.jpg").paths == {"new.jpg"}
    watched.watching.stop()


@pytest.mark.parametrize(
    ("kind", "remote"),
    [("ext4", False), ("btrfs", False), ("fuseblk", False), ("overlay", False)]
    + [(kind, True) for kind in ("nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse.sshfs", "fuse.mergerfs")],
)
def test_knows_disks_that_others_may_change(kind: str, *, remote: bool) -> None:
    """Network mounts, and file systems of programs, are polled whatever is configured."""
    mounts = Mounts({"/": ("8:1", "/", "ext4"), "/mnt/photos": ("0:50", "/", kind)})
    assert mounts.is_remote("/mnt/photos/2024") is remote
    assert not mounts.is_remote("/mnt/photos 2")


def test_knows_the_disk_under_a_folder(mount: Callable[..., Path], tmp_path: Path) -> None:
    """The kinds are read from the kernel's table."""
    point = mount("-t", "tmpfs", "tmpfs", on=tmp_path / "a place with spaces")
    assert Mounts.read()._above(str(point))[1][2] == "tmpfs"


def test_the_inbox_is_bounded() -> None:
    """Of more paths than it holds it is only known that there were some."""
    inbox = Inbox(most=10)
    for number in range(10):
        inbox.put(str(number))
    assert inbox.take(0) == ({str(number) for number in range(10)}, False)
    for number in range(15):
        inbox.put(str(number))
    assert inbox.take(0) == ({"11", "12", "13", "14"}, True)
    assert inbox.take(0) == (set(), False)


def test_sees_who_writes(tmp_path: Path) -> None:
    """A file that is open for writing is seen, one that is open for reading is not minded."""
    path = tmp_path / "a.jpg"
    write(path)
    assert not is_being_written(str(path))
    with path.open("rb"):
        assert not is_being_written(str(path))
    with path.open("ab"):
        assert is_being_written(str(path))
    assert not is_being_written(str(path))
    assert not is_being_written(str(tmp_path / "nothing"))
