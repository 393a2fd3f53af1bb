"""Where the next picture is described: here or there.  Pure: clock, readings and measurements are handed in.

While this machine is at ease, a picture goes where it will be done sooner, by what pictures of its kind took lately
here and there and by what waits at both.  It waits rather than to queue here: things may change.  Where sending alone
keeps the processor busy, none is described here while others wait to leave: it would hold up more than it is worth.
While the machine is strained (busy with other things, short of memory, hot), all goes there.  While there is nobody
there, all is done here, and now and then one picture goes to see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from py_image_dedup.remote.senses import Readings

_NEW = 0.3  # weight of the newest measurement in a mean
_STAYS = 30.0  # seconds between two changes of mind about strain: at most two a minute
_EASE = 0.9  # of a limit must be left before strain is over
_SEE_AGAIN = 30.0  # seconds after which the side that was not chosen is measured again
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 60.0  # seconds without trying, after a failure there


class Where(StrEnum):
    """Where a picture is described."""

    HERE = "here"
    THERE = "there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Beyond any of these this machine is strained: share of cores, bytes available, degrees Celsius."""

    max_load: float
    min_memory: int
    max_temperature: float


class Strain:
    """Whether this machine is strained, and why in words; changes its mind at most twice a minute."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._changed = float("-inf")
        self.reason = ""
        """Empty while the machine is at ease."""

    def feel(self, readings: Readings, now: float) -> None:
        """Take new readings into account."""
        reason = self._beyond(readings, _EASE if self.reason else 1.0)
        if bool(reason) != bool(self.reason):
            if now - self._changed < _STAYS:
                return
            self._changed = now
        self.reason = reason

    def _beyond(self, readings: Readings, ease: float) -> str:
        limits = self._limits
        if readings.on_battery:
            return "on battery"
        if readings.temperature is not None and readings.temperature >= limits.max_temperature * ease:
            return f"{readings.temperature:.0f} degrees Celsius"
        if readings.load is not None and readings.load > limits.max_load * ease:
            return f"{readings.load:.0%} of the cores busy with other things"
        if readings.memory is not None and readings.memory < limits.min_memory / ease:
            return f"{readings.memory / 1e6:.0f} MB of memory left"
        return ""


@dataclass(slots=True)
class _Side:
    """What is known of one side.

    ``slots``: how many pictures of a kind that is new to it are tried at the same time.  ``pictures``: it has now.
    ``paces``: seconds that a byte of each kind takes.  ``used``: when a picture last went there.
    """

    slots: int
    pictures: int = 0
    paces: dict[str, float] = field(default_factory=dict)
    used: float = float("-inf")

    def is_full(self) -> bool:
        """Tell whether there is a picture for every slot, and one that is ready to be next."""
        return self.pictures > self.slots


def _blend(before: float | None, newest: float) -> float:
    """Return a mean in which what is long ago counts less and less."""
    return newest if before is None else before + _NEW * (newest - before)


class Placement:
    """Chooses for one picture after the other; not safe for threads, its user holds a lock."""

    def __init__(self, *, always: bool, slots: int, clock: Callable[[], float]) -> None:
        """`slots`: pictures decoded here at the same time."""
        self._always = always
        self._clock = clock
        # How many workers there are shows in how long they take.
        self._sides = {Where.HERE: _Side(slots), Where.THERE: _Side(1)}
        self._leaving = 0  # bytes
        self._connected = False
        self._line = 0.0  # seconds per byte; 0 as long as nothing is known
        self._toil = 0.0  # the share of these in which the processor was at work, or wanted
        self._pause = _FIRST_PAUSE
        self._again = float("-inf")
        self._on_trial = False
        self.away = ""
        """Why there is nobody there, as far as is known."""
        self.failures = 0
        """How often that turned out so far."""

    def situation(self, strain: str) -> tuple[str, str]:
        """Return "here", "there" or "both" for where pictures go in general, and why."""
        if self.away:
            return Where.HERE, self.away
        if strain or self._always:
            return Where.THERE, strain or "always"
        return "both", "whichever is sooner"

    def choose(self, kind: str, size: int, strain: str, *, waiting: int = 0) -> Where | None:
        """Return where a picture is to go; None while it had better wait, as so many others do already."""
        now = self._clock()
        if self.away and (now < self._again or self._on_trial):
            return Where.HERE
        if self.away or self._always or strain:  # away: to see whether they are back
            return Where.THERE
        return self._sooner(kind, size, now, waiting)

    def _sooner(self, kind: str, size: int, now: float, waiting: int) -> Where | None:
        known = [where for where in self._sides if self._knows(where, kind)]
        for where, side in self._sides.items():
            if where not in known and side.pictures < side.slots:
                return where
        if not known:
            return None
        where = min(known, key=lambda where: self._seconds(where, kind, size, waiting))
        if len(known) == len(self._sides):
            if self._leaving and self._hampers(kind):
                where = Where.THERE
            other = Where.THERE if where is Where.HERE else Where.HERE
            if now - self._sides[other].used > _SEE_AGAIN:
                return other
        return None if where is Where.HERE and self._sides[where].is_full() else where

    def _knows(self, where: Where, kind: str) -> bool:
        return kind in self._sides[where].paces and (where is Where.HERE or self._line > 0)

    def _seconds(self, where: Where, kind: str, size: int, waiting: int) -> float:
        """Return in how many seconds one more picture would be done, of a kind that the side knows."""
        side = self._sides[where]
        work = side.paces[kind] * size
        if where is Where.HERE:
            return work * (1 + (side.pictures + waiting) / side.slots)
        return work + (self._leaving + size) * self._line

    def _hampers(self, kind: str) -> bool:
        """Tell whether a picture described here would keep the processor from sending more than one meanwhile."""
        return self._toil * self._sides[Where.HERE].paces[kind] >= self._line

    def began(self, where: Where) -> None:
        """Take note that a picture goes there."""
        side = self._sides[where]
        side.pictures += 1
        side.used = self._clock()
        if where is Where.THERE:
            self._on_trial = bool(self.away)

    def queued(self, size: int) -> None:
        """Take note that so many bytes wait to leave."""
        self._leaving += size

    def left(self, size: int, seconds: float | None, toil: float = 0.0) -> None:
        """Take note that they left, `seconds` after the line was free for them; None if they could not.

        `toil`: in how many of the seconds the processor was at work on it, or was waited for.
        """
        self._leaving -= size
        if seconds and self._connected:
            self._toil = _blend(self._toil if self._line else None, min(1.0, toil / seconds))
            self._line = _blend(self._line or None, seconds / max(1, size))
        self._connected |= bool(seconds)  # the first makes the connection too, and takes longer than others will

    def ended(self, where: Where, kind: str, size: int, seconds: float | None) -> None:
        """Take note that a picture is done; `seconds` of work, or from sent to answered; None if it failed."""
        side = self._sides[where]
        side.pictures -= 1
        if where is Where.THERE:
            self._on_trial = False
        if seconds is not None:
            side.paces[kind] = _blend(side.paces.get(kind), seconds / max(1, size))
            if where is Where.THERE:
                self.away, self._pause = "", _FIRST_PAUSE

    def failed(self, reason: str) -> None:
        """Take note that there is nobody there, or nobody who can be trusted: for a while all is done here."""
        now = self._clock()
        self.failures += 1
        if now >= self._again:  # of all that fail at once the first counts
            self._again = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self.away, self._on_trial = reason, False
