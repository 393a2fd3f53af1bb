"""What the image and the stack are made of, read from their files, and the log of the last time they were built."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "contrib/containers"
LOG = FOLDER / "BUILD.log"
FILES = (
    ".dockerignore",
    "Dockerfile",
    "docker-compose.yml",
    "contrib/containers/entrypoint",
    "contrib/containers/healthcheck",
    "contrib/containers/py_image_dedup.yaml",
)
"""The files of which a change wants a new log."""


class Step(NamedTuple):
    """One instruction of a Dockerfile."""

    name: str
    words: str


def hashes() -> list[str]:
    """Return a line for each of the files: its SHA-256 and its name."""
    return [f"{hashlib.sha256((ROOT / name).read_bytes()).hexdigest()}  {name}" for name in FILES]


def stages() -> list[list[Step]]:
    """Return the instructions of each stage of the Dockerfile, without its FROM."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    steps = [Step(*line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]
    starts = [at for at, step in enumerate(steps) if step.name == "FROM"]
    return [steps[start + 1 : end] for start, end in zip(starts, [*starts[1:], len(steps)], strict=True)]


def image_environment() -> dict[str, str]:
    """Return what ENV sets in the image."""
    pairs = (word for step in stages()[-1] if step.name == "ENV" for word in shlex.split(step.words))
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def services() -> dict[str, Any]:
    """Return the services of docker-compose.yml."""
    read: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
    return read


def filled(value: str, **given: str) -> str:
    """Replace variables as Docker Compose does; what is not given has the default that stands there."""
    value = re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda found: given.get(found[1], found[2] or ""), value)
    return value.replace("$$", "$")


def variables() -> Iterator[str]:
    """Yield the variables that docker-compose.yml takes from .env."""
    yield from re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text())
