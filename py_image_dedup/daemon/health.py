"""How the daemon is, for probes."""

from __future__ import annotations

import time
from typing import Final

from py_image_dedup.events import Observer

_SILENCE_S: Final = 600.0
"""Without a sign of life for so long it hangs: one file takes less."""


class Health(Observer):
    """Whether it lives, and what keeps it from its work, in words."""

    def __init__(self) -> None:
        self.obstacle = "the first pass is not done yet"
        self.describing = "Pictures are described on this machine."
        self._heard_at = time.monotonic()

    def alive(self) -> None:
        """Give a sign of life."""
        self._heard_at = time.monotonic()

    def phase(self, title: str, number: int, of: int) -> None:  # noqa: ARG002 - a listener's signature
        """Take it as a sign of life."""
        self.alive()

    def progress(self, done: int, total: int) -> None:  # noqa: ARG002 - a listener's signature
        """Take it as a sign of life."""
        self.alive()

    def words(self) -> str:
        """Tell a person how it is."""
        state = self.hangs or self.obstacle or "All is well."
        return f"{state[:1].upper()}{state[1:]}\n{self.describing}\n"

    @property
    def hangs(self) -> str:
        """Tell for how long nothing was heard, if that is too long; else the empty string."""
        silent = time.monotonic() - self._heard_at
        return f"nothing was heard for {silent:.0f} s" if silent > _SILENCE_S else ""
