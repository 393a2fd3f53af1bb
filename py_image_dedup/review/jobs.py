"""What takes longer than a request: one job at a time, in the background, watched from any browser."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from py_image_dedup.errors import DedupError, UsageError
from py_image_dedup.events import Observer
from py_image_dedup.files import printable

_LINES = 200  # of what happened that are shown


class Stopped(DedupError):
    """A person wanted it to end here."""


@dataclass
class Job:
    """A job and how far it is.

    ``text`` is what it has to say in the end, ``error`` why it failed, ``result`` what it found, for who asked.
    """

    id: int
    kind: str
    title: str
    phase: str = ""
    done: int = 0
    total: int = 0
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))
    text: str = ""
    error: str = ""
    result: object = None
    finished: bool = False
    to_stop: bool = False


class Watching(Observer):
    """Writes down in a job what a run tells, and ends the run between two acts if that is wanted."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def phase(self, title: str, number: int, of: int) -> None:
        """Tell what is done now."""
        self._job.phase, self._job.done, self._job.total = f"{title} ({number} of {of})", 0, 0

    def progress(self, done: int, total: int) -> None:
        """Tell how far it is; :class:`Stopped` if it is to end."""
        self._job.done, self._job.total = done, total
        if self._job.to_stop:
            raise Stopped("it was stopped; what is done is done, and can be taken back")

    def note(self, text: str) -> None:
        """Add a line."""
        self._job.lines.append(printable(text))

    def acted(self, path: str, *, action: str, result: str, detail: str) -> None:
        """Add a line for each act."""
        self._job.lines.append(f"{action} {result}: {printable(path)}" + (f" ({printable(detail)})" if detail else ""))


class Jobs:
    """Runs one job after the other, and remembers the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: Job | None = None
        self._thread: threading.Thread | None = None

    @property
    def last(self) -> Job | None:
        """The job that runs, or ran last."""
        return self._last

    @property
    def running(self) -> bool:
        """Tell whether one runs."""
        return self._last is not None and not self._last.finished

    def start(self, kind: str, title: str, work: Callable[[Job], None]) -> Job:
        """Start a job; :class:`UsageError` if one runs."""
        with self._lock:
            if self.running:
                raise UsageError("something else is being done now; wait until it is finished")
            job = self._last = Job((self._last.id if self._last else 0) + 1, kind, title)
            self._thread = threading.Thread(target=_run, args=(job, work), name=kind)
            self._thread.start()
        return job

    def stop(self) -> None:
        """Ask the job that runs to end after what it is at."""
        if self._last is not None:
            self._last.to_stop = True

    def finish(self) -> None:
        """Stop, and wait until nothing runs."""
        self.stop()
        if self._thread is not None:
            self._thread.join()


def _run(job: Job, work: Callable[[Job], None]) -> None:
    try:
        work(job)
    except DedupError as error:
        job.error = printable(str(error))
    except BaseException as error:
        job.error = f"a defect of the program ({type(error).__name__})"
        raise
    finally:
        job.finished = True
