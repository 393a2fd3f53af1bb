"""The command ``search``, with the options of difPy and its three files."""

from __future__ import annotations

import datetime as dt
import json
import os
from typing import TYPE_CHECKING, Any

import click

from py_image_dedup.cli.acting import ask
from py_image_dedup.cli.wiring import note
from py_image_dedup.errors import EXIT_REFUSED, ConfigError, UsageError

if TYPE_CHECKING:
    from py_image_dedup.library import Search

_YES_NO = "[True|False]"


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", type=click.Path())
@click.option(
    "-D",
    "--directory",
    multiple=True,
    metavar="FOLDER...",
    help="Folders to be searched (default: the working folder).",
)
@click.option("-Z", "--output_directory", metavar="DIR", help="Where the three files go (default: the working folder).")
@click.option("-r", "--recursive", type=bool, default=True, metavar=_YES_NO, help="Search folders below too.")
@click.option("-i", "--in_folder", type=bool, default=False, metavar=_YES_NO, help="Compare no folder with another.")
@click.option(
    "-le",
    "--limit_extensions",
    type=bool,
    default=True,
    metavar=_YES_NO,
    help="Open files only that are named as pictures.",
)
@click.option("-px", "--px_size", type=int, default=50, help="The side of a tensor in pixels.")
@click.option(
    "-s", "--similarity", default="duplicates", metavar="X", help="duplicates, similar, or the largest error (MSE)."
)
@click.option("-ro", "--rotate", type=bool, default=True, metavar=_YES_NO, help="Find rotated copies too.")
@click.option("-dim", "--same_dim", type=bool, default=True, metavar=_YES_NO, help="Compare pictures of one size only.")
@click.option("-la", "--lazy", type=bool, metavar=_YES_NO, help="What difPy called same_dim before 4.2.")
@click.option("-proc", "--processes", type=int, help="How many threads read pictures.")
@click.option("-ch", "--chunksize", type=int, help="Told in the statistics; changes nothing.")
@click.option("-mv", "--move_to", metavar="DIR", help="Move pictures of lower quality into this folder.")
@click.option("-d", "--delete", type=bool, default=False, metavar=_YES_NO, help="Delete pictures of lower quality.")
@click.option("-sd", "--silent_del", type=bool, default=False, metavar=_YES_NO, help="Delete without asking.")
@click.option("-p", "--show_progress", type=bool, default=True, metavar=_YES_NO, help="Show a bar.")
@click.option("--kind", type=click.Choice(["tensor", "goldberg", "mean"]), default="tensor", help="What is compared.")
@click.option("--last-look", is_flag=True, help="Decode both pictures of a pair once more before they match.")
@click.option("--plan", "plan_file", metavar="FILE", help="Save what would be done, to be looked at and applied later.")
def search(
    folders: tuple[str, ...],
    directory: tuple[str, ...],
    *,
    output_directory: str | None,
    move_to: str | None,
    delete: bool,
    silent_del: bool,
    plan_file: str | None,
    **options: Any,
) -> int:
    """Find copies as difPy does, and write its files: results, lower quality and statistics.

    Nothing is touched unless -mv or -d says so; "undo" takes a move back.
    """
    from py_image_dedup.library import build
    from py_image_dedup.library import search as search_in
    from py_image_dedup.words import counted

    if move_to is not None and delete:
        raise UsageError("-mv and -d exclude each other: name one of them")
    of_build = ("recursive", "in_folder", "limit_extensions", "px_size", "kind", "show_progress", "processes")
    of_search = ("similarity", "rotate", "same_dim", "lazy", "last_look", "show_progress", "processes", "chunksize")
    options["last_look"] = options["last_look"] or None
    collection = build(*(directory + folders or (os.curdir,)), **{name: options[name] for name in of_build})
    found = search_in(collection, **{name: options[name] for name in of_search})
    pictures, groups = counted(len(collection), "picture"), counted(len(found), "group")
    click.echo(f"{pictures}: {groups} with {len(found.lower_quality)} of lower quality.")
    _write_files(found, output_directory, roots=collection.roots)
    if plan_file is not None:
        _write_plan(found, plan_file, move_to, delete=delete)
    return _act(found, move_to, delete=delete, silent=silent_del)


def _write_files(found: Search, folder: str | None, *, roots: tuple[str, ...]) -> None:
    """Write the three files of difPy, each whole or not at all; none among the pictures unless that was asked for."""
    from py_image_dedup.files import is_below
    from py_image_dedup.report import write_whole

    here = os.path.realpath(os.curdir)
    if folder is None and is_below(here, roots):
        note("no files are written, since the working folder is being searched; name another one with -Z.")
        return
    now = dt.datetime.now()  # noqa: DTZ005 - local time, as difPy names its files
    begin = os.path.join(folder or here, f"difPy_{now:%Y%m%d%H%M%S}")
    try:
        os.makedirs(folder or here, exist_ok=True)
        for name, text in (
            ("results.json", json.dumps(found.result)),
            ("lower_quality.txt", str(found.lower_quality)),
            ("stats.json", json.dumps(found.stats)),
        ):
            write_whole(f"{begin}_{name}", text)
            click.echo(f"{begin}_{name}")
    except OSError as error:
        raise ConfigError(f"-Z {folder or here}: can't be written to: {error.strerror}") from None


def _write_plan(found: Search, path: str, move_to: str | None, *, delete: bool) -> None:
    from collections import Counter

    from py_image_dedup.report import write_json

    plan = found.plan("delete" if delete else "move" if move_to else "report", move_to)
    try:
        write_json(path, plan, Counter(groups=len(plan.groups), duplicates=plan.duplicates, similar=plan.similar))
    except OSError as error:
        raise ConfigError(f"--plan {path} can't be written: {error.strerror}") from None


def _act(found: Search, move_to: str | None, *, delete: bool, silent: bool) -> int:
    """Move or delete what is of lower quality, and tell what came of it."""
    from py_image_dedup.files import printable
    from py_image_dedup.report import loss
    from py_image_dedup.words import counted

    if not found.lower_quality or not (move_to or delete):
        return 0
    if delete:
        ask(loss(len(found.lower_quality)), "confirm with -sd True", yes=silent)
    done = found.act("delete" if delete else "move", move_to)
    click.echo(f"{'Deleted' if delete else 'Moved'} {counted(len(done.done), 'file')}.")
    for path, reason in done.refused.items():
        click.echo(f"refused: {printable(path)}: {printable(reason)}")
    if done.done and not delete:
        click.echo(f"To take it back: py-image-dedup undo {done.run}")
    return EXIT_REFUSED if done.refused else 0
