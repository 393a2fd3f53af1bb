"""The review page as its users have it: the real command, asked over HTTP or looked at in a real Chromium."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from command import Command
from playwright.sync_api import Browser, sync_playwright


@dataclass(frozen=True)
class Kept:
    """A folder with an album and its plan, to be used and brought back to what it was."""

    folder: Path
    aside: Path

    @classmethod
    def keep(cls, folder: Path) -> Kept:
        """Put a copy of all there is aside."""
        aside = folder.with_name(f"{folder.name} aside")
        shutil.copytree(folder, aside, symlinks=True)
        return cls(folder, aside)

    def bring_back(self) -> None:
        """Make the folder what it was: names, bytes and times."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.aside, self.folder, symlinks=True)


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Review:
    """A running `review`, asked as its own pages would ask it."""

    port: int
    process: subprocess.Popen[str]
    said: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, path: str, *, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
        """Send a request as it is; headers are named with underscores."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def csrf(self) -> str:
        return self._hidden(self.ask("/apply").text, "csrf")

    def post(self, path: str, **form: str | int) -> Answer:
        """Send a form as a page does."""
        return self.ask(path, method="POST", body=urlencode({"csrf": self.csrf()} | form))

    def mark(self, group: int) -> str:
        """Return the state in which the page shows a group."""
        return self._hidden(self.ask(f"/group/{group}").text, "seen")

    def choose(self, group: int, do: str, *, seen: str | None = None) -> Answer:
        """Choose something in a group as it is now, or as it was seen."""
        return self.post("/choose", group=group, do=do, seen=seen or self.mark(group))

    def wait(self) -> str:
        """Wait until nothing is done in the background, and return the page that tells what was done."""
        for _ in range(600):
            if b'"finished":true' in self.ask("/job.json").body:
                return self.ask("/job").text
            threading.Event().wait(0.1)
        raise AssertionError("it does not end")

    @staticmethod
    def _hidden(page: str, name: str) -> str:
        found = re.search(rf'name="{name}" value="([^"]*)"', page)
        assert found, page
        return found[1]


@contextlib.contextmanager
def reviewing(command: Command, *arguments: str | Path, **environment: str) -> Iterator[Review]:
    """Run `review` on a free port until the block ends; it must end well and say nothing unasked."""
    process = command.start("review", *arguments, "--port", "0", "--no-browser", **environment)
    assert process.stdout
    assert process.stderr
    try:
        said = process.stdout.readline()
        found = re.search(r":(\d+)/", said)
        assert found, said + process.stderr.read()
        yield Review(int(found[1]), process, said)
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, ""), f"{process.returncode} {errors}"


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run the Chromium of this machine."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        missing = "no Chromium: install it (Debian: apt-get install chromium), or name one in CHROMIUM"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def acts(plan: Path) -> dict[str, Any]:
    """Return what a plan file says of each file by name: "keeper", or the action."""
    found: dict[str, Any] = {}
    for group in json.loads(plan.read_text())["groups"]:
        found[os.path.basename(group["keeper"]["path"])] = "keeper"
        for act in group["duplicates"]:
            found[os.path.basename(act["path"])] = act["action"]
    return found
