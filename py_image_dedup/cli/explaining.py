"""Why two files are, or are not, duplicates."""

from __future__ import annotations

import os
from typing import Any

import click

from py_image_dedup.cli.wiring import load, open_parts, settings_options


@click.command()
@click.argument("one", metavar="A", type=click.Path())
@click.argument("other", metavar="B", type=click.Path())
@click.option("--max-distance", metavar="X", help="How different duplicates may be, 0 to 1 (default 0.25).")
@click.option(
    "--orientations",
    type=click.Choice(["off", "rotations", "all"]),
    help="Also compare turned copies, or all: mirrored ones too (default off).",
)
@settings_options
def explain(one: str, other: str, **options: Any) -> None:
    """Tell why two files are, or are not, duplicates; nothing is touched."""
    from py_image_dedup import explanation, report

    settings = load(folders=(), **options).settings
    with open_parts(settings) as parts:
        subjects = [
            explanation.read(
                name, os.path.realpath(path), store=parts.store, analyser=parts.analyser, settings=settings
            )
            for name, path in (("A", one), ("B", other))
        ]
        a, b = subjects
        told = explanation.Explanation(a, b, settings, parts.decisions, parts.last_look)
        report.print_explanation(
            [(subject.name, subject.candidate) for subject in subjects],
            [(row.about, row.words) for row in told.rows()],
            parts.console,
        )
