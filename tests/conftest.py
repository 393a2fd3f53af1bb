"""What many tests need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import elastic_server
import pytest
from command import Command


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without an Elasticsearch, leave out the tests that need one; said here and not in the fixture, it is one line."""
    needed = item.get_closest_marker("elasticsearch") or "elasticsearch_url" in getattr(item, "fixturenames", ())
    if needed and (missing := elastic_server.missing()):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no Elasticsearch: {missing}")


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    """The URL of a real Elasticsearch; an index made there is to be deleted at the end of a test."""
    with elastic_server.running() as url:
        yield url


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command, with a home and a database of its own."""
    return Command(tmp_path / "home")
