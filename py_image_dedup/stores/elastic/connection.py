"""One connection to an Elasticsearch server: its errors become ours, and a part is never taken for the whole."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import elastic_transport
from elastic_transport.client_utils import DEFAULT
from elasticsearch import (
    ApiError,
    AuthorizationException,
    BadRequestError,
    Elasticsearch,
    NotFoundError,
    TransportError,
    UnsupportedProductError,
)
from elasticsearch.helpers import streaming_bulk

from py_image_dedup.errors import StoreError, StoreMismatch, StoreUnavailable

Document = dict[str, Any]
Item = TypeVar("Item")

_OLDEST = 9
_BULK_BYTES = 5 << 20
_BULK_DOCUMENTS = 500
_BULKS_AT_ONCE = 2  # while the server works on one, the next is put together
_GET = 1000  # documents asked for by id at once
_PAGE = 5000  # documents of a stream read at once
_KEEP_ALIVE = "5m"
_OPTIONAL = "dense_vector.hnsw_enable_early_termination"  # an index setting that not every version 9 knows


class Connection:
    """A server, version 9 or newer, that answers.

    ``location`` are its URLs without passwords.  What was written through a connection is seen by every later read
    through it.  All methods raise :class:`StoreError` or a subclass.
    """

    @classmethod
    def open(
        cls,
        urls: Sequence[str],
        *,
        user: str | None,
        password: str | None,
        api_key: str | None,
        ca_file: str | None,
        timeout_s: float,
    ) -> Self:
        """Connect, and check that a server of the right kind and version answers."""
        location = ", ".join(map(_without_login, urls))
        try:
            client = Elasticsearch(
                list(urls),
                basic_auth=(user, password or "") if user else None,
                api_key=api_key,
                request_timeout=timeout_s,
                connections_per_node=64,  # one for each analysing thread
                ca_certs=ca_file or DEFAULT,
            )
        except (ValueError, OSError) as error:
            raise StoreError(
                f"Elasticsearch at {location} can't be used: {error}; see elasticsearch.urls and elasticsearch.ca_file"
            ) from error
        connection = cls(client, location)
        try:
            connection._check_version()
        except BaseException:
            client.close()
            raise
        return connection

    def __init__(self, client: Elasticsearch, location: str) -> None:
        self.location = location
        self._client = client
        self._unseen: set[str] = set()  # indices written to since they were last made searchable
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
                if int(version.split(".")[0]) < _OLDEST:
                    raise StoreMismatch(f"{self._too_old()}: it is {version}; upgrade it")

    def prepare(self, index: str, layout: Document, *, create: bool) -> None:
        """Check that an index is there and carries the mark of `layout` (its ``_meta``), or make it."""
        with self._translated():
            found = self._client.indices.get(index=index, ignore_unavailable=True).body
            if not found and create:
                self._create(index, layout)
                found = self._client.indices.get(index=index).body
            with suppress(AuthorizationException):  # who may only read sees what is a second old
                self._client.indices.refresh(index=index, ignore_unavailable=True)
        if not found:
            raise StoreMismatch(
                f"the index {index} does not exist, and elasticsearch.auto_create_index is off: switch it on, or "
                "choose another elasticsearch.index"
            )
        mark = layout["mappings"]["_meta"]
        for state in found.values():
            meta = state["mappings"].get("_meta", {})
            if meta.get("application") != mark["application"]:
                what = f"was not made by {mark['application']} 3"
            elif meta.get("version") != mark["version"]:
                what = f"has version {meta.get('version')}, and this program uses version {mark['version']}"
            else:
                continue
            raise StoreMismatch(f"the index {index} {what}: choose another elasticsearch.index, or delete the index")

    def _create(self, index: str, layout: Document) -> None:
        settings = dict(layout["settings"]["index"])
        while True:
            try:
                self._client.indices.create(index=index, settings=settings, mappings=layout["mappings"])
            except BadRequestError as error:
                if error.message == "resource_already_exists_exception":
                    return  # another process was faster
                if _OPTIONAL not in str(error) or _OPTIONAL not in settings:
                    raise
                del settings[_OPTIONAL]
            else:
                return

    def change(self, index: str, properties: Document) -> None:
        """Change fields of an index, for what is written or merged from now on; where we may not, they stay."""
        with self._translated(), suppress(AuthorizationException):
            self._client.indices.put_mapping(index=index, properties=properties)

    def exists(self, index: str) -> bool:
        """Tell whether an index is there, as far as we may know."""
        with self._translated(), suppress(AuthorizationException):
            return bool(self._client.indices.exists(index=index))
        return False

    def write(self, index: str, actions: Iterable[Document]) -> None:
        """Send bulk actions (``_id`` and ``_source``, or ``_op_type`` delete); one that is refused is an error."""
        with self._written(index), ThreadPoolExecutor(_BULKS_AT_ONCE) as pool:
            sent = [pool.submit(self._send, index, some) for some in parts([*actions], _BULK_DOCUMENTS)]
            refused = [reason for one in sent for reason in one.result()]
        if refused:
            raise StoreError(f"{self._here()} refused {len(refused)} of the records for {index}: {refused[0]}")

    def _send(self, index: str, actions: Sequence[Document]) -> list[str]:
        """Send actions one bulk after the other; return the reasons of those that are refused."""
        with self._translated():
            answers = streaming_bulk(
                self._client,
                actions,
                index=index,
                chunk_size=_BULK_DOCUMENTS,
                max_chunk_bytes=_BULK_BYTES,
                raise_on_error=False,
                max_retries=5,  # of what the server was too busy for, and only that
                initial_backoff=0.5,
            )
            failed = [item for done, item in answers if not done]
        errors = [answer["error"] for item in failed for answer in item.values() if "error" in answer]
        return [_reason(error) for error in errors]  # without one: it was to be deleted and was not there

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
                    raise StoreError(f"{self._here()} failed to read from {index}: {_reason(answer['error'])}")
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

    def _whole(self, answer: Document) -> Any:
        """Return the answer of a search; one that leaves out a part of the index is an error, not a smaller answer."""
        if "error" in answer:
            raise _error_for(answer["status"])(f"{self._here()} failed a search: {_reason(answer['error'])}")
        if answer.get("timed_out") or answer["_shards"]["failed"]:
            raise StoreError(f"{self._here()} answered for a part of the index only; see the health of the cluster")
        return answer

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (elastic_transport.ApiError, TransportError) as error:
            raise self.translate(error) from error

    def translate(self, error: elastic_transport.ApiError | TransportError) -> StoreError:
        """Return the error of ours that stands for one of the client's."""
        if isinstance(error, UnsupportedProductError):
            return StoreMismatch(f"{self._too_old()}, or is not Elasticsearch at all; see elasticsearch.urls")
        if isinstance(error, elastic_transport.ApiError):
            reason = _reason(error.body.get("error") if isinstance(error.body, dict) else error.message)
            if error.message == "media_type_header_exception":  # what version 8 says to our client
                return StoreMismatch(f"{self._too_old()} ({reason}); upgrade it")
            if error.meta.status in {401, 403}:
                return StoreError(
                    f"{self._here()} does not let us: {reason}; see elasticsearch.user, elasticsearch.password and "
                    "elasticsearch.api_key"
                )
            return _error_for(error.meta.status)(f"{self._here()} answered {error.meta.status}: {reason}")
        if isinstance(error, elastic_transport.SerializationError):
            return StoreError(f"what {self._here()} sent, or was to be sent, is malformed: {error}")
        cause = error.errors[0] if error.errors else error
        return StoreUnavailable(
            f"{self._here()} can't be reached: {cause}; see elasticsearch.host, elasticsearch.port, "
            "elasticsearch.urls and elasticsearch.ca_file"
        )

    def _here(self) -> str:
        return f"Elasticsearch at {self.location}"

    def _too_old(self) -> str:
        return f"the server at {self.location} is older than Elasticsearch {_OLDEST}"


def parts(whole: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Cut a sequence into lists of at most `size`."""
    for start in range(0, len(whole), size):
        yield list(whole[start : start + size])


def _error_for(status: int) -> type[StoreError]:
    return StoreUnavailable if status in {429, 502, 503, 504} else StoreError


def _reason(error: Any) -> str:
    """Return the innermost reason that the server gives."""
    while isinstance(error, dict) and isinstance(error.get("caused_by"), dict):
        error = error["caused_by"]
    return str(error.get("reason") or error.get("type")) if isinstance(error, dict) else str(error)


def _without_login(url: str) -> str:
    parsed = urlsplit(url)
    return parsed._replace(netloc=parsed.netloc.rpartition("@")[2]).geturl()
