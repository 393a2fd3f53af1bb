"""A describer that dies of some bytes, in a module of its own so that other processes can import it."""

from __future__ import annotations

import os
import signal
from typing import BinaryIO

from py_image_dedup.analysis import Decoder, MemoryBudget
from py_image_dedup.model import Content

POISON = b"ends who reads it"


class Deadly:
    """Describes pictures, and dies of some bytes as a decoder in C may."""

    elsewhere = 0

    def __init__(self, *, budget: MemoryBudget) -> None:
        self._decoder = Decoder(max_pixels=10**8, budget=budget)

    def describe(self, content: str, source: BinaryIO) -> Content:
        """Describe a picture, or end the process."""
        if source.read() == POISON:
            os.kill(os.getpid(), signal.SIGSEGV)
        source.seek(0)
        return self._decoder.describe(content, source)
