"""What crosses is read as if a stranger had sent it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from py_image_dedup import signature
from py_image_dedup.errors import NotNow, PictureError
from py_image_dedup.model import Content, Facts
from py_image_dedup.remote.message import Job, MessageError, answer, content_of, job_of, refusal

HASH = "0123456789abcdef" * 4
JOB = Job("key-1", HASH, 1000, 10**9)
FACTS = Facts("JPEG", 4000, 3000, 1, 12, "2024:05:01 12:00:00", grey=False)
CONTENT = Content(HASH, FACTS, np.arange(4096).astype(np.uint8).reshape(64, 64), np.full(648, -2, np.int8))

Told = dict[str, Any]


def crossed(data: Any) -> Any:
    """Return what arrives."""
    return msgpack.unpackb(msgpack.packb(data))


PICTURE_FACTS = st.builds(
    Facts,
    format=st.sampled_from(["JPEG", "PNG", "HEIF"]),
    width=st.integers(1, 10_000),
    height=st.integers(1, 10_000),
    exif_count=st.integers(0, 500),
    taken=st.text(st.characters(min_codepoint=1, codec="utf-8"), max_size=19),
    grey=st.booleans(),
)


@given(PICTURE_FACTS, st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_a_content_arrives_as_it_left(facts: Facts, seed: int) -> None:
    """Every fact, the thumbnail and the signature."""
    random = np.random.default_rng(seed)
    thumbnail = random.integers(0, 256, (64, 64), np.uint8)
    content = Content(HASH, facts, thumbnail, random.integers(-2, 3, signature.LENGTH, np.int8))
    read = content_of(crossed(answer(content)), JOB)
    assert (read.hash, read.facts) == (content.hash, content.facts)
    assert read.thumbnail.dtype == np.uint8
    assert read.signature.dtype == np.int8
    assert (read.thumbnail == content.thumbnail).all()
    assert (read.signature == content.signature).all()


def test_a_job_arrives_as_it_left() -> None:
    """Key, hash, size and limit."""
    assert job_of(crossed(JOB.as_data())) == JOB


@pytest.mark.parametrize("error", [PictureError("cut off"), NotNow("not enough memory")])
def test_a_refusal_arrives_as_it_left(error: PictureError) -> None:
    """The reason, and whether it may pass."""
    with pytest.raises(type(error), match=f"^{error}$") as raised:
        content_of(crossed(refusal(HASH, error)), JOB)
    assert type(raised.value) is type(error)


def facts(**changed: Any) -> Callable[[Told], Told]:
    """Return a lie about the facts."""
    return lambda told: told | {"facts": told["facts"] | changed}


LIES: dict[str, Callable[[Told], Any]] = {
    "another hash": lambda told: told | {"content": "f" * 64},
    "no hash": lambda told: told | {"content": None},
    "short signature": lambda told: told | {"signature": told["signature"][1:]},
    "signature out of range": lambda told: told | {"signature": b"\x03" * signature.LENGTH},
    "least signature": lambda told: told | {"signature": b"\x80" * signature.LENGTH},
    "signature as text": lambda told: told | {"signature": "x" * signature.LENGTH},
    "large thumbnail": lambda told: told | {"thumbnail": told["thumbnail"] + b"\0"},
    "other signature version": lambda told: told | {"signature_version": 999},
    "other message version": lambda told: told | {"version": 2},
    "other decoders": lambda told: told | {"reader": "Pillow 1.0"},
    "one more": lambda told: told | {"path": "/etc/passwd"},
    "one less": lambda told: {name: value for name, value in told.items() if name != "thumbnail"},
    "no facts": lambda told: told | {"facts": None},
    "one more fact": facts(path="/etc/passwd"),
    "no width": facts(width=0),
    "width as text": facts(width="4000"),
    "width true": facts(width=True),
    "huge": facts(width=10**6, height=10**6),
    "unknown format": facts(format="EXE"),
    "frames": facts(frames=-1),
    "long date": facts(taken="x" * 20),
    "grey": facts(grey=1),
    "no table": lambda told: told["signature"],
    "nothing": lambda _: None,
    "a list": lambda told: [told],
}


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_is_none_is_refused(lie: str) -> None:
    """Nothing that is not exactly an answer to this job becomes a content."""
    with pytest.raises(MessageError):
        content_of(crossed(LIES[lie](answer(CONTENT))), JOB)


@pytest.mark.parametrize(
    "change",
    [
        {"reason": ""},
        {"reason": "x" * 1001},
        {"reason": 1},
        {"may_pass": "yes"},
        {"signature": b""},
    ],
)
def test_a_refusal_that_is_none_is_refused(change: Told) -> None:
    """A reason is words, and not too many."""
    with pytest.raises(MessageError):
        content_of(crossed(refusal(HASH, PictureError("cut off")) | change), JOB)


@pytest.mark.parametrize(
    "change",
    [
        {"key": "../../etc"},
        {"key": ""},
        {"content": "xyz"},
        {"size": -1},
        {"size": "1"},
        {"max_pixels": 0},
        {"version": 0},
        {"command": "rm"},
    ],
)
def test_a_job_that_is_none_is_refused(change: Told) -> None:
    """A worker checks what it is asked."""
    with pytest.raises(MessageError):
        job_of(crossed(JOB.as_data() | change))


def test_another_version_is_told_with_the_remedy() -> None:
    """Whoever reads it knows what to install."""
    with pytest.raises(MessageError, match=r"signature_version 1, not 2: install the same version of py-image-dedup"):
        content_of(answer(CONTENT) | {"signature_version": 1}, JOB)


@given(
    st.binary(max_size=300) | st.dictionaries(st.text(max_size=10), st.none() | st.integers() | st.text() | st.binary())
)
def test_noise_is_refused(noise: object) -> None:
    """Whatever comes: a message error and nothing else."""
    for read in (job_of, lambda data: content_of(data, dataclasses.replace(JOB))):
        with pytest.raises(MessageError):
            read(noise)
