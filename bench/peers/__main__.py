"""Run this program and its peers on the same files: python -m bench.peers --photos DIR --accuracy DIR --docs.

Installs the peers below --cache (once), makes what it needs there, and goes on where it was cut off when it is called
again.  Writes result.json, report.md and plots (SVG) to --out, and with --docs renews docs/benchmarks.md.
Folders named here are only read.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench import corpus
from bench.peers import accuracy, environments, growth, machine, report, speed, tools, truth
from bench.peers.run import Bench
from bench.peers.steps import Steps
from bench.peers.tools import PEERS, Runner, Tool

PARTS = ("speed", "accuracy", "growth")
PROJECT = os.path.dirname(os.path.dirname(environments.HERE))
_CORPORA = ((1000, (1920, 1200)), (250, (4032, 3024)))
_QUICK_CORPORA = ((24, (1920, 1200)),)
_QUICK_SIZES = (200, 400)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "py-image-dedup-bench")
    made = argparse.ArgumentParser(
        prog="python -m bench.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--photos", metavar="DIR", help="photos that the corpora are made from; without: made-up ones")
    made.add_argument(
        "--accuracy", action="append", default=[], metavar="[NAME=]DIR", help="a folder with a truth.csv; repeatable"
    )
    made.add_argument("--no-variants", action="store_true", help="add no made variants (gamma, noise, ...) to them")
    made.add_argument("--parts", default=",".join(PARTS), help="of %(default)s; none: only write the report again")
    made.add_argument("--corpus", action="append", type=_corpus, metavar="N@WxH", help="default 1000@1920x1200 and "
                      "250@4032x3024")  # fmt: skip
    made.add_argument("--ours", action="append", default=[], metavar="NAME=OPTIONS", help="one more set of options of "
                      "this program, such as 'turned=--orientations all'")  # fmt: skip
    # Tools run in folders of their own.  No link is followed: an environment is known by where its interpreter lies.
    made.add_argument(
        "--program",
        type=os.path.abspath,
        default=sys.executable,
        help="interpreter that has py_image_dedup installed",
    )
    made.add_argument("--tools", help="only these tools, by name, comma-separated; this program always takes part")
    made.add_argument("--repeat", type=int, default=3, help="runs per tool (default 3)")
    made.add_argument("--repeat-slow", type=int, default=1, help="runs per slow tool (default 1)")
    made.add_argument("--processes", type=int, default=2, help="processes or threads for every tool (default 2)")
    made.add_argument("--limit", type=float, default=3600, help="seconds after which a run is stopped (default 3600)")
    made.add_argument("--growth-limit", type=float, default=120, help="the same for comparing alone (default 120)")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--cache", default=cache, help="for environments, pictures and steps (default %(default)s)")
    made.add_argument("--out", help="for the results (default: results below the cache)")
    made.add_argument("--docs", action="store_true", help="renew the tables and plots of docs/benchmarks.md")
    made.add_argument("--no-install", action="store_true", help="take only what is installed already")
    made.add_argument("--fresh", action="store_true", help="measure everything again")
    made.add_argument("--quick", action="store_true", help="a few dozens of pictures, installed peers only: a trial")
    return made


def _corpus(text: str) -> tuple[int, tuple[int, int]]:
    count, _, size = text.partition("@")
    return int(count), corpus.parsed_size(size)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the report."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended either way, it ends what it runs
    parts = [part for part in options.parts.split(",") if part and part != "none"]
    if unknown := set(parts) - set(PARTS):
        parser().error(f"unknown parts: {', '.join(sorted(unknown))}")
    for name in [name for name in os.environ if name.startswith("PY_IMAGE_DEDUP_")]:
        del os.environ[name]  # settings of the person who measures are no defaults
    cache = os.path.abspath(options.cache)
    work = os.path.join(cache, "quick" if options.quick else "work")
    out = os.path.abspath(options.out or os.path.join(cache, "quick-results" if options.quick else "results"))
    kept = os.path.join(out, "steps")
    if options.fresh:
        shutil.rmtree(kept, ignore_errors=True)
    os.makedirs(work, exist_ok=True)
    folders = dict(_named(text) for text in options.accuracy)
    hidden = {
        work: "WORK",
        cache: "CACHE",
        out: "OUT",
        PROJECT: "PROJECT",
        sys.prefix: "PYTHON",
        sys.base_prefix: "PYTHON",
    }
    hidden.update({folder: name.upper() for name, folder in folders.items()})
    hidden[os.path.expanduser("~")] = "~"
    steps = Steps(kept, hidden)
    chosen = _tools(options)
    bench = _bench(options, cache, work, steps, chosen)
    head = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine.describe(),
        "program": machine.program(bench.runner.program),
        "options": _told(options),
        "load_at_start": os.getloadavg(),
    }
    result: dict[str, Any] = {
        "measured": dict.fromkeys(parts, head),
        "environments": {name: one.as_data() for name, one in bench.runner.environments.items()},
    }
    photos = _photos(options, work)
    if "speed" in parts:
        wanted = options.corpus or (_QUICK_CORPORA if options.quick else _CORPORA)
        result["speed"] = speed.measure_corpora(bench, photos, wanted, chosen, options.seed)
    if "accuracy" in parts:
        if options.quick and not folders:
            folders = {"corpus": _quick_truth(photos, work, options.seed)}
        result["accuracy"] = [
            accuracy.measure_folder(
                bench, name, folder, chosen, seed=options.seed, with_variants=not options.no_variants, sets=truth.SETS
            )
            for name, folder in folders.items()
        ]
    if "growth" in parts:
        sizes = _QUICK_SIZES if options.quick else growth.SIZES
        result["growth"] = growth.measure_growth(bench, chosen, limit=options.growth_limit, sizes=sizes)
    plots = bench.runner.environments["plots"]
    report.write(result, out, plots=plots, steps=steps, docs=os.path.join(PROJECT, "docs") if options.docs else None)
    steps.say(f"written to {out}")
    print(os.path.join(out, "report.md"))
    return 0


def _named(text: str) -> tuple[str, str]:
    name, found, folder = text.partition("=")
    folder = os.path.abspath(folder if found else text)
    return (name if found else os.path.basename(folder)), folder


def _told(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options without paths."""
    hidden = {"cache", "out", "program", "photos", "accuracy"}
    return {name: value for name, value in vars(options).items() if name not in hidden}


def _tools(options: argparse.Namespace) -> list[Tool]:
    ours = [tools.ours("default", "")]
    for text in options.ours:
        name, _, way = text.partition("=")
        ours.append(tools.ours(name, way))
    names = {name.strip() for name in options.tools.split(",")} if options.tools else {tool.name for tool in PEERS}
    if unknown := names - {tool.name for tool in PEERS}:
        parser().error(f"unknown tools: {', '.join(sorted(unknown))}; known: {', '.join(tool.name for tool in PEERS)}")
    return [*ours, *(tool for tool in PEERS if tool.name in names)]


def _bench(options: argparse.Namespace, cache: str, work: str, steps: Steps, chosen: Sequence[Tool]) -> Bench:
    needed = {tool.environment for tool in (*chosen, *tools.FLOORS) if not tool.ours} | {"plots"}
    made = environments.prepare(sorted(needed), cache, install=not (options.no_install or options.quick))
    modules = os.path.join(work, "modules")
    os.makedirs(modules, exist_ok=True)
    link = os.path.join(modules, "bench")
    if os.path.lexists(link):
        os.unlink(link)
    os.symlink(os.path.join(PROJECT, "bench"), link)
    program = shlex.split(options.program)
    versions = {name: f"{one.version} {one.packages}" for name, one in made.items()}
    versions[tools.OURS] = machine.program(program)["digest"]
    return Bench(
        runner=Runner(made, program, options.processes, modules),
        steps=steps,
        work=work,
        versions=versions,
        limit=options.limit,
        repeat=1 if options.quick else options.repeat,
        repeat_slow=1 if options.quick else options.repeat_slow,
    )


def _photos(options: argparse.Namespace, work: str) -> str:
    if options.photos:
        return str(os.path.abspath(options.photos))
    invented = os.path.join(work, "invented")
    if not os.path.isdir(invented):
        corpus.invent(f"{invented}.part", 24)
        os.rename(f"{invented}.part", invented)
    return invented


def _quick_truth(photos: str, work: str, seed: int) -> str:
    folder = os.path.join(work, "quick-truth")
    corpus.make(photos, folder, count=24, size=(960, 720), seed=seed + 1, share=0.25, processes=1)
    return folder


if __name__ == "__main__":
    sys.exit(main())
