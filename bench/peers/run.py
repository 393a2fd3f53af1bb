"""One run of one tool in a fresh or kept state: its cost and its answer."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import Any

from bench.peers import measure, tools
from bench.peers.steps import Steps
from bench.peers.tools import Found, Runner, Tool


@dataclass(frozen=True, slots=True)
class Bench:
    """What all parts of a benchmark need.

    `versions`: by environment, so that another version is another measurement.  `limit`: seconds per run.
    """

    runner: Runner
    steps: Steps
    work: str
    versions: dict[str, str]
    limit: float
    repeat: int
    repeat_slow: int

    def parameters(self, tool: Tool, **more: Any) -> dict[str, Any]:
        """Return what a result depends on."""
        return {
            "version": self.versions.get(tool.environment, ""),
            "way": tool.way,
            "driver": tool.driver,
            "processes": self.runner.processes,
            **more,
        }

    def state(self, name: str, *, fresh: bool) -> str:
        """Return a folder for caches and answers, emptied if it is to be fresh."""
        place = os.path.join(self.work, "state", name.replace("/", "_").replace(" ", "_"))
        if fresh:
            shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place, exist_ok=True)
        return place

    def search(
        self, tool: Tool, folder: str, state: str, *, threshold: float | None = None
    ) -> tuple[dict[str, Any], Found | None]:
        """Run a tool on a folder; return the cost and, unless it failed, the answer with relative paths."""
        out = os.path.join(state, "answer.json")
        if os.path.exists(out):
            os.unlink(out)
        command = self.runner.command(tool, folder, out, state, threshold=threshold)
        cost = self._run(command, tool, state)
        if cost["problem"]:
            return cost, None
        try:
            return cost, relative(tools.read(tool, out), folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            return {**cost, "problem": f"its answer can't be read: {type(error).__name__}: {error}"}, None

    def sweep(self, tool: Tool, folder: str) -> dict[str, Any]:
        """Return {"distances": [[a, b, distance], ...]} with relative paths, or {"problem": ...}."""
        with tempfile.TemporaryDirectory(dir=self.work) as state:
            out = os.path.join(state, "answer.json")
            cost = self._run(self.runner.sweep(tool, folder, out), tool, state)
            if cost["problem"]:
                return {"problem": cost["problem"], "timed_out": cost["timed_out"]}
            with open(out, encoding="utf-8", errors="surrogateescape") as file:
                data = json.load(file)
        return {
            "distances": [[below(a, folder), below(b, folder), distance] for a, b, distance in data["distances"]],
            "failed": [[below(path, folder), reason] for path, reason in data["failed"]],
        }

    def floor(self, tool: Tool, folder: str, state: str) -> dict[str, Any]:
        """Run a bare decoder; return the cost, and the part of it that is not start-up."""
        out = os.path.join(state, "answer.json")
        cost = self._run(self.runner.command(tool, folder, out, state), tool, state)
        if cost["problem"]:
            return cost
        with open(out, encoding="utf-8") as file:
            data = json.load(file)
        return {**cost, "files": data["files"], "decode_cpu": data["decode_cpu"], "shape": data["shape"]}

    def _run(self, command: list[str], tool: Tool, state: str) -> dict[str, Any]:
        cost = measure.run(command, directory=state, environment=self.runner.environment(tool, state), limit=self.limit)
        data = cost.as_data()
        del data["output"], data["errors"]
        return {**data, "problem": cost.problem}


def below(path: str, folder: str) -> str:
    """Return a path as seen from the folder."""
    return os.path.relpath(path, folder)


def relative(found: Found, folder: str) -> Found:
    """Return an answer with paths as the truth has them."""
    return Found(
        frozenset(tools.pair(below(a, folder), below(b, folder)) for a, b in found.pairs),
        frozenset(tools.pair(below(a, folder), below(b, folder)) for a, b in found.similar),
        None if found.remove is None else tuple(below(path, folder) for path in found.remove),
        tuple((below(path, folder), reason) for path, reason in found.failed),
    )
