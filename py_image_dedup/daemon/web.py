"""Metrics, probes and words over HTTP: /metrics, /healthz, /readyz, /status."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from py_image_dedup.daemon.health import Health
from py_image_dedup.errors import ConfigError, NotRunning
from py_image_dedup.metrics import Metrics

_PLAIN: Final = "text/plain; charset=utf-8"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, metrics: Metrics, health: Health) -> None:
        self.metrics = metrics
        self.health = health
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Let clients go away whenever they want."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10  # seconds for a client to say what it wants

    def do_GET(self) -> None:
        health = self.server.health
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(200, *self.server.metrics.page(self.headers.get("Accept", "")))
            case "/healthz":
                self._tell(health.hangs)
            case "/readyz":
                self._tell(health.hangs or health.obstacle)
            case "/status":
                self._answer(200, _PLAIN, health.words().encode(errors="replace"))
            case _:
                self._answer(404, _PLAIN, b"there are /metrics, /healthz, /readyz and /status\n")

    do_HEAD = do_GET  # noqa: N815 - as the library calls it

    def _tell(self, obstacle: str) -> None:
        self._answer(503 if obstacle else 200, _PLAIN, f"{obstacle or 'ok'}\n".encode(errors="replace"))

    def _answer(self, code: int, content_type: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing: probes come every few seconds."""


def ask(host: str, port: int) -> str:
    """Return what /status of a running one tells; :class:`NotRunning` if there is none."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what it listens on, seen from here
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        if answer.status == 200:
            return answer.read(10_000).decode(errors="replace").rstrip()
    except http.client.HTTPException:
        pass
    except OSError as error:
        raise NotRunning(
            f"nothing answers on {host} port {port} ({error.strerror or error}): is it running, with stats.enabled?"
        ) from None
    finally:
        connection.close()
    raise NotRunning(f"what answers on {host} port {port} is another program; see stats.host and stats.port")


@contextmanager
def serving(host: str, port: int, metrics: Metrics, health: Health) -> Iterator[None]:
    """Answer requests while the block runs; :class:`ConfigError` if the address can't be had."""
    try:
        server = _Server(host, port, metrics, health)
    except OSError as error:
        raise ConfigError(
            f"metrics can't be offered on {host} port {port}: {error.strerror or error}; see stats.host, stats.port "
            "and stats.enabled"
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
