"""Files and contents on a server that others use at the same time."""

from __future__ import annotations

import heapq
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Self, Unpack

import numpy as np

from py_image_dedup import signature
from py_image_dedup.model import Content, Facts, File, Look, Match, Record, Turn
from py_image_dedup.signature import Signature, turned
from py_image_dedup.stores import remembered
from py_image_dedup.stores.elastic import mapping
from py_image_dedup.stores.elastic.connection import Connection, Login, at_once, parts
from py_image_dedup.stores.elastic.indices import Document
from py_image_dedup.stores.elastic.lease import Leases
from py_image_dedup.stores.holder import Holder
from py_image_dedup.stores.interface import Lease, Progress, StoreStatus, Thumbnail
from py_image_dedup.stores.matches import matches

_PAGE = 5000  # signatures read at once
_HELD_IN_MEMORY = 2 << 30  # bytes of signatures; more lie in a file
_GRAPH_FROM = 100_000  # contents
_NEIGHBOURS = 70  # asked for first; a full page is asked for again, twice as long
_MOST_NEIGHBOURS = 10_000  # the server gives no longer page, and looks at no more candidates
_CANDIDATES = 200  # looked at for a page, at least, and twice as many as it has room for
_QUERIES = 100  # sent at once
_HITS = 20_000  # at most in one answer


class ElasticStore:
    """Files of one origin, contents, looks and leases, in four indices of an Elasticsearch server.

    ``legacy_index`` is the name of an index of py-image-dedup 2 that is there and is left alone, or None.
    """

    @classmethod
    def open(
        cls,
        *,
        urls: Sequence[str],
        index: str,
        origin: str,
        auto_create_index: bool,
        me: Holder | None = None,
        memory: str | None = None,
        **login: Unpack[Login],
    ) -> Self:
        """Connect, and check or create the indices ``<index>-files`` and so on (see :data:`mapping.PARTS`).

        `me`: who takes leases; see :class:`~py_image_dedup.stores.elastic.lease.Leases`.  `memory`: the file of this
        machine that remembers what searches found; without it, each is whole.

        Raises :class:`StoreUnavailable` when no server can be
        reached, :class:`StoreMismatch` when it is too old, is something else, or its indices of these names are not
        ours or missing, and :class:`StoreError` when it refuses.
        """
        connection = Connection.open(urls, **login)
        try:
            for part, layout in mapping.PARTS.items():
                connection.indices.prepare(f"{index}-{part}", layout, create=auto_create_index)
            legacy = index if connection.indices.exists(index) else None
            return cls(connection, index, origin=origin, legacy_index=legacy, me=me, memory=memory)
        except BaseException:
            connection.close()
            raise

    def __init__(
        self,
        connection: Connection,
        index: str,
        *,
        origin: str,
        legacy_index: str | None = None,
        me: Holder | None = None,
        memory: str | None = None,
    ) -> None:
        self.legacy_index = legacy_index
        self._connection = connection
        self._memory = memory
        self._files, self._contents, self._looks, leases = (f"{index}-{part}" for part in mapping.PARTS)
        self._leases = Leases(connection, leases, me)
        self._origin = origin
        self._of_origin = {"term": {"origin": mapping.encode_path(origin)}}
        self._graph_due = True

    def put(self, records: Collection[Record]) -> None:
        """Write contents and files in bulk, no file before its content."""
        at_once(self._put, records)

    def _put(self, records: Sequence[Record]) -> None:
        contents = (record.content for record in records if record.content is not None)
        self._connection.write(
            self._contents, ((content.hash, mapping.content_document(content)) for content in contents)
        )
        files = (record.file for record in records)
        self._connection.write(
            self._files, ((mapping.file_id(file.origin, file.path), mapping.file_document(file)) for file in files)
        )

    def known(self, paths: Collection[str]) -> dict[str, File]:
        """Return the files recorded under these paths, by path."""
        found = self._connection.get(self._files, (mapping.file_id(self._origin, path) for path in paths))
        files = [mapping.file_of(document) for _, document in found]
        current = self._current({file.content for file in files if not file.problem})
        return {file.path: file for file in files if file.problem or file.content in current}

    def _current(self, contents: Collection[str]) -> set[str]:
        """Return those of the contents that have a signature of the current version."""
        return {content for page in self._told(contents, mapping.current()) for content, _ in page}

    def files(self, roots: Collection[str]) -> Iterator[File]:
        """Stream the files recorded at or below these folders, each once.

        They come in order of path bytes; a byte that is no text counts as higher than all characters.
        """
        starts = {root.rstrip("/") for root in roots}
        topmost = [root for root in starts if not any(root.startswith(above + "/") for above in starts)]
        return heapq.merge(*map(self._files_at, topmost), key=lambda file: mapping.encode_path(file.path).encode())

    def _files_at(self, root: str) -> Iterator[File]:
        if root:
            yield from self.known([root]).values()
        # Reading on from a place in the order is quick; a search for a prefix would look at every path below it.
        below = mapping.encode_path(root + "/")
        for document in self._connection.stream(self._files, self._of_origin, order="path", after=below):
            if not document["path"].startswith(below):
                return
            yield mapping.file_of(document)

    def holders(self, contents: Collection[str]) -> Iterator[File]:
        """Yield the files with one of these contents."""
        for some in parts([*contents], _PAGE):
            query = {"bool": {"filter": [self._of_origin, {"terms": {"content": some}}]}}
            for document in self._connection.stream(self._files, query, order="path", after=""):
                yield mapping.file_of(document)

    def remove(self, paths: Collection[str]) -> None:
        """Forget these files; their contents stay."""
        self._connection.delete(self._files, (mapping.file_id(self._origin, path) for path in paths))

    def has_content(self, content: str) -> bool:
        """Tell whether this content is known with a signature of the current version."""
        found = self._connection.get(self._contents, [content], fields=["signature_version"])
        return any(document["signature_version"] == signature.VERSION for _, document in found)

    def facts(self, contents: Collection[str]) -> dict[str, Facts]:
        """Return the picture facts of these contents, by hash."""
        pages = self._told(contents, {"match_all": {}}, mapping.FACTS)
        return {content: mapping.facts_of(values) for page in pages for content, values in page}

    def content(self, content: str) -> Content | None:
        """Return one content whole, or None."""
        for _, document in self._connection.get(self._contents, [content]):
            if document["signature_version"] == signature.VERSION:
                return mapping.content_of(content, document)
        return None

    def thumbnails(self, contents: Collection[str]) -> dict[str, Thumbnail]:
        """Return the thumbnails of these contents, by hash."""
        found = self._connection.get(self._contents, contents, fields=["thumbnail"])
        return {content: mapping.thumbnail_of(document) for content, document in found}

    def signatures(self, contents: Iterable[str]) -> tuple[list[str], Signature]:
        """Return the contents in ascending order, and their signatures; those that have none are left out."""
        hashes = sorted(set(contents))
        row_of = {content: row for row, content in enumerate(hashes)}
        found, there = _rows(len(hashes)), np.zeros(len(hashes), np.bool_)
        for page, values in self._signatures(row_of.keys()):
            rows = [row_of[content] for content in page]
            found[rows], there[rows] = values, True
        if there.all():
            return hashes, found
        rows = np.flatnonzero(there).tolist()
        for start in range(0, len(rows), _PAGE):  # some at a time: all may be more than there is memory for
            some = rows[start : start + _PAGE]
            found[start : start + len(some)] = found[some]
        return [hashes[row] for row in rows], found[: len(rows)]

    def similar(
        self,
        contents: Collection[str],
        *,
        within: float,
        orientations: Collection[Turn] = (),
        threads: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[Match]:
        """Yield every pair of different contents among these that is at most `within` apart.

        The signatures are read and joined here: that misses nothing, and is faster than asking the server for each.
        What is found is remembered on this machine, so that the next search compares only what has come since.  What
        is written again is not compared again: the same bytes have the same signature of this version.
        """
        with remembered.opened(self._memory) as memory:
            yield from remembered.similar(
                memory,
                contents,
                lambda wanted: self.signatures(content.hex() for content in wanted),
                within=within,
                orientations=orientations,
                threads=threads,
                progress=progress,
            )

    def near(self, contents: Collection[str], *, within: float, orientations: Collection[Turn] = ()) -> Iterator[Match]:
        """Yield the pairs of one of these contents with any other in the store.

        The server tells what may be near, by an approximate search; that is then joined.
        """
        self._prepare_graph()
        asked = set(contents)
        turns = {Turn.UPRIGHT, *orientations, *(turn.inverse for turn in orientations)}
        found = {
            other
            for _, signatures in self._signatures(sorted(asked))
            for turn in turns
            for other in self._neighbours(turned(signatures[signatures.any(axis=1)], turn), within)
        }
        hashes, signatures = self.signatures(asked | found)
        yield from matches(hashes, signatures, within=within, new=asked, orientations=orientations)

    def _prepare_graph(self) -> None:
        """Let the server build a graph once there is much to search; until it has, it reads all vectors each time."""
        if self._graph_due and self._connection.count(self._contents, {"match_all": {}}) >= _GRAPH_FROM:
            self._graph_due = False
            indices = self._connection.indices
            if indices.change(self._contents, mapping.GRAPH, mapping.GRAPH_SETTINGS, unless=mapping.HAS_GRAPH):
                indices.rewrite(self._contents)

    def _signatures(self, contents: Collection[str]) -> Iterator[tuple[list[str], Signature]]:
        """Read the signatures of the current version page by page: hashes, and as many rows."""
        for page in self._told(contents, mapping.current(), ["signature_bytes"]):
            yield (
                [content for content, _ in page],
                mapping.signatures_of([values["signature_bytes"] for _, values in page]),
            )

    def _told(
        self, contents: Collection[str], which: Document, fields: Sequence[str] = ()
    ) -> Iterator[list[tuple[str, Document]]]:
        """Read doc values of those of the contents for which a query holds, page by page.

        Where a good part of all is wanted all are read: that takes two thirds of the time of asking for each.
        """
        if len(contents) > _PAGE and len(contents) * 2 > self._connection.count(self._contents, which):
            wanted = contents if isinstance(contents, AbstractSet) else frozenset(contents)
            for hits in self._connection.scan_hits(self._contents, which, **_values(*fields)):
                yield [one for one in map(mapping.told, hits) if one[0] in wanted]
        else:
            for some in parts(contents, _PAGE):
                query = {"bool": {"filter": [{"ids": {"values": some}}, which]}}
                search = {"query": query, "size": len(some), "sort": ["_doc"], **_values(*fields)}
                for hits in self._connection.search(self._contents, [search]):
                    yield [mapping.told(hit) for hit in hits]

    def _neighbours(self, signatures: Signature, within: float) -> Iterator[str]:
        """Yield the contents near to any of the rows; for those with many the server is asked again and again."""
        k = _NEIGHBOURS
        while len(signatures):
            crowded = []
            for some in parts(range(len(signatures)), min(_QUERIES, _HITS // k)):
                searches = [_nearest(signatures[row], k, within) for row in some]
                for row, hits in zip(some, self._connection.search(self._contents, searches), strict=True):
                    yield from (mapping.told(hit)[0] for hit in hits)
                    if len(hits) >= k:
                        crowded.append(row)
            signatures = signatures[crowded]
            if k == _MOST_NEIGHBOURS:
                break
            k = min(2 * k, _MOST_NEIGHBOURS)
        for vector in signatures:
            yield from self._crowd(vector, within)

    def _crowd(self, vector: Signature, within: float) -> Iterator[str]:
        """Yield the contents near to one that has more neighbours than the server tells at once."""
        told: set[str] = set()
        while True:
            search = _nearest(vector, _MOST_NEIGHBOURS, within)
            search["knn"]["filter"] = {"bool": {"must_not": {"ids": {"values": sorted(told)}}}}
            (hits,) = self._connection.search(self._contents, [search])
            told.update(mapping.told(hit)[0] for hit in hits)
            if len(hits) < _MOST_NEIGHBOURS:
                yield from told
                return

    def looks(self, pairs: Collection[tuple[str, str]], *, version: int) -> dict[tuple[str, str], Look]:
        """Return what is remembered of these pairs of contents."""
        found = self._connection.get(self._looks, (mapping.look_id(a, b) for a, b in pairs))
        looks = (Look(**document) for _, document in found)
        return {(look.a, look.b): look for look in looks if look.version == version}

    def put_looks(self, looks: Collection[Look]) -> None:
        """Remember what looking at pairs of contents showed."""
        self._connection.write(self._looks, ((mapping.look_id(look.a, look.b), asdict(look)) for look in looks))

    def lease(self, note: Callable[[str], None]) -> AbstractContextManager[Lease]:
        """Hold the right to work on the files of this origin; see :mod:`~py_image_dedup.stores.elastic.lease`."""
        return self._leases.of(self._origin, note)

    def elsewhere(self, contents: Collection[str]) -> dict[str, int]:
        """Return how many files with one of these contents other origins have, by origin."""
        found: Counter[str] = Counter()
        if self._connection.count(self._files, {"bool": {"must_not": self._of_origin}}):
            for some in parts(contents, _PAGE):
                theirs = {"bool": {"filter": {"terms": {"content": some}}, "must_not": self._of_origin}}
                found.update(dict(self._connection.values(self._files, "origin", theirs)))
        return {mapping.decode_path(origin): files for origin, files in found.items()}

    def status(self) -> StoreStatus:
        """Count files of this origin and contents of all."""
        return StoreStatus(
            location=f"{self._connection.location}, {self._files} and {self._contents}",
            files=self._connection.count(self._files, self._of_origin),
            contents=self._connection.count(self._contents, {"match_all": {}}),
        )

    def close(self) -> None:
        """Close the connection; everything is written already."""
        self._connection.close()


def _values(*fields: str) -> Document:
    """Ask for the hashes of what is found and these fields, by doc values alone."""
    return {"stored_fields": "_none_", "docvalue_fields": ["sha256", *fields]}


def _nearest(vector: Signature, k: int, within: float) -> Document:
    """Ask for the `k` contents nearest to a signature, within a radius."""
    knn = {
        "field": "signature",
        "query_vector": vector.tobytes().hex(),
        "k": k,
        "num_candidates": min(max(2 * k, _CANDIDATES), _MOST_NEIGHBOURS),
        # A distance of at most T means a cosine of at least 1 - 2 T^2; the server counts in float32.
        "similarity": 1 - 2 * within**2 - 1e-5,
    }
    return {"knn": knn, "size": k, **_values()}


def _rows(count: int) -> Signature:
    """Return room for so many signatures, all zeros: in memory, or in a file without a name if that takes too much."""
    shape = (count, signature.LENGTH)
    if count * signature.LENGTH <= _HELD_IN_MEMORY:
        return np.zeros(shape, np.int8)
    with tempfile.TemporaryFile() as file:
        file.truncate(count * signature.LENGTH)
        return np.memmap(file, np.int8, "r+", shape=shape)
