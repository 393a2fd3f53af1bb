"""The last look at real files: what it decides, what it remembers, and what it never decides."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pages
import pictures
import pytest
from command import Command
from PIL import Image, ImageDraw
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import IFDRational

from py_image_dedup import images, registration
from py_image_dedup.files import look, sha256
from py_image_dedup.looks import LastLook, in_register
from py_image_dedup.model import Candidate, Cause, Content, Facts, File, Match, Record, Turn, View
from py_image_dedup.stores.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore.open(str(tmp_path / "store.sqlite"), origin="test")


def new_look(store: SqliteStore) -> LastLook:
    return LastLook(store, max_pixels=10**8, reserve=lambda _: nullcontext())


def candidate(path: Path, size: tuple[int, int]) -> Candidate:
    inode = look(str(path))
    assert inode is not None
    file = File("test", str(path), inode.size, inode.mtime_ns, sha256(str(path)))
    return Candidate(file, Facts("JPEG", *size), "/")


def save(path: Path, picture: Image.Image, quality: int = 90) -> Candidate:
    picture.save(path, quality=quality)
    return candidate(path, picture.size)


def match(a: Candidate, b: Candidate, turn: Turn = Turn.UPRIGHT) -> Match:
    """Make a match of two files, the second of which must be turned so to look like the first."""
    if a.file.content < b.file.content:
        return Match(a.file.content, b.file.content, 0.1, turn)
    return Match(b.file.content, a.file.content, 0.1, turn.inverse)


@pytest.mark.parametrize("turn", Turn)
def test_a_turned_copy_is_the_same_once_it_is_turned_back(store: SqliteStore, tmp_path: Path, turn: Turn) -> None:
    """A smaller copy, turned or mirrored, is the same picture for the turn that takes it back, and for no other."""
    picture = pictures.photo(4, (1000, 700))
    other = Image.fromarray(images.turned(np.asarray(picture.resize((500, 350))), turn.inverse))
    a, b = save(tmp_path / "a.jpg", picture), save(tmp_path / "b.jpg", other)
    first = new_look(store)
    assert first.same(a, b, turn)
    first.save()
    again = new_look(store)
    again.recall([match(a, b, turn)])
    assert again.same(b, a, turn.inverse)
    assert again.taken == 0
    other_way = Turn.HALF if turn is Turn.UPRIGHT else Turn.UPRIGHT
    unaware = new_look(store)
    unaware.recall([match(a, b, other_way)])
    assert not unaware.same(a, b, other_way)


def test_a_keeper_is_decoded_once_for_its_copies(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking at one picture beside five copies of its size decodes six pictures, not ten."""
    decoded: list[int] = []
    view = images.view

    def counted(*arguments: Any, **options: Any) -> View:
        decoded.append(1)
        return view(*arguments, **options)

    monkeypatch.setattr(images, "view", counted)
    photo = pictures.photo(4, (640, 480))
    first, *copies = (save(tmp_path / f"{quality}.jpg", photo, quality) for quality in (95, 90, 85, 80, 75, 70))
    look = new_look(store)
    assert all(look.same(first, copy) for copy in copies)
    assert len(decoded) == 6


def test_a_glance_at_the_thumbnails_spares_decoding_what_differs(store: SqliteStore, tmp_path: Path) -> None:
    """Shots that differ at thumbnail size are told apart without opening a file; a copy is still looked at."""
    photo = pictures.photo(4, (800, 600))
    other = photo.copy()
    other.paste(pictures.photo(5, (300, 300)), (200, 100))
    files = [save(tmp_path / name, one) for name, one in (("a.jpg", photo), ("b.jpg", other))]
    copy = save(tmp_path / "c.jpg", photo, 60)
    for one in (*files, copy):
        found = images.read(io.BytesIO(Path(one.file.path).read_bytes()), max_pixels=10**8)
        content = Content(one.file.content, found.facts, found.thumbnail, np.zeros(648, np.int8))
        store.put([Record(one.file, content)])
    a, b = files
    Path(b.file.path).unlink()
    first = new_look(store)
    assert not first.same(a, b)
    assert (first.taken, first.unreadable) == (0, {})
    assert first.same(a, copy)
    assert first.taken == 1
    first.save()
    again = new_look(store)
    again.recall([match(a, b), match(a, copy)])
    assert (again.same(b, a), again.same(copy, a), again.taken) == (False, True, 0)


def recorded(store: SqliteStore, *shown: Image.Image) -> list[str]:
    """Put pictures into the store, and return the hashes of their contents, in order."""
    contents = []
    for number, picture in enumerate(shown):
        found = images.read(io.BytesIO(pictures.encode(picture, "PNG")), max_pixels=10**8)
        contents.append(Content(f"{number:064x}", found.facts, found.thumbnail, np.zeros(648, np.int8)))
    files = [File("test", f"/{one.hash}", 1, 1, one.hash) for one in contents]
    store.put([Record(file, one) for file, one in zip(files, contents, strict=True)])
    return [one.hash for one in contents]


def test_only_what_can_be_laid_over_each_other_is_shown(store: SqliteStore) -> None:
    """A crop passes, turned ones too by their turn, and another picture does not; a second time nothing is compared."""
    photo = pictures.photo(4, (800, 600))
    crop = photo.crop((40, 20, 760, 560))
    lying = crop.transpose(Image.Transpose.ROTATE_90)
    whole, part, turned, other = recorded(store, photo, crop, lying, pictures.photo(5, (800, 600)))
    matches = [Match(whole, part, 0.4), Match(whole, turned, 0.4, Turn.CLOCKWISE), Match(whole, other, 0.3)]
    steps: list[tuple[int, int]] = []
    for _ in range(2):
        found = list(in_register(store, matches, progress=lambda *step: steps.append(step)))
        assert found == matches[:2]
    assert steps == [(3, 3)] * 2
    assert list(in_register(store, [Match(whole, turned, 0.4)])) == []
    with monkeypatched_thumbnails(store):
        assert list(in_register(store, [Match(whole, turned, 0.4)])) == []


def test_many_pairs_are_laid_over_each_other_side_by_side(store: SqliteStore) -> None:
    """Each match gets the answer of its own pair, in order, in however many threads and pieces."""
    photos = [pictures.photo(seed, (200, 150)) for seed in range(9)]
    hashes = recorded(store, *photos, *(photo.crop((10, 0, 200, 140)) for photo in photos))
    matches = [Match(a, b, 0.4) for a, b in combinations(hashes, 2)]
    assert len(matches) > 2 * registration.AT_ONCE
    crops = [match for match in matches if hashes.index(match.b) == hashes.index(match.a) + 9]

    assert list(in_register(store, matches, threads=3)) == crops


@contextmanager
def monkeypatched_thumbnails(store: SqliteStore) -> Iterator[None]:
    """Fail when a thumbnail is asked for: what is remembered needs none."""
    asked = store.thumbnails

    def refuse(contents: Collection[str]) -> Any:
        assert not contents
        return asked(contents)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "thumbnails", refuse)
        yield


def test_a_smaller_recompressed_copy_is_the_same(store: SqliteStore, tmp_path: Path) -> None:
    """Half the size at a lower quality is still the same picture, whichever comes first."""
    picture = pictures.photo(4, (1600, 1200))
    a, b = save(tmp_path / "a.jpg", picture), save(tmp_path / "b.jpg", picture.resize((800, 600)), 60)

    assert new_look(store).same(a, b)
    assert new_look(store).same(b, a)


def test_a_small_object_more_is_another_picture(store: SqliteStore, tmp_path: Path) -> None:
    """A spot of a twentieth of the width makes it another picture."""
    picture = pictures.photo(4, (1600, 1200))
    other = picture.copy()
    ImageDraw.Draw(other).ellipse((700, 500, 780, 580), fill=(250, 240, 30), outline="black", width=6)
    a, b = save(tmp_path / "a.jpg", picture), save(tmp_path / "b.jpg", other)

    assert not new_look(store).same(a, b)


EXPOSED = {
    Base.DateTimeOriginal: "2024:05:01 12:00:07",
    Base.SubsecTimeOriginal: "25",
    Base.ExposureTime: IFDRational(1, 60),
    Base.ISOSpeedRatings: 400,
}


@pytest.mark.parametrize(
    ("changed", "two"),
    [
        ({}, False),
        ({Base.SubsecTimeOriginal: "2"}, False),  # as a program has cut it
        ({Base.SubsecTimeOriginal: "257"}, False),
        ({Base.ExposureTime: IFDRational(17, 1000)}, False),  # as a program has rounded it
        ({Base.DateTimeOriginal: "2024-05-01T12:00:07"}, False),
        ({Base.DateTimeOriginal: "0000:00:00 00:00:00"}, False),
        ({Base.DateTimeOriginal: "2024:05:01 12:00:08"}, True),
        ({Base.SubsecTimeOriginal: "27"}, True),
        ({Base.ExposureTime: IFDRational(1, 80)}, True),
        ({Base.ISOSpeedRatings: 500}, True),
    ],
)
def test_two_shots_are_two_pictures(
    store: SqliteStore, tmp_path: Path, changed: dict[int, object], *, two: bool
) -> None:
    """However alike they are: a bracket, or what a camera on a tripod took; unless all pixels are the same."""
    picture, grain = pictures.photo(4, (800, 600)), np.random.default_rng(1).normal(0, 2, (600, 800, 3))
    again = Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))
    (tmp_path / "a.jpg").write_bytes(pictures.encode(picture, quality=92, exif=pictures.exif(details=EXPOSED)))
    block = pictures.exif(details={**EXPOSED, **changed})
    (tmp_path / "b.jpg").write_bytes(pictures.encode(again, quality=92, exif=block))
    (tmp_path / "c.jpg").write_bytes(pictures.encode(picture, quality=92, exif=block))
    a, b, c = (candidate(tmp_path / name, picture.size) for name in ("a.jpg", "b.jpg", "c.jpg"))
    if changed:
        assert new_look(store).same(a, c)
    assert new_look(store).same(a, b) is not two


def logo(words: str, fill: str) -> Image.Image:
    """Draw shapes and words on nothing."""
    image = Image.new("RGBA", (640, 480))
    draw = ImageDraw.Draw(image)
    draw.ellipse((40, 40, 300, 300), fill=(200, 30, 40))
    draw.polygon([(400, 60), (600, 60), (500, 240)], fill=(20, 140, 60))
    draw.text((60, 340), words, font=pages.font("", 70), fill=fill)
    return image


def test_what_shows_on_black_only_counts(store: SqliteStore, tmp_path: Path) -> None:
    """White words on nothing are seen, and a flattened copy has lost what nobody can give back."""
    hole = pictures.photo(5, (640, 480)).convert("RGBA")
    hole.paste((0, 0, 0, 0), (200, 150, 420, 330))
    pictures_of = {
        "a.png": logo("TEAM ALPHA", "white"),
        "b.png": logo("TEAM OMEGA", "white"),
        "same.webp": logo("TEAM ALPHA", "white"),
        "hole.png": hole,
        "small-hole.png": hole.resize((480, 360), Image.Resampling.LANCZOS),
        "opaque.png": pictures.photo(3, (640, 480)).convert("RGBA"),
        "opaque.jpg": pictures.photo(3, (640, 480)),
    }
    flat = Image.new("RGBA", (640, 480), "white")
    flat.alpha_composite(logo("TEAM ALPHA", "white"))
    pictures_of["flat.png"] = flat.convert("RGB")
    found = {}
    for name, image in pictures_of.items():
        image.save(tmp_path / name)
        found[name] = candidate(tmp_path / name, image.size)
    look = new_look(store)
    assert look.same(found["a.png"], found["same.webp"])
    assert look.same(found["hole.png"], found["small-hole.png"])
    assert look.same(found["opaque.png"], found["opaque.jpg"])
    assert not look.same(found["a.png"], found["b.png"])
    assert not look.same(found["a.png"], found["flat.png"])


def test_what_was_seen_is_remembered(store: SqliteStore, tmp_path: Path) -> None:
    """A pair costs one look: a later run recalls it without the files."""
    picture = pictures.photo(5, (640, 480))
    a, b = save(tmp_path / "a.jpg", picture), save(tmp_path / "b.jpg", picture, 70)
    first = new_look(store)
    assert first.same(a, b)
    first.save()
    for one in (a, b):
        Path(one.file.path).unlink()

    again = new_look(store)
    again.recall([match(a, b)])

    assert again.same(b, a)
    assert (first.taken, again.taken) == (1, 0)


def test_a_file_that_can_not_be_read_is_nobodys_copy(store: SqliteStore, tmp_path: Path) -> None:
    """A keeper that can't be decoded now is no keeper, is named, and nothing is remembered of it."""
    picture = pictures.photo(6, (640, 480))
    a, b = save(tmp_path / "a.jpg", picture), save(tmp_path / "b.jpg", picture, 70)
    Path(b.file.path).write_bytes(b"broken")
    look = new_look(store)

    assert not look.same(a, b)
    assert list(look.unreadable) == [b.file.path]
    look.save()
    again = new_look(store)
    again.recall([match(a, b)])
    assert not again.same(a, b)
    assert list(again.unreadable) == [b.file.path]


def test_another_file_in_the_place_of_one_is_not_taken_for_it(store: SqliteStore, tmp_path: Path) -> None:
    """What was there for a moment says nothing of the bytes that are recorded, and nothing is remembered."""
    a, b = (save(tmp_path / f"{seed}.jpg", pictures.photo(seed, (640, 480))) for seed in (4, 5))
    as_it_was = tmp_path / "as it was"
    shutil.copy2(b.file.path, as_it_was)
    pictures.photo(4, (640, 480)).save(b.file.path, quality=70)
    look = new_look(store)
    assert not look.same(a, b)
    assert look.unreadable[b.file.path].cause is Cause.CHANGED
    look.save()
    os.replace(as_it_was, b.file.path)
    again = new_look(store)
    again.recall([match(a, b)])
    assert not again.same(a, b)
    assert (again.taken, again.unreadable) == (1, {})


def test_another_picture_within_the_distance_is_only_similar(tmp_path: Path) -> None:
    """Near signatures alone never make a file go: the changed picture is listed as similar and stays."""
    album = tmp_path / "album"
    album.mkdir()
    picture = pictures.photo(4, (1200, 900))
    other = picture.copy()
    ImageDraw.Draw(other).ellipse((560, 400, 620, 460), fill=(250, 240, 30), outline="black", width=6)
    picture.save(album / "a.jpg", quality=95)
    other.save(album / "b.jpg", quality=90)
    picture.save(album / "c.jpg", quality=60)
    command = Command(tmp_path / "home")

    run = command.run("deduplicate", album, "--target", tmp_path / "t", "--no-dry-run", "--max-distance", "0.25")

    (group,) = run.json["groups"]
    levels = {Path(one["path"]).name: (one["level"], one["action"]) for one in group["duplicates"]}
    assert levels == {"c.jpg": ("duplicate", "move"), "b.jpg": ("similar", "keep")}
    assert sorted(path.name for path in album.iterdir()) == ["a.jpg", "b.jpg"]


def test_a_grey_copy_never_outranks_its_coloured_original(tmp_path: Path) -> None:
    """A grey copy saved as RGB with more pixels and more bytes goes, not the coloured picture."""
    album = tmp_path / "album"
    album.mkdir()
    picture = pictures.photo(7, (800, 600))
    picture.save(album / "colour.jpg", quality=70)
    picture.convert("L").convert("RGB").resize((1600, 1200)).save(album / "grey.jpg", quality=98)
    command = Command(tmp_path / "home")

    run = command.run("deduplicate", album)

    (group,) = run.json["groups"]
    assert Path(group["keeper"]["path"]).name == "colour.jpg"
    assert group["duplicates"][0]["reason"] == "in colour"
