"""The daemon as a process of its own, with eyes on what it says, counts and holds."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from command import Command
from prometheus_client.parser import text_string_to_metric_families

Key = tuple[str, tuple[tuple[str, str], ...]]


class Daemon:
    """One daemon with a configuration file of its own; use it in a ``with`` block, which ends it."""

    name = "daemon"

    def __init__(self, command: Command, *folders: Path, **settings: Any) -> None:
        self.command = command
        self.port = free_port()
        self.file = command.home / "py_image_dedup.yaml"
        self.settings = {
            "analysis.source_directories": [str(folder) for folder in folders],
            "analysis.across_dirs": "true",
            "daemon.processing_timeout": "1s",
            "stats.host": "127.0.0.1",
            "stats.port": str(self.port),
        } | {key.replace("__", "."): value for key, value in settings.items()}
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        self.configure()
        self.process = self.command.start(self.name)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def configure(self, **settings: Any) -> None:
        """Write the configuration, with some settings changed."""
        self.settings |= {key.replace("__", "."): value for key, value in settings.items()}
        self.file.write_text(as_yaml(self.settings))

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            self.lines.extend(stream)  # in place, so that whoever looks sees each line as it comes

    def text(self) -> str:
        """Return everything that was said so far."""
        return "".join(self.lines)

    def wait_for(self, condition: Callable[[], object], seconds: float = 30) -> float:
        """Return how long it took until a condition held; fail with what the daemon said."""
        began = time.monotonic()
        while not condition():
            assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}: {self.text()}"
            assert time.monotonic() - began < seconds, f"not in {seconds} s: {self.text()[-3000:]}"
            time.sleep(0.02)
        return time.monotonic() - began

    def wait_for_words(self, pattern: str, seconds: float = 30) -> None:
        """Wait until it said something."""
        self.wait_for(lambda: re.search(pattern, self.text()), seconds)

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Wait until the first pass is done."""
        self.wait_for(lambda: self.get("/readyz")[0] == 200, seconds)

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a page; 0 where nobody answers."""
        try:
            with urllib.request.urlopen(
                f"http://{self.settings['stats.host']}:{self.port}{path}", timeout=10
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metrics(self) -> dict[Key, float]:
        """Return all samples, by name and labels, as Prometheus's parser reads them; none before it answers."""
        _, text = self.get("/metrics")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """Return one sample; 0 if it is not there."""
        return self.metrics().get((f"py_image_dedup_{name}", tuple(sorted(labels.items()))), 0.0)

    def hang_up(self) -> None:
        """Ask it to read its configuration again."""
        self.process.send_signal(signal.SIGHUP)

    def leave(self, seconds: float = 10) -> int:
        """Ask it to end, and return its exit code; it must not take longer."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def resident_megabytes(self) -> float:
        """Return the memory it holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"^VmRSS:\s+(\d+)", status, re.MULTILINE)[0]) / 1024

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that it has taken so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def threads(self) -> int:
        """Return how many threads it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def as_yaml(settings: Mapping[str, Any]) -> str:
    """Write settings by dotted key as a configuration; JSON is YAML."""
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = value
    return json.dumps({"py_image_dedup": tree})
