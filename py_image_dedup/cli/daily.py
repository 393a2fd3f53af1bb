"""The daily commands: bring signatures up to date, find duplicates and act, print the settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from py_image_dedup.cli.acting import act, exit_code
from py_image_dedup.cli.wiring import all_option, load, open_console, open_run, settings_options
from py_image_dedup.errors import ConfigError

if TYPE_CHECKING:
    from py_image_dedup.config import Settings
    from py_image_dedup.plan import Plan


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", type=click.Path())
@settings_options
def analyse(folders: tuple[str, ...], **options: Any) -> None:
    """Bring the signatures up to date (phases 1 to 3)."""
    loaded = load(folders=folders, **options)
    with open_run(loaded) as run:
        from py_image_dedup import report

        run.pipeline.analyse()
        report.print_skipped(run.tally.skipped, run.console)
        click.echo(f"{report.seen(run.tally.counts)}.")


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
@click.option("--plan", "plan_file", metavar="FILE", help="Save the plan, to be edited and applied later.")
@click.option(
    "--risk-different-pictures", is_flag=True, help="Let files go too that are only similar to the better one."
)
@all_option
@click.option("--quiet", "-q", is_flag=True, help="Print no groups, only what was done and one line of summary.")
@click.option("--yes", is_flag=True, help="Act without asking.")
@settings_options
def deduplicate(
    folders: tuple[str, ...],
    *,
    skip_analyse_phase: bool,
    json_file: str | None,
    plan_file: str | None,
    risk_different_pictures: bool,
    everything: bool,
    quiet: bool,
    yes: bool,
    **options: Any,
) -> int:
    """Find duplicates, move or delete all but the best."""
    loaded = load(folders=folders, yes=yes, **options)
    settings = loaded.settings
    results = _ResultFile("--json", json_file), _ResultFile("--plan", plan_file)
    for result in results:
        result.check()
    json_result, plan_result = results
    with open_run(loaded, analyses=not skip_analyse_phase) as run:
        from py_image_dedup import report

        _note_missing_target(settings)
        if not settings.dry_run:
            run.execution.settle()
        plan = run.pipeline.make_plan(analyse=not skip_analyse_phase, different_pictures=risk_different_pictures)
        plan_result.write(plan, run.tally.counts)
        if not quiet:
            report.print_plan(plan, run.console, everything=everything)
            report.print_skipped(plan.skipped, run.console, everything=everything)
            report.print_summary(plan, run.tally.counts, run.console, dry_run=settings.dry_run)
        done = None
        if not settings.dry_run:
            done = act(plan, run, settings=settings, yes=yes)
        elif plan_file:
            report.print_apply(plan, plan_file, run.console)
        if quiet:
            report.print_line(plan, run.tally.counts, run.console)
        json_result.write(plan, run.tally.counts, done.outcomes if done else ())
        return exit_code(done) if done else 0


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


class _ResultFile(NamedTuple):
    """A file that an option names, if it is given."""

    option: str
    path: str | None

    def check(self) -> None:
        """Refuse a file that can't be written before hours are spent on the result."""
        if self.path is None:
            return
        is_pipe = os.path.exists(self.path) and not os.path.isfile(self.path)  # or a terminal: written to as it is
        folder = self.path if is_pipe else os.path.dirname(os.path.abspath(self.path))
        if os.path.isdir(self.path) or not os.access(folder, os.W_OK):
            raise ConfigError(
                f"{self.option} {self.path} can't be written: {folder} is no folder that can be written to"
            )

    def write(self, plan: Plan, counts: Mapping[str, int], outcomes: tuple[Any, ...] = ()) -> None:
        """Write the plan and what came of it, whole or not at all."""
        from py_image_dedup.report import write_json

        if self.path is not None:
            try:
                write_json(self.path, plan, counts, outcomes=outcomes)
            except OSError as error:
                raise ConfigError(f"{self.option} {self.path} can't be written: {error.strerror}") from None
