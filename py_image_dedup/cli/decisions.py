"""What a person says once and for all: this picture stays, these are different."""

from __future__ import annotations

from typing import Any

import click

from py_image_dedup.cli.wiring import load_without_folders, open_console, settings_options


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path())
@click.option("--forget", is_flag=True, help="Take it back.")
@settings_options
def keep(files: tuple[str, ...], *, forget: bool, **options: Any) -> None:
    """Let these pictures never go, whatever the rules; without FILE: list them."""
    from py_image_dedup import decisions, report

    state = load_without_folders(**options).state_directory
    if not files:
        report.print_kept(decisions.read(state), open_console())
        return
    said = decisions.forget_keep(state, files) if forget else decisions.keep(state, files)
    report.print_named("No longer kept" if forget else "Kept for good", said, open_console())


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path())
@click.option("--forget", is_flag=True, help="Take it back.")
@settings_options
def different(files: tuple[str, ...], *, forget: bool, **options: Any) -> None:
    """Let no two of these pictures match again; without FILE: list such pairs."""
    from py_image_dedup import decisions, report

    state = load_without_folders(**options).state_directory
    if not files:
        report.print_different(decisions.read(state), open_console())
        return
    said = decisions.forget_apart(state, files) if forget else decisions.tell_apart(state, files)
    report.print_named("No longer told apart" if forget else "Different from each other", said, open_console())
