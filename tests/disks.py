"""A disk to act on: photos, a target, a state directory and a trash below one folder, and what is seen of them."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from py_image_dedup import files
from py_image_dedup.actions import Outcome, Trash, execute, remove_folders, settle
from py_image_dedup.companions import attach
from py_image_dedup.grouping import Grouping, group
from py_image_dedup.journal import Journal
from py_image_dedup.model import Candidate, Facts, File, Match
from py_image_dedup.plan import Action, Plan, make_plan

BY = Grouping(rules=("older-file-modification-date", "shorter-path"), max_distance=0.1, review_distance=0.1)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Disk:
    """A folder of photos, a target for what goes, and a state directory."""

    base: str
    elsewhere: str | None = None
    """Where the target is, if it is not beside the photos."""
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def photos(self) -> str:
        return f"{self.base}/photos"

    @property
    def target(self) -> str:
        return self.elsewhere or f"{self.base}/target"

    @property
    def state(self) -> str:
        return f"{self.base}/state"

    def write(self, name: str, data: bytes = b"one", *, mtime: int = 1) -> str:
        """Write a file below the photos and return its path."""
        path = f"{self.photos}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).write_bytes(data)
        os.utime(path, (mtime, mtime))
        return path

    def candidates(self) -> list[Candidate]:
        """Record every file below the photos; hard links to one inode are one file."""
        found: dict[tuple[int, int], Candidate] = {}
        for path in sorted(tree(self.photos)):
            facts = os.lstat(path)
            if stat.S_ISREG(facts.st_mode) and path.lower().endswith(".png"):
                file = File("here", path, facts.st_size, facts.st_mtime_ns, sha256(Path(path).read_bytes()))
                found.setdefault((facts.st_dev, facts.st_ino), Candidate(file, Facts("PNG", 10, 10), self.photos))
        return list(found.values())

    def plan(
        self,
        action: Action = Action.MOVE,
        *,
        matches: Iterable[Match] = (),
        protected: Callable[[str], bool] = lambda _: False,
        prune: bool = False,
    ) -> Plan:
        """Plan what becomes of the photos; the oldest file keeps, then the one with the shortest path."""
        made = make_plan(
            group(self.candidates(), matches, by=BY),
            origin="here",
            roots=[self.photos],
            action=action,
            target=self.target,
            protected=protected,
        )
        made = attach(made, pictures={".png"})
        if not prune:
            return made
        going = [one.path for _, act in made.acts() if act.action.removes for one in act.unit]
        return replace(made, empty_folders=tuple(files.folders_left_empty(going, made.roots)))

    def execute(self, plan: Plan, *, protected: Callable[[str], bool] = lambda _: False) -> list[Outcome]:
        journal = Journal.open(self.state)
        try:
            self.outcomes[:] = self.acting(plan, journal, protected=protected)
            return self.outcomes[:]
        finally:
            journal.close()

    def acting(
        self,
        plan: Plan,
        journal: Journal,
        *,
        protected: Callable[[str], bool] = lambda _: False,
        decodable: Callable[[str], bool] = lambda _: True,
        trash: Trash | None = None,
    ) -> Iterator[Outcome]:
        """Carry out a plan act by act."""
        trash = trash or Trash(f"{self.base}/Trash", os.getuid())
        return execute(plan, journal, protected=protected, decodable=decodable, trash=trash)

    def run(self, plan: Plan, *, protected: Callable[[str], bool] = lambda _: False) -> list[Outcome]:
        """Settle, act and remove empty folders, with one journal, as a whole run does."""
        list(settle(self.state))
        journal = Journal.open(self.state)
        try:
            outcomes = list(self.acting(plan, journal, protected=protected))
            list(remove_folders(plan, outcomes, journal))
            journal.end()
        finally:
            journal.close()
        return outcomes

    def prune(self, plan: Plan) -> list[str]:
        journal = Journal.open(self.state)
        try:
            return list(remove_folders(plan, self.outcomes, journal))
        finally:
            journal.close()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the whole lines of this kind of all runs."""
        folder = f"{self.state}/runs"
        texts = [
            text
            for name in (sorted(os.listdir(folder)) if os.path.isdir(folder) else ())
            for text in Path(folder, name).read_text().splitlines(keepends=True)
        ]
        return [line for text in texts if text.endswith("\n") for line in [json.loads(text)] if line["event"] == event]

    def journal(self) -> list[dict[str, Any]]:
        """Return the lines of the last run after the first, which tells about the run."""
        runs = sorted(os.listdir(f"{self.state}/runs"))
        return [json.loads(line) for line in Path(f"{self.state}/runs/{runs[-1]}").read_text().splitlines()[1:]]


def tree(folder: str) -> dict[str, tuple[object, ...]]:
    """Return everything below a folder that is no folder itself: what it is, its bytes, its time."""
    found: dict[str, tuple[object, ...]] = {}
    for parent, folders, names in os.walk(folder):
        for name in (*names, *folders):
            path = os.path.join(parent, name)
            if os.path.islink(path):
                found[path] = ("link", os.readlink(path))
            elif os.path.isfile(path):
                found[path] = ("file", Path(path).read_bytes(), os.lstat(path).st_mtime_ns)
    return found


def contents(*folders: str) -> set[str]:
    """Return the hashes of all regular files below these folders."""
    return {
        sha256(what[1])
        for folder in folders
        for what in tree(folder).values()
        if what[0] == "file" and isinstance(what[1], bytes)
    }
