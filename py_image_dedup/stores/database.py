"""An SQLite file of ours: its tables, how it is opened, and what is said when SQLite fails."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from py_image_dedup import files
from py_image_dedup.errors import StoreError, StoreMismatch, StoreUnavailable

_APPLICATION = 0x70696464  # "pidd": marks the file as ours
VERSION = 1
_REMEDY = "name another file with the key database or --database"
_BEGINS = b"SQLite format 3\0"  # every SQLite file that is not empty

_SCHEMA = """
CREATE TABLE files (
    origin BLOB NOT NULL, path BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    content BLOB NOT NULL, problem BLOB NOT NULL, reader BLOB NOT NULL,
    PRIMARY KEY (origin, path)
) WITHOUT ROWID;
CREATE TABLE contents (
    hash BLOB PRIMARY KEY, format TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    frames INTEGER NOT NULL, exif_count INTEGER NOT NULL, taken TEXT NOT NULL, grey INTEGER NOT NULL,
    thumbnail BLOB NOT NULL
);
CREATE TABLE signatures (
    kind TEXT NOT NULL, version INTEGER NOT NULL, content BLOB NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (kind, version, content)
) WITHOUT ROWID;
CREATE TABLE looks (
    a BLOB NOT NULL, b BLOB NOT NULL, version INTEGER NOT NULL, structure REAL NOT NULL, colour REAL NOT NULL,
    duplicate INTEGER NOT NULL,
    PRIMARY KEY (a, b)
) WITHOUT ROWID;
"""
_SEARCHES = """
CREATE TABLE IF NOT EXISTS search (what TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS searched (content BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS matches (
    a BLOB NOT NULL, b BLOB NOT NULL, distance REAL NOT NULL, turn INTEGER NOT NULL,
    PRIMARY KEY (a, b)
) WITHOUT ROWID;
"""
"""``search``: what was searched for.  ``searched``: the contents among which ``matches`` holds every match."""

_PRIMARY = 0xFF  # of the bits of an error code


class Database:
    """An SQLite file, which no other process has meanwhile; threads take turns."""

    @classmethod
    def open(cls, path: str) -> Self:
        """Open or create the file, and its folder.

        Raises :class:`StoreUnavailable` when it can't be opened or another process has it, and
        :class:`StoreMismatch` when it is not ours or of another version.
        """
        lock = _take(path)
        try:
            return cls(path, _connect(path), lock)
        except BaseException:
            os.close(lock)
            raise

    def __init__(self, path: str, connection: sqlite3.Connection, lock: int) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock
        self._one_at_a_time = threading.RLock()
        self._closed = False

    @contextmanager
    def turn(self) -> Iterator[sqlite3.Connection]:
        """Have the file alone; what SQLite raises becomes a store error."""
        with self._one_at_a_time, _translated(self.path):
            yield self._connection

    def close(self) -> None:
        """Close the file and let other processes have it; closing twice is no error."""
        with self._one_at_a_time:
            if not self._closed:
                self._closed = True
                self._connection.close()
                os.close(self._lock)


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """Raise store errors that name the file instead of SQLite's."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(f"the database {path} failed: {error}") from error
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & _PRIMARY == sqlite3.SQLITE_CORRUPT:
            raise StoreError(
                f"the database {path} is damaged ({error}); move it away, and the next run describes all pictures anew"
            ) from error
        raise StoreError(f"the database {path} failed: {error}") from error


def _take(path: str) -> int:
    """Lock the file against other processes, and make its folder; return what to close to let go of it.

    Raises :class:`StoreUnavailable` when it can't be opened or another process has it.
    """
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(
            f"the database {path} can't be opened: {error.strerror}; see the key database and --database"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise StoreUnavailable(
            f"the database {path} is in use by another run (process {holder}); wait for it to end"
        ) from None
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:  # a full disk
        os.close(lock)
        raise StoreUnavailable(f"the database {path} can't be opened: {error.strerror}") from None
    return lock


def _connect(path: str) -> sqlite3.Connection:
    """Open the file, make the tables in a new one, and check an old one."""
    _refuse_other_kinds(path)
    with _translated(path):
        connection = sqlite3.connect(path, check_same_thread=False)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_other_kinds(path: str) -> None:
    """Raise :class:`StoreMismatch` for what is neither empty nor SQLite's: of one byte it would make a new database."""
    try:
        with files.open_regular(os.path.realpath(path)) as file:
            begins = file.read(len(_BEGINS))
    except OSError:  # not there yet, or SQLite says what is wrong
        return
    if begins not in {b"", _BEGINS}:
        raise StoreMismatch(f"{path} is not a database of py-image-dedup; {_REMEDY}")


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """Create the tables in a new file, or check that an old one is ours."""
    try:
        ((application,),) = connection.execute("PRAGMA application_id").fetchall()
        ((version,),) = connection.execute("PRAGMA user_version").fetchall()
        ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.OperationalError as error:  # a disk that fails, not what is in the file
        raise StoreUnavailable(f"the database {path} failed: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StoreMismatch(f"{path} is not a database of py-image-dedup ({error}); {_REMEDY}") from None
    if tables == 0 and application == 0:
        with _translated(path):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
            )
    elif application != _APPLICATION:
        raise StoreMismatch(f"{path} is a database of another program; {_REMEDY}")
    elif version != VERSION:
        raise StoreMismatch(f"{path} has version {version}, this program reads version {VERSION}; {_REMEDY}")
    with _translated(path):
        connection.executescript(_SEARCHES)
        connection.execute("CREATE INDEX IF NOT EXISTS files_by_content ON files (origin, content)")
        connection.execute("PRAGMA synchronous = NORMAL")  # with WAL: a power cut loses the last writes, no more
