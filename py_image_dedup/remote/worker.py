"""The far end: one task that describes one picture.

``py-image-dedup worker`` runs it, and so does ``celery -A py_image_dedup.remote.worker worker``.
"""

from __future__ import annotations

import hashlib
import io
from functools import cache
from typing import TYPE_CHECKING

from py_image_dedup.analysis import Decoder
from py_image_dedup.config import FOLDERS, Settings, load_settings
from py_image_dedup.errors import NotNow, PictureError
from py_image_dedup.remote import message
from py_image_dedup.remote.broker import TASK, Bytes, addresses_of, make_app

if TYPE_CHECKING:
    from celery import Celery

    from py_image_dedup.model import Content


def make_worker(settings: Settings) -> Celery:
    """Return the Celery application with its one task."""
    addresses = addresses_of(settings.remote)
    seconds = max(1, round(settings.remote.time_limit.total_seconds()))  # for Celery 0 is no limit
    app = make_app(addresses)
    app.conf.update(
        task_time_limit=seconds,  # and no soft one: its exception would come out of a decoder like any of its own
        worker_max_memory_per_child=settings.remote.memory_limit // 1024,  # Celery counts kilobytes
    )
    largest, most_pixels = settings.analysis.max_file_size, settings.analysis.max_megapixels * 1_000_000

    @cache
    def pictures() -> Bytes:
        return Bytes(addresses)  # made in the process that uses it: a connection does not survive a fork

    def described(job: message.Job) -> Content:
        if job.size > largest:
            raise NotNow("larger than analysis.max_file_size of the worker allows")
        picture = pictures().get(job.key, size=job.size)
        if picture is None:
            raise NotNow("its bytes are gone")
        if hashlib.sha256(picture).hexdigest() != job.content:
            raise NotNow("its bytes were changed on the way")
        if job.max_pixels > most_pixels:
            raise NotNow("analysis.max_megapixels of the worker is less than that of the sender")
        return Decoder(max_pixels=job.max_pixels).describe(job.content, io.BytesIO(picture))

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def describe(data: object) -> message.Data:
        job = message.job_of(data)
        try:
            return message.answer(described(job))
        except PictureError as error:
            return message.refusal(job.content, error)

    return app


def __getattr__(name: str) -> Celery:
    """Make the application when Celery's own command looks for it."""
    if name == "app":
        return make_worker(load_settings(leave_out=FOLDERS).settings)
    raise AttributeError(name)
