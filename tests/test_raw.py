"""Cameras' raw files: known by their bytes, seen by the picture in them, and duplicates of the same bytes only."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import pictures
import pytest
from command import Command
from PIL import Image
from raws import dng

import py_image_dedup as dedup
from py_image_dedup import images, raw
from py_image_dedup.config.names import RAW_EXTENSIONS
from py_image_dedup.errors import NotNow, PictureError
from py_image_dedup.images import Picture
from py_image_dedup.kinds import goldberg
from py_image_dedup.signature import distance

PHOTO = pictures.sample("chelsea.png")
"""451 x 300 pixels, of which a sensor sees 450 x 300."""
RAW = {"PY_IMAGE_DEDUP_ANALYSIS_RAW": "true"}


def read(data: bytes, max_pixels: int = 10**8) -> Picture:
    return images.read(io.BytesIO(data), max_pixels=max_pixels)


def apart(a: Picture, b: Picture) -> float:
    return float(distance(goldberg.of(a), goldberg.of(b)))


# What is a raw file


@pytest.mark.parametrize("preview", [True, False])
def test_a_raw_file_is_known_by_its_bytes_and_pictures_are_not(*, preview: bool) -> None:
    """A DNG is told from every picture that is read otherwise; the stream stays where it was."""
    for name in images.FORMATS:
        assert not raw.is_raw(io.BytesIO(pictures.encode(PHOTO, name))), name
    stream = io.BytesIO(dng(PHOTO, preview=preview))
    stream.seek(7)
    assert raw.is_raw(stream)
    assert stream.tell() == 7


@pytest.mark.parametrize(
    "head",
    [
        *(b"IIRO\x08\0", b"MMOR\0\0", b"IIU\0\x18\0", b"FUJIFILMCCD-RAW 0201", b"FOVb\0\0", b"\0MRM\0"),
        *(b"II\x1a\0\0\0HEAPCCDR", b"\0\0\0\x18ftypcrx \0\0\0\1", b"II*\0\x10\0\0\0CR\2\0"),
    ],
)
def test_the_marks_of_other_makers(head: bytes) -> None:
    """Olympus, Panasonic, Fujifilm, Sigma, Minolta, and Canon's three kinds begin like no picture does."""
    assert raw.is_raw(io.BytesIO(head.ljust(200, b"\0")))


@pytest.mark.parametrize("length", [0, 1, 4, 8, 9, 20, 1000])
def test_stumps_are_no_raw_files(length: int) -> None:
    """What was cut off is judged by what is there."""
    assert not raw.is_raw(io.BytesIO(dng(PHOTO)[:length]))
    with pytest.raises(PictureError):
        read(dng(PHOTO)[:length])


# What is seen of it


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_facts_are_the_sensors_and_the_picture_is_upright(orientation: int, *, preview: bool) -> None:
    """However the camera was held, with a preview and without: size as shown, date, and a picture near the JPEG's."""
    whole = PHOTO.crop((0, 0, 450, 300))
    data = dng(pictures.as_held(whole, orientation), orientation=orientation, preview=preview)
    found = read(data)
    assert (found.facts.format, found.facts.width, found.facts.height, found.facts.frames) == ("RAW", 450, 300, 1)
    assert found.facts.is_raw
    assert bool(found.facts.exif_count) is preview  # the decoder writes a preview's EXIF
    assert not found.facts.grey
    assert apart(found, read(pictures.encode(whole))) <= (0.05 if preview else 0.25)
    shown = images.preview(io.BytesIO(data), side=200, max_pixels=10**8)
    assert Image.open(io.BytesIO(shown)).size == (200, 133)


def test_a_raw_file_is_one_whatever_its_name() -> None:
    """The bytes decide: Pillow takes a DNG for a TIFF with its preview, which made different shots duplicates."""
    stored = dng(PHOTO)
    assert Image.open(io.BytesIO(stored)).format == "TIFF"
    assert read(stored).facts.format == "RAW"


@pytest.mark.parametrize("preview", [True, False])
def test_more_pixels_than_allowed_are_refused_before_they_are_decoded(*, preview: bool) -> None:
    """The limit holds for the sensor's pixels."""
    with pytest.raises(PictureError, match=r"450 x 300 pixels are more than analysis\.max_megapixels allows"):
        read(dng(PHOTO, preview=preview), max_pixels=100_000)


@pytest.mark.parametrize("preview", [True, False])
def test_damage_is_told(*, preview: bool) -> None:
    """Whatever bytes are changed or missing, the file is read or a reason is given; of an unknown camera, too."""
    data = dng(PHOTO.resize((90, 60)), preview=preview)
    reasons = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        broken = np.frombuffer(data, np.uint8).copy()
        # The directories lie at the end: most of what can go wrong is there.
        places = random.integers(0 if seed % 2 else len(data) - 700, len(data), 20)
        broken[places] = random.integers(0, 256, len(places))
        try:
            read(broken.tobytes()[: None if seed % 3 else len(data) - int(random.integers(1, len(data)))])
        except PictureError as error:
            reasons.append(str(error))
    assert 20 < len(reasons) < 190
    assert all(reasons)
    with pytest.raises(PictureError, match="not a raw file of a camera that LibRaw knows"):
        read(b"FOVb" + bytes(1000))


def test_without_the_extra_it_is_not_read_and_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the extra; once that is installed the file is read."""
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(NotNow, match=r'needs the extra "raw": .*py-image-dedup\[raw\]'):
        read(dng(PHOTO))


# What becomes of it


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path / "home")


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def test_only_the_same_bytes_are_duplicates(command: Command, tmp_path: Path) -> None:
    """A copy goes; the shot with other metadata, other previews and exported pictures are similar, and stay.

    The raw file's own JPEG stands for both, so that the two are not listed as similar to each other.
    """
    album, target = tmp_path / "album", tmp_path / "target"
    shot = dng(PHOTO)
    put(album / "card/a.dng", shot)
    put(album / "card/A.jpg", pictures.encode(PHOTO))
    put(album / "copy/b.dng", shot)
    put(album / "edited/c.dng", dng(PHOTO, by="Two"))
    put(album / "tiff/d.tif", dng(PHOTO, quality=70))  # a picture by its name
    run = command.run("deduplicate", album, "--target", target, "--no-dry-run", **RAW)
    assert run.code == 0, run.err
    assert sorted(map(sorted, run.groups())) == [["A.jpg", "c.dng", "d.tif"], ["a.dng", "b.dng"]]
    acts = {
        os.path.basename(one["path"]): (one["level"], one["action"])
        for group in run.json["groups"]
        for one in group["duplicates"]
    }
    assert acts == {"b.dng": ("duplicate", "move"), "c.dng": ("similar", "keep"), "d.tif": ("similar", "keep")}
    assert (target / str(album)[1:] / "copy/b.dng").read_bytes() == shot
    assert run.counts["duplicates"] == 1


def test_a_raw_file_never_goes_for_a_similar_picture(command: Command, tmp_path: Path) -> None:
    """Not even where similar pictures are to go."""
    album = tmp_path / "album"
    put(album / "a.jpg", pictures.encode(pictures.scaled(PHOTO, 200)))
    put(album / "b.dng", dng(PHOTO))
    run = command.run(
        *("deduplicate", album, "--target", tmp_path / "target", "--no-dry-run", "--risk-different-pictures"), **RAW
    )
    assert run.code == 0, run.err
    (group,) = run.json["groups"]
    (one,) = group["duplicates"]
    assert (os.path.basename(one["path"]), one["level"], one["action"]) == ("b.dng", "similar", "keep")
    assert one["reason"].startswith("a raw file goes for the same bytes only")
    assert (album / "b.dng").exists()


@pytest.mark.parametrize("on", [True, False])
def test_two_dumps_of_a_card(command: Command, tmp_path: Path, *, on: bool) -> None:
    """Each JPEG takes its raw file along, or the raw file goes for itself: each goes once, and undo brings all back."""
    album, target = tmp_path / "album", tmp_path / "target"
    for folder in ("first", "second"):
        for seed in (1, 2):
            put(album / folder / f"{seed}.jpg", pictures.encode(pictures.photo(seed)))
            put(album / folder / f"{seed}.dng", dng(pictures.photo(seed)))
    run = command.run("deduplicate", album, "--target", target, "--no-dry-run", **(RAW if on else {}))
    assert run.code == 0, run.err
    left = sorted(str(path.relative_to(album)) for path in album.rglob("*.*"))
    assert left == ["first/1.dng", "first/1.jpg", "first/2.dng", "first/2.jpg"]
    assert run.counts["duplicates"] == (4 if on else 2)
    assert command.run("undo", "--yes").code == 0
    assert len([*album.rglob("*.*")]) == 8


def test_a_raw_file_that_is_nowhere_else_goes_with_its_picture(command: Command, tmp_path: Path) -> None:
    """As it does while raw files are not looked at."""
    album, target = tmp_path / "album", tmp_path / "target"
    put(album / "first/a.jpg", pictures.encode(PHOTO))
    put(album / "second/a.jpg", pictures.encode(PHOTO))
    kept = put(album / "second/a.dng", dng(PHOTO)).read_bytes()
    run = command.run("deduplicate", album, "--target", target, "--no-dry-run", **RAW)
    assert run.code == 0, run.err
    assert (target / str(album)[1:] / "second/a.dng").read_bytes() == kept
    assert [path.name for path in album.rglob("*.*")] == ["a.jpg"]


def test_the_library_takes_the_same_bytes_only(tmp_path: Path) -> None:
    """Where it is asked to open whatever lies there, a raw file matches neither its picture nor another raw file."""
    names = {"a.dng": dng(PHOTO), "b.dng": dng(PHOTO), "c.dng": dng(PHOTO, by="Two"), "d.jpg": pictures.encode(PHOTO)}
    for name, data in names.items():
        put(tmp_path / name, data)
    found = dedup.build(tmp_path, limit_extensions=False, show_progress=False)
    assert not found.invalid_files
    search = dedup.search(found, similarity=1000, show_progress=False)
    (group,) = search
    assert {os.path.basename(one.path) for one in (group.keeper, *group.copies)} == {"a.dng", "b.dng"}


def test_the_switch_needs_the_extra(command: Command, tmp_path: Path) -> None:
    """Whoever switches it on without the extra is told so at once, with what to install."""
    hidden = tmp_path / "hidden"
    put(
        hidden / "sitecustomize.py",
        b"import importlib.util as u\nfind = u.find_spec\n"
        b"u.find_spec = lambda name, package=None: None if name == 'rawpy' else find(name, package)\n",
    )
    path = f"{hidden}:{command.environment['PYTHONPATH']}"
    run = command.run("analyse", tmp_path, PYTHONPATH=path, **RAW)
    assert run.code == 3
    assert "PY_IMAGE_DEDUP_ANALYSIS_RAW in the environment is on, which needs the extra" in run.err
    assert "py-image-dedup[raw]" in run.err


def test_names_of_raw_files() -> None:
    """Lower case with a dot, as the selector compares them."""
    assert all(extension == extension.lower() and extension.startswith(".") for extension in RAW_EXTENSIONS)
