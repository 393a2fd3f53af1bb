"""difPy and the library, shortened: ``scripts/check-long difpy`` does it on either side of 5,000 pictures."""

from __future__ import annotations

from pathlib import Path

from difpy_sides import compare


def test_both_find_the_same(tmp_path: Path) -> None:
    """Of few pictures both list the same matches."""
    found = compare(tmp_path, 150)

    assert found.pop("both") == 50
    assert set(found.values()) == {0}
