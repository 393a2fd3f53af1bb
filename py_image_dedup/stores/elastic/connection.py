"""One connection to an Elasticsearch server: its errors become ours, and a part is never taken for the whole."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, Self, TypedDict, TypeVar, Unpack
from urllib.parse import urlsplit

from elastic_transport.client_utils import DEFAULT
from elasticsearch import (
    ApiError,
    ConflictError,
    Elasticsearch,
    NotFoundError,
    OrjsonSerializer,
    TransportError,
)
from elasticsearch.helpers import streaming_bulk

from py_image_dedup.errors import StoreError, StoreMismatch
from py_image_dedup.stores.elastic.failures import OLDEST, Failures, reason_of
from py_image_dedup.stores.elastic.indices import Document, Indices

Item = TypeVar("Item")
Version = tuple[int, int]
"""Of one document: what a later write has to name to replace just this one (sequence number, primary term)."""

_BULK_BYTES = 5 << 20
_BULK_DOCUMENTS = 500
_WRITERS = 4  # while the server works on what some have sent, the others put together what comes next
_WRITTEN_BY_ONE = 250  # at a time
_GET = 1000  # documents asked for by id at once
_PAGE = 5000  # documents of a stream read at once
_KEEP_ALIVE = "5m"


class Login(TypedDict, total=False):
    """How to get at a server besides its address.

    ``ca_file`` names the certificate of the authority to trust, ``ca_fingerprint`` the SHA-256 of that of the authority
    or of the server itself.  ``timeout_s`` seconds are waited for each answer.
    """

    user: str | None
    password: str | None
    api_key: str | None
    ca_file: str | None
    ca_fingerprint: str | None
    timeout_s: float


class Connection:
    """A server, version 9 or newer, that answers.

    ``location`` are its URLs without passwords; ``indices`` what can be done to whole indices.  What was written
    through a connection is seen by every later read through it.  All methods raise :class:`StoreError` or a subclass.
    """

    @classmethod
    def open(cls, urls: Sequence[str], **login: Unpack[Login]) -> Self:
        """Connect, and check that a server of the right kind and version answers."""
        user, api_key = login.get("user"), login.get("api_key")
        keys = ("elasticsearch.user", "elasticsearch.password") if user else ("elasticsearch.api_key",)
        failures = Failures(", ".join(map(_without_login, urls)), keys if user or api_key else ())
        if ca_file := login.get("ca_file"):
            _check_authority(ca_file)
        try:
            client = Elasticsearch(
                list(urls),
                basic_auth=(user, login.get("password") or "") if user else None,
                api_key=api_key,
                request_timeout=login.get("timeout_s", 30.0),
                serializer=OrjsonSerializer(),  # a fifth of the client's time over a million records
                connections_per_node=64,  # one for each analysing thread
                ca_certs=ca_file or DEFAULT,
                ssl_assert_fingerprint=login.get("ca_fingerprint") or DEFAULT,
            )
        except (ValueError, OSError) as error:
            raise StoreError(
                f"{failures.here} can't be used: {error}; see elasticsearch.urls, elasticsearch.ca_file and "
                "elasticsearch.ca_fingerprint"
            ) from error
        connection = cls(client, failures)
        try:
            connection._check_version()
        except BaseException:
            client.close()
            raise
        return connection

    def __init__(self, client: Elasticsearch, failures: Failures) -> None:
        self.location = failures.location
        self.indices = Indices(client, failures)
        self._client = client
        self._failures = failures
        self._translated = failures.translated
        self._whole = failures.whole
        self._unseen: set[str] = set()  # indices written to since they were last made searchable
        self._refreshing = threading.Lock()

    def close(self) -> None:
        """Close the connections; closing twice is no error."""
        self._client.close()

    def _check_version(self) -> None:
        """Refuse a server that is too old; one that does not let us ask is taken as it is."""
        for version in self.indices.software():
            if int(version.split(".")[0]) < OLDEST:
                raise StoreMismatch(f"{self._failures.too_old()}: it is {version}; upgrade it")

    def write(self, index: str, documents: Iterable[tuple[str, Document]]) -> None:
        """Write documents by id, in bulk; one that is refused is an error."""
        self._send(index, (({"index": {"_id": name}}, document) for name, document in documents))

    def delete(self, index: str, ids: Iterable[str]) -> None:
        """Delete documents by id, in bulk; those that are not there are no error."""
        self._send(index, (({"delete": {"_id": name}}, None) for name in ids))

    def _send(self, index: str, actions: Iterable[Any]) -> None:
        """Send bulk actions: of each the line that says what to do, and the document to write or None."""
        with self._written(index), self._translated():
            answers = streaming_bulk(
                self._client,
                actions,
                index=index,
                require_alias=index in self.indices.aliases,  # what was deleted is not made anew, without a mapping
                chunk_size=_BULK_DOCUMENTS,
                max_chunk_bytes=_BULK_BYTES,
                expand_action_callback=_as_it_is,
                raise_on_error=False,
                max_retries=5,  # of what the server was too busy for, and only that
                initial_backoff=0.5,
                filter_path="errors,items.*.status,items.*.error",
            )
            failed = [item for done, item in answers if not done]
        # What has no error was to be deleted and was not there.
        refused = [answer["error"] for item in failed for answer in item.values() if "error" in answer]
        if refused:
            raise self._failures.refused(len(refused), index, refused[0])

    @contextmanager
    def _written(self, index: str) -> Iterator[None]:
        """Remember at the end, also of a failure, that something new may be in an index.

        At the end: a refresh by another thread meanwhile may have come too early for the last of it.
        """
        try:
            yield
        finally:
            with self._refreshing:
                self._unseen.add(index)

    def get(
        self, index: str, ids: Iterable[str], *, fields: Sequence[str] | None = None
    ) -> Iterator[tuple[str, Document]]:
        """Read documents, or some of their fields, by id; ids that are not there are left out."""
        for answer in self._documents(index, ids, source_includes=fields):
            if answer["found"]:
                yield answer["_id"], answer["_source"]

    def missing(self, index: str, ids: Iterable[str]) -> set[str]:
        """Return those ids that no document has."""
        return {answer["_id"] for answer in self._documents(index, ids, source=False) if not answer["found"]}

    def _documents(self, index: str, ids: Iterable[str], **options: Any) -> Iterator[Document]:
        for some in parts(dict.fromkeys(ids), _GET):
            with self._translated():
                answers = self._client.mget(index=index, ids=some, **options)["docs"]
            for answer in answers:
                if "error" in answer:
                    raise self._failures.failed(0, f"failed to read from {index}: {reason_of(answer['error'])}")
                yield answer

    def search(self, index: str, searches: Sequence[Document]) -> Iterator[list[Document]]:
        """Send searches together, and yield the hits of each."""
        header = {"index": self._searchable(index), "allow_partial_search_results": False}
        together = [line for search in searches for line in (header, {"track_total_hits": False} | search)]
        with self._translated():
            answers = self._client.msearch(searches=together)["responses"]
        for answer in answers:
            yield self._whole(answer)["hits"]["hits"]

    def stream(self, index: str, query: Document, *, order: str, after: str) -> Iterator[Document]:
        """Yield the documents that match in the order of a field that differs in all of them, beyond one value."""
        view = None
        try:
            while True:
                view, page = self._page(index, view, query=query, sort=[{order: "asc"}], search_after=[after])
                yield from page
                if len(page) < _PAGE:
                    return
                after = page[-1][order]
        finally:
            if view is not None:
                with suppress(ApiError, TransportError):  # it ends by itself, a little later
                    self._client.close_point_in_time(id=view)

    def _page(self, index: str, view: str | None, **search: Any) -> tuple[str, list[Document]]:
        """Return the next page, and the view of the index (PIT) to go on with."""
        searchable = self._searchable(index) if view is None else index
        with self._translated():
            pit = view or self._client.open_point_in_time(index=searchable, keep_alive=_KEEP_ALIVE)["id"]
            try:
                answer = self._client.search(
                    pit={"id": pit, "keep_alive": _KEEP_ALIVE},
                    size=_PAGE,
                    track_total_hits=False,
                    allow_partial_search_results=False,
                    **search,
                ).body
            except NotFoundError:
                if view is None:
                    raise
                # The reader took longer over a page than a view is kept: go on with a new one.
                return self._page(index, None, **search)
        return answer["pit_id"], [hit["_source"] for hit in self._whole(answer)["hits"]["hits"]]

    def scan(
        self, index: str, query: Document | None = None, *, fields: Sequence[str] | None = None
    ) -> Iterator[list[tuple[str, Document]]]:
        """Yield all documents that match, as of this moment, page by page: ids, and all or only some fields."""
        source = {"includes": list(fields)} if fields else fields is None
        for hits in self.scan_hits(index, query, source=source):
            yield [(hit["_id"], hit.get("_source", {})) for hit in hits]

    def scan_hits(self, index: str, query: Document | None = None, **told: Any) -> Iterator[list[Document]]:
        """Yield all hits, as of this moment, page by page; `told`: what a search is to tell of each."""
        after = None
        with self._translated():
            view = self._client.open_point_in_time(index=self._searchable(index), keep_alive=_KEEP_ALIVE)["id"]
        try:
            while True:
                with self._translated():
                    answer = self._client.search(
                        pit={"id": view, "keep_alive": _KEEP_ALIVE},
                        size=_PAGE,
                        query=query or {"match_all": {}},
                        sort=["_shard_doc"],
                        search_after=after,
                        track_total_hits=False,
                        allow_partial_search_results=False,
                        **told,
                    ).body
                hits = self._whole(answer)["hits"]["hits"]
                if hits:
                    yield hits
                if len(hits) < _PAGE:
                    return
                view, after = answer["pit_id"], hits[-1]["sort"]
        finally:
            with suppress(ApiError, TransportError):
                self._client.close_point_in_time(id=view)

    def read_one(self, index: str, name: str) -> tuple[Version, Document] | None:
        """Return a document as it is this moment, not as it was last made searchable; None if it is not there."""
        with self._translated():
            try:
                found = self._client.get(index=index, id=name)
            except NotFoundError as error:
                if "error" in error.body:  # it is the index that is not there
                    raise
                return None
        return (found["_seq_no"], found["_primary_term"]), found["_source"]

    def write_if(self, index: str, name: str, document: Document, replaced: Version | None) -> Version | None:
        """Write a document in place of one version of it, or as the first; None if it is not as expected any more."""
        expected: dict[str, Any] = {"op_type": "create"}
        if replaced is not None:
            expected = {"if_seq_no": replaced[0], "if_primary_term": replaced[1]}
        with self._written(index), self._translated():
            try:
                done = self._client.index(index=index, id=name, document=document, require_alias=True, **expected)
            except ConflictError:
                return None
        return done["_seq_no"], done["_primary_term"]

    def delete_if(self, index: str, name: str, version: Version) -> None:
        """Delete one version of a document; one that is gone or another by now is left as it is."""
        with self._written(index), self._translated(), suppress(ConflictError):
            self._client.delete(index=index, id=name, if_seq_no=version[0], if_primary_term=version[1])

    def count(self, index: str, query: Document) -> int:
        """Count the documents that match."""
        searchable = self._searchable(index)
        with self._translated():
            answer = self._client.count(index=searchable, query=query).body
        return int(self._whole(answer)["count"])

    def values(self, index: str, field: str, query: Document | None = None, most: int = 1000) -> list[tuple[str, int]]:
        """Return the values of a field in the documents that match, and in how many each is; at most so many."""
        searchable = self._searchable(index)
        with self._translated():
            answer = self._client.search(
                index=searchable,
                size=0,
                query=query or {"match_all": {}},
                aggregations={"values": {"terms": {"field": field, "size": most, "order": {"_key": "asc"}}}},
                allow_partial_search_results=False,
            ).body
        return [(one["key"], one["doc_count"]) for one in self._whole(answer)["aggregations"]["values"]["buckets"]]

    def _searchable(self, index: str) -> str:
        """Make what was written visible to searches, and give back the index."""
        with self._refreshing:
            if index in self._unseen:
                self.indices.refresh(index)
                self._unseen.discard(index)
        return index


def _as_it_is(action: Any) -> Any:
    """Return an action in two parts already; taking it apart takes the helper a sixth of the client's time."""
    return action


def at_once(write: Callable[[list[Item]], None], whole: Iterable[Item]) -> None:
    """Call `write` with some of it at a time, in several threads; of failures the first is raised, at the end."""
    with ThreadPoolExecutor(_WRITERS) as pool:
        for _ in pool.map(write, parts(whole, _WRITTEN_BY_ONE)):
            pass


def parts(whole: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Cut what there is into lists of at most `size`, each when it is asked for."""
    waiting = iter(whole)
    while some := list(islice(waiting, size)):
        yield some


def _check_authority(file: str) -> None:
    """Refuse a file without certificates here: the client reads it after connecting, if at all."""
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:
        raise StoreError(
            f"{file} can't be used as elasticsearch.ca_file: {error}; name a file with the certificate (PEM) of the "
            "authority that signed the server's"
        ) from error


def _without_login(url: str) -> str:
    parsed = urlsplit(url)
    return parsed._replace(netloc=parsed.netloc.rpartition("@")[2]).geturl()
