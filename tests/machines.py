"""The command on several machines that share one server, and what they did to their disks."""

from __future__ import annotations

import hashlib
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pictures
from command import Command, Finished


class Machine(Command):
    """A machine with a home of its own, on a server that others use too."""

    def __init__(self, home: Path, *, origin: str, url: str, index: str) -> None:
        """`url`: one address, or several with commas between."""
        super().__init__(home)
        self.environment |= {
            "PY_IMAGE_DEDUP_ORIGIN": origin,
            "PY_IMAGE_DEDUP_ELASTICSEARCH_URLS": url,
            "PY_IMAGE_DEDUP_ELASTICSEARCH_INDEX": index,
        }


@contextmanager
def held_up(process: subprocess.Popen[str]) -> Iterator[None]:
    """Let a process do nothing meanwhile; it must not have ended yet."""
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None, process.communicate()
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def fill(album: Path, numbers: range) -> Path:
    """Write pictures with a lesser copy of each."""
    album.mkdir(exist_ok=True)
    for number in numbers:
        picture = pictures.photo(number, (320, 240))
        pictures.write(album / f"{number}.jpg", picture, quality=92)
        pictures.write(album / f"{number} lesser.jpg", picture.resize((160, 120)), quality=85)
    return album


def tree(*folders: Path) -> dict[str, str]:
    """Return what every file below some folders holds, by absolute path."""
    found = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def after(before: dict[str, str], *runs: Finished) -> dict[str, str]:
    """Return what the disk must be like if it is as the reports of these runs say, and nothing else happened."""
    disk = dict(before)
    for run in runs:
        for group in run.json.get("groups", []):
            for one in group["duplicates"]:
                if one.get("result") == "done":
                    disk[one["detail"]] = disk.pop(one["path"])
    return disk
