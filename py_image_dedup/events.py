"""What the core tells whoever listens: progress bars, logs, metrics.  Silent by default."""

from __future__ import annotations

from py_image_dedup.model import Skipped


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
