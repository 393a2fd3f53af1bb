"""Run the command on difficult files and compare what becomes of each with an expected.csv.

    python bench/bad_files.py FOLDER...

`expected.csv` in a folder has the columns file (or file_hex, the bytes of the name in hex), expectation, and if wanted
max_seconds and max_extra_mb.  Expectation: "decodes" (analysed), "clear error" (named with a reason, in no group),
"skipped" (not analysed), "either" (anything but a crash).

Each regular file is run alone, in a process of its own, for its time and memory: beyond those of a run on one tiny good
picture.  Then each folder is run as a whole.  Prints what differs from the expectation; exit code 1 if anything does.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

TINY = (  # a good picture: PNG, 1 x 1
    "89504e470d0a1a0a0000000d494844520000000100000001080000000"
    "03a7e9b550000000a49444154789c636800000082008177cd72b60000000049454e44ae426082"
)
COPIED_AT_MOST = 1 << 30  # bytes; a larger file that can't be linked is run with its folder only
DEFAULT_SECONDS = 60.0
DEFAULT_MB = 200.0


@dataclass(frozen=True)
class Expected:
    """A row of expected.csv; `file` as Python holds odd names."""

    file: str
    expectation: str
    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Run:
    """What a run of the command cost and told."""

    code: int
    seconds: float
    megabytes: float
    errors: str
    analysed: frozenset[str]
    reasons: dict[str, str]
    grouped: frozenset[str]

    def outcome(self, path: str) -> str:
        """Say in words what became of a file."""
        if path in self.reasons:
            return f"named: {self.reasons[path]}" if self.reasons[path] else "named without a reason"
        return "analysed" if path in self.analysed else "not seen"

    def fits(self, path: str, expectation: str) -> bool:
        """Tell whether that is what was expected."""
        analysed = path in self.analysed and path not in self.reasons
        if expectation == "decodes":
            return analysed
        if expectation == "clear error":
            return bool(self.reasons.get(path)) and path not in self.grouped
        if expectation == "skipped":
            return not analysed and path not in self.grouped
        return True

    @property
    def sound(self) -> bool:
        """Tell whether the run ended as it should."""
        return self.code == 0 and "Traceback" not in self.errors


def main() -> int:
    """Run all and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="a folder with an expected.csv")
    parser.add_argument("--whole-only", action="store_true", help="don't run the files one by one")
    arguments = parser.parse_args()
    violations = 0
    with tempfile.TemporaryDirectory() as base:
        tiny = os.path.join(base, "tiny")
        os.mkdir(tiny)
        with open(os.path.join(tiny, "tiny.png"), "wb") as file:
            file.write(bytes.fromhex(TINY))
        rounds = [run(tiny) for _ in range(3)]
        usual = min(rounds, key=lambda one: one.seconds)
        if not usual.sound or len(usual.analysed) != 1:
            sys.exit(f"the run on a good picture failed: {usual.errors}")
        print(f"a tiny good picture: {usual.seconds:.2f} s, {usual.megabytes:.0f} MB")
        for folder in map(os.path.realpath, arguments.folders):
            expected = read_expected(folder)
            print(f"\n{folder}: {len(expected)} files")
            if not arguments.whole_only:
                violations += each_alone(folder, expected, base, usual)
            violations += all_together(folder, expected, usual)
    print(f"\n{violations} violations")
    return 1 if violations else 0


def read_expected(folder: str) -> list[Expected]:
    """Read the expected.csv of a folder."""
    with open(os.path.join(folder, "expected.csv"), newline="", encoding="utf-8") as file:
        return [
            Expected(
                os.fsdecode(bytes.fromhex(row["file_hex"])) if row.get("file_hex") else row["file"],
                row["expectation"],
                float(row.get("max_seconds") or DEFAULT_SECONDS),
                float(row.get("max_extra_mb") or DEFAULT_MB),
            )
            for row in csv.DictReader(file)
        ]


def each_alone(folder: str, expected: list[Expected], base: str, usual: Run) -> int:
    """Run the regular files one by one; print and count what differs."""
    violations = 0
    costs = []
    for row in expected:
        with alone(folder, row.file, base) as place:
            if place is None:
                continue
            done = run(place)
            path = os.path.join(place, row.file)
            seconds, megabytes = done.seconds - usual.seconds, done.megabytes - usual.megabytes
            costs.append((seconds, megabytes, row.file))
            faults = [
                fault
                for fault, found in (
                    (f"exit code {done.code}: {done.errors.strip()[-300:]}", not done.sound),
                    (f"expected {row.expectation!r}, {done.outcome(path)}", not done.fits(path, row.expectation)),
                    (f"{seconds:.1f} s of {row.seconds:g}", seconds > row.seconds),
                    (f"{megabytes:.0f} MB of {row.megabytes:g}", megabytes > row.megabytes),
                )
                if found
            ]
            violations += report(row.file, faults)
    print(f"one by one: {len(costs)} of {len(expected)} files, {violations} violations")
    for title, order in (("slowest", 0), ("largest", 1)):
        print(f"  {title}:")
        for cost in sorted(costs, key=lambda cost, order=order: cost[order], reverse=True)[:4]:  # type: ignore[misc]
            print(f"    {cost[0]:6.2f} s {cost[1]:6.0f} MB  {shown(cost[2])}")
    return violations


def all_together(folder: str, expected: list[Expected], usual: Run) -> int:
    """Run the whole folder; print and count what differs."""
    done = run(folder)
    violations = report("the whole run", [] if done.sound else [f"exit code {done.code}: {done.errors[-300:]}"])
    for row in expected:
        path = os.path.join(folder, row.file)
        if not done.fits(path, row.expectation):
            if row.expectation != "skipped" and any(path.startswith(one + "/") for one in done.reasons):
                continue  # the folder above it is named
            violations += report(row.file, [f"expected {row.expectation!r}, {done.outcome(path)}"])
    print(
        f"as a whole: {done.seconds - usual.seconds:.1f} s, {done.megabytes - usual.megabytes:.0f} MB, "
        f"{len(done.analysed)} analysed, {len(done.reasons)} named, {len(done.grouped)} in groups, "
        f"{violations} violations"
    )
    return violations


def report(file: str, faults: list[str]) -> int:
    """Print the faults of a file and return how many there are."""
    for fault in faults:
        print(f"  {shown(file)}: {shown(fault)}")
    return len(faults)


def shown(text: str) -> str:
    """Return text that a terminal takes."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


@contextmanager
def alone(folder: str, file: str, base: str) -> Iterator[str | None]:
    """Put one regular file into a folder of its own, below the same names; None where that can't be done."""
    place = os.path.join(base, "alone")
    source, goal = os.path.join(folder, file), os.path.join(place, file)
    try:
        facts = os.lstat(source)
        os.scandir(os.path.dirname(source)).close()  # a folder that hides its files can't be imitated
        if not stat.S_ISREG(facts.st_mode):
            yield None
            return
        os.makedirs(os.path.dirname(goal))
        try:
            os.link(source, goal)
        except OSError:
            if facts.st_size > COPIED_AT_MOST:
                yield None
                return
            shutil.copy2(source, goal)
    except OSError:
        yield None
        return
    else:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def run(folder: str) -> Run:
    """Run the command on a folder, with a database and home of its own."""
    from py_image_dedup.stores.sqlite import SqliteStore

    with tempfile.TemporaryDirectory() as home:
        database, result, errors = (os.path.join(home, name) for name in ("records.sqlite", "result.json", "errors"))
        command = [sys.executable, "-m", "py_image_dedup", "deduplicate", folder, "--store", "sqlite"]
        command += ["--database", database, "--json", result]
        environment = {"PATH": os.environ["PATH"], "HOME": home, "PY_IMAGE_DEDUP_ORIGIN": "bench"}
        actions = [
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, errors, os.O_WRONLY | os.O_CREAT, 0o600),
        ]
        start = time.monotonic()
        child = os.posix_spawn(sys.executable, command, environment, file_actions=actions)
        _, status, usage = os.wait4(child, 0)
        seconds = time.monotonic() - start
        plan: dict[str, Any] = {"groups": [], "skipped": []}
        with suppress(FileNotFoundError), open(result, encoding="utf-8") as file:
            plan = json.load(file)
        analysed: frozenset[str] = frozenset()
        if os.path.exists(database):
            with closing(SqliteStore.open(database, origin="bench")) as store:
                analysed = frozenset(one.path for one in store.files([folder]) if not one.problem)
        with open(errors, encoding="utf-8", errors="replace") as file:
            messages = file.read()
        groups = [[group["keeper"], *group["duplicates"]] for group in plan["groups"]]
        return Run(
            os.waitstatus_to_exitcode(status),
            seconds,
            usage.ru_maxrss / 1024,
            messages,
            analysed,
            {one["path"]: one["reason"] for one in plan["skipped"]},
            frozenset(one["path"] for group in groups for one in group),
        )


if __name__ == "__main__":
    sys.exit(main())
