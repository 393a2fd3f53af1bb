"""What is particular to the store on an Elasticsearch server."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import elastic_transport
import elasticsearch
import numpy as np
import numpy.typing as npt
import pytest
from elastic_server import remove_indices
from elasticsearch import Elasticsearch
from forwarder import forwarder
from hypothesis import given
from hypothesis import strategies as st
from records import altered, content, file, pairs_within, record, records, signatures

from py_image_dedup import signature
from py_image_dedup.errors import StoreError, StoreMismatch, StoreUnavailable
from py_image_dedup.model import File, Record, Turn
from py_image_dedup.stores.elastic import ElasticStore, connection, indices, mapping
from py_image_dedup.stores.elastic import store as elastic_store
from py_image_dedup.stores.elastic.connection import Connection
from py_image_dedup.stores.elastic.failures import Failures
from py_image_dedup.stores.elastic.indices import Indices

Signatures = npt.NDArray[np.int8]
needs_server = pytest.mark.elasticsearch
Open = Callable[..., ElasticStore]
Act = Callable[[], object]


@pytest.fixture
def client(elasticsearch_url: str) -> Iterator[Elasticsearch]:
    with Elasticsearch(elasticsearch_url) as client:
        yield client


@pytest.fixture
def index(elasticsearch_url: str) -> Iterator[str]:
    """A name that no index begins with yet."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    remove_indices(elasticsearch_url, name)


@pytest.fixture
def open_store(elasticsearch_url: str, index: str) -> Iterator[Open]:
    opened: list[ElasticStore] = []

    def open_one(**options: Any) -> ElasticStore:
        defaults: dict[str, Any] = {"urls": [elasticsearch_url], "index": index}
        opened.append(open_at(**(defaults | options)))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


def open_at(*urls: str, **options: Any) -> ElasticStore:
    defaults: dict[str, Any] = {"urls": urls, "index": "i", "origin": "here", "auto_create_index": True}
    return ElasticStore.open(**(defaults | options))


# Indices

OF_ANOTHER = "was not made by py-image-dedup 3: choose another elasticsearch.index, or delete the index"


@needs_server
@pytest.mark.parametrize("part", mapping.PARTS)
@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({}, OF_ANOTHER),
        ({"_meta": {"application": "another"}}, OF_ANOTHER),
        (
            {"_meta": {"application": "py-image-dedup", "version": 0}},
            "has version 0, and this program uses version {ours}: run py-image-dedup index migrate",
        ),
        (
            {"_meta": {"application": "py-image-dedup", "version": 7}},
            "has version 7, and this program uses version {ours}: upgrade the program",
        ),
    ],
)
def test_refuses_indices_of_others(
    client: Elasticsearch, index: str, open_store: Open, *, part: str, meta: dict[str, Any], said: str
) -> None:
    name = f"{index}-{part}"
    client.indices.create(index=name, mappings={**meta, "properties": {"a": {"type": "keyword"}}})
    before = client.indices.get_mapping(index=name).body
    with pytest.raises(StoreMismatch) as refused:
        open_store()
    ours = mapping.version(mapping.PARTS[part])
    assert str(refused.value) == f"the index {name} {said.format(ours=ours)}"
    assert client.indices.get_mapping(index=name).body == before


@needs_server
def test_leaves_an_index_of_version_2_alone(client: Elasticsearch, index: str, open_store: Open) -> None:
    assert open_store().legacy_index is None
    client.index(index=index, id="1", document={"path": "/a/1"}, refresh=True)
    store = open_store()
    assert store.legacy_index == index
    store.put([record("/a/2")])
    assert list(store.files(["/"])) == [file("/a/2")]
    assert client.get(index=index, id="1")["_source"] == {"path": "/a/1"}
    assert client.count(index=index)["count"] == 1


@needs_server
def test_makes_no_index_unless_it_may(client: Elasticsearch, index: str, open_store: Open) -> None:
    with pytest.raises(StoreError, match=f"{index}-files does not exist, and elasticsearch.auto_create_index is off"):
        open_store(auto_create_index=False)
    assert not client.indices.exists(index=f"{index}-*", allow_no_indices=False)
    open_store().put([record("/a/1")])
    assert open_store(auto_create_index=False).known(["/a/1"]) == {"/a/1": file("/a/1")}
    client.indices.delete(index=f"{index}-contents-000001")
    with pytest.raises(StoreError, match=f"{index}-contents does not exist"):
        open_store(auto_create_index=False)
    assert open_store().status().contents == 0


@needs_server
def test_a_node_that_has_not_heard_of_a_new_index_is_asked_again(
    index: str, open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one node has made another may not know for a moment; that is no index that nobody may make."""
    find = Indices.find
    asked: list[str] = []
    pauses: list[float] = []

    def late(self: Indices, name: str) -> dict[str, Any]:
        asked.append(name)
        return find(self, name) if asked.count(name) > heard_of_after else {}

    monkeypatch.setattr(Indices, "find", late)
    monkeypatch.setattr("py_image_dedup.stores.elastic.indices.time.sleep", pauses.append)
    heard_of_after = 3
    assert open_store().status().contents == 0
    assert len(pauses) == 2 * len(mapping.PARTS)
    heard_of_after, pauses[:] = 100, []
    with pytest.raises(StoreUnavailable, match=f"the index {index}-files was made, but can't be found"):
        open_store()
    assert 3 < sum(pauses) < 10


@needs_server
def test_two_may_make_the_indices_at_once(open_store: Open) -> None:
    stores: list[ElasticStore] = []
    threads = [threading.Thread(target=lambda: stores.append(open_store())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 4


@needs_server
def test_does_without_a_setting_that_the_server_does_not_know(
    client: Elasticsearch, index: str, open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(indices._OPTIONAL) <= mapping.CONTENTS["settings"]["index"].keys()
    settings = {"number_of_shards": 1, "dense_vector.unheard_of": False, "mapping.heard_of_never": 1}
    unknown = {**mapping.CONTENTS, "settings": {"index": settings}}
    monkeypatch.setitem(mapping.PARTS, "contents", unknown)
    named = r"unknown setting \[index\.(dense_vector\.unheard_of|mapping\.heard_of_never)\]"  # either comes first
    with pytest.raises(StoreError, match=named):
        open_store()
    monkeypatch.setattr(indices, "_OPTIONAL", ("dense_vector.unheard_of", "mapping.heard_of_never"))
    open_store()
    assert client.indices.exists(index=f"{index}-contents")


@needs_server
def test_what_the_indices_look_like(client: Elasticsearch, index: str, open_store: Open) -> None:
    open_store()
    for part, layout in mapping.PARTS.items():
        made = client.indices.get(index=f"{index}-{part}")[f"{index}-{part}-000001"]["mappings"]
        assert made["dynamic"] == "strict"
        assert made["_meta"] == {"application": "py-image-dedup", "version": 2 if part == "contents" else 1}
        assert made["properties"].keys() == layout["mappings"]["properties"].keys()
    assert {field.name for field in fields(File)} == mapping.FILES["mappings"]["properties"].keys()
    assert set(mapping.FACTS) < mapping.CONTENTS["mappings"]["properties"].keys()
    vector = mapping.CONTENTS["mappings"]["properties"]["signature"]
    assert (vector["type"], vector["dims"], vector["similarity"]) == ("dense_vector", 648, "cosine")


@needs_server
def test_a_featureless_picture_has_no_vector(client: Elasticsearch, index: str, open_store: Open) -> None:
    store = open_store()
    some = records([np.zeros(648, np.int8), content("x").signature])
    store.put(some)
    assert store.status().contents == 2
    with_vector = client.count(index=f"{index}-contents", query={"exists": {"field": "signature"}})
    assert with_vector["count"] == 1
    found = store.content(some[0].file.content)
    assert found is not None
    assert not found.signature.any()


# Search


def crowd(others: int) -> Signatures:
    """Pictures, the first also 300 times, and a little altered at all distances from it."""
    pictures = list(signatures(others, seed=11))
    near = [altered(pictures[0], share, seed=n) for n, share in enumerate(np.linspace(0.005, 0.3, 60))]
    return np.array([*pictures, *near, *[pictures[0]] * 300], np.int8)


def found(store: ElasticStore, vectors: Signatures, radius: float) -> set[tuple[int, int]]:
    """Put contents with these signatures, and return all similar pairs by number."""
    some = records(vectors)
    hashes = [one.file.content for one in some]
    numbers = {name: number for number, name in enumerate(hashes)}
    store.put(some)
    matches = list(store.similar(hashes, within=radius))
    pairs = {(min(numbers[m.a], numbers[m.b]), max(numbers[m.a], numbers[m.b])) for m in matches}
    assert len(pairs) == len(matches)
    return pairs


@needs_server
@pytest.mark.parametrize("backwards", [False, True])
def test_finds_300_identical_signatures_among_5000_others(open_store: Open, *, backwards: bool) -> None:
    vectors = crowd(5_000)[:: -1 if backwards else 1]
    true = pairs_within(vectors, 0.25)
    assert len(true) > 300 * 301 / 2
    assert found(open_store(), vectors, 0.25) == true


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many neighbours the server is asked for, each time."""
    asked: list[int] = []
    search = Connection.search

    def listen(self: Connection, index: str, searches: Any) -> Iterator[list[dict[str, Any]]]:
        asked.extend(one["knn"]["k"] for one in searches if "knn" in one)
        return search(self, index, searches)

    monkeypatch.setattr(Connection, "search", listen)
    return asked


@needs_server
def test_asks_the_server_about_few_and_turned_pictures(open_store: Open, pages: list[int]) -> None:
    """The server is asked for what is near a few, turned each way; all that a full join finds is there."""
    upright = np.array([*signatures(200, seed=13)], np.int8)
    turns = [Turn(1 + row % 8) for row in range(len(upright))]
    copies = [signature.turned(upright[row : row + 1], turn)[0] for row, turn in enumerate(turns)]
    some = records(np.array([*upright, *copies], np.int8))
    hashes = [one.file.content for one in some]
    store = open_store()
    store.put(some)
    for new in (hashes[10:30], hashes[205:206]):
        for orientations in ((), (Turn.CLOCKWISE,), tuple(Turn)):
            every = list(store.similar(hashes, within=0.2, orientations=orientations))
            assert pages == []
            found = store.near(new, within=0.2, orientations=orientations)
            assert sorted(found) == sorted(match for match in every if match.a in new or match.b in new)
            assert len(pages) >= len(new)
            pages.clear()


@needs_server
def test_asks_on_while_pages_are_full(open_store: Open, pages: list[int]) -> None:
    """A picture with hundreds of near ones has more than a page of them: none is left out."""
    pictures = list(signatures(300, seed=12))
    near = [altered(pictures[0], 0.02, seed=n) for n in range(300)]
    vectors = np.array([*pictures, *near], np.int8)
    some = records(vectors)
    hashes = [one.file.content for one in some]
    store = open_store()
    store.put(some)

    matches = list(store.near(hashes[:1], within=0.1))

    assert pages == [70, 140, 280]
    assert 140 < len(matches) == sum(0 in pair for pair in pairs_within(vectors, 0.1))


@needs_server
def test_a_crowd_larger_than_the_longest_page_is_told_whole(
    open_store: Open, pages: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more neighbours than the server gives at once it is asked for the others: no limit hides any."""
    monkeypatch.setattr(elastic_store, "_MOST_NEIGHBOURS", 140)
    vectors = crowd(100)
    some = records(vectors)
    hashes = [one.file.content for one in some]
    store = open_store()
    store.put(some)
    row = next(row for row in range(len(vectors)) if sum(row in pair for pair in pairs_within(vectors, 0.25)) > 250)

    matches = list(store.near([hashes[row]], within=0.25))

    assert pages == [70, 140, 140, 140, 140]
    assert len(matches) == sum(row in pair for pair in pairs_within(vectors, 0.25))


@needs_server
def test_a_graph_is_made_when_there_is_much_to_search(
    client: Elasticsearch, index: str, open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At first vectors are stored as they come; once there are many, those get a graph too, and finding stays."""
    rewritten: list[str] = []
    rewrite = Indices.rewrite

    def listen(self: Indices, name: str) -> None:
        rewritten.append(name)
        rewrite(self, name)

    monkeypatch.setattr(Indices, "rewrite", listen)
    contents = f"{index}-contents"
    some = records(crowd(100))
    asked = [one.file.content for one in some[5:8]]

    def kind() -> str:
        (state,) = client.indices.get_mapping(index=contents).values()
        return str(state["mappings"]["properties"]["signature"]["index_options"]["type"])

    def parts() -> int:
        (state,) = client.indices.segments(index=contents)["indices"].values()
        return sum(len(shard["segments"]) for copies in state["shards"].values() for shard in copies)

    store = open_store()
    for start in range(0, len(some), 120):
        store.put(some[start : start + 120])
        client.indices.refresh(index=contents)
    before = sorted(store.near(asked, within=0.25))
    assert (kind(), parts() > 1, rewritten) == ("flat", True, [])

    monkeypatch.setattr(elastic_store, "_GRAPH_FROM", 100)
    assert sorted(store.near(asked, within=0.25)) == before
    assert (kind(), rewritten) == ("hnsw", [contents])
    ending = time.monotonic() + 30
    while parts() > 1:
        assert time.monotonic() < ending
        time.sleep(0.1)
    assert sorted(open_store().near(asked, within=0.25)) == before
    assert rewritten == [contents]


@needs_server
def test_signatures_too_large_for_memory_lie_in_a_file(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pairs are found when the signatures are held in a file."""
    vectors = crowd(300)
    true = pairs_within(vectors, 0.25)
    monkeypatch.setattr(elastic_store, "_HELD_IN_MEMORY", 1000)

    assert found(open_store(), vectors, 0.25) == true
    assert isinstance(elastic_store._rows(len(vectors)), np.memmap)


@needs_server
def test_a_listing_outlives_its_view(client: Elasticsearch, open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_PAGE", 10)
    store = open_store()
    some = [file(f"/a/{number:03}") for number in range(95)]
    store.put([Record(one, None) for one in some])
    views: list[str] = []
    page = Connection._page

    def listen(self: Connection, *arguments: Any, **search: Any) -> Any:
        answer = page(self, *arguments, **search)
        views.append(answer[0])
        return answer

    monkeypatch.setattr(Connection, "_page", listen)
    seen = []
    for number, one in enumerate(store.files(["/a"])):
        seen.append(one)
        if number in {5, 27}:
            client.close_point_in_time(id=views[-1])
    assert seen == some
    assert len(set(views)) >= 3
    with pytest.raises(elasticsearch.NotFoundError):  # nothing is left open
        client.search(pit={"id": views[-1]})


@needs_server
def test_the_next_store_sees_what_was_written(client: Elasticsearch, index: str, open_store: Open) -> None:
    """Without waiting for the server to make it searchable by itself, which never happens here."""
    open_store().close()
    client.indices.put_settings(index=f"{index}-*", settings={"index.refresh_interval": "-1"})
    store, new = open_store(), record("/a/1")
    store.put([new])
    store.close()
    assert list(open_store().holders([new.file.content])) == [new.file]


# Failures


@needs_server
def test_a_refused_item_is_an_error(client: Elasticsearch, index: str, open_store: Open) -> None:
    store = open_store()
    store.put([record("/a/1")])
    client.indices.put_settings(index=f"{index}-files", settings={"index.blocks.write": True})
    writes: list[Act] = [
        lambda: store.put([record("/a/2"), record("/a/3")]),
        lambda: store.remove(["/a/1", "/a/2"]),
    ]
    for act in writes:
        with pytest.raises(StoreError, match=rf"refused 2 of the records for {index}-files: .*blocked by"):
            act()
    assert list(store.files(["/"])) == [file("/a/1")]
    client.indices.put_settings(index=f"{index}-files", settings={"index.blocks.write": False})
    store.put([record("/a/2")])
    assert list(store.files(["/"])) == [file("/a/1"), file("/a/2")]


@needs_server
def test_one_bad_item_is_counted_and_the_others_are_written(open_store: Open) -> None:
    store = open_store()
    bad = replace(file("/a/2"), size=2**63)
    with pytest.raises(StoreError, match="refused 1 of the records"):
        store.put([record("/a/1"), Record(bad, None), record("/a/3")])
    assert [one.path for one in store.files(["/"])] == ["/a/1", "/a/3"]


@needs_server
def test_lost_indices_are_an_error(client: Elasticsearch, index: str, open_store: Open) -> None:
    store = open_store()
    store.put([record("/a/1")])
    for part in ("files", "contents"):
        client.indices.delete(index=f"{index}-{part}-000001")
    for act in reads(store):
        with pytest.raises(StoreError, match="no such index"):
            act()


def reads(store: ElasticStore) -> list[Act]:
    """Everything that reads from a store."""
    name = content("x").hash
    return [
        lambda: store.known(["/a/1"]),
        lambda: list(store.files(["/"])),
        lambda: store.has_content(name),
        lambda: store.facts([name]),
        lambda: store.content(name),
        lambda: list(store.similar([name, "0" * 64], within=0.1)),
        store.status,
    ]


@needs_server
def test_a_server_that_goes_away_is_an_error_at_once(elasticsearch_url: str, open_store: Open) -> None:
    with forwarder(elasticsearch_url) as (url, cut):
        store = open_store(urls=[url])
        store.put([record("/a/1")])
        assert store.known(["/a/1"])
        listing = store.files(["/"])
        assert next(listing) == file("/a/1")
        cut()
        started = time.monotonic()
        writes: list[Act] = [lambda: store.put([record("/a/2")]), lambda: store.remove(["/a/1"])]
        for act in [*reads(store), *writes]:
            with pytest.raises(StoreUnavailable, match=r"can't be reached: .*; see elasticsearch\.host"):
                act()
        assert time.monotonic() - started < 10
        store.close()


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening: connections are refused
        with pytest.raises(StoreUnavailable) as refused:
            open_at(f"http://me:secret@127.0.0.1:{taken.getsockname()[1]}")
    assert "Connection refused" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "elasticsearch.host" in str(refused.value)


def test_a_server_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"can't be reached: .*timed out"):
            open_at(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.3)
        assert time.monotonic() - started < 5


ELASTIC = {"X-elastic-product": "Elasticsearch", "Content-Type": "application/json"}


@contextmanager
def stub(status: int, body: object, headers: dict[str, str], *, to: str = "") -> Iterator[str]:
    """Give the URL of a server that has one answer to everything: `body`, as it is then.

    `to`: how what is asked for must end to get `status`; all else gets 200.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            answer = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status if self.path.partition("?")[0].endswith(to) else 200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


ANSWER_OF_8 = {  # recorded from 8.19.0
    "error": {
        "root_cause": [
            {
                "type": "media_type_header_exception",
                "reason": "Invalid media-type value on headers [Content-Type, Accept]",
            }
        ],
        "type": "media_type_header_exception",
        "reason": "Invalid media-type value on headers [Content-Type, Accept]",
        "caused_by": {
            "type": "status_exception",
            "reason": "Accept version must be either version 8 or 7, but found 9. "
            "Accept=application/vnd.elasticsearch+json; compatible-with=9",
        },
    },
    "status": 400,
}
ANSWER_OF_7 = {  # recorded from 7.17.28
    "name": "vm",
    "cluster_name": "elasticsearch",
    "cluster_uuid": "4pPrNkfhQ3Wq37sFWzci4A",
    "version": {"number": "7.17.28", "build_flavor": "oss", "lucene_version": "8.11.3"},
    "tagline": "You Know, for Search",
}


@pytest.mark.parametrize(
    ("status", "body", "headers", "said"),
    [
        (400, ANSWER_OF_8, ELASTIC, "is older than Elasticsearch 9 .*either version 8 or 7, but found 9.*; upgrade it"),
        (200, ANSWER_OF_7, ELASTIC, "is older than Elasticsearch 9: it is 7.17.28; upgrade it"),
        (200, ANSWER_OF_7, {"Content-Type": "application/json"}, "or is not Elasticsearch at all"),
        (200, "<html>Hello</html>", {"Content-Type": "text/html"}, "or is not Elasticsearch at all"),
    ],
    ids=["8", "7", "no product header", "web page"],
)
def test_refuses_servers_that_are_too_old_or_something_else(
    status: int, body: object, headers: dict[str, str], said: str
) -> None:
    with stub(status, body, headers) as url, pytest.raises(StoreMismatch, match=said) as refused:
        open_at(url)
    assert url in str(refused.value)


def test_a_wrong_password_names_the_settings() -> None:
    body = {"error": {"type": "security_exception", "reason": "unable to authenticate user [me]"}, "status": 401}
    with stub(401, body, ELASTIC) as url, pytest.raises(StoreError) as refused:
        open_at(url, user="me", password="a secret")
    assert str(refused.value) == (
        f"Elasticsearch at {url} does not accept the login: unable to authenticate user [me]; see elasticsearch.user "
        "and elasticsearch.password"
    )


def test_an_overloaded_server_is_unavailable() -> None:
    busy = stub(503, "<html>no healthy upstream</html>", {"Content-Type": "text/html"})
    with busy as url, pytest.raises(StoreUnavailable, match="answered 503"):
        open_at(url)


def test_what_can_not_be_understood_is_an_error() -> None:
    with stub(200, "{", ELASTIC) as url, pytest.raises(StoreError, match="malformed"):
        open_at(url)


@pytest.mark.parametrize("ca", ["", "no certificate"])
def test_a_bad_certificate_file_is_named(tmp_path: Path, ca: str) -> None:
    """The file is looked at before anybody is asked: nobody listens there."""
    path = tmp_path / "ca.pem"
    path.write_text(ca)
    for named in (path, tmp_path / "gone.pem"):
        with pytest.raises(StoreError) as refused:
            open_at("https://127.0.0.1:9", ca_file=str(named))
        assert str(refused.value).startswith(f"{named} can't be used as elasticsearch.ca_file: ")


@pytest.mark.parametrize(
    ("status", "successful", "reason", "why"),
    [
        (200, 0, "", ""),
        (200, 1, "its node went", r" \(its node went\)"),
        (500, 0, "its node went", r" \(its node went\)"),
        (500, 0, None, r" \(null_pointer_exception\)"),
    ],
    ids=["nobody leads", "one failed", "all failed", "all failed, no reason"],
)
def test_what_was_written_last_is_never_hidden_in_silence(
    status: int, successful: int, reason: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nobody leads a shard the server refreshes nothing, and calls that no failure; soon it may do better."""
    stated = {"type": "null_pointer_exception", "reason": reason}
    failures = [{"index": "images-files", "shard": 0, "reason": stated}] if why else []
    shards = {"total": 2, "successful": successful, "failed": len(failures), "failures": failures}
    pauses: list[float] = []
    monkeypatch.setattr("py_image_dedup.stores.elastic.indices.time.sleep", pauses.append)
    with stub(status, {"version": {"number": "9.5.0"}, "_shards": shards}, ELASTIC, to="_refresh") as url:
        asked = Connection.open([url])
        asked._unseen.add("images-files")
        with pytest.raises(StoreUnavailable, match=f"can't show what was last written to images-files{why}$"):
            asked.count("images-files", {"match_all": {}})
        assert 3 < sum(pauses) < 10
        monkeypatch.setattr(
            "py_image_dedup.stores.elastic.indices.time.sleep", lambda _: shards.update({"successful": 2, "failed": 0})
        )
        asked.indices.refresh("images-files")
        asked.close()


@pytest.mark.parametrize(
    "answer",
    [
        {"timed_out": True, "_shards": {"failed": 0}},
        {"timed_out": False, "_shards": {"failed": 1}},
        {"error": {"type": "search_phase_execution_exception", "reason": "all shards failed"}, "status": 503},
        {"error": {"type": "x", "reason": "y", "caused_by": {"type": "z", "reason": "why"}}, "status": 400},
    ],
)
def test_a_partial_answer_is_an_error(answer: dict[str, Any]) -> None:
    with Elasticsearch("http://127.0.0.1:9") as unused:
        here = Connection(unused, Failures("here"))
        with pytest.raises(StoreUnavailable if answer.get("status") == 503 else StoreError, match="here"):
            here._whole(answer)


EXPECTED = {
    "ApiError": StoreError,
    "AuthenticationException": StoreError,
    "AuthorizationException": StoreError,
    "BadRequestError": StoreError,
    "ConflictError": StoreError,
    "ConnectionError": StoreUnavailable,
    "ConnectionTimeout": StoreUnavailable,
    "NotFoundError": StoreError,
    "SerializationError": StoreError,
    "SniffingError": StoreUnavailable,
    "TlsError": StoreUnavailable,
    "TransportError": StoreUnavailable,
    "UnsupportedProductError": StoreMismatch,
}


def test_every_error_of_the_client_has_one_of_ours() -> None:
    exported = {
        kind
        for module in (elasticsearch, elastic_transport)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, Warning)
    }
    assert {kind.__name__ for kind in exported} == EXPECTED.keys()
    with Elasticsearch("http://127.0.0.1:9") as unused:
        here = Connection(unused, Failures("here"))
        for kind in exported:
            error = made(kind)
            with pytest.raises(EXPECTED[kind.__name__]) as ours, here._translated():
                raise error
            assert type(ours.value) is EXPECTED[kind.__name__]
            assert ours.value.__cause__ is error
            assert "here" in str(ours.value)


def made(kind: type[Exception]) -> Exception:
    """Make an error as the client would."""
    if not issubclass(kind, elastic_transport.ApiError):
        return kind("message")
    meta = elastic_transport.ApiResponseMeta(
        status=400,
        http_version="1.1",
        headers=elastic_transport.HttpHeaders(),
        duration=0.0,
        node=elastic_transport.NodeConfig("http", "127.0.0.1", 9),
    )
    return kind("message", meta=meta, body={"error": {"type": "t", "reason": "r"}})


# Paths as text


@given(st.binary())
def test_any_path_survives_as_text(path: bytes) -> None:
    given_path = path.decode("utf-8", "surrogateescape")
    text = mapping.encode_path(given_path)
    text.encode()  # no lone surrogate is left
    assert mapping.decode_path(text) == given_path


@given(st.text(st.sampled_from("a/\udc80\udcc3\udcf4\udc8f\udcbe\U0010ff80\U0010ffff\U0010ff7f\U0001f4f7é")))
def test_private_characters_and_odd_bytes_stay_apart(text: str) -> None:
    path = text.encode("utf-8", "surrogateescape")
    given_path = os.fsdecode(path)
    assert os.fsencode(mapping.decode_path(mapping.encode_path(given_path))) == path


@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Co", "Cn")))))
def test_ordinary_paths_are_written_as_they_are(some: list[str]) -> None:
    assert [mapping.encode_path(path) for path in some] == some


def test_ids_are_short_and_keep_origin_and_path_apart() -> None:
    ids = {mapping.file_id("a", "/b"), mapping.file_id("a/", "b"), mapping.file_id("a", "/b" * 2000)}
    assert len(ids) == 3
    assert {len(one) for one in ids} == {64}
