"""The command: options in, parts wired, errors out as exit codes.  Decides nothing.

Heavy modules are imported by the commands that need them, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

import click

from py_image_dedup.cli import (
    daemon,
    daily,
    decisions,
    explaining,
    past,
    plans,
    reporting,
    reviewing,
    searching,
    working,
)
from py_image_dedup.cli import index as care
from py_image_dedup.errors import EXIT_INTERRUPTED, EXIT_NO_READER, DedupError

# The program has threads of its own; those of numpy's matrix products would spin beside them.  Set before numpy loads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


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

    Nothing is touched unless --no-dry-run is given or a saved plan is applied. Every setting can also be made in
    py_image_dedup.yaml and in the environment; see "py-image-dedup config".
    """


for _command in (
    *(daily.analyse, daily.deduplicate, daily.config),
    *(daemon.daemon, daemon.agent),
    *(plans.show, plans.apply, reporting.report),
    searching.search,
    reviewing.review,
    *(past.history, past.undo),
    *(decisions.keep, decisions.different),
    explaining.explain,
    care.index,
    working.worker,
):
    cli.add_command(_command)
