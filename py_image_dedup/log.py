"""What happened, line by line, for people or for programs."""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import TextIO

from py_image_dedup.events import Observer
from py_image_dedup.files import printable

_DONE = {
    "move": "moved",
    "trash": "put into the trash",
    "delete": "deleted",
    "hardlink": "made a hard link",
    "reflink": "made a reflink",
}


class Log(Observer):
    """Writes a line for each note and each act; as JSON, one object per line with time, level and message."""

    def __init__(self, stream: TextIO, *, as_json: bool = False) -> None:
        self._stream = stream
        self._as_json = as_json

    def note(self, text: str) -> None:
        """Write what a person may want to read."""
        self._write("info", text)

    def alert(self, text: str) -> None:
        """Write what a person should do something about."""
        self._write("warning", text)

    def acted(self, path: str, *, action: str, result: str, detail: str) -> None:
        """Write what became of a file."""
        name = printable(path)
        if result == "done":
            text = f"{name}: {_DONE.get(action, action)}" + (f" to {printable(detail)}" if action == "move" else "")
        else:
            text = f"{name}: {action} {result}: {detail}"
        self._write("info" if result == "done" else "warning", text, path=path, action=action, result=result)

    def _write(self, level: str, message: str, **fields: str) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        if self._as_json:
            line = json.dumps({"time": now, "level": level, "message": message, **fields})
        else:
            line = f"{now} {level}: {message}"
        self._stream.write(line + "\n")
        self._stream.flush()


class Passing(logging.Handler):
    """Passes on what libraries log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write it as a warning of ours."""
        self._log.alert(f"{record.name}: {record.getMessage()}")
