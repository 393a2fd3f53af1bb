"""A slow machine with an agent, fast ones with workers, and a line between: how long a picture takes in each mode.

Run by ``scripts/check-long pi``.  The agent has a part of one core (a quota of the kernel) and a network of its own;
Redis and two workers have another core.  So both sides are as fast as the machine that this runs on allows, and what
counts is how the modes compare.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Self

import pictures
from command import Command
from daemons import Daemon
from lines import Line
from workers import RedisServer, Worker, running

SIZE = (4000, 3000)
MEGABITS = 20
SHARES = (1.0, 1 / 4, 1 / 8)
COUNTS = {"JPEG": 80, "HEIF": 24}
WARM = 8  # pictures of a kind that come first: an agent that runs for weeks knows what they take
SAVED: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 82},
    "HEIF": {"quality": 46, "enc_params": {"preset": "ultrafast"}},
}
MOST_MEGABYTES = 200

_PERIOD_US = 20_000  # of a quota; the usual 100 ms would let a picture wait longer than it takes
_CPU = Path("/sys/fs/cgroup/cpu")


class Processor:
    """A core of this machine, or a part of it, in a ``with`` block; `prefix` runs a command there."""

    def __init__(self, name: str, core: int) -> None:
        self._old = (_CPU / "cpu.cfs_quota_us").exists()  # control groups of version 1
        self._group = (_CPU if self._old else _CPU.parent) / f"dedup-{name}-{os.getpid()}"
        enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
        self.prefix = ["sh", "-c", enter, str(self._group), "taskset", "-c", str(core)]

    def __enter__(self) -> Self:
        if not self._old:
            (_CPU.parent / "cgroup.subtree_control").write_text("+cpu")
        self._group.mkdir()
        # Other work on this machine is to count as little as can be.
        if self._old:
            (self._group / "cpu.shares").write_text("262144")
        else:
            (self._group / "cpu.weight").write_text("10000")
        return self

    def __exit__(self, *_: object) -> None:
        self._group.rmdir()

    def limit(self, share: float) -> None:
        """Allow a part of the core from now on."""
        quota = round(share * _PERIOD_US)
        if self._old:
            (self._group / "cpu.cfs_quota_us").write_text("-1")
            (self._group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (self._group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self._group / "cpu.max").write_text(f"{quota} {_PERIOD_US}")


class Agent(Daemon):
    """An agent on a part of a core."""

    name = "agent"


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds for a picture, megabytes of memory at most, and the part of all pictures that was sent."""

    seconds: float
    megabytes: float
    sent: float


@dataclass(frozen=True, slots=True)
class Row:
    """The three modes in one setting; no `megabits`: a line as fast as this machine."""

    kind: str
    share: float
    megabits: int | None
    never: Measured
    always: Measured
    auto: Measured

    def __str__(self) -> str:
        better = min(self.never.seconds, self.always.seconds)
        cells = (
            "HEIC" if self.kind == "HEIF" else self.kind,
            f"1/{1 / self.share:.0f}",
            str(self.megabits or "-"),
            *(f"{one.seconds:.3f}" for one in (self.never, self.always, self.auto)),
            f"{self.auto.sent:.0%}",
            f"{self.auto.seconds / better:.2f}",
            f"{self.auto.megabytes:.0f}",
        )
        return f"| {' | '.join(cells)} |"


HEAD = "| | core | Mbit/s | never | always | auto | sent | to better | MB |\n|---|---|---|---|---|---|---|---|---|"


def make_pictures(folder: Path) -> None:
    """Write pictures that are not there yet, each like no other."""
    for kind, count in COUNTS.items():
        there = folder / kind
        there.mkdir(parents=True, exist_ok=True)
        for number in range(WARM + count):
            path = there / f"{number}.{'heic' if kind == 'HEIF' else 'jpg'}"
            if not path.exists():
                encoded = io.BytesIO()
                pictures.photo(number, SIZE).save(encoded, kind, **SAVED[kind])
                path.write_bytes(encoded.getvalue())


class Bench:
    """Everything but the agents; `place` takes their files."""

    def __init__(self, place: Path, album: Path, pi: Processor, line: Line, url: str) -> None:
        self._place = place
        self._album = album
        self._pi = pi
        self._line = line
        self._url = url
        self._runs = 0

    def measure(self, mode: str, kind: str, share: float) -> Measured:
        """Let an agent describe all pictures of a kind; what it takes to start does not count."""
        self._runs += 1
        place = self._place / str(self._runs)
        photos = place / "photos"
        photos.mkdir(parents=True)
        command = Command(place / "home")
        command.prefix = [*self._pi.prefix, *self._line.prefix]
        settings = {
            "stats.host": self._line.far,
            "remote.broker_url": self._url,
            "remote.mode": mode,
            # Other programs on the machine that this runs on are not those of a Pi.
            "remote.max_load": "1",
            "remote.min_memory": "1MB",
            "remote.max_temperature": "200",
            "deduplication.action": "report",
        }
        self._pi.limit(1.0)
        with Agent(command, photos, **settings) as agent:
            agent.wait_until_ready()
            paths = sorted((self._album / kind).iterdir())[: WARM + COUNTS[kind]]
            self._pi.limit(share)
            self._let_come(agent, photos / "first", paths[:WARM])
            spent, sent = _spent(agent), agent.metric("files_decoded_on_workers_total")
            self._let_come(agent, photos / "all", paths[WARM:])
            return Measured(
                (_spent(agent) - spent) / COUNTS[kind],
                _most_megabytes(agent.process.pid),
                (agent.metric("files_decoded_on_workers_total") - sent) / COUNTS[kind],
            )

    def _let_come(self, agent: Agent, folder: Path, paths: list[Path]) -> None:
        """Let a folder with these pictures appear, and wait until all are described."""
        before, passes = agent.metric("files_decoded_total"), _passes(agent)
        hidden = folder.with_name(f".{folder.name}")
        hidden.mkdir()
        for path in paths:
            os.link(path, hidden / path.name)
        hidden.rename(folder)

        def done() -> bool:
            return agent.metric("files_decoded_total") == before + len(paths) and _passes(agent) > passes

        agent.wait_for(_now_and_then(done), 900)


def _now_and_then(condition: Callable[[], bool]) -> Callable[[], bool]:
    """Ask only once a second: an answer costs the one who is asked."""

    def asked() -> bool:
        time.sleep(1)
        return condition()

    return asked


def _passes(agent: Agent) -> float:
    return agent.metric("passes_total", kind="changes", result="done")


def _spent(agent: Agent) -> float:
    return agent.metric("phase_seconds_sum", phase="analyse")


def _most_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"^VmHWM:\s+(\d+)", status, re.MULTILINE)[0]) / 1024


@contextmanager
def bench(place: Path, album: Path, megabits: int | None) -> Iterator[Bench]:
    """Set up processors, line, Redis and workers."""
    with Processor("pi", 0) as pi, Processor("cluster", 1) as cluster, Line() as line:
        if megabits:
            line.slow_down(megabits)
        redis = RedisServer(place / "redis", host=line.near)
        redis.prefix = cluster.prefix
        redis.start()
        try:
            with running(Worker(place / "worker", redis.url, prefix=cluster.prefix)):
                yield Bench(place, album, pi, line, redis.url)
        finally:
            redis.stop()


def rows(place: Path, album: Path) -> Iterator[Row]:
    """Measure every setting; `album` keeps its pictures for the next time."""
    make_pictures(album)
    never: dict[tuple[str, float], Measured] = {}
    for megabits in (MEGABITS, None):
        below = place / str(megabits)
        with bench(below, album, megabits) as there:
            for kind, share in product(COUNTS, SHARES):
                if (kind, share) not in never:  # what is not sent does not care for the line
                    never[kind, share] = there.measure("never", kind, share)
                always, auto = (there.measure(mode, kind, share) for mode in ("always", "auto"))
                yield Row(kind, share, megabits, never[kind, share], always, auto)


def objections(measured: list[Row]) -> list[str]:
    """Name what is not as docs/agent.md promises."""
    wrong = []
    for row in measured:
        if row.auto.seconds > 1.1 * min(row.never.seconds, row.always.seconds):
            wrong.append(f"auto is slower than the better way: {row}")
        if row.auto.megabytes >= MOST_MEGABYTES:
            wrong.append(f"too much memory: {row}")
        pays = (row.kind == "HEIF") == (row.megabits is not None)
        if row.share == min(SHARES) and pays and row.never.seconds < 3 * row.auto.seconds:
            wrong.append(f"not three times as fast as never: {row}")
    return wrong
