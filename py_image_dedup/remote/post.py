"""Jobs that are on their way: one thread looks for all their answers at once, from the first job on."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol

from py_image_dedup.remote.broker import BrokerError, Ended
from py_image_dedup.remote.message import Job

_LOOK_EVERY = 0.02  # seconds; one question for all that are waited for


class Mail(Protocol):
    """What :class:`~py_image_dedup.remote.broker.Workers` does."""

    def put(self, job: Job, data: bytes, *, seconds: float) -> None:
        """Store the bytes of a job for so many seconds."""

    def ask(self, job: Job) -> None:
        """Send a job."""

    def answers(self, keys: list[str]) -> Any:
        """Yield those that have ended, and how."""

    def forget(self, job: Job) -> None:
        """Remove what is left of it."""


class Post:
    """Waits for answers on behalf of all threads that sent something."""

    def __init__(self, mail: Mail) -> None:
        self._mail = mail
        self._waiting: dict[str, Future[Any]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def expect(self, key: str) -> Future[Any]:
        """Return what will hold the answer: data, or an :class:`Ended`."""
        future: Future[Any] = Future()
        with self._changed:
            self._waiting[key] = future
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="answers", daemon=True)
                self._thread.start()
        return future

    def give_up(self, key: str) -> None:
        """Wait no longer."""
        with self._changed:
            self._waiting.pop(key, None)

    def close(self) -> None:
        """End the thread, if there is one."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                keys = [*self._waiting]
            found: dict[str, object | Ended] = {}
            with suppress(BrokerError):  # it may come back before those who wait lose patience
                found.update(self._mail.answers(keys))
            with self._changed:
                for key, answer in found.items():
                    if future := self._waiting.pop(key, None):
                        future.set_result(answer)
                self._changed.wait_for(lambda: self._closed, timeout=_LOOK_EVERY)
