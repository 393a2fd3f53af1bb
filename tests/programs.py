"""Programs that tests run and that are not Python's: said in one line where one is missing, a failure in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def need(program: str, *, package: str) -> str:
    """Return the path of a program; without it the test is skipped, with the name of Debian's package."""
    path = shutil.which(program)
    if path is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no {program}: apt-get install {package}")
    return path
