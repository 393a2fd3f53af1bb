"""Past runs for people: what each did, and whether it was taken back."""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from py_image_dedup.actions import Result, Undone
from py_image_dedup.files import printable
from py_image_dedup.journal import UNDO, RecordedAct, Run, State
from py_image_dedup.words import counted, megabytes


def print_runs(runs: Sequence[Run], console: Console) -> None:
    """Print a line for each run, oldest first, and the folder of the journals."""
    if not runs:
        console.print("Nothing was moved or deleted yet.")
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run", no_wrap=True)
    table.add_column("what", overflow="fold", max_width=8)
    for name in ("done", "refused", "failed", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("undone", no_wrap=True)
    for run in runs:
        done = run.in_state(State.DONE)
        size = megabytes(sum(act.size for act in done)) if run.kind != UNDO else ""
        failed = len(run.in_state(State.FAILED)) + len(run.in_state(State.OPEN))
        counts = map(str, (len(done), len(run.in_state(State.REFUSED)), failed))
        table.add_row(run.id, actions_of(run), *counts, size, _undone(run))
    console.print(table)
    console.print(f"Journals: {printable(os.path.dirname(runs[-1].path))}", soft_wrap=True)


def print_run(run: Run, console: Console) -> None:
    """Print every act of a run, one a line."""
    started = dt.datetime.fromisoformat(run.started).astimezone() if run.started else None
    what = f"{actions_of(run)} of {run.undoes}" if run.undoes else actions_of(run)
    console.print(Text(f"{run.id}: {what}" + (f", {started:%Y-%m-%d %H:%M:%S}" if started else ""), style="bold"))
    for act in run.acts.values():
        console.print(Text(f"{act.id} {told(run, act)}"), soft_wrap=True)
    console.print(f"Journal: {printable(run.path)}", soft_wrap=True)


def print_to_undo(run: Run, acts: Sequence[RecordedAct], console: Console) -> None:
    """Tell what taking back a run would bring back, and what it can't."""
    console.print(Text(f"{run.id}: {actions_of(run)}", style="bold"))
    for act in reversed(acts):
        what = "make the folder again" if act.action == "prune" else f"take back: {act.action}"
        console.print(Text(f"  {what}: {printable(act.path)}"), soft_wrap=True)


def print_undone(undone: Sequence[Undone], console: Console) -> None:
    """Count what was taken back, and name what could not be."""
    done = [one.act for one in undone if one.result is Result.DONE]
    files = [act for act in done if act.action != "prune"]
    folders = len(done) - len(files)
    console.print(
        Text(
            f"Brought back {counted(len(files), 'file')} ({megabytes(sum(act.size for act in files))})"
            + (f" and {counted(folders, 'folder')}." if folders else "."),
            style="bold",
        )
    )
    for one in undone:
        if one.result is not Result.DONE:
            line = f"{one.result}: {printable(one.act.path)}: {printable(one.detail)}"
            console.print(Text(line, style="yellow"), soft_wrap=True)


def told(run: Run, act: RecordedAct) -> str:
    """Say in one line what became of an act."""
    state = "taken back" if act.id in run.undone else str(act.state)
    line = f"{act.action} {state}: {printable(act.path)}"
    return f"{line} ({printable(act.detail)})" if act.detail else line


def actions_of(run: Run) -> str:
    """Name the actions of a run."""
    if run.kind == UNDO:
        return UNDO
    actions = Counter(act.action for act in run.acts.values() if act.action not in {"", "prune"})
    return ", ".join(sorted(actions)) or run.kind


def _undone(run: Run) -> str:
    """Tell whether a run was taken back; "-" where nothing of it can be."""
    left = run.to_undo()
    if not run.undone:
        return "" if left else "-"
    return "partly" if left else "yes"
