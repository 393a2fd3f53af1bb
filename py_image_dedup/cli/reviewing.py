"""The command ``review``."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from py_image_dedup.cli.plans import load_for
from py_image_dedup.cli.wiring import load, open_run, open_store, put_together, run_of, settings_options
from py_image_dedup.errors import ConfigError, to_install

if TYPE_CHECKING:
    from py_image_dedup.config import Loaded, Settings
    from py_image_dedup.events import Observer
    from py_image_dedup.plan import Plan
    from py_image_dedup.review.guard import Guard
    from py_image_dedup.review.hands import Tools
    from py_image_dedup.review.jobs import Jobs
    from py_image_dedup.review.pages import Pages

_NAME = "review.json"


@click.command()
@click.argument("plan_file", metavar="[PLAN]", required=False, type=click.Path())
@click.option("--renew", is_flag=True, help="Search the configured folders anew, and forget the choices made so far.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port of the page, 0 for any (default 8090).")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@settings_options
def review(plan_file: str | None, *, renew: bool, port: int | None, no_browser: bool, **options: Any) -> None:
    """Look at a plan in the browser, change it, apply it, take it back; until Ctrl-C.

    Without PLAN, the configured folders are searched as by "deduplicate --dry-run", and the plan is kept in the state
    directory, where it is found the next time.
    """
    _check_extra()
    from py_image_dedup import planfile

    if plan_file is None:
        plan_file = _own_plan(load(folders=(), **options), renew=renew)
    elif renew:
        raise click.UsageError("--renew is for the review of the configured folders, without PLAN")
    plan = planfile.read(plan_file)
    loaded = load_for(plan, review_port=port, **options)
    _serve(plan, plan_file, loaded.settings, browser=not no_browser)


def _check_extra() -> None:
    if not (find_spec("flask") and find_spec("waitress")):
        raise ConfigError(f'the page needs the extra "review": {to_install("review")}')


def _own_plan(loaded: Loaded, *, renew: bool) -> str:
    """Return the file of the plan of the configured folders, which is made if need be."""
    state = loaded.settings.state_directory
    path = os.path.join(state, _NAME)
    if renew or not os.path.exists(path):
        from py_image_dedup.report import write_json

        with open_run(loaded) as run:
            plan = run.pipeline.make_plan(analyse=True, different_pictures=False)
            try:
                os.makedirs(state, mode=0o700, exist_ok=True)
                write_json(path, plan, run.tally.counts)
            except OSError as error:
                raise ConfigError(f"{path} can't be written: {error.strerror}; see state_directory") from None
    return path


def _serve(plan: Plan, plan_file: str, settings: Settings, *, browser: bool) -> None:
    from py_image_dedup.review.jobs import Jobs
    from py_image_dedup.review.web import Server, make_app

    guard, jobs = _guard(settings), Jobs()
    server = Server(
        make_app(_pages(plan, plan_file, settings, guard, jobs)), settings.review.host, settings.review.port
    )
    url = _address(settings.review.host, server.port) + (f"?token={guard.token}" if guard.token else "")
    try:
        click.echo(f"The page is at {url}")
        if guard.token:
            click.echo("Whoever has this address may change and apply the plan.")
        if browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(url)
        server.run()
    except KeyboardInterrupt:
        pass  # that is how it ends
    finally:
        jobs.finish()
        server.close()


def _pages(plan: Plan, plan_file: str, settings: Settings, guard: Guard, jobs: Jobs) -> Pages:
    """Put together what the page shows and does."""
    from py_image_dedup.analysis import MemoryBudget
    from py_image_dedup.files import FolderSet
    from py_image_dedup.review.choices import Fate
    from py_image_dedup.review.desk import Desk
    from py_image_dedup.review.hands import Hands
    from py_image_dedup.review.pages import Pages
    from py_image_dedup.review.pictures import Pictures
    from py_image_dedup.review.saving import SavedPlan
    from py_image_dedup.review.sight import Finder

    @contextmanager
    def open_tools(observer: Observer) -> Iterator[Tools]:
        from py_image_dedup.review.hands import Tools

        store = open_store(settings, note=lambda _: None)
        try:
            parts = put_together(settings, store, observer)
            run = run_of(settings, parts)
            yield Tools(run.execution, parts.store, parts.analyser, parts.last_look, parts.decisions)
        finally:
            store.close()

    protected = FolderSet(settings.deduplication.protected_directories)
    return Pages(
        desk=Desk(plan, SavedPlan(plan_file)),
        hands=Hands(settings, open_tools),
        jobs=jobs,
        pictures=Pictures(max_pixels=settings.analysis.max_megapixels * 1_000_000, reserve=MemoryBudget().reserve),
        guard=guard,
        finder=Finder(),
        fate=Fate.by(plan, protected.holds),
    )


def _guard(settings: Settings) -> Guard:
    from py_image_dedup.review.guard import Guard, generate_token, is_loopback

    where = settings.review
    token = where.token or ("" if is_loopback(where.host) else generate_token())
    return Guard(where.host, where.names, token)


def _address(host: str, port: int) -> str:
    """Return what to open on this machine."""
    seen = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what it listens on, seen from here
    return f"http://[{seen}]:{port}/" if ":" in seen else f"http://{seen}:{port}/"
