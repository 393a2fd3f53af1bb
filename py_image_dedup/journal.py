"""What was done, line by line on disk before and after each act: one file per run, append-only, never rewritten."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping
from typing import Any, Self

from py_image_dedup.errors import StateDirectoryError
from py_image_dedup.files import sync_folder


class Journal:
    """An open run; every line is on disk (fsync) when the call returns."""

    @classmethod
    def open(cls, state_directory: str) -> Self:
        """Start a run in the state directory.

        Raises :class:`StateDirectoryError` when it can't be written: then nothing may be acted on.
        """
        folder = os.path.join(state_directory, "runs")
        now = dt.datetime.now(dt.UTC)
        path = os.path.join(folder, f"{now:%Y%m%dT%H%M%S.%f}-{os.getpid()}.jsonl")
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            sync_folder(folder)
        except OSError as error:
            raise StateDirectoryError(
                f"the state directory {state_directory} can't be written ({error.strerror}), so nothing was "
                "moved or deleted; see the key state_directory"
            ) from None
        return cls(path, descriptor)

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def write(self, event: str, facts: Mapping[str, Any]) -> None:
        """Append a line; :class:`StateDirectoryError` if it can't be made safe: then nothing more may be done."""
        now = dt.datetime.now(dt.UTC).isoformat()
        line = (json.dumps({"event": event, "time": now, **facts}) + "\n").encode()
        try:
            written = os.write(self._descriptor, line)
            os.fsync(self._descriptor)
        except OSError as error:
            raise StateDirectoryError(f"the journal {self.path} can't be written: {error.strerror}") from None
        if written != len(line):
            raise StateDirectoryError(f"the journal {self.path} can't be written: the disk is full")

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)
