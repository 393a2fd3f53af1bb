"""Which files have come to rest: pure, with the clock, and the eyes to look with, handed in."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

Facts = object
"""What a file is at a moment; it is the same file, unchanged, if the facts are equal."""


class _Waiting(NamedTuple):
    since: float
    facts: Facts


class Settling:
    """Paths are heard of, rest for a while, and are ready until they are done, or heard of again."""

    def __init__(
        self, still_for: float, *, look: Callable[[str], Facts], in_use: Callable[[str], bool] = lambda _: False
    ) -> None:
        """`look` tells what is at a path; `in_use` whether somebody still writes there."""
        self._still_for = still_for
        self._look = look
        self._in_use = in_use
        self._waiting: dict[str, _Waiting] = {}  # in order of time: who is heard of again goes to the end
        self._ready: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._ready)

    def heard(self, path: str, now: float) -> None:
        """Let the time of a path begin anew."""
        self._ready.pop(path, None)
        self._waiting.pop(path, None)
        self._waiting[path] = _Waiting(now, self._look(path))

    def ready(self, now: float, most: int) -> list[str]:
        """Return what was still for long enough, `most` paths at once; they are told again until they are done."""
        while self._waiting and len(self._ready) < most:
            path, waiting = next(iter(self._waiting.items()))
            if now - waiting.since < self._still_for:
                break
            del self._waiting[path]
            if (facts := self._look(path)) == waiting.facts and not self._in_use(path):
                self._ready[path] = None
            else:
                self._waiting[path] = _Waiting(now, facts)
        return list(self._ready)

    def done(self, paths: Collection[str]) -> None:
        """Forget what was ready."""
        for path in paths:
            self._ready.pop(path, None)

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self._ready.clear()

    def next_at(self) -> float:
        """Return when the next path may be ready; long ago if one is."""
        if self._ready:
            return 0.0
        first = next(iter(self._waiting.values()), None)
        return float("inf") if first is None else first.since + self._still_for
