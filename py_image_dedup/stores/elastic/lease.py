"""Leases: documents that say which run works on an origin, so that no two do at once.

The holder renews its document every few seconds.  Who finds one watches it: if it changes, its holder lives, and the
newcomer is told who that is; if it stays the same for long enough, its holder has died, and it is taken over.  Each
write names the version that it replaces (compare and set).  No clock is ever compared with that of another machine:
the holder stops trusting its lease well before anyone who watches it gives it up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, fields
from typing import Final

from py_image_dedup.errors import LeaseLost, StoreError, StoreUnavailable
from py_image_dedup.stores.elastic import mapping
from py_image_dedup.stores.elastic.connection import Connection, Version
from py_image_dedup.stores.holder import Holder

Note = Callable[[str], None]

RENEWED_S: Final = 5.0
"""A lease is renewed so often."""
TRUSTED_S: Final = 60.0
"""Its holder trusts it for so long after it asked for the last renewal that was granted."""
SILENCE_S: Final = 90.0
"""One that is not renewed for so long is taken over: longer than it is trusted, by what the last act may take."""

_LOOK_S: Final = 0.5
_EVERYTHING: Final = ""
"""Stands in place of an origin for the whole index, which its care needs."""


class Leases:
    """The leases of one index.

    `me`: by whom they are held, if this process takes one after the other and never two at once.  One that it could
    not give back, because the server was away, is then its own again at once.
    """

    def __init__(self, connection: Connection, index: str, me: Holder | None = None) -> None:
        self._connection = connection
        self._index = index
        self._me = me

    @contextmanager
    def of(self, origin: str, note: Note) -> Iterator[ElasticLease]:
        """Hold the lease of one origin; :class:`StoreUnavailable` if another run has it, or that of everything."""
        with self._held(origin, note) as lease:
            # Who wants everything takes its own lease first and looks for others then; here it is the other way round,
            # so that one of the two is sure to see the other.
            if self._connection.read_one(self._index, mapping.lease_id(_EVERYTHING)) is not None:
                with self._held(_EVERYTHING, note):
                    pass
            yield lease

    @contextmanager
    def of_everything(self, note: Note) -> Iterator[None]:
        """Hold the leases of all origins; :class:`StoreUnavailable` if a run has one of them."""
        with ExitStack() as held:
            held.enter_context(self._held(_EVERYTHING, note))
            leases = [document for page in self._connection.scan(self._index) for _, document in page]
            for origin in (mapping.decode_path(document["origin"]) for document in leases):
                if origin != _EVERYTHING:
                    held.enter_context(self._held(origin, note))
            yield

    @contextmanager
    def _held(self, origin: str, note: Note) -> Iterator[ElasticLease]:
        lease = ElasticLease(self._connection, self._index, origin, self._me or Holder.me())
        lease.take(note)
        try:
            yield lease
        finally:
            lease.release()


class ElasticLease:
    """The right to work on the files of one origin, renewed by a thread until it is released."""

    def __init__(self, connection: Connection, index: str, origin: str, me: Holder) -> None:
        self._connection = connection
        self._index = index
        self._origin = origin
        self._id = mapping.lease_id(origin)
        self._me = me
        self._version: Version | None = None
        self._trusted_until = 0.0
        self._taken_away = False
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._renew_on, name="lease", daemon=True)

    def check(self) -> None:
        """Raise :class:`LeaseLost` unless it is certain that no other run holds the lease."""
        if self._taken_away:
            raise LeaseLost("another run has taken over these pictures")
        if _now() > self._trusted_until:
            raise LeaseLost("the server could not say for a while that no other run works on these pictures")

    def take(self, note: Note) -> None:
        """Take the lease, after a wait from a holder that has died; :class:`StoreUnavailable` if one lives.

        `note` is told of a wait.
        """
        while True:
            found = self._read()
            if found is None:
                taken = self._put(None)
            elif found[1].token == self._me.token:  # the answer to our first try got lost, and it was tried again
                taken = self._put(found[0])
            else:
                self._watch(*found, note)
                taken = self._put(found[0])
            if taken:
                self._thread.start()
                return

    def release(self) -> None:
        """Let others have the lease; where the server can't be told, it ends by silence."""
        self._released.set()
        self._thread.join()
        if self._version is not None and not self._taken_away:
            with suppress(StoreError):
                self._connection.delete_if(self._index, self._id, self._version)

    def _watch(self, version: Version, holder: Holder, note: Note) -> None:
        """Return when the holder has died or is done; raise :class:`StoreUnavailable` when it lives."""
        began, told = _now(), False
        while not holder.has_died() and _now() - began < SILENCE_S:
            time.sleep(_LOOK_S)
            found = self._read()
            if found is None:
                return
            if found[0] != version:
                raise StoreUnavailable(
                    f"another run works on {self._what()}: {found[1].words}. Wait for it to end, or stop it there"
                )
            if _now() - began > 2 * RENEWED_S and not told:
                told = True
                note(
                    f"Waiting: {holder.words}, may still work on {self._what()}. If nothing is heard of it within "
                    f"{SILENCE_S:.0f} seconds, it has died, and this run goes on."
                )

    def _renew_on(self) -> None:
        while not self._released.wait(RENEWED_S) and not self._taken_away:
            with suppress(StoreError):  # tried again; if that fails for too long, the lease is no longer trusted
                self._renew()

    def _renew(self) -> None:
        if self._put(self._version):
            return
        found = self._read()
        if found is not None and found[1].token == self._me.token:
            self._version = found[0]  # a renewal whose answer got lost
        else:
            self._taken_away = True

    def _put(self, replaced: Version | None) -> bool:
        """Write our document in place of this version of it, or as the first; tell whether that came true."""
        asked = _now()
        document = asdict(self._me) | {"origin": mapping.encode_path(self._origin)}
        version = self._connection.write_if(self._index, self._id, document, replaced)
        if version is None:
            return False
        self._version, self._trusted_until = version, asked + TRUSTED_S
        return True

    def _read(self) -> tuple[Version, Holder] | None:
        found = self._connection.read_one(self._index, self._id)
        if found is None:
            return None
        version, document = found
        return version, Holder(**{field.name: document[field.name] for field in fields(Holder)})

    def _what(self) -> str:
        return f'the origin "{self._origin}"' if self._origin else "the care of the index"


def _now() -> float:
    """Return seconds that count on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
