"""The life of a saved plan: look at it, carry it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from py_image_dedup.cli.acting import act, exit_code
from py_image_dedup.cli.wiring import all_option, load, open_console, open_run, settings_options
from py_image_dedup.errors import EXIT_REFUSED, RootError

if TYPE_CHECKING:
    from py_image_dedup.config import Loaded
    from py_image_dedup.plan import Plan


@click.command()
@click.argument("plan_file", metavar="FILE", type=click.Path())
@all_option
def show(plan_file: str, *, everything: bool) -> None:
    """Print a saved plan as the dry run does."""
    from py_image_dedup import planfile, report

    plan = planfile.read(plan_file)
    console = open_console()
    report.print_plan(plan, console, everything=everything)
    report.print_skipped(plan.skipped, console, everything=everything)
    report.print_totals(plan, console)
    report.print_apply(plan, plan_file, console)


def load_for(plan: Plan, **options: Any) -> Loaded:
    """Read the settings, with folders and action as a plan has them; :class:`RootError` if these are not here."""
    try:
        return load(folders=plan.roots, action=str(plan.action), target=plan.target, **options)
    except RootError as error:
        raise RootError(f'the plan is of origin "{plan.origin}", and not all its folders are here: {error}') from None


@click.command()
@click.argument("plan_file", metavar="FILE", type=click.Path())
@click.option("-dr", "--dry-run", is_flag=True, help="Only tell what would be done and what would be refused.")
@click.option("--yes", is_flag=True, help="Act without asking.")
@settings_options
def apply(plan_file: str, *, dry_run: bool, yes: bool, **options: Any) -> int:
    """Carry out a saved plan, as far as the disk still agrees with it."""
    from py_image_dedup import planfile, report

    plan = planfile.read(plan_file)
    loaded = load_for(plan, yes=yes, **options)
    with open_run(loaded, analyses=False) as run:
        plan = run.execution.adopt(plan)
        if not dry_run:
            return exit_code(act(plan, run, settings=loaded.settings, yes=yes, kind="apply"))
        refused = tuple(run.execution.objections(plan))
        report.print_rehearsal(plan, refused, run.console)
        return EXIT_REFUSED if refused else 0
