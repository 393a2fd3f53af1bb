"""A real Redis and real workers, on loopback, to be killed and restarted."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import redis

TESTS = Path(__file__).resolve().parent.parent
PROGRAM = shutil.which("redis-server")


def addresses(url: str) -> dict[str, str]:
    """Return the settings for a Redis; jobs go over the RabbitMQ that ``RABBITMQ_URL`` names, if it names one."""
    host = urlsplit(url).hostname or ""
    return {
        "PY_IMAGE_DEDUP_REMOTE_BROKER_URL": os.environ.get("RABBITMQ_URL", url).replace("127.0.0.1", host),
        "PY_IMAGE_DEDUP_REMOTE_RESULT_URL": url,
    }


class RedisServer:
    """A Redis of its own below a folder; may be stopped and started again, and keeps nothing then."""

    def __init__(self, folder: Path, *options: str, host: str = "127.0.0.1") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.options = ("--bind", host, "--protected-mode", "no", *options)
        with socket.socket() as free:
            free.bind((host, 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://{host}:{self.port}/0"
        self.client = redis.Redis.from_url(self.url, socket_timeout=5)
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: list[str] = []
        """A command that runs the server, such as on another core."""

    def use_tls(self, authority: Path) -> None:
        """Offer TLS and nothing else."""
        self.url = self.url.replace("redis:", "rediss:")
        self.client = redis.Redis.from_url(self.url, socket_timeout=5, ssl_ca_certs=str(authority))
        self.options = ("--tls-port", str(self.port), "--port", "0", *self.options)

    def start(self) -> None:
        assert PROGRAM, "redis-server is not installed"
        command = [*self.prefix, PROGRAM, "--port", str(self.port), "--save", "", "--dir", str(self.folder)]
        with open(self.folder / "redis.log", "ab") as log:
            self.process = subprocess.Popen([*command, *self.options], stdout=log, stderr=log)
        wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.AuthenticationError:
            return True  # it is there, and wants a password
        except redis.RedisError:
            return False

    def stop(self, sign: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(sign)
            self.process.wait(timeout=30)
            self.process = None


class Worker:
    """``py-image-dedup worker``, or the same by Celery's command with a module that `wraps` it."""

    def __init__(
        self, folder: Path, url: str, *, wraps: str = "", prefix: Sequence[str] = (), **environment: str
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "worker.log"
        command = [sys.executable, "-m", "py_image_dedup", "worker", "-p", "2"]
        if wraps:
            command = [sys.executable, "-m", "celery", "-A", wraps, "worker", "--concurrency=2", "-l", "WARNING"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*prefix, *command],
                stdout=log,
                stderr=log,
                cwd=folder,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(folder),
                    "PYTHONPATH": f"{TESTS.parent}:{TESTS / 'remote'}",
                    **addresses(url),
                    "OPENBLAS_NUM_THREADS": "1",
                }
                | environment,
            )

    def children(self) -> list[int]:
        """Return the processes that describe."""
        try:
            text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        except OSError:
            return []
        return [int(word) for word in text.split()]

    def ready(self) -> None:
        """Wait until it takes jobs."""
        wait_until(lambda: len(self.children()) >= 2)
        time.sleep(1)

    def kill(self) -> None:
        """End it and its children at once."""
        family = [self.process.pid, *self.children()]
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=30)

    def stop(self) -> None:
        """Ask it to end."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def running(worker: Worker) -> Iterator[Worker]:
    """Have a worker until the end of the block."""
    try:
        worker.ready()
        yield worker
    finally:
        worker.stop()


def wait_until(holds: object, *, seconds: float = 60) -> None:
    """Wait until a function returns something true."""
    assert callable(holds)
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
