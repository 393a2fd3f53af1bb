"""The command ``report``: a plan for a browser, a spreadsheet or another program."""

from __future__ import annotations

import os
import sys
from typing import Final

import click

from py_image_dedup.errors import ConfigError

_FORMATS: Final = ("html", "csv", "json")


@click.command()
@click.argument("plan_file", metavar="FILE", type=click.Path())
@click.option(
    "--format",
    "name",
    type=click.Choice(_FORMATS),
    help="What to write (default: what the name of OUT says, else html).",
)
@click.option("--output", "-o", metavar="OUT", help="The file to write (default: standard output).")
def report(plan_file: str, *, name: str | None, output: str | None) -> None:
    """Write a saved plan as a web page with its pictures, as a table (CSV), or as JSON with totals."""
    from py_image_dedup import gallery, planfile
    from py_image_dedup.report import write_whole

    plan = planfile.read(plan_file)
    extension = os.path.splitext(output or "")[1].removeprefix(".").lower()
    name = name or (extension if extension in _FORMATS else "html")
    pieces = {"html": gallery.page, "csv": gallery.table, "json": gallery.data}[name](plan)
    if output is None:
        for piece in pieces:
            sys.stdout.buffer.write(os.fsencode(piece))
        return
    try:
        write_whole(output, pieces)
    except OSError as error:
        raise ConfigError(f"--output {output} can't be written: {error.strerror}") from None
