"""What searches found is remembered: nothing is compared twice, and nothing is missed for it."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from elastic_server import remove_indices
from elasticsearch import Elasticsearch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from records import altered, digest, records, signatures

from py_image_dedup import signature
from py_image_dedup.model import Match, Turn
from py_image_dedup.signature import Signature
from py_image_dedup.stores import remembered
from py_image_dedup.stores.database import Database
from py_image_dedup.stores.elastic import ElasticStore
from py_image_dedup.stores.matches import matches

Open = Callable[..., ElasticStore]

ONE, OTHER = signatures(2, seed=1)
VECTORS = [ONE, altered(ONE, 0.05, seed=1), altered(ONE, 0.1, seed=2), OTHER, altered(OTHER, 0.1, seed=3)]
CONTENTS = [digest(str(number)) for number in range(6)]
NUMBERS = st.sets(st.integers(0, len(CONTENTS) - 1))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("search"), NUMBERS, st.sampled_from([0.2, 0.35]), st.just(9)),
        st.tuples(st.just("search"), NUMBERS, st.just(0.35), st.integers(0, 3)),  # broken off after so many
        st.tuples(st.just("lost"), NUMBERS),
        st.tuples(st.just("back"), NUMBERS),
        st.tuples(st.just("written"), st.integers(0, len(CONTENTS) - 1), st.integers(0, len(VECTORS) - 1)),
    ),
    max_size=12,
)


class Contents:
    """Contents with signatures, some of which a store may have lost."""

    def __init__(self) -> None:
        self.vector = {name: VECTORS[number % len(VECTORS)] for number, name in enumerate(CONTENTS)}
        self.lost: set[str] = set()
        self.asked: list[set[str]] = []

    def signatures(self, wanted: AbstractSet[bytes]) -> tuple[Sequence[str], Signature]:
        """Return those that are there, as stores do."""
        self.asked.append({name.hex() for name in wanted})
        there = sorted(self.asked[-1] - self.lost)
        return there, np.array([self.vector[name] for name in there], np.int8).reshape(-1, signature.LENGTH)

    def near(self, wanted: AbstractSet[str], radius: float) -> set[tuple[str, str]]:
        """Return the pairs by comparing each with each."""
        there = combinations(sorted(wanted - self.lost), 2)
        return {(a, b) for a, b in there if signature.distance(self.vector[a], self.vector[b]) <= radius}


def pairs(found: Iterator[Match]) -> set[tuple[str, str]]:
    listed = [(match.a, match.b) for match in found]
    assert len(listed) == len(set(listed)), "a pair comes twice"
    return set(listed)


@given(STEPS)
@example([("search", {0, 1}, 0.35, 9), ("lost", {0}), ("search", {1, 2}, 0.35, 9)])
@settings(max_examples=100, deadline=None)
def test_no_history_of_searches_hides_a_pair(steps: list[tuple[object, ...]]) -> None:
    """Contents come, are lost and come back; searches are for other distances, for some, and are broken off."""
    contents = Contents()
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(os.path.join(folder, "searches.sqlite"))
        with closing(database):
            everything = ("search", set(range(6)), 0.35, 9)
            for step in [*steps, everything, ("back", set(range(6))), everything]:
                match step:
                    case ("search", set() as numbers, float() as radius, int() as most):
                        wanted = {CONTENTS[number] for number in numbers}
                        found = remembered.similar(database, wanted, contents.signatures, within=radius)
                        if most == 9:
                            there = pairs(found)
                            # What was found while a content was there may be told after it was lost.
                            assert {pair for pair in there if not contents.lost & set(pair)} == contents.near(
                                wanted, radius
                            )
                        else:
                            list(islice(found, most))
                            found.close()  # type: ignore[attr-defined]
                    case ("lost", set() as numbers):
                        contents.lost |= {CONTENTS[number] for number in numbers}
                    case ("back", set() as numbers):
                        contents.lost -= {CONTENTS[number] for number in numbers}
                    case ("written", int() as number, int() as vector):
                        with database.turn() as connection, connection:
                            remembered.written_again(connection, [CONTENTS[number]])
                        contents.vector[CONTENTS[number]] = VECTORS[vector]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database.open(str(tmp_path / "searches.sqlite"))) as database:
        yield database


def test_what_was_compared_is_not_compared_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = Contents()
    compared: list[object] = []

    def noted(*args: Any, **options: Any) -> Iterator[Match]:
        compared.append(options["new"])
        return matches(*args, **options)

    monkeypatch.setattr(remembered, "matches", noted)

    def search(*numbers: int, radius: float = 0.35, orientations: Sequence[Turn] = ()) -> None:
        wanted = {CONTENTS[number] for number in numbers}
        found = remembered.similar(database, wanted, contents.signatures, within=radius, orientations=orientations)
        assert contents.near(wanted, radius) <= pairs(found)

    search(0, 1, 2)
    assert compared.pop() is None  # all with all
    search(0, 1, 2)
    search(0, 2)
    assert compared == []
    assert len(contents.asked) == 1  # no signature is read for what is remembered
    search(0, 3, 4)
    assert compared.pop() == {CONTENTS[3], CONTENTS[4]}
    search(0, 1, 2, 3, 4)  # also those that the last search was not asked for
    assert compared == []
    search(0, 1, radius=0.2)
    assert compared.pop() is None
    search(0, 1, radius=0.2, orientations=[Turn.HALF])
    assert compared.pop() is None


def test_too_many_matches_are_not_remembered(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_MOST", 2)
    monkeypatch.setattr(remembered, "_PAGE", 1)
    contents = Contents()
    for _ in range(2):
        found = remembered.similar(database, CONTENTS, contents.signatures, within=0.35)
        assert pairs(found) == contents.near(set(CONTENTS), 0.35)
    assert len(contents.near(set(CONTENTS), 0.35)) > 2
    assert len(contents.asked) == 2
    with database.turn() as connection:
        assert connection.execute("SELECT count(*) FROM matches").fetchall() == [(0,)]


@pytest.fixture
def open_store(elasticsearch_url: str, tmp_path: Path) -> Iterator[Open]:
    index = f"remembered-{uuid.uuid4().hex}"
    opened: list[ElasticStore] = []

    def open_it(memory: str | None = "searches.sqlite") -> ElasticStore:
        path = str(tmp_path / memory) if memory else None
        store = ElasticStore.open(
            urls=[elasticsearch_url], index=index, origin="here", auto_create_index=True, memory=path
        )
        opened.append(store)
        return store

    yield open_it
    for store in opened:
        store.close()
    remove_indices(elasticsearch_url, index)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many signatures servers are asked for."""
    asked: list[int] = []
    read = ElasticStore._signatures

    def noted(self: ElasticStore, wanted: Sequence[str]) -> Iterator[tuple[list[str], Signature]]:
        asked.append(len(wanted))
        return read(self, wanted)

    monkeypatch.setattr(ElasticStore, "_signatures", noted)
    return asked


@pytest.mark.elasticsearch
def test_a_server_is_asked_for_no_signature_again(open_store: Open, asked: list[int]) -> None:
    some = records(VECTORS)
    hashes = [one.file.content for one in some]
    store = open_store()
    store.put(some[:3])
    first = pairs(store.similar(hashes[:3], within=0.35))
    store.close()
    store = open_store()
    assert pairs(store.similar(hashes[:3], within=0.35)) == first
    assert asked == [3]
    store.put(some[3:])
    assert len(pairs(store.similar(hashes, within=0.35))) == len(first) + 1
    assert asked == [3, 5]


@pytest.mark.elasticsearch
def test_what_the_server_lost_and_another_machine_brought_back_is_found(
    open_store: Open, elasticsearch_url: str
) -> None:
    old, lost, new = records(VECTORS[:3])
    store = open_store()
    store.put([old, lost])
    assert len(pairs(store.similar([old.file.content, lost.file.content], within=0.35))) == 1
    with Elasticsearch(elasticsearch_url) as client:
        client.delete(index=store._contents, id=lost.file.content, refresh=True)
    store.put([new])
    everything = [one.file.content for one in (old, lost, new)]
    pairs(store.similar(everything, within=0.35))
    open_store(memory=None).put([lost])
    with Elasticsearch(elasticsearch_url) as client:
        client.indices.refresh(index=store._contents)
    assert len(pairs(store.similar(everything, within=0.35))) == 3


@pytest.mark.elasticsearch
def test_who_can_have_no_memory_searches_everything(open_store: Open, tmp_path: Path, asked: list[int]) -> None:
    """Another run has the file, or it is damaged, or there can be none: the search is the same."""
    some = records(VECTORS[:3])
    hashes = [one.file.content for one in some]
    store = open_store()
    store.put(some)
    expected = pairs(store.similar(hashes, within=0.35))
    memory = tmp_path / "searches.sqlite"
    with closing(Database.open(str(memory))):
        assert pairs(store.similar(hashes, within=0.35)) == expected
    assert len(asked) == 2
    memory.write_bytes(b"not a database" * 1000)
    for _ in range(2):
        assert pairs(store.similar(hashes, within=0.35)) == expected
    assert len(asked) == 3  # it was made anew
    (tmp_path / "file").touch()
    assert pairs(open_store("file/searches.sqlite").similar(hashes, within=0.35)) == expected
    assert len(asked) == 4
