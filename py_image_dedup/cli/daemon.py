"""The command that runs by itself."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from py_image_dedup.cli.elsewhere import elsewhere_too
from py_image_dedup.cli.wiring import (
    check_folders,
    load_silently,
    open_store,
    put_together,
    run_of,
    settings_options,
)
from py_image_dedup.errors import ConfigError, DedupError

if TYPE_CHECKING:
    from py_image_dedup.analysis import Analyser
    from py_image_dedup.config import Loaded, Settings
    from py_image_dedup.daemon.asked import Asked
    from py_image_dedup.daemon.service import Told
    from py_image_dedup.log import Log


_dry_run = click.option(
    "-dr", "--dry-run/--no-dry-run", default=None, help="Only tell what would be done (the default)."
)


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", type=click.Path())
@_dry_run
@settings_options
def daemon(folders: tuple[str, ...], **options: Any) -> None:
    """Watch the folders, and find and act on duplicates as files come.

    Runs until SIGTERM; SIGHUP reads the configuration again. What happens is told on stderr.
    """
    _watch(folders, options)


@click.group(invoke_without_command=True)
@_dry_run
@settings_options
@click.pass_context
def agent(context: click.Context, /, **options: Any) -> None:
    """Do what the daemon does, with the help of workers on other machines.

    The folders are those of the configuration. remote.mode is auto here unless it is set.
    """
    if context.invoked_subcommand is None:
        _watch((), options | {"defaults": {"remote.mode": "auto"}})


@agent.command()
@settings_options
def status(**options: Any) -> None:
    """Tell how the running agent or daemon is, and where pictures are described."""
    from py_image_dedup.config import FOLDERS
    from py_image_dedup.daemon.web import ask

    stats = load_silently(folders=(), leave_out=FOLDERS, **options).settings.stats
    click.echo(ask(stats.host, stats.port))


def _watch(folders: tuple[str, ...], options: dict[str, Any]) -> None:
    from py_image_dedup.daemon.asked import Asked
    from py_image_dedup.daemon.health import Health
    from py_image_dedup.daemon.memory import keep_little
    from py_image_dedup.daemon.service import Told
    from py_image_dedup.metrics import Metrics

    keep_little()
    loaded = _load(folders, options)
    asked, metrics = Asked(), Metrics()
    asked.listen()
    while not asked.to_leave:
        told = Told(_log(loaded), metrics, Health())
        renewed: list[Loaded] = []

        def reload(told: Told = told, renewed: list[Loaded] = renewed) -> bool:
            try:
                renewed.append(_load(folders, options))
            except DedupError as error:
                told.log.alert(f"The configuration stays as it was: {error}")
            return bool(renewed)

        _run(loaded.settings, asked, told, reload)
        loaded = renewed[-1] if renewed else loaded
    asked.leave_in_peace()


def _load(folders: tuple[str, ...], options: dict[str, Any]) -> Loaded:
    """Read the settings, and refuse those that need somebody to ask."""
    loaded = load_silently(folders=folders, **options)
    settings = loaded.settings
    check_folders(settings)
    if settings.deduplication.action == "delete" and not settings.deduplication.delete_without_asking:
        raise ConfigError("the daemon can't ask before it deletes: set deduplication.delete_without_asking as well")
    return loaded


_WHERE = {"here": "on this machine", "there": "on workers", "both": "here or on workers"}


def _log(loaded: Loaded) -> Log:
    from py_image_dedup.log import Log, Passing

    log = Log(sys.stderr, as_json=loaded.settings.log.format == "json")
    for warning in loaded.warnings:
        log.alert(warning)
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)  # what it warns of is told by errors of ours
    logging.basicConfig(handlers=[Passing(log)], level=logging.WARNING, force=True)
    return log


def _run(settings: Settings, asked: Asked, told: Told, reload: Callable[[], bool]) -> None:
    """Put the daemon together and let it run."""
    from py_image_dedup.daemon.inbox import Inbox
    from py_image_dedup.daemon.service import Daemon
    from py_image_dedup.daemon.watching import Watching
    from py_image_dedup.daemon.web import serving
    from py_image_dedup.daemon.work import Tools, Work
    from py_image_dedup.events import Several
    from py_image_dedup.pipeline import scope
    from py_image_dedup.stores.holder import Holder
    from py_image_dedup.stores.measured import measured

    log, metrics, health = told
    observer, me = Several(log, metrics, health, asked), Holder.me()

    def described(where: str, why: str) -> None:
        metrics.describes(where)
        health.describing = f"Pictures are described {_WHERE[where]}: {why}."
        log.note(f"Pictures are described {_WHERE[where]}: {why}.")

    stats = settings.stats
    inbox = Inbox()
    watching = Watching(scope(settings), inbox, log, polling=settings.daemon.file_observer == "polling")
    web = serving(stats.host, stats.port, metrics, health) if stats.enabled else nullcontext()
    with web, elsewhere_too(settings, described) as elsewhere:

        @contextmanager
        def tools(wrap: Callable[[Analyser], Analyser]) -> Iterator[Tools]:
            store = measured(lambda: open_store(settings, note=lambda _: None, me=me), metrics.store)
            try:
                parts = put_together(settings, store, observer, elsewhere)
                run = run_of(settings, replace(parts, analyser=wrap(parts.analyser)))
                yield Tools(run.pipeline, run.execution, run.tally)
            finally:
                store.close()

        Daemon(settings.daemon, Work(settings, tools, log), watching, inbox, asked=asked, told=told).run(reload)
