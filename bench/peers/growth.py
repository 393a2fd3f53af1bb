"""How the time of comparing alone grows with the number of pictures, from a thousand to a hundred thousand."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from bench.peers import measure
from bench.peers.run import Bench
from bench.peers.tools import Tool

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
MEANING = {
    "ours": "its exact join over 648 values, at 0.25, in 2 threads",
    "image-match": "our driver: every row against the rest in numpy, at 0.45",
    "imagehash": "our driver: every row against the rest in numpy, 64 bits",
    "pdqhash": "our driver: every row against the rest in numpy, 256 bits",
    "imagededup": "its find_duplicates, 64 bits, at 10",
    "difpy": "its search, 'similar', any dimensions",
    "czkawka": "its warm second run, start and look at every file included",
}
_ALLOWANCE = 90.0  # seconds for start and for making the hashes, which do not count
_SIDE = 32  # pixels of the pictures that czkawka gets


def measure_growth(bench: Bench, tools: Sequence[Tool], *, limit: float, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Measure each tool up to the size that takes it longer than `limit` seconds."""
    results = []
    for tool in _one_each(tools):
        key = "ours" if tool.ours else tool.environment
        head: dict[str, Any] = {"tool": tool.name, "what": MEANING[key]}
        if problem := bench.runner.problem(tool):
            results.append({**head, "points": [], "stopped": f"not available: {problem}"})
            continue
        points: list[dict[str, Any]] = []
        stopped = ""
        for size in sizes:
            result = bench.steps.get(
                f"growth {key} {size}",
                bench.parameters(tool, size=size, limit=limit),
                lambda: _measure(bench, tool, key, size, limit),  # noqa: B023  # called before the next turn
            )
            if result["problem"]:
                stopped = f"{size}: {result['problem']}"
                break
            points.append({"size": size, **{name: result[name] for name in ("wall", "cpu", "peak_pss", "pairs")}})
        results.append({**head, "points": points, "stopped": stopped})
    return results


def _one_each(tools: Sequence[Tool]) -> list[Tool]:
    seen: dict[str, Tool] = {}
    for tool in tools:
        seen.setdefault(tool.environment, tool)
    return list(seen.values())


def _measure(bench: Bench, tool: Tool, key: str, size: int, limit: float) -> dict[str, Any]:
    if key == "czkawka":
        return _czkawka(bench, tool, size, limit)
    with tempfile.TemporaryDirectory(dir=bench.work) as state:
        out = os.path.join(state, "answer.json")
        program = bench.runner.program if tool.ours else [bench.runner.environments[tool.environment].executable]
        cost = measure.run(
            [*program, "-m", "bench.drivers.growth", key, str(size), out],
            directory=state,
            environment=bench.runner.environment(tool, state),
            limit=limit + _ALLOWANCE,
        )
        problem = f"took more than {limit:.0f} s" if cost.timed_out else cost.problem
        result = {"problem": problem, "timed_out": cost.timed_out, "peak_pss": cost.peak_pss}
        if cost.problem:
            return result
        with open(out, encoding="utf-8") as file:
            inner = json.load(file)
    return _within(limit, {**result, "wall": inner["wall"], "cpu": inner["cpu"], "pairs": inner["pairs"]})


def _czkawka(bench: Bench, tool: Tool, size: int, limit: float) -> dict[str, Any]:
    """Measure its second run over tiny pictures: it can't be handed hashes."""
    folder = os.path.join(bench.work, f"tiny-{size}")
    _make_tiny(folder, size)
    state = bench.state("czkawka growth", fresh=True)
    answer = os.path.join(state, "answer.json")
    result: dict[str, Any] = {}
    for _ in ("cold", "warm"):
        command = bench.runner.command(tool, folder, answer, state)
        command[2:2] = ["-m", "1"]  # these pictures are below its least size
        cost = measure.run(
            command,
            directory=state,
            environment=bench.runner.environment(tool, state),
            limit=limit + _ALLOWANCE,
        )
        result = {**cost.as_data(), "problem": cost.problem, "pairs": None}
        if cost.problem:
            break
    result.pop("output", None)
    result.pop("errors", None)
    return _within(limit, result)


def _within(limit: float, result: dict[str, Any]) -> dict[str, Any]:
    if not result["problem"] and result["wall"] > limit:
        return {**result, "problem": f"took {result['wall']:.0f} s, more than {limit:.0f} s", "timed_out": True}
    return result


def _make_tiny(folder: str, count: int) -> None:
    """Write small pictures, each other than all others; a thousand to a folder."""
    done = f"{folder}.complete"
    if os.path.exists(done):
        return
    rng = np.random.default_rng(count)
    for number in range(count):
        place = os.path.join(folder, f"{number // 1000:03}")
        if number % 1000 == 0:
            os.makedirs(place, exist_ok=True)
        coarse = rng.integers(0, 256, (12, 12, 3)).astype(np.uint8)
        picture = Image.fromarray(coarse).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
        picture.save(os.path.join(place, f"{number:06}.jpg"), quality=80)
    with open(done, "w", encoding="utf-8"):
        pass
