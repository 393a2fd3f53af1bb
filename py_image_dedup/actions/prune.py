"""Removing the folders that a run emptied."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from py_image_dedup import files
from py_image_dedup.actions.outcome import Outcome, Result, reason_of
from py_image_dedup.actions.unit import times_of
from py_image_dedup.journal import Journal, Step
from py_image_dedup.plan import Plan


def remove_folders(plan: Plan, outcomes: Sequence[Outcome], journal: Journal) -> Iterator[str]:
    """Remove the folders that acts which were done left empty, and yield them; one that is not empty stays."""
    emptied = {os.path.dirname(path) for outcome in outcomes if outcome.result is Result.DONE for path in outcome.gone}
    for number, folder in enumerate(plan.empty_folders, 1):
        if not any(files.is_below(one, [folder]) for one in emptied):
            continue  # somebody else emptied it
        if folder in plan.roots or not files.is_below(folder, plan.roots):
            continue
        if _remove(folder, f"prune.{number}", journal):
            yield folder


def _remove(folder: str, name: str, journal: Journal) -> bool:
    """Remove a folder if it is empty and no link led there, with a journal line before and after."""
    try:
        facts = os.lstat(folder)
        if files.leads_elsewhere(folder) or not files.is_empty(folder):
            return False
    except OSError:
        return False
    owner = facts.st_uid, facts.st_gid
    step = Step(action="prune", path=folder, mode=facts.st_mode, mtime_ns=facts.st_mtime_ns, owner=owner)
    above = [os.path.dirname(folder)]
    about = {"id": name, "path": folder}
    journal.write("intent", {**about, "action": "prune", "steps": [step.as_data()], "folders": times_of(above)})
    try:
        os.rmdir(folder)
    except OSError as error:
        journal.write("failed", {**about, "reason": reason_of(error)})
        return False
    journal.write("done", {**about, "folders": times_of(above)})
    return True
