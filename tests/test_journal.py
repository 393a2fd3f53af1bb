"""The journal: on disk before anything happens, and never rewritten."""

import datetime as dt
import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from privileges import unprivileged

from py_image_dedup.errors import ConfigError, StateDirectoryError, StoreUnavailable
from py_image_dedup.journal import Journal, acting, runs, write
from py_image_dedup.stores.database import Database


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(str(tmp_path / "state"))
    yield opened
    opened.close()


def lines(journal: Journal) -> list[dict[str, object]]:
    """Return the lines after the first, which tells about the run."""
    return [json.loads(line) for line in Path(journal.path).read_bytes().splitlines()[1:]]


def test_each_line_is_one_object(journal: Journal) -> None:
    """A journal is JSON lines: event, time, and the facts as they were given."""
    journal.write("intent", {"id": "1.1", "path": "/a", "destination": None, "size": 5})
    journal.write("done", {"id": "1.1", "detail": "line one\nline two"})
    first, second = lines(journal)
    assert first.items() >= {"event": "intent", "id": "1.1", "path": "/a", "destination": None, "size": 5}.items()
    assert second.items() >= {"event": "done", "id": "1.1", "detail": "line one\nline two"}.items()
    assert str(first["time"]).endswith("+00:00")
    assert str(first["time"]) <= str(second["time"])


def test_odd_bytes_survive(journal: Journal) -> None:
    """A path of any bytes is one line of ASCII in the journal and comes back as the same bytes."""
    name = b"/photos/\xff\n\x1b[31m\xc3(.jpg"
    journal.write("intent", {"path": os.fsdecode(name)})
    assert Path(journal.path).read_bytes().isascii()
    (line,) = lines(journal)
    assert os.fsencode(str(line["path"])) == name


def test_line_is_synced_before_the_call_returns(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line is written whole and synced, in this order, before anything else can happen."""
    happened: list[str] = []
    write, fsync = os.write, os.fsync

    def watched_write(descriptor: int, data: bytes) -> int:
        happened.append("write")
        assert data.endswith(b"\n")
        return write(descriptor, data)

    def watched_fsync(descriptor: int) -> None:
        happened.append("fsync")
        assert os.fstat(descriptor).st_ino == os.stat(journal.path).st_ino
        fsync(descriptor)

    monkeypatch.setattr(os, "write", watched_write)
    monkeypatch.setattr(os, "fsync", watched_fsync)
    for _ in range(3):
        journal.write("intent", {"path": "/a"})
    assert happened == ["write", "fsync"] * 3


def test_name_of_the_file_is_synced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a journal is open, its name in the folder survives a power cut."""
    synced: list[int] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    Journal.open(str(tmp_path)).close()
    assert os.stat(tmp_path / "runs").st_ino in synced


def test_append_only(journal: Journal) -> None:
    """What is written stays as it is: lines are added at the end, even where someone else added some."""
    journal.write("intent", {"id": "1.1"})
    before = Path(journal.path).read_bytes()
    with open(journal.path, "ab") as other:
        other.write(b'{"event": "note"}\n')
    journal.write("done", {"id": "1.1"})
    after = Path(journal.path).read_bytes()
    assert after.startswith(before + b'{"event": "note"}\n')
    assert [line["event"] for line in lines(journal)] == ["intent", "note", "done"]


def test_every_run_has_its_own_file(tmp_path: Path) -> None:
    """A run never writes into the journal of another one, and leaves it as it is."""
    journals = [Journal.open(str(tmp_path)) for _ in range(5)]
    for number, journal in enumerate(journals):
        journal.write("intent", {"id": str(number)})
        journal.close()
    assert len({journal.path for journal in journals}) == 5
    assert sorted(os.listdir(tmp_path / "runs")) == sorted(os.path.basename(journal.path) for journal in journals)
    assert [line["id"] for journal in journals for line in lines(journal)] == list("01234")


def test_a_name_that_is_taken_is_never_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should two runs ever come by the same name, the second one ends before it touches anything."""
    now = dt.datetime.now(dt.UTC)
    monkeypatch.setattr(write, "dt", SimpleNamespace(UTC=dt.UTC, datetime=SimpleNamespace(now=lambda _: now)))
    first = Journal.open(str(tmp_path))
    first.write("intent", {"id": "1.1"})
    with pytest.raises(StateDirectoryError, match="File exists"):
        Journal.open(str(tmp_path))
    first.close()
    assert [line["id"] for line in lines(first)] == ["1.1"]


def test_names_sort_by_time(tmp_path: Path) -> None:
    """The names of journals, sorted, are in the order of the runs."""
    names = []
    for _ in range(5):
        journal = Journal.open(str(tmp_path))
        names.append(os.path.basename(journal.path))
        journal.close()
    assert names == sorted(names)
    assert all(name.endswith(".jsonl") for name in names)


def test_only_the_user_may_read_it(tmp_path: Path) -> None:
    """The journal names private files, so nobody else may read it, whatever the umask."""
    previous = os.umask(0)
    try:
        journal = Journal.open(str(tmp_path / "state"))
        journal.close()
    finally:
        os.umask(previous)
    assert stat.S_IMODE(os.stat(journal.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(journal.path)).st_mode) == 0o700


@pytest.mark.parametrize("place", ["file", "file/state", "dangling"])
def test_unusable_state_directory_names_the_key(tmp_path: Path, place: str) -> None:
    """Where the state directory can't be made, the message names it, its key, and that nothing was touched."""
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "else")
    directory = str(tmp_path / place)
    with pytest.raises(StateDirectoryError) as caught:
        Journal.open(directory)
    assert directory in str(caught.value)
    assert "state_directory" in str(caught.value)
    assert "nothing was moved or deleted" in str(caught.value)
    assert isinstance(caught.value, ConfigError)
    assert caught.value.exit_code == 3


def test_read_only_state_directory_names_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory on a disk that is mounted read-only is told in the same way."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StateDirectoryError, match=r"Read-only file system.*state_directory"):
        Journal.open(str(tmp_path))


def test_a_file_system_without_locks_names_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some shares are."""

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StateDirectoryError, match=r"No locks available.*state_directory"), acting(str(tmp_path)):
        pass


def test_journals_that_can_not_be_read_are_named(tmp_path: Path, open_folder: Path) -> None:
    """A journal, or the folder of all of them, as another user may have left them."""
    (tmp_path / "runs/20260101.jsonl").mkdir(parents=True)
    with pytest.raises(StateDirectoryError, match=r"20260101.jsonl can't be read \(Is a directory\)"):
        runs(str(tmp_path))
    (open_folder / "runs").mkdir(mode=0)
    with unprivileged(), pytest.raises(StateDirectoryError, match=r"runs can't be read \(Permission denied\)"):
        runs(str(open_folder))


def test_a_full_disk_under_the_lock_names_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even who has the lock can be written."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StateDirectoryError, match=r"No space left.*state_directory"), acting(str(tmp_path)):
        pass
    with pytest.raises(StoreUnavailable, match="No space left"):
        Database.open(str(tmp_path / "signatures.sqlite"))
    monkeypatch.undo()
    with acting(str(tmp_path)):
        Database.open(str(tmp_path / "signatures.sqlite")).close()


def test_full_disk_is_an_error() -> None:
    """A line that can't be made safe is an error, so that no act follows it."""
    journal = Journal("/dev/full", os.open("/dev/full", os.O_WRONLY | os.O_APPEND))
    with pytest.raises(StateDirectoryError, match="No space left"):
        journal.write("intent", {"path": "/a"})
    journal.close()


def test_half_a_line_is_an_error(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes only the first part of a line is full, and that is said."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[: len(data) // 2]))
    with pytest.raises(StateDirectoryError, match="full"):
        journal.write("intent", {"path": "/a"})


def test_failed_sync_is_an_error(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is written but could not be synced does not count."""

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StateDirectoryError, match=f"{os.path.basename(journal.path)} can't be written: Input"):
        journal.write("intent", {"path": "/a"})


@pytest.mark.parametrize("name", ["fsync", "write"])
def test_a_journal_that_can_not_be_begun_holds_no_file_open(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon whose disk is full tries again at every pass, and must not run out of files by that."""
    Journal.open(str(tmp_path)).close()
    before = set(os.listdir("/proc/self/fd"))

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(StateDirectoryError, match="No space left"):
        Journal.open(str(tmp_path))
    assert set(os.listdir("/proc/self/fd")) == before
