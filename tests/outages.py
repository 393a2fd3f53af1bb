"""Real runs on a real cluster to which something happens at a random moment: the disk is always as the reports say.

``scripts/check-long cluster`` does it at length; `stores/test_faults.py` has the moments that matter, one by one.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cluster as three
from cluster import Cluster
from command import Finished
from machines import Machine, after, fill, held_up, tree

_PICTURES = 60

Strike = Callable[[Cluster, str, random.Random], None]


def kill_one(cluster: Cluster, _: str, chance: random.Random) -> None:
    """Kill any node."""
    chance.choice([*cluster.nodes.values()]).kill()


def kill_two(cluster: Cluster, _: str, chance: random.Random) -> None:
    """Kill so many nodes that nobody leads."""
    for node in chance.sample([*cluster.nodes.values()], 2):
        node.kill()


def hang_one(cluster: Cluster, _: str, chance: random.Random) -> None:
    """Let a node stop in the middle of what it does."""
    chance.choice([*cluster.nodes.values()]).sleep(on=True)


def delete(cluster: Cluster, index: str, _: random.Random) -> None:
    """Delete all indices."""
    cluster.remove(index)


STRIKES: tuple[Strike, ...] = (kill_one, kill_two, hang_one, delete)


class Outages:
    """Runs on one cluster, each with an album of its own."""

    def __init__(self, cluster: Cluster, home: Path, *, seed: int = 1) -> None:
        self.counts: Counter[str] = Counter()
        self._cluster, self._home = cluster, home
        self._chance = random.Random(seed)
        self._rounds = 0
        self._begin()
        started = time.monotonic()
        assert self._start(self._machine("nas")).wait(120) == 0
        self._undisturbed_s = time.monotonic() - started

    def strike(self, strike: Strike) -> None:
        """Let something happen at any moment of a run, and the next run end its work."""
        self._begin()
        process = self._start(self._machine("nas"))
        self._wait(process)
        strike(self._cluster, self._index, self._chance)
        first = self._ended(process, self._machine("nas"))
        assert first.code in {0, 4, 5}, first.err
        assert "Traceback" not in first.err
        self._as_reported(first)
        self._cluster.heal()
        self._as_reported(first, self._ended(self._start(self._machine("nas")), self._machine("nas"), code=0))
        assert len(tree(self._album)) == _PICTURES
        self.counts[f"ended with {first.code}"] += 1

    def oversleep(self) -> None:
        """Stop a run while it acts, for so long that another one takes its place."""
        self._begin()
        one, other = self._machine("one"), self._machine("other")
        sleeper = self._start(one)
        while not tree(self._target):
            time.sleep(0.01)
        with held_up(sleeper):
            assert len(tree(self._album)) > _PICTURES
            second = self._ended(self._start(other), other, code=0)
            assert "Waiting: process" in second.err
        first = self._ended(sleeper, one, code=5)
        assert first.counts["refused"], first.counts
        self._as_reported(first, second)
        assert len(tree(self._album)) == _PICTURES

    def _wait(self, process: subprocess.Popen[str]) -> None:
        """Wait for a moment: every other one lies soon after the first act, which are few beside all others."""
        if self._rounds % 2:
            time.sleep(self._chance.random() * self._undisturbed_s)
        else:
            while not tree(self._target) and process.poll() is None:
                time.sleep(0.005)
            time.sleep(self._chance.random() * 0.1)
        acting = "between the acts" if tree(self._target) else "before the first act"
        self.counts[acting if process.poll() is None else "after the end"] += 1

    def _begin(self) -> None:
        """Make an album, and forget what was before."""
        self._rounds += 1
        place = self._home / str(self._rounds)
        place.mkdir()
        self._index = f"outages-{self._rounds}"
        self._album, self._target = fill(place / "album", range(_PICTURES)), place / "target"
        self._before = tree(self._album)

    def _machine(self, name: str) -> Machine:
        home = self._home / f"{self._rounds} {name}"
        machine = Machine(home, origin="nas", url=",".join(self._cluster.urls), index=self._index)
        machine.environment["PY_IMAGE_DEDUP_ELASTICSEARCH_TIMEOUT"] = "10s"
        return machine

    def _start(self, machine: Machine) -> subprocess.Popen[str]:
        result = machine.home / "plan.json"
        result.unlink(missing_ok=True)
        return machine.start("deduplicate", "--no-dry-run", "--target", self._target, "--json", result, self._album)

    def _ended(self, process: subprocess.Popen[str], machine: Machine, *, code: int | None = None) -> Finished:
        out, err = process.communicate(timeout=300)
        assert code is None or process.returncode == code, err
        result = machine.home / "plan.json"
        return Finished(process.returncode, out, err, json.loads(result.read_text()) if result.exists() else {})

    def _as_reported(self, *runs: Finished) -> None:
        assert tree(self._album, self._target) == after(self._before, *runs)


def strike_many(home: Path, *, rounds: int, told: Callable[[str], None] = print) -> Counter[str]:
    """Let something happen to so many runs, and return what was hit and how they ended."""
    with three.running() as cluster:
        outages = Outages(cluster, home)
        outages.oversleep()
        for number in range(rounds):
            outages.strike(STRIKES[number % len(STRIKES)])
            if number % 10 == 9:
                told(f"{number + 1} of {rounds} rounds: {dict(outages.counts)}")
        return outages.counts
