"""Taking runs back: what was cut off is settled, what was done is undone, with a journal of its own."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from py_image_dedup import files
from py_image_dedup.actions.outcome import Result, reason_of
from py_image_dedup.actions.steps import Gone, take_back
from py_image_dedup.actions.unit import times_of, unmake
from py_image_dedup.errors import ActionRefused
from py_image_dedup.journal import UNDO, Journal, RecordedAct, Run, State, unsettled
from py_image_dedup.plan import Action

_PROBLEMS: Final = (OSError, ActionRefused, OverflowError, TypeError, ValueError)
"""Of disks; and of journals that disks have damaged."""
_CUT_OFF: Final = "it was cut off, and is taken back"


@dataclass(frozen=True, slots=True)
class Undone:
    """An act of an earlier run and whether it could be taken back; ``detail`` is the reason if not."""

    act: RecordedAct
    result: Result
    detail: str = ""


def settle(state_directory: str) -> Iterator[Undone]:
    """Take back the acts at which earlier runs were cut off, so that no picture is left halfway.

    What was deleted already counts as done.  An act that can't be settled stays open for the next time.
    """
    for run in unsettled(state_directory):
        journal = Journal.resume(run.path)
        try:
            left = [
                one
                for act in reversed(run.acts.values())
                if act.state is State.OPEN and (one := _settled(act, journal)).result is not Result.DONE
            ]
            if not left:
                journal.write("end", {"settled": True})
            yield from left
        finally:
            journal.close()


def undo(run: Run, journal: Journal, *, only: Collection[str] = ()) -> Iterator[Undone]:
    """Take back the acts of a run, the last one first; `only`: those on files at or below these paths.

    Nothing that stands in the old place of a file is overwritten, and a file that was changed since stays where it is.
    """
    wanted = {act.id for act in chosen(run, only)}
    for act in reversed(run.acts.values()):
        if act.id in wanted:
            yield _undone(act, journal, run.half_undone.get(act.id))
        elif act.state is State.FAILED and not only:
            _restore_times(_unchanged_since(act))


def undo_whole(run: Run, state_directory: str, *, only: Collection[str] = ()) -> list[Undone]:
    """Take back the acts of a run, or those on files at or below some paths, as a run with a journal of its own."""
    journal = Journal.open(state_directory, kind=UNDO, origin=run.origin, undoes=run.id)
    try:
        undone = list(undo(run, journal, only=only))
        journal.end()
    finally:
        journal.close()
    return undone


def deleted(run: Run, only: Collection[str] = ()) -> list[RecordedAct]:
    """Return the acts, all or those at or below some paths, that can't be taken back because they deleted."""
    return [
        act
        for act in run.in_state(State.DONE)
        if act.action == Action.DELETE and (not only or files.is_below(act.path, list(only)))
    ]


def chosen(run: Run, only: Collection[str]) -> list[RecordedAct]:
    """Return what can be taken back of a run, or of it what is at or below these paths, with the folders above."""
    to_undo = run.to_undo()
    if not only:
        return to_undo
    acts = [
        act
        for act in to_undo
        if act.action != "prune" and any(files.is_below(step.path, list(only)) for step in act.steps)
    ]
    ids = {act.id for act in acts}
    above: set[str] = set()
    for act in acts:
        folder = os.path.dirname(act.path)
        while folder not in above:
            above.add(folder)
            folder = os.path.dirname(folder)
    return [act for act in to_undo if act.id in ids or (act.action == "prune" and act.path in above)]


def _settled(act: RecordedAct, journal: Journal) -> Undone:
    about = {"id": act.id, "path": act.path}
    touched = act.before.keys()
    try:
        _take_back(act, cut_off=True)
    except Gone as error:
        journal.write("done", {**about, "detail": str(error), "folders": times_of(touched)})
    except _PROBLEMS as error:
        return Undone(act, Result.REFUSED, f"it was cut off, and {reason_of(error)}")
    else:
        journal.write("failed", {**about, "reason": _CUT_OFF, "folders": times_of(touched)})
    return Undone(act, Result.DONE)


def _undone(act: RecordedAct, journal: Journal, cut_off: Mapping[str, int] | None) -> Undone:
    """Take back one act, with a journal line before and after; `cut_off`: what an earlier undo of it had in mind."""
    about: dict[str, Any] = {"id": act.id, "path": act.path}
    times = _unchanged_since(act) if cut_off is None else cut_off
    journal.write("intent", {**about, "action": act.action, "steps": [], "folders": times})
    try:
        _take_back(act, cut_off=cut_off is not None)
    except _PROBLEMS as error:
        journal.write("failed", {**about, "reason": reason_of(error)})
        return Undone(act, Result.REFUSED, reason_of(error))
    _restore_times(times)
    journal.write("done", about)
    return Undone(act, Result.DONE)


def _take_back(act: RecordedAct, *, cut_off: bool) -> None:
    """Take back every step of an act that can be, and raise for the others; Gone when the picture was deleted.

    A companion of a picture that came back may be deleted already: it was only deleted because the keeper has its like.
    """
    if not act.steps:
        where = f"; look at {files.printable(act.detail)}" if act.detail else ""
        raise ActionRefused(f"the journal has lost what was done to it{where}")
    problems: list[Exception] = []
    for step in reversed(act.steps):
        try:
            take_back(step, cut_off=cut_off)
        except Gone as error:
            if step.path == act.path:
                problems = [error]
        except _PROBLEMS as error:
            problems.append(error)
    unmake(act.made)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ActionRefused("; ".join(map(reason_of, problems)))


def _unchanged_since(act: RecordedAct) -> dict[str, int]:
    """Return the times that folders had before an act, of those that nobody changed since."""
    now = times_of(act.after.keys())
    return {folder: time for folder, time in act.before.items() if folder in now and now[folder] == act.after[folder]}


def _restore_times(times: Mapping[str, int]) -> None:
    for folder, time in times.items():
        with suppress(OSError):
            os.utime(folder, ns=(time, time))
