"""What a command costs: CPU of its whole process tree, wall time, and the memory of the tree at its peak."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

EVERY = 0.05
"""Seconds between two samples of the tree's memory."""
_KEPT_OUTPUT = 4000  # characters of stdout and stderr each that a result quotes
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a command took.

    ``cpu`` is user plus system seconds of the command and of all its descendants, as the kernel charged them when they
    were reaped; ``orphans_cpu`` the part of it from processes that the command left behind without waiting.
    ``peak_pss``: highest sum over the tree of proportional set sizes (shared pages counted once), sampled every
    ``EVERY`` seconds, in bytes; 0 if the run was too short for a sample.  ``max_rss``: of its largest process, or
    of the one that measures if that is larger: the kernel counts from before the command was loaded.
    """

    code: int
    wall: float
    cpu: float
    orphans_cpu: float
    peak_pss: int
    max_rss: int
    processes: int
    timed_out: bool
    output: str
    errors: str
    load_before: float

    def as_data(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return asdict(self)

    @property
    def problem(self) -> str:
        """Say in words why the run does not count; empty if it does."""
        if self.timed_out:
            return f"stopped after {self.wall:.0f} s"
        if self.code:
            return f"exit code {self.code}: {(self.errors or self.output).strip()[-600:]}"
        return ""


def run(
    command: Sequence[str],
    *,
    directory: str,
    environment: Mapping[str, str] | None = None,
    limit: float | None = None,
    good: Sequence[int] = (0,),
) -> Cost:
    """Run a command in a process group of its own, wait for it and for what it leaves behind, and tell the cost.

    `environment` is added to this process's own; after `limit` seconds the group is killed.  Exit codes in `good` are
    reported as 0.
    """
    load = os.getloadavg()[0]
    out_path, err_path = (os.path.join(directory, name) for name in ("stdout.txt", "stderr.txt"))
    with open(out_path, "wb") as out, open(err_path, "wb") as err, _adopting():
        start = time.perf_counter()
        try:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=directory,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except OSError as error:
            return Cost(127, 0.0, 0.0, 0.0, 0, 0, 0, False, "", str(error), load)
        watch = _Watch(child.pid, limit)
        watch.start()
        try:
            _, status, used = os.wait4(child.pid, 0)  # not Popen.wait: it keeps no resource usage
        except BaseException:  # whoever interrupts this wants no half-done search to go on in the background
            _kill(child.pid)
            raise
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        watch.stop()
        left = _reap_orphans(child.pid)
    cpu = _seconds(used)
    orphans = sum(_seconds(one) for one in left)
    code = 0 if child.returncode in good and not watch.timed_out else child.returncode
    return Cost(
        code=code,
        wall=wall,
        cpu=cpu + orphans,
        orphans_cpu=orphans,
        peak_pss=watch.peak,
        max_rss=max([used.ru_maxrss, *(one.ru_maxrss for one in left)]) * 1024,
        processes=len(watch.seen),
        timed_out=watch.timed_out,
        output=_tail(out_path),
        errors=_tail(err_path),
        load_before=load,
    )


def _seconds(used: resource.struct_rusage) -> float:
    return used.ru_utime + used.ru_stime


def _tail(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()[-_KEPT_OUTPUT:]


@contextmanager
def _adopting() -> Iterator[None]:
    """Become the parent of orphans below this process, so that their CPU is charged here and not lost to init."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _reap_orphans(group: int) -> list[resource.struct_rusage]:
    """Wait for what the command left behind, a moment; then end it: only its own session is touched."""
    found: list[resource.struct_rusage] = []
    deadline = time.perf_counter() + 2.0
    while True:
        try:
            pid, _, used = os.wait4(-group, os.WNOHANG)  # children of ours in that process group, no others
        except ChildProcessError:
            return found
        if pid:
            found.append(used)
        elif time.perf_counter() > deadline:
            _kill(group)
            deadline = time.perf_counter() + 2.0
        else:
            time.sleep(0.01)


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


class _Watch(threading.Thread):
    """Samples the memory of a process tree, and ends the tree when its time is over."""

    def __init__(self, pid: int, limit: float | None) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._limit = limit
        self._over = threading.Event()
        self.peak = 0
        self.timed_out = False
        self.seen: set[int] = set()

    def run(self) -> None:
        start = time.perf_counter()
        while not self._over.wait(EVERY):
            members = tree(self._pid)
            self.seen.update(members)
            self.peak = max(self.peak, sum(proportional_size(pid) for pid in members))
            if self._limit is not None and time.perf_counter() - start > self._limit:
                self.timed_out = True
                _kill(self._pid)
                return

    def stop(self) -> None:
        self._over.set()
        self.join()


def tree(root: int) -> list[int]:
    """List a process and its living descendants."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                    waiting += [int(child) for child in file.read().split()]
        except OSError:  # it ended meanwhile
            continue
    return found


def proportional_size(pid: int) -> int:
    """Return the bytes of memory of a process, pages shared by n processes counted as 1/n; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0
