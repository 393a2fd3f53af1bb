"""A clock that is ``CLOCK_OFF`` seconds off, for a whole process; what measures durations is right."""

from __future__ import annotations

import datetime as dt
import os
import time

_OFF = float(os.environ["CLOCK_OFF"])
_time, _time_ns = time.time, time.time_ns


class Shifted(dt.datetime):
    """The time that this process takes for now."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Shifted:
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Shifted:
        return cls.now(dt.UTC).replace(tzinfo=None)


time.time = lambda: _time() + _OFF
time.time_ns = lambda: _time_ns() + round(_OFF * 1e9)
dt.datetime = Shifted  # type: ignore[misc]
