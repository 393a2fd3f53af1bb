"""What a folder's truth.csv says, the sets that are scored, and the halves: one to choose on, one to report."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

TRUTH = "truth.csv"
LEAST_SIZE = 16_384
"""Bytes below which czkawka leaves a file out unless it is told otherwise; smaller files are a set of their own."""
READ_BY_ALL = frozenset((".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"))
TURNED = frozenset(("rotated90", "rotated180", "rotated270", "mirrored", "exif-rotated"))
APART = frozenset(("edited-heavy",))
SETS = ("main", "turned", "rest")
ALL = "all"
MEANING = {
    "main": "upright files above 16 KiB in formats that every tool reads",
    "turned": "the originals of the main set and their turned and mirrored copies",
    "rest": "small files, other formats, heavy edits, and their originals",
    ALL: "all of them together, as they lie on a disk",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One file of the truth: two files are copies if and only if they share the group.  `size` in bytes."""

    path: str
    group: str
    relation: str
    scene: str
    size: int

    @property
    def half(self) -> int:
        """The half this file's whole scene is in: 0 to choose thresholds on, 1 to report."""
        return hashlib.sha256(self.scene.encode()).digest()[0] & 1

    @property
    def plain(self) -> bool:
        """Tell whether every tool can be asked about this file."""
        return self.size > LEAST_SIZE and os.path.splitext(self.path)[1].lower() in READ_BY_ALL


def load(folder: str) -> list[Row]:
    """Read the truth of a folder; files that are not there are an error."""
    with open(os.path.join(folder, TRUTH), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    scenes: dict[str, str] = {}
    for row in rows:  # a group is whole in one scene, so that it is whole in one half
        scenes.setdefault(row["group_id"], row.get("scene_id") or row["group_id"])
    return [
        Row(
            row["path"],
            row["group_id"],
            row["relation"],
            scenes[row["group_id"]],
            os.path.getsize(os.path.join(folder, row["path"])),
        )
        for row in rows
    ]


def select(rows: Iterable[Row], name: str) -> list[Row]:
    """Return the files of a set; a file that has lost all its copies stays: it can still be wrongly matched."""
    rows = list(rows)
    if name == ALL:
        return rows
    upright = [row for row in rows if row.plain and row.relation not in TURNED | APART]
    if name == "main":
        return upright
    by_group: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_group[row.group].append(row)
    if name == "turned":
        wanted = [row for row in rows if row.plain and row.relation in TURNED]
    else:
        wanted = [row for row in rows if row.relation not in TURNED and (not row.plain or row.relation in APART)]
    extra = {first_of(by_group[row.group]).path for row in wanted}
    if name == "turned":  # what they could be mistaken for
        extra |= {row.path for row in upright if row.relation in {"original", "distinct-but-similar"}}
    paths = {row.path for row in wanted} | extra
    return [row for row in rows if row.path in paths]


def first_of(group: list[Row]) -> Row:
    """Return the original of a group, or the first file where none is named so."""
    return next((row for row in group if row.relation == "original"), group[0])


def lay_out(folder: str, rows: Iterable[Row], target: str) -> None:
    """Copy the files of a set into a folder of its own; the source is only read.  A finished one is left as it is."""
    done = f"{target}.complete"
    if os.path.exists(done):
        return
    shutil.rmtree(target, ignore_errors=True)
    for row in rows:
        path = os.path.join(target, row.path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copyfile(os.path.join(folder, row.path), path)
    os.makedirs(target, exist_ok=True)
    with open(done, "w", encoding="utf-8"):
        pass
