"""A line to a server that can be slow, or be cut."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def forwarder(url: str, *, delay_s: float = 0) -> Iterator[tuple[str, Callable[[], None]]]:
    """Give a URL that leads to the server of another, and a function that cuts the line; answers may be delayed."""
    host, port = url.rpartition("/")[2].split(":")
    listening = socket.create_server(("127.0.0.1", 0))
    ends = [listening]

    def pump(source: socket.socket, target: socket.socket, delay: float) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                time.sleep(delay)
                target.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.create_connection((host, int(port)))
                ends.extend((near, far))
                for ends_and_delay in ((near, far, 0), (far, near, delay_s)):
                    threading.Thread(target=pump, args=ends_and_delay, daemon=True).start()

    def cut() -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", cut
    finally:
        cut()
