"""What a machine feels, read from a tree like that of the kernel."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from py_image_dedup.remote.senses import Readings, Senses, processor_time


def write(root: Path, **files: str) -> None:
    """Write files, with two underscores for a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_nothing_is_known_where_nothing_can_be_read(tmp_path: Path) -> None:
    """A container without /sys, or another kernel."""
    assert Senses(str(tmp_path)).read() == Readings(None, None, None, None)


def test_the_load_of_others(tmp_path: Path) -> None:
    """What this process takes itself is no reason to send pictures away."""
    own = iter([0.0, 1.0, 1.0])
    senses = Senses(str(tmp_path), own_time=lambda: next(own))
    write(tmp_path, proc__stat="cpu  0 0 0 1000 0 0 0 0 0 0\ncpu0 0 0 0 1000\n")
    assert senses.read().load is None
    write(tmp_path, proc__stat="cpu  200 0 100 1100 0 0 0 0 0 0\n")  # 400 ticks, 300 busy, 100 of them ours
    assert senses.read().load == 0.5
    write(tmp_path, proc__stat="cpu  200 0 100 1400 100 0 0 0 0 0\n")
    assert senses.read().load == 0.0


def test_memory_temperature_and_battery(tmp_path: Path) -> None:
    """The hottest zone counts; a battery that discharges counts only while nothing else feeds the machine."""
    write(
        tmp_path,
        proc__meminfo="MemTotal:  1000 kB\nMemAvailable:    500 kB\n",
        sys__class__thermal__thermal_zone0__temp="45000\n",
        sys__class__thermal__thermal_zone1__temp="71500\n",
        sys__class__thermal__thermal_zone2__temp="broken\n",
        sys__class__power_supply__BAT0__type="Battery\n",
        sys__class__power_supply__BAT0__status="Discharging\n",
        sys__class__power_supply__AC__type="Mains\n",
        sys__class__power_supply__AC__online="0\n",
    )
    assert Senses(str(tmp_path)).read() == Readings(None, 512_000, 71.5, on_battery=True)
    write(tmp_path, sys__class__power_supply__AC__online="1\n")
    assert Senses(str(tmp_path)).read().on_battery is False


def test_this_machine() -> None:
    """On a real kernel, a program that burns a core is felt within seconds."""
    senses = Senses()
    first = senses.read()
    assert first.memory is not None
    assert first.memory > 10_000_000
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(1)
        felt = senses.read().load
    finally:
        burner.kill()
        burner.wait()
    assert felt is not None
    assert felt > 0.1


def test_the_processor_time_of_a_thread() -> None:
    """Work counts, whatever it waited for a processor; sleep does not."""
    begun, before = time.monotonic(), processor_time()
    while time.monotonic() - begun < 0.2:
        pass
    worked, between = processor_time() - before, time.monotonic() - begun
    assert 0.8 * between < worked < 1.2 * between
    before = processor_time()
    time.sleep(0.3)
    assert processor_time() - before < 0.2
