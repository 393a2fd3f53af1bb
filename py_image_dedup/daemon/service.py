"""The loop: hears what changed, waits until it is still, works, and tries again what failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from py_image_dedup import files
from py_image_dedup.config import DaemonSettings
from py_image_dedup.daemon import memory
from py_image_dedup.daemon.asked import Asked
from py_image_dedup.daemon.health import Health
from py_image_dedup.daemon.inbox import MOST, Inbox
from py_image_dedup.daemon.settle import Settling
from py_image_dedup.daemon.watching import Watching
from py_image_dedup.daemon.work import Work
from py_image_dedup.errors import DedupError
from py_image_dedup.log import Log
from py_image_dedup.metrics import Metrics
from py_image_dedup.model import Seen

_TICK_S: Final = 0.5  # a signal is noticed after so long at most
_AT_ONCE: Final = 500  # changed files in one pass
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0


class Told(NamedTuple):
    """Who is told how it goes."""

    log: Log
    metrics: Metrics
    health: Health


class Daemon:
    """Runs until it is asked to leave, or to go on with other settings."""

    def __init__(
        self, settings: DaemonSettings, work: Work, watching: Watching, inbox: Inbox, *, asked: Asked, told: Told
    ) -> None:
        self._still_for = settings.processing_timeout.total_seconds()
        self._interval = settings.full_pass_interval.total_seconds() or float("inf")
        self._work = work
        self._watching = watching
        self._inbox = inbox
        self._asked = asked
        self._log, self._metrics, self._health = told
        self._settling = Settling(self._still_for, look=files.look, in_use=self._in_use)
        self._everything_at = 0.0
        self._retry_at = 0.0
        self._pause = _FIRST_PAUSE_S

    def run(self, reload: Callable[[], bool]) -> None:
        """Work until a signal asks to leave, or until `reload`, asked for by a signal, says that it was done.

        :class:`RootError` if a root is missing at the start.
        """
        self._watching.start()
        try:
            while not self._asked.to_leave:
                if self._asked.to_reload:
                    self._asked.to_reload = False
                    if reload():
                        return
                self._step()
        except KeyboardInterrupt:
            self._log.note("Cut off; the next start takes up from here.")
        finally:
            self._watching.stop()

    def _step(self) -> None:
        """Hear what there is to hear, then do what is due."""
        self._look()
        heard = self._inbox.take(self._wait())
        now = time.monotonic()
        for path in heard.paths:
            self._settling.heard(path, now)
        if heard.everything or len(self._settling) > MOST:
            self._settling.clear()
            self._everything_at = min(self._everything_at, now)
        ready = self._settling.ready(now, _AT_ONCE)
        self._metrics.is_waiting(len(self._settling))
        if self._watching.lost or now < self._retry_at:
            return
        if now >= self._everything_at:
            self._attempt("everything", self._all)
        elif ready:
            self._attempt("changes", lambda: self._some(ready))

    def _look(self) -> None:
        """See that everything that should run runs."""
        before = self._watching.renewals
        self._watching.look(time.monotonic())
        if self._watching.renewals != before:
            self._metrics.has_renewed()
        self._metrics.are_lost(len(self._watching.lost))
        if self._watching.lost:
            self._health.obstacle = f"{', '.join(map(files.printable, self._watching.lost))} is not there"
        self._health.alive()

    def _wait(self) -> float:
        if self._watching.lost:
            return _TICK_S
        due = min(self._settling.next_at(), self._everything_at)
        return max(0.0, min(_TICK_S, max(due, self._retry_at) - time.monotonic()))

    def _all(self) -> None:
        began = time.monotonic()
        self._work.on_everything(self._is_ripe)
        self._everything_at = began + self._interval

    def _some(self, ready: list[str]) -> None:
        self._work.on_changes(ready)
        self._settling.done(ready)

    def _attempt(self, kind: str, work: Callable[[], None]) -> None:
        """Work; what fails for a reason that may pass is tried again, after a pause that grows."""
        try:
            with self._metrics.passing(kind):
                work()
        except DedupError as error:
            self._log.alert(f"{error} (tried again in {self._pause:.0f} s)")
            self._health.obstacle = str(error)
            self._retry_at = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_S)
        else:
            self._health.obstacle = ""
            self._pause = _FIRST_PAUSE_S
        finally:
            memory.give_back()

    def _is_ripe(self, seen: Seen) -> bool:
        """Tell whether a file was still for long enough, by its time; others are watched until they are."""
        age = time.time() - seen.mtime_ns / 1e9
        if (age < self._still_for and age > -self._still_for) or self._in_use(seen.path):
            self._inbox.put(seen.path)
            return False
        return True

    def _in_use(self, path: str) -> bool:
        """Tell whether a file is open for writing, where that can be seen."""
        return not self._watching.is_polled(path) and files.is_being_written(path)
