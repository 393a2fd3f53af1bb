"""From files to records: the same for any number of threads, with a reason where there is none, in bounded memory."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from py_image_dedup import analysis, files, images, signature
from py_image_dedup.analysis import Decoder, Limits, LocalAnalyser, MemoryBudget
from py_image_dedup.errors import NotNow
from py_image_dedup.model import Record, Seen, Skipped

NOBODY = 65534


def look(path: str | Path) -> Seen:
    """Return a file as the walker sees it."""
    facts = os.stat(path)
    return Seen(str(path), facts.st_size, facts.st_mtime_ns)


def analyser(
    *, threads: int = 2, known: Callable[[str], bool] = lambda _: False, limits: Limits | None = None
) -> LocalAnalyser:
    """Return an analyser of the origin "here"."""
    return LocalAnalyser(origin="here", threads=threads, limits=limits or Limits(), known=known)


def analyse(*paths: str | Path, **options: Any) -> list[Record | Skipped]:
    """Analyse files as they are now."""
    return list(analyser(**options).analyse(map(look, paths)))


def record(found: Sequence[Record | Skipped]) -> Record:
    """Return the one record."""
    (one,) = found
    assert isinstance(one, Record), one
    return one


def reason(found: Sequence[Record | Skipped]) -> str:
    """Return the reason of the one file that was skipped."""
    (one,) = found
    assert isinstance(one, Skipped), one
    return one.reason


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def analysing_threads() -> int:
    """Count the threads of analysers that are alive."""
    return sum(thread.name.startswith("analyse") for thread in threading.enumerate())


@pytest.fixture
def album(tmp_path: Path) -> list[Path]:
    """Pictures of all formats, copies, broken files and an empty one."""
    found = [pictures.write(tmp_path / f"{name}.jpg", pictures.photo(1), name) for name in pictures.ENCODINGS]
    found += [pictures.write(tmp_path / f"{seed}.jpg", pictures.photo(seed)) for seed in range(12)]
    for name, data in {"empty.jpg": b"", "text.jpg": b"a text", "half.jpg": found[-1].read_bytes()[:5000]}.items():
        (tmp_path / name).write_bytes(data)
        found.append(tmp_path / name)
    return found


def test_a_record_holds_file_and_content(tmp_path: Path) -> None:
    """A record has the file as it was seen, its hash, the facts, the thumbnail and the signature of the picture."""
    path = pictures.write(tmp_path / "a.jpg", pictures.photo(1))
    found = record(analyse(path))
    assert found.file.origin == "here"
    assert found.file.unchanged(look(path))
    assert (found.file.path, found.file.problem, found.file.reader) == (str(path), "", "")
    assert found.file.content == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.content is not None
    assert found.content.hash == found.file.content
    with path.open("rb") as file:
        picture = images.read(file, max_pixels=10**9)
    assert found.content.facts == picture.facts
    np.testing.assert_array_equal(found.content.thumbnail, picture.thumbnail)
    np.testing.assert_array_equal(found.content.signature, signature.goldberg(picture.grey))


@pytest.mark.parametrize("threads", [2, 4, 16])
def test_records_do_not_depend_on_threads(album: list[Path], threads: int) -> None:
    """One thread and many give the same records in the same order."""

    def comparable(one: Record | Skipped) -> object:
        if isinstance(one, Skipped):
            return one
        content = one.content
        if content is None:
            return one.file
        return one.file, content.hash, content.facts, content.thumbnail.tobytes(), content.signature.tobytes()

    alone = list(map(comparable, analyse(*album, threads=1)))
    assert list(map(comparable, analyse(*album, threads=threads))) == alone
    assert len(alone) == len(album)


def test_known_content_is_not_decoded(album: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Content that the store already holds costs a hash, not a decode."""
    asked: list[str] = []

    def known(content: str) -> bool:
        asked.append(content)
        return True

    def read(*_: object, **__: object) -> images.Picture:
        raise AssertionError("decoded")

    monkeypatch.setattr(images, "read", read)
    found = analyse(*album, known=known)
    assert all(isinstance(one, Record) and one.content is None and not one.file.problem for one in found)
    assert sorted(asked) == sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in album)


def test_broken_files_are_remembered_with_their_reader(tmp_path: Path) -> None:
    """A broken file is a record that says why it can't be read and who tried, and has no content."""
    path = tmp_path / "a.jpg"
    path.write_bytes(b"a text")
    found = record(analyse(path))
    assert found.content is None
    assert found.file.problem == "not a picture in a supported format"
    assert found.file.reader == images.reader(Limits().max_pixels)
    assert found.file.content == hashlib.sha256(b"a text").hexdigest()
    assert found.file.unchanged(look(path))


def test_problems_that_may_pass_are_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that can't be read now is skipped, so that the next run tries again."""

    def read(*_: object, **__: object) -> images.Picture:
        raise NotNow("not enough memory to decode it")

    monkeypatch.setattr(images, "read", read)
    assert reason(analyse(pictures.write(tmp_path / "a.jpg", pictures.photo(1)))) == "not enough memory to decode it"


def test_tiny_pictures_have_no_signature(tmp_path: Path) -> None:
    """Below 16 pixels on one side a picture says too little: it has content, but no direction to compare."""
    for width, height, has_one in ((15, 400, False), (400, 15, False), (1, 1, False), (16, 400, True)):
        path = pictures.write(tmp_path / f"{width}x{height}.png", pictures.photo(1, (width, height)), "PNG")
        content = record(analyse(path)).content
        assert content is not None
        assert bool(content.signature.any()) is has_one


@pytest.mark.parametrize("threads", [1, 4])
def test_vanished_and_swapped_files_are_skipped(tmp_path: Path, threads: int) -> None:
    """What went, or became a link, FIFO or folder since it was seen is named with the reason; the rest is recorded."""
    paths = [pictures.write(tmp_path / f"{name}.jpg", pictures.photo(1)) for name in ("gone", "link", "fifo", "ok")]
    paths.append(pictures.write(tmp_path / "folder.jpg", pictures.photo(1)))
    as_seen = list(map(look, paths))
    for path in paths:
        if path.name != "ok.jpg":
            path.unlink()
    paths[1].symlink_to("ok.jpg")
    os.mkfifo(paths[2])
    paths[4].mkdir()
    found = list(analyser(threads=threads).analyse(as_seen))
    reasons = [one.reason if isinstance(one, Skipped) else "recorded" for one in found]
    assert reasons == [
        "can't be read: No such file or directory",
        "can't be read: Too many levels of symbolic links",
        "can't be read: not a regular file",
        "recorded",
        "can't be read: Is a directory",
    ]


def test_files_without_permission_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read is skipped with the reason."""
    path = pictures.write(tmp_path / "a.jpg", pictures.photo(1))
    path.chmod(0)
    if os.geteuid() == 0:  # whom permissions do not stop

        def refused(*_: object) -> int:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(os, "open", refused)
    assert reason(analyse(path)) == "can't be read: Permission denied"


def test_files_that_are_too_large_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file above the limit is named with its size and the key, unread; one at the limit is read."""
    path = pictures.write(tmp_path / "a.jpg", pictures.photo(1))
    with path.open("ab") as file:
        file.truncate(100 << 30)
    monkeypatch.setattr(files, "open_regular", lambda _: pytest.fail("opened"))
    assert reason(analyse(path)) == "107374 MB are more than analysis.max_file_size allows"
    monkeypatch.undo()
    path = pictures.write(tmp_path / "b.jpg", pictures.photo(1))
    assert record(analyse(path, limits=Limits(max_file_size=path.stat().st_size))).content
    assert "analysis.max_file_size" in reason(analyse(path, limits=Limits(max_file_size=path.stat().st_size - 1)))


def test_pictures_of_too_many_pixels_are_remembered_as_such(tmp_path: Path) -> None:
    """The limit of pixels is handed to the decoder."""
    path = pictures.write(tmp_path / "a.jpg", pictures.photo(1))
    assert "megapixels" in record(analyse(path, limits=Limits(max_pixels=320 * 240 - 1))).file.problem


Change = Callable[[Path], None]


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replaced(path: Path) -> None:
    pictures.write(path.with_suffix(".new"), pictures.photo(2)).replace(path)


def touched(path: Path) -> None:
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("held", [64 << 20, 0], ids=["small", "large"])
@pytest.mark.parametrize("change", [appended, replaced, touched, Path.unlink])
@pytest.mark.parametrize("when", ["before", "while decoding"])
def test_files_that_change_while_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int, change: Change, when: str
) -> None:
    """A file that changes between being seen and being done is skipped: its record would be of neither state."""
    monkeypatch.setattr(analysis, "_HELD_IN_MEMORY", held)
    path = pictures.write(tmp_path / "a.jpg", pictures.photo(1))
    seen = look(path)
    if when == "before":
        change(path)
    else:
        read = images.read

        def changing(*arguments: Any, **options: Any) -> images.Picture:
            change(path)
            return read(*arguments, **options)

        monkeypatch.setattr(images, "read", changing)
    found = reason(list(analyser().analyse([seen])))
    assert found in {"changed while it was read", "can't be read: No such file or directory"}


def test_a_file_that_grew_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that became huge since it was seen costs no more memory than it did when it was seen."""
    path = pictures.write(tmp_path / "a.jpg", pictures.photo(1))
    seen = look(path)
    with path.open("ab") as file:
        file.truncate(100 << 30)
    asked: list[int] = []
    open_regular = files.open_regular

    @contextmanager
    def watched(path: str) -> Iterator[BufferedReader]:
        with open_regular(path) as file:

            class Watched:
                def read(self, size: int = -1) -> bytes:
                    asked.append(size)
                    return file.read(size)

            yield Watched()  # type: ignore[misc]

    monkeypatch.setattr(files, "open_regular", watched)
    assert reason(list(analyser().analyse([seen]))) == "changed while it was read"
    assert asked == [seen.size + 1]


def test_large_files_are_not_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file above the size that is held in memory gives the same record."""
    path = pictures.write(tmp_path / "a.png", pictures.photo(1), "PNG")
    small = record(analyse(path))
    monkeypatch.setattr(analysis, "_HELD_IN_MEMORY", 0)
    large = record(analyse(path))
    assert large.file == small.file
    assert large.content is not None
    assert small.content is not None
    np.testing.assert_array_equal(large.content.signature, small.content.signature)


# Threads


def test_closing_early_ends_the_threads(tmp_path: Path) -> None:
    """When the reader stops, the threads end, and files further on are not touched."""
    paths = [pictures.write(tmp_path / f"{seed}.jpg", pictures.photo(seed)) for seed in range(40)]
    taken: list[Seen] = []

    def source() -> Iterator[Seen]:
        for path in paths:
            taken.append(look(path))
            yield taken[-1]

    found = analyser(threads=3).analyse(source())
    assert isinstance(next(found), Record)
    assert analysing_threads() > 0
    found.close()  # type: ignore[attr-defined]  # it is a generator
    assert analysing_threads() == 0
    assert len(taken) < 20


def test_no_thread_is_left_after_the_end(album: list[Path]) -> None:
    """A run to the end leaves no thread; an analyser that is never read starts none."""
    analyser().analyse(map(look, album))
    assert analysing_threads() == 0
    analyse(*album)
    assert analysing_threads() == 0


def test_errors_of_the_source_come_through(tmp_path: Path) -> None:
    """An error while listing files reaches the reader and leaves no thread."""
    path = pictures.write(tmp_path / "a.jpg", pictures.photo(1))

    def source() -> Iterator[Seen]:
        yield look(path)
        raise RuntimeError("listing failed")

    with pytest.raises(RuntimeError, match="listing failed"):
        list(analyser().analyse(source()))
    assert analysing_threads() == 0


@pytest.mark.parametrize("threads", [1, 4])
def test_work_stays_a_few_files_ahead_of_the_reader(tmp_path: Path, threads: int) -> None:
    """However slow the reader, only a few files per thread are taken ahead of it."""
    path = pictures.write(tmp_path / "a.jpg", pictures.photo(1, (32, 32)))
    seen = look(path)
    taken = 0

    def source() -> Iterator[Seen]:
        nonlocal taken
        for _ in range(300):
            taken += 1
            yield seen

    for read, _ in enumerate(analyser(threads=threads).analyse(source())):
        assert taken - read <= 4 * threads + 1
    assert taken == 300


def test_memory_stays_bounded(tmp_path: Path) -> None:
    """Many files take no more memory than a few."""
    paths = [pictures.write(tmp_path / f"{seed}.jpg", pictures.photo(seed, (1600, 1200))) for seed in range(4)]

    def most(times: int) -> int:
        found = analyser(threads=4).analyse(look(path) for _ in range(times) for path in paths)
        return max(resident() for _ in found)

    few = most(5)
    assert most(60) - few < 20 << 20


def test_decodes_share_one_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decodes that would together exceed the budget run one after the other."""
    paths = [pictures.write(tmp_path / f"{seed}.png", pictures.photo(seed), "PNG") for seed in range(8)]
    running = most = 0
    lock = threading.Lock()
    decode = images._decode

    def counted(image: Any) -> images.Picture:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        try:
            return decode(image)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(images, "_decode", counted)
    asked: list[int] = []

    def reserve(size: int) -> AbstractContextManager[None]:
        asked.append(size)
        return nullcontext()

    with paths[0].open("rb") as file:
        images.read(file, max_pixels=10**6, reserve=reserve)
    most = 0
    budget = MemoryBudget(2 * asked[0])
    found = LocalAnalyser(
        origin="here", threads=8, limits=Limits(), describer=Decoder(max_pixels=Limits().max_pixels, budget=budget)
    ).analyse(map(look, paths))
    assert all(isinstance(one, Record) for one in found)
    assert most == 2


# The budget


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 250), min_size=1, max_size=40), st.integers(1, 8))
def test_budget_is_never_exceeded(sizes: list[int], threads: int) -> None:
    """Whatever is asked for, what is held never exceeds the budget, larger than all of it runs alone, all get on."""
    budget = MemoryBudget(100)
    held: list[int] = []
    lock = threading.Lock()
    broken: list[str] = []

    def use(size: int) -> None:
        with budget.reserve(size):
            with lock:
                held.append(size)
                if sum(held) > 100 and len([one for one in held if one]) > 1:
                    broken.append(f"{held} side by side")
            time.sleep(0)
            with lock:
                held.remove(size)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(use, size) for size in sizes]:
            done.result(timeout=20)
    assert not broken
    assert budget._taken == 0


def test_budget_is_given_back_after_an_error() -> None:
    """A decode that fails gives its memory back."""
    budget = MemoryBudget(100)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"), budget.reserve(100):
            raise ValueError("broken")
    with budget.reserve(100):
        pass


def test_budget_makes_wait() -> None:
    """Who does not fit waits until others are done."""
    budget = MemoryBudget(100)
    entered = threading.Event()

    def second() -> None:
        with budget.reserve(60):
            entered.set()

    thread = threading.Thread(target=second)
    with budget.reserve(60):
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(5)
    thread.join()
