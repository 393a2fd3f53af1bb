"""What the last search of a store found, so that two contents are compared once and not in every run."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from functools import partial
from itertools import islice
from typing import Final

from py_image_dedup import signature
from py_image_dedup.errors import StoreError, StoreMismatch
from py_image_dedup.model import Match, Turn
from py_image_dedup.signature import Signature
from py_image_dedup.stores.database import Database
from py_image_dedup.stores.interface import Progress
from py_image_dedup.stores.matches import TURN_OF, ManyMatches, matches

_MOST: Final = 5_000_000  # matches, some hundred MB; a library with more is searched anew each time
_PAGE: Final = 5000

Signatures = Callable[[AbstractSet[bytes]], tuple[Sequence[str], Signature]]
"""Given contents (hashes), returns those that have a signature, as hex, in ascending order, and their signatures."""


def similar(
    database: Database | None,
    contents: Collection[str],
    signatures: Signatures,
    *,
    within: float,
    orientations: Collection[Turn] = (),
    threads: int = 1,
    progress: Progress | None = None,
) -> Iterator[Match]:
    """Yield what ``Store.similar`` does, by the exact join, and compare only what has come since the last search.

    Without a file, compare everything.
    """
    search = partial(matches, within=within, orientations=orientations, threads=threads, progress=progress)
    wanted = {bytes.fromhex(content) for content in contents}
    if database is None:
        yield from search(*signatures(wanted))
        return
    turns = sorted({int(turn) for turn in orientations})
    remembered = _Remembered(database, f"{signature.KIND} {signature.VERSION} {within!r} {turns}")
    known = remembered.contents()
    added = wanted - known
    for a, b, match in remembered.matches():
        if a in added or b in added:
            remembered.drop(a, b)  # a content that was written again, or of a search that was broken off
        elif a in wanted and b in wanted:
            yield match
    if not added:
        return
    hashes, rows = signatures(wanted | known)
    newcomers = {content.hex() for content in added} if known else None
    all_are_wanted = known <= wanted
    for match in search(hashes, rows, new=newcomers):
        remembered.add(match)
        if all_are_wanted or {bytes.fromhex(match.a), bytes.fromhex(match.b)} <= wanted:
            yield match
    present = {bytes.fromhex(content) for content in hashes}
    remembered.save(added & present, gone=known - present)


class _Remembered:
    """The last search for `what`: a text that names the kind of signatures, the distance and the turns.

    What was searched for before is forgotten.
    """

    def __init__(self, database: Database, what: str) -> None:
        self._database = database
        self._outdated: list[tuple[bytes, bytes]] = []
        self._new: ManyMatches | None = ManyMatches()
        """None if there are too many."""
        with database.turn() as connection, connection:
            if connection.execute("SELECT what FROM search").fetchall() != [(what,)]:
                for table in ("search", "searched", "matches"):
                    connection.execute(f"DELETE FROM {table}")
                connection.execute("INSERT INTO search (what) VALUES (?)", (what,))

    def contents(self) -> set[bytes]:
        """Return the contents (hashes) of which all matches with each other are remembered."""
        with self._database.turn() as connection:
            return {content for (content,) in connection.execute("SELECT content FROM searched")}

    def matches(self) -> Iterator[tuple[bytes, bytes, Match]]:
        """Yield what is remembered, in order of the hashes."""
        after = (b"", b"")
        while True:
            with self._database.turn() as connection:
                rows = connection.execute(
                    "SELECT a, b, distance, turn FROM matches WHERE (a, b) > (?, ?) ORDER BY a, b LIMIT ?",
                    (*after, _PAGE),
                ).fetchall()
            for a, b, distance, turn in rows:
                yield a, b, Match(a.hex(), b.hex(), distance, TURN_OF[turn])
            if len(rows) < _PAGE:
                return
            after = rows[-1][:2]

    def drop(self, a: bytes, b: bytes) -> None:
        """Forget a match."""
        self._outdated.append((a, b))
        if len(self._outdated) >= _PAGE:
            self._delete_outdated()

    def add(self, match: Match) -> None:
        """Take a match that was found now; ``save`` writes it.

        They are written in order: as they come, each would touch a page of its own.
        """
        if self._new is not None:
            self._new.append(match)
            if len(self._new) > _MOST:
                self._new = None

    def _delete_outdated(self) -> None:
        outdated, self._outdated = self._outdated, []
        with self._database.turn() as connection, connection:
            connection.executemany("DELETE FROM matches WHERE a = ? AND b = ?", outdated)

    def save(self, complete: Collection[bytes], *, gone: Collection[bytes]) -> None:
        """Write what was found, and take contents for complete, others not any more: those were not compared."""
        self._delete_outdated()
        if self._new is None:
            with self._database.turn() as connection, connection:
                connection.execute("DELETE FROM matches")
                connection.execute("DELETE FROM searched")
            return
        rows = self._new.in_order()
        while batch := list(islice(rows, _PAGE)):
            with self._database.turn() as connection, connection:
                connection.executemany(
                    "INSERT OR REPLACE INTO matches (a, b, distance, turn) VALUES (?, ?, ?, ?)", batch
                )
        with self._database.turn() as connection, connection:
            connection.executemany("DELETE FROM searched WHERE content = ?", ((content,) for content in gone))
            connection.executemany(
                "INSERT OR IGNORE INTO searched (content) VALUES (?)", ((content,) for content in complete)
            )


def opened(path: str | None) -> AbstractContextManager[Database | None]:
    """Have a file for nothing but this; None if another process has it now, or there can be none."""
    if path is not None:
        with suppress(OSError, StoreError):
            try:
                return closing(Database.open(path))
            except StoreMismatch:  # damaged, or of another version: it only saves time
                for end in ("-wal", "-shm", ""):
                    with suppress(FileNotFoundError):
                        os.unlink(path + end)
                return closing(Database.open(path))
    return nullcontext()


def written_again(connection: sqlite3.Connection, contents: Collection[str]) -> None:
    """Forget that these contents were searched: their signatures may be others now."""
    connection.executemany("DELETE FROM searched WHERE content = ?", ((bytes.fromhex(one),) for one in contents))
