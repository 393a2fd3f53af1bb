"""One connection to an Elasticsearch server: its errors become ours, and a part is never taken for the whole."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self, TypedDict, TypeVar, Unpack
from urllib.parse import urlsplit

from elastic_transport.client_utils import DEFAULT
from elasticsearch import (
    ApiError,
    AuthorizationException,
    BadRequestError,
    ConflictError,
    Elasticsearch,
    NotFoundError,
    TransportError,
)
from elasticsearch.helpers import streaming_bulk

from py_image_dedup.errors import StoreError, StoreMismatch
from py_image_dedup.stores.elastic.failures import OLDEST, Failures, reason_of

Document = dict[str, Any]
Item = TypeVar("Item")
Version = tuple[int, int]
"""Of one document: what a later write has to name to replace just this one (sequence number, primary term)."""

_BULK_BYTES = 5 << 20
_BULK_DOCUMENTS = 1000
_GET = 1000  # documents asked for by id at once
_PAGE = 5000  # documents of a stream read at once
_KEEP_ALIVE = "5m"
_OPTIONAL = "dense_vector.hnsw_enable_early_termination"  # an index setting that not every version 9 knows


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

    ``location`` are its URLs without passwords.  What was written through a connection is seen by every later read
    through it.  All methods raise :class:`StoreError` or a subclass.
    """

    @classmethod
    def open(cls, urls: Sequence[str], **login: Unpack[Login]) -> Self:
        """Connect, and check that a server of the right kind and version answers."""
        user, api_key = login.get("user"), login.get("api_key")
        keys = ("elasticsearch.user", "elasticsearch.password") if user else ("elasticsearch.api_key",)
        failures = Failures(", ".join(map(_without_login, urls)), keys if user or api_key else ())
        try:
            client = Elasticsearch(
                list(urls),
                basic_auth=(user, login.get("password") or "") if user else None,
                api_key=api_key,
                request_timeout=login.get("timeout_s", 30.0),
                connections_per_node=64,  # one for each analysing thread
                ca_certs=login.get("ca_file") or DEFAULT,
                ssl_assert_fingerprint=login.get("ca_fingerprint") or DEFAULT,
            )
        except (ValueError, OSError) as error:
            raise StoreError(
                f"{failures.here} can't be used: {error}; see elasticsearch.urls and elasticsearch.ca_file"
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
        self._client = client
        self._failures = failures
        self._translated = failures.translated
        self._whole = failures.whole
        self._unseen: set[str] = set()  # indices written to since they were last made searchable
        self._aliases: set[str] = set()  # names of which we know that they stand for an index
        self._refreshing = threading.Lock()

    def close(self) -> None:
        """Close the connections; closing twice is no error."""
        self._client.close()

    def _check_version(self) -> None:
        """Refuse a server that is too old; one that does not let us ask is taken as it is."""
        with self._translated(), suppress(AuthorizationException):
            try:
                versions = [self._client.info()["version"]["number"]]
            except ApiError as error:
                if error.status_code not in {404, 405}:
                    raise
                nodes = self._client.nodes.info(node_id="_all", metric="none")["nodes"]
                versions = [node["version"] for node in nodes.values()]
            for version in versions:
                if int(version.split(".")[0]) < OLDEST:
                    raise StoreMismatch(f"{self._failures.too_old()}: it is {version}; upgrade it")

    def prepare(self, index: str, layout: Document, *, create: bool) -> None:
        """Check that an index is there and carries the mark of `layout` (its ``_meta``), or make it."""
        found = self.indices(index)
        if not found and create:
            self.create(f"{index}-000001", layout, alias=index)
            found = self.indices(index)
        if not found:
            raise StoreMismatch(
                f"the index {index} does not exist, and elasticsearch.auto_create_index is off: switch it on, or "
                "choose another elasticsearch.index"
            )
        for state in found.values():
            check_mark(index, state, layout)
        with self._translated(), suppress(AuthorizationException):  # who may only read sees what is a second old
            self._client.indices.refresh(index=index)
        if index not in found:
            self._aliases.add(index)

    def indices(self, name: str) -> dict[str, Document]:
        """Return what there is under this name, be it an alias or an index: index by index, what it is like."""
        with self._translated():
            return dict(self._client.indices.get(index=name, ignore_unavailable=True).body)

    def create(self, index: str, layout: Document, *, alias: str | None = None) -> None:
        """Make an index, and an alias for it; one that another process has made meanwhile is no error."""
        settings = dict(layout["settings"]["index"])
        aliases = {alias: {"is_write_index": True}} if alias else {}
        while True:
            try:
                with self._translated():
                    self._client.indices.create(
                        index=index, settings=settings, mappings=layout["mappings"], aliases=aliases
                    )
            except StoreError as error:
                cause = error.__cause__
                if not isinstance(cause, BadRequestError):
                    raise
                if cause.message == "resource_already_exists_exception":
                    return
                if _OPTIONAL not in str(cause) or _OPTIONAL not in settings:
                    raise
                del settings[_OPTIONAL]
            else:
                return

    def exists(self, index: str) -> bool:
        """Tell whether an index is there, as far as we may know."""
        with self._translated(), suppress(AuthorizationException):
            return bool(self._client.indices.exists(index=index))
        return False

    def write(self, index: str, actions: Iterable[Document]) -> None:
        """Send bulk actions (``_id`` and ``_source``, or ``_op_type`` delete); one that is refused is an error."""
        refused = 0
        reason: Any = None
        with self._written(index), self._translated():
            for done, item in streaming_bulk(
                self._client,
                actions,
                index=index,
                require_alias=index in self._aliases,  # a deleted index is not to be made anew, without a mapping
                chunk_size=_BULK_DOCUMENTS,
                max_chunk_bytes=_BULK_BYTES,
                raise_on_error=False,
                max_retries=5,  # of what the server was too busy for, and only that
                initial_backoff=0.5,
            ):
                (answer,) = item.values()
                if not done and "error" in answer:  # without: it was to be deleted and was not there
                    refused += 1
                    reason = reason or answer["error"]
        if refused:
            raise self._failures.refused(refused, index, reason)

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
        for some in parts([*dict.fromkeys(ids)], _GET):
            with self._translated():
                answers = self._client.mget(index=index, ids=some, source_includes=fields)["docs"]
            for answer in answers:
                if "error" in answer:
                    reason = reason_of(answer["error"])
                    raise self._failures.failed(0, f"failed to read from {index}: {reason}")
                if answer["found"]:
                    yield answer["_id"], answer["_source"]

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
                        source=source,
                        track_total_hits=False,
                        allow_partial_search_results=False,
                    ).body
                hits = self._whole(answer)["hits"]["hits"]
                if hits:
                    yield [(hit["_id"], hit.get("_source", {})) for hit in hits]
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

    def _searchable(self, index: str) -> str:
        """Make what was written visible to searches, and give back the index."""
        with self._refreshing:
            if index in self._unseen:
                with self._translated():
                    self._client.indices.refresh(index=index)
                self._unseen.discard(index)
        return index


def check_mark(index: str, state: Document, layout: Document) -> None:
    """Raise :class:`StoreMismatch` unless an index is ours, of this version, and not about to be replaced."""
    mark, meta = layout["mappings"]["_meta"], state["mappings"].get("_meta", {})
    found, used = meta.get("version"), mark["version"]
    if meta.get("application") != mark["application"]:
        what = f"was not made by {mark['application']} 3: choose another elasticsearch.index, or delete the index"
    elif found > used:
        what = f"has version {found}, and this program uses version {used}: upgrade the program"
    elif found < used:
        what = f"has version {found}, and this program uses version {used}: run py-image-dedup index migrate"
    elif state["settings"]["index"].get("blocks", {}).get("write") == "true":
        what = "is closed to writing: if a migration broke off, end it with py-image-dedup index migrate"
    else:
        return
    raise StoreMismatch(f"the index {index} {what}")


def parts(whole: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Cut a sequence into lists of at most `size`."""
    for start in range(0, len(whole), size):
        yield list(whole[start : start + size])


def _without_login(url: str) -> str:
    parsed = urlsplit(url)
    return parsed._replace(netloc=parsed.netloc.rpartition("@")[2]).geturl()
