"""What is named as the database and is none: it is refused, and stays as it was."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pictures
import pytest

from py_image_dedup.errors import StoreError, StoreMismatch, StoreUnavailable
from py_image_dedup.stores.database import VERSION, Database

REMEDY = "name another file with the key database or --database"


def refused(file: Path) -> str:
    """Return why a file is not opened, after seeing that nothing about it changed."""
    before = file.read_bytes()
    with pytest.raises(StoreMismatch) as error:
        Database.open(str(file))
    assert file.read_bytes() == before
    assert not file.with_name(file.name + "-wal").exists()
    assert str(error.value).startswith(str(file))
    assert str(error.value).endswith(REMEDY)
    return str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"\0", b"x", b"a few notes\n", bytes(4096), b"SQLite format 3", pictures.encode(pictures.photo(1))],
    ids=["a zero", "a letter", "text", "zeros", "cut", "a picture"],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    """SQLite itself takes a file of one byte for an empty one, and would write over it."""
    file = tmp_path / "notes"
    file.write_bytes(content)
    assert "is not a database of py-image-dedup" in refused(file)


def test_a_broken_database_is_refused(tmp_path: Path) -> None:
    """What begins as a database and goes on as none is refused with SQLite's reason."""
    file = tmp_path / "broken.db"
    file.write_bytes(b"SQLite format 3\0" + b"no more than this" * 400)
    assert "is not a database of py-image-dedup (" in refused(file)


def test_a_damaged_database_says_what_to_do(tmp_path: Path) -> None:
    """Pages that a disk has lost are told when they are read, with the file and the remedy."""
    file = tmp_path / "damaged.db"
    rows = [(bytes([number]) * 32, "", 1, 1, 1, 0, "", 0, bytes(4096)) for number in range(100)]
    with closing(Database.open(str(file))) as database, database.turn() as connection, connection:
        connection.executemany("INSERT INTO contents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    whole = file.read_bytes()
    assert len(whole) > 100 * 4096
    file.write_bytes(whole[: 12 * 4096] + b"lost" * ((len(whole) - 12 * 4096) // 4))
    message = f"the database {re.escape(str(file))} is damaged .*; move it away, and the next run describes all"
    with (
        closing(Database.open(str(file))) as database,
        pytest.raises(StoreError, match=message),
        database.turn() as connection,
    ):
        connection.execute("SELECT sum(length(thumbnail)) FROM contents WHERE format = ''").fetchall()


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    """A browser's history, say, and one that another program has marked and not filled yet."""
    for name, statement in {"full": "CREATE TABLE notes (text)", "marked": "PRAGMA application_id = 1"}.items():
        file = tmp_path / f"{name}.db"
        connection = sqlite3.connect(file)
        connection.execute(statement)
        connection.commit()
        connection.close()
        assert "is a database of another program" in refused(file)


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    """An older program does not write what a newer one could not read."""
    file = tmp_path / "newer.db"
    Database.open(str(file)).close()
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    assert f"has version {VERSION + 1}, this program reads version {VERSION}" in refused(file)


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    """As one does that ``mktemp`` has made."""
    file = tmp_path / "new.db"
    file.touch()
    Database.open(str(file)).close()
    assert file.read_bytes().startswith(b"SQLite format 3")


def test_a_link_leads_to_the_database(tmp_path: Path) -> None:
    """What it leads to is looked at, and nothing else is refused."""
    link, file = tmp_path / "link.db", tmp_path / "notes"
    link.symlink_to(file)
    Database.open(str(link)).close()
    Database.open(str(link)).close()
    file.write_bytes(b"x")
    assert "is not a database of py-image-dedup" in refused(link)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """Nobody waits for what may come out of it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreUnavailable, match="failed: "):
        Database.open(str(tmp_path / "pipe"))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder's name is no file's."""
    with pytest.raises(StoreUnavailable, match="failed: unable to open database file"):
        Database.open(str(tmp_path))


def test_a_disk_that_fails_is_not_told_as_another_file(tmp_path: Path) -> None:
    """Nobody is to name another database because this one can't be read for a while."""
    file = tmp_path / "signatures.sqlite"
    Database.open(str(file)).close()
    (tmp_path / "signatures.sqlite-wal").mkdir()
    with pytest.raises(StoreUnavailable, match=re.escape(f"the database {file} failed: ")):
        Database.open(str(file))
