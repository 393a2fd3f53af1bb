"""A listener that shows a person how far a run is: a bar on a terminal, plain lines on request, else silence."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from py_image_dedup.events import Observer


class ProgressBar(Observer):
    """Draws one bar, phase after phase, on a terminal; elsewhere only notes are printed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def phase(self, title: str, number: int, of: int) -> None:
        """Start the bar of a phase."""
        if self._progress.disable:
            return  # without a task nothing is reckoned for a bar that nobody sees
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(f"{number}/{of} {title}", total=None)

    def progress(self, done: int, total: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total or None)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
