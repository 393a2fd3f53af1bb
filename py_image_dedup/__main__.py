"""Starts the program: ``py-image-dedup`` and ``python -m py_image_dedup``."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from py_image_dedup.errors import EXIT_INTERRUPTED


def main() -> NoReturn:
    """Load the commands and run them; what interrupts the loading ends the process at once.

    Nothing has begun by then, and an exception in the middle of an import would be a traceback, or swallowed by whoever
    imports.
    """
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:  # it is ignored by what a shell starts in the background
        signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGTERM, _leave)
    from py_image_dedup.cli import main as run

    signal.signal(signal.SIGINT, on_interrupt)
    run()


def _leave(*_: object) -> NoReturn:
    os.write(2, b"Interrupted.\n")
    os._exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
