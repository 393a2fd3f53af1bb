"""What signals ask for: to leave, or to read the configuration again."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Final, NoReturn

from py_image_dedup.events import Observer

_PATIENCE_S: Final = 8.0
"""What is under way may take so long; then it is cut off, which the journal is made for."""
_LAST_S: Final = 1.5


class Leave(KeyboardInterrupt):
    """The work ends here, between two files."""


class Asked(Observer):
    """Hears signals, and ends the work between two steps of it once it was asked to leave."""

    def __init__(self) -> None:
        self.to_leave = False
        self.to_reload = False

    def listen(self) -> None:
        """Take over the signals of this process; call it in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._leave)
        signal.signal(signal.SIGHUP, self._reload)
        signal.signal(signal.SIGALRM, self._cut_off)
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # sent to who looks whether a file is open at the wrong moment

    def leave_in_peace(self) -> None:
        """Take the patience back: all is done."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def progress(self, done: int, total: int) -> None:  # noqa: ARG002 - a listener's signature
        """Leave here if that is asked."""
        if self.to_leave:
            raise Leave

    def _leave(self, *_: object) -> None:
        if not self.to_leave:
            self.to_leave = True
            signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S, _LAST_S)

    def _reload(self, *_: object) -> None:
        self.to_reload = True

    def _cut_off(self, _: int, __: FrameType | None) -> None:
        """Cut off what takes too long; the second time without waiting for anything."""
        signal.signal(signal.SIGALRM, _end)
        raise Leave


def _end(*_: object) -> NoReturn:
    os._exit(0)
