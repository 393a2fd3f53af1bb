"""Results for people and programs: the table of groups, the summary, and the JSON file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from py_image_dedup.actions import Outcome, Result
from py_image_dedup.files import printable
from py_image_dedup.model import Level, Skipped
from py_image_dedup.plan import Action, Plan, PlannedFile, PlannedGroup
from py_image_dedup.planfile import as_data

_SHOWN_GROUPS = 100
_SHOWN_SKIPPED = 50
_WIDE = 120  # columns from which the table tells the values that decided

_WOULD_BE: Final = {
    Action.MOVE: "moved",
    Action.TRASH: "moved to the trash",
    Action.DELETE: "deleted",
    Action.HARDLINK: "replaced by hard links",
    Action.REFLINK: "made to share the bytes of their keepers",
}
_DONE: Final = {
    Action.MOVE: "Moved {number} files",
    Action.TRASH: "Moved {number} files to the trash",
    Action.DELETE: "Deleted {number} files",
    Action.HARDLINK: "Replaced {number} files by hard links",
    Action.REFLINK: "Let {number} files share the bytes of their keepers",
}


def print_plan(plan: Plan, console: Console, *, everything: bool = False) -> None:
    """Print the groups as tables of at most 80 columns or the terminal's width; `everything`: all of them."""
    shown = plan.groups if everything else plan.groups[:_SHOWN_GROUPS]
    base = _common_folder(plan)
    if base and shown:
        console.print(Text(f"Folders below {printable(base)}", style="dim"))
    for number, group in enumerate(shown, 1):
        console.print(_table(number, group, base, wide=console.width >= _WIDE))
        console.print()
    if len(shown) < len(plan.groups):
        console.print(f"... and {len(plan.groups) - len(shown)} more groups (--all prints them, --json saves them).")


def print_summary(plan: Plan, counts: Mapping[str, int], console: Console, *, dry_run: bool) -> None:
    """Print totals in a few lines: files, groups, what could be freed, what was skipped."""
    console.print(
        f"{counts['files']} files: {counts['analysed']} analysed, {counts['unchanged']} unchanged, "
        f"{counts['skipped']} skipped."
    )
    console.print(
        Text(
            f"{len(plan.groups)} groups with {plan.duplicates} duplicates"
            + (f" and {plan.similar} similar pictures" if plan.similar else "")
            + f"; {megabytes(plan.reclaimable)} could be freed.",
            style="bold",
        )
    )
    acts = sum(1 for _ in plan.acts())
    if acts and dry_run:
        verb = _WOULD_BE.get(plan.action, "acted on")
        where = f" to {printable(plan.target)}" if plan.target and plan.action is Action.MOVE else ""
        console.print(Text(f"Dry run: nothing was touched. {acts} files would be {verb}{where} with --no-dry-run."))
        if plan.empty_folders:
            console.print(f"{len(plan.empty_folders)} folders would be empty then and be removed.")


def print_skipped(skipped: Sequence[Skipped], console: Console, *, everything: bool = False) -> None:
    """Name every file that could not be used, with its reason."""
    if not skipped:
        return
    console.print(Text(f"Skipped ({len(skipped)}):", style="yellow"))
    for one in skipped if everything else skipped[:_SHOWN_SKIPPED]:
        console.print(Text(f"  {printable(one.path)}: {printable(one.reason)}"), soft_wrap=True)
    if not everything and len(skipped) > _SHOWN_SKIPPED:
        console.print(f"  ... and {len(skipped) - _SHOWN_SKIPPED} more (--all prints them, --json saves them).")


def print_outcomes(outcomes: Sequence[Outcome], console: Console) -> None:
    """Name every act that was refused or failed, and count the rest."""
    done = [outcome for outcome in outcomes if outcome.result is Result.DONE]
    for action, verb in _DONE.items():
        if of_action := [outcome for outcome in done if outcome.act.action is action]:
            size = megabytes(sum(outcome.act.file.size for outcome in of_action))
            console.print(Text(f"{verb.format(number=len(of_action))} ({size}).", style="bold"))
    for outcome in outcomes:
        if outcome.result is not Result.DONE:
            line = f"{outcome.result}: {printable(outcome.act.file.path)}: {printable(outcome.detail)}"
            console.print(Text(line, style="yellow"), soft_wrap=True)


def write_json(
    path: str,
    plan: Plan,
    counts: Mapping[str, int],
    *,
    outcomes: Sequence[Outcome] = (),
) -> None:
    """Write the plan, with counts and what came of each act, whole or not at all; OSError if it can't be."""
    data = as_data(plan)
    results = {outcome.act.id: outcome for outcome in outcomes}
    for group in data["groups"]:
        for duplicate in group["duplicates"]:
            if outcome := results.get(duplicate["id"]):
                duplicate["result"] = str(outcome.result)
                duplicate["detail"] = outcome.detail
    data["counts"] = {name: counts[name] for name in COUNTS}
    write_whole(path, json.dumps(data, indent=1) + "\n")


COUNTS = (
    "files",
    "analysed",
    "analysed_remotely",
    "decoded",
    "looked",
    "unchanged",
    "skipped",
    "removed",
    "groups",
    "duplicates",
    "similar",
    "reclaimable_bytes",
    "moved",
    "trashed",
    "deleted",
    "hardlinked",
    "reflinked",
    "refused",
    "failed",
    "freed_bytes",
    "removed_folders",
)
"""The counts in JSON, each 0 where nothing was counted."""


def write_whole(path: str, text: str) -> None:
    """Replace a file by this text at once: a reader sees the old one or the new one, never half.

    A link is followed; a pipe or terminal, as ``/dev/stdout`` can be, is written to.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return
    path = os.path.realpath(path)
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".py-image-dedup-")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def megabytes(size: int) -> str:
    """Print a number of bytes in MB (10^6 bytes)."""
    return f"{size / 1e6:,.2f} MB" if size < 100e6 else f"{size / 1e6:,.0f} MB"


def _table(number: int, group: PlannedGroup, base: str, *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
    table.add_column(f"Group {number}", overflow="fold", ratio=1)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("pixels", justify="right", no_wrap=True)
    table.add_column("distance", justify="right", no_wrap=True)
    table.add_column("keeper won by", overflow="fold", width=None if wide else 16, max_width=48)
    table.add_row(*_cells(group.keeper, base), "", Text("keeper", style="green"))
    for act in group.duplicates:
        style = "red" if act.action.acts else ""
        distance = "same" if act.file.content == group.keeper.content else f"{act.distance:.3f}"
        reason = act.reason if wide else act.reason.partition(" (")[0]
        if act.level is Level.SIMILAR:
            distance += " similar"
        for word in (act.turn.words, "part" if act.part else ""):
            reason = f"{word}; {reason}" if word else reason
        table.add_row(*_cells(act.file, base, style), distance, Text(printable(reason)))
    return table


def _cells(file: PlannedFile, base: str, style: str = "") -> tuple[Text, str, str]:
    name = file.path[len(base) :].lstrip("/") if base else file.path
    return Text(printable(name), style=style), megabytes(file.size), f"{file.width}x{file.height}"


def _common_folder(plan: Plan) -> str:
    """Return the folder that holds all roots, or "" where that is the whole disk."""
    folder = os.path.commonpath(plan.roots) if plan.roots else ""
    return "" if folder == "/" else folder


def print_settings(rows: Sequence[tuple[str, str, str]], console: Console) -> None:
    """Print settings, one a line: key, value, and where it came from."""
    for key, value, source in rows:
        line = Text(f"{key}: {printable(value)}").append(f"  # {printable(source)}", style="dim")
        console.print(line, soft_wrap=True)
