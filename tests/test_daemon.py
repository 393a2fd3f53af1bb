"""The daemon as a process: what it does by itself, and that it bears what happens to it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pictures
import pytest
from command import Command
from daemons import Daemon
from disks import contents

from py_image_dedup.stores.sqlite import SqliteStore

SETTLED = 1.0  # seconds; what daemons.Daemon sets


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four different pictures."""
    folder = tmp_path / "photos"
    for seed in range(4):
        pictures.write(folder / f"{seed}.jpg", pictures.photo(seed))
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def acting(command: Command, photos: Path, target: Path, **settings: object) -> Daemon:
    """A daemon that moves duplicates."""
    moving = {"dry_run": "false", "deduplication__duplicates_target_directory": str(target)}
    return Daemon(command, photos, **moving | settings)


def recorded(command: Command, folder: Path) -> dict[str, str]:
    """What the store holds, once the daemon has let go of it: contents by path."""
    database = command.home / ".local/share/py-image-dedup/signatures.sqlite"
    store = SqliteStore.open(str(database), origin="test")
    try:
        return {file.path: file.content for file in store.files([str(folder)])}
    finally:
        store.close()


@pytest.mark.parametrize("observer", ["inotify", "polling"])
def test_a_copy_is_acted_on(command: Command, photos: Path, target: Path, observer: str) -> None:
    """A copy that comes, or came while nobody watched, goes to the target, and can be taken back."""
    shutil.copy(photos / "0.jpg", photos / "0 copy.jpg")
    with acting(command, photos, target, daemon__file_observer=observer) as daemon:
        daemon.wait_until_ready()
        moved = target / str(photos)[1:]
        daemon.wait_for((moved / "0.jpg").exists)
        pictures.write(photos / "sub" / "1 small.jpg", pictures.scaled(pictures.photo(1), 50))
        daemon.wait_for((moved / "sub" / "1 small.jpg").exists)
        daemon.wait_for(lambda: daemon.metric("acts_total", action="move", result="done") == 2)
        assert daemon.metric("freed_bytes_total") > 0
        daemon.wait_for_words("1 small.jpg: moved to")
        assert daemon.leave() == 0
    assert command.run("undo").code == 0
    assert (photos / "sub" / "1 small.jpg").exists()


def test_nothing_is_touched_in_a_dry_run(command: Command, photos: Path, target: Path) -> None:
    """As everywhere it is the default; what would be done is told."""
    shutil.copy(photos / "0.jpg", photos / "0 copy.jpg")
    with Daemon(command, photos, deduplication__duplicates_target_directory=str(target)) as daemon:
        daemon.wait_until_ready()
        shutil.copy(photos / "1.jpg", photos / "1 copy.jpg")
        daemon.wait_for_words(r"1\.jpg: move \(dry run\): duplicate of .*1 copy\.jpg")
        assert daemon.leave() == 0
    assert not target.exists()
    assert len(os.listdir(photos)) == 6


def test_no_file_is_read_half_written(command: Command, photos: Path) -> None:
    """A file that is written slowly, with pauses longer than files have to be still, is read when it is closed."""
    whole = pictures.encode(pictures.photo(9))
    renamed = photos / "renamed.tmp"
    with Daemon(command, photos) as daemon:
        daemon.wait_until_ready()
        with (photos / "slow.jpg").open("wb") as slow, renamed.open("wb") as other:
            for start in range(0, len(whole), len(whole) // 3 + 1):
                for file in (slow, other):
                    file.write(whole[start : start + len(whole) // 3 + 1])
                    file.flush()
                time.sleep(SETTLED + 0.7)
            assert daemon.metric("files_analysed_total") == 4
            assert daemon.metric("files_waiting") == 1
        renamed.rename(photos / "renamed.jpg")
        daemon.wait_for(lambda: daemon.metric("files_analysed_total") == 6)
        assert "skipped" not in daemon.text().replace("0 skipped", "")
        daemon.leave()


def test_a_start_leaves_what_is_still_written(command: Command, photos: Path) -> None:
    """Files that changed a moment ago, or are open, are left out of the first pass and looked at later."""
    old = time.time() - 100
    for path in photos.iterdir():
        os.utime(path, (old, old))
    with (photos / "open.jpg").open("wb") as file:
        file.write(pictures.encode(pictures.photo(9)))
        file.flush()
        os.utime(photos / "open.jpg", (old, old))
        pictures.write(photos / "young.jpg", pictures.photo(10))
        soon = time.time() + 3  # by a clock that is ahead, as on another machine
        os.utime(photos / "young.jpg", (soon, soon))
        with Daemon(command, photos, daemon__processing_timeout="6s") as daemon:
            daemon.wait_for_words("Everything: 6 files, 4 analysed")
            daemon.wait_for(lambda: daemon.metric("files_analysed_total") == 5)
            file.close()
            daemon.wait_for(lambda: daemon.metric("files_analysed_total") == 6)
            daemon.leave()


def test_the_store_follows_the_disk(command: Command, photos: Path) -> None:
    """Renamed, moved and deleted files, and folders, are recorded where they are now, without being decoded again."""
    with Daemon(command, photos) as daemon:
        daemon.wait_until_ready()
        daemon.wait_for(lambda: daemon.metric("files_analysed_total") == 4)
        (photos / "album").mkdir()
        (photos / "0.jpg").rename(photos / "album" / "0.jpg")
        (photos / "1.jpg").rename(photos / "one.jpg")
        (photos / "2.jpg").unlink()
        daemon.wait_for(lambda: daemon.metric("files_removed_total") == 3)
        (photos / "album").rename(photos / "book")
        daemon.wait_for(lambda: daemon.metric("files_removed_total") == 4)
        daemon.wait_for(lambda: daemon.metric("files_waiting") == 0)
        assert daemon.metric("files_decoded_total") == 4
        assert daemon.leave() == 0
    assert set(recorded(command, photos)) == {str(photos / name) for name in ("book/0.jpg", "one.jpg", "3.jpg")}


def test_waits_while_the_store_is_away(command: Command, photos: Path, target: Path) -> None:
    """Another run may have the database for a while: the daemon says so, collects, and loses nothing."""
    with acting(command, photos, target) as daemon:
        daemon.wait_until_ready()
        lock = os.open(command.home / ".local/share/py-image-dedup/signatures.sqlite.lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.copy(photos / "0.jpg", photos / "0 copy.jpg")
        daemon.wait_for_words(r"in use by another run.*tried again in 2 s", 15)
        shutil.copy(photos / "1.jpg", photos / "1 copy.jpg")
        code, why = daemon.get("/readyz")
        assert (code, "in use" in why) == (503, True)
        assert daemon.get("/healthz") == (200, "ok\n")
        assert daemon.metric("retrying") == 1
        os.close(lock)
        daemon.wait_for(lambda: daemon.metric("acts_total", action="move", result="done") == 2)
        daemon.wait_until_ready()
        assert daemon.metric("retrying") == 0
        daemon.leave()


def test_other_commands_have_the_store_in_between(command: Command, photos: Path) -> None:
    """The database is free whenever the daemon does not work."""
    with Daemon(command, photos) as daemon:
        daemon.wait_until_ready()
        daemon.wait_for(lambda: daemon.metric("files_waiting") == 0)
        assert "unrelated" in command.run("explain", photos / "0.jpg", photos / "1.jpg").out
        daemon.leave()


def test_a_disk_that_is_gone_is_no_reason_to_forget(
    command: Command, photos: Path, mount: Callable[..., Path], tmp_path: Path
) -> None:
    """While a source folder is not mounted nothing is done; when it is back, work goes on, with all that was known."""
    disk = mount("-t", "tmpfs", "tmpfs", on=tmp_path / "disk")
    keep = tmp_path / "keep"
    for folder in (disk, keep):
        shutil.copytree(photos, folder, dirs_exist_ok=True)
    with Daemon(command, disk, photos) as daemon:
        daemon.wait_until_ready()
        daemon.wait_for(lambda: daemon.metric("files_analysed_total") == 8)
        decoded = daemon.metric("files_decoded_total")
        subprocess.run(["umount", disk], check=True)
        shutil.copy(photos / "0.jpg", photos / "copy.jpg")
        daemon.wait_for(lambda: daemon.metric("folders_lost") == 1)
        code, why = daemon.get("/readyz")
        assert (code, why) == (503, f"{disk} is not there\n")
        time.sleep(2 * SETTLED)
        assert daemon.metric("files_removed_total") == 0
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
        shutil.copytree(keep, disk, dirs_exist_ok=True)
        daemon.wait_until_ready()
        daemon.wait_for(lambda: daemon.metric("files_analysed_total") >= 9 and daemon.metric("files_waiting") == 0)
        assert daemon.metric("files_removed_total") == 0
        assert daemon.metric("files_decoded_total") == decoded
        daemon.leave()


def test_leaves_in_time_in_the_middle_of_its_acts(command: Command, photos: Path, target: Path) -> None:
    """Asked to end while it moves many files it ends between two of them, and the next start takes up from there."""
    small = pictures.encode(pictures.photo(20, (64, 48)))
    for number in range(700):
        (photos / f"copy {number:04}.jpg").write_bytes(small)
    before = contents(str(photos))
    with acting(command, photos, target) as daemon:
        daemon.wait_for(lambda: daemon.metric("acts_total", action="move", result="done") > 20)
        began = time.monotonic()
        assert daemon.leave() == 0
        assert time.monotonic() - began < 7  # it would be cut off after 8
        assert "Cut off" in daemon.text()
    left = len(os.listdir(photos))
    assert 5 < left < 700
    assert contents(str(photos), str(target)) == before
    assert len(list(target.rglob("*.jpg"))) + left == 704
    with acting(command, photos, target) as daemon:
        daemon.wait_for(lambda: len(os.listdir(photos)) == 5, 60)
        daemon.leave()
    assert len(list(target.rglob("*.jpg"))) == 699


def test_reads_its_configuration_again(command: Command, photos: Path, target: Path, tmp_path: Path) -> None:
    """On SIGHUP: a bad one is refused and the old one stays; a good one holds from then on."""
    more = tmp_path / "more"
    more.mkdir()
    with Daemon(command, photos) as daemon:
        daemon.wait_until_ready()
        daemon.configure(daemon__file_observer="telepathy")
        daemon.hang_up()
        daemon.wait_for_words("The configuration stays as it was: .*file_observer")
        daemon.configure(
            daemon__file_observer="polling",
            analysis__source_directories=[str(photos), str(more)],
            dry_run="false",
            deduplication__duplicates_target_directory=str(target),
        )
        daemon.hang_up()
        daemon.wait_for(lambda: daemon.text().count("Everything:") == 2)
        shutil.copy(photos / "0.jpg", more / "0.jpg")
        daemon.wait_for(lambda: list(target.rglob("0.jpg")))
        assert daemon.metric("passes_total", kind="everything", result="done") == 2
        assert daemon.leave() == 0


def test_everything_is_gone_through_on_a_schedule(command: Command, photos: Path) -> None:
    """As often as configured."""
    with Daemon(command, photos, daemon__full_pass_interval="2s") as daemon:
        daemon.wait_for(lambda: daemon.text().count("Everything:") == 3)
        daemon.leave()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_leaves_when_it_has_nothing_to_do(command: Command, photos: Path, number: signal.Signals) -> None:
    """At once, and without an error."""
    with Daemon(command, photos) as daemon:
        daemon.wait_until_ready()
        daemon.process.send_signal(number)
        assert daemon.process.wait(3) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"deduplication__action": "delete", "dry_run": "false"}, "delete_without_asking"),
        ({"analysis__source_directories": []}, "no folder to work on"),
        ({"stats__host": "192.0.2.1"}, "stats.host"),
    ],
)
def test_refuses_to_start(command: Command, photos: Path, settings: dict[str, object], message: str) -> None:
    """What it can't do, or must not do unasked, is said at once."""
    daemon = Daemon(command, photos, **settings)
    daemon.configure()
    done = command.run("daemon")
    assert done.code in {2, 3}
    assert message in done.err
    assert done.err.count("\n") == 1


def test_two_can_not_have_the_same_port(command: Command, photos: Path) -> None:
    """The second one says which keys to change."""
    with Daemon(command, photos) as daemon:
        daemon.wait_until_ready()
        done = command.run("daemon")
        assert (done.code, "stats.port" in done.err) == (3, True)
        daemon.leave()


def test_logs_as_json(command: Command, photos: Path, target: Path) -> None:
    """Every line is an object with time, level and message; acts have path, action and result besides."""
    with acting(command, photos, target, log__format="json") as daemon:
        daemon.wait_until_ready()
        daemon.configure(dry_run="perhaps")
        daemon.hang_up()
        shutil.copy(photos / "0.jpg", photos / "odd\udcff\n.jpg")
        daemon.wait_for_words("Changes: .*1 moved")
        daemon.leave()
    lines = [json.loads(line) for line in daemon.lines]
    assert all({"time", "level", "message"} <= line.keys() for line in lines)
    assert {line["level"] for line in lines} == {"info", "warning"}
    (act,) = [line for line in lines if "action" in line]
    assert (act["action"], act["result"]) == ("move", "done")
    assert os.path.dirname(act["path"]) == str(photos)


def test_a_page_that_does_not_exist(command: Command, photos: Path) -> None:
    """It tells which there are; without stats there are none."""
    with Daemon(command, photos) as daemon:
        daemon.wait_until_ready()
        code, text = daemon.get("/")
        assert (code, "/metrics, /healthz, /readyz and /status" in text) == (404, True)
        daemon.leave()
    with Daemon(command, photos, stats__enabled="false") as daemon:
        daemon.wait_for_words("Everything:")
        assert daemon.get("/metrics") == (0, "")
        daemon.leave()
