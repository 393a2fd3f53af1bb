"""What commands that act have in common: they ask where that is due, carry the plan out, and tell what came of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from py_image_dedup.errors import EXIT_REFUSED, UsageError

if TYPE_CHECKING:
    from py_image_dedup.cli.wiring import Run
    from py_image_dedup.config import Settings
    from py_image_dedup.execution import Report
    from py_image_dedup.plan import Plan


def act(plan: Plan, run: Run, *, settings: Settings, yes: bool, kind: str = "deduplicate") -> Report:
    """Carry a plan out, after asking where it deletes or where files go that are only similar."""
    from py_image_dedup import report

    _confirm(plan, settings=settings, yes=yes)
    done = run.execution.execute(plan, kind=kind)
    report.print_outcomes(done.outcomes, run.console, removed=done.removed_folders)
    if done.journal:
        run.console.print(f"Journal: {done.journal}", soft_wrap=True)
    if done.undoable:
        run.console.print(f"To take it back: py-image-dedup undo {done.run}", soft_wrap=True)
    return done


def exit_code(done: Report) -> int:
    """Return what the command ends with."""
    return 0 if done.complete else EXIT_REFUSED


def _confirm(plan: Plan, *, settings: Settings, yes: bool) -> None:
    """Ask; without a terminal only --yes, or for deleting its key, is an answer."""
    from py_image_dedup.report import loss, risk

    if plan.risky:
        ask(risk(plan.risky), "confirm with --yes", yes=yes)
    if plan.deleted:
        ask(
            loss(plan.deleted),
            "confirm with --yes or deduplication.delete_without_asking",
            yes=yes or settings.deduplication.delete_without_asking,
        )


def ask(what: str, remedy: str, *, yes: bool) -> None:
    """Ask whether to go on; `yes`: there is an answer already.  Without a terminal it is `remedy` that answers."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{what}: {remedy}")
    click.confirm(f"{what}. Go on?", abort=True)
