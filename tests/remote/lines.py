"""A machine with a network of its own, on a line that can be slow, or be cut; needs root."""

from __future__ import annotations

import os
import subprocess
from typing import Self

import pytest
from programs import need


class Line:
    """Joins a network namespace to the network of this machine by a pair of interfaces, in a ``with`` block.

    ``prefix`` runs a command in it; ``near`` is the address of this machine, ``far`` that of the other.
    """

    def __init__(self) -> None:
        number = os.getpid()
        self._name = f"dedup{number}"
        # In a range that is set aside for tests of networks: four addresses for each process.
        block, first = f"198.18.{number % 250}", 4 * (number // 250 % 64)
        self.near, self.far = f"{block}.{first + 1}", f"{block}.{first + 2}"
        self.prefix = ["nsenter", f"--net=/run/netns/{self._name}"]

    def __enter__(self) -> Self:
        need("ip", package="iproute2")
        made = subprocess.run(["ip", "netns", "add", self._name], check=False, capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"no network of its own can be made here: {made.stderr.splitlines()[0]}")
        _run("ip", "link", "add", self._name, "type", "veth", "peer", "name", "far", "netns", self._name)
        _run("ip", "address", "add", f"{self.near}/30", "dev", self._name)
        _run("ip", "link", "set", self._name, "up")
        _run(*self.prefix, "ip", "address", "add", f"{self.far}/30", "dev", "far")
        for device in ("lo", "far"):
            _run(*self.prefix, "ip", "link", "set", device, "up")
        return self

    def __exit__(self, *_: object) -> None:
        _run("ip", "netns", "delete", self._name)  # and with it both interfaces

    def slow_down(self, megabits: int) -> None:
        """Let so many megabits pass each second, in each direction."""
        limit = ["tbf", "rate", f"{megabits}mbit", "burst", "64kb", "latency", "100ms"]
        _run("tc", "qdisc", "replace", "dev", self._name, "root", *limit)
        _run(*self.prefix, "tc", "qdisc", "replace", "dev", "far", "root", *limit)

    def cut(self) -> None:
        """Let nothing pass, and tell nobody."""
        _run("ip", "link", "set", self._name, "down")

    def mend(self) -> None:
        """Let all pass again."""
        _run("ip", "link", "set", self._name, "up")


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)
