"""Measuring between the busy minutes of a shared machine, told from what a fixed loop takes, never from a result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LOUD = 1.15  # times what the loop took at its quickest
_PAUSE = 5.0  # seconds between two looks at the machine
_STEPS = 2_000_000
_LOOKS = 3


def loop() -> float:
    """Return the CPU seconds of a fixed loop, the median of three: what else the hardware does makes it slow."""
    taken = []
    for _ in range(_LOOKS):
        start = time.thread_time()
        for _ in range(_STEPS):
            pass
        taken.append(time.thread_time() - start)
    return sorted(taken)[_LOOKS // 2]


@dataclass(slots=True)
class Quiet:
    """Runs a measurement while the machine is quiet, the same way for every tool.

    `patience`: seconds to wait and to repeat runs in all; 0 takes every run as it comes.  `quickest`: the CPU seconds
    of the loop at its best so far.
    """

    patience: float
    quickest: float = field(default_factory=loop)

    def measure(self, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what `make` returns, with "slowness": the loop before and after it, in times of its quickest."""
        while True:
            before = self._awaited()
            start = time.monotonic()
            result = make()
            result["slowness"] = [before, self._slowness()]
            if result.get("problem") or self.patience <= 0 or max(result["slowness"]) <= LOUD:
                return result
            self.patience -= time.monotonic() - start

    def _awaited(self) -> float:
        """Wait for a quiet moment as long as patience lasts; return the slowness."""
        slowness = self._slowness()
        while slowness > LOUD and self.patience > 0:
            time.sleep(_PAUSE)
            self.patience -= _PAUSE
            slowness = self._slowness()
        return slowness

    def _slowness(self) -> float:
        taken = loop()
        self.quickest = min(self.quickest, taken)
        return taken / self.quickest
