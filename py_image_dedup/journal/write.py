"""Writing the journal: line by line on disk before and after each act, append-only, never rewritten."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self

from py_image_dedup.errors import StateDirectoryError
from py_image_dedup.files import make_folders, missing_folders, sync_folder

VERSION: Final = 2
"""Of the lines; version 1 had no first line that tells about the run."""


class Journal:
    """An open run; every line is on disk (fsync) when the call returns."""

    @classmethod
    def open(cls, state_directory: str, **about: Any) -> Self:
        """Start a run in the state directory; its first line tells `about` it (kind, origin, roots, ...).

        Raises :class:`StateDirectoryError` when it can't be written: then nothing may be acted on.
        """
        from importlib.metadata import version  # noqa: PLC0415 - a tenth of the start of a run, and most need it not

        folder = folder_of_runs(state_directory)
        now = dt.datetime.now(dt.UTC)
        run = f"{now:%Y%m%dT%H%M%S.%f}-{os.getpid()}"
        path = os.path.join(folder, f"{run}.jsonl")
        try:
            make_folders(missing_folders(folder), mode=0o700)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unusable(state_directory, error) from None
        with _closed_unless_whole(descriptor):
            try:
                sync_folder(folder)
            except OSError as error:
                raise unusable(state_directory, error) from None
            journal = cls(path, descriptor)
            program = version("py-image-dedup")
            journal.write("run", {"version": VERSION, "run": run, "program": program, **about})
            return journal

    @classmethod
    def resume(cls, path: str) -> Self:
        """Go on with the journal of a run that was cut off, on a line of its own."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            with _closed_unless_whole(descriptor):
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    os.write(descriptor, b"\n")
                return cls(path, descriptor)
        except OSError as error:
            raise StateDirectoryError(f"the journal {path} can't be written: {error.strerror}") from None

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._open: set[str] = set()
        """Ids of acts that were announced, and of which no more was told."""

    @property
    def run(self) -> str:
        """The name of the run."""
        return os.path.basename(self.path).removesuffix(".jsonl")

    def write(self, event: str, facts: Mapping[str, Any], *, sync: bool = True) -> None:
        """Append a line; :class:`StateDirectoryError` if it can't be made safe: then nothing more may be done.

        Without `sync` it may be lost in a power cut; for what is only told.
        """
        now = dt.datetime.now(dt.UTC).isoformat()
        line = (json.dumps({"event": event, "time": now, **facts}) + "\n").encode()
        try:
            written = os.write(self._descriptor, line)
            if sync:
                os.fsync(self._descriptor)
        except OSError as error:
            raise StateDirectoryError(f"the journal {self.path} can't be written: {error.strerror}") from None
        if written != len(line):
            raise StateDirectoryError(f"the journal {self.path} can't be written: the disk is full")
        if event == "intent":
            self._open.add(facts.get("id", ""))
        else:
            self._open.discard(facts.get("id", ""))

    def end(self) -> None:
        """Tell that the run ended, unless an act is open: the next run or undo is to settle that."""
        if not self._open:
            self.write("end", {})

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


@contextmanager
def _closed_unless_whole(descriptor: int) -> Iterator[None]:
    """Let go of a file that could not be begun: a daemon tries again and again."""
    try:
        yield
    except BaseException:
        os.close(descriptor)
        raise


def folder_of_runs(state_directory: str) -> str:
    """Return where the journals are."""
    return os.path.join(state_directory, "runs")


def unusable(state_directory: str, error: OSError) -> StateDirectoryError:
    """Return the error that names the state directory and its key."""
    return StateDirectoryError(
        f"the state directory {state_directory} can't be written ({error.strerror}), so nothing was "
        "moved or deleted; see the key state_directory"
    )
