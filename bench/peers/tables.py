"""The results as Markdown tables, by name; every figure comes from the results."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bench.peers import better

Result = dict[str, Any]
WIDTH = 118
SHORT = {
    "py-image-dedup": "ours",
    "czkawka": "czk.",
    "czkawka GUI": "c.GUI",
    "czkawka turned": "c.trn",
    "imagededup": "i.ded",
    "ImageHash": "IHash",
    "pdqhash": "pdq",
    "image-match": "i.mat",
    "difPy similar": "difPy",
}
"""Columns of the table of kinds; all names are explained above the table."""
_FLOOR = "floor simplejpeg"
_SECOND_FLOOR = "floor Pillow"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table: first column to the left, figures to the right."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]

    def told(cells: Sequence[str]) -> str:
        return "| " + " | ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ) + " |"  # fmt: skip

    rule = "|" + "|".join("-" * (width + 2) if at == 0 else "-" * (width + 1) + ":" for at, width in enumerate(widths))
    return "\n".join([told(lines[0]), rule + "|", *(told(line) for line in lines[1:])])


def wrapped(text: str) -> str:
    """Break lines that are no rows of a table."""
    lines = (
        line if line.startswith("|") else textwrap.fill(line, WIDTH, subsequent_indent="  " * line.startswith("- "))
        for line in text.splitlines()
    )
    return "\n".join(lines)


def share(value: float | None) -> str:
    """Print a share with three digits; a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def machine(result: Result) -> str:
    """Tell what was measured, when and on what; parts measured at different times are told apart."""
    heads: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for part, head in result["measured"].items():
        heads.setdefault(tuple(_head(head)), []).append(part)
    rows = [
        (what if len(heads) == 1 else f"{what} ({', '.join(parts)})", which)
        for head, parts in heads.items()
        for what, which in head
    ]
    peers = [
        (name, one["version"] or "not available") for name, one in result["environments"].items() if name != "plots"
    ]
    return table(("what", "which"), rows + peers)


def _head(head: Result) -> list[tuple[str, str]]:
    own, program = head["machine"], head["program"]
    packages = program["packages"]
    return [
        ("date", head["date"][:10]),
        ("processor", f"{own['processor']}, {own['cores']} cores"),
        ("memory", f"{own['memory_gb']} GB"),
        ("system", own["system"]),
        ("py-image-dedup", f"{program['version']} ({program['commit'] or program['digest']})"),
        ("its Python", f"{program['python']}, numpy {packages['numpy']}, Pillow {packages['pillow']}"),
    ]


def speed(result: Result) -> str:
    """Tell what a picture costs each tool."""
    parts = []
    for corpus in result.get("speed", ()):
        runs = {(run["tool"], run["mode"]): run for run in corpus["runs"]}
        per = {key: cpu_ms(run) for key, run in runs.items()}
        rows = []
        for (tool, mode), run in runs.items():
            if mode != "cold" or " on " in tool:
                continue
            if not run["runs"]:
                rows.append((tool, *("-",) * 7))
                continue
            ratios = (ratio(per[tool, "cold"], per.get((other, "cold"))) for other in (_FLOOR, "czkawka", "imagededup"))
            warm = per.get((tool, "warm"))
            rows.append(
                (
                    tool,
                    _number(per[tool, "cold"]),
                    *ratios,
                    _number(run["wall"]),
                    f"{run['peak_pss'] / 1e6:.0f}" if run["peak_pss"] else f"<{run['max_rss'] / 1e6:.0f}",
                    _number(warm, 2),
                )
            )
        head = ("tool", "CPU ms", "x floor", "x czk.", "x i.ded", "wall s", "MB", "warm")
        parts.append(
            f"{corpus['count']} pictures of {corpus['name']}, {corpus['kB_per_picture']:.0f} kB each:\n\n"
            + table(head, rows)
            + _threads(runs)
            + _planted(runs)
            + _load(corpus)
        )
    return "\n\n".join(parts) or "Not measured."


def cpu_ms(run: Result) -> float | None:
    """Return the CPU milliseconds per picture of a run, if it went well."""
    return 1000 * run["cpu"] / run["pictures"] if run["runs"] else None


def ratio(value: float | None, other: float | None) -> str:
    """Print how many times the other value this is."""
    return f"{value / other:.2f}" if value and other else "-"


def _threads(runs: dict[tuple[str, str], Result]) -> str:
    several = [(tool, run) for (tool, _), run in runs.items() if " on " in tool and run["runs"]]
    text = ""
    for tool, run in several:
        if tool.endswith(" 1 thread"):
            first = run["wall"]
            for other, more in several:
                if other != tool:
                    text += f"\n\n{tool}: {first:.1f} s wall; {other}: {more['wall']:.1f} s, "
                    text += f"{first / more['wall']:.2f} times as fast."
    for tool in (_FLOOR, _SECOND_FLOOR):
        floor = runs.get((tool, "cold"))
        if floor and floor["runs"]:
            decode = 1000 * floor["decode_cpu"] / floor["pictures"]
            text += f"\n\n{tool}: {decode:.1f} ms of decoding alone; its start takes "
            text += f"{max(0.0, floor['cpu'] - floor['decode_cpu']):.2f} s of CPU, which the table includes."
    return text


def _planted(runs: dict[tuple[str, str], Result]) -> str:
    told = [
        f"{tool} {run['recall']:.0%}, {run['false']}"
        for (tool, mode), run in runs.items()
        if mode == "cold" and " on " not in tool and run["runs"] and run.get("recall") is not None
    ]
    return "\n\nPlanted copies found with their original, and false pairs: " + "; ".join(told) + "." if told else ""


def _load(corpus: Result) -> str:
    loads = [load for run in corpus["runs"] for load in run.get("load_before", ())]
    return f"\n\nLoad average before the runs: {min(loads):.1f} to {max(loads):.1f}." if loads else ""


def sets_of(result: Result, *, together: bool = False) -> list[tuple[str, Result]]:
    """List all scored sets with their folder's name; if asked, behind those of a folder all its files together."""
    return [
        (folder["name"], one)
        for folder in result.get("accuracy", ())
        for one in (*folder["sets"], *(folder.get("together", ()) if together else ()))
    ]


def shipped(result: Result) -> str:
    """Tell what each tool finds with its defaults."""
    parts = []
    for name, one in sets_of(result, together=True):
        rows: list[tuple[str, ...]] = []
        for tool in one["shipped"]:
            if tool["problem"]:
                rows.append((tool["tool"], *("-",) * 8))
                continue
            rows.append(
                (tool["tool"], *_scored(tool["duplicates"]), "?" if tool["failed"] is None else str(tool["failed"]))
            )
            if "with_similar" in tool:
                rows.append((f"{tool['tool']} + similar", *_scored(tool["with_similar"])[:4], "", "", "", ""))
        head = ("as shipped", "recall", "precis.", "forgiven", "named", "cleared", "lost", "of scene", "unread")
        title = f"{name}, {one['set']}: {one['meaning']} ({one['files']} files, {one['groups']} pictures)"
        parts.append(f"{title}:\n\n{table(head, rows)}")
    return "\n\n".join(parts) or "Not measured."


def _scored(scored: Result) -> tuple[str, ...]:
    return (
        share(scored["recall"]),
        share(scored["precision"]),
        share(scored["precision_scenes_forgiven"]),
        share(scored["named_recall"]),
        share(scored["cleared"]),
        str(scored["lost"]),
        str(scored["lost_one_scene"]),
    )


def tuned(result: Result) -> str:
    """Tell what each tool finds at its default and its best threshold, on the half that had no part in choosing it."""
    parts = []
    for name, one in sets_of(result, together=True):
        where = f"{name}, {one['set']}, second half ({one['halves'][1]} files)"
        parts += [
            f"{where}, {told}:\n\n{_tuned(one, rule, precision)}"
            for rule, precision, told in (
                ("strict", "precision", "all wrong pairs counted"),
                ("scenes_forgiven", "precision_scenes_forgiven", "shots of one scene forgiven"),
            )
        ]
    return "\n\n".join(parts) or "Not measured."


def _tuned(scored_set: Result, rule: str, precision: str) -> str:
    rows = [
        (f"{tool['tool']} + similar", "", share(both["recall"]), share(both[precision]), "", "", "")
        for tool in scored_set["shipped"]
        if (both := tool.get("second_half", {}).get("with_similar"))
    ]
    for tool in scored_set["curves"]:
        cells = ["-"] * 6
        if not tool["problem"]:
            default = tool["at_default"]["second_half"]
            cells[:3] = [f"{tool['default']:g}", share(default["recall"]), share(default[precision])]
            best = tool["tuned"][rule]
            if scored := best["second_half"]:
                mark = "" if best["chosen_by"].startswith("precision") else "*"
                cells[3:] = [f"{best['threshold']:.3g}{mark}", share(scored["recall"]), share(scored[precision])]
        rows.append((tool["tool"], *cells))
    return table(("tool", "default", "recall", "precis.", "best", "recall", "precis."), rows)


def kinds(result: Result) -> str:
    """Tell, as shipped, the percentage of the copies of each kind that is found with its original."""
    parts = []
    for name, one in sets_of(result):
        tools = {tool["tool"]: tool for tool in one["shipped"] if tool["tool"] in SHORT and not tool["problem"]}
        if not tools:
            continue
        first = next(iter(tools.values()))["duplicates"]["by_relation"]
        rows = [
            (kind, str(first[kind][1]), *(percent(tool["duplicates"]["by_relation"][kind]) for tool in tools.values()))
            for kind in first
        ]
        head = ("kind", "n", *(SHORT[tool] for tool in tools))
        parts.append(f"{name}, {one['set']}:\n\n{table(head, rows)}")
    return "\n\n".join(parts) or "Not measured."


def percent(counts: Sequence[int]) -> str:
    """Print [found, asked] as a percentage."""
    return f"{100 * counts[0] / counts[1]:.0f}" if counts[1] else "-"


def growth(result: Result) -> str:
    """Tell how long comparing takes."""
    tools = result.get("growth", ())
    sizes = sorted({point["size"] for tool in tools for point in tool["points"]})
    if not sizes:
        return "Not measured."
    rows = []
    notes = []
    for tool in tools:
        points = {point["size"]: point for point in tool["points"]}
        rows.append((tool["tool"], *(f"{points[size]['wall']:.3g}" if size in points else "-" for size in sizes)))
        notes.append(
            f"- {tool['tool']}: {tool['what']}" + (f"; {brief(tool['stopped'])}" if tool["stopped"] else "") + "."
        )
    return table(("wall s", *(f"{size:,}" for size in sizes)), rows) + "\n\n" + "\n".join(notes)


def brief(text: str) -> str:
    """Shorten what a tool said to its first line up to the colon, and its last line; the JSON has more."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return text.strip()[:300]
    first = re.sub(r"(exit code -?\d+):.*", r"\1", lines[0])
    return f"{first[:200]}: {lines[-1][:200]}"


def problems(result: Result) -> str:
    """Name what did not work, with what it said."""
    said = [f"- {one['name']}: {one['problem']}" for one in result["environments"].values() if one["problem"]]
    for corpus in result.get("speed", ()):
        said += [
            f"- {run['tool']}, {run['mode']}, {corpus['name']}: {run['problem']}"
            for run in corpus["runs"]
            if run["problem"]
        ]
    for name, one in sets_of(result, together=True):
        for tool in (*one["shipped"], *one["curves"]):
            if tool["problem"]:
                said.append(f"- {tool['tool']}, {name}, {one['set']}: {tool['problem']}")
            if tool.get("failed"):
                path, why = tool["failed_files"][0]
                said.append(f"- {tool['tool']}, {name}, {one['set']}: {tool['failed']} not read; {path}: {why}")
    said += [f"- {tool['tool']}, growth: {tool['stopped']}" for tool in result.get("growth", ()) if tool["stopped"]]
    # What could not be installed is named once, not wherever it is missing.
    unique = dict.fromkeys(brief(line) for line in said if "not available: " not in line)
    return "\n".join(unique) or "Every tool ran."


TABLES: dict[str, Callable[[Result], str]] = {
    "machine": machine,
    "speed": speed,
    "shipped": shipped,
    "tuned": tuned,
    "kinds": kinds,
    "growth": growth,
    "better": better.table,
    "problems": problems,
}
