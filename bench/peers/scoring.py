"""Pairs against the truth: precision, recall by kind of change, removals that would lose a picture, curves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from bench.peers.truth import Row, first_of

Pair = tuple[str, str]
LEAST_PRECISION = 0.99
"""What a tuned threshold must reach on the half it is chosen on."""
_USELESS = 0.05  # precision at which a curve ends


@dataclass(frozen=True, slots=True)
class Truth:
    """The files of a set, ready to score against: which pairs are true, and of what relation."""

    rows: dict[str, Row]
    true: frozenset[Pair]
    relation: dict[Pair, str]
    """The pairs of an original and its copy; the copy's relation."""

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Truth:
        """Prepare a set."""
        by_path = {row.path: row for row in rows}
        groups: defaultdict[str, list[Row]] = defaultdict(list)
        for row in by_path.values():
            groups[row.group].append(row)
        true = set()
        relation = {}
        for group in groups.values():
            true |= {ordered(a.path, b.path) for a, b in combinations(group, 2)}
            original = first_of(group)
            relation.update({ordered(original.path, row.path): row.relation for row in group if row is not original})
        return cls(by_path, frozenset(true), relation)

    def half(self, number: int) -> Truth:
        """Return the part of one half."""
        return Truth.of(row for row in self.rows.values() if row.half == number)


def ordered(a: str, b: str) -> Pair:
    """Return two paths in order."""
    return (a, b) if a < b else (b, a)


def score(truth: Truth, pairs: Iterable[Pair], remove: Collection[str] | None = None) -> dict[str, Any]:
    """Count pairs of files of this set that are in one group; files of other sets are left out.

    `pairs` are chained into groups, as a person sees them: see :func:`grouped`.  "named" counts the pairs alone.
    `remove`: what the tool would remove.  Without it the largest file of what matches stays: see :func:`removal`.
    """
    named = {found for found in pairs if found[0] in truth.rows and found[1] in truth.rows}
    mine = grouped(named)
    good = mine & truth.true
    wrong = mine - truth.true
    one_scene = {found for found in wrong if truth.rows[found[0]].scene == truth.rows[found[1]].scene}
    asked: defaultdict[str, int] = defaultdict(int)
    got: defaultdict[str, int] = defaultdict(int)
    for found, relation in truth.relation.items():
        asked[relation] += 1
        got[relation] += found in mine
    going = removal(truth, named) if remove is None else [path for path in remove if path in truth.rows]
    lost = lost_pictures(truth, going)
    found_copies = sum(got.values())
    copies = sum(asked.values())
    surplus = len(truth.rows) - len({row.group for row in truth.rows.values()})
    return {
        "pairs": len(mine),
        "true": len(good),
        "possible": len(truth.true),
        "false": len(wrong),
        "false_one_scene": len(one_scene),
        "precision": _share(len(good), len(mine)),
        "precision_scenes_forgiven": _share(len(good), len(mine) - len(one_scene)),
        "pair_recall": _share(len(good), len(truth.true)),
        "recall": _share(found_copies, copies),
        "named_recall": _share(len(named & truth.relation.keys()), copies),
        "named_precision": _share(len(named & truth.true), len(named)),
        "copies": copies,
        "by_relation": {kind: [got[kind], asked[kind]] for kind in sorted(asked)},
        "removed": len(going),
        "cleared": _share(len(going) - len(lost), surplus),
        "lost": len(lost),
        "lost_one_scene": len(set(lost) & {path for pair in one_scene for path in pair}),
        "lost_files": sorted(lost)[:20],
        "wrong_pairs": [list(found) for found in sorted(wrong - one_scene)[:20]],
    }


def grouped(pairs: Iterable[Pair]) -> set[Pair]:
    """Return all pairs of files that a chain of pairs joins."""
    near = neighbours(pairs)
    waiting = set(near)
    found: set[Pair] = set()
    while waiting:
        group = {waiting.pop()}
        edge = group
        while edge := {other for path in edge for other in near[path]} - group:
            group |= edge
        waiting -= group
        found |= {ordered(a, b) for a, b in combinations(group, 2)}
    return found


def neighbours(pairs: Iterable[Pair]) -> dict[str, set[str]]:
    """Tell of each file which others it is paired with."""
    near: defaultdict[str, set[str]] = defaultdict(set)
    for a, b in pairs:
        near[a].add(b)
        near[b].add(a)
    return near


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole > 0 else None


def removal(truth: Truth, pairs: Iterable[Pair]) -> list[str]:
    """Name what goes where a tool does not say: from large to small, a file goes if it matches one that stays."""
    near = neighbours(pairs)
    stays: set[str] = set()
    goes = []
    for path in sorted(near, key=lambda path: (-truth.rows[path].size, path)):
        if near[path] & stays:
            goes.append(path)
        else:
            stays.add(path)
    return goes


def lost_pictures(truth: Truth, going: Collection[str]) -> list[str]:
    """Name the files that would go although no file that stays shows the same picture."""
    gone = set(going)
    kept = {row.group for path, row in truth.rows.items() if path not in gone}
    return [path for path in gone if truth.rows[path].group not in kept]


class Sweep:
    """What a tool calls copies at any threshold: from distances, or from one answer per setting."""

    def __init__(
        self,
        *,
        distances: Sequence[tuple[str, str, float]] = (),
        settings: Sequence[tuple[float, Collection[Pair]]] = (),
    ) -> None:
        """Take either."""
        self._distances = sorted(((d, ordered(a, b)) for a, b, d in distances), key=lambda one: one[0])
        self._settings = sorted(settings, key=lambda one: one[0])

    def thresholds(self, most: int = 60) -> list[float]:
        """Return the settings, or at most so many distances that occur, evenly over the range."""
        if self._settings:
            return [threshold for threshold, _ in self._settings]
        values = sorted({round(distance, 6) for distance, _ in self._distances})
        if len(values) <= most:
            return values
        low, high = values[0], values[-1]
        return [low + (high - low) * step / (most - 1) for step in range(most)]

    def at(self, threshold: float) -> set[Pair]:
        """Return the pairs within a threshold."""
        if self._settings:
            return set(next((pairs for value, pairs in reversed(self._settings) if value <= threshold), ()))
        return {pair for distance, pair in self._distances if distance <= threshold + 1e-6}


def curve(truth: Truth, sweep: Sweep) -> list[dict[str, Any]]:
    """Score every threshold."""
    kept = ("precision", "precision_scenes_forgiven", "recall", "pair_recall", "pairs", "false", "by_relation", "lost")
    points = []
    for threshold in sweep.thresholds():
        scored = score(truth, sweep.at(threshold))
        points.append({"threshold": threshold, **{name: scored[name] for name in kept}})
        if scored["precision"] is not None and scored["precision"] < _USELESS:
            break  # what comes is of no use to anybody, and millions of pairs
    return points


def best(points: Sequence[dict[str, Any]], *, precision: str = "precision") -> tuple[float | None, str]:
    """Choose the threshold with the highest recall at the least precision; where none has it, the best F1.

    Returns the threshold and the rule that chose it.
    """
    able = [point for point in points if point[precision] is not None and point[precision] >= LEAST_PRECISION]
    if able:
        chosen = max(able, key=lambda point: (point["recall"] or 0.0, -point["threshold"]))
        return chosen["threshold"], f"precision of {LEAST_PRECISION:.0%} or more"
    measured = [point for point in points if point[precision]]
    if not measured:
        return None, "nothing found at any threshold"
    return max(measured, key=_f1_by(precision))["threshold"], "best F1; none is that precise"


def _f1_by(precision: str) -> Callable[[dict[str, Any]], float]:
    def f1(point: dict[str, Any]) -> float:
        p, r = point[precision], point["pair_recall"] or 0.0
        return float(2 * p * r / (p + r)) if p + r else 0.0

    return f1
