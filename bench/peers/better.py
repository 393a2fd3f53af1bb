"""Where a peer is better: found in the figures, so that no later run can leave it out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

OURS = "py-image-dedup"
SHOWN = 3


def table(result: dict[str, Any]) -> str:
    """List every figure in which a peer beats this program as shipped."""
    lines = [f"- {line}" for line in (*_speed(result), *_accuracy(result), *_growth(result))]
    return "\n".join(lines) or "In nothing that was measured."


def _peer(name: str) -> bool:
    return not name.startswith((OURS, "floor"))


def _speed(result: dict[str, Any]) -> Iterator[str]:
    figures = (("cpu", "cold", "CPU", "s"), ("wall", "cold", "wall time", "s"), ("peak_pss", "cold", "memory", "MB"))
    for corpus in result.get("speed", ()):
        runs = {(run["tool"], run["mode"]): run for run in corpus["runs"] if run["runs"]}
        for figure, mode, told, unit in (*figures, ("cpu", "warm", "CPU of a second run", "s")):
            ours = runs.get((OURS, mode))
            if ours is None:
                continue
            scale = 1e6 if unit == "MB" else 1
            less = [
                f"{tool} {run[figure] / scale:.3g} {unit}"
                for (tool, other), run in runs.items()
                if other == mode and _peer(tool) and run[figure] < ours[figure]
            ]
            if less:
                yield (
                    f"{told}, {corpus['count']} pictures of {corpus['name']}: {', '.join(less)}; "
                    f"this program {ours[figure] / scale:.3g} {unit}."
                )


def _accuracy(result: dict[str, Any]) -> Iterator[str]:
    for folder in result.get("accuracy", ()):
        for one in folder["sets"]:
            where = f"{folder['name']}, {one['set']}"
            tools = {tool["tool"]: tool["duplicates"] for tool in one["shipped"] if not tool["problem"]}
            if OURS not in tools:
                continue
            ours = tools.pop(OURS)
            peers = {name: scored for name, scored in tools.items() if _peer(name)}
            fewer = [f"{name} {scored['lost']}" for name, scored in peers.items() if scored["lost"] < ours["lost"]]
            if fewer:
                yield f"pictures lost ({where}): {', '.join(fewer)}; this program {ours['lost']}."
            shares = {name: (scored["recall"] or 0.0) for name, scored in peers.items()}
            yield from _more(f"all copies ({where})", shares, ours["recall"] or 0.0, peers)
            for kind, (got, asked) in ours["by_relation"].items():
                shares = {name: scored["by_relation"][kind][0] / asked for name, scored in peers.items() if asked}
                yield from _more(f"{kind} ({where}, {asked})", shares, got / asked if asked else 0.0, peers)


def _more(what: str, shares: dict[str, float], ours: float, peers: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Tell who finds more, the best first, each with its precision on the whole set."""
    more = sorted(((share, name) for name, share in shares.items() if share > ours), reverse=True)
    if more:
        told = [f"{name} {share:.0%} at {peers[name]['precision'] or 0:.3f}" for share, name in more[:SHOWN]]
        rest = f" and {len(more) - SHOWN} more" if len(more) > SHOWN else ""
        yield f"{what}: {', '.join(told)}{rest}; this program {ours:.0%}."


def _growth(result: dict[str, Any]) -> Iterator[str]:
    tools = {
        tool["tool"]: {point["size"]: point["wall"] for point in tool["points"]} for tool in result.get("growth", ())
    }
    for size, wall in tools.get(OURS, {}).items():
        less = [
            f"{name} {points[size]:.3g} s"
            for name, points in tools.items()
            if _peer(name) and points.get(size, wall) < wall
        ]
        if less:
            yield f"comparing {size:,} pictures: {', '.join(less)}; this program {wall:.3g} s."
