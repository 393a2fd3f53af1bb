"""Every tool as a user runs it: its command line, where its cache lies, and how its answer reads."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from bench.peers.environments import Environment

OURS = "py-image-dedup"
LOOK_DISTANCES = (0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45)
"""Values of --max-distance at which the program itself is run for its curve with the last look."""

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """What a tool says: pairs of paths it calls copies, pairs it only shows, and files it would remove.

    `remove` is None where the tool names none.
    """

    pairs: frozenset[Pair]
    similar: frozenset[Pair] = frozenset()
    remove: tuple[str, ...] | None = None
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """One way to run one program.

    `way` is the driver's --method, or options of a command.  `sweep`: has distances (or settings) for a curve.
    `warm`: keeps a cache that a second run uses.  `slow`: is run once where others are repeated.
    """

    name: str
    environment: str
    driver: str = ""
    way: str = ""
    default: float = 0.0
    sweep: bool = True
    warm: bool = False
    slow: bool = False
    shipped: bool = True
    timed: bool = True
    note: str = ""
    thresholds: tuple[float, ...] = field(default=())

    @property
    def ours(self) -> bool:
        """Tell whether it is the program of this project."""
        return self.environment == OURS


_CZKAWKA = "-c {} -g {} -z {} -s"
PEERS = (
    Tool(
        "czkawka",
        "czkawka",
        way=_CZKAWKA.format(16, "Gradient", "Nearest"),
        default=5,
        warm=True,
        thresholds=tuple(range(41)),
        note="command line defaults: 16, Gradient, Nearest, 5",
    ),
    Tool(
        "czkawka GUI",
        "czkawka",
        way=_CZKAWKA.format(16, "Mean", "Lanczos3"),
        default=10,
        timed=False,
        thresholds=tuple(range(41)),
        note="defaults of its window: 16, Mean, Lanczos3, 10",
    ),
    Tool(
        "czkawka 8",
        "czkawka",
        way=_CZKAWKA.format(8, "Gradient", "Lanczos3"),
        default=5,
        timed=False,
        thresholds=tuple(range(21)),
        note="hash of 64 bits, Gradient, Lanczos3",
    ),
    Tool(
        "czkawka turned",
        "czkawka",
        way="--geometric-invariance mirror-flip-rotate90 " + _CZKAWKA.format(16, "Gradient", "Nearest"),
        default=5,
        timed=False,
        sweep=False,
        note="as czkawka, with its switch for turned and mirrored copies",
    ),
    Tool("imagededup", "imagededup", "imagededup", "PHash", 10, note="PHash at 10 of 64 bits, as its README"),
    Tool("imagededup DHash", "imagededup", "imagededup", "DHash", 10, timed=False, note="DHash at 10 of 64 bits"),
    Tool("ImageHash", "imagehash", "imagehash", default=10, note="phash; it names no threshold: 10 of 64 bits"),
    Tool("pdqhash", "pdqhash", "pdqhash", default=31, slow=True, note="31 of 256 bits, as published"),
    Tool(
        "image-match",
        "image-match",
        "image_match",
        default=0.45,
        slow=True,
        note="full-size signatures, all compared, at its cutoff 0.45",
    ),
    Tool(
        "difPy", "difpy", "difpy", "duplicates", sweep=False, slow=True, note="as shipped: equal, of equal dimensions"
    ),
    Tool("difPy similar", "difpy", "difpy", "similar", 5, slow=True, note="'similar' (MSE 5), of any dimensions"),
)
FLOORS = (
    Tool("floor simplejpeg", "simplejpeg", "floor", "simplejpeg", note="libjpeg-turbo: decode to grey at 1/8 only"),
    Tool("floor Pillow", "pillow", "floor", "pillow", note="the same through Pillow's draft mode"),
)


def ours(name: str, options: str) -> Tool:
    """Return this program with a set of options."""
    label = OURS if name == "default" else f"{OURS} {name}"
    return Tool(label, OURS, way=options, default=0.25, warm=True, note=options or "no options")


@dataclass(frozen=True, slots=True)
class Runner:
    """Makes command lines.

    `program`: the interpreter (and options) that has this program.  `modules`: a folder that holds this `bench` and
    nothing else, so that a driver can't import another py_image_dedup than that of the interpreter.
    """

    environments: dict[str, Environment]
    program: Sequence[str]
    processes: int
    modules: str

    def problem(self, tool: Tool) -> str:
        """Say why a tool can't be run; empty if it can."""
        return "" if tool.ours else self.environments[tool.environment].problem

    def command(self, tool: Tool, folder: str, out: str, state: str, *, threshold: float | None = None) -> list[str]:
        """Return the command that searches a folder and writes its answer to `out`; its cache lies in `state`."""
        if tool.ours:
            distance = [] if threshold is None else ["--max-distance", str(threshold)]
            base = [*self.program, "-m", "py_image_dedup", "deduplicate", "--dry-run", "--json", out]
            return [
                *base,
                "--database",
                os.path.join(state, "records.sqlite"),
                *distance,
                *shlex.split(tool.way),
                folder,
            ]
        executable = self.environments[tool.environment].executable
        value = tool.default if threshold is None else threshold
        if tool.environment == "czkawka":
            # -N: results go to the file only; -W: finding something is no error; -T: as many threads as all others.
            base = [executable, "image", "-d", folder, "-C", out, "-N", "-W", "-T", str(self.processes)]
            return [*base, *shlex.split(tool.way), str(int(value))]
        given = [] if threshold is None else ["--threshold", str(threshold)]
        return [*self._driver(executable, tool, folder, out), *given]

    def sweep(self, tool: Tool, folder: str, out: str) -> list[str]:
        """Return the command that writes the distances of all pairs that are not far apart."""
        if tool.ours:
            driver = Tool(tool.name, tool.environment, "ours")
            return [*self._driver(self.program[0], driver, folder, out, *self.program[1:]), "--sweep"]
        return [*self._driver(self.environments[tool.environment].executable, tool, folder, out), "--sweep"]

    def _driver(self, executable: str, tool: Tool, folder: str, out: str, *options: str) -> list[str]:
        module = f"bench.drivers.{tool.driver}"
        way = ["--method", tool.way] if tool.way else []
        return [executable, *options, "-m", module, folder, out, "--processes", str(self.processes), *way]

    def environment(self, tool: Tool, state: str) -> dict[str, str]:
        """Return what to add to the environment: caches and state in a folder of the run, our drivers importable."""
        added = {"HOME": state, "XDG_CONFIG_HOME": state, "XDG_CACHE_HOME": state, "PYTHONPATH": self.modules}
        if tool.ours:
            return {**added, "PY_IMAGE_DEDUP_STATE_DIRECTORY": state}
        if tool.environment == "czkawka":
            return {**added, "CZKAWKA_CACHE_PATH": state, "CZKAWKA_CONFIG_PATH": state}
        return added


def read(tool: Tool, out: str) -> Found:
    """Read what a tool wrote."""
    if tool.environment == "czkawka" and not os.path.exists(out):
        return Found(frozenset(), remove=())  # it writes no file when it found nothing
    with open(out, encoding="utf-8", errors="surrogateescape") as file:
        data = json.load(file)
    if tool.ours:
        return _read_ours(data)
    if tool.environment == "czkawka":
        groups = [sorted(group, key=lambda one: (-one["size"], one["path"])) for group in data]
        smaller = tuple(one["path"] for group in groups for one in group[1:])  # it offers: all except the biggest
        return Found(pairs_of([one["path"] for one in group] for group in groups), remove=smaller)
    remove = None if data["remove"] is None else tuple(data["remove"])
    failed = tuple((path, reason) for path, reason in data["failed"])
    return Found(frozenset(pair(a, b) for a, b in data["pairs"]), remove=remove, failed=failed)


def _read_ours(data: dict[str, Any]) -> Found:
    groups, similar, remove = [], set(), []
    for group in data["groups"]:
        keeper = group["keeper"]["path"]
        sure = [one["path"] for one in group["duplicates"] if one["level"] == "duplicate"]
        groups.append([keeper, *sure])
        remove += sure
        similar |= {pair(keeper, one["path"]) for one in group["duplicates"] if one["level"] != "duplicate"}
    failed = tuple((one["path"], one["reason"]) for one in data["skipped"])
    return Found(pairs_of(groups), frozenset(similar), tuple(remove), failed)


def pair(a: str, b: str) -> Pair:
    """Return two paths in order."""
    return (a, b) if a < b else (b, a)


def pairs_of(groups: Iterable[Sequence[str]]) -> frozenset[Pair]:
    """Return all pairs of files that are in one group."""
    return frozenset(pair(a, b) for group in groups for a, b in combinations(group, 2))
