"""The far end: one task that describes one picture.

``py-image-dedup worker`` runs it, and so does ``celery -A py_image_dedup.remote.worker worker``.
"""

from __future__ import annotations

import hashlib
import io
from functools import cache

from py_image_dedup.analysis import Decoder
from py_image_dedup.config import load_settings
from py_image_dedup.errors import NotNow, PictureError
from py_image_dedup.remote import message
from py_image_dedup.remote.broker import TASK, Bytes, addresses_of, cost_of, make_app

_settings = load_settings().settings  # here and nowhere else while a module loads: Celery looks for `app` in it
_addresses = addresses_of(_settings.remote)

app = make_app(_addresses, cost_of(_settings.remote))


@cache
def _bytes() -> Bytes:
    return Bytes(_addresses)  # one for each process: connections don't survive a fork


@app.task(name=TASK)  # type: ignore[untyped-decorator]
def describe(data: object) -> message.Data:
    """Answer a job: what its picture is, or why it is none."""
    job = message.job_of(data)
    try:
        return message.answer(_described(job))
    except PictureError as error:
        return message.refusal(job.content, error)


def _described(job: message.Job) -> message.Content:
    if job.size > _settings.analysis.max_file_size:
        raise NotNow("larger than analysis.max_file_size of the worker allows")
    picture = _bytes().get(job.key, size=job.size)
    if picture is None:
        raise NotNow("its bytes are gone")
    if hashlib.sha256(picture).hexdigest() != job.content:
        raise NotNow("its bytes were changed on the way")
    if job.max_pixels > _settings.analysis.max_megapixels * 1_000_000:
        raise NotNow("more pixels than analysis.max_megapixels of the worker allows")
    return Decoder(max_pixels=job.max_pixels).describe(job.content, io.BytesIO(picture))
