"""What the daemon does whenever it is due: plans, for everything or for what changed, and carries them out."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

from py_image_dedup.analysis import Analyser
from py_image_dedup.config import Settings
from py_image_dedup.events import Tally
from py_image_dedup.execution import Execution
from py_image_dedup.files import printable
from py_image_dedup.log import Log
from py_image_dedup.model import Record, Seen, Skipped
from py_image_dedup.pipeline import Pipeline
from py_image_dedup.plan import Plan


class Tools(NamedTuple):
    """What a pass is made with; the store behind it is open for that long only."""

    pipeline: Pipeline
    execution: Execution
    tally: Tally


Ripe = Callable[[Seen], bool]
"""Tells of a file whether it has come to rest."""
Open = Callable[[Callable[[Analyser], Analyser]], AbstractContextManager[Tools]]
"""Opens the store and puts tools together, around an analyser that may be wrapped."""


class Work:
    """Passes over everything, and over what changed."""

    def __init__(self, settings: Settings, open_tools: Open, log: Log) -> None:
        self._settings = settings
        self._open = open_tools
        self._log = log

    def on_everything(self, ripe: Ripe) -> None:
        """Go through all folders; what is not ripe is left for later."""
        began = time.monotonic()
        with self._open(lambda analyser: _RipeOnly(analyser, ripe)) as tools:
            if not self._settings.dry_run:
                tools.execution.settle()
            plan = tools.pipeline.make_plan()
            self._act(plan, tools)
            self._sum_up("Everything", tools, began)

    def on_changes(self, paths: Collection[str]) -> None:
        """Look at files that came, changed or went."""
        began = time.monotonic()
        with self._open(lambda analyser: analyser) as tools:
            plan = tools.pipeline.make_plan_for(paths)
            for skipped in plan.skipped:
                self._log.note(f"{printable(skipped.path)}: skipped: {skipped.reason}")
            self._tell(plan)
            self._act(plan, tools)
            self._sum_up("Changes", tools, began)

    def _act(self, plan: Plan, tools: Tools) -> None:
        if not self._settings.dry_run:
            done = tools.execution.execute(plan, kind="daemon")
            if done.undoable:
                self._log.note(f"To take it back: py-image-dedup undo {done.run}")

    def _tell(self, plan: Plan) -> None:
        """Say what was found, where nothing will be done about it."""
        for group in plan.groups:
            for act in group.duplicates:
                if act.level == "duplicate" and (self._settings.dry_run or not act.action.acts):
                    verb = f"{act.action} (dry run)" if self._settings.dry_run and act.action.acts else "stays"
                    self._log.note(f"{printable(act.file.path)}: {verb}: duplicate of {printable(group.keeper.path)}")

    def _sum_up(self, what: str, tools: Tools, began: float) -> None:
        counts = tools.tally.counts
        words = [f"{counts[name]} {name}" for name in ("files", "analysed", "removed", "skipped", "duplicates")]
        words += [f"{counts[name]} {name}" for name in _ACTED if counts[name]]
        freed = f", {counts['freed_bytes'] / 1e6:.2f} MB freed" if counts["freed_bytes"] else ""
        self._log.note(f"{what}: {', '.join(words)}{freed}, in {time.monotonic() - began:.1f} s.")


_ACTED = ("moved", "trashed", "deleted", "hardlinked", "reflinked", "refused", "failed")


class _RipeOnly:
    """An analyser that leaves files alone which are still written."""

    def __init__(self, analyser: Analyser, ripe: Ripe) -> None:
        self._analyser = analyser
        self._ripe = ripe

    @property
    def elsewhere(self) -> int:
        """How many pictures were described on other machines so far."""
        return self._analyser.elsewhere

    def analyse(self, seen: Iterable[Seen]) -> Iterator[Record | Skipped]:
        """Analyse what is ripe."""
        return self._analyser.analyse(filter(self._ripe, seen))
