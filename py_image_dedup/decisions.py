"""What a person has said once and for all: this picture stays, these pictures are different.

One file in the state directory, a line for each decision, on disk before the call returns; nothing is rewritten, and
what is taken back gets a line of its own.  Decisions belong to the bytes of a file (SHA-256), so that they outlast
renaming and moving.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import combinations, product
from typing import Any, Final, NamedTuple

from py_image_dedup.errors import StateDirectoryError, UsageError
from py_image_dedup.files import printable, sha256, sync_folder
from py_image_dedup.model import Decisions

VERSION: Final = 1
_NAME = "decisions.jsonl"


class Kind(StrEnum):
    """What may be said of files."""

    KEEP = "keep"
    FORGET_KEEP = "forget keep"
    DIFFERENT = "different"
    FORGET_DIFFERENT = "forget different"


class Named(NamedTuple):
    """A file that a decision names: its path and its content (SHA-256)."""

    path: str
    content: str


def keep(state_directory: str, paths: Sequence[str]) -> list[Named]:
    """Let the contents of these files never go, and return what was written."""
    files = [_named(path) for path in paths]
    _write(state_directory, Kind.KEEP, files)
    return files


def forget_keep(state_directory: str, paths: Sequence[str]) -> list[Named]:
    """Take that back; :class:`UsageError` for a file of which it was never said."""
    decisions = read(state_directory)
    files = []
    for path in paths:
        place, contents = _identified(path)
        named = [Named(place, content) for content, names in decisions.kept.items() if place in names]
        named = named or [Named(place, content) for content in contents if content in decisions.kept]
        if not named:
            raise UsageError(f'{printable(path)} is not kept; "py-image-dedup keep" lists what is')
        files += named
    _write(state_directory, Kind.FORGET_KEEP, files)
    return files


def tell_apart(state_directory: str, paths: Sequence[str]) -> list[Named]:
    """Let no two of these files match, and return what was written; :class:`UsageError` for two with equal bytes."""
    _check_several(paths)
    files = [_named(path) for path in paths]
    for one, other in combinations(files, 2):
        if one.content == other.content:
            raise UsageError(
                f"{printable(one.path)} and {printable(other.path)} have the same bytes, so nothing can tell them "
                'apart; to let both stay, use "py-image-dedup keep" with both'
            )
    _write(state_directory, Kind.DIFFERENT, files)
    return files


def forget_apart(state_directory: str, paths: Sequence[str]) -> list[Named]:
    """Take that back for every two of these files; :class:`UsageError` where it was never said."""
    _check_several(paths)
    different = read(state_directory).different
    files: list[Named] = []
    for one, other in combinations(paths, 2):
        wanted = {tuple(sorted(pair)) for pair in product(_told_apart(one, different), _told_apart(other, different))}
        pairs = [pair for pair in different if pair in wanted]
        if not pairs:
            raise UsageError(
                f"{printable(one)} and {printable(other)} were not called different; "
                '"py-image-dedup different" lists what was'
            )
        for pair in pairs:
            said = [Named(path, content) for path, content in zip(different[pair], pair, strict=True)]
            _write(state_directory, Kind.FORGET_DIFFERENT, said)
            files += said
    return files


def read(state_directory: str) -> Decisions:
    """Return what holds now; a last line that was cut off counts as never written."""
    path = os.path.join(state_directory, _NAME)
    kept: dict[str, frozenset[str]] = {}
    different: dict[tuple[str, str], tuple[str, str]] = {}
    for number, line in enumerate(_lines(path), 1):
        try:
            kind, files = _parsed(line)
        except (ValueError, KeyError, TypeError):
            raise StateDirectoryError(
                f"line {number} of {path} is no decision; mend it or take it out, or restore the file from a backup"
            ) from None
        if kind in {Kind.KEEP, Kind.FORGET_KEEP}:
            for file in files:
                _keep(kept, file, forget=kind is Kind.FORGET_KEEP)
        else:
            _tell_apart(different, files, forget=kind is Kind.FORGET_DIFFERENT)
    return Decisions(kept, different)


def _write(state_directory: str, kind: Kind, files: Sequence[Named]) -> None:
    """Add a decision about these files; :class:`StateDirectoryError` if it can't be made safe."""
    path = os.path.join(state_directory, _NAME)
    line = {
        "version": VERSION,
        "time": dt.datetime.now(dt.UTC).isoformat(),
        "decision": str(kind),
        "files": [{"path": file.path, "sha256": file.content} for file in files],
    }
    try:
        os.makedirs(state_directory, mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with open(descriptor, "r+b") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            whole = log.read()
            end = whole.rfind(b"\n") + 1
            log.truncate(end)  # of a line that was cut off nobody was told that it is written
            log.seek(end)
            log.write(json.dumps(line).encode() + b"\n")
            log.flush()
            os.fsync(log.fileno())
        sync_folder(state_directory)
    except OSError as error:
        raise StateDirectoryError(
            f"the decision can't be written to {path} ({error.strerror}); see the key state_directory"
        ) from None


def _lines(path: str) -> list[bytes]:
    """Return the lines that were written to their end."""
    try:
        with open(path, "rb") as log:
            return log.read().split(b"\n")[:-1]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StateDirectoryError(
            f"the decisions in {path} can't be read ({error.strerror}); see the key state_directory"
        ) from None


def _named(path: str) -> Named:
    """Read the file that is meant by a path, links followed; :class:`UsageError` if there is none."""
    place = os.path.realpath(path)
    try:
        return Named(place, sha256(place))
    except OSError as error:
        raise UsageError(f"{printable(path)} can't be read: {error.strerror}") from None


def _identified(path: str) -> tuple[str, list[str]]:
    """Return where a path leads, and the content of what lies there, if anything does."""
    place = os.path.realpath(path)
    try:
        return place, [sha256(place)]
    except OSError:
        return place, []


def _told_apart(path: str, different: Mapping[tuple[str, str], tuple[str, str]]) -> set[str]:
    """Return the contents that may be meant by a path: what lies there, and what lay there when it was named."""
    place, contents = _identified(path)
    for pair, paths in different.items():
        contents += [content for content, named in zip(pair, paths, strict=True) if named == place]
    return set(contents)


def _check_several(paths: Sequence[str]) -> None:
    if len(paths) < 2:
        raise UsageError("one picture can't be different from itself; name two or more")


def _parsed(line: bytes) -> tuple[Kind, list[Named]]:
    """Read a line; ValueError, KeyError or TypeError for one that is no decision."""
    data: dict[str, Any] = json.loads(line)
    if data["version"] != VERSION:
        raise ValueError(f"version {data['version']}")
    files = [Named(str(file["path"]), str(file["sha256"])) for file in data["files"]]
    return Kind(data["decision"]), files


def _keep(kept: dict[str, frozenset[str]], file: Named, *, forget: bool) -> None:
    """Add or take back a name; the content is forgotten with its last name, or under a name it never had."""
    names = kept.pop(file.content, frozenset())
    if forget:
        names = names - {file.path} if file.path in names else frozenset()
    else:
        names |= {file.path}
    if names:
        kept[file.content] = names


def _tell_apart(different: dict[tuple[str, str], tuple[str, str]], files: Sequence[Named], *, forget: bool) -> None:
    for one, other in combinations(sorted(files, key=lambda file: file.content), 2):
        if forget:
            different.pop((one.content, other.content), None)
        else:
            different[one.content, other.content] = one.path, other.path
