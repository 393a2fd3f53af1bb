"""docs/library.md: its examples run as they stand there, on a folder as it describes."""

from __future__ import annotations

import doctest
import os
import shutil
from pathlib import Path

import pictures
import pytest

PAGE = Path(__file__).parent.parent / "docs" / "library.md"


def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example prints what the page says."""
    for name in [name for name in os.environ if name.startswith(("XDG_", "PY_IMAGE_DEDUP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    for seed, name in enumerate(("beach", "street", "winter")):
        pictures.write(folder / f"{name}.png", pictures.photo(seed, (160, 120)), "PNG")
    (folder / "old").mkdir()
    shutil.copy(folder / "beach.png", folder / "old")
    forest = pictures.photo(1, (160, 120)).point(lambda value: value // 2 + 40)
    pictures.write(folder / "forest.png", forest, "PNG")
    pictures.write(folder / "sent" / "forest.png", forest.point(lambda value: value + 2), "PNG", compress_level=9)
    pictures.write(tmp_path / "test" / "a.png", pictures.photo(1, (160, 120)), "PNG", compress_level=9)
    pictures.write(tmp_path / "test" / "b.png", pictures.photo(9, (160, 120)), "PNG")
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.jpg").write_bytes(b"no picture")
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")

    assert failed == 0
    assert tried > 12
