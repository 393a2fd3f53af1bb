"""A new copy is acted on at once, however much is known."""

from __future__ import annotations

from pathlib import Path

import crowd
from command import Command

from py_image_dedup.stores.sqlite import SqliteStore


def test_a_copy_is_acted_on_in_time_beside_100_000_records(tmp_path: Path, command: Command) -> None:
    """Two seconds after it has settled; no folder is walked, and records are not gone through.

    ``scripts/check-long crowd`` does the same with Elasticsearch.
    """
    database = tmp_path / "store.sqlite"
    store = SqliteStore.open(str(database), origin="test")
    crowd.fill(store)
    store.close()
    figures = crowd.react(tmp_path, command, database=str(database), daemon__processing_timeout="2s")

    assert figures["fastest seconds"] < 2 + 2  # the others may have met whatever else this machine is busy with
    assert figures["CPU seconds each"] < 2
    assert figures["files read"] == crowd.COPIES
    assert figures["scans"] == 0
