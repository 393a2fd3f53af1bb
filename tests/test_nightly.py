"""Nightly runs: the units that systemd gets, and the picture frame that they and its configuration are made for."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pictures
import pytest
from command import Command, Finished
from disks import contents
from programs import need

from bench import frame as frame_bench
from py_image_dedup import cli

CONTRIB = Path(__file__).parent.parent / "contrib"
UNITS = CONTRIB / "systemd"
PROGRAM = "/opt/py-image-dedup/bin/py-image-dedup"
CONFIGURATION = "/etc/py-image-dedup.yaml"
TIMERS = [f"py-image-dedup-run@{often}.timer" for often in ("daily", "weekly", "monthly")]
SERVICES = ["py-image-dedup-run.service", "py-image-dedup-daemon.service"]


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with a program that exists, as `systemd-analyze verify` looks for it."""
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    for unit in folder.glob("*.service"):
        unit.write_text(unit.read_text().replace(PROGRAM, sys.executable))
    return folder


def complaints(units: Path, name: str) -> str:
    """What systemd says of a unit; nothing if there is nothing to say."""
    analyze = need("systemd-analyze", package="systemd")
    done = subprocess.run([analyze, "verify", units / name], check=False, capture_output=True, text=True)
    return done.stderr + (f"exit code {done.returncode}" if done.returncode else "")


def values(unit: Path, key: str) -> list[str]:
    """Return all values of a key that may be given several times."""
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("name", [*SERVICES, *TIMERS])
def test_systemd_takes_every_unit(units: Path, name: str) -> None:
    """Also for the key that `verify` only mumbles about: it is read where it stands for all units."""
    assert complaints(units, name) == ""

    with (units / "py-image-dedup-.service.d/common.conf").open("a") as file:
        file.write("Nicest=yes\n")
    assert "Nicest" in complaints(units, name)


@pytest.mark.parametrize("name", SERVICES)
def test_services_can_do_little(units: Path, name: str) -> None:
    """Systemd's own measure of what a break-in could reach, from 0 to 100."""
    analyze = need("systemd-analyze", package="systemd")
    told: list[str | Path] = [analyze, "security", "--offline=yes", "--no-pager", "--threshold=20", units / name]
    done = subprocess.run(told, check=False, capture_output=True, text=True, env={"SYSTEMD_UNIT_PATH": f"{units}:"})

    assert done.returncode == 0, done.stdout


class Frame:
    """A picture frame: the configuration and the service that are shipped, below another folder than `/home/pi`."""

    def __init__(self, folder: Path) -> None:
        self.home = folder
        self.album, self.aside = folder / "Pictures", folder / "DuplicatePictures"
        self.state = folder / "state/py-image-dedup"
        self.command = Command(folder)
        self.configuration = folder / "frame.yaml"
        text = (CONTRIB / "picture-frame.yaml").read_text()
        self.configuration.write_text(text.replace("/home/pi", str(folder)))
        common = UNITS / "py-image-dedup-.service.d/common.conf"
        given = (line.replace("%S", str(folder / "state")).partition("=") for line in values(common, "Environment"))
        self.environment = {name: value for name, _, value in given}
        self.state.mkdir(parents=True)  # systemd does, for StateDirectory=
        (self.album / "sent").mkdir(parents=True)

    def arguments(self) -> list[str]:
        """Return what the service runs, after the program."""
        (line,) = values(UNITS / "py-image-dedup-run.service", "ExecStart")
        program, *words = shlex.split(line)
        assert program == PROGRAM
        return [str(self.configuration) if word == CONFIGURATION else word for word in words]

    def run(self) -> Finished:
        return self.command.run(*self.arguments(), **self.environment)

    def start(self) -> subprocess.Popen[str]:
        return self.command.start(*self.arguments(), **self.environment)


@pytest.fixture
def frame(tmp_path: Path) -> Frame:
    made = Frame(tmp_path / "pi")
    for seed in range(3):
        pictures.photo(seed, (320, 240)).save(made.album / f"{seed}.jpg", quality=92)
    pictures.photo(0, (160, 120)).save(made.album / "sent/small.jpg", quality=90)
    copy = Path(shutil.copyfile(made.album / "1.jpg", made.album / "sent/1 copy.jpg"))
    os.utime(copy, (1, 1))  # of the same bytes the newer file stays
    return made


def test_a_night_sets_copies_aside_and_loses_nothing(frame: Frame) -> None:
    """Every byte is still there, the better copy in its place, the others below DuplicatePictures."""
    before = contents(str(frame.album))
    night = frame.run()

    assert night.code == 0, night.err
    assert sorted(path.name for path in frame.album.rglob("*.jpg")) == ["0.jpg", "1.jpg", "2.jpg"]
    assert sorted(path.name for path in frame.aside.rglob("*.jpg")) == ["1 copy.jpg", "small.jpg"]
    assert contents(str(frame.album), str(frame.aside)) == before
    assert night.counts["deleted"] == 0


def test_a_night_ends_with_one_line(frame: Frame) -> None:
    """What goes into the log: the acts, and last one line with everything; a quiet night is that line alone."""
    first, second = frame.run(), frame.run()

    last = "5 files: 5 analysed, 0 unchanged, 0 skipped; 2 groups with 2 duplicates; 2 moved."
    assert first.out.splitlines()[-1] == last
    assert "Group" not in first.out
    assert second.out == "3 files: 0 analysed, 3 unchanged, 0 skipped; 0 groups with 0 duplicates; nothing touched.\n"
    assert first.err == second.err == ""


def test_the_line_tells_of_similar_pictures_which_stay(frame: Frame) -> None:
    """They are not among the duplicates, and no night ends without a word of them."""
    frame.run()
    pictures.photo(0, (320, 240)).crop((16, 12, 304, 228)).save(frame.album / "detail.jpg", quality=92)

    last = (
        "4 files: 1 analysed, 3 unchanged, 0 skipped; 1 group with 0 duplicates and 1 similar picture; nothing touched."
    )
    assert frame.run().out.splitlines() == [last]


def test_a_night_can_be_taken_back(frame: Frame) -> None:
    """With the journal that lies in the state directory of the service."""
    before = contents(str(frame.album))
    frame.run()
    undone = frame.command.run("undo", **frame.environment)

    assert undone.code == 0, undone.err
    assert contents(str(frame.album)) == before
    assert {path.name for path in frame.state.iterdir()} >= {"runs", "signatures.sqlite"}


@pytest.fixture
def at_work(frame: Frame) -> Iterator[subprocess.Popen[str]]:
    """A night in the middle of its work, for as long as a test wants."""
    for seed in range(3, 120):
        pictures.photo(seed, (640, 480)).save(frame.album / f"{seed}.jpg", quality=92)
    running = frame.start()
    try:
        database = frame.state / "signatures.sqlite"
        while not database.exists():
            assert running.poll() is None, running.communicate()
        running.send_signal(signal.SIGSTOP)
        yield running
    finally:
        running.send_signal(signal.SIGCONT)
        running.communicate(timeout=60)


def test_nights_do_not_overlap(frame: Frame, at_work: subprocess.Popen[str]) -> None:
    """A run beside another ends with exit code 4 and says why; the first one does its work."""
    second = frame.run()

    assert second.code == 4
    assert f"is in use by another run (process {at_work.pid})" in second.err
    assert not frame.aside.exists()

    at_work.send_signal(signal.SIGCONT)
    out, err = at_work.communicate(timeout=60)
    assert (at_work.returncode, err) == (0, "")
    assert out.endswith("; 2 groups with 2 duplicates; 2 moved.\n")


def test_services_run_commands_that_exist() -> None:
    """Each ExecStart names a command and options of the program."""
    for unit in SERVICES:
        (line,) = values(UNITS / unit, "ExecStart")
        name, *options = shlex.split(line)[1:]
        known = {option for parameter in cli.cli.commands[name].params for option in parameter.opts}
        assert {word for word in options if word.startswith("-")} <= known


def test_the_documentation_names_what_is_there() -> None:
    """Files of contrib, and units, in docs/nightly.md."""
    text = (CONTRIB.parent / "docs/nightly.md").read_text()
    named = set(re.findall(r"py-image-dedup-run@?\w*\.timer|contrib/[\w./-]*[\w-]", text))

    assert TIMERS[0] in named
    assert {one for one in named if one.startswith("py-")} <= set(TIMERS)
    assert all((CONTRIB.parent / one).exists() for one in named if one.startswith("contrib/"))


def test_nights_are_measured_beside_the_script_they_replace(tmp_path: Path) -> None:
    """The benchmark over a small album: every night does what it should, and its figures are in the table."""
    words = ["--pictures", "40", "--cache", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.frame", *words], check=False, capture_output=True, text=True, cwd=CONTRIB.parent
    )

    assert done.returncode == 0, done.stderr
    assert (
        "first night: 40 files: 40 analysed, 0 unchanged, 0 skipped; 2 groups with 2 duplicates; 2 moved."
        in done.stdout
    )
    assert "second night, nothing new: 38 files: 0 analysed, 38 unchanged" in done.stdout
    assert "third night, 10 new pictures: 48 files: 10 analysed, 38 unchanged" in done.stdout
    rows = re.findall(r"^\| ([\w, ]+) \| [\d.]+ \| [\d.]+ \| (\d+) \|$", done.stdout, flags=re.MULTILINE)
    assert [name for name, _ in rows][1:] == [
        "first night",
        "second night, nothing new",
        "third night, 10 new pictures",
    ]
    assert all(0 < int(megabytes) < 150 for _, megabytes in rows)


def test_nights_that_take_too_much_are_named() -> None:
    """A third of the script's CPU, then a hundredth, and 150 MB."""
    script, good = frame_bench.Night("script", 300, 900, ""), frame_bench.Night("first", 99, 149, "")
    later = frame_bench.Night("later", 2.9, 80, "")
    slow, large = replace(later, cpu=3.1), replace(good, megabytes=151)

    assert frame_bench.objections([script, good, later]) == []
    assert frame_bench.objections([script, replace(good, cpu=101), slow]) == [
        "first: 101.00 s of CPU",
        "later: 3.10 s of CPU",
    ]
    assert frame_bench.objections([script, large, later]) == ["first: 151 MB"]
