"""What this machine feels: how busy its processors are with other things, how much memory is left, how hot it is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Readings:
    """What was read; None for what this machine does not tell.

    ``load``: share of all cores that other programs took since the last reading, 0..1.  ``memory``: bytes available.
    ``temperature``: of the hottest zone, in degrees Celsius.  ``on_battery``: nothing but a battery feeds it.
    """

    load: float | None = None
    memory: int | None = None
    temperature: float | None = None
    on_battery: bool | None = None


class Senses:
    """Reads ``/proc`` and ``/sys`` below `root`; `own_time` tells the processor seconds of this process."""

    def __init__(self, root: str = "/", *, own_time: Callable[[], float] = time.process_time) -> None:
        self._root = Path(root)
        self._own_time = own_time
        self._before: tuple[float, float, float] | None = None

    def read(self) -> Readings:
        """Read everything now; the first reading knows no load."""
        return Readings(self._load(), self._memory(), self._temperature(), self._on_battery())

    def _load(self) -> float | None:
        words = self._text("proc/stat").partition("\n")[0].split()
        if len(words) < 6:  # cpu user nice system idle iowait ...
            return None
        ticks = [int(word) for word in words[1:9]]  # guest time, after these, is part of user time
        idle, own = ticks[3] + ticks[4], self._own_time() * os.sysconf("SC_CLK_TCK")
        now = float(sum(ticks)), float(sum(ticks) - idle), own
        before, self._before = self._before, now
        if before is None or now[0] <= before[0]:
            return None
        total, busy, mine = (a - b for a, b in zip(now, before, strict=True))
        return min(1.0, max(0.0, (busy - mine) / total))

    def _memory(self) -> int | None:
        for line in self._text("proc/meminfo").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
        return None

    def _temperature(self) -> float | None:
        zones = [_whole(self._read(path)) for path in self._root.glob("sys/class/thermal/thermal_zone*/temp")]
        degrees = [zone / 1000 for zone in zones if zone is not None]
        return max(degrees, default=None)

    def _on_battery(self) -> bool | None:
        kinds: dict[str, list[str]] = {}
        for path in self._root.glob("sys/class/power_supply/*"):
            kind = self._read(path / "type").strip()
            kinds.setdefault(kind, []).append(self._read(path / ("status" if kind == "Battery" else "online")).strip())
        if "Battery" not in kinds:
            return None
        fed = [online for kind, states in kinds.items() if kind != "Battery" for online in states]
        return "1" not in fed and "Discharging" in kinds["Battery"]

    def _text(self, name: str) -> str:
        return self._read(self._root / name)

    def _read(self, path: Path) -> str:
        try:
            return path.read_text(encoding="ascii", errors="replace")
        except OSError:
            return ""


def processor_time() -> float:
    """Return how many seconds the calling thread has run, or waited until a processor was free for it."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as file:
            ran, waited, _ = file.read().split()
    except (OSError, ValueError):
        return time.thread_time()
    return (int(ran) + int(waited)) / 1e9


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
