"""The command: options in, parts wired, errors out as exit codes.  Decides nothing.

Heavy modules are imported by the commands that need them, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec, TypeVar

import click

from py_image_dedup.errors import ConfigError, DedupError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from py_image_dedup.config import Loaded, Settings
    from py_image_dedup.pipeline import Pipeline
    from py_image_dedup.plan import Plan
    from py_image_dedup.stores.interface import Store

P = ParamSpec("P")
R = TypeVar("R")

# The program has threads of its own; those of numpy's matrix products would spin beside them.  Set before numpy loads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

EXIT_REFUSED: Final = 5
EXIT_INTERRUPTED: Final = 130
EXIT_NO_READER: Final = 141


def main() -> NoReturn:
    """Run the command line and end the process with the documented exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except DedupError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
        sys.exit(EXIT_NO_READER)
    sys.exit(code if isinstance(code, int) else 0)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="py-image-dedup")
def cli() -> None:
    """Find pictures that show the same thing, and move or delete the lesser copies.

    Nothing is touched unless --no-dry-run is given. Every setting can also be made in py_image_dedup.yaml and in the
    environment; see "py-image-dedup config".
    """


def _settings_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options that every command takes."""
    for option in reversed(
        (
            click.option("--config", "config_file", metavar="FILE", help="Read this configuration file."),
            click.option(
                "--store",
                type=click.Choice(["auto", "sqlite", "elasticsearch"]),
                help="Where signatures live. auto: Elasticsearch when one is configured, else SQLite.",
            ),
            click.option("--database", metavar="FILE", help="The SQLite file."),
            click.option("--threads", "-t", type=int, help="How many threads analyse."),
        )
    ):
        command = option(command)
    return command


@cli.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", type=click.Path())
@_settings_options
def analyse(folders: tuple[str, ...], **options: Any) -> None:
    """Bring the signatures up to date (phases 1 to 3)."""
    loaded = _load(folders=folders, **options)
    with _pipeline(loaded) as (pipeline, console):
        from py_image_dedup import report

        pipeline.analyse()
        counts = pipeline.counts
        report.print_skipped(pipeline.skipped, console)
        click.echo(
            f"{counts['files']} files: {counts['analysed']} analysed, {counts['unchanged']} unchanged, "
            f"{counts['skipped']} skipped."
        )


@cli.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", type=click.Path())
@click.option("-dr", "--dry-run/--no-dry-run", default=None, help="Only show what would be done (the default).")
@click.option("--skip-analyse-phase", "-sap", is_flag=True, help="Take the signatures as they are stored.")
@click.option(
    "--action",
    type=click.Choice(["move", "delete", "report"]),
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
@_settings_options
def deduplicate(
    folders: tuple[str, ...],
    *,
    skip_analyse_phase: bool,
    json_file: str | None,
    everything: bool,
    **options: Any,
) -> int:
    """Find duplicates, move or delete all but the best."""
    loaded = _load(folders=folders, **options)
    settings = loaded.settings
    _check_writable(json_file)
    with _pipeline(loaded) as (pipeline, console):
        from py_image_dedup import report

        _note_missing_target(settings)
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
        _write_json(json_file, plan, pipeline, done.outcomes)
        return 0 if done.complete else EXIT_REFUSED


@cli.command()
@_settings_options
def config(**options: Any) -> None:
    """Print the settings and where each comes from."""
    from py_image_dedup import report
    from py_image_dedup.config import describe

    loaded = _load(folders=(), **options)
    report.print_settings(describe(loaded), _console())


_KEYS: Final = {
    "store": ("store", "--store"),
    "database": ("database", "--database"),
    "threads": ("analysis.threads", "--threads"),
    "dry_run": ("dry_run", "--dry-run"),
    "action": ("deduplication.action", "--action"),
    "target": ("deduplication.duplicates_target_directory", "--target"),
    "max_distance": ("elasticsearch.max_distance", "--max-distance"),
    "preset": ("deduplication.preset", "--preset"),
    "orientations": ("analysis.orientations", "--orientations"),
    "yes": ("deduplication.delete_without_asking", "--yes"),
}
"""Options of the command line that stand for a setting."""


def _load(*, folders: tuple[str, ...], config_file: str | None, **options: Any) -> Loaded:
    from py_image_dedup.config import Override, load_settings

    overrides = {
        key: Override(option, options[name])
        for name, (key, option) in _KEYS.items()
        if options.get(name) not in (None, False) or (name == "dry_run" and options.get(name) is False)
    }
    if folders:
        overrides["analysis.source_directories"] = Override("FOLDER", list(folders))
        overrides["analysis.across_dirs"] = Override(option="FOLDER", value=True)
    loaded = load_settings(config_file=config_file, overrides=overrides)
    for warning in loaded.warnings:
        click.echo(f"Note: {warning}", err=True)
    return loaded


@contextmanager
def _pipeline(loaded: Loaded) -> Iterator[tuple[Pipeline, Console]]:
    """Open the store and wire the parts."""
    from py_image_dedup.analysis import Limits, LocalAnalyser, MemoryBudget
    from py_image_dedup.looks import LastLook
    from py_image_dedup.pipeline import Pipeline
    from py_image_dedup.progress import ProgressBar

    settings = loaded.settings
    if not settings.analysis.source_directories:
        raise UsageError("no folder to work on: name one on the command line, or set analysis.source_directories")
    store = _open_store(settings)
    try:
        limits = Limits(
            max_file_size=settings.analysis.max_file_size, max_pixels=settings.analysis.max_megapixels * 1_000_000
        )
        budget = MemoryBudget()
        analyser = LocalAnalyser(
            origin=settings.origin,
            threads=settings.analysis.threads,
            limits=limits,
            budget=budget,
            known=store.has_content,
        )
        last_look = LastLook(store, max_pixels=limits.max_pixels, reserve=budget.reserve)
        with ProgressBar(_console(stderr=True)) as bar:
            yield Pipeline(settings, store, analyser, last_look, bar), _console()
    finally:
        store.close()


def _open_store(settings: Settings) -> Store:
    if settings.store == "sqlite":
        from py_image_dedup.stores.sqlite import SqliteStore

        return SqliteStore.open(settings.database, origin=settings.origin)
    from py_image_dedup.stores.elastic import ElasticStore

    elastic = settings.elasticsearch
    store = ElasticStore.open(
        urls=elastic.urls,
        index=elastic.index,
        origin=settings.origin,
        auto_create_index=elastic.auto_create_index,
        user=elastic.user,
        password=elastic.password,
        api_key=elastic.api_key,
        ca_file=elastic.ca_file,
        timeout_s=elastic.timeout.total_seconds(),
    )
    if store.legacy_index:
        click.echo(
            f'Note: the index "{store.legacy_index}" of py-image-dedup 2 is left alone; pictures are analysed anew.',
            err=True,
        )
    return store


def _console(*, stderr: bool = False) -> Console:
    from rich import console

    class Console(console.Console):
        """Rich ends the process itself when the reader is gone; here main() does."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 80
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


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
