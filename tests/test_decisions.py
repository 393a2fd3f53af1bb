"""What a person has said of pictures holds from then on, whatever happens to the file it is written in."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from py_image_dedup import decisions
from py_image_dedup.decisions import Named
from py_image_dedup.errors import StateDirectoryError, UsageError
from py_image_dedup.model import Decisions


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three files, two of them with the same bytes."""
    folder = tmp_path / "album"
    folder.mkdir()
    for name, data in (("a", b"one"), ("a copy", b"one"), ("b", b"two"), ("c", b"three")):
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


def log(state: str) -> Path:
    return Path(state) / "decisions.jsonl"


def kept(state: str) -> set[str]:
    """Return the names of what is kept."""
    return {os.path.basename(path) for paths in decisions.read(state).kept.values() for path in paths}


def apart(state: str) -> set[tuple[str, ...]]:
    """Return the names of what was told apart, in pairs."""
    return {tuple(sorted(map(os.path.basename, paths))) for paths in decisions.read(state).different.values()}


def test_nothing_was_said(state: str) -> None:
    """Without a file nothing holds, and reading makes none."""
    assert decisions.read(state) == Decisions()
    assert not os.path.exists(state)


def test_keep_and_forget(album: Path, state: str) -> None:
    """What is kept is kept by its bytes, under the names that were given, until it is taken back."""
    (named,) = decisions.keep(state, [str(album / "a")])
    decisions.keep(state, [str(album / "b"), str(album / "a copy")])
    said = decisions.read(state)
    assert said.kept[named.content] == {str(album / "a"), str(album / "a copy")}
    assert kept(state) == {"a", "a copy", "b"}

    decisions.forget_keep(state, [str(album / "a")])
    assert kept(state) == {"a copy", "b"}
    decisions.forget_keep(state, [str(album / "a copy"), str(album / "b")])
    assert decisions.read(state) == Decisions()


def test_keep_outlasts_moving(album: Path, state: str) -> None:
    """A kept file that was moved is taken back by its new name; one that is gone or was changed by its old one."""
    decisions.keep(state, [str(album / "a"), str(album / "b"), str(album / "c")])
    (album / "a").rename(album / "elsewhere")
    (album / "b").unlink()
    (album / "c").write_bytes(b"changed")
    for name in ("elsewhere", "b", "c"):
        decisions.forget_keep(state, [str(album / name)])
    assert kept(state) == set()


def test_forgetting_what_was_not_said(album: Path, state: str) -> None:
    """A file that is not kept can't be forgotten, and then nothing is."""
    decisions.keep(state, [str(album / "a")])
    with pytest.raises(UsageError, match=r"/b is not kept"):
        decisions.forget_keep(state, [str(album / "a"), str(album / "b")])
    assert kept(state) == {"a"}


def test_a_link_means_its_file(album: Path, state: str) -> None:
    """A link that is named stands for the file that it leads to."""
    (album / "link").symlink_to(album / "a")
    assert decisions.keep(state, [str(album / "link")])[0].path == str(album / "a")


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_is_no_file_is_refused(album: Path, state: str, name: str) -> None:
    """A name without a file is told, and nothing is written, also of the others."""
    for command in (decisions.keep, decisions.tell_apart):
        with pytest.raises(UsageError, match="can't be read"):
            command(state, [str(album / "a"), str(album / name)])
    assert not os.path.exists(state)


def test_different_and_forget(album: Path, state: str) -> None:
    """Every two of several files are told apart, until that is taken back for two of them."""
    names = [str(album / name) for name in "abc"]
    decisions.tell_apart(state, names)
    assert apart(state) == {("a", "b"), ("a", "c"), ("b", "c")}
    decisions.forget_apart(state, [names[2], names[0]])
    assert apart(state) == {("a", "b"), ("b", "c")}

    os.rename(album / "a", album / "moved")
    (album / "b").unlink()
    decisions.forget_apart(state, [str(album / "moved"), names[1]])
    assert apart(state) == {("b", "c")}
    with pytest.raises(UsageError, match="were not called different"):
        decisions.forget_apart(state, [names[0], names[2]])


def test_different_is_told_both_ways(album: Path, state: str) -> None:
    """A pair is told apart whichever comes first."""
    one, other = decisions.tell_apart(state, [str(album / "a"), str(album / "b")])
    said = decisions.read(state)
    assert said.are_different(one.content, other.content)
    assert said.are_different(other.content, one.content)
    assert not said.are_different(one.content, "f" * 64)


def test_equal_bytes_are_not_different(album: Path, state: str) -> None:
    """Two files with the same bytes can't be told apart, and the message says what can be done."""
    with pytest.raises(UsageError, match=r'have the same bytes.*"py-image-dedup keep"'):
        decisions.tell_apart(state, [str(album / "a"), str(album / "b"), str(album / "a copy")])
    assert not os.path.exists(state)


@pytest.mark.parametrize("command", [decisions.tell_apart, decisions.forget_apart])
def test_one_file_alone_is_not_different(album: Path, state: str, command: object) -> None:
    """One name is a mistake."""
    assert callable(command)
    with pytest.raises(UsageError, match="name two or more"):
        command(state, [str(album / "a")])


def test_names_of_any_bytes(album: Path, state: str) -> None:
    """A name that is no text comes back to the byte."""
    odd = os.fsdecode(os.fsencode(album) + b"/\xff\n\x1b.jpg")
    Path(odd).write_bytes(b"odd")
    decisions.keep(state, [odd])
    assert {path for paths in decisions.read(state).kept.values() for path in paths} == {odd}
    decisions.forget_keep(state, [odd])
    assert kept(state) == set()


def test_a_line_that_was_cut_off(album: Path, state: str) -> None:
    """Of what power loss leaves of a line nothing holds, all before it does, and the next line is whole."""
    decisions.keep(state, [str(album / "a")])
    whole = log(state).read_bytes()
    long = album / ("b" * 200)
    (album / "b").rename(long)
    decisions.keep(state, [str(long)])
    second = log(state).read_bytes()[len(whole) :]
    for end in range(len(second)):
        log(state).write_bytes(whole + second[:end])
        assert kept(state) == {"a"}
        decisions.keep(state, [str(album / "c")])
        assert kept(state) == {"a", "c"}
        assert log(state).read_bytes().endswith(b"}\n")


@given(st.binary(max_size=80))
def test_a_damaged_line_is_never_passed_over(tmp_path_factory: pytest.TempPathFactory, damage: bytes) -> None:
    """A line that can't be understood ends the program: it may say that a picture is to be kept."""
    state = tmp_path_factory.getbasetemp() / "damaged"
    state.mkdir(exist_ok=True)
    good = b'{"version": 1, "time": "", "decision": "keep", "files": [{"path": "/a", "sha256": "00"}]}\n'
    log(str(state)).write_bytes(good + damage.replace(b"\n", b"") + b"\n" + good)
    with pytest.raises(StateDirectoryError, match=r"line 2 of .*decisions.jsonl"):
        decisions.read(str(state))


def test_a_newer_version_is_refused(state: str) -> None:
    """A line of a newer program is not guessed at."""
    os.mkdir(state)
    log(state).write_text('{"version": 2, "decision": "keep", "files": []}\n')
    with pytest.raises(StateDirectoryError, match="line 1"):
        decisions.read(state)


def test_many_at_once(album: Path, state: str) -> None:
    """Decisions that several processes or threads write at the same time are all there."""
    for number in range(20):
        (album / f"n{number}").write_bytes(b"%d" % number)
    threads = [
        threading.Thread(target=decisions.keep, args=(state, [str(album / f"n{number}")])) for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept(state) == {f"n{number}" for number in range(20)}


def test_nothing_is_rewritten(album: Path, state: str) -> None:
    """The file only grows, whatever is said or taken back, and belongs to its owner alone."""
    before = b""
    for act in (decisions.keep, decisions.forget_keep, decisions.keep):
        act(state, [str(album / "a")])
        now = log(state).read_bytes()
        assert now.startswith(before)
        assert len(now) > len(before)
        before = now
    assert log(state).stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["decision"] for line in before.splitlines()] == ["keep", "forget keep", "keep"]


def test_it_is_on_disk_before_it_is_confirmed(album: Path, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line, and the name of a new file, are synced before the call returns."""
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    decisions.keep(state, [str(album / "a")])
    assert synced == [str(log(state)), state]


def test_a_state_directory_that_can_not_be_written(album: Path, tmp_path: Path) -> None:
    """What can't be made safe is not confirmed."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirectoryError, match="state_directory"):
        decisions.keep(str(tmp_path / "file/state"), [str(album / "a")])


def test_what_can_not_be_read_is_no_empty_list(state: str) -> None:
    """An unreadable file of decisions is an error: what is kept must not go because of it."""
    os.makedirs(log(state))
    with pytest.raises(StateDirectoryError, match="can't be read"):
        decisions.read(state)


def test_a_kept_file_may_go_for_its_own_bytes_only() -> None:
    """Named files never go; others with the same bytes go for these bytes, so that one always stays."""
    said = Decisions(kept={"x": frozenset({"/a"})})
    assert said.keeps("/a", "x", keeper="x")
    assert said.keeps("/a", "x", keeper="y")
    assert said.keeps("/b", "x", keeper="y")
    assert not said.keeps("/b", "x", keeper="x")
    assert not said.keeps("/a", "y", keeper="x")


def test_named_is_what_it_says(album: Path, state: str) -> None:
    """The content of what was named is its SHA-256."""
    told = subprocess.run(["sha256sum", album / "b"], check=True, capture_output=True, text=True).stdout.split()[0]
    assert decisions.keep(state, [str(album / "b")]) == [Named(str(album / "b"), told)]
