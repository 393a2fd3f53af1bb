"""What the core tells whoever listens: progress bars, logs, metrics.  Silent by default."""

from __future__ import annotations

from collections import Counter
from typing import Final

from py_image_dedup.model import Skipped

PHASES: Final = (
    "Cleaning the database",
    "Counting files",
    "Analysing",
    "Finding duplicates",
    "Moving or deleting duplicates",
    "Removing empty folders",
)


class Observer:
    """Hears of everything a run does; every method does nothing here and may be overridden."""

    def phase(self, title: str, number: int, of: int) -> None:
        """Announce a phase, such as ("Analysing", 3, 6)."""

    def progress(self, done: int, total: int) -> None:
        """Tell how far the current phase is; `total` 0 where it is not known."""

    def note(self, text: str) -> None:
        """Pass on one line that a person should read."""

    def skipped(self, skipped: Skipped) -> None:
        """Tell of a file or folder that could not be used."""

    def counted(self, name: str, by: int = 1) -> None:
        """Tell that something was counted (``decoded``, ``moved``, ...)."""

    def acted(self, path: str, *, action: str, result: str, detail: str) -> None:
        """Tell that an act (``move``, ...) on a file came to an end: ``done``, ``refused`` or ``failed``, and why."""


class Several(Observer):
    """Passes everything on to several listeners, in order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def phase(self, title: str, number: int, of: int) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.phase(title, number, of)

    def progress(self, done: int, total: int) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.progress(done, total)

    def note(self, text: str) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.note(text)

    def skipped(self, skipped: Skipped) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.skipped(skipped)

    def counted(self, name: str, by: int = 1) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.counted(name, by)

    def acted(self, path: str, *, action: str, result: str, detail: str) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.acted(path, action=action, result=result, detail=detail)


class Tally:
    """Counts what a run sees and does, and tells its observer."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._skipped: dict[str, Skipped] = {}
        self.counts: Counter[str] = Counter()

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files and folders that could not be used, in order of path."""
        return tuple(self._skipped[path] for path in sorted(self._skipped))

    def phase(self, number: int) -> None:
        """Begin a phase."""
        self._observer.phase(PHASES[number - 1], number, len(PHASES))

    def skip(self, skipped: Skipped) -> None:
        """Take note of a file or folder that can't be used, once."""
        if skipped.path not in self._skipped:
            self._skipped[skipped.path] = skipped
            self.add("skipped")
            self._observer.skipped(skipped)

    def add(self, name: str, by: int = 1) -> None:
        """Count something."""
        if by:
            self.counts[name] += by
            self._observer.counted(name, by)
