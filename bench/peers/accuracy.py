"""What each tool finds in pictures whose truth is known: as shipped, at its best threshold, and at all of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

from bench import variants
from bench.peers import scoring, truth
from bench.peers.run import Bench
from bench.peers.scoring import Sweep, Truth
from bench.peers.tools import LOOK_DISTANCES, OURS, Found, Tool

SHOWN_FAILED = 10


def measure_folder(
    bench: Bench, name: str, folder: str, tools: Sequence[Tool], *, seed: int, with_variants: bool, sets: Sequence[str]
) -> dict[str, Any]:
    """Score all tools on the sets of one folder; the folder is only read."""
    source = folder
    if with_variants:
        source = os.path.join(bench.work, f"variants-{name}-{seed}")
        made = variants.make(folder, source, seed=seed)
        bench.steps.say(f"{name}: {made} variants")
    rows = truth.load(source)
    results = []
    for set_name in (*sets, truth.ALL):
        chosen = truth.select(rows, set_name)
        prepared = Truth.of(chosen)
        if not prepared.relation:
            continue
        laid = os.path.join(bench.work, f"set-{name}-{seed}{'-variants' if with_variants else ''}", set_name)
        truth.lay_out(source, chosen, laid)
        bench.steps.say(f"{name}, {set_name}: {len(chosen)} files, {len(prepared.relation)} copies")
        results.append(
            {
                "set": set_name,
                "meaning": truth.MEANING[set_name],
                "files": len(chosen),
                "groups": len({row.group for row in chosen}),
                "relations": dict(sorted(Counter(row.relation for row in chosen).items())),
                "halves": [len(prepared.half(half).rows) for half in (0, 1)],
                "shipped": [_shipped(bench, tool, laid, f"{name} {set_name}", prepared) for tool in tools],
                "curves": [
                    _curve(bench, tool, label, laid, f"{name} {set_name}", prepared)
                    for tool in _with_curves(tools)
                    for label in _labels(tool)
                ],
            }
        )
    return {
        "name": name,
        "variants": with_variants,
        "sets": [one for one in results if one["set"] != truth.ALL],
        "together": [one for one in results if one["set"] == truth.ALL],
    }


def _with_curves(tools: Sequence[Tool]) -> list[Tool]:
    """Leave out what has no threshold, and of this program all option sets but the first."""
    first = next((tool for tool in tools if tool.ours), None)
    return [tool for tool in tools if tool.sweep and (not tool.ours or tool is first)]


def _labels(tool: Tool) -> tuple[str, ...]:
    return (f"{OURS}, no look", f"{OURS}, with look") if tool.ours else (tool.name,)


def _shipped(bench: Bench, tool: Tool, folder: str, where: str, prepared: Truth) -> dict[str, Any]:
    """Run a tool with its defaults and score its answer: on all files, and on the half that reports."""
    head = {"tool": tool.name, "note": tool.note}
    if problem := bench.runner.problem(tool):
        return {**head, "problem": f"not available: {problem}"}
    answer = bench.steps.get(
        f"shipped {where} {tool.name}",
        bench.parameters(tool, folder=where, files=sorted(prepared.rows)),
        lambda: _answer(bench, tool, folder),
    )
    if answer.get("problem"):
        return {**head, "problem": answer["problem"]}
    found = _found(answer)
    result = {
        **head,
        "problem": "",
        "cpu": answer["cpu"],
        "load_before": answer["load_before"],
        "failed": None if tool.environment == "czkawka" else len(found.failed),  # it only logs them
        "failed_files": [
            [path, bench.steps.scrub(reason.replace(f"{folder}/", ""))[:200]]
            for path, reason in found.failed[:SHOWN_FAILED]
        ],
        **_levels(prepared, found),
    }
    return {**result, "second_half": _levels(prepared.half(1), found)}


def _levels(prepared: Truth, found: Found) -> dict[str, Any]:
    """Score what is called a copy, and apart from that what is called a copy or shown as similar."""
    scored: dict[str, Any] = {"duplicates": scoring.score(prepared, found.pairs, found.remove)}
    if found.similar:
        scored["with_similar"] = scoring.score(prepared, found.pairs | found.similar, found.remove)
    return scored


def _answer(bench: Bench, tool: Tool, folder: str) -> dict[str, Any]:
    cost, found = bench.search(tool, folder, bench.state(tool.name, fresh=True))
    if found is None:
        return cost
    return {
        **cost,
        "pairs": sorted(found.pairs),
        "similar": sorted(found.similar),
        "remove": found.remove,
        "failed": found.failed,
    }


def _found(answer: dict[str, Any]) -> Found:
    return Found(
        frozenset((a, b) for a, b in answer["pairs"]),
        frozenset((a, b) for a, b in answer.get("similar", ())),
        None if answer.get("remove") is None else tuple(answer["remove"]),
        tuple((path, reason) for path, reason in answer.get("failed", ())),
    )


def _curve(  # noqa: PLR0917  # one step, six facts
    bench: Bench, tool: Tool, label: str, folder: str, where: str, prepared: Truth
) -> dict[str, Any]:
    """Score a tool at all thresholds, choose the best on the first half and report it on the second."""
    head = {"tool": label, "default": tool.default, "note": tool.note}
    if problem := bench.runner.problem(tool):
        return {**head, "problem": f"not available: {problem}"}
    thresholds = LOOK_DISTANCES if label.endswith("with look") else tool.thresholds
    data = bench.steps.get(
        f"sweep {where} {label}",
        bench.parameters(tool, folder=where, files=sorted(prepared.rows), thresholds=thresholds),
        lambda: _settings(bench, tool, folder, thresholds) if thresholds else bench.sweep(tool, folder),
    )
    if data.get("problem"):
        return {**head, "problem": data["problem"]}
    if "settings" in data:
        sweep = Sweep(settings=[(one["threshold"], {(a, b) for a, b in one["pairs"]}) for one in data["settings"]])
    else:
        sweep = Sweep(distances=[(a, b, distance) for a, b, distance in data["distances"]])
    chosen_on, reported = prepared.half(0), prepared.half(1)
    points = scoring.curve(chosen_on, sweep)
    tuned = {}
    for rule, precision in (("strict", "precision"), ("scenes_forgiven", "precision_scenes_forgiven")):
        threshold, how = scoring.best(points, precision=precision)
        tuned[rule] = {
            "threshold": threshold,
            "chosen_by": how,
            "second_half": None if threshold is None else scoring.score(reported, sweep.at(threshold)),
        }
    return {
        **head,
        "problem": "",
        "tuned": tuned,
        "at_default": {"second_half": scoring.score(reported, sweep.at(tool.default))},
        "points": scoring.curve(prepared, sweep),
    }


def _settings(bench: Bench, tool: Tool, folder: str, thresholds: Sequence[float]) -> dict[str, Any]:
    """Run a program once per setting, with its cache: what it decodes does not depend on the setting."""
    state = bench.state(f"{tool.name} sweep", fresh=True)
    settings = []
    for threshold in thresholds:
        cost, found = bench.search(tool, folder, state, threshold=threshold)
        if found is None:
            return cost
        settings.append({"threshold": threshold, "pairs": sorted(found.pairs)})
    return {"settings": settings}
