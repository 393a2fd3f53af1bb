"""Numbers in words."""

from __future__ import annotations

import pytest

from py_image_dedup.words import counted, megabytes


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0.00 MB"),
        (4_999, "0.00 MB"),
        (5_001, "0.01 MB"),
        (1_000_000, "1.00 MB"),
        (99_990_000, "99.99 MB"),
        (100_000_000, "100 MB"),
        (1_234_567_890_123, "1,234,568 MB"),
    ],
)
def test_megabytes(size: int, text: str) -> None:
    """Sizes are printed in MB of a million bytes: with two decimals below 100, whole above."""
    assert megabytes(size) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 entries, 0 files"), (1, "1 entry, 1 file"), (2, "2 entries, 2 files")]
)
def test_one_is_no_plural(number: int, text: str) -> None:
    """One thing is named as one, any other number of them by the plural."""
    assert f"{counted(number, 'entry', 'entries')}, {counted(number, 'file')}" == text
