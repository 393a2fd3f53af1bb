"""Where watchers leave what they noticed, whatever the daemon is busy with."""

from __future__ import annotations

import threading
import time
from typing import Final, NamedTuple

MOST: Final = 100_000
"""Paths that are held; of more it is only known that everything has to be gone through."""

_GATHERING_S: Final = 0.1  # what comes in this time after the first is taken with it


class Heard(NamedTuple):
    """Paths where something may have changed; `everything`: some were missed, so all folders have to be walked."""

    paths: set[str]
    everything: bool


class Inbox:
    """Holds each path once, in bounded memory; may be filled from any thread."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._paths: set[str] = set()
        self._everything = False
        self._filled = threading.Condition()

    def put(self, path: str) -> None:
        """Tell that a file or folder may have come, changed or gone."""
        with self._filled:
            self._paths.add(path)
            if len(self._paths) > self._most:
                self._paths.clear()
                self._everything = True
            self._filled.notify()

    def put_everything(self) -> None:
        """Tell that changes were missed."""
        with self._filled:
            self._everything = True
            self._filled.notify()

    def take(self, wait_s: float) -> Heard:
        """Wait for something, for so long at most, and empty the inbox."""
        with self._filled:
            came = self._filled.wait_for(lambda: self._paths or self._everything, max(wait_s, 0))
        if came:
            time.sleep(min(_GATHERING_S, max(wait_s, 0)))
        with self._filled:
            heard = Heard(self._paths, self._everything)
            self._paths, self._everything = set(), False
        return heard
