"""The commands that care for the store as a whole: what it holds, newer layouts, and dropping what is unused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from py_image_dedup.cli.wiring import load_without_folders, open_care, settings_options

if TYPE_CHECKING:
    from py_image_dedup.stores.care import Care, Inventory


@click.group()
def index() -> None:
    """Care for the database or the indices: status, migrate, rebuild, compact."""


@index.command()
@settings_options
def status(**options: Any) -> None:
    """Tell what is stored, where, and of which machines."""
    with _care(options) as care:
        for line in _lines(care.inventory()):
            click.echo(line)


@index.command()
@settings_options
def migrate(**options: Any) -> None:
    """Bring indices of an older version to the present one; everything in them is kept."""
    with _care(options) as care:
        _tell(care.migrate(_note), "brought to the present version", "Everything is of the present version.")


@index.command()
@settings_options
def rebuild(**options: Any) -> None:
    """Write the indices anew from what is recorded; no picture is read."""
    with _care(options) as care:
        _tell(care.rebuild(_note), "written anew", "")


@index.command()
@settings_options
def compact(**options: Any) -> None:
    """Drop what no file of any machine refers to, and signatures of old versions."""
    from py_image_dedup.words import counted

    with _care(options) as care:
        dropped = care.compact(_note)
        click.echo(
            f"Dropped {counted(dropped.contents, 'content')} that no file has, "
            f"{counted(dropped.signatures, 'signature')} of old versions "
            f"and {counted(dropped.looks, 'look')} at contents that are gone."
        )


@contextmanager
def _care(options: dict[str, Any]) -> Iterator[Care]:
    care = open_care(load_without_folders(**options))
    try:
        yield care
    finally:
        care.close()


def _note(text: str) -> None:
    click.echo(text, err=True)


def _tell(done: Sequence[str], what: str, nothing: str) -> None:
    for name in done:
        click.echo(f"{name}: {what}.")
    if not done:
        click.echo(nothing)


def _lines(inventory: Inventory) -> Iterator[str]:
    from py_image_dedup.files import printable
    from py_image_dedup.words import counted, megabytes

    yield f"{inventory.location}: {inventory.software}, health: {inventory.health}"
    for part in inventory.parts:
        size = "" if part.size < 0 else f", {megabytes(part.size)}"
        yield f"{part.name}: version {part.version}, {counted(part.documents, 'entry', 'entries')}{size}"
    for origin, files in inventory.origins:
        yield f'origin "{printable(origin)}": {counted(files, "file")}'
    if inventory.outdated:
        yield f"{counted(inventory.outdated, 'content')} without a signature of this version: analyse makes it anew"
