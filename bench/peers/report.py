"""The results as JSON, Markdown and plots, and the tables of docs/benchmarks.md renewed between their markers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import Any

from bench.peers import tables
from bench.peers.environments import HERE, Environment
from bench.peers.steps import Steps

PLOTS = {
    "cpu.svg": "CPU time per picture",
    "curves.svg": "Precision against recall at all thresholds",
    "kinds.svg": "Recall by kind of change, as shipped",
    "thresholds.svg": "Recall and precision against the distance, by kind",
    "growth.svg": "Time of comparing alone",
}
TITLES = {
    "machine": "What was measured",
    "speed": "CPU, wall time and memory",
    "shipped": "As shipped",
    "tuned": "At the best threshold",
    "kinds": "Copies found by kind, per cent, as shipped",
    "growth": "Comparing alone",
    "better": "Where a peer is better",
    "problems": "What did not work",
}


def write(result: dict[str, Any], out: str, *, plots: Environment, steps: Steps, docs: str | None) -> None:
    """Write result.json (parts of an earlier run are kept), report.md, the plots, and renew the docs."""
    path = os.path.join(out, "result.json")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
        for name in ("measured", "environments"):
            result[name] = {**before[name], **result[name]}
        result = {**before, **result}
    text = json.dumps(result, indent=1)
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text + "\n")
    drawn = _draw(path, out, plots, steps)
    made = {name: tables.wrapped(table(result)) for name, table in tables.TABLES.items()}
    with open(os.path.join(out, "report.md"), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("# Benchmark\n")
        for name, text in made.items():
            file.write(f"\n## {TITLES[name]}\n\n{text}\n")
        file.writelines(f"\n![{PLOTS[name]}]({name})\n" for name in drawn)
    if docs is not None:
        _renew(os.path.join(docs, "benchmarks.md"), made)
        os.makedirs(os.path.join(docs, "benchmarks"), exist_ok=True)
        for name in drawn:
            shutil.copyfile(os.path.join(out, name), os.path.join(docs, "benchmarks", name))


def _draw(path: str, out: str, plots: Environment, steps: Steps) -> list[str]:
    if plots.problem:
        steps.say(f"no plots: {plots.problem}")
        return []
    command = [plots.executable, os.path.join(HERE, "plots.py"), path, out]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        steps.say(f"no plots: {done.stderr.strip()[-800:]}")
    return [name for name in PLOTS if os.path.exists(os.path.join(out, name))]


def _renew(path: str, made: dict[str, str]) -> None:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    text = renewed(text, made)
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)


def renewed(text: str, made: dict[str, str]) -> str:
    """Replace what stands between the markers of each table; a table without markers is left out."""
    for name, table in made.items():
        start, end = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
        pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
        text = pattern.sub(lambda _, new=f"{start}\n{table}\n{end}": new, text)  # type: ignore[misc]
    return text
