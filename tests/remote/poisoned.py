"""Workers that fail in ways that real pictures and real liars would make them: told by the environment, for tests.

``POISON``: the SHA-256 of a content that kills the process.  ``SLOW``: seconds that decoding takes more.
``LIE``: tells something else.  ``ONCE``: a file; the first picture creates it and kills its process.  ``LOG``: a file
that gets a line for every picture.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from typing import Any, BinaryIO

from PIL.Image import Image

from py_image_dedup import images
from py_image_dedup.analysis import Decoder
from py_image_dedup.config import load_settings
from py_image_dedup.model import Content
from py_image_dedup.remote import message
from py_image_dedup.remote.worker import make_worker

_describe, _decode, _answer = Decoder.describe, images._decode, message.answer


def describe(self: Decoder, content: str, source: BinaryIO) -> Content:
    """Describe, unless it is to fail."""
    if content == os.environ.get("POISON"):
        os.kill(os.getpid(), signal.SIGKILL)
    once = os.environ.get("ONCE")
    if once and not os.path.exists(once):
        with open(once, "x", encoding="ascii"):
            os.kill(os.getpid(), signal.SIGKILL)
    if log := os.environ.get("LOG"):
        with open(log, "a", encoding="ascii") as file:
            file.write(f"{content}\n")
    return _describe(self, content, source)


def decode(image: Image) -> images.Picture:
    """Decode, after a while."""
    time.sleep(float(os.environ.get("SLOW", "0")))
    return _decode(image)


def answer(content: Content) -> dict[str, Any]:
    """Answer, as if another picture had been asked for if it is to lie."""
    return _answer(dataclasses.replace(content, hash="f" * 64) if os.environ.get("LIE") else content)


Decoder.describe = describe  # type: ignore[method-assign]
images._decode = decode
message.answer = answer
app = make_worker(load_settings().settings)
