"""What crosses between a machine that has pictures and the workers that describe them: plain data, checked strictly.

The bytes of a picture lie under a key of their own; the job names it.  Whoever can write to the broker can send
anything, so both ends read what comes as if a stranger had sent it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from py_image_dedup import images, signature
from py_image_dedup.errors import DedupError, NotNow, PictureError
from py_image_dedup.model import Content, Facts

VERSION: Final = 1
"""Of jobs and answers; raised when one of the two changes."""

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_KEY: Final = re.compile(r"[0-9a-zA-Z:-]{1,200}")
_LONGEST_REASON = 1000  # characters
_MOST_PIXELS = 1 << 40
_MOST = 1 << 31
_LARGEST = 2  # of the values of a signature

Data = dict[str, Any]


class MessageError(DedupError):
    """A job or an answer is not what it should be; the message says in which way."""


@dataclass(frozen=True, slots=True)
class Job:
    """Please describe the picture of `size` bytes that lies under `key`, and has the SHA-256 `content`."""

    key: str
    content: str
    size: int
    max_pixels: int

    def as_data(self) -> Data:
        """Return what is sent."""
        return asdict(self) | _versions()


def job_of(data: object) -> Job:
    """Read a job; raises :class:`MessageError`."""
    told = _of_our_versions(data, "a job")
    job = Job(
        key=_text(told, "key", _KEY),
        content=_text(told, "content", _HASH),
        size=_whole(told, "size", 0, _MOST_PIXELS),
        max_pixels=_whole(told, "max_pixels", 1, _MOST_PIXELS),
    )
    _nothing_else(told, job.as_data())
    return job


def answer(content: Content) -> Data:
    """Return what is sent back for a picture."""
    return {
        **_versions(),
        "content": content.hash,
        "facts": asdict(content.facts),
        "thumbnail": content.thumbnail.tobytes(),
        "signature": content.signature.tobytes(),
    }


def refusal(content: str, error: PictureError) -> Data:
    """Return what is sent back for bytes that are no picture, or could not be read for now."""
    reason = str(error)[:_LONGEST_REASON]
    return {**_versions(), "content": content, "reason": reason, "may_pass": isinstance(error, NotNow)}


def content_of(data: object, job: Job) -> Content:
    """Read the answer to a job.

    Raises :class:`PictureError` or :class:`NotNow` if that is the answer, :class:`MessageError` if it is none.
    """
    told = _of_our_versions(data, "an answer")
    if told.get("content") != job.content:
        raise MessageError("it is the answer to another job")
    if "reason" in told:
        _nothing_else(told, [*_versions(), "content", "reason", "may_pass"])
        reason = _text(told, "reason", re.compile(rf"(?s).{{1,{_LONGEST_REASON}}}"))
        if not isinstance(told["may_pass"], bool):
            raise MessageError("may_pass is neither true nor false")
        raise (NotNow if told["may_pass"] else PictureError)(reason)
    _nothing_else(told, [*_versions(), "content", "facts", "thumbnail", "signature"])
    side = images.THUMBNAIL_SIDE
    content = Content(
        job.content,
        _facts(told["facts"], job),
        np.frombuffer(_bytes(told, "thumbnail", side**2), np.uint8).reshape(side, side),
        np.frombuffer(_bytes(told, "signature", signature.LENGTH), np.int8),
    )
    if np.abs(content.signature.astype(np.int16)).max() > _LARGEST:
        raise MessageError(f"its signature has values beyond {_LARGEST}")
    return content


def _versions() -> Data:
    return {"version": VERSION, "signature_version": signature.VERSION, "reader": images.READER}


def _of_our_versions(data: object, what: str) -> Data:
    """Check that both ends would come to the same: program, signature and decoders are of one version."""
    if not isinstance(data, dict):
        raise MessageError(f"{what} must be a table of names and values")
    for name, ours in _versions().items():
        if data.get(name) != ours:
            theirs = repr(data.get(name))[:100]
            raise MessageError(
                f"{what} has {name} {theirs}, not {ours!r}: install the same version of py-image-dedup, with the same "
                "decoders, on this machine and on its workers"
            )
    return data


def _facts(told: object, job: Job) -> Facts:
    if not isinstance(told, dict):
        raise MessageError("it holds no facts")
    if told.get("format") not in images.FORMATS or not isinstance(told.get("grey"), bool):
        raise MessageError("its facts name no format, or not whether the picture is grey")
    facts = Facts(
        format=told["format"],
        width=_whole(told, "width", 1, _MOST),
        height=_whole(told, "height", 1, _MOST),
        frames=_whole(told, "frames", 1, _MOST),
        exif_count=_whole(told, "exif_count", 0, _MOST),
        taken=_text(told, "taken", re.compile(r"[^\x00]{0,19}")),
        grey=told["grey"],
    )
    if facts.pixels > job.max_pixels:
        raise MessageError(f"its picture has more than {job.max_pixels} pixels")
    _nothing_else(told, asdict(facts))
    return facts


def _nothing_else(told: Data, names: Iterable[str]) -> None:
    expected = {*names}
    if told.keys() != expected:
        raise MessageError(f"it does not hold exactly {', '.join(sorted(expected))}")


def _text(told: Data, name: str, pattern: re.Pattern[str]) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise MessageError(f"{name} is not what it should be")
    return value


def _whole(told: Data, name: str, low: int, high: int) -> int:
    value = told.get(name)
    if type(value) is not int or not low <= value <= high:
        raise MessageError(f"{name} is not a whole number from {low} to {high}")
    return value


def _bytes(told: Data, name: str, size: int) -> bytes:
    value = told.get(name)
    if not isinstance(value, bytes) or len(value) != size:
        raise MessageError(f"{name} is not {size} bytes")
    return value
