"""The commands for what was done: list past runs, take one back."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from py_image_dedup.cli.wiring import load_without_folders, open_console, settings_options
from py_image_dedup.errors import EXIT_REFUSED, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from py_image_dedup.journal import RecordedAct, Run


@click.command()
@click.argument("run", required=False)
@settings_options
def history(run: str | None, **options: Any) -> None:
    """List what past runs did; with RUN, every act of it."""
    from py_image_dedup import journal
    from py_image_dedup.history import print_run, print_runs

    state_directory = load_without_folders(**options).state_directory
    known = journal.runs(state_directory)
    if run is None:
        print_runs(known, open_console())
    else:
        print_run(_named(run, known), open_console())


@click.command()
@click.argument("run", required=False)
@click.option(
    "--file",
    "paths",
    multiple=True,
    metavar="PATH",
    help="Bring back only this file, or what was below this folder; may be given several times.",
)
@click.option("--dry-run/--no-dry-run", default=False, help="Only show what would be taken back.")
@click.option("--yes", is_flag=True, help="Don't ask where some files can't be brought back.")
@settings_options
def undo(run: str | None, *, paths: tuple[str, ...], dry_run: bool, yes: bool, **options: Any) -> int:
    """Take back RUN, or else the last run that was not taken back.

    Moved files return to their places, links become files again, removed folders are made again. Nothing that stands
    there now is overwritten. Deleted files can't be brought back.
    """
    from py_image_dedup import actions, journal
    from py_image_dedup.files import printable
    from py_image_dedup.history import print_to_undo, print_undone

    state_directory = load_without_folders(**options).state_directory
    only = [os.path.abspath(path) for path in paths]
    if dry_run:
        if chosen := _to_undo(run, state_directory, only):
            print_to_undo(chosen, actions.chosen(chosen, only), open_console())
            _tell_deleted(actions.deleted(chosen, only))
        return 0
    with journal.acting(state_directory):
        for left in actions.settle(state_directory):
            click.echo(f"Note: {printable(left.act.path)}: {printable(left.detail)}", err=True)
        if (chosen := _to_undo(run, state_directory, only)) is None:
            return 0
        deleted = actions.deleted(chosen, only)
        _tell_deleted(deleted)
        if not actions.chosen(chosen, only):
            return EXIT_REFUSED
        if deleted and not yes:
            _confirm_rest(len(deleted))
        undone = actions.undo_whole(chosen, state_directory, only=only)
    print_undone(undone, open_console())
    return EXIT_REFUSED if deleted or any(one.result is not actions.Result.DONE for one in undone) else 0


def _to_undo(name: str | None, state_directory: str, only: Sequence[str]) -> Run | None:
    """Return the run that is named, or the last that can be taken back; says so where there is nothing to take back."""
    from py_image_dedup import actions, journal

    known = journal.runs(state_directory)
    if name is None:
        run = next((run for run in reversed(known) if actions.chosen(run, only)), None)
    else:
        run = _named(name, known)
        if run.kind == journal.UNDO:
            raise UsageError(f"{run.id} took back another run; to act again, run deduplicate again")
    if run is None or not (actions.chosen(run, only) or actions.deleted(run, only)):
        click.echo("There is nothing to take back.")
        return None
    return run


def _tell_deleted(deleted: Sequence[RecordedAct]) -> None:
    from py_image_dedup.files import printable

    for act in deleted:
        click.echo(f"Note: {printable(act.path)} was deleted and can't be brought back.", err=True)


def _confirm_rest(deleted: int) -> None:
    """Ask whether to go on where not all comes back; without a terminal only --yes is an answer."""
    from py_image_dedup.words import counted

    if not sys.stdin.isatty():
        raise UsageError(
            f"{counted(deleted, 'deleted file')} can't be brought back: confirm with --yes to undo the rest"
        )
    click.confirm("Bring back the rest?", abort=True)


def _named(name: str, known: list[Run]) -> Run:
    """Return the run of this name, or of the only name that begins so."""
    name = os.path.basename(name).removesuffix(".jsonl")
    found = [run for run in known if run.id == name] or [run for run in known if run.id.startswith(name)]
    if len(found) != 1:
        problem = "several runs are" if found else "no run is"
        raise UsageError(f'{problem} named "{name}"; "py-image-dedup history" lists them')
    return found[0]
