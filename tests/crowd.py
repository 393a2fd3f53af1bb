"""The daemon beside a hundred thousand records: how long a new copy takes, and what is read for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pictures
from command import Command
from daemons import Daemon

from py_image_dedup import signature
from py_image_dedup.model import Content, Facts, File, Record
from py_image_dedup.stores.interface import Store

RECORDS = 100_000
COPIES = 4
_AT_ONCE = 5000
_AXES = 40  # that made-up signatures vary along; those of photos lie as far apart


def fill(store: Store, records: int = RECORDS) -> None:
    """Put made-up records into a store."""
    for some in _made_up(records):
        store.put(some)


def _made_up(records: int) -> Iterator[list[Record]]:
    random = np.random.default_rng(1)
    axes = random.normal(size=(_AXES, signature.LENGTH))
    facts, thumbnail = Facts("JPEG", 4000, 3000), np.zeros((64, 64), np.uint8)
    for start in range(0, records, _AT_ONCE):
        rows = np.clip(np.round(random.normal(size=(_AT_ONCE, _AXES)) @ axes / 6), -2, 2).astype(np.int8)
        names = [f"/archive/{start + row:06}.jpg" for row in range(_AT_ONCE)]
        hashes = [hashlib.sha256(name.encode()).hexdigest() for name in names]
        yield [
            Record(File("test", name, 1, 1, content), Content(content, facts, thumbnail, vector))
            for name, content, vector in zip(names, hashes, rows, strict=True)
        ]


def react(place: Path, command: Command, **settings: Any) -> dict[str, float]:
    """Let copies come to a folder beside the filled store; return seconds until each is acted on, and what it cost."""
    photos, target = place / "photos", place / "target"
    for seed in range(20):
        pictures.write(photos / f"{seed}.jpg", pictures.photo(seed), quality=95)
    moved = target / str(photos)[1:]
    acting = {"dry_run": "false", "deduplication__duplicates_target_directory": str(target)}
    with Daemon(command, photos, **acting | settings) as daemon:
        daemon.wait_until_ready(120)
        daemon.wait_for(lambda: daemon.metric("files_analysed_total") == 20 and daemon.metric("files_waiting") == 0, 60)
        before, cpu = daemon.metrics(), daemon.cpu_seconds()
        took = []
        for seed in range(COPIES):
            copy = photos / f"{seed} again.jpg"
            pictures.write(copy, pictures.scaled(pictures.photo(seed), 50 if seed % 2 else 100))
            took.append(daemon.wait_for((moved / copy.name).exists))
        cpu = daemon.cpu_seconds() - cpu
        after = daemon.metrics()
        assert daemon.leave() == 0
    calls = {
        dict(labels)["operation"]: value - before.get((name, labels), 0)
        for (name, labels), value in after.items()
        if name == "py_image_dedup_store_seconds_count"
    }
    analysed = ("py_image_dedup_files_analysed_total", ())
    return {
        "fastest seconds": min(took),
        "slowest seconds": max(took),
        "CPU seconds each": cpu / COPIES,
        "files read": after[analysed] - before[analysed],
        "scans": calls.get("files", 0) + calls.get("similar", 0),
    }
