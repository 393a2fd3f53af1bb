"""Care of the database file of the embedded store."""

from __future__ import annotations

import os
import sqlite3
from typing import Any, Final, Self

from py_image_dedup import signature
from py_image_dedup.errors import StoreMismatch
from py_image_dedup.stores.care import Dropped, Inventory, Note, Part
from py_image_dedup.stores.database import VERSION, Database

_TABLES: Final = ("files", "contents", "looks")
_UNUSED: Final = "hash NOT IN (SELECT content FROM files)"
_GONE: Final = "NOT IN (SELECT hash FROM contents)"


class SqliteCare:
    """Care of one database file, which no other process has meanwhile."""

    @classmethod
    def open(cls, path: str) -> Self:
        """Open the file; :class:`StoreMismatch` if it is not there or not ours."""
        if not os.path.exists(path):
            raise StoreMismatch(f"there is no database {path}: py-image-dedup analyse makes it")
        return cls(Database.open(path))

    def __init__(self, file: Database) -> None:
        self._file = file

    def inventory(self) -> Inventory:
        """Count what is there."""
        ((health,),) = self._ask("PRAGMA quick_check(1)")
        rows = {table: self._ask(f"SELECT count(*) FROM {table}")[0][0] for table in _TABLES}
        origins = self._ask("SELECT origin, count(*) FROM files GROUP BY origin ORDER BY origin")
        ((outdated,),) = self._ask(
            "SELECT count(*) FROM contents WHERE hash NOT IN "
            "(SELECT content FROM signatures WHERE kind = ? AND version = ?)",
            (signature.KIND, signature.VERSION),
        )
        size = sum(
            os.path.getsize(self._file.path + end) for end in ("", "-wal") if os.path.exists(self._file.path + end)
        )
        return Inventory(
            location=self._file.path,
            software=f"SQLite {sqlite3.sqlite_version}, {size / 1e6:,.2f} MB",
            health=str(health),
            parts=tuple(Part(table, VERSION, number, -1) for table, number in rows.items()),
            origins=tuple((os.fsdecode(origin), files) for origin, files in origins),
            outdated=outdated,
        )

    def migrate(self, note: Note) -> list[str]:
        """Do nothing: there is no older layout."""
        del note
        return []

    def rebuild(self, note: Note) -> list[str]:
        """Write the whole file anew."""
        note(f"{self._file.path} is written anew")
        self._ask("VACUUM")
        self._ask("PRAGMA wal_checkpoint(TRUNCATE)")
        return [self._file.path]

    def compact(self, note: Note) -> Dropped:
        """Drop what is unused, and write the file anew without it."""
        with self._file.turn() as database, database:
            contents = self._drop(f"FROM contents WHERE {_UNUSED}")
            self._drop(f"FROM signatures WHERE content {_GONE}")
            signatures = self._drop(
                "FROM signatures WHERE kind != ? OR version != ?", (signature.KIND, signature.VERSION)
            )
            looks = self._drop(f"FROM looks WHERE a {_GONE} OR b {_GONE}")
            self._drop(f"FROM matches WHERE a {_GONE} OR b {_GONE}")
            self._drop(f"FROM searched WHERE content {_GONE}")
        self.rebuild(note)
        return Dropped(contents, signatures, looks)

    def close(self) -> None:
        """Close the file and let other processes have it."""
        self._file.close()

    def _ask(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        with self._file.turn() as database:
            return database.execute(statement, parameters).fetchall()

    def _drop(self, what: str, parameters: tuple[Any, ...] = ()) -> int:
        with self._file.turn() as database:
            return database.execute(f"DELETE {what}", parameters).rowcount
