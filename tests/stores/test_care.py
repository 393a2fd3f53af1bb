"""Care of a store as a whole: what it tells, what it keeps, what it drops."""

from __future__ import annotations

import copy
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import documented
import numpy as np
import pytest
from elastic_server import remove_indices
from elasticsearch import Elasticsearch
from records import content, digest, file, record

from py_image_dedup import signature
from py_image_dedup.errors import StoreError, StoreMismatch, StoreUnavailable
from py_image_dedup.model import Look, Record
from py_image_dedup.stores.care import Care, Dropped
from py_image_dedup.stores.elastic import ElasticCare, ElasticStore, lease, mapping
from py_image_dedup.stores.elastic.connection import Connection
from py_image_dedup.stores.elastic.indices import Indices
from py_image_dedup.stores.holder import Holder
from py_image_dedup.stores.interface import Store
from py_image_dedup.stores.sqlite import SqliteStore
from py_image_dedup.stores.sqlite_care import SqliteCare


@dataclass
class Place:
    """Where a store is, to be opened for an origin or for care; one of them is open at a time."""

    where: str
    url: str | None = None
    _open: ExitStack = field(default_factory=ExitStack)

    def store(self, origin: str = "here") -> Store:
        self.close()
        store: Store
        if self.url is None:
            store = SqliteStore.open(self.where, origin=origin)
        else:
            store = ElasticStore.open(urls=[self.url], index=self.where, origin=origin, auto_create_index=True)
        self._open.callback(store.close)
        return store

    def care(self) -> Care:
        self.close()
        care: Care = (
            SqliteCare.open(self.where) if self.url is None else ElasticCare.open(urls=[self.url], index=self.where)
        )
        self._open.callback(care.close)
        return care

    def close(self) -> None:
        self._open.close()


@pytest.fixture(params=["sqlite", pytest.param("elasticsearch", marks=pytest.mark.elasticsearch)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        one = Place(str(tmp_path / "store.sqlite"))
    else:
        one = Place(f"care-{uuid.uuid4().hex}", request.getfixturevalue("elasticsearch_url"))
    yield one
    one.close()
    if one.url:
        remove_indices(one.url, one.where)


def silent(_: str) -> None:
    pass


def fill(place: Place) -> None:
    """Two origins with the same paths, one content shared, one unused, one of an old version, and looks at them."""
    featureless = replace(content("flat"), signature=np.zeros(signature.LENGTH, np.int8))
    unused = Record(file("/a/gone"), content("unused"))
    place.store("laptop").put([record("/a/1", origin="laptop")])
    store = place.store("here")
    store.put([record("/a/1"), record("/a/2"), Record(file("/a/flat", content=featureless.hash), featureless), unused])
    store.remove(["/a/gone"])
    a, b, c = sorted([digest("/a/1"), digest("/a/2"), digest("unused")])
    store.put_looks([Look(x, y, 1, 0.9, 0.1, duplicate=True) for x, y in ((a, b), (a, c), (b, c))])


def outdate(place: Place, name: str) -> None:
    """Let a content look as if analysed by a program whose signatures were others."""
    place.close()
    if place.url is None:
        with sqlite3.connect(place.where) as database:
            database.execute("UPDATE signatures SET version = 99 WHERE content = ?", (bytes.fromhex(digest(name)),))
        database.close()
    else:
        with Elasticsearch(place.url) as client:
            client.update(index=f"{place.where}-contents", id=digest(name), doc={"signature_version": 99}, refresh=True)


def everything(place: Place) -> list[Any]:
    """Return all that runs see of a store."""
    seen: list[Any] = []
    for origin in ("here", "laptop"):
        store = place.store(origin)
        files = list(store.files(["/"]))
        names = [one.content for one in files]
        contents = [store.content(name) for name in sorted(set(names))]
        seen += files
        seen += [one and (one.facts, one.thumbnail.tobytes(), one.signature.tobytes()) for one in contents]
        seen += list(store.similar(names, within=1.0))
        wanted = [(a, b) for a in names for b in names if a < b]
        seen += sorted(store.looks(wanted, version=1).items())
    return seen


def test_the_inventory_counts_all_origins(place: Place) -> None:
    """Files by origin, documents, and what has to be analysed anew are told."""
    fill(place)
    outdate(place, "/a/2")
    told = place.care().inventory()
    assert told.origins == (("here", 3), ("laptop", 1))
    assert [part.documents for part in told.parts] == [4, 4, 3]
    assert [part.version for part in told.parts] == [1, 2 if place.url else 1, 1]
    assert told.outdated == 1
    assert (place.url or place.where) in told.location
    assert told.health in {"ok", "green", "yellow"}


def test_compact_drops_what_is_unused_and_nothing_else(place: Place) -> None:
    """Contents of any origin's files stay, also those of an old version; their old signatures and blind looks go."""
    fill(place)
    before = everything(place)
    assert place.care().compact(silent) == Dropped(contents=1, signatures=0, looks=2)
    assert everything(place) == before
    outdate(place, "/a/2")
    assert place.care().compact(silent) == Dropped(contents=0, signatures=1, looks=0)
    store = place.store()
    assert store.facts([digest("/a/2")]) == {digest("/a/2"): content("/a/2").facts}
    assert not store.has_content(digest("/a/2"))
    assert store.content(digest("/a/2")) is None
    assert store.known(["/a/1", "/a/2"]).keys() == {"/a/1"}
    assert place.care().compact(silent) == Dropped(contents=0, signatures=0, looks=0)


def test_a_rebuilt_store_holds_the_same(place: Place) -> None:
    """All records, and what is near to what, are the same after a rebuild; runs go on writing."""
    fill(place)
    before = everything(place)
    for _ in range(2):
        assert place.care().rebuild(silent)
        assert everything(place) == before
    place.store().put([record("/a/3")])
    assert place.store().known(["/a/3"])
    assert place.care().migrate(silent) == []


def test_where_there_is_no_store_care_makes_none(place: Place) -> None:
    """The message says what makes one."""
    with pytest.raises(StoreMismatch, match="py-image-dedup analyse makes it"):
        place.care()
    with pytest.raises(StoreMismatch, match="py-image-dedup analyse makes it"):
        place.care()


def test_care_waits_for_no_run(place: Place) -> None:
    """While a run is under way the store is left as it is, and the run is named."""
    fill(place)
    store = place.store()
    care = ElasticCare.open(urls=[place.url], index=place.where) if place.url else None
    with store.lease(silent), pytest.raises(StoreUnavailable, match="process"):
        care.compact(silent) if care else SqliteCare.open(place.where)
    if care:
        care.close()
    assert place.care().compact(silent).contents == 1


# Shards and versions of the indices


@pytest.fixture
def elastic(elasticsearch_url: str) -> Iterator[Place]:
    """A filled set of indices on a server."""
    place = Place(f"care-{uuid.uuid4().hex}", elasticsearch_url)
    fill(place)
    yield place
    place.close()
    remove_indices(elasticsearch_url, place.where)


def shards(place: Place, part: str) -> int:
    """Return into how many parts an index is cut."""
    assert place.url
    with Elasticsearch(place.url) as client:
        (state,) = client.indices.get(index=f"{place.where}-{part}").values()
        return int(state["settings"]["index"]["number_of_shards"])


def test_an_index_may_be_cut_into_more_shards(elastic: Place) -> None:
    """As documented: all is there, is found and can be written, and a copy has as many shards."""
    assert elastic.url
    before = everything(elastic)
    elastic.close()
    with Elasticsearch(elastic.url) as client:
        for method, path, body in documented.requests("Memory and shards", images=elastic.where):
            client.perform_request(
                method, path, body=body, headers={"Content-Type": "application/json", "Accept": "application/json"}
            )
    assert shards(elastic, "contents") == 4
    assert everything(elastic) == before
    assert elastic.care().rebuild(silent)
    assert (shards(elastic, "contents"), shards(elastic, "files")) == (4, 1)
    assert everything(elastic) == before
    elastic.store().put([record("/a/new")])
    assert elastic.store().content(digest("/a/new")) is not None


@pytest.fixture
def newer(elastic: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The same, seen by a program whose layout of the contents is newer."""
    elastic.close()
    layout = copy.deepcopy(mapping.CONTENTS)
    layout["mappings"]["_meta"] = {"application": "py-image-dedup", "version": 3}
    layout["mappings"]["properties"]["camera"] = {"type": "keyword"}
    monkeypatch.setitem(mapping.PARTS, "contents", layout)
    return elastic


def names(place: Place) -> dict[str, str]:
    """Return which index stands behind each name."""
    assert place.url
    with Elasticsearch(place.url) as client:
        found = client.indices.get_alias(index=f"{place.where}-*").body
        return {alias: index for index, state in found.items() for alias in state["aliases"] or [index]}


def test_an_older_version_is_named_with_its_remedy_and_migrates(newer: Place) -> None:
    """A run refuses, migrate keeps everything, only what is older is copied, and no index of before is left."""
    with pytest.raises(
        StoreMismatch, match=r"has version 2, and this program uses version 3: run py-image-dedup index"
    ):
        newer.store()
    assert newer.care().migrate(silent) == [f"{newer.where}-contents"]
    assert names(newer) == {
        f"{newer.where}-files": f"{newer.where}-files-000001",
        f"{newer.where}-contents": f"{newer.where}-contents-000002",
        f"{newer.where}-looks": f"{newer.where}-looks-000001",
        f"{newer.where}-leases": f"{newer.where}-leases-000001",
    }
    after = everything(newer)
    assert len([one for one in after if isinstance(one, tuple) and len(one) == 3]) == 4  # contents, whole
    assert newer.care().migrate(silent) == []


def test_contents_of_version_1_migrate(elastic: Place) -> None:
    """Before hashes were doc values: a run says what to do, and after that nothing is missing and pairs are found."""
    assert elastic.url
    fill(elastic)
    before, near = everything(elastic), sorted(elastic.store().near([digest("/a/1")], within=1.0))
    assert near
    elastic.close()
    name = f"{elastic.where}-contents"
    layout = copy.deepcopy(mapping.CONTENTS["mappings"])
    layout["_meta"]["version"] = 1
    del layout["properties"]["sha256"]
    layout["properties"]["taken"]["doc_values"] = False
    with Elasticsearch(elastic.url) as client:
        hits = client.search(index=name, size=100)["hits"]["hits"]
        client.indices.delete(index=f"{name}-000001")
        client.indices.create(index=f"{name}-000001", mappings=layout, aliases={name: {"is_write_index": True}})
        for hit in hits:
            old = {key: value for key, value in hit["_source"].items() if key != "sha256"}
            client.index(index=name, id=hit["_id"], document=old)
    with pytest.raises(StoreMismatch, match="has version 1, and this program uses version 2: run py-image-dedup index"):
        elastic.store()
    assert elastic.care().migrate(silent) == [name]
    assert everything(elastic) == before
    assert sorted(elastic.store().near([digest("/a/1")], within=1.0)) == near


def test_a_newer_version_is_left_alone(newer: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older program says that it has to be upgraded, and changes nothing."""
    newer.care().migrate(silent)
    monkeypatch.setitem(mapping.PARTS, "contents", mapping.CONTENTS)
    before = names(newer)
    for act in (newer.store, lambda: newer.care().migrate(silent), lambda: newer.care().rebuild(silent)):
        with pytest.raises(StoreMismatch, match="has version 3, and this program uses version 2: upgrade the program"):
            act()
    assert newer.care().inventory().parts[1].version == 3
    assert names(newer) == before


def test_indices_without_aliases_serve_and_migrate(elastic: Place) -> None:
    """What an early version made, indices of the plain names, works as it is; migrate puts them behind aliases."""
    assert elastic.url
    before = everything(elastic)
    elastic.close()
    with Elasticsearch(elastic.url) as client:  # turn them into what they were
        documents = {
            part: client.search(index=f"{elastic.where}-{part}")["hits"]["hits"]
            for part in ("files", "contents", "looks")
        }
        remove_indices(elastic.url, elastic.where)
        for part in ("files", "contents", "looks"):
            client.indices.create(index=f"{elastic.where}-{part}", mappings=mapping.PARTS[part]["mappings"])
            for hit in documents[part]:
                renewed = mapping.renewed(part, hit["_id"], hit["_source"])
                client.index(index=f"{elastic.where}-{part}", id=hit["_id"], document=renewed)
    assert everything(elastic) == before
    done = elastic.care().migrate(silent)
    assert done == [f"{elastic.where}-{part}" for part in ("files", "contents", "looks")]
    assert all(index == f"{name}-000001" for name, index in names(elastic).items())
    assert everything(elastic) == before


@pytest.mark.parametrize("where", ["write", "replace", "count"])
def test_a_migration_that_broke_off_is_taken_up_again(
    newer: Place, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Killed while it copies, counts or swaps: runs are told to end it, the old data is whole, the next try ends it."""

    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    write = Connection.write

    dead = threading.Event()

    def write_some(self: Connection, index: str, documents: Any) -> None:
        if not dead.is_set():
            write(self, index, documents)
        if dead.is_set() or index.endswith("-contents-000002"):
            dead.set()
            raise Killed

    with monkeypatch.context() as broken:
        broken.setattr("py_image_dedup.stores.elastic.connection._WRITERS", 1)
        broken.setattr("py_image_dedup.stores.elastic.connection._WRITTEN_BY_ONE", 2)
        if where == "write":
            broken.setattr(Connection, "write", write_some)
        else:
            broken.setattr(Indices if where == "replace" else Connection, where, kill)
        with pytest.raises(Killed):
            newer.care().migrate(silent)
    if where != "count":
        with pytest.raises(StoreMismatch, match="index migrate"):
            newer.store()
    written: list[str] = []
    monkeypatch.setattr(Connection, "write", lambda self, index, some: write(self, index, noted(some, written)))
    assert newer.care().migrate(silent) == [f"{newer.where}-contents"]
    assert len(written) == {"write": 2, "replace": 0, "count": 4}[where]  # what was copied is not copied again
    assert newer.care().inventory().parts[1].documents == 4
    assert newer.store().content(digest("/a/2")) is not None


def noted(documents: Any, ids: list[str]) -> Iterator[Any]:
    for name, document in documents:
        ids.append(name)
        yield name, document


def test_a_copy_of_an_index_that_was_written_to_meanwhile_is_thrown_away(newer: Place) -> None:
    """After a broken migration somebody opened the old index again: what was copied is stale."""
    assert newer.url
    with Elasticsearch(newer.url) as client:
        stale = f"{newer.where}-contents-000002"
        client.indices.create(index=stale, mappings=mapping.PARTS["contents"]["mappings"])
        client.index(index=stale, id="stale", document={"format": "PNG"}, refresh=True)
    newer.care().migrate(silent)
    assert newer.store().status().contents == 4


def test_a_copy_that_is_not_whole_does_not_take_over(newer: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the counts differ the old index stays."""
    write = Connection.write

    def write_less(self: Connection, index: str, documents: Any) -> None:
        write(self, index, list(documents)[1:] if index.endswith("-contents-000002") else documents)

    before = names(newer)
    with monkeypatch.context() as lossy:
        lossy.setattr(Connection, "write", write_less)
        with pytest.raises(StoreError, match="instead of the 4 of"):
            newer.care().migrate(silent)
    assert names(newer).items() >= before.items()
    assert newer.care().migrate(silent)
    assert newer.store().status().contents == 4


def test_who_writes_while_an_index_is_copied_is_refused(
    newer: Place, monkeypatch: pytest.MonkeyPatch, elasticsearch_url: str
) -> None:
    """A program that knows nothing of leases can't write what the copy would lack."""
    scan = Connection.scan

    def interfere(self: Connection, index: str, *arguments: Any, **options: Any) -> Any:
        for page in scan(self, index, *arguments, **options):
            if index.endswith("-contents-000001"):
                with Elasticsearch(elasticsearch_url) as client, pytest.raises(Exception, match="index write"):
                    client.index(index=index, id="late", document={"format": "PNG"})
            yield page

    monkeypatch.setattr(Connection, "scan", interfere)
    newer.care().migrate(silent)
    assert newer.store().status().contents == 4


def test_a_dead_run_does_not_keep_care_away_for_ever(elastic: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease of a machine that went away is taken over by the care of the index, after a note."""
    monkeypatch.setattr(lease, "RENEWED_S", 0.2)
    monkeypatch.setattr(lease, "SILENCE_S", 1.5)
    store = elastic.store("tower")
    assert isinstance(store, ElasticStore)
    there = replace(Holder.me(), machine="another")
    gone = lease.ElasticLease(store._connection, f"{elastic.where}-leases", "tower", there)
    assert gone._put(None)
    notes: list[str] = []
    elastic.care().compact(notes.append)
    assert any('may still work on the origin "tower"' in note for note in notes)
