"""Plots of a result: python plots.py RESULT.json FOLDER.  Runs in an environment of its own, with matplotlib."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt  # the way to draw is chosen first

OURS = "py-image-dedup"
mpl.rcParams.update(
    {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
)
COLOURS = dict(
    zip(
        (
            "czkawka",
            "czkawka GUI",
            "czkawka 8",
            "imagededup",
            "imagededup DHash",
            "ImageHash",
            "pdqhash",
            "image-match",
        ),
        ("tab:orange", "peru", "gold", "tab:green", "yellowgreen", "tab:cyan", "tab:purple", "tab:brown"),
        strict=True,
    )
)


_LONG = re.compile(r"(\d+\.\d\d)\d+")


def colour(tool: str) -> str:
    """Return the colour of a tool in all plots."""
    if tool.startswith(OURS):
        return "tab:blue" if "no look" not in tool else "lightskyblue"
    return COLOURS.get(tool, "tab:pink" if tool.startswith("difPy") else "grey")


def save(figure: Any, folder: str, name: str) -> None:
    """Write a plot, with coordinates to a hundredth of a point; the same figures give the same bytes."""
    path = os.path.join(folder, name)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(_LONG.sub(r"\1", text))


def cpu(result: dict[str, Any], folder: str) -> None:
    """Draw bars of CPU per picture, cold, and marks of the second run."""
    corpora = result.get("speed", [])
    if not corpora:
        return
    figure, axes = plt.subplots(len(corpora), 1, figsize=(7.5, 0.6 + 3.4 * len(corpora)), squeeze=False)
    for axis, corpus in zip(axes[:, 0], corpora, strict=True):
        cold = [run for run in corpus["runs"] if run["mode"] == "cold" and run["runs"] and " on " not in run["tool"]]
        cold.sort(key=lambda run: -run["cpu"])
        values = [1000 * run["cpu"] / run["pictures"] for run in cold]
        names = [run["tool"] for run in cold]
        bars = axis.barh(names, values, color=[colour(name) for name in names])
        axis.bar_label(bars, fmt="%.1f", padding=2)
        warm = {run["tool"]: run for run in corpus["runs"] if run["mode"] == "warm" and run["runs"]}
        marks = [(name, 1000 * warm[name]["cpu"] / warm[name]["pictures"]) for name in names if name in warm]
        if marks:
            axis.plot([x for _, x in marks], [name for name, _ in marks], "k|", markersize=12, label="second run")
            axis.legend()
        axis.set_title(f"CPU ms per picture: {corpus['count']} of {corpus['name']}, {corpus['kB_per_picture']:.0f} kB")
        axis.margins(x=0.12)
    figure.tight_layout()
    save(figure, folder, "cpu.svg")


def sets(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all sets of all folders with a title."""
    for one in result.get("accuracy", []):
        for part in one["sets"]:
            yield f"{one['name']}, {part['set']}", part


def curves(result: dict[str, Any], folder: str) -> None:
    """Draw precision against recall, strict and with other shots of a scene forgiven."""
    parts = list(sets(result))
    if not parts:
        return
    figure, axes = plt.subplots(len(parts), 2, figsize=(9.5, 0.9 + 3.6 * len(parts)), squeeze=False, sharey=True)
    for row, (title, part) in zip(axes, parts, strict=True):
        for axis, key in zip(row, ("precision", "precision_scenes_forgiven"), strict=True):
            for tool in part["curves"]:
                points = [point for point in tool.get("points", ()) if point[key] is not None]
                line = "-" if tool["tool"].startswith(OURS) else "--"
                axis.plot(
                    [point["recall"] for point in points],
                    [point[key] for point in points],
                    line,
                    color=colour(tool["tool"]),
                    label=tool["tool"],
                    marker="." if len(points) < 12 else "",
                    markersize=3,
                )
            forgiven = ", shots of one scene forgiven" if "forgiven" in key else ""
            axis.set(
                title=title + forgiven, xlabel="recall (copies with their original)", xlim=(0, 1.02), ylim=(0.5, 1.02)
            )
        row[0].set_ylabel("precision (pairs)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, fontsize=7)
    figure.tight_layout(rect=(0, 0.12 / len(parts) + 0.03, 1, 1))
    save(figure, folder, "curves.svg")


def kinds(result: dict[str, Any], folder: str) -> None:
    """Draw the recall of each kind and tool, as shipped."""
    parts = [(title, part) for title, part in sets(result) if any(not tool["problem"] for tool in part["shipped"])]
    if not parts:
        return
    heights = [len(part["relations"]) for _, part in parts]
    figure, axes = plt.subplots(
        len(parts), 1, figsize=(9, 1.6 * len(parts) + 0.3 * sum(heights)), squeeze=False, height_ratios=heights
    )
    for axis, (title, part) in zip(axes[:, 0], parts, strict=True):
        tools = [tool for tool in part["shipped"] if not tool["problem"]]
        names = sorted(tools[0]["duplicates"]["by_relation"])
        counts = [[tool["duplicates"]["by_relation"][name] for tool in tools] for name in names]
        shares = [[got / asked if asked else float("nan") for got, asked in row] for row in counts]
        axis.imshow(shares, vmin=0, vmax=1, cmap="viridis", aspect="auto")
        axis.set_xticks(range(len(tools)), [tool["tool"] for tool in tools], rotation=30, ha="right")
        axis.set_yticks(range(len(names)), [f"{name} ({row[0][1]})" for name, row in zip(names, counts, strict=True)])
        for y, row in enumerate(shares):
            for x, value in enumerate(row):
                axis.text(
                    x,
                    y,
                    f"{100 * value:.0f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="black" if value > 0.6 else "white",
                )
        axis.grid(visible=False)
        axis.set_title(f"{title}: per cent of copies found with their original, as shipped")
    figure.tight_layout()
    save(figure, folder, "kinds.svg")


def thresholds(result: dict[str, Any], folder: str) -> None:
    """Draw precision and recall, overall and per kind, against the threshold, for each tool on the first set."""
    part = next((part for _, part in sets(result)), None)
    tools = [tool for tool in part["curves"] if tool.get("points")] if part else []
    if not tools:
        return
    rows = (len(tools) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(10, 2.9 * rows), squeeze=False, sharey=True)
    for axis in axes.flat[len(tools) :]:
        axis.axis("off")
    for axis, tool in zip(axes.flat, tools, strict=False):
        axis.set_prop_cycle(color=mpl.colormaps["tab20"].colors)
        points = tool["points"]
        x = [point["threshold"] for point in points]
        for kind in sorted(points[0]["by_relation"]):
            counts = [point["by_relation"][kind] for point in points]
            axis.plot(x, [got / asked for got, asked in counts], linewidth=0.8, label=kind)
        axis.plot(x, [point["recall"] for point in points], "k-", linewidth=2, label="all kinds")
        axis.plot(x, [point["precision"] for point in points], "r-", linewidth=2, label="precision")
        axis.plot(
            x, [point["precision_scenes_forgiven"] for point in points], "r:", linewidth=2, label="precision, forgiven"
        )
        axis.axvline(tool["default"], color="grey", linestyle=":")
        axis.set(title=tool["tool"], ylim=(0, 1.03))
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=6, fontsize=7)
    figure.tight_layout(rect=(0, 0.28 / rows, 1, 1))
    save(figure, folder, "thresholds.svg")


def growth(result: dict[str, Any], folder: str) -> None:
    """Draw the time of comparing against the number of pictures."""
    tools = [tool for tool in result.get("growth", []) if tool["points"]]
    if not tools:
        return
    figure, axis = plt.subplots(figsize=(7.5, 4.5))
    for tool in tools:
        x = [point["size"] for point in tool["points"]]
        y = [point["wall"] for point in tool["points"]]
        axis.loglog(x, y, "o-", color=colour(tool["tool"]), label=f"{tool['tool']}: {tool['what']}")
    axis.set(xlabel="pictures", ylabel="wall seconds", title="Comparing alone")
    axis.legend(fontsize=7)
    figure.tight_layout()
    save(figure, folder, "growth.svg")


def main() -> int:
    """Draw all plots that there are figures for."""
    with open(sys.argv[1], encoding="utf-8") as file:
        result = json.load(file)
    for draw in (cpu, curves, kinds, thresholds, growth):
        draw(result, sys.argv[2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
