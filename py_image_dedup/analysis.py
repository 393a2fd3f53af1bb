"""From files on disk to records: the Analyser protocol and its local implementation."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import BinaryIO, Final, Protocol, Self

from py_image_dedup import files, images
from py_image_dedup.errors import NotNow, PictureError
from py_image_dedup.kinds import goldberg
from py_image_dedup.model import Cause, Content, File, Record, Seen, Skipped

_HELD_IN_MEMORY = 64 << 20  # bytes; a larger file is read twice instead of being kept whole
_HELD_AT_ONCE = 128 << 20  # bytes of all files that are held in memory
_MEMORY_IN_FLIGHT = 256 << 20  # bytes of all decodes under way; one larger than this runs alone
_SMALL: Final = 128 << 10  # bytes of a file that helpers take; of larger ones the decoder has most of the work
_ENOUGH: Final = 300  # small files that are analysed before helpers, which take a quarter of a second, are started
_HANDFUL: Final = 32  # files
_BYTES_OF_HANDFUL: Final = 1 << 20

_Found = list[Record | Skipped]


class Analyser(Protocol):
    """Turns files into records, wherever the work is done."""

    @property
    def elsewhere(self) -> int:
        """How many pictures were described on other machines so far."""

    def analyse(self, seen: Iterable[Seen]) -> Iterator[Record | Skipped]:
        """Yield one record, or the reason why there is none, for every file; the order is free.

        Closing the iterator early ends the work.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a single file may cost: bytes on disk, and pixels it declares."""

    max_file_size: int = 1 << 30
    max_pixels: int = 250_000_000


class Describer(Protocol):
    """Turns the bytes of a picture into what is known of them, on this machine or elsewhere."""

    elsewhere: int
    """How many pictures were described on other machines so far."""

    def describe(self, content: str, source: BinaryIO) -> Content:
        """Return what a seekable stream holds whose SHA-256 is `content`; called from several threads.

        Raises :class:`PictureError` if it is no picture that can be read, :class:`NotNow` if that may pass.
        """


class Decoder:
    """Describes on this machine: decoding releases the interpreter lock."""

    elsewhere = 0

    def __init__(self, *, max_pixels: int, budget: MemoryBudget | None = None) -> None:
        """`budget` is shared with whoever else decodes at the same time."""
        self._max_pixels = max_pixels
        self._budget = budget or MemoryBudget()

    def describe(self, content: str, source: BinaryIO) -> Content:
        """Decode a picture at the smallest scale that serves, and sign it."""
        picture = images.read(source, max_pixels=self._max_pixels, reserve=self._budget.reserve)
        return Content(content, picture.facts, picture.thumbnail, goldberg.of(picture))


class Helpers(Protocol):
    """Analyse small files beside this process."""

    def analyse(self, handful: Sequence[Seen]) -> Sequence[Record | Skipped | Seen]:
        """Return what became of each file, in order; one that is given back as it was is to be analysed here.

        Called from several threads.
        """

    def close(self) -> None:
        """End them; who waits for them gets CancelledError."""


class LocalAnalyser:
    """Reads the files of this machine in threads, and has what is new in them described."""

    def __init__(
        self,
        *,
        origin: str,
        threads: int,
        limits: Limits,
        describer: Describer | None = None,
        known: Callable[[str], bool] = lambda _: False,
        helpers: Callable[..., Helpers] | None = None,
    ) -> None:
        """`known` tells whether a content (SHA-256) needs no describing because it is recorded already.

        `helpers` are made for each analysis, of this `origin`, `limits` and `known`, and asked where there are many
        small files.
        """
        self._origin = origin
        self._threads = threads
        self._limits = limits
        self._known = known
        self._describer = describer or Decoder(max_pixels=limits.max_pixels)
        self._held = MemoryBudget(_HELD_AT_ONCE)
        self._helpers = partial(helpers, origin=origin, limits=limits, known=known) if helpers else None

    @property
    def elsewhere(self) -> int:
        """How many pictures were described on other machines so far."""
        return self._describer.elsewhere

    def analyse(self, seen: Iterable[Seen]) -> Iterator[Record | Skipped]:
        """Yield records in the order of the files, at most a few per thread ahead of the reader."""
        helpers = self._helpers() if self._helpers else None
        jobs = self._jobs(seen, helpers) if helpers else (partial(self._alone, file) for file in seen)
        with ThreadPoolExecutor(self._threads, "analyse") as pool:
            running: deque[Future[_Found]] = deque()
            try:
                for job in islice(jobs, 4 * self._threads):
                    running.append(pool.submit(job))
                while running:
                    yield from running.popleft().result()
                    for job in islice(jobs, 1):
                        running.append(pool.submit(job))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                if helpers:
                    helpers.close()

    def _jobs(self, seen: Iterable[Seen], helpers: Helpers) -> Iterator[Callable[[], _Found]]:
        """Cut the files into what is done in one go: one file, or a handful of small ones that follow each other."""
        handful: list[Seen] = []
        met = size = 0
        for file in seen:
            is_small = file.size <= min(_SMALL, self._limits.max_file_size)
            met += is_small
            alone = not is_small or met <= _ENOUGH
            if handful and (alone or len(handful) == _HANDFUL or size + file.size > _BYTES_OF_HANDFUL):
                yield partial(self._with_help, helpers, handful)
                handful, size = [], 0
            if alone:
                yield partial(self._alone, file)
            else:
                handful.append(file)
                size += file.size
        if handful:
            yield partial(self._with_help, helpers, handful)

    def _alone(self, file: Seen) -> _Found:
        return [self.analyse_one(file)]

    def _with_help(self, helpers: Helpers, handful: Sequence[Seen]) -> _Found:
        return [self.analyse_one(one) if isinstance(one, Seen) else one for one in helpers.analyse(handful)]

    def analyse_one(self, seen: Seen) -> Record | Skipped:
        """Read a file, and have it described if it is new."""
        if seen.size > self._limits.max_file_size:
            return Skipped(
                seen.path, f"{seen.size / 1e6:.0f} MB are more than analysis.max_file_size allows", Cause.LARGE
            )
        try:
            if seen.size <= _HELD_IN_MEMORY:
                with self._held.reserve(seen.size):
                    return self.analyse_read(Read.of(seen))
            with files.open_regular(seen.path) as file:
                return self._record(seen, hashlib.file_digest(file, "sha256").hexdigest(), file)
        except OSError as error:
            return Skipped(seen.path, f"can't be read: {error.strerror}", Cause.UNREADABLE)

    def analyse_read(self, read: Read) -> Record | Skipped:
        """Have a file described that was read already, if it is new."""
        return self._record(read.seen, read.content, io.BytesIO(read.data))

    def _record(self, seen: Seen, content: str, source: BinaryIO) -> Record | Skipped:
        found = self._described(File(self._origin, seen.path, seen.size, seen.mtime_ns, content), source)
        now = files.look(seen.path)
        if now is None or (now.size, now.mtime_ns) != (seen.size, seen.mtime_ns):
            return Skipped(seen.path, "changed while it was read", Cause.CHANGED)
        return found

    def _described(self, file: File, source: BinaryIO) -> Record | Skipped:
        if self._known(file.content):
            return Record(file, None)
        source.seek(0)
        try:
            return Record(file, self._describer.describe(file.content, source))
        except NotNow as error:
            return Skipped(file.path, str(error), Cause.UNREADABLE)
        except PictureError as error:
            return Record(replace(file, problem=str(error), reader=images.reader(self._limits.max_pixels)), None)


@dataclass(frozen=True, slots=True)
class Read:
    """A file that was read whole: how it was seen, the SHA-256 of its bytes (hex), and these."""

    seen: Seen
    content: str
    data: bytes

    @classmethod
    def of(cls, seen: Seen) -> Self:
        """Read a file; raises OSError."""
        with files.open_regular(seen.path) as file:
            data = file.read(seen.size + 1)  # one more than expected shows that it grew, whatever it grew to
        return cls(seen, hashlib.sha256(data).hexdigest(), data)


class MemoryBudget:
    """Lets decodes run side by side as long as their memory fits; one that never fits runs alone."""

    def __init__(self, size: int = _MEMORY_IN_FLIGHT) -> None:
        self._size = size
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Wait for `size` bytes, hold them for the block, give them back."""
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + size <= self._size)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()
