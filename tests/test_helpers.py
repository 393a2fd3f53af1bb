"""Small files analysed by processes: the same records in the same order, whatever becomes of the processes."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
from command import Command
from deadly import POISON, Deadly
from PIL import Image

import py_image_dedup
from py_image_dedup import analysis, helpers
from py_image_dedup.analysis import Decoder, Limits, LocalAnalyser
from py_image_dedup.helpers import Helpers
from py_image_dedup.model import Cause, Record, Seen, Skipped


def look(path: Path) -> Seen:
    """Return a file as the walker sees it."""
    facts = path.stat()
    return Seen(str(path), facts.st_size, facts.st_mtime_ns)


def analyser(
    *, threads: int = 2, helped: bool = True, describer: Callable[..., Any] | None = None, **options: Any
) -> LocalAnalyser:
    """Return an analyser with helpers."""
    limits = options.setdefault("limits", Limits())
    make = describer or partial(Decoder, max_pixels=limits.max_pixels)
    return LocalAnalyser(origin="here", threads=threads, helpers=partial(Helpers, make) if helped else None, **options)


def comparable(one: Record | Skipped) -> object:
    """Return a record as values that can be compared."""
    if isinstance(one, Skipped) or one.content is None:
        return one if isinstance(one, Skipped) else one.file
    content = one.content
    return one.file, content.hash, content.facts, content.thumbnail.tobytes(), content.signature.tobytes()


def helping() -> list[int]:
    """Return the processes that help this one."""
    found = []
    for children in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        with suppress(OSError):  # the thread or the process is gone by now
            found += [int(one) for one in children.read_text().split() if _helps(int(one))]
    return found


def _helps(pid: int) -> bool:
    return b"py_image_dedup.helpers" in Path(f"/proc/{pid}/cmdline").read_bytes()


def small_files(folder: Path, number: int) -> list[Path]:
    """Write many small pictures, every tenth of them twice."""
    folder.mkdir()
    random = np.random.default_rng(1)
    found = []
    for index in range(number):
        grey = random.integers(0, 256, (9, 9), np.uint8)
        found.append(pictures.write(folder / f"{index:04}.jpg", Image.fromarray(grey).resize((96, 96))))
        if index % 10 == 0:
            found.append(folder / f"{index:04} again.jpg")
            found[-1].write_bytes(found[-2].read_bytes())
    return found


@pytest.fixture
def album(tmp_path: Path) -> list[Path]:
    """Pictures of all formats, a small file of many pixels, a large one, broken ones and one that is gone."""
    found = [pictures.write(tmp_path / f"{name}.jpg", pictures.photo(1), name) for name in pictures.ENCODINGS]
    found.append(pictures.write(tmp_path / "flat.png", Image.new("RGB", (3000, 2000)), "PNG"))
    found.append(pictures.write(tmp_path / "large.bmp", pictures.photo(2), "BMP"))
    found += small_files(tmp_path / "small", 80)
    for name, data in {"empty.jpg": b"", "text.jpg": b"a text", "half.jpg": found[-1].read_bytes()[:900]}.items():
        (tmp_path / name).write_bytes(data)
        found.append(tmp_path / name)
    return found


@pytest.fixture(autouse=True)
def from_the_first(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Helpers take small files from the first on, and none is left when a test ends."""
    monkeypatch.setattr(analysis, "_ENOUGH", 0)
    yield
    assert not helping()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_helpers_find_the_same(album: list[Path], threads: int) -> None:
    """Records, reasons and their order are those of threads."""
    seen = [*map(look, album), Seen(str(album[0].with_name("gone.jpg")), 10, 10)]
    assert sum(one.size > analysis._SMALL for one in seen) >= 1
    expected = list(map(comparable, analyser(helped=False).analyse(seen)))
    assert list(map(comparable, analyser(threads=threads).analyse(seen))) == expected
    assert len(expected) == len(seen)


def test_helpers_come_only_to_many(album: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """For a few files no process is started; only small ones count."""
    small = sum(path.stat().st_size <= analysis._SMALL for path in album)
    for enough, started in ((small, False), (small - 1, True)):
        monkeypatch.setattr(analysis, "_ENOUGH", enough)
        asked: list[object] = []
        ask = helpers._Helper.ask
        monkeypatch.setattr(helpers._Helper, "ask", lambda *what, ask=ask, to=asked: (to.append(what), ask(*what))[1])
        assert len(list(analyser().analyse(map(look, album)))) == len(album)
        assert bool(asked) is started
        monkeypatch.undo()


def test_known_content_is_not_described(album: list[Path]) -> None:
    """Helpers ask whether a content is known: what was only moved costs a hash, not a decode."""
    asked = []

    def known(content: str) -> bool:
        asked.append(content)
        return True

    album[-1].write_bytes(POISON)
    found = list(analyser(known=known, describer=Deadly).analyse(map(look, album)))
    assert all(isinstance(one, Record) and one.content is None and not one.file.problem for one in found)
    assert sorted(asked) == sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in album)


def test_large_pictures_are_given_back(album: list[Path]) -> None:
    """A helper takes no picture that needs much memory, nor skips a file for good: both are for its asker."""
    by_helpers = Helpers(partial(Decoder, max_pixels=10**8), origin="here", limits=Limits())
    try:
        flat, gone, fine = look(album[9]), Seen(str(album[0].with_name("gone.jpg")), 10, 10), look(album[20])
        back = by_helpers.analyse([flat, gone, fine])
    finally:
        by_helpers.close()
    assert back[:2] == [flat, gone]
    assert isinstance(back[2], Record)


def test_a_helper_that_is_killed_loses_nothing(album: list[Path]) -> None:
    """Kill helpers again and again: all records come, in order."""
    seen = list(map(look, album)) * 12
    expected = list(map(comparable, analyser(helped=False).analyse(seen)))
    killed = 0
    done = threading.Event()

    def kill() -> None:
        nonlocal killed
        while not done.wait(0.4):
            for pid in helping():
                os.kill(pid, signal.SIGKILL)
                killed += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        found = list(map(comparable, analyser().analyse(seen)))
    finally:
        done.set()
        killer.join()
    ended = [one for one in found if isinstance(one, Skipped)]
    assert all("ended the process" in one.reason for one in ended), "killed twice at one file, as one that kills"
    assert [one for one in found if one not in ended] == [
        one for one, mine in zip(expected, found, strict=True) if mine not in ended
    ]
    assert killed
    assert len(ended) <= killed / 2


def test_a_file_that_ends_processes_is_skipped(album: list[Path], tmp_path: Path) -> None:
    """A file on which a decoder crashes costs that file alone, and is told."""
    deadly = tmp_path / "deadly.jpg"
    deadly.write_bytes(POISON)
    seen = [*map(look, album[20:30]), look(deadly), *map(look, album[30:60])]
    found = list(analyser(describer=Deadly).analyse(seen))
    assert found.pop(10) == Skipped(str(deadly), "ended the process that was to read it: signal 11", Cause.UNREADABLE)
    assert all(isinstance(one, Record) and one.content for one in found)


@pytest.mark.parametrize("interpreter", ["/nowhere/python", "/bin/false", "/bin/echo", ""])
def test_without_processes_threads_do_it(album: list[Path], interpreter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no helper can be started, as in a program frozen into one file, nothing is missing."""
    expected = list(map(comparable, analyser(helped=False).analyse(map(look, album))))
    monkeypatch.setattr(sys, "executable", interpreter)
    assert list(map(comparable, analyser().analyse(map(look, album)))) == expected


def test_closing_early_ends_the_helpers(album: list[Path]) -> None:
    """Who stops reading gets threads and processes back at once."""
    found = analyser(threads=4).analyse(map(look, album * 40))
    next(found)
    assert helping()
    started = time.monotonic()
    found.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < 2
    assert not helping()


def test_helpers_go_with_who_started_them(tmp_path: Path) -> None:
    """When the program is killed, its helpers end by themselves."""
    script = tmp_path / "asker.py"
    script.write_text(
        "import sys, time\nfrom functools import partial\n"
        "from py_image_dedup.analysis import Decoder, Limits\nfrom py_image_dedup.helpers import Helpers\n"
        "helpers = Helpers(partial(Decoder, max_pixels=10**8), origin='', limits=Limits())\n"
        "helpers.analyse([])\nprint(helpers._helpers[0]._process.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as asker:
        assert asker.stdout is not None
        pid = int(asker.stdout.readline())
        assert _helps(pid)
        asker.kill()
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < end, "a helper outlives who started it"
        time.sleep(0.05)


def test_command_and_library_with_helpers(tmp_path: Path) -> None:
    """Of 1,320 small files both find all copies, interrupted and gone on with or in one go; nothing is left over."""
    small_files(tmp_path / "album", 1200)
    command = Command(tmp_path / "home")
    run = command.run("deduplicate", tmp_path / "album")
    assert (run.code, run.counts["analysed"], run.counts["duplicates"], run.err) == (0, 1320, 120, "")
    found = py_image_dedup.search(py_image_dedup.build(tmp_path / "album", show_progress=False), show_progress=False)
    assert len(found.lower_quality) == 120
