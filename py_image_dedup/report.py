"""Results for people and programs: the table of groups, the summary, and the JSON file."""

from __future__ import annotations

import json
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from py_image_dedup.actions import Outcome, Result
from py_image_dedup.decisions import Named
from py_image_dedup.files import printable, replacing
from py_image_dedup.model import Candidate, Decisions, Level, Skipped
from py_image_dedup.plan import Action, Plan, PlannedAct, PlannedFile
from py_image_dedup.planfile import as_data
from py_image_dedup.ranking import date
from py_image_dedup.words import counted, megabytes

_SHOWN_GROUPS = 100
_SHOWN_FILES = 100  # of a group, beside the keeper
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
    Action.MOVE: "Moved {files}",
    Action.TRASH: "Moved {files} to the trash",
    Action.DELETE: "Deleted {files}",
    Action.HARDLINK: "Replaced {files} by hard links",
    Action.REFLINK: "Let {files} share the bytes of their keepers",
}


def print_plan(plan: Plan, console: Console, *, everything: bool = False) -> None:
    """Print the groups as tables of at most 80 columns or the terminal's width; `everything`: all of them."""
    shown = plan.groups if everything else plan.groups[:_SHOWN_GROUPS]
    base = _common_folder(plan)
    if base and shown:
        console.print(Text(f"Folders below {printable(base)}", style="dim"))
    for number, group in enumerate(shown, 1):
        files = group.duplicates if everything else group.duplicates[:_SHOWN_FILES]
        console.print(_table(number, group.keeper, files, base, wide=console.width >= _WIDE))
        if len(files) < len(group.duplicates):
            left = len(group.duplicates) - len(files)
            console.print(f"... and {counted(left, 'more file')} in this group (--all prints them, --json saves them).")
        console.print()
    if len(shown) < len(plan.groups):
        console.print(
            f"... and {counted(len(plan.groups) - len(shown), 'more group')} (--all prints them, --json saves them)."
        )


def print_summary(plan: Plan, counts: Mapping[str, int], console: Console, *, dry_run: bool) -> None:
    """Print totals in a few lines: files, groups, what could be freed, what was skipped."""
    console.print(f"{seen(counts)}.")
    print_totals(plan, console)
    if dry_run:
        print_dry_run(plan, console, remedy="with --no-dry-run")


def print_line(plan: Plan, counts: Mapping[str, int], console: Console) -> None:
    """Print all that came of a run in one line, for logs."""
    found = f"{counted(len(plan.groups), 'group')} with {listed(plan)}"
    acts = ", ".join(f"{counts[name]} {name}" for name in _ACTS if counts[name]) or "nothing touched"
    console.print(f"{seen(counts)}; {found}; {acts}.", soft_wrap=True)


def seen(counts: Mapping[str, int]) -> str:
    """Tell how many files there are, and how they were dealt with."""
    return (
        f"{counted(counts['files'], 'file')}: {counts['analysed']} analysed, {counts['unchanged']} unchanged, "
        f"{counts['skipped']} skipped"
    )


def print_dry_run(plan: Plan, console: Console, *, remedy: str) -> None:
    """Tell that nothing was touched, and what would be; `remedy` says how."""
    if done := _what_is_done(plan):
        console.print(Text(f"Dry run: nothing was touched. {done} {remedy}."))
        if plan.empty_folders:
            console.print(f"{counted(len(plan.empty_folders), 'folder')} would be empty then and be removed.")


def print_rehearsal(plan: Plan, refused: Sequence[Outcome], console: Console) -> None:
    """Tell what applying a saved plan would do now, and what would be refused."""
    print_plan(plan, console)
    print_outcomes(refused, console)
    left = plan.without(outcome.act.id for outcome in refused)
    print_totals(left, console)
    print_dry_run(left, console, remedy="without --dry-run")


def print_totals(plan: Plan, console: Console) -> None:
    """Tell how many duplicates there are and what could be freed."""
    console.print(
        Text(
            f"{counted(len(plan.groups), 'group')} with {listed(plan)}; {megabytes(plan.reclaimable)} could be freed.",
            style="bold",
        )
    )
    if plan.risky:
        console.print(Text(f"{risk(plan.risky)}.", style="red"))


def print_apply(plan: Plan, path: str, console: Console) -> None:
    """Tell how a saved plan is carried out, and what that does."""
    if done := _what_is_done(plan):
        command = f"py-image-dedup apply {shlex.quote(printable(path))}"
        console.print(Text(f"Apply it with: {command} ({done})"), soft_wrap=True)


def _what_is_done(plan: Plan) -> str:
    """Say what the acts of a plan would do, in words; nothing if there are none."""
    number = Counter(act.action for _, act in plan.acts())
    where = f" to {printable(plan.target)}" if plan.target else ""
    words = _WOULD_BE | {Action.MOVE: f"moved{where}"}
    parts = [f"{counted(number[action], 'file')} would be {done}" for action, done in words.items() if number[action]]
    return " and ".join(parts)


def print_skipped(skipped: Sequence[Skipped], console: Console, *, everything: bool = False) -> None:
    """Name every file that could not be used, with its reason."""
    if not skipped:
        return
    console.print(Text(f"Skipped ({len(skipped)}):", style="yellow"))
    for one in skipped if everything else skipped[:_SHOWN_SKIPPED]:
        console.print(Text(f"  {printable(one.path)}: {printable(one.reason)}"), soft_wrap=True)
    if not everything and len(skipped) > _SHOWN_SKIPPED:
        console.print(f"  ... and {len(skipped) - _SHOWN_SKIPPED} more (--all prints them, --json saves them).")


def print_outcomes(outcomes: Sequence[Outcome], console: Console, *, removed: Sequence[str] = ()) -> None:
    """Name every act that was refused or failed, and count the rest; `removed`: folders that were empty then."""
    done = [outcome for outcome in outcomes if outcome.result is Result.DONE]
    for action, verb in _DONE.items():
        if of_action := [outcome for outcome in done if outcome.act.action is action]:
            size = megabytes(sum(outcome.act.file.size for outcome in of_action))
            console.print(Text(f"{verb.format(files=counted(len(of_action), 'file'))} ({size}).", style="bold"))
    for outcome in outcomes:
        if outcome.result is not Result.DONE:
            line = f"{outcome.result}: {printable(outcome.act.file.path)}: {printable(outcome.detail)}"
            console.print(Text(line, style="yellow"), soft_wrap=True)
    if removed:
        console.print(f"Removed {counted(len(removed), 'empty folder')}.")


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
    "matches",
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

_ACTS: Final = ("moved", "trashed", "deleted", "hardlinked", "reflinked", "refused", "failed")


def write_whole(path: str, text: str | Iterable[str]) -> None:
    """Replace a file by this text, or by its pieces, at once: a reader sees the old one or the new one, never half.

    A link is followed; a pipe or terminal, as ``/dev/stdout`` can be, is written to.
    """
    pieces = [text] if isinstance(text, str) else text
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.writelines(pieces)
        return
    with replacing(path) as whole:
        for piece in pieces:
            whole.write(piece.encode("utf-8", "surrogateescape"))


def listed(plan: Plan) -> str:
    """Tell how many files are listed below keepers."""
    similar = f" and {counted(plan.similar, 'similar picture')}" if plan.similar else ""
    return f"{counted(plan.duplicates, 'duplicate')}{similar}"


def risk(number: int) -> str:
    """Warn of so many files that go for being similar."""
    return f"{counted(number, 'file')} would go though only similar, and may show something else"


def loss(number: int) -> str:
    """Warn of so many files that can't be brought back."""
    return f"{counted(number, 'file')} would be deleted, which can't be undone"


def _table(number: int, keeper: PlannedFile, duplicates: Sequence[PlannedAct], base: str, *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
    table.add_column(f"Group {number}", overflow="fold", ratio=1)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("pixels", justify="right", no_wrap=True)
    table.add_column("distance", justify="right", no_wrap=True)
    table.add_column("keeper won by", overflow="fold", width=None if wide else 16, max_width=48)
    table.add_row(*_cells(keeper, base), "", Text("keeper", style="green"))
    for act in duplicates:
        style = "red" if act.action.acts else ""
        distance = "same" if act.file.content == keeper.content else f"{act.distance:.3f}"
        reason = act.reason if wide else act.reason.partition(" (")[0]
        if act.level is Level.SIMILAR:
            distance += " similar"
        for word in (act.turn.words, "part" if act.part else ""):
            reason = f"{word}; {reason}" if word else reason
        table.add_row(*_cells(act.file, base, style), distance, Text(printable(reason)))
        if act.gain:
            table.add_row(Text(f"  only it has: {printable(', '.join(act.gain))}", style="yellow"))
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


def print_named(headline: str, files: Sequence[Named], console: Console) -> None:
    """Confirm a decision about these files."""
    console.print(Text(f"{headline}:", style="bold"))
    for file in files:
        console.print(Text(f"  {printable(file.path)}"), soft_wrap=True)


def print_kept(decisions: Decisions, console: Console) -> None:
    """List what never goes: the paths that were named, with the beginning of each hash."""
    for content, paths in decisions.kept.items():
        for path in sorted(paths):
            console.print(Text(f"{content[:12]}  {printable(path)}"), soft_wrap=True)


def print_different(decisions: Decisions, console: Console) -> None:
    """List the pairs that never match, an empty line after each."""
    for pair, paths in decisions.different.items():
        for content, path in zip(pair, paths, strict=True):
            console.print(Text(f"{content[:12]}  {printable(path)}"), soft_wrap=True)
        console.print()


def print_explanation(
    subjects: Sequence[tuple[str, Candidate]], rows: Sequence[tuple[str, str]], console: Console
) -> None:
    """Print two files with what is recorded of them, and what there is to say of the pair."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
    table.add_column("", no_wrap=True)
    for name, _ in subjects:
        table.add_column(name, overflow="fold", ratio=1)
    candidates = [candidate for _, candidate in subjects]
    for about, cells in (
        ("path", [printable(one.file.path) for one in candidates]),
        ("size", [megabytes(one.file.size) for one in candidates]),
        ("pixels", [f"{one.facts.width}x{one.facts.height} {one.facts.format}" for one in candidates]),
        ("colour", ["no" if one.facts.grey else "yes" for one in candidates]),
        ("EXIF tags", [str(one.facts.exif_count) for one in candidates]),
        ("taken", [printable(one.facts.taken) or "-" for one in candidates]),
        ("modified (UTC)", [date(one.file.mtime_ns) for one in candidates]),
        ("SHA-256", [f"{one.file.content[:16]}..." for one in candidates]),
    ):
        table.add_row(about, *map(Text, cells))
    console.print(table)
    console.print()
    said = Table.grid(padding=(0, 2, 0, 0))
    said.add_column(no_wrap=True)
    said.add_column(overflow="fold")
    for about, words in rows:
        said.add_row(Text(about, style="bold"), Text(printable(words)))
    console.print(said)
