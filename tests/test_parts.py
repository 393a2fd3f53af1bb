"""Crops and frames that no signature of a whole picture finds."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pictures
import pytest
from command import Command
from PIL import Image, ImageOps

from py_image_dedup import images, signature
from py_image_dedup.model import Content, File, Record
from py_image_dedup.parts import WINDOWS, find_parts
from py_image_dedup.stores.sqlite import SqliteStore


def put(store: SqliteStore, *shown: Image.Image) -> list[str]:
    """Record pictures, and return the hashes of their contents, in order."""
    some = []
    for number, picture in enumerate(shown):
        found = images.read(io.BytesIO(pictures.encode(picture, "PNG")), max_pixels=10**8)
        content = f"{number:064x}"
        whole = Content(content, found.facts, found.thumbnail, signature.goldberg(found.grey))
        some.append(Record(File("test", f"/{number}", 1, 1, content), whole))
    store.put(some)
    return [one.file.content for one in some]


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore.open(str(tmp_path / "store.sqlite"), origin="test")


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "a tenth off the left and the top": lambda image: image.crop((80, 60, 800, 600)),
    "a tenth off the right and the bottom": lambda image: image.crop((0, 0, 720, 540)),
    "a tenth off the left and the bottom": lambda image: image.crop((80, 0, 800, 540)),
    "a frame": lambda image: ImageOps.expand(image, 40, "white"),
}


@pytest.mark.parametrize("copy", COPIES)
def test_finds_what_shows_a_part(store: SqliteStore, copy: str) -> None:
    """A window of the original lies much nearer to the copy than the whole does; others stay far."""
    photos = [pictures.photo(seed, (800, 600)) for seed in range(4, 10)]
    cut = [COPIES[copy](photo) for photo in photos]
    hashes = put(store, *photos, *cut)
    found = {(match.a, match.b): match for match in find_parts(store, hashes, within=0.45)}
    pairs = {(hashes[number], hashes[number + len(photos)]) for number in range(len(photos))}
    assert pairs <= set(found)
    assert set(found) - pairs == set()
    assert all(match.part and match.a < match.b for match in found.values())


def test_each_pair_comes_once_and_none_with_itself(store: SqliteStore) -> None:
    """Two copies of one picture are near in every window; they are one pair all the same, at the least distance."""
    photo = pictures.photo(4, (800, 600))
    hashes = put(store, photo, photo.resize((400, 300)), Image.new("RGB", (300, 200), "white"))
    steps: list[tuple[int, int]] = []
    (found,) = find_parts(store, hashes, within=0.45, progress=lambda *step: steps.append(step))
    assert (found.a, found.b) == (hashes[0], hashes[1])
    assert steps == [(number, len(WINDOWS)) for number in range(1, len(WINDOWS) + 1)]
    assert list(find_parts(store, [], within=0.45)) == []


def test_a_large_crop_is_shown_and_never_goes(tmp_path: Path) -> None:
    """With the preset thorough a crop of a tenth is listed as a similar part, and both files stay."""
    album = tmp_path / "album"
    album.mkdir()
    for seed in range(4, 9):
        photo = pictures.photo(seed, (800, 600))
        photo.save(album / f"{seed}.jpg", quality=92)
        COPIES["a tenth off the left and the top"](photo).save(album / f"{seed} cropped.jpg", quality=85)
    command = Command(tmp_path / "home")
    run = command.run("deduplicate", album, "--preset", "thorough", "--target", tmp_path / "t", "--no-dry-run")
    listed = [(Path(group["keeper"]["path"]).name, one) for group in run.json["groups"] for one in group["duplicates"]]
    assert {(keeper, Path(one["path"]).name) for keeper, one in listed} == {
        (f"{seed}.jpg", f"{seed} cropped.jpg") for seed in range(4, 9)
    }
    assert {(one["level"], one["action"]) for _, one in listed} == {("similar", "keep")}
    assert any(one["part"] for _, one in listed)
    assert len(list(album.iterdir())) == 10
