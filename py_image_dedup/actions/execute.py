"""Executing a plan: look again, write the journal, act.  Calling :func:`execute` changes the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from py_image_dedup import files
from py_image_dedup.actions.checks import CheckPath, Checks, Found, did_not_go
from py_image_dedup.actions.names import free_places
from py_image_dedup.actions.outcome import Outcome, Result, reason_of
from py_image_dedup.actions.trash import Trash
from py_image_dedup.actions.unit import HalfDone, carry_out, times_of
from py_image_dedup.errors import ActionRefused
from py_image_dedup.files import HIDDEN
from py_image_dedup.journal import Journal, Step
from py_image_dedup.journal.step import attributes_of
from py_image_dedup.plan import Action, Plan, PlannedAct, PlannedGroup


def execute(
    plan: Plan, journal: Journal, *, protected: CheckPath, decodable: CheckPath, trash: Trash
) -> Iterator[Outcome]:
    """Carry out the acts of a plan one by one; what no longer holds is refused and the rest goes on.

    Right before each act the file, what belongs to it, and its keeper must be on disk as recorded (size, mtime,
    SHA-256), be different inodes below the roots, reached through no symbolic link, and the keeper must be decodable.
    Before what was done is final, the keeper must still be there.
    Each act has a journal line before and after.  A picture and its companions go together or not at all.
    """
    checks = Checks(plan, protected=protected, decodable=decodable)
    for group, act in plan.acts():
        try:
            found = checks.look_again(group, act)
            steps = _steps(group, act, found, journal.run, trash)
        except (ActionRefused, OSError) as error:
            reason = reason_of(error)
            journal.write("refused", {"id": act.id, "path": act.file.path, "reason": reason}, sync=False)
            outcome = Outcome(act, Result.REFUSED, reason)
        else:
            outcome = _act(group, act, found, steps, journal)
        if outcome.result is not Result.DONE:
            checks.stays(act)
        yield outcome


def _steps(group: PlannedGroup, act: PlannedAct, found: Sequence[Found], run: str, trash: Trash) -> list[Step]:
    """Choose the exact places and write down all that taking the act back needs."""
    steps = [_step(act, one, f"{HIDDEN}{run}-{act.id}.{number}") for number, one in enumerate(found)]
    if act.action.links:
        return [replace(step, keeper=group.keeper.path) for step in steps]
    if act.action is Action.TRASH:
        placed = [trash.place(step.path) for step in steps]
        return [replace(step, place=place, info=info) for step, (place, info) in zip(steps, placed, strict=True)]
    if act.action is Action.MOVE:
        wanted = {one.path: one.destination or "" for one in act.companions} | {act.file.path: act.destination or ""}
        places = free_places([wanted[step.path] for step in steps])
        return [replace(step, place=place) for step, place in zip(steps, places, strict=True)]
    return steps


def _step(act: PlannedAct, found: Found, hidden: str) -> Step:
    planned, facts = found.planned, os.lstat(found.planned.path)
    return Step(
        action=str(act.action),
        path=planned.path,
        size=planned.size,
        mtime_ns=facts.st_mtime_ns,
        sha256=planned.content,
        inode=found.inode.number,
        mode=facts.st_mode,
        owner=(facts.st_uid, facts.st_gid),
        attributes=attributes_of(planned.path) if act.action is not Action.DELETE else {},
        hidden=hidden,
    )


def _act(
    group: PlannedGroup, act: PlannedAct, found: Sequence[Found], steps: Sequence[Step], journal: Journal
) -> Outcome:
    """Carry out an act, with a line in the journal before and after."""
    made, touched = _folders(act, steps)
    about = {"id": act.id, "path": act.file.path}
    plans = {
        "action": str(act.action),
        "keeper": group.keeper.path,
        "keeper_sha256": group.keeper.content,
        "steps": [step.as_data() for step in steps],
        "made": made,
    }
    journal.write("intent", {**about, **plans, "folders": times_of(touched)})
    try:
        carry_out(steps, [one.inode for one in found], made, confirm=partial(did_not_go, group.keeper))
    except HalfDone as error:  # no line: the act stays open, for the next run or undo to settle
        return Outcome(act, Result.FAILED, str(error))
    except (OSError, ActionRefused) as error:
        journal.write("failed", {**about, "reason": reason_of(error), "folders": times_of(touched)})
        return Outcome(act, Result.FAILED, reason_of(error))
    detail = _detail(act, steps[0])
    journal.write("done", {**about, "detail": detail, "folders": times_of(touched)})
    gone = tuple(step.path for step in steps) if act.action.removes else ()
    freed = 0 if act.action is Action.TRASH else sum(one.planned.size for one in found if one.inode.links == 1)
    return Outcome(act, Result.DONE, detail, gone, freed)


def _folders(act: PlannedAct, steps: Sequence[Step]) -> tuple[list[str], set[str]]:
    """Return the folders that an act has to make, and those in which it changes something."""
    folders = {os.path.dirname(step.path) for step in steps}
    if act.action is Action.MOVE:
        folders |= {os.path.dirname(step.place or "") for step in steps}
    made = sorted({missing for folder in folders for missing in files.missing_folders(folder)})
    return made, (folders | {os.path.dirname(folder) for folder in made}).difference(made)


def _detail(act: PlannedAct, step: Step) -> str:
    if step.place:
        return step.place
    return "deleted" if act.action is Action.DELETE else f"shares its bytes with {step.keeper}"
