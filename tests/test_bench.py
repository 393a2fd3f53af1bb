"""The benchmark's own parts, offline: what is scored, what is measured, and pictures that come out alike every time."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench import corpus, variants
from bench.peers import better, measure, report, scoring, steps, tables, tools, truth
from bench.peers.scoring import Sweep, Truth
from bench.peers.truth import Row


def row(path: str, group: str, relation: str = "original", scene: str = "", size: int = 20_000) -> Row:
    return Row(path, group, relation, scene or group, size)


@pytest.fixture
def known() -> Truth:
    """Two pictures with copies, and two shots of one scene."""
    return Truth.of(
        [
            row("a.jpg", "a", size=90_000),
            row("a-small.jpg", "a", "resized"),
            row("a-grey.jpg", "a", "grayscale"),
            row("b.jpg", "b", size=80_000),
            row("b-small.jpg", "b", "resized"),
            row("s1.jpg", "s1", "distinct-but-similar", "s", size=70_000),
            row("s2.jpg", "s2", "distinct-but-similar", "s"),
        ]
    )


def test_scores_pairs_by_kind_and_forgives_shots_of_one_scene_only_apart(known: Truth) -> None:
    pairs = {("a-small.jpg", "a.jpg"), ("s1.jpg", "s2.jpg"), ("a.jpg", "b.jpg"), ("a.jpg", "elsewhere.jpg")}
    scored = scoring.score(known, pairs)

    assert (scored["true"], scored["false"], scored["false_one_scene"], scored["possible"]) == (1, 3, 1, 4)
    assert scored["precision"] == pytest.approx(1 / 4)
    assert scored["precision_scenes_forgiven"] == pytest.approx(1 / 3)
    assert scored["named_precision"] == pytest.approx(1 / 3)
    assert scored["by_relation"] == {"grayscale": [0, 1], "resized": [1, 2]}
    assert scored["recall"] == pytest.approx(1 / 3)


def test_a_chain_of_pairs_is_a_group(known: Truth) -> None:
    """Two copies that are paired only with a third file stand in one group with each other, for good or ill."""
    pairs = {("a-small.jpg", "a-grey.jpg"), ("a-grey.jpg", "b.jpg"), ("a-small.jpg", "a.jpg")}
    scored = scoring.score(known, pairs)

    assert scoring.grouped(pairs) == {scoring.ordered(a, b) for a, b in combinations({n for p in pairs for n in p}, 2)}
    assert (scored["true"], scored["false"], scored["recall"]) == (3, 3, pytest.approx(2 / 3))
    assert scored["named_recall"] == pytest.approx(1 / 3)


def test_counts_pictures_that_would_be_lost(known: Truth) -> None:
    """Of b everything goes for a; of the scene one shot goes for the other; a stays."""
    pairs = {("a.jpg", "b.jpg"), ("a.jpg", "b-small.jpg"), ("a-small.jpg", "a.jpg"), ("s1.jpg", "s2.jpg")}
    scored = scoring.score(known, pairs)

    assert scored["removed"] == 4
    assert scored["cleared"] == pytest.approx(1 / 3)
    assert scored["lost_files"] == ["b-small.jpg", "b.jpg", "s2.jpg"]
    assert (scored["lost"], scored["lost_one_scene"]) == (3, 1)
    assert scoring.score(known, pairs, remove=["b.jpg"])["lost"] == 0


def test_nothing_found_has_no_precision(known: Truth) -> None:
    assert scoring.score(known, set())["precision"] is None
    assert scoring.best(scoring.curve(known, Sweep(distances=[]))) == (None, "nothing found at any threshold")


def test_best_threshold_is_the_one_that_finds_most_and_stays_precise(known: Truth) -> None:
    sweep = Sweep(
        distances=[
            ("a.jpg", "a-small.jpg", 1),
            ("a.jpg", "a-grey.jpg", 3),
            ("s1.jpg", "s2.jpg", 5),
            ("b.jpg", "a.jpg", 7),
        ]
    )
    points = scoring.curve(known, sweep)

    assert [point["recall"] for point in points] == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3])
    assert scoring.best(points)[0] == 3
    assert scoring.best(points, precision="precision_scenes_forgiven")[0] == 3


def test_settings_are_taken_as_they_were_answered() -> None:
    """Groups of a looser setting need not hold the pairs of a stricter one."""
    sweep = Sweep(settings=[(10, {("a", "c")}), (5, {("a", "b")})])

    assert [sweep.at(threshold) for threshold in (4, 5, 9, 10)] == [set(), {("a", "b")}, {("a", "b")}, {("a", "c")}]


def test_halves_keep_scenes_whole_and_share_nothing() -> None:
    rows = [row(f"{number}.jpg", f"g{number}", scene=f"scene {number // 3}") for number in range(300)]
    prepared = Truth.of(rows)
    halves = [set(prepared.half(number).rows) for number in (0, 1)]

    assert halves[0] | halves[1] == {one.path for one in rows}
    assert not halves[0] & halves[1]
    assert min(map(len, halves)) > 100
    assert not {prepared.rows[path].scene for path in halves[0]} & {prepared.rows[path].scene for path in halves[1]}


def test_sets_leave_turned_small_and_foreign_files_to_their_own() -> None:
    rows = [
        row("a.jpg", "a"),
        row("a-turned.jpg", "a", "rotated90"),
        row("a.heic", "a", "format-converted"),
        row("tiny.jpg", "a", "resized", size=9_000),
        row("a-grey.jpg", "a", "grayscale"),
    ]
    names = {name: [one.path for one in truth.select(rows, name)] for name in (*truth.SETS, truth.ALL)}

    assert names.pop("all") == [one.path for one in rows]
    assert names == {
        "main": ["a.jpg", "a-grey.jpg"],
        "turned": ["a.jpg", "a-turned.jpg"],
        "rest": ["a.jpg", "a.heic", "tiny.jpg"],
    }


_HUNGRY = """
import os, sys, time
held = bytearray(os.urandom(1)) * (60 << 20)
if len(sys.argv) == 1:
    child = os.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, sys.argv[0], "child"])
    if os.fork() == 0:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
        os._exit(0)
    os.waitpid(child, 0)
else:
    time.sleep(2)
"""


def test_measures_memory_and_cpu_of_the_whole_tree(tmp_path: Path) -> None:
    """Parent and child hold 60 MB each; another child, which nobody waits for, computes for 0.3 s."""
    script = tmp_path / "hungry.py"
    script.write_text(_HUNGRY, encoding="utf-8")
    cost = measure.run([sys.executable, str(script)], directory=str(tmp_path))

    assert cost.problem == ""
    assert cost.peak_pss > 115 << 20
    assert cost.cpu > 0.3
    assert cost.orphans_cpu > 0.25
    assert cost.processes >= 3


def test_a_command_that_fails_or_takes_too_long_says_so(tmp_path: Path) -> None:
    failed = measure.run([sys.executable, "-c", "raise SystemExit('no such luck')"], directory=str(tmp_path))
    slow = measure.run([sys.executable, "-c", "import time; time.sleep(60)"], directory=str(tmp_path), limit=0.3)
    absent = measure.run(["/no/such/program"], directory=str(tmp_path))

    assert failed.problem == "exit code 1: no such luck"
    assert slow.timed_out
    assert slow.problem.startswith("stopped after")
    assert "No such file" in absent.problem


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_corpus_and_variants_are_the_same_every_time(tmp_path: Path) -> None:
    corpus.invent(str(tmp_path / "photos"), 4)
    made = []
    for name in ("one", "two"):
        out = tmp_path / name
        count = corpus.make(
            str(tmp_path / "photos"), str(out / "plain"), count=8, size=(480, 300), share=0.25, processes=1
        )
        added = variants.make(str(out / "plain"), str(out / "more"), kinds=("gamma", "captioned"))
        assert (count, added) == (8, 12)
        made.append(digests(out))

    assert made[0] == made[1]
    assert len(set(made[0].values())) == 8 + 12 + 2  # the pictures of both folders, and two truths
    rows = truth.load(str(tmp_path / "one" / "more"))
    assert {one.relation for one in rows} == {"original", "recompressed", "resized", "gamma", "captioned"}
    with Image.open(tmp_path / "one" / "plain" / rows[0].path) as picture:
        assert picture.size == (480, 300)
        assert picture.getexif()[0x010F]


def test_results_of_steps_are_kept_until_something_changes(tmp_path: Path) -> None:
    kept = steps.Steps(str(tmp_path), {"/secret/place": "WORK"})
    calls: list[int] = []

    def make(problem: str = "") -> dict[str, Any]:
        calls.append(1)
        return {"problem": problem}

    for version in (1, 1, 2):
        kept.get("a step", {"version": version}, make)
    assert len(calls) == 2
    told = kept.get("bad", {}, lambda: make("lost /secret/place/file"))
    kept.get("bad", {}, lambda: make("lost again"))
    assert told["problem"] == "lost WORK/file"
    assert len(calls) == 4


def test_answers_of_both_group_formats_are_read(tmp_path: Path) -> None:
    out = tmp_path / "answer.json"
    duplicates = [{"path": "/b", "level": "duplicate"}, {"path": "/c", "level": "similar"}]
    out.write_text(json.dumps({"groups": [{"keeper": {"path": "/a"}, "duplicates": duplicates}], "skipped": []}))
    mine = tools.read(tools.ours("default", ""), str(out))
    out.write_text(json.dumps([[{"path": "/a", "size": 5}, {"path": "/b", "size": 9}]]))
    theirs = tools.read(tools.PEERS[0], str(out))

    found = frozenset({("/a", "/b")})
    assert mine == tools.Found(found, frozenset({("/a", "/c")}), ("/b",))
    assert theirs == tools.Found(found, remove=("/a",))


def test_docs_have_a_place_for_every_table_and_are_renewed_between_the_markers() -> None:
    text = (Path(__file__).parent.parent / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for name in tables.TABLES:
        assert f"<!-- table: {name} -->" in text
        assert f"<!-- end: {name} -->" in text
    once = report.renewed(text, dict.fromkeys(tables.TABLES, "new \\1 figures"))

    assert once.count("new \\1 figures") == len(tables.TABLES)
    assert report.renewed(once, dict.fromkeys(tables.TABLES, "new \\1 figures")) == once
    for name in report.PLOTS:
        assert f"(benchmarks/{name})" in text


def test_a_peer_that_is_better_is_named() -> None:
    runs = [
        {"tool": tool, "mode": "cold", "runs": 1, "cpu": cpu, "wall": 1.0, "peak_pss": 5.0, "pictures": 10}
        for tool, cpu in (("py-image-dedup", 2.0), ("czkawka", 1.0), ("difPy", 3.0), ("floor Pillow", 0.1))
    ]
    told = better.table({"speed": [{"name": "1920x1200", "count": 10, "runs": runs}]})

    assert told == "- CPU, 10 pictures of 1920x1200: czkawka 1 s; this program 2 s."


def test_truth_columns_are_those_of_the_corpus(tmp_path: Path) -> None:
    """What the generator writes is what the scorer reads, scene and all."""
    with open(tmp_path / "truth.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([corpus.COLUMNS, ("a.jpg", "g1", "original", "", "x")])
    (tmp_path / "a.jpg").write_bytes(b"12345")

    assert truth.load(str(tmp_path)) == [Row("a.jpg", "g1", "original", "g1", 5)]


@pytest.mark.elasticsearch
def test_the_elasticsearch_benchmark_finds_all(tmp_path: Path) -> None:
    """A small run of the script that measures a million: everything is found, and every figure is there."""
    script = Path(__file__).parent.parent / "bench" / "elastic.py"
    done = subprocess.run(
        [sys.executable, script, "--quick", "--out", tmp_path], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "elastic.json").read_text())["rows"]
    assert [row["asked"] for row in rows] == [
        *("load", "files", "near", "near", "all", "new"),
        *("load", "files", "graph", "near", "near", "all", "new"),
    ]
    assert all(row["recall"] == 1 and row["true pairs"] > 0 for row in rows if "recall" in row)
    assert all(row["server CPU s"] >= 0 for row in rows)
