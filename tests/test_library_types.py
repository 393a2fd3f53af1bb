"""The library's types: a program that uses it passes mypy in strict mode, and one that misuses it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pictures

TESTS = Path(__file__).parent


def mypy(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", str(path)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=TESTS.parent, timeout=300)


def test_a_consumer_in_strict_mode(tmp_path: Path) -> None:
    """What people write is typed, also where the package is installed: it says so by py.typed."""
    done = mypy(TESTS / "consumer.py")
    assert done.returncode == 0, done.stdout
    misuse = tmp_path / "misuse.py"
    misuse.write_text(
        "import py_image_dedup as dedup\n"
        "dedup.nothing\n"
        "found: int = dedup.search(dedup.build('a'))[0].keeper.path\n"
        "dedup.build('a', px_size='50')\n"
    )
    done = mypy(misuse)
    assert [line.split(":")[1] for line in done.stdout.splitlines() if ": error:" in line] == ["2", "3", "4"]


def test_the_consumer_runs(tmp_path: Path) -> None:
    """And it does what it says."""
    for name in ("a.png", "b.png"):
        pictures.write(tmp_path / name, pictures.photo(1), "PNG")
    done = subprocess.run(
        [sys.executable, str(TESTS / "consumer.py"), str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "1 1 0 2\n"
