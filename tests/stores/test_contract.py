"""What every store must do, run on each of them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
from elastic_server import remove_indices
from records import altered, content, digest, file, pairs_within, record, records, signatures

from py_image_dedup import signature
from py_image_dedup.model import Content, Facts, File, Look, Match, Record, Turn
from py_image_dedup.stores.elastic import ElasticStore
from py_image_dedup.stores.interface import Store
from py_image_dedup.stores.join import join
from py_image_dedup.stores.sqlite import SqliteStore


@dataclass
class StoreFactory:
    """Opens the same data again and again, for one origin at a time; at first there is none."""

    place: str
    url: str | None = None
    memory: str | None = None
    _open: list[Store] = field(default_factory=list)

    def __call__(self, origin: str = "here") -> Store:
        self.close()
        store: Store
        if self.url is None:
            store = SqliteStore.open(self.place, origin=origin)
        else:
            store = ElasticStore.open(
                urls=[self.url], index=self.place, origin=origin, auto_create_index=True, memory=self.memory
            )
        self._open.append(store)
        return store

    def close(self) -> None:
        while self._open:
            self._open.pop().close()


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("elasticsearch", marks=pytest.mark.elasticsearch),
        pytest.param("elasticsearch that remembers, in small pages", marks=pytest.mark.elasticsearch),
    ]
)
def store_factory(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StoreFactory]:
    if request.param == "sqlite":
        factory = StoreFactory(str(tmp_path / "store.sqlite"))
        yield factory
        factory.close()
        return
    url = request.getfixturevalue("elasticsearch_url")
    memory = None
    if request.param != "elasticsearch":
        memory = str(tmp_path / "memory.sqlite")
        monkeypatch.setattr("py_image_dedup.stores.elastic.store._PAGE", 50)
        monkeypatch.setattr("py_image_dedup.stores.elastic.connection._PAGE", 70)
    factory = StoreFactory(f"contract-{uuid.uuid4().hex}", url, memory)
    yield factory
    factory.close()
    remove_indices(url, factory.place)


@pytest.fixture
def store(store_factory: StoreFactory) -> Store:
    return store_factory()


def paths(store: Store, *roots: str) -> list[str]:
    return [file.path for file in store.files(roots)]


def same(one: Content | None, other: Content) -> bool:
    return (
        one is not None
        and (one.hash, one.facts) == (other.hash, other.facts)
        and one.thumbnail.dtype == np.uint8
        and one.signature.dtype == np.int8
        and np.array_equal(one.thumbnail, other.thumbnail)
        and np.array_equal(one.signature, other.signature)
    )


# Origins


def test_tells_what_other_origins_have_too(store_factory: StoreFactory) -> None:
    """Files with the same content are counted by origin, those of this origin and other contents are not."""
    store_factory("nas").put([record("/a/1", origin="nas"), record("/a/2", origin="nas")])
    store_factory("odd \udcff").put(
        [Record(replace(file(path, origin="odd \udcff"), content=digest("/a/1")), None) for path in ("/x", "/y")]
    )
    here = store_factory("here")
    here.put([record("/a/1"), record("/a/3")])
    assert here.elsewhere([digest("/a/1"), digest("/a/3")]) == {"nas": 1, "odd \udcff": 2}
    assert here.elsewhere([digest("/a/1"), digest("/a/2")]) == {"nas": 2, "odd \udcff": 2}
    assert here.elsewhere([digest("/a/3")]) == {}
    assert here.elsewhere([]) == {}
    assert store_factory("odd \udcff").elsewhere([digest("/a/1")]) == {"nas": 1, "here": 1}


# Round trips


def test_gives_back_what_was_put(store_factory: StoreFactory) -> None:
    empty = Content(
        digest("empty"), Facts("PNG", 1, 1), np.zeros((64, 64), np.uint8), np.zeros(signature.LENGTH, np.int8)
    )
    unreadable = replace(
        file("/a/odd \udcff.jpg"), problem="no picture:\n'\udcff' \U0010ffff ☺ " + "x" * 40_000, reader="Pillow 12.0"
    )
    old = File("here", "/a/old", 0, -1, digest("empty"))
    huge = File("here", "/a/huge", 2**62, 2**62, digest("empty"))
    some = [record("/a/1.jpg"), Record(unreadable, None), Record(old, empty), Record(huge, None)]
    store_factory().put(some)
    for _ in range(2):
        store = store_factory()
        assert store.known([one.file.path for one in some]) == {one.file.path: one.file for one in some}
        assert sorted(store.files(["/a"]), key=lambda file: file.path) == sorted(
            (one.file for one in some), key=lambda file: file.path
        )
        for one in (content("/a/1.jpg"), empty):
            assert store.has_content(one.hash)
            assert same(store.content(one.hash), one)
        assert store.facts([content("/a/1.jpg").hash, empty.hash]) == {
            content("/a/1.jpg").hash: content("/a/1.jpg").facts,
            empty.hash: empty.facts,
        }


def test_replaces_what_is_there(store: Store) -> None:
    store.put([record("/a/1")])
    newer = replace(file("/a/1"), size=7, mtime_ns=8, content=digest("other"))
    store.put([Record(newer, content("other"))])
    assert store.known(["/a/1"]) == {"/a/1": newer}
    assert list(store.files(["/a"])) == [newer]
    edited = replace(content("other"), facts=replace(content("other").facts, width=1))
    store.put([Record(newer, edited)])
    assert same(store.content(digest("other")), edited)
    assert store.status().contents == 2


def test_a_file_without_content_leaves_the_content_alone(store: Store) -> None:
    store.put([record("/a/1")])
    store.put([Record(file("/a/2", content=digest("/a/1")), None)])
    assert same(store.content(digest("/a/1")), content("/a/1"))
    assert paths(store, "/a") == ["/a/1", "/a/2"]


def test_forgets_files_but_not_contents(store: Store) -> None:
    store.put([record(f"/a/{name}") for name in "123"])
    store.remove(["/a/1", "/a/3", "/a/never was", "/a"])
    assert paths(store, "/") == ["/a/2"]
    assert store.known(["/a/1", "/a/2"]).keys() == {"/a/2"}
    assert store.has_content(digest("/a/1"))
    assert store.facts([digest("/a/3")]) == {digest("/a/3"): content("/a/3").facts}


def test_keeps_origins_apart(store_factory: StoreFactory) -> None:
    mine, theirs = file("/a/1"), replace(file("/a/1", origin="there"), size=9)
    store_factory("here").put([Record(mine, content("/a/1")), record("/a/2")])
    there = store_factory("there")
    assert there.known(["/a/1", "/a/2"]) == {}
    assert list(there.files(["/"])) == []
    assert there.has_content(digest("/a/1"))
    there.put([Record(theirs, None)])
    assert there.status().files == 1
    assert there.status().contents == 2
    there.remove(["/a/2"])
    here = store_factory("here")
    assert here.known(["/a/1", "/a/2"]) == {"/a/1": mine, "/a/2": file("/a/2")}
    here.remove(["/a/1"])
    assert paths(here, "/") == ["/a/2"]
    assert list(store_factory("there").files(["/"])) == [theirs]


def test_knows_nothing_of_the_unknown(store: Store) -> None:
    store.put([record("/a/1")])
    assert store.known(["/a/2"]) == {}
    assert paths(store, "/b") == []
    assert not store.has_content(digest("?"))
    assert store.content(digest("?")) is None
    assert store.facts([digest("?"), digest("/a/1")]).keys() == {digest("/a/1")}
    assert list(store.similar([digest("?"), digest("/a/1")], within=1.0)) == []


def test_takes_empty_collections(store: Store) -> None:
    for _ in range(2):
        store.put([])
        assert store.known([]) == {}
        assert list(store.files([])) == []
        store.remove([])
        assert store.facts([]) == {}
        assert store.looks([], version=1) == {}
        store.put_looks([])
        assert list(store.similar([], within=0.5)) == []
        store.put([record("/a/1")])


def test_counts(store: Store) -> None:
    assert (store.status().files, store.status().contents) == (0, 0)
    store.put([record("/a/1"), record("/a/2"), Record(file("/a/3", content=digest("/a/1")), None)])
    assert (store.status().files, store.status().contents) == (3, 2)
    store.remove(["/a/1"])
    assert (store.status().files, store.status().contents) == (2, 2)
    assert store.status().location


def test_closes_twice(store: Store) -> None:
    store.close()
    store.close()


def test_takes_calls_from_several_threads(store: Store) -> None:
    def work(number: int) -> list[str]:
        mine = [f"/{number}/{name}" for name in "abc"]
        store.put([record(path) for path in mine])
        assert store.known(mine).keys() == set(mine)
        assert all(store.has_content(digest(path)) for path in mine)
        return paths(store, f"/{number}")

    with ThreadPoolExecutor(8) as threads:
        for number, found in enumerate(threads.map(work, range(16))):
            assert found == [f"/{number}/{name}" for name in "abc"]


def test_takes_contents_of_another_signature_version_for_unknown(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    twins = records([content("x").signature] * 2)
    hashes = [one.file.content for one in twins]
    places = [one.file.path for one in twins]
    store.put(twins)
    assert store.known(places).keys() == set(places)
    assert len(list(store.similar(hashes, within=0.1))) == 1
    monkeypatch.setattr(signature, "VERSION", signature.VERSION + 1)
    assert not store.has_content(hashes[0])
    assert store.content(hashes[0]) is None
    assert list(store.similar(hashes, within=0.1)) == []
    assert store.facts(hashes).keys() == set(hashes)
    assert store.known(places) == {}
    store.put(twins[:1])
    assert store.has_content(hashes[0])
    assert store.known(places).keys() == {places[0]}
    assert list(store.similar(hashes, within=0.1)) == []


def test_gives_thumbnails(store: Store) -> None:
    store.put([record("/a/1"), record("/a/2"), record("/a/3")])
    found = store.thumbnails([digest("/a/1"), digest("/a/3"), digest("nobody")])
    assert found.keys() == {digest("/a/1"), digest("/a/3")}
    for name in ("/a/1", "/a/3"):
        np.testing.assert_array_equal(found[digest(name)], content(name).thumbnail)


def test_gives_signatures(store: Store) -> None:
    some = [record("/a/1"), record("/a/2"), record("/a/3")]
    store.put(some)
    wanted = sorted([digest("/a/1"), digest("/a/3")])
    hashes, found = store.signatures([*wanted, digest("/a/1")])
    assert list(hashes) == wanted
    assert hashes[:1] == wanted[:1]
    for row, name in enumerate(sorted(["/a/1", "/a/3"], key=digest)):
        np.testing.assert_array_equal(found[row], content(name).signature)
    hashes, found = store.signatures([digest("nobody")])
    assert not found.any()


def test_remembers_looks(store_factory: StoreFactory) -> None:
    a, b, c = sorted(map(digest, "abc"))
    one = Look(a, b, 3, 0.1 + 0.2, 17.25, duplicate=False)
    other = Look(a, c, 3, -1.0, 0.0, duplicate=True)
    store_factory().put_looks([one, other, Look(b, c, 2, 0.5, 1.0, duplicate=True)])
    store = store_factory("there")
    assert store.looks([(a, b), (a, c), (b, c)], version=3) == {(a, b): one, (a, c): other}
    assert store.looks([(a, c)], version=3) == {(a, c): other}
    assert store.looks([(b, c)], version=4) == {}
    again = replace(one, structure=0.9, duplicate=True)
    newer = replace(other, version=4, colour=1.0)
    store.put_looks([again, newer])
    assert store.looks([(a, b), (a, c)], version=3).get((a, b)) == again
    assert store.looks([(a, b), (a, c)], version=4) == {(a, c): newer}
    assert (store.status().files, store.status().contents) == (0, 0)


# Paths

ODD = [
    b"/odd/\xff\xfe",
    b"/odd/\x80",
    b"/odd/" + bytes(byte for byte in range(1, 256) if byte != ord("/")),
    b"/odd/line\nbreak\ttab\rreturn\x01",
    b"/odd/quotes \" ' \\ \\u0041",
    "/odd/private \U0010ff80\U0010ffff \U00100000".encode(),
    "/odd/private and odd \U0010ff80".encode() + b"\xf4\x8f\xbe",
    "/odd/caf\u00e9".encode(),
    "/odd/cafe\u0301".encode(),
    "/odd/\U0001f4f7 ☺ é".encode(),
    b"/odd/CASE",
    b"/odd/case",
    b"/odd/ blank ",
    b"/odd/*?[a]{b,c}%_.jpg",
    b"/odd/" + b"/".join([b"d" * 255] * 15) + b"/" + b"n" * 250,
    b"/odd/" + b"/".join([b"\xe9" * 255] * 15) + b"/" + b"\xff" * 250,
]


def test_gives_back_any_path(store: Store) -> None:
    assert max(map(len, ODD)) == 4095
    odd = [os.fsdecode(path) for path in ODD]
    store.put([record(path) for path in odd])
    assert store.known(odd) == {path: file(path) for path in odd}
    found = paths(store, "/odd")
    assert len(found) == len(odd)
    assert set(found) == set(odd)
    for path in odd:
        assert paths(store, path) == [path]
    store.remove(odd[:3])
    assert set(paths(store, "/")) == set(odd[3:])


def test_finds_what_is_below_a_folder_of_any_name(store: Store) -> None:
    for folder in (
        "/f/[a]",
        "/f/a*",
        "/f/a?",
        "/f/.",
        "/f/a%",
        "/f/a_",
        "/f/a\\",
        "/f/\udcff",
        "/f/\U0010ff80",
        "/f/(",
    ):
        store.put([record(f"{folder}/1"), record(f"{folder}x/1")])
        assert paths(store, folder) == [f"{folder}/1"]


def test_finds_a_folder_and_not_its_namesakes(store: Store) -> None:
    everything = [
        "/a/b",
        "/a/b!/1",
        "/a/b-c",
        "/a/b.jpg",
        "/a/b/1",
        "/a/b/c/2",
        "/a/b0",
        "/a/bc/1",
        "/a/B/1",
        "/ab",
        "/b/1",
    ]
    store.put([record(path) for path in everything])
    assert paths(store, "/a/b") == ["/a/b", "/a/b/1", "/a/b/c/2"]
    assert paths(store, "/a/b/") == ["/a/b", "/a/b/1", "/a/b/c/2"]
    assert paths(store, "/a/b/c") == ["/a/b/c/2"]
    assert paths(store, "/ab") == ["/ab"]
    assert paths(store, "/a/b/c/2/3") == []
    assert paths(store, "/") == sorted(everything)
    assert paths(store, "/a", "/a/b", "/a/b/c", "/a/b") == paths(store, "/a")
    assert paths(store, "/", "/a") == sorted(everything)
    assert paths(store, "/b", "/a/bc", "/a/b", "/nothing") == ["/a/b", "/a/b/1", "/a/b/c/2", "/a/bc/1", "/b/1"]


def test_streams_more_than_a_page_in_order(store: Store) -> None:
    files = [file(f"/photos/{number % 7}/{number:05}.jpg") for number in range(12_000)]
    store.put([Record(one, None) for one in files])
    store.put([Record(file("/photos!/1"), None), Record(file("/photos0"), None)])
    assert list(store.files(["/photos"])) == sorted(files, key=lambda file: file.path)
    assert paths(store, "/photos/3", "/photos/5") == sorted(
        file.path for file in files if file.path.startswith(("/photos/3/", "/photos/5/"))
    )
    assert next(store.files(["/photos/6"])).path == "/photos/6/00006.jpg"


def test_streams_each_file_once_while_files_go_and_come(store: Store) -> None:
    before = [f"/photos/{number:05}" for number in range(11_000)]
    store.put([Record(file(path), None) for path in before])
    seen = []
    for number, one in enumerate(store.files(["/photos"])):
        seen.append(one.path)
        if number % 2_000 == 0:
            store.remove([one.path])
            store.put([Record(replace(file(before[-1]), size=number), None)])
    assert seen == before
    assert len(paths(store, "/photos")) == 11_000 - 6


# Similar pictures


Signatures = np.ndarray[tuple[int, int], np.dtype[np.int8]]


def album() -> Signatures:
    """Signatures of pictures and of their copies at all distances, and of such as are hard to find."""
    photos = list(signatures(150, seed=1))
    copies = [altered(photos[n], share, seed=n) for n in range(40) for share in (0.005, 0.03, 0.1, 0.2, 0.3, 0.45)]
    one_hot = np.eye(signature.LENGTH, dtype=np.int8)[:30]
    low = np.zeros((30, signature.LENGTH), np.int8)
    for row, values in enumerate(low):
        values[[0, row % 5, row % 7, row]] = 1
    zeros = np.zeros((3, signature.LENGTH), np.int8)
    twins = [photos[50]] * 20
    opposites = [-photos[0], -photos[1]]
    return np.array([*photos, *copies, *one_hot, *(2 * one_hot[:5]), *low, *zeros, *twins, *opposites], np.int8)


def by_number(matches: list[Match], hashes: list[str]) -> set[tuple[int, int]]:
    numbers = {name: number for number, name in enumerate(hashes)}
    pairs = [tuple(sorted((numbers[match.a], numbers[match.b]))) for match in matches]
    assert len(pairs) == len(set(pairs)), "a pair comes twice"
    return {(a, b) for a, b in pairs}


def test_compares_in_as_many_threads_as_it_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user allows reaches the join."""
    told = []

    def noted(*arguments: Any, **options: Any) -> Any:
        told.append(options["threads"])
        return join(*arguments, **options)

    monkeypatch.setattr("py_image_dedup.stores.matches.join", noted)
    some = records(album())
    store.put(some)
    assert list(store.similar([one.file.content for one in some], within=0.2, threads=3))
    assert told == [3]


def test_finds_all_similar_pictures(store: Store) -> None:
    vectors = album()
    some = records(vectors)
    hashes = [one.file.content for one in some]
    store.put(some)
    for radius in (0.0, 0.1, 0.25, 0.35, 0.45):
        matches = list(store.similar(hashes, within=radius))
        assert by_number(matches, hashes) == pairs_within(vectors, radius)
        assert all(match.a < match.b for match in matches)
    numbers = {name: number for number, name in enumerate(hashes)}
    for match in matches:
        assert match.distance == signature.distance(vectors[numbers[match.a]], vectors[numbers[match.b]])


def test_a_series_of_searches_finds_what_each_alone_would(store_factory: StoreFactory) -> None:
    """Whatever was searched for before, among however few or many, with other radii or turns, nothing is missed."""
    vectors = album()
    some = records(vectors)
    hashes = [one.file.content for one in some]
    random = np.random.default_rng(5)
    present: set[int] = set()
    orientations: tuple[Turn, ...] = ()
    radius = 0.25
    for step in range(14):
        store = store_factory()
        present |= set(random.choice(len(some), len(some) // 6, replace=False).tolist())
        store.put([some[number] for number in present])
        if step in {5, 9} and not store_factory.memory:  # what is written again may have another signature
            number = min(present)
            vectors[number] = vectors[max(present)]
            content = some[number].content
            assert content is not None
            some[number] = replace(some[number], content=replace(content, signature=vectors[number]))
            store.put([some[number]])
        if step in {7, 11}:
            radius, orientations = 0.35, (Turn.HALF,) if step == 11 else ()
        wanted = present if step % 3 else set(random.choice(sorted(present), len(present) // 2).tolist())
        asked = [hashes[number] for number in wanted]
        found = list(store.similar(asked, within=radius, orientations=orientations, threads=1 + step % 3))
        if step in {3, 8}:  # abandoned half way
            next(iter(store.similar([hashes[number] for number in present], within=radius)), None)
        a, b = np.array(list(combinations(sorted(wanted), 2))).T
        turns = (Turn.UPRIGHT, *orientations)
        distances = [signature.row_distances(vectors[a], signature.turned(vectors[b], turn)) for turn in turns]
        near = np.min(distances, axis=0) <= radius
        expected = set(zip(a[near].tolist(), b[near].tolist(), strict=True))
        assert by_number(found, hashes) == expected


def test_finds_everything_within_one(store: Store) -> None:
    vectors = np.array([*signatures(120, seed=2), np.zeros(signature.LENGTH)], np.int8)
    some = records(vectors)
    store.put(some)
    assert len(list(store.similar([one.file.content for one in some], within=1.0))) == 120 * 119 / 2


def test_finds_what_lies_exactly_on_the_radius(store: Store) -> None:
    one = next(signatures(1, seed=3))
    some = records([one, altered(one, 0.2, seed=4)])
    hashes = [one.file.content for one in some]
    store.put(some)
    radius = signature.distance(*(one.content.signature for one in some if one.content))
    assert [match.distance for match in store.similar(hashes, within=radius)] == [radius]
    assert list(store.similar(hashes, within=float(np.nextafter(radius, 0)))) == []


def test_compares_only_what_it_is_asked_for(store: Store) -> None:
    vectors = album()
    some = records(vectors)
    store.put(some)
    asked = list(range(0, len(vectors), 3))
    hashes = [some[number].file.content for number in asked]
    assert by_number(list(store.similar(hashes, within=0.35)), hashes) == pairs_within(vectors[asked], 0.35)
    assert by_number(list(store.similar(hashes * 2, within=0.35)), hashes) == pairs_within(vectors[asked], 0.35)
    assert list(store.similar(hashes[:1], within=1.0)) == []


def test_compares_a_few_of_many(store: Store) -> None:
    vectors = album()
    some = records(vectors)
    store.put(some)
    asked = [0, 1, 150, 151, 152, len(vectors) - 5, len(vectors) - 6]
    hashes = [some[number].file.content for number in asked]
    expected = pairs_within(vectors[asked], 0.35)
    assert expected
    assert by_number(list(store.similar([*hashes, digest("?")], within=0.35)), hashes) == expected


def test_finds_what_is_near_to_some(store: Store) -> None:
    """Asked about some contents, a store tells all pairs with these, whoever holds the others."""
    vectors = album()
    some = records(vectors)
    hashes = [one.file.content for one in some]
    store.put(some)
    store.remove([some[1].file.path])
    for radius in (0.1, 0.35):
        everything = set(store.similar(hashes, within=radius))
        for asked in (set[str](), {hashes[0]}, set(hashes[1::9]), {hashes[-30]}, set(hashes)):
            expected = {match for match in everything if {match.a, match.b} & asked}
            found = list(store.near(asked, within=radius))
            assert set(found) == expected
            assert len(found) == len(expected)
            assert set(store.near([*asked, digest("?")], within=radius)) == expected


def test_finds_a_thousand_that_are_near_each_other(store: Store) -> None:
    """Many re-encodings, some with the very same signature, among others: no limit hides a pair."""
    photos = list(signatures(300, seed=21))
    reencoded = [altered(photos[0], 0.02, seed=number) for number in range(700)]
    vectors = np.array([*photos, *reencoded, *[photos[0]] * 299], np.int8)
    some = records(vectors)
    hashes = [one.file.content for one in some]
    store.put(some)
    true = pairs_within(vectors, 0.2)
    assert len(true) > 999 * 998 / 2
    assert by_number(list(store.similar(hashes, within=0.2)), hashes) == true
    for row in (0, 500, len(vectors) - 1):
        near = by_number(list(store.near([hashes[row]], within=0.2)), hashes)
        assert near == {pair for pair in true if row in pair}


def test_finds_what_is_near_to_a_few_of_many(store: Store) -> None:
    """Asked about few or many, with turns or without, a store tells the same as for all, and nothing of blank ones."""
    vectors = np.concatenate([*turned_album(), np.zeros((2, signature.LENGTH), np.int8)])
    some = records(vectors)
    hashes = [one.file.content for one in some]
    store.put(some)
    for turns in ((), tuple(Turn)[1:]):
        everything = set(store.similar(hashes, within=0.3, orientations=turns))
        for asked in ({hashes[41]}, set(hashes[:6]), {hashes[-1]}, set(hashes[:70])):
            expected = {match for match in everything if {match.a, match.b} & asked}
            assert set(store.near(asked, within=0.3, orientations=turns)) == expected
    assert everything


def test_tells_which_files_hold_a_content(store_factory: StoreFactory) -> None:
    """Files are found by what they hold; those of other origins, and those that hold something else, are not."""
    elsewhere = store_factory("elsewhere")
    elsewhere.put([Record(file("/photos/far.jpg", origin="elsewhere", content=digest("a")), content("a"))])
    store = store_factory("here")
    mine = [file(path, content=digest("a")) for path in ("/photos/1.jpg", "/photos/\udcff.jpg")]
    broken = replace(file("/photos/broken.jpg", content=digest("b")), problem="cut off", reader="some")
    store.put([Record(one, content("a")) for one in mine])
    store.put([Record(broken, None), Record(file("/photos/other.jpg", content=digest("c")), content("c"))])

    assert sorted(store.holders([digest("a")]), key=lambda one: one.path) == mine
    assert set(store.holders([digest("a"), digest("b"), digest("?")])) == {*mine, broken}
    assert [*store.holders([])] == []
    store.remove([mine[0].path])
    assert [*store.holders([digest("a")])] == mine[1:]


def turned_album() -> tuple[Signatures, Signatures]:
    """Signatures, and copies of them turned in all ways, some of them altered besides; a few are symmetric."""
    upright = np.array([*signatures(40, seed=6)], np.int8)
    upright[:4] = signature.turned(upright[:4], Turn.HALF) // 2 + upright[:4] // 2
    turns = [Turn(1 + row % 8) for row in range(len(upright))]
    copies = np.array([signature.turned(upright[row : row + 1], turn)[0] for row, turn in enumerate(turns)])
    copies[::3] = [altered(vector, 0.05, seed=row) for row, vector in enumerate(copies[::3])]
    return upright, copies


def test_finds_turned_copies(store: Store) -> None:
    vectors = np.concatenate(turned_album())
    some = records(vectors)
    hashes = [one.file.content for one in some]
    row_of = {name: row for row, name in enumerate(hashes)}
    store.put(some)
    for orientations in ((), (Turn.HALF,), (Turn.CLOCKWISE,), tuple(Turn)):
        turns = sorted({Turn.UPRIGHT, *orientations, *(turn.inverse for turn in orientations)})
        for radius in (0.0, 0.25):
            expected = set()
            for a, b in combinations(sorted(hashes), 2):
                one, other = vectors[row_of[a]], vectors[row_of[b]][None]
                apart, turn = min((signature.distance(one, signature.turned(other, turn)[0]), turn) for turn in turns)
                if apart <= radius:
                    expected.add(Match(a, b, apart, turn))
            found = list(store.similar(hashes, within=radius, orientations=orientations))
            assert set(found) == expected
            assert len(found) == len(expected)
            some_of_them = set(hashes[3::7])
            assert set(store.near(some_of_them, within=radius, orientations=orientations)) == {
                match for match in expected if {match.a, match.b} & some_of_them
            }
    assert {match.turn for match in found} == set(Turn)


@pytest.mark.parametrize("turn", list(Turn), ids=lambda turn: turn.name.lower())
def test_tells_how_the_second_picture_must_be_turned(store: Store, turn: Turn) -> None:
    """A picture and its copy, turned by pixels: done to b, the turn makes it look like a, whichever comes first."""
    grey = np.asarray(pictures.photo(7).convert("L").resize((256, 256))) / 255
    turned_grey = np.ascontiguousarray(pictures.TURNED[turn](grey))
    for order in ([grey, turned_grey], [turned_grey, grey]):
        names = sorted(digest(f"{number} {order[0] is grey}") for number in range(2))
        greys = dict(zip(names, order, strict=True))
        store.put(
            [
                Record(file(f"/{name}", content=name), replace(content("x", signature.goldberg(pixels)), hash=name))
                for name, pixels in greys.items()
            ]
        )
        (match,) = store.similar(names, within=0.3, orientations=list(Turn))
        assert np.array_equal(pictures.TURNED[match.turn](greys[match.b]), greys[match.a])


def test_tells_how_far_it_is(store: Store) -> None:
    some = records(list(signatures(50, seed=5)))
    store.put(some)
    told: list[tuple[int, int]] = []
    list(store.similar([one.file.content for one in some], within=0.1, progress=lambda *far: told.append(far)))
    assert told
    assert all(0 < done <= total for done, total in told)
    assert told == sorted(told)


def test_goes_on_after_an_abandoned_search(store: Store) -> None:
    some = records([content("x").signature] * 30)
    hashes = [one.file.content for one in some]
    store.put(some)
    assert next(store.similar(hashes, within=0.1)).distance == 0
    assert next(store.files(["/"])).path == some[0].file.path
    assert len(list(store.similar(hashes, within=0.1))) == 30 * 29 / 2
    store.put([record("/a/1")])
    assert paths(store, "/a") == ["/a/1"]
