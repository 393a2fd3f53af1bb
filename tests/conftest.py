"""What many tests need."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import elastic_server
import pytest
from command import Command
from disks import Disk

pytest_plugins = ["worker_fixtures"]  # those of tests/remote

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what is to run in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


_LONG = ("test_contract", "test_remote", "test_large_groups", "test_faults", "test_elastic", "test_kills")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: two processes share the files, and neither shall end with a long one.

    But what measures a daemon under load comes last, when it has the machine nearly to itself.
    """

    def place(item: pytest.Item) -> int:
        name = item.path.stem
        return _LONG.index(name) if name in _LONG else len(_LONG) + (name == "test_soak")

    items.sort(key=place)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without an Elasticsearch, leave out the tests that need one; said here and not in the fixture, it is one line."""
    marked = item.get_closest_marker("elasticsearch") or item.get_closest_marker("cluster")
    needed = marked or "elasticsearch_url" in getattr(item, "fixturenames", ())
    if needed and (missing := elastic_server.missing()):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no Elasticsearch: {missing}")


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    """The URL of a real Elasticsearch; an index made there is to be deleted at the end of a test."""
    with elastic_server.running() as url:
        yield url


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o777)
    shutil.rmtree(folder)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount something on a new folder until the test ends; the test is skipped where mounting is not permitted."""
    mounted: list[Path] = []

    def do(*options: str, on: Path) -> Path:
        on.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", *options, on], check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting is not permitted here: {done.stderr.splitlines()[0]}")
        mounted.append(on)
        return on

    assert tmp_path.is_dir()
    yield do
    for folder in reversed(mounted):
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than `tmp_path`."""
    for parent in ("/dev/shm", "/run", "/tmp", os.path.expanduser("~"), os.getcwd()):
        if os.path.isdir(parent) and os.access(parent, os.W_OK) and os.stat(parent).st_dev != tmp_path.stat().st_dev:
            folder = Path(tempfile.mkdtemp(dir=parent))
            yield folder
            shutil.rmtree(folder)
            return
    pytest.skip("no second file system to write to")


@pytest.fixture(scope="session")
def btrfs() -> Iterator[Path]:
    """A folder on a file system where files can share bytes (btrfs)."""
    with tempfile.TemporaryDirectory() as folder:
        image, point = Path(folder, "image"), Path(folder, "point")
        point.mkdir()
        with image.open("wb") as file:
            file.truncate(120 << 20)
        made = subprocess.run(["mkfs.btrfs", "-q", image], check=False, capture_output=True) if _has_btrfs() else None
        if made is None or subprocess.run(["mount", "-o", "loop", image, point], check=False).returncode:
            pytest.skip("no btrfs can be made and mounted here (needs root, a loop device and btrfs-progs)")
        yield point
        subprocess.run(["umount", point], check=True)


def _has_btrfs() -> bool:
    return any(os.access(f"{folder}/mkfs.btrfs", os.X_OK) for folder in ("/sbin", "/usr/sbin", "/usr/bin"))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the blocks of the join so small that a few rows fill many of them, in every thread."""
    from py_image_dedup.stores import join, tiles

    for where in (tiles, join):
        monkeypatch.setattr(where, "ROWS", 8)
        monkeypatch.setattr(where, "COLUMNS", 16)
    monkeypatch.setattr(tiles, "_PIECES", ((4, 8),))
    for name, value in (("_LEAST_PART", 1), ("_READ_AT_ONCE", 3), ("_PENDING", 10), ("_CHECKED_AT_ONCE", 7)):
        monkeypatch.setattr(join, name, value)
    monkeypatch.setattr(join, "_YIELDED_AT_ONCE", 5)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """A folder of photos to fill, with a target, a state directory and a trash beside it."""
    made = Disk(os.path.realpath(tmp_path))
    os.mkdir(made.photos)
    return made


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command with a home of its own."""
    return Command(tmp_path / "home")
