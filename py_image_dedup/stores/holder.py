"""Who holds a lease: a process, named so that a person finds it and another process can tell whether it died."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from dataclasses import dataclass
from typing import Final, Self

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_START: Final = 19  # the field of /proc/PID/stat, counted from the one behind the name


@dataclass(frozen=True, slots=True)
class Holder:
    """A run that works on an origin.

    ``token`` differs in each lease.  ``machine`` names a boot of a kernel and the process ids that count there (those
    of a container are its own); ``started`` tells two processes of one id apart.
    """

    token: str
    host: str
    pid: int
    since: str
    machine: str
    started: str

    @classmethod
    def me(cls) -> Self:
        """Name this process, for a lease that begins now."""
        pid = os.getpid()
        since = f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
        return cls(uuid.uuid4().hex, os.uname().nodename, pid, since, _machine(), _started(pid))

    @property
    def words(self) -> str:
        """Say who it is, for a message."""
        return f"process {self.pid} on {self.host}, since {self.since}"

    def has_died(self) -> bool:
        """Tell whether the process is known to be gone; of one on another machine nothing is known."""
        if not self.machine or self.machine != _machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False  # it belongs to somebody else, so it is there
        started = _started(self.pid)
        return bool(started and self.started and started != self.started)


def _machine() -> str:
    """Return the boot and the process-id namespace, or nothing where the system tells neither."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return when a process began, in ticks since the boot, or nothing where that is not to be read."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[_START]
    except (OSError, IndexError):
        return ""
