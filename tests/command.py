"""The command as its users run it: a process of its own, with a home and a database of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Finished:
    """What a run printed, its exit code, and what --json wrote."""

    code: int
    out: str
    err: str
    json: dict[str, Any]

    @property
    def counts(self) -> dict[str, int]:
        """The counts of the run."""
        counts: dict[str, int] = self.json["counts"]
        return counts

    def groups(self) -> list[set[str]]:
        """File names of each group, keeper included."""
        return [
            {os.path.basename(one["path"]) for one in (group["keeper"], *group["duplicates"])}
            for group in self.json["groups"]
        ]


class Command:
    """Runs py-image-dedup with everything it writes below one folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.prefix: list[str] = []
        """A command that runs this one, such as in another network."""
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": str(Path(__file__).parent.parent),  # the program beside these tests, whatever is installed
            "PYTHONWARNINGS": "error",
            "PY_IMAGE_DEDUP_ORIGIN": "test",
        }

    def arguments(self, *arguments: str | Path) -> list[str]:
        """Return the whole command line."""
        return [*self.prefix, sys.executable, "-m", "py_image_dedup", *map(str, arguments)]

    def run(self, *arguments: str | Path, answer: str | None = None, **environment: str) -> Finished:
        """Run to the end; `deduplicate` gets --json."""
        result = self.home / "result.json"
        result.unlink(missing_ok=True)
        extra: list[str | Path] = (
            ["--json", result] if arguments[0] == "deduplicate" and "--json" not in arguments else []
        )
        done = subprocess.run(
            self.arguments(*arguments, *extra),
            check=False,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            input=answer,
            cwd=self.home,
            env=self.environment | environment,
            timeout=300,
        )
        data = json.loads(result.read_text()) if result.exists() else {}
        return Finished(done.returncode, done.stdout, done.stderr, data)

    def start(self, *arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        """Start and leave running; what it prints must be read while it runs."""
        return self._started(arguments, environment, subprocess.PIPE)

    def start_unheard(self, *arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        """Start and leave running; what it prints is lost."""
        return self._started(arguments, environment, subprocess.DEVNULL)

    def _started(
        self, arguments: tuple[str | Path, ...], environment: dict[str, str], output: int
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.arguments(*arguments),
            stdout=output,
            stderr=output,
            text=True,
            cwd=self.home,
            env=self.environment | environment,
        )
