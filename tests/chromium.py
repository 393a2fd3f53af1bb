"""A real Chromium, driven by its own driver over the WebDriver protocol (W3C): no library between the two."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from programs import need

_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions")


class Browser:
    """One window."""

    def __init__(self, address: str) -> None:
        self._address = address

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """Send a command and return the value of the answer."""
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(f"{self._address}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, url: str) -> None:
        """Load a page and wait until it is there."""
        self.ask("POST", "/url", url=url)

    def run(self, script: str) -> Any:
        """Run the body of a function in the page and return what it returns."""
        return self.ask("POST", "/execute/sync", script=script, args=[])

    def complaints(self) -> list[str]:
        """Return what the browser has written to its console since it was asked before."""
        return [line["message"] for line in self.ask("POST", "/se/log", type="browser")]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser; the test is skipped without one, and fails in CI."""
    browser, driver = need("chromium", package="chromium"), need("chromedriver", package="chromium-driver")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    silent = subprocess.DEVNULL
    with subprocess.Popen([driver, f"--port={port}"], stdout=silent, stderr=silent) as process:
        try:
            whole = Browser(f"http://127.0.0.1:{port}")
            _wait_for(whole)
            options = {"binary": browser, "args": _OPTIONS}
            wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            session = whole.ask("POST", "/session", capabilities={"alwaysMatch": wanted})["sessionId"]
            window = Browser(f"http://127.0.0.1:{port}/session/{session}")
            yield window
            window.ask("DELETE", "")
        finally:
            process.terminate()


def _wait_for(driver: Browser) -> None:
    for _ in range(300):
        try:
            if driver.ask("GET", "/status")["ready"]:
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise TimeoutError("chromedriver does not answer")
