"""The embedded store: one SQLite file, and the exact join for searching."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Self

import numpy as np

from py_image_dedup import signature
from py_image_dedup.model import Content, Facts, File, Look, Match, Record, Turn
from py_image_dedup.stores import remembered
from py_image_dedup.stores.database import Database
from py_image_dedup.stores.interface import Progress, StoreStatus, Thumbnail
from py_image_dedup.stores.matches import Hashes, matches
from py_image_dedup.stores.nearby import nearby

_PAGE = 5000
_PARAMETERS = 500  # hashes or paths asked for at once
_ROWS_PER_LOOKUP = 10
_FEW = 64  # signatures; what is near to more of them is found faster by joining all

_FILE_COLUMNS = "origin, path, size, mtime_ns, content, problem, reader"
_FACTS_COLUMNS = "format, width, height, frames, exif_count, taken, grey"


class SqliteStore:
    """A store in one file; a second process that opens it is told so."""

    @classmethod
    def open(cls, path: str, *, origin: str) -> Self:
        """Open or create the file, and its folder.

        Raises :class:`StoreUnavailable` when it can't be opened or another process has it, and
        :class:`StoreMismatch` when it is not ours or of another version.
        """
        return cls(Database.open(path), origin)

    def __init__(self, file: Database, origin: str) -> None:
        self._file = file
        self._origin = os.fsencode(origin)

    def put(self, records: Collection[Record]) -> None:
        """Write contents and files in one transaction."""
        contents = [record.content for record in records if record.content is not None]
        with self._file.turn() as database, database:
            remembered.written_again(database, [content.hash for content in contents])
            database.executemany(
                f"INSERT OR REPLACE INTO contents (hash, {_FACTS_COLUMNS}, thumbnail) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_content_row(content) for content in contents],
            )
            database.executemany(
                "INSERT OR REPLACE INTO signatures (kind, version, content, vector) VALUES (?, ?, ?, ?)",
                [
                    (
                        signature.KIND,
                        signature.VERSION,
                        bytes.fromhex(content.hash),
                        content.signature.tobytes(),
                    )
                    for content in contents
                ],
            )
            database.executemany(
                f"INSERT OR REPLACE INTO files ({_FILE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [_file_row(record.file) for record in records],
            )

    def known(self, paths: Collection[str]) -> dict[str, File]:
        """Return the files recorded under these paths, by path."""
        rows = self._select_in(
            f"SELECT {_FILE_COLUMNS} FROM files WHERE origin = ? AND (length(problem) > 0 OR EXISTS (SELECT 1 "
            "FROM signatures WHERE kind = ? AND version = ? AND signatures.content = files.content)) AND path IN",
            map(os.fsencode, paths),
            first=(self._origin, signature.KIND, signature.VERSION),
        )
        return {file.path: file for file in map(_file, rows)}

    def files(self, roots: Collection[str]) -> Iterator[File]:
        """Stream the files recorded at or below these folders, in order of path bytes, each once."""
        starts = {os.fsencode(root).rstrip(b"/") for root in roots}
        topmost = [root for root in starts if not any(root.startswith(up + b"/") for up in starts)]
        return heapq.merge(*map(self._files_at, topmost), key=lambda file: os.fsencode(file.path))

    def _files_at(self, root: bytes) -> Iterator[File]:
        for clause, low, high in (
            ("path >= ? AND path <= ?", root, root),
            ("path > ? AND path < ?", root + b"/", root + b"0"),
        ):
            after = low
            while True:
                rows = self._select(
                    f"SELECT {_FILE_COLUMNS} FROM files WHERE origin = ? AND {clause} ORDER BY path LIMIT ?",
                    (self._origin, after, high, _PAGE),
                )
                yield from map(_file, rows)
                if len(rows) < _PAGE:
                    break
                after = rows[-1][1]

    def holders(self, contents: Collection[str]) -> Iterator[File]:
        """Yield the files with one of these contents."""
        rows = self._select_in(
            f"SELECT {_FILE_COLUMNS} FROM files WHERE origin = ? AND content IN",
            map(bytes.fromhex, contents),
            first=(self._origin,),
        )
        return map(_file, rows)

    def remove(self, paths: Collection[str]) -> None:
        """Forget these files; their contents stay."""
        with self._file.turn() as database, database:
            database.executemany(
                "DELETE FROM files WHERE origin = ? AND path = ?",
                [(self._origin, os.fsencode(path)) for path in paths],
            )

    def has_content(self, content: str) -> bool:
        """Tell whether this content is known with a signature of the current version."""
        return bool(
            self._select(
                "SELECT 1 FROM signatures WHERE kind = ? AND version = ? AND content = ?",
                (signature.KIND, signature.VERSION, bytes.fromhex(content)),
            )
        )

    def facts(self, contents: Collection[str]) -> dict[str, Facts]:
        """Return the picture facts of these contents, by hash."""
        rows = self._select_in(
            f"SELECT hash, {_FACTS_COLUMNS} FROM contents WHERE hash IN", map(bytes.fromhex, contents)
        )
        return {content.hex(): _facts(facts) for content, *facts in rows}

    def content(self, content: str) -> Content | None:
        """Return one content whole, or None."""
        rows = self._select(
            f"SELECT {_FACTS_COLUMNS}, thumbnail, vector FROM contents JOIN signatures ON content = hash "
            "WHERE kind = ? AND version = ? AND hash = ?",
            (signature.KIND, signature.VERSION, bytes.fromhex(content)),
        )
        for *facts, thumbnail, vector in rows:
            return Content(content, _facts(facts), _thumbnail(thumbnail), np.frombuffer(vector, np.int8))
        return None

    def thumbnails(self, contents: Collection[str]) -> dict[str, Thumbnail]:
        """Return the thumbnails of these contents, by hash."""
        rows = self._select_in("SELECT hash, thumbnail FROM contents WHERE hash IN", map(bytes.fromhex, contents))
        return {content.hex(): _thumbnail(thumbnail) for content, thumbnail in rows}

    def signatures(self, contents: Collection[str]) -> tuple[Hashes, signature.Signature]:
        """Return the contents in ascending order, and their signatures."""
        return self._signatures({bytes.fromhex(content) for content in contents})

    def similar(
        self,
        contents: Collection[str],
        *,
        within: float,
        orientations: Collection[Turn] = (),
        threads: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[Match]:
        """Yield every pair of different contents among these that is at most `within` apart, by the exact join.

        What it finds is remembered, so that the next one compares only what has come since.
        """
        yield from remembered.similar(
            self._file,
            contents,
            self._signatures,
            within=within,
            orientations=orientations,
            threads=threads,
            progress=progress,
        )

    def near(self, contents: Collection[str], *, within: float, orientations: Collection[Turn] = ()) -> Iterator[Match]:
        """Yield the pairs of one of these contents with any other in the store, by the exact join: none is missed.

        For a few the join is over what may be near to them alone, and memory is needed for that alone.
        """
        turns = {Turn.UPRIGHT, *orientations, *(turn.inverse for turn in orientations)}
        if len(contents) * len(turns) > _FEW:
            rows = _held(row for page in self._all_signatures() for row in page)
        else:
            asked = {bytes.fromhex(content) for content in contents}
            few = np.concatenate([signature.turned(self._signatures(asked)[1], turn) for turn in sorted(turns)])
            found = nearby(few, self._all_signatures() if few.any() else (), within=within)
            rows = self._signatures(asked.union(found))
        yield from matches(*rows, within=within, new=contents, orientations=orientations)

    def _signatures(self, contents: AbstractSet[bytes]) -> tuple[Hashes, signature.Signature]:
        """Read the signatures of these contents, in the order of their hashes.

        Where a good part of all is wanted the table is read through: looking up one hash takes as long as reading on
        over some ten rows.
        """
        ((known,),) = self._select("SELECT count(*) FROM contents", ())
        if len(contents) * _ROWS_PER_LOOKUP > known:
            every = (row for page in self._all_signatures() for row in page)
            rows: Iterator[tuple[bytes, bytes]] = (row for row in every if row[0] in contents)
        else:
            rows = self._select_in(
                "SELECT content, vector FROM signatures WHERE kind = ? AND version = ? AND content IN",
                sorted(contents),
                first=(signature.KIND, signature.VERSION),
                then="ORDER BY content",
            )
        return _held(rows)

    def _all_signatures(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """Read hashes and signatures page by page, in order of the hashes."""
        after = b""
        while True:
            rows = self._select(
                "SELECT content, vector FROM signatures WHERE kind = ? AND version = ? AND content > ? "
                "ORDER BY content LIMIT ?",
                (signature.KIND, signature.VERSION, after, _PAGE),
            )
            yield rows
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]

    def looks(self, pairs: Collection[tuple[str, str]], *, version: int) -> dict[tuple[str, str], Look]:
        """Return what is remembered of these pairs of contents."""
        wanted = set(pairs)
        rows = self._select_in(
            "SELECT a, b, version, structure, colour, duplicate FROM looks WHERE version = ? AND a IN",
            [bytes.fromhex(a) for a in sorted({a for a, _ in wanted})],
            first=(version,),
        )
        found = (
            Look(a.hex(), b.hex(), made, structure, colour, bool(duplicate))
            for a, b, made, structure, colour, duplicate in rows
        )
        return {(look.a, look.b): look for look in found if (look.a, look.b) in wanted}

    def put_looks(self, looks: Collection[Look]) -> None:
        """Remember what looking at pairs of contents showed."""
        with self._file.turn() as database, database:
            database.executemany(
                "INSERT OR REPLACE INTO looks (a, b, version, structure, colour, duplicate) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        bytes.fromhex(look.a), bytes.fromhex(look.b), look.version, look.structure, look.colour,
                        look.duplicate,
                    )
                    for look in looks
                ],
            )  # fmt: skip

    @contextmanager
    def lease(self, note: Callable[[str], None]) -> Iterator[Self]:  # noqa: ARG002 - there is nothing to wait for
        """Hold the right to work on this origin: who has the file open has it for all origins."""
        yield self

    def check(self) -> None:
        """Do nothing: as long as the file is open no other run has it."""

    def elsewhere(self, contents: Collection[str]) -> dict[str, int]:
        """Return how many files with one of these contents other origins have, by origin."""
        with self._file.turn() as database:
            others = "origin < ? OR origin > ?"
            if not database.execute(f"SELECT 1 FROM files WHERE {others} LIMIT 1", (self._origin,) * 2).fetchall():
                return {}
            database.execute("CREATE TEMP TABLE IF NOT EXISTS wanted (content BLOB PRIMARY KEY) WITHOUT ROWID")
            with database:
                database.execute("DELETE FROM wanted")
                wanted = ((bytes.fromhex(content),) for content in contents)
                database.executemany("INSERT OR IGNORE INTO wanted (content) VALUES (?)", wanted)
            found = database.execute(
                f"SELECT origin, count(*) FROM files WHERE ({others}) AND content IN wanted GROUP BY origin",
                (self._origin,) * 2,
            ).fetchall()
        return {os.fsdecode(origin): files for origin, files in found}

    def status(self) -> StoreStatus:
        """Count files of this origin and contents of all."""
        ((files,),) = self._select("SELECT count(*) FROM files WHERE origin = ?", (self._origin,))
        ((contents,),) = self._select("SELECT count(*) FROM contents", ())
        return StoreStatus(location=self._file.path, files=files, contents=contents)

    def close(self) -> None:
        """Close the file and let other processes have it."""
        self._file.close()

    def _select(self, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        with self._file.turn() as database:
            return database.execute(statement, parameters).fetchall()

    def _select_in(
        self, statement: str, keys: Iterable[bytes], *, first: tuple[Any, ...] = (), then: str = ""
    ) -> Iterator[Any]:
        """Run a statement that ends in IN for all keys, some hundreds at a time."""
        wanted = list(keys)
        for start in range(0, len(wanted), _PARAMETERS):
            some = wanted[start : start + _PARAMETERS]
            yield from self._select(f"{statement} ({', '.join('?' * len(some))}) {then}", (*first, *some))


def _content_row(content: Content) -> tuple[Any, ...]:
    facts = content.facts
    return (
        bytes.fromhex(content.hash), facts.format, facts.width, facts.height, facts.frames, facts.exif_count,
        facts.taken, facts.grey, content.thumbnail.tobytes(),
    )  # fmt: skip


def _facts(row: list[Any]) -> Facts:
    name, width, height, frames, exif_count, taken, grey = row
    return Facts(name, width, height, frames, exif_count, taken, bool(grey))


def _thumbnail(data: bytes) -> Thumbnail:
    side = int(len(data) ** 0.5)
    return np.frombuffer(data, np.uint8).reshape(side, side)


def _file_row(file: File) -> tuple[Any, ...]:
    return (
        os.fsencode(file.origin),
        os.fsencode(file.path),
        file.size,
        file.mtime_ns,
        bytes.fromhex(file.content),
        os.fsencode(file.problem),
        os.fsencode(file.reader),
    )


def _file(row: tuple[Any, ...]) -> File:
    origin, path, size, mtime_ns, content, problem, reader = row
    # Millions of rows are read: what is mostly empty, or always the same, is not decoded each time.
    return File(
        _origin(origin),
        os.fsdecode(path),
        size,
        mtime_ns,
        content.hex(),
        os.fsdecode(problem) if problem else "",
        os.fsdecode(reader) if reader else "",
    )


_origin = lru_cache(8)(os.fsdecode)


def _held(rows: Iterable[tuple[bytes, bytes]]) -> tuple[Hashes, signature.Signature]:
    """Read hashes and signatures into memory."""
    hashes, vectors = Hashes(), bytearray()
    for content, vector in rows:
        hashes.append(content)
        vectors += vector
    return hashes, np.frombuffer(vectors, np.int8).reshape(-1, signature.LENGTH)
