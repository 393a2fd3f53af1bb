"""A line that is cut in the middle of a run with workers, and mended."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from analysed import disturbed
from command import Finished
from lines import Line
from workers import RedisServer, Worker, running, wait_until


def cut_off(place: Path, album: Path, *, seconds: float, **settings: str) -> tuple[Finished, list[Any]]:
    """Analyse at the far end of a line that is cut for so long; return how that ended, and all records."""
    with Line() as line:
        redis = RedisServer(place / "redis", host=line.near)
        redis.start()

        def cut() -> None:
            wait_until(lambda: redis.client.keys("*bytes*"))
            time.sleep(1)
            line.cut()
            time.sleep(seconds)
            line.mend()

        try:
            with running(Worker(place / "worker", redis.url, wraps="poisoned", SLOW="0.2")):
                done, records = disturbed(place / "home", album, redis.url, cut, prefix=line.prefix, **settings)
        finally:
            redis.stop()
    assert 0 < done.counts["analysed_remotely"] < done.counts["decoded"], done.counts
    return done, records
