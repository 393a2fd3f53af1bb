"""Machines that are apart: the line between them is cut, and their clocks differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from analysed import analyse
from cuts import cut_off
from workers import RedisServer, Worker, running

pytestmark = pytest.mark.redis


def test_the_line_is_cut_for_a_while(tmp_path: Path, album: Path, local: list[Any]) -> None:
    """What was on its way, and what comes meanwhile, is done here; scripts/check-long cut does it for a minute."""
    done, records = cut_off(tmp_path, album, seconds=10, timeout="2s")
    assert records == local
    assert done.err.count("Pictures are described on this machine: ") == 1


def off(hours: int) -> dict[str, str]:
    """Return the environment of a worker whose clock is so many hours off."""
    folder = Path(__file__).parent
    return {"CLOCK_OFF": str(3600 * hours), "PYTHONPATH": f"{folder / 'off'}:{folder}:{folder.parent.parent}"}


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_clock_of_a_worker_is_an_hour_off(
    tmp_path: Path, server: RedisServer, album: Path, local: list[Any], hours: int
) -> None:
    """Its answers are as good, and none of them comes too late."""
    with running(Worker(tmp_path / "worker", server.url, **off(hours))):
        done, records, _ = analyse(tmp_path / "home", album, "always", server.url)
    assert records == local
    assert done.counts["analysed_remotely"] == done.counts["decoded"]


def test_the_clocks_of_workers_differ(tmp_path: Path, server: RedisServer, album: Path, local: list[Any]) -> None:
    """None of them takes what another has for something that was left."""
    log = tmp_path / "described"
    early = Worker(tmp_path / "early", server.url, wraps="poisoned", SLOW="0.2", LOG=str(log), **off(-1))
    late = Worker(tmp_path / "late", server.url, wraps="poisoned", SLOW="0.2", LOG=str(log))
    with running(early), running(late):
        done, records, _ = analyse(tmp_path / "home", album, "always", server.url)
    assert records == local
    assert (done.err, done.counts["analysed_remotely"]) == ("", done.counts["decoded"])
    assert len(log.read_text().splitlines()) == done.counts["decoded"] + 2  # that are no pictures
