"""What each tool costs on made-up phone pictures, cold and warm, and what decoding alone costs."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bench import corpus
from bench.peers import scoring, truth
from bench.peers.run import Bench
from bench.peers.tools import FLOORS, Tool

FIGURES = ("cpu", "wall", "peak_pss", "max_rss", "orphans_cpu")


def measure_corpora(
    bench: Bench, photos: str, wanted: Sequence[tuple[int, tuple[int, int]]], tools: Sequence[Tool], seed: int
) -> list[dict[str, Any]]:
    """Make each corpus and measure all tools on it."""
    results = []
    for count, size in wanted:
        name = f"{size[0]}x{size[1]}"
        folder = os.path.join(bench.work, f"corpus-{name}-{count}-{seed}-{_fingerprint(photos)}")
        bench.steps.say(f"corpus of {count} pictures of {name}")
        made = corpus.make(photos, folder, count=count, size=size, seed=seed, processes=bench.runner.processes)
        results.append({"name": name, "count": made, "seed": seed, **_measure(bench, folder, name, tools)})
    return results


def _fingerprint(photos: str) -> str:
    return corpus.fingerprint(corpus.sources(photos))


def _measure(bench: Bench, folder: str, name: str, tools: Sequence[Tool]) -> dict[str, Any]:
    rows = truth.load(folder)
    prepared = scoring.Truth.of(rows)
    size = sum(row.size for row in rows)
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    timed = [tool for tool in tools if tool.timed]
    for turn in range(max(bench.repeat, bench.repeat_slow)):  # in turns, so that a busy minute hits all tools alike
        for tool in (*FLOORS, *timed, *_threads(timed, bench)):
            if turn >= (bench.repeat_slow if tool.slow else bench.repeat):
                continue
            if problem := bench.runner.problem(tool):
                runs[tool.name, "cold"] = [{"problem": f"not available: {problem}"}]
                continue
            for mode, result in _cold_and_warm(bench, tool, folder, f"speed {name} {tool.name} {turn}", prepared):
                runs.setdefault((tool.name, mode), []).append(result)
    return {
        "megabytes": size / 1e6,
        "kB_per_picture": size / 1e3 / len(rows),
        "runs": [
            {"tool": tool, "mode": mode, "pictures": len(rows), **_summary(some)} for (tool, mode), some in runs.items()
        ],
    }


def _threads(tools: Sequence[Tool], bench: Bench) -> Iterator[Tool]:
    """Yield this program with one thread and with as many as the others have: what threads bring."""
    plain = next((tool for tool in tools if tool.ours), None)
    if plain is not None:
        for threads in (1, bench.runner.processes):
            name = f"{plain.name} on {threads} thread{'s' if threads > 1 else ''}"
            yield replace(plain, name=name, way=f"{plain.way} --threads {threads}".strip(), warm=False)


def _cold_and_warm(
    bench: Bench, tool: Tool, folder: str, name: str, prepared: scoring.Truth
) -> Iterator[tuple[str, dict[str, Any]]]:
    for mode in ("cold", "warm") if tool.warm else ("cold",):
        result = bench.steps.get(
            f"{name} {mode}",
            bench.parameters(tool, folder=os.path.basename(folder)),
            lambda: _run(bench, tool, folder, name, mode, prepared),  # noqa: B023  # called before the next turn
        )
        yield mode, result
        if result.get("problem"):
            return


def _run(  # noqa: PLR0917  # one step, six facts
    bench: Bench, tool: Tool, folder: str, name: str, mode: str, prepared: scoring.Truth
) -> dict[str, Any]:
    state = bench.state(tool.name, fresh=mode == "cold")
    if mode == "warm" and not os.path.exists(os.path.join(state, "cold")):
        bench.steps.say(f"  {name}: filling the cache again")
        bench.search(tool, folder, state)
    read_all(folder)
    if tool in FLOORS:
        return bench.floor(tool, folder, state)
    cost, found = bench.search(tool, folder, state)
    if found is None:
        return cost
    with open(os.path.join(state, "cold"), "w", encoding="utf-8"):
        pass
    scored = scoring.score(prepared, found.pairs, found.remove)
    planted = {key: scored[key] for key in ("recall", "copies", "false", "pairs", "lost")}
    return {**cost, **planted}


def read_all(folder: str) -> None:
    """Read all files once, so that the page cache is warm for everybody."""
    for place, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(place, name), "rb") as file:
                while file.read(1 << 20):
                    pass


def _summary(some: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of the runs that went well, all CPU and wall figures, or what went wrong."""
    good = [one for one in some if not one.get("problem")]
    problems = sorted({one["problem"] for one in some if one.get("problem")})
    if not good:
        return {"runs": 0, "problem": "; ".join(problems)}
    middle = {key: statistics.median(one[key] for one in good) for key in FIGURES}
    extra: dict[str, Any] = {
        key: good[-1][key] for key in ("recall", "copies", "false", "pairs", "decode_cpu") if key in good[-1]
    }
    return {
        "runs": len(good),
        "problem": "; ".join(problems),
        **middle,
        **extra,
        "all_cpu": [one["cpu"] for one in good],
        "all_wall": [one["wall"] for one in good],
        "load_before": [one["load_before"] for one in good],
    }
