"""What the last search in an SQLite store found, so that two contents are compared once and not in every run."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from typing import Final

from py_image_dedup.model import Match, Turn

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS search (what TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS searched (content BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS matches (
    a BLOB NOT NULL, b BLOB NOT NULL, distance REAL NOT NULL, turn INTEGER NOT NULL,
    PRIMARY KEY (a, b)
) WITHOUT ROWID;
"""
"""``search``: what was searched for.  ``searched``: the contents among which ``matches`` holds every match."""

_MOST: Final = 500_000  # matches; a library with more is searched anew each time
_PAGE: Final = 5000
_TURNS: Final = {int(turn): turn for turn in Turn}

Database = Callable[[], AbstractContextManager[sqlite3.Connection]]


class Remembered:
    """The last search for `what`: a text that names the kind of signatures, the distance and the turns."""

    def __init__(self, database: Database, what: str) -> None:
        self._database = database
        self._what = what
        with database() as connection:
            self._same = connection.execute("SELECT what FROM search").fetchall() == [(what,)]
        self._new: list[tuple[bytes, bytes, float, int]] = []

    def contents(self) -> set[bytes]:
        """Return the contents (hashes) of which all matches with each other are remembered."""
        if not self._same:
            return set()
        with self._database() as connection:
            return {content for (content,) in connection.execute("SELECT content FROM searched")}

    def matches(self) -> Iterator[tuple[bytes, bytes, Match]]:
        """Yield what is remembered, in order of the hashes."""
        after = (b"", b"")
        while self._same:
            with self._database() as connection:
                rows = connection.execute(
                    "SELECT a, b, distance, turn FROM matches WHERE (a, b) > (?, ?) ORDER BY a, b LIMIT ?",
                    (*after, _PAGE),
                ).fetchall()
            for a, b, distance, turn in rows:
                yield a, b, Match(a.hex(), b.hex(), distance, _TURNS[turn])
            if len(rows) < _PAGE:
                return
            after = rows[-1][:2]

    def add(self, match: Match) -> None:
        """Take a match that was found now."""
        if len(self._new) <= _MOST:
            self._new.append((bytes.fromhex(match.a), bytes.fromhex(match.b), match.distance, int(match.turn)))

    def save(self, contents: Collection[bytes], outdated: Collection[tuple[bytes, bytes]]) -> None:
        """Write the matches that were added, which make these contents complete, and drop those that are outdated."""
        if len(self._new) > _MOST:
            return
        with self._database() as connection, connection:
            if not self._same:
                for table in ("search", "searched", "matches"):
                    connection.execute(f"DELETE FROM {table}")
                connection.execute("INSERT INTO search (what) VALUES (?)", (self._what,))
            connection.executemany("DELETE FROM matches WHERE a = ? AND b = ?", outdated)
            connection.executemany(
                "INSERT OR REPLACE INTO matches (a, b, distance, turn) VALUES (?, ?, ?, ?)", self._new
            )
            connection.executemany(
                "INSERT OR IGNORE INTO searched (content) VALUES (?)", ((content,) for content in contents)
            )
