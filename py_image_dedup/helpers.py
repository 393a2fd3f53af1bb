"""Processes beside this one that analyse small files, a handful at a time.

Of a small picture nearly all is Python's work, not the decoder's, and threads only take turns at that: two of them
need more time than one.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import IO, Any, Final, NoReturn, cast

from py_image_dedup.analysis import Describer, Limits, LocalAnalyser, MemoryBudget, Read
from py_image_dedup.model import Cause, Record, Seen, Skipped

_MEMORY: Final = 16 << 20  # bytes that a decode may take in a helper
_TIME_TO_END: Final = 1.0  # seconds
_READY: Final = "ready"


class _Ended(Exception):
    """A helper ended before it answered."""


class Helpers:
    """One process for each thread that asks, started when it asks first."""

    def __init__(
        self,
        describer: Callable[..., Describer],
        *,
        origin: str,
        limits: Limits,
        known: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Take what makes a describer within a `budget`: it is pickled, and called in each process.

        `known` tells whether a content (SHA-256) needs no describing; it is asked here.
        """
        self._known = known
        self._task = pickle.dumps((describer, origin, limits))
        self._of_thread = threading.local()
        self._lock = threading.Lock()
        self._helpers: list[_Helper] = []
        self._closed = False
        self._useless = False

    def analyse(self, handful: Sequence[Seen]) -> Sequence[Record | Skipped | Seen]:
        """Return what became of each file, in order; one that is given back as it was is to be analysed here.

        A file that ends two processes is skipped: it would end this one, too.
        """
        with suppress(_Ended):
            return self._ask(handful)
        found: list[Record | Skipped | Seen] = []
        for file in handful:
            try:
                found += self._ask([file])
            except _Ended as ended:
                found.append(Skipped(file.path, f"ended the process that was to read it: {ended}", Cause.UNREADABLE))
        return found

    def close(self) -> None:
        """End the processes; who waits for one gets CancelledError."""
        with self._lock:
            self._closed = True
        for helper in self._helpers:
            helper.end()

    def _ask(self, handful: Sequence[Seen]) -> Sequence[Record | Skipped | Seen]:
        helper: _Helper | None = getattr(self._of_thread, "helper", None)
        try:
            if helper is None:
                helper = self._of_thread.helper = self._start()
            if helper is None:
                return handful
            contents = helper.ask(handful)
            return cast("list[Record | Seen]", helper.ask({content for content in contents if self._known(content)}))
        except _Ended:
            self._of_thread.helper = None
            if self._closed:
                raise CancelledError from None
            raise

    def _start(self) -> _Helper | None:
        """Start one; None where that is not possible, now and then on."""
        with self._lock:
            if self._closed:
                raise CancelledError
            if self._useless:
                return None
            try:
                helper = _Helper(self._task)
            except OSError:
                self._useless = True
                return None
            self._helpers.append(helper)
        if not helper.is_ready():
            if self._closed:
                raise CancelledError
            self._useless = True
            return None
        return helper


class _Helper:
    """One process, seen from here."""

    def __init__(self, task: bytes) -> None:
        """Start it; raises OSError."""
        found = os.pathsep.join(map(os.path.abspath, sys.path))  # so that it imports what this one does
        self._process = subprocess.Popen(  # noqa: S603 - the interpreter that runs already
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": found},
            start_new_session=True,  # Ctrl-C is for this one, which ends it
        )
        self._to, self._from = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)
        self._task = task

    def is_ready(self) -> bool:
        """Give it its task, and tell whether it can do that."""
        try:
            self._to.write(self._task)
            return bool(self._answer() == _READY)
        except (_Ended, OSError):
            return False

    def ask(self, what: object) -> Any:
        """Return its answer; raises _Ended."""
        try:
            pickle.dump(what, self._to, pickle.HIGHEST_PROTOCOL)
        except (OSError, ValueError):
            self._raise_ended()
        return self._answer()

    def _answer(self) -> Any:
        try:
            self._to.flush()
            return pickle.load(self._from)  # noqa: S301 - from a process of ours
        except Exception:  # noqa: BLE001 - what is no pickle may raise anything
            self._raise_ended()

    def _raise_ended(self) -> NoReturn:
        with suppress(subprocess.TimeoutExpired):  # it tells why it ended, if it is let
            self._process.wait(_TIME_TO_END)
        self.end()
        code = self._process.returncode
        raise _Ended(f"signal {-code}" if code < 0 else f"exit status {code}") from None

    def end(self) -> None:
        """End it, if it has not ended by itself."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._to, self._from):
            with suppress(OSError):  # what was not sent yet
                pipe.close()


class _Share(MemoryBudget):
    """What a helper may take: larger pictures are not for it, and nobody else is to give anything back."""

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Raise MemoryError where `size` is more than a helper may take."""
        if size > _MEMORY:
            raise MemoryError
        yield


def main() -> NoReturn:
    """Answer the process that started this one until it goes; nothing is lost when this ends at any time."""
    asked, told = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a decoder prints must not come between answers
    with suppress(EOFError, BrokenPipeError):
        describer, origin, limits = pickle.load(asked)  # noqa: S301 - from the process that started this one
        known: AbstractSet[str] = frozenset()
        analyser = LocalAnalyser(
            origin=origin,
            threads=1,
            limits=limits,
            describer=describer(budget=_Share()),
            known=lambda content: content in known,
        )

        def ask(what: object) -> Any:
            pickle.dump(what, told, pickle.HIGHEST_PROTOCOL)
            told.flush()
            return pickle.load(asked)  # noqa: S301

        handful = ask(_READY)
        while True:
            read = [_read(file) for file in handful]
            known = ask([one.content for one in read if isinstance(one, Read)])
            handful = ask([_analysed(analyser, one) for one in read])
    os._exit(0)


def _read(file: Seen) -> Read | Seen:
    try:
        return Read.of(file)
    except OSError:
        return file


def _analysed(analyser: LocalAnalyser, read: Read | Seen) -> Record | Seen:
    """Give back what could not be read here: with more memory, or a moment later, it may be."""
    if isinstance(read, Seen):
        return read
    found = analyser.analyse_read(read)
    return found if isinstance(found, Record) else read.seen


if __name__ == "__main__":
    main()
