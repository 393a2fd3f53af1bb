"""What every command needs: options into settings, and the parts put together from these."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, TypeVar

import click

from py_image_dedup.cli.elsewhere import elsewhere_too
from py_image_dedup.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from py_image_dedup.analysis import Analyser
    from py_image_dedup.config import ElasticsearchSettings, Loaded, Settings
    from py_image_dedup.events import Observer, Tally
    from py_image_dedup.execution import Execution
    from py_image_dedup.looks import LastLook
    from py_image_dedup.model import Decisions
    from py_image_dedup.pipeline import Pipeline
    from py_image_dedup.remote.here_or_there import HereOrThere as Elsewhere
    from py_image_dedup.stores.care import Care
    from py_image_dedup.stores.elastic import Login
    from py_image_dedup.stores.holder import Holder
    from py_image_dedup.stores.interface import Store

P = ParamSpec("P")
R = TypeVar("R")


def settings_options(command: Callable[P, R]) -> Callable[P, R]:
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
            click.option("--threads", "-t", type=int, help="How many threads analyse and compare."),
        )
    ):
        command = option(command)
    return command


all_option = click.option(
    "--all", "everything", is_flag=True, help="Print all groups, their files, and skipped ones, however many."
)

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
    "review_port": ("review.port", "--port"),
}
"""Options of the command line that stand for a setting."""


def load(*, folders: tuple[str, ...], config_file: str | None, **options: Any) -> Loaded:
    """Read the settings, with the options of the command line above all else; notes go to stderr."""
    loaded = load_silently(folders=folders, config_file=config_file, **options)
    for warning in loaded.warnings:
        note(warning)
    return loaded


def load_without_folders(**options: Any) -> Settings:
    """Read the settings for a command that looks into no folder of pictures: one that is gone is no obstacle."""
    from py_image_dedup.config import FOLDERS

    return load(folders=(), leave_out=FOLDERS, **options).settings


def load_silently(
    *,
    folders: tuple[str, ...],
    config_file: str | None,
    defaults: Mapping[str, str] | None = None,
    leave_out: Collection[str] = (),
    **options: Any,
) -> Loaded:
    """Read the settings, with the options of the command line above all else."""
    from py_image_dedup.config import Override, load_settings

    overrides = {
        key: Override(option, value)
        for name, (key, option) in _KEYS.items()
        if (value := options.get(name)) is not None and (value is not False or name == "dry_run")  # 0 is a number
    }
    if folders:
        overrides["analysis.source_directories"] = Override("FOLDER", list(folders))
        overrides["analysis.across_dirs"] = Override(option="FOLDER", value=True)
    return load_settings(config_file=config_file, overrides=overrides, defaults=defaults or {}, leave_out=leave_out)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the work is done with; made once, handed to whoever needs it."""

    store: Store
    analyser: Analyser
    last_look: LastLook
    decisions: Decisions
    console: Console
    observer: Observer


@contextmanager
def open_parts(settings: Settings, *, remotely: bool = False) -> Iterator[Parts]:
    """Open the store and put together what works on it, for a person who watches.

    `remotely`: pictures may be described by workers, if the settings say so.
    """
    from py_image_dedup.progress import ProgressBar

    def away(where: str, why: str) -> None:
        if where == "here":
            bar.note(f"Pictures are described on this machine: {why}")

    store = open_store(settings)
    try:
        workers = elsewhere_too(settings, away) if remotely else nullcontext()
        with ProgressBar(open_console(stderr=True)) as bar, workers as elsewhere:
            yield put_together(settings, store, bar, elsewhere)
    finally:
        store.close()


def put_together(settings: Settings, store: Store, observer: Observer, elsewhere: Elsewhere | None = None) -> Parts:
    """Put together what works on a store."""
    from py_image_dedup import decisions
    from py_image_dedup.analysis import Decoder, Limits, LocalAnalyser, MemoryBudget
    from py_image_dedup.helpers import Helpers
    from py_image_dedup.looks import LastLook

    limits = Limits(
        max_file_size=settings.analysis.max_file_size, max_pixels=settings.analysis.max_megapixels * 1_000_000
    )
    budget = MemoryBudget()
    decoder = partial(Decoder, max_pixels=limits.max_pixels)
    analyser = LocalAnalyser(
        origin=settings.origin,
        threads=settings.analysis.threads + (elsewhere.under_way if elsewhere else 0),
        limits=limits,
        describer=elsewhere or decoder(budget=budget),
        known=store.has_content,
        helpers=None if elsewhere else partial(Helpers, decoder),
    )
    last_look = LastLook(store, max_pixels=limits.max_pixels, reserve=budget.reserve)
    said = decisions.read(settings.state_directory)
    return Parts(store, analyser, last_look, said, open_console(), observer)


class Run(NamedTuple):
    """What a run is made of: find out what to do, do it, tell of it."""

    pipeline: Pipeline
    execution: Execution
    tally: Tally
    console: Console


@contextmanager
def open_run(loaded: Loaded, *, analyses: bool = True) -> Iterator[Run]:
    """Open the store and wire the parts; workers are needed only by what `analyses`."""
    check_folders(loaded.settings)
    with open_parts(loaded.settings, remotely=analyses) as parts:
        yield run_of(loaded.settings, parts)


def check_folders(settings: Settings) -> None:
    """Refuse to run over nothing."""
    if not settings.analysis.source_directories:
        raise UsageError("no folder to work on: name one on the command line, or set analysis.source_directories")


def run_of(settings: Settings, parts: Parts) -> Run:
    """Wire the parts."""
    from py_image_dedup.actions import Trash
    from py_image_dedup.events import Tally
    from py_image_dedup.execution import Execution
    from py_image_dedup.pipeline import Pipeline

    tally = Tally(parts.observer)
    pipeline = Pipeline(
        settings, parts.store, parts.analyser, parts.last_look, parts.observer, tally=tally, decisions=parts.decisions
    )
    execution = Execution(
        settings,
        parts.store,
        parts.last_look,
        parts.observer,
        tally=tally,
        trash=Trash.of(os.environ),
        decisions=parts.decisions,
    )
    return Run(pipeline, execution, tally, parts.console)


def note(text: str) -> None:
    """Tell a person something beside the result."""
    click.echo(f"Note: {text}", err=True)


def open_store(settings: Settings, note: Callable[[str], None] = note, me: Holder | None = None) -> Store:
    """Open the store that the settings name; the caller closes it.  `me`: who takes its leases, one after the other."""
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
        me=me,
        memory=_memory(settings),
        **_login(elastic),
    )
    if store.legacy_index:
        note(f'the index "{store.legacy_index}" of py-image-dedup 2 is left alone; pictures are analysed anew.')
    return store


def _memory(settings: Settings) -> str:
    """Return the file that remembers searches of these pictures on that server, beside the database."""
    import hashlib

    elastic = settings.elasticsearch
    what = "\0".join([*elastic.urls, elastic.index, settings.origin])
    name = hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return os.path.join(os.path.dirname(settings.database), f"searches-{name}.sqlite")


def open_care(settings: Settings) -> Care:
    """Open the store that the settings name as a whole; the caller closes it."""
    if settings.store == "sqlite":
        from py_image_dedup.stores.sqlite_care import SqliteCare

        return SqliteCare.open(settings.database)
    from py_image_dedup.stores.elastic import ElasticCare

    elastic = settings.elasticsearch
    return ElasticCare.open(urls=elastic.urls, index=elastic.index, **_login(elastic))


def _login(elastic: ElasticsearchSettings) -> Login:
    return {
        "user": elastic.user,
        "password": elastic.password,
        "api_key": elastic.api_key,
        "ca_file": elastic.ca_file,
        "ca_fingerprint": elastic.ca_fingerprint,
        "timeout_s": elastic.timeout.total_seconds(),
    }


def open_console(*, stderr: bool = False) -> Console:
    """Return the terminal, or 80 columns of plain text where there is none."""
    from rich import console

    class Console(console.Console):
        """Rich ends the process itself when the reader is gone; here main() does."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 80
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)
