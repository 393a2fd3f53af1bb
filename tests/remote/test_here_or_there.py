"""Where pictures go while this machine gets hot or busy, on a real clock and with a tree like that of the kernel."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pictures
import pytest
from raws import dng

from py_image_dedup.analysis import Decoder
from py_image_dedup.remote import message
from py_image_dedup.remote.broker import BrokerError
from py_image_dedup.remote.here_or_there import HereOrThere, Terms
from py_image_dedup.remote.message import Job
from py_image_dedup.remote.placement import Limits, Placement, Strain
from py_image_dedup.remote.senses import Senses

PIXELS = 10**8


class Echo:
    """A mail that needs nobody: what is sent is described in the same process."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0
        self._bytes: dict[str, bytes] = {}
        self._answers: dict[str, Any] = {}

    def put(self, job: Job, data: bytes, *, seconds: float) -> None:
        assert seconds > 0
        if self.away:
            raise BrokerError("nobody there")
        self._bytes[job.key] = data

    def ask(self, job: Job) -> None:
        self.asked += 1
        content = Decoder(max_pixels=PIXELS).describe(job.content, io.BytesIO(self._bytes[job.key]))
        self._answers[job.key] = message.answer(content)

    def answers(self, keys: list[str]) -> Iterator[tuple[str, Any]]:
        yield from [(key, self._answers[key]) for key in keys if key in self._answers]

    def forget(self, job: Job) -> None:
        self._bytes.pop(job.key, None)
        self._answers.pop(job.key, None)


class Kernel:
    """A tree like /proc and /sys."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ticks = self.busy = 0
        self.heat(40)

    def heat(self, degrees: int) -> None:
        zone = self.root / "sys/class/thermal/thermal_zone0"
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "temp").write_text(f"{degrees * 1000}\n")

    def load(self, share: float) -> None:
        """Let another program take this share of the cores since the last time."""
        (self.root / "proc").mkdir(exist_ok=True)
        self.ticks += 1000
        self.busy += round(1000 * share)
        (self.root / "proc/stat").write_text(f"cpu  {self.busy} 0 0 {self.ticks - self.busy} 0 0 0 0\n")


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


class Bench:
    """One describer, and what it said."""

    def __init__(self, root: Path) -> None:
        self.said: list[tuple[float, str, str]] = []
        self.mail = Echo()
        self.describer = HereOrThere(
            Decoder(max_pixels=PIXELS),
            self.mail,
            Placement(always=False, slots=1, clock=time.monotonic),
            Strain(Limits(max_load=0.7, min_memory=0, max_temperature=75)),
            Terms(slots=1, under_way=4, max_pixels=PIXELS, max_file_size=10**6, in_flight=10**6, timeout=5),
            feel=Senses(str(root), own_time=lambda: 0.0).read,
            changed=lambda where, why: self.said.append((time.monotonic(), where, why)),
        )
        self._picture = pictures.encode(pictures.photo(1, (64, 48)), "JPEG")
        self._content = hashlib.sha256(self._picture).hexdigest()

    def describe(self) -> None:
        self.describer.describe(self._content, io.BytesIO(self._picture))

    def until(self, where: str, seconds: float) -> float:
        """Describe until pictures go there; return how long that took."""
        began = time.monotonic()
        while not self.said or self.said[-1][1] != where:
            assert time.monotonic() - began < seconds, self.said
            self.describe()
            time.sleep(0.02)
        return time.monotonic() - began


def test_heat_is_felt_within_seconds(kernel: Kernel) -> None:
    """A hot processor sends its pictures away within three seconds, and says why."""
    bench = Bench(kernel.root)
    try:
        bench.until("both", 5)
        kernel.heat(80)
        bench.until("there", 3)
        assert bench.said[-1][2] == "80 degrees Celsius"
        asked = bench.mail.asked
        for _ in range(5):
            bench.describe()
        assert bench.mail.asked == asked + 5
    finally:
        bench.describer.close()


def test_a_raw_file_stays_here(kernel: Kernel) -> None:
    """Its preview is read sooner than all of it is sent, and workers need not be able to; heat changes nothing."""
    bench = Bench(kernel.root)
    data = dng(pictures.photo(1, (64, 48)))
    try:
        bench.until("both", 5)
        kernel.heat(80)
        bench.until("there", 3)
        asked = bench.mail.asked
        content = bench.describer.describe(hashlib.sha256(data).hexdigest(), io.BytesIO(data))
        assert content.facts.is_raw
        assert bench.mail.asked == asked
    finally:
        bench.describer.close()


def test_load_that_swings_around_the_limit(kernel: Kernel) -> None:
    """It changes its mind at most twice a minute."""
    bench = Bench(kernel.root)
    stop = threading.Event()

    def swing() -> None:
        high = False
        while not stop.wait(0.5):
            high = not high
            kernel.load(0.8 if high else 0.6)

    swinging = threading.Thread(target=swing)
    swinging.start()
    try:
        began = time.monotonic()
        while time.monotonic() - began < 62:
            bench.describe()
            time.sleep(0.1)
    finally:
        stop.set()
        swinging.join()
        bench.describer.close()
    changes = [at for at, _, _ in bench.said[1:]]
    assert changes, "the load was felt"
    assert sum(at - began < 60 for at in changes) <= 2


def test_who_is_away_is_not_asked_and_who_is_back_is(kernel: Kernel) -> None:
    """Pictures are described here at once, and there again some seconds after that is possible."""
    bench = Bench(kernel.root)
    kernel.heat(80)
    try:
        bench.until("there", 5)
        bench.mail.away = True
        bench.until("here", 1)
        assert bench.said[-1][2] == "nobody there"
        bench.mail.away = False
        assert bench.until("there", 10) > 3
    finally:
        bench.describer.close()
