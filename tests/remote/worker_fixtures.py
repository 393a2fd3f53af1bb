"""What tests of workers need; no conftest.py, since two modules of one name can't be checked together."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from analysed import analyse, fill
from workers import RedisServer


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test alone."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for tests that do it no harm."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of several formats, a copy, and files that are none."""
    return fill(tmp_path_factory.mktemp("album"), 60)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory, album: Path) -> list[Any]:
    """The records of an undisturbed analysis here."""
    return analyse(tmp_path_factory.mktemp("local"), album, "never", "redis://127.0.0.1:1/0")[1]
