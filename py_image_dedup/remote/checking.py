"""Whether anybody is there who describes pictures."""

from __future__ import annotations

import hashlib
import time
import uuid

from py_image_dedup.errors import PictureError
from py_image_dedup.remote.broker import BrokerError, Ended
from py_image_dedup.remote.message import Job, content_of
from py_image_dedup.remote.post import Mail

_QUESTION = b"This is no picture. Is anybody there?"


def check(mail: Mail, seconds: float) -> None:
    """Send what is no picture, and wait until a worker says so.

    Raises :class:`BrokerError` if nobody does in time, :class:`MessageError` if the answer is none.
    """
    job = Job(uuid.uuid4().hex, hashlib.sha256(_QUESTION).hexdigest(), len(_QUESTION), 1)
    mail.put(job, _QUESTION, seconds=seconds)
    mail.ask(job)
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            for _, answer in mail.answers([job.key]):
                if isinstance(answer, Ended):
                    raise BrokerError(f"a worker failed: {answer.how}")
                try:
                    content_of(answer, job)
                except PictureError:
                    return
            time.sleep(0.1)
    finally:
        mail.forget(job)
    raise BrokerError(f"no worker answered within {seconds:g} s")
