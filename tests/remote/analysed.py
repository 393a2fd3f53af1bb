"""An album, analysed by the command here or with workers, and the records that came of it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pictures
from command import Command, Finished
from PIL import Image
from workers import addresses


def fill(album: Path, count: int) -> Path:
    """Write small pictures, every tenth of another format."""
    for number in range(count):
        picture = pictures.photo(number, (96, 72))
        kind = ("PNG", "WEBP", "HEIF", "TIFF")[number // 10 % 4] if number % 10 == 0 else "JPEG"
        picture.save(album / f"{number}.{kind.lower().replace('heif', 'heic')}", kind)
    (album / "copy.jpg").write_bytes((album / "1.jpeg").read_bytes())
    (album / "none.jpg").write_bytes(b"no picture")
    (album / "cut.jpg").write_bytes((album / "2.jpeg").read_bytes()[:700])
    Image.new("L", (8, 8)).save(album / "tiny.png")
    return album


def analyse(
    home: Path, album: Path, mode: str, url: str, *, prefix: Sequence[str] = (), **settings: str
) -> tuple[Finished, list[Any], float]:
    """Analyse in a mode; return how it ended, all records, and the seconds it took."""
    command = Command(home)
    command.prefix = [*prefix]
    database = home / "records.sqlite"
    environment = {"PY_IMAGE_DEDUP_REMOTE_MODE": mode, "PYTHONWARNINGS": "", **addresses(url)}
    environment |= {f"PY_IMAGE_DEDUP_REMOTE_{name.upper()}": value for name, value in settings.items()}
    started = time.monotonic()
    done = command.run("deduplicate", album, "--dry-run", "--database", database, "-t", "2", **environment)
    seconds = time.monotonic() - started
    assert done.code == 0, done.err
    return done, dump(database), seconds


def dump(database: Path) -> list[Any]:
    """Return every record."""
    with sqlite3.connect(database) as connection:
        return [
            sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in ("files", "contents")
        ]


def disturbed(
    home: Path, album: Path, url: str, disturb: Callable[[], None], *, prefix: Sequence[str] = (), **settings: str
) -> tuple[Finished, list[Any]]:
    """Analyse with workers only, and disturb that in the middle of it."""
    troublemaker = threading.Thread(target=disturb)
    troublemaker.start()
    done, records, seconds = analyse(home, album, "always", url, prefix=prefix, **({"timeout": "10s"} | settings))
    troublemaker.join()
    assert seconds < 120
    return done, records
