"""Both stores form the same groups, in whatever order the records came."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pictures
import pytest

from py_image_dedup.analysis import Limits, LocalAnalyser
from py_image_dedup.config import Override, Settings, load_settings
from py_image_dedup.events import Observer, Tally
from py_image_dedup.looks import LastLook
from py_image_dedup.model import Look, Record, Seen, Skipped
from py_image_dedup.pipeline import Pipeline
from py_image_dedup.planfile import as_data
from py_image_dedup.stores.elastic import ElasticStore
from py_image_dedup.stores.interface import Store
from py_image_dedup.stores.sqlite import SqliteStore
from py_image_dedup.walking import Selector, walk

REAL_PHOTOS = Path(
    os.environ.get("REAL_PHOTOS", Path(__file__).parent.parent.parent.parent / "shared" / "data" / "dev")
)
GENERATED = 5000
COPIES = 300


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """5,000 generated pictures, 300 of them copies of one, and the real photos where there are any."""
    album = tmp_path_factory.mktemp("album")
    one = pictures.photo(0, (64, 48))
    same = pictures.encode(one, quality=95)
    for number in range(GENERATED):
        path = album / f"{number // 500}" / f"{number:04}.jpg"
        path.parent.mkdir(exist_ok=True)
        if number >= COPIES:
            path.write_bytes(pictures.encode(pictures.photo(number, (64, 48)), quality=85))
        elif number % 2:
            path.write_bytes(same)
        else:
            path.write_bytes(pictures.encode(one, quality=50 + number // 8))
    return [str(album), *([str(REAL_PHOTOS.resolve())] if REAL_PHOTOS.is_dir() else [])]


@pytest.fixture(scope="module")
def settings(roots: list[str]) -> Settings:
    overrides = {
        "analysis.source_directories": Override("FOLDER", roots),
        "analysis.across_dirs": Override("FOLDER", "true"),
        "elasticsearch.max_distance": Override("--max-distance", "0.25"),
    }
    return load_settings(overrides=overrides, environ={"HOME": "/nonexistent"}).settings


@pytest.fixture(scope="module")
def records(settings: Settings) -> list[Record]:
    analysis = settings.analysis
    seen = walk(analysis.source_directories, select=Selector(extensions=frozenset(analysis.file_extensions)))
    analyser = LocalAnalyser(origin=settings.origin, threads=2, limits=Limits())
    found = list(analyser.analyse(one for one in seen if isinstance(one, Seen)))
    assert not any(isinstance(one, Skipped) for one in found)
    return [one for one in found if isinstance(one, Record)]


class Nobody:
    """An analyser that is never asked."""

    elsewhere = 0

    def analyse(self, seen: Iterable[Seen]) -> Iterator[Record | Skipped]:
        raise AssertionError(f"no analysis of {seen} here")


def elastic(url: str, origin: str) -> ElasticStore:
    index = f"same-groups-{uuid.uuid4().hex}"
    return ElasticStore.open(urls=[url], index=index, origin=origin, auto_create_index=True, timeout_s=120)


def groups(store: Store, records: list[Record], settings: Settings, looks: dict[tuple[str, str], Look]) -> Any:
    """Form groups from these records; pairs that were looked at for another store are remembered, not decoded again."""
    for start in range(0, len(records), 700):
        store.put(records[start : start + 700])
    store.put_looks(list(looks.values()))
    last_look = LastLook(store, max_pixels=10**9, reserve=lambda _: nullcontext())
    observer = Observer()
    pipeline = Pipeline(settings, store, Nobody(), last_look, observer, tally=Tally(observer))
    plan = pipeline.make_plan(analyse=False)
    looks |= last_look._known
    return as_data(plan)["groups"]


def different(some: Any, others: Any) -> list[Any]:
    """Return the groups that only one of two lists has."""
    return [group for group in some if group not in others] + [group for group in others if group not in some]


def test_same_groups_from_both_stores_in_any_order(
    records: list[Record], settings: Settings, tmp_path: Path, elasticsearch_url: str
) -> None:
    """SQLite and Elasticsearch, filled forwards and shuffled, give four equal lists of groups."""
    shuffled = records[:]
    random.Random(3).shuffle(shuffled)
    found = []
    looks: dict[tuple[str, str], Look] = {}
    for number, order in enumerate((records, shuffled)):
        stores: tuple[Store, ...] = (
            SqliteStore.open(str(tmp_path / f"{number}.sqlite"), origin=settings.origin),
            elastic(elasticsearch_url, settings.origin),
        )
        for store in stores:
            found.append(groups(store, order, settings, looks))
            store.close()

    largest = max(found[0], key=lambda group: len(group["duplicates"]))
    assert len(largest["duplicates"]) >= COPIES - 1
    for number, one in enumerate(found[1:], 1):
        assert different(found[0], one) == [], number
