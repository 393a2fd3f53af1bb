"""Describes pictures here or on workers, whichever serves better, and here whenever the workers fail."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Final

from py_image_dedup.analysis import Describer, MemoryBudget
from py_image_dedup.errors import NotNow
from py_image_dedup.model import Content
from py_image_dedup.raw import is_raw
from py_image_dedup.remote import message
from py_image_dedup.remote.broker import BrokerError, Ended
from py_image_dedup.remote.message import Job, MessageError
from py_image_dedup.remote.placement import Placement, Strain, Where
from py_image_dedup.remote.post import Mail, Post
from py_image_dedup.remote.senses import Readings, processor_time

_FEEL_EVERY = 2.0  # seconds
_TRIES = 2  # workers that a picture may cost before it is skipped
_KINDS: Final = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"RIFF": "WEBP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}

_log = logging.getLogger(__name__)


class _Nobody(Exception):
    """No worker answered as it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What may be done at the same time, and what may be sent.

    ``slots``: pictures decoded here, ``under_way``: pictures elsewhere.  ``max_pixels`` of a picture; bytes of a file,
    and of all ``in_flight``; seconds to wait for an answer.
    """

    slots: int
    under_way: int
    max_pixels: int
    max_file_size: int
    in_flight: int
    timeout: float


class HereOrThere:
    """A :class:`~py_image_dedup.analysis.Describer` that decides for each picture; used from several threads."""

    def __init__(
        self,
        here: Describer,
        mail: Mail,
        placement: Placement,
        strain: Strain,
        terms: Terms,
        *,
        feel: Callable[[], Readings],
        changed: Callable[[str, str], None],
    ) -> None:
        """Tell `changed` where pictures go ("here", "there", "both") and why, at first and when that changes."""
        self.under_way = terms.under_way
        self.elsewhere = 0
        self._here = here
        self._mail = mail
        self._placement = placement
        self._strain = strain
        self._terms = terms
        self._feel = feel
        # Threads of their own, since each keeps some of the memory that its largest picture took.
        self._decoding = ThreadPoolExecutor(terms.slots, "describe")
        self._in_flight = MemoryBudget(terms.in_flight)
        self._line = threading.Lock()  # one picture leaves after the other: together none would be sooner
        self._lock = threading.Condition()
        self._waiting = 0
        self._felt = float("-inf")
        self._situation = ""
        self._changed = changed
        self._post = Post(mail)

    def describe(self, content: str, source: BinaryIO) -> Content:
        """Describe a picture where that is better now; raises as any describer does."""
        kind = _kind(source)
        data = source.getvalue() if isinstance(source, BytesIO) else b""
        if not 0 < len(data) <= self._terms.max_file_size or is_raw(source):  # a preview is read sooner than sent
            self._began_here()
        elif self._choose(kind, len(data)) is Where.THERE:
            try:
                return self._there(content, data, kind)
            except _Nobody as why:
                self._failed(str(why))
            self._began_here()
        return self._by_myself(content, source, kind, len(data))

    def close(self) -> None:
        """Wait for nobody any more."""
        self._post.close()
        self._decoding.shutdown()

    def _began_here(self) -> None:
        with self._lock:
            self._placement.began(Where.HERE)

    def _failed(self, why: str) -> None:
        with self._lock:
            self._placement.failed(why)
            self._tell()
            self._lock.notify_all()

    def _choose(self, kind: str, size: int) -> Where:
        with self._lock:
            self._feel_now_and_then()
            while (where := self._chosen(kind, size)) is None:
                self._waiting += 1
                self._lock.wait()
                self._waiting -= 1
            self._placement.began(where)
            self._tell()
            self._lock.notify()  # where one can go, the next may be able to; to wake all would take the processor
            return where

    def _chosen(self, kind: str, size: int) -> Where | None:
        return self._placement.choose(kind, size, self._strain.reason, waiting=self._waiting)

    def _tell(self) -> None:
        """Say where pictures go, when that changes."""
        situation, why = self._placement.situation(self._strain.reason)
        if situation != self._situation:
            self._situation = situation
            self._changed(situation, why)

    def _feel_now_and_then(self) -> None:
        now = time.monotonic()
        if now - self._felt >= _FEEL_EVERY:
            self._felt = now
            self._strain.feel(self._feel(), now)

    def _by_myself(self, content: str, source: BinaryIO, kind: str, size: int) -> Content:
        seconds = None
        try:
            described, seconds = self._decoding.submit(self._timed, content, source).result()
            return described
        finally:
            self._ended(Where.HERE, kind, size, seconds)

    def _timed(self, content: str, source: BinaryIO) -> tuple[Content, float]:
        started = time.monotonic()
        source.seek(0)
        return self._here.describe(content, source), time.monotonic() - started

    def _ended(self, where: Where, kind: str, size: int, seconds: float | None) -> None:
        with self._lock:
            self._placement.ended(where, kind, size, seconds)
            self._tell()
            self._lock.notify()

    def _there(self, content: str, data: bytes, kind: str) -> Content:
        """Send a picture and wait for its answer; one that ends the worker's process goes to another once."""
        seconds = None
        try:
            with self._in_flight.reserve(len(data)):
                how = ""
                for _ in range(_TRIES):
                    job = Job(uuid.uuid4().hex, content, len(data), self._terms.max_pixels)
                    sent, answer = self._answer(job, data)
                    if isinstance(answer, Ended) and answer.violently:
                        how = answer.how
                        continue
                    took = time.monotonic() - sent
                    described = self._read(answer, job)
                    seconds = took
                    return described
            raise NotNow(f"ended {_TRIES} workers that were to describe it: {how}")
        finally:
            self._ended(Where.THERE, kind, len(data), seconds)

    def _answer(self, job: Job, data: bytes) -> tuple[float, object | Ended]:
        """Return when the job was sent, and what came back."""
        future = self._post.expect(job.key)
        try:
            self._send(job, data)
            sent = time.monotonic()
            answer = future.result(timeout=self._terms.timeout)
        except BrokerError as error:
            raise _Nobody(str(error)) from error
        except Late:
            self._forget(job)
            raise _Nobody(f"no worker answered within {self._terms.timeout:g} s") from None
        finally:
            self._post.give_up(job.key)
        self._forget(job)
        return sent, answer

    def _send(self, job: Job, data: bytes) -> None:
        with self._lock:
            self._placement.queued(len(data))
            failures = self._placement.failures
        seconds, toil = None, 0.0
        try:
            with self._line:
                if self._placement.failures > failures:  # of those before it in the line
                    raise BrokerError(self._placement.away)
                started, toiled = time.monotonic(), processor_time()
                self._mail.put(job, data, seconds=self._terms.timeout)
                self._mail.ask(job)
                seconds, toil = time.monotonic() - started, processor_time() - toiled
        finally:
            with self._lock:
                self._placement.left(len(data), seconds, toil)

    def _forget(self, job: Job) -> None:
        try:
            self._mail.forget(job)
        except BrokerError as error:
            _log.debug("what is left of a job stays until it expires: %s", error)

    def _read(self, answer: object, job: Job) -> Content:
        if isinstance(answer, Ended):
            raise _Nobody(f"a worker failed: {answer.how}")
        try:
            described = message.content_of(answer, job)
        except NotNow as error:  # there; here it may be possible
            raise _Nobody(f"a worker could not read a picture: {error}") from error
        except MessageError as error:
            raise _Nobody(f"the answer of a worker is refused: {error}") from error
        with self._lock:
            self.elsewhere += 1
        return described


def _kind(source: BinaryIO) -> str:
    """Tell formats apart that take different times."""
    source.seek(0)
    head = source.read(4)
    source.seek(0)
    return next((kind for start, kind in _KINDS.items() if head.startswith(start)), "other")
