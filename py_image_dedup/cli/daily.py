"""The daily commands: bring signatures up to date, find duplicates and act, print the settings."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from py_image_dedup.cli.exits import EXIT_REFUSED
from py_image_dedup.cli.wiring import load, open_console, open_pipeline, settings_options
from py_image_dedup.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from py_image_dedup.config import Settings
    from py_image_dedup.pipeline import Pipeline
    from py_image_dedup.plan import Plan


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", type=click.Path())
@settings_options
def analyse(folders: tuple[str, ...], **options: Any) -> None:
    """Bring the signatures up to date (phases 1 to 3)."""
    loaded = load(folders=folders, **options)
    with open_pipeline(loaded) as (pipeline, console):
        from py_image_dedup import report

        pipeline.analyse()
        counts = pipeline.counts
        report.print_skipped(pipeline.skipped, console)
        click.echo(
            f"{counts['files']} files: {counts['analysed']} analysed, {counts['unchanged']} unchanged, "
            f"{counts['skipped']} skipped."
        )


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", type=click.Path())
@click.option("-dr", "--dry-run/--no-dry-run", default=None, help="Only show what would be done (the default).")
@click.option("--skip-analyse-phase", "-sap", is_flag=True, help="Take the signatures as they are stored.")
@click.option(
    "--action",
    type=click.Choice(["move", "trash", "delete", "hardlink", "reflink", "report"]),
    help="What becomes of duplicates. Default: move when there is a target, else report.",
)
@click.option("--target", metavar="DIR", help="Move duplicates below this folder, keeping their paths.")
@click.option("--max-distance", metavar="X", help="How different duplicates may be, 0 to 1 (default 0.25).")
@click.option(
    "--preset",
    type=click.Choice(["standard", "exact", "careful", "fast", "thorough"]),
    help="What counts as a duplicate, and what is only shown (default standard).",
)
@click.option(
    "--orientations",
    type=click.Choice(["off", "rotations", "all"]),
    help="Also find turned copies, or all: mirrored ones too (default off).",
)
@click.option("--json", "json_file", metavar="FILE", help="Also write the plan and counts to this file.")
@click.option("--all", "everything", is_flag=True, help="Print all groups and skipped files, however many.")
@click.option("--yes", is_flag=True, help="Delete without asking.")
@settings_options
def deduplicate(
    folders: tuple[str, ...],
    *,
    skip_analyse_phase: bool,
    json_file: str | None,
    everything: bool,
    **options: Any,
) -> int:
    """Find duplicates, move or delete all but the best."""
    loaded = load(folders=folders, **options)
    settings = loaded.settings
    _check_writable(json_file)
    with open_pipeline(loaded) as (pipeline, console):
        from py_image_dedup import report

        _note_missing_target(settings)
        if not settings.dry_run:
            pipeline.settle()
        plan = pipeline.make_plan(analyse=not skip_analyse_phase)
        report.print_plan(plan, console, everything=everything)
        report.print_skipped(plan.skipped, console, everything=everything)
        report.print_summary(plan, pipeline.counts, console, dry_run=settings.dry_run)
        if settings.dry_run:
            _write_json(json_file, plan, pipeline, ())
            return 0
        _confirm_deletion(plan, settings)
        done = pipeline.execute(plan)
        report.print_outcomes(done.outcomes, console)
        if done.removed_folders:
            console.print(f"Removed {len(done.removed_folders)} empty folders.")
        if done.journal:
            console.print(f"Journal: {done.journal}", soft_wrap=True)
        if done.undoable:
            console.print(f"To take it back: py-image-dedup undo {done.run}", soft_wrap=True)
        _write_json(json_file, plan, pipeline, done.outcomes)
        return 0 if done.complete else EXIT_REFUSED


@click.command()
@settings_options
def config(**options: Any) -> None:
    """Print the settings and where each comes from."""
    from py_image_dedup import report
    from py_image_dedup.config import describe

    loaded = load(folders=(), **options)
    report.print_settings(describe(loaded), open_console())


def _note_missing_target(settings: Settings) -> None:
    if not settings.dry_run and settings.deduplication.action == "report":
        click.echo(
            "Note: no target folder is set, so duplicates are only reported; use --target DIR to move them, or "
            "--action delete.",
            err=True,
        )


def _confirm_deletion(plan: Plan, settings: Settings) -> None:
    """Ask before deleting; without a terminal only --yes or its key is an answer."""
    number = sum(1 for _, act in plan.acts() if act.action == "delete")
    if not number or settings.deduplication.delete_without_asking:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            f"{number} files would be deleted, which can't be undone: confirm with --yes or "
            "deduplication.delete_without_asking"
        )
    click.confirm(f"Delete {number} files? This can't be undone.", abort=True)


def _check_writable(path: str | None) -> None:
    """Refuse a result file that can't be written before hours are spent on the result."""
    if path is None:
        return
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path) or not os.access(folder, os.W_OK):
        raise ConfigError(f"--json {path} can't be written: {folder} is no folder that can be written to")


def _write_json(path: str | None, plan: Plan, pipeline: Pipeline, outcomes: tuple[Any, ...]) -> None:
    from py_image_dedup.report import write_json

    if path is not None:
        try:
            write_json(path, plan, pipeline.counts, outcomes=outcomes)
        except OSError as error:
            raise ConfigError(f"--json {path} can't be written: {error.strerror}") from None
