"""From bytes to the canonical picture: formats, modes, orientation, EXIF, frames, bombs, reasons, memory."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pages
import pictures
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageSequence
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import IFDRational
from pillow_heif import HeifImage

from py_image_dedup import images, signature
from py_image_dedup.errors import NotNow, PictureError
from py_image_dedup.model import CELL, Exposure, Facts, View

LIMIT = 250_000_000
WHITE = np.full((128, 128), 255, np.uint8)


def read(data: bytes, *, max_pixels: int = LIMIT) -> images.Picture:
    return images.read(io.BytesIO(data), max_pixels=max_pixels)


def problem(data: bytes, *, max_pixels: int = LIMIT) -> str:
    """Return the reason why these bytes are refused."""
    with pytest.raises(PictureError) as caught:
        read(data, max_pixels=max_pixels)
    assert not isinstance(caught.value, NotNow)
    return str(caught.value)


def apart(a: images.Picture, b: images.Picture) -> float:
    """Return the distance of the signatures."""
    return signature.distance(*(signature.goldberg(picture.grey) for picture in (a, b)))


def difference(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Return the mean difference in grey levels, 0..255."""
    return float(np.abs(a.astype(np.int16) - b).mean())


def colours(view: View) -> npt.NDArray[np.uint8]:
    """Turn a view into RGB, shape (height, width, 3)."""
    height, width = view.luma.shape
    chroma = view.chroma.repeat(CELL, axis=0).repeat(CELL, axis=1)[:height, :width]
    return np.asarray(Image.fromarray(np.dstack([view.luma, chroma]), "YCbCr").convert("RGB"))


def plain(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """Return the canonical form of a picture computed another way: grey first, area average by Pillow's resize."""
    return np.asarray(picture.convert("L").resize((128, 128), Image.Resampling.BILINEAR))


PHOTO = pictures.photo(1)
REFERENCE = read(pictures.encode(PHOTO))


# Formats


def test_every_format_has_a_sample() -> None:
    """Each format that is read is written by these tests, so a new one comes with a sample."""
    assert set(images.FORMATS) == set(pictures.ENCODINGS)


def test_extensions_are_lower_case_and_belong_to_one_format() -> None:
    """Extensions are lower case with a dot, as the selector compares them, and none is listed twice."""
    extensions = [extension for usual in images.FORMATS.values() for extension in usual]
    assert all(extension == extension.lower() and extension.startswith(".") for extension in extensions)
    assert len(set(extensions)) == len(extensions)


@pytest.mark.parametrize("name", images.FORMATS)
def test_format_is_read(name: str) -> None:
    """A picture of each format gives its facts, a canonical grey square and a thumbnail."""
    found = read(pictures.encode(PHOTO, name))
    assert found.facts == Facts(format=name, width=320, height=240)
    assert found.grey.shape == (128, 128)
    assert found.grey.dtype == np.uint8
    assert found.grey.flags.c_contiguous
    assert found.thumbnail.shape == (64, 64)
    assert found.thumbnail.dtype == np.uint8


@pytest.mark.parametrize("name", images.FORMATS)
def test_one_photo_in_every_format_and_size_is_near(name: str) -> None:
    """A photo in each format, whole and at 50 % and 25 %, lies within .10 of its JPEG."""
    for photo in (pictures.sample("chelsea.png"), pictures.sample("rocket.jpg"), PHOTO):
        original = read(pictures.encode(photo))
        for percent in (100, 50, 25):
            copy = read(pictures.encode(pictures.scaled(photo, percent), name))
            assert apart(original, copy) <= 0.10, (name, percent)
            assert difference(original.thumbnail, copy.thumbnail) < 4


@pytest.mark.parametrize("quality", [95, 70, 40])
def test_recompressed_grey_and_progressive_copies_are_near(quality: int) -> None:
    """Recompressed, progressive and grey copies lie within .10, other photos far away."""
    for photo in map(pictures.sample, pictures.SAMPLES):
        original = read(pictures.encode(photo))
        for copy in (
            pictures.encode(photo, quality=quality),
            pictures.encode(photo, quality=quality, progressive=True),
            pictures.encode(pictures.grey(photo), quality=quality),
        ):
            assert apart(original, read(copy)) <= 0.10
        assert apart(original, REFERENCE) > 0.35


def test_bytes_decide_not_the_name() -> None:
    """Bytes before the picture, and formats that are not listed, are refused; bytes behind it do not matter."""
    assert problem(b"junk" + pictures.encode(PHOTO)) == "not a picture in a supported format"
    for unwanted in ("PPM", "ICO", "TGA", "PCX"):
        out = io.BytesIO()
        PHOTO.save(out, unwanted)
        assert problem(out.getvalue()) == "not a picture in a supported format"
    film = np.random.default_rng(1).bytes(1 << 20)
    np.testing.assert_array_equal(read(pictures.encode(PHOTO) + film).grey, REFERENCE.grey)


def test_large_jpeg_is_decoded_at_reduced_scale() -> None:
    """A large JPEG keeps its true size in the facts and looks like the whole decode."""
    photo = pictures.photo(2, (2100, 1500))
    found = read(pictures.encode(photo))
    assert (found.facts.width, found.facts.height) == (2100, 1500)
    assert difference(found.grey, plain(photo)) < 2


def test_thumbnail_is_the_area_average() -> None:
    """Each thumbnail pixel is the rounded mean of 2x2 canonical pixels."""
    for picture in (REFERENCE, read(pictures.encode(pictures.noise(1, (300, 300)), "PNG"))):
        for row, column in ((0, 0), (0, 63), (63, 0), (17, 40)):
            block = picture.grey[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert picture.thumbnail[row, column] == round(float(block.mean()))


# Orientation and EXIF


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", pictures.ROTATABLE)
def test_orientation_is_applied(name: str, orientation: int) -> None:
    """Whatever way the camera was held, the picture comes upright, with the width and height that one sees."""
    held = pictures.as_held(PHOTO, orientation)
    assert held.size == ((240, 320) if orientation >= 5 else (320, 240))
    found = read(pictures.encode(held, name, exif=pictures.exif(orientation=orientation)))
    assert (found.facts.width, found.facts.height) == (320, 240)
    assert difference(found.grey, REFERENCE.grey) < 3
    assert apart(found, REFERENCE) <= 0.10


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_reduced_decodes(orientation: int) -> None:
    """A large JPEG that is decoded at reduced scale comes upright as well."""
    photo = pictures.photo(3, (1600, 1100))
    data = pictures.encode(pictures.as_held(photo, orientation), exif=pictures.exif(orientation=orientation))
    found = read(data)
    assert (found.facts.width, found.facts.height) == (1600, 1100)
    assert difference(found.grey, plain(photo)) < 2


@pytest.mark.parametrize("orientation", [0, 9, 65535])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_orientation_out_of_range_counts_as_upright(name: str, orientation: int) -> None:
    """Orientations other than 1..8 leave the picture as it is stored."""
    found = read(pictures.encode(PHOTO, name, exif=pictures.exif(orientation=orientation)))
    assert (found.facts.width, found.facts.height) == (320, 240)
    assert difference(found.grey, REFERENCE.grey) < 3


@pytest.mark.parametrize("name", pictures.ROTATABLE)
def test_exif_facts(name: str) -> None:
    """EXIF tags of the photo, its Exif and GPS blocks are counted, and the capture date is taken as it is written."""
    block = pictures.exif(orientation=1, taken="2024:05:01 12:00:00", maker="Maker", gps=True)
    facts = read(pictures.encode(PHOTO, name, exif=block)).facts
    assert (facts.exif_count, facts.taken) == (3, "2024:05:01 12:00:00")
    bare = read(pictures.encode(PHOTO, name)).facts
    assert (bare.exif_count, bare.taken) == (0, "")


def test_tags_that_describe_the_file_are_not_metadata() -> None:
    """TIFF's structural tags, of whatever compression, do not make a TIFF richer than a bare JPEG."""
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        assert read(pictures.encode(PHOTO, "TIFF", compression=compression)).facts.exif_count == 0


def test_odd_dates_are_harmless() -> None:
    """A date with padding is trimmed, one that is too long is cut."""
    assert read(pictures.encode(PHOTO, exif=pictures.exif(taken="2024:05:01 12:00:00  "))).facts.taken.endswith(":00")
    assert read(pictures.encode(PHOTO, exif=pictures.exif(taken=" "))).facts.taken == ""
    assert len(read(pictures.encode(PHOTO, exif=pictures.exif(taken="9" * 500))).facts.taken) == 19


DETAILS = {
    Base.DateTimeOriginal: "2024:05:01 12:00:07",
    Base.SubsecTimeOriginal: "250",
    Base.ExposureTime: IFDRational(1, 60),
    Base.FNumber: IFDRational(28, 10),
    Base.ISOSpeedRatings: 400,
}


@pytest.mark.parametrize("name", pictures.ROTATABLE)
def test_a_view_tells_of_the_exposure(name: str) -> None:
    """When, how long, how wide and how sensitive; nothing where there is no EXIF."""

    def exposure(**options: bytes) -> Exposure:
        data = io.BytesIO(pictures.encode(PHOTO, name, **options))
        return images.view(data, width=64, height=48, max_pixels=LIMIT).exposure

    found = exposure(exif=pictures.exif(details=DETAILS))
    assert (found.date, found.fraction) == ("20240501120007", "250")
    assert found[2:] == pytest.approx((1 / 60, 2.8, 400))
    assert found.words == "2024-05-01 12:00:07.250, 1/60 s, f/2.8, ISO 400"
    assert exposure() == Exposure()


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        *((Base.DateTimeOriginal, value) for value in ("0000:00:00 00:00:00", "    :  :     :  :  ", "2024:05", "")),
        *((Base.ExposureTime, value) for value in (IFDRational(0, 0), IFDRational(1, 0), IFDRational(-1, 60))),
        *((Base.SubsecTimeOriginal, value) for value in ("  \0", "000")),
        (Base.ISOSpeedRatings, 0),
    ],
)
def test_what_a_camera_did_not_know_is_not_told(tag: int, value: object) -> None:
    """Clocks that were never set, fractions over zero, and places kept free."""
    data = io.BytesIO(pictures.encode(PHOTO, exif=pictures.exif(details={tag: value})))
    assert images.view(data, width=64, height=48, max_pixels=LIMIT).exposure == Exposure()


def test_broken_exif_is_harmless() -> None:
    """EXIF that is cut, scrambled or none at all never costs the picture; its pixels come as without it."""
    block = pictures.exif(taken="2024:05:01 12:00:00", maker="Maker", gps=True)
    rng = np.random.default_rng(4)
    broken = [b"", b"Exif\0\0", b"Exif\0\0garbage that is no TIFF", block[:9], block[:30], block[:-9], b"\0" * 60]
    for _ in range(200):
        scrambled = bytearray(block)
        for at in rng.integers(6, len(block), 4):
            scrambled[at] = rng.integers(256)
        broken.append(bytes(scrambled))
    without = pictures.encode(PHOTO)
    for data in broken:
        segment = b"\xff\xe1" + (len(data) + 2).to_bytes(2) + data
        found = read(without[:2] + segment + without[2:])
        assert {found.facts.width, found.facts.height} == {240, 320}
        if found.facts.width == 320 and difference(found.grey, REFERENCE.grey) > 0:
            turned = (found.grey[::-1], found.grey[:, ::-1], found.grey[::-1, ::-1])  # a valid orientation by chance
            assert any(np.array_equal(grey, REFERENCE.grey) for grey in turned)


# Thumbnails that a file carries


@pytest.mark.parametrize("orientation", range(1, 9))
def test_of_a_heic_the_thumbnail_is_read_that_it_carries(orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture itself is not decoded, and what is told of it is the same, whatever way the camera was held."""
    photo = pictures.sample("chelsea.png")
    held = pictures.as_held(photo, orientation)
    exif = pictures.exif(orientation=orientation)
    whole, carrying = (pictures.encode(held, "HEIF", exif=exif, thumbnails=sides) for sides in ([], [320]))
    expected = read(whole)
    monkeypatch.setattr(HeifImage, "load", lambda _: pytest.fail("decoded whole"))
    found = read(carrying)
    assert found.facts == expected.facts
    assert (found.facts.width, found.facts.height) == photo.size
    assert apart(found, expected) <= 0.15  # this encoder makes a thumbnail by leaving out pixels


@pytest.mark.parametrize("side", [96, 160])
def test_of_a_heic_with_a_tiny_thumbnail_the_picture_is_read(side: int) -> None:
    """A thumbnail that is smaller than the canonical picture on either side is of no use."""
    whole, carrying = (pictures.encode(PHOTO, "HEIF", thumbnails=sides) for sides in ([], [side]))
    np.testing.assert_array_equal(read(carrying).grey, read(whole).grey)


def test_views_and_previews_are_of_the_picture_itself() -> None:
    """What decides and what is shown never comes from a thumbnail, which may be of the picture before it was edited."""
    photo = pictures.sample("chelsea.png")
    whole, carrying = (io.BytesIO(pictures.encode(photo, "HEIF", thumbnails=sides)) for sides in ([], [400]))
    views = [images.view(one, width=160, height=107, max_pixels=LIMIT) for one in (whole, carrying)]
    np.testing.assert_array_equal(views[0].luma, views[1].luma)
    assert len({images.preview(one, side=100, max_pixels=LIMIT) for one in (whole, carrying)}) == 1


# Views


@pytest.mark.parametrize("name", images.FORMATS)
def test_view_shows_the_colours(name: str) -> None:
    """A view of any format has the asked size and the photo's colours."""
    view = images.view(io.BytesIO(pictures.encode(PHOTO, name)), width=160, height=99, max_pixels=LIMIT)
    assert view.luma.shape == (99, 160)
    assert view.chroma.shape == (25, 40, 2)
    assert {view.luma.dtype, view.chroma.dtype} == {np.dtype(np.uint8)}
    assert difference(colours(view), np.asarray(PHOTO.resize((160, 99), Image.Resampling.BILINEAR))) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", pictures.ROTATABLE)
def test_view_is_upright(name: str, orientation: int) -> None:
    """A view is upright whatever way the camera was held, also from a decode at reduced scale."""
    photo = pictures.photo(3, (800, 560)) if name == "JPEG" else PHOTO
    held = pictures.as_held(photo, orientation)
    data = pictures.encode(held, name, exif=pictures.exif(orientation=orientation))
    view = images.view(io.BytesIO(data), width=120, height=84, max_pixels=LIMIT)
    assert view.luma.shape == (84, 120)
    assert difference(colours(view), np.asarray(photo.resize((120, 84), Image.Resampling.BILINEAR))) < 6


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "F", "P", "CMYK", "LAB"])
def test_view_of_every_mode(mode: str) -> None:
    """Odd modes are viewed as one sees them: grey ones in grey, inks without inversion."""
    stored = sixteen_bits(PHOTO) if mode == "I;16" else PHOTO.convert("RGB" if mode == "LAB" else mode)
    if mode == "LAB":
        middle = Image.new("L", PHOTO.size, 128)
        stored = Image.merge("LAB", [PHOTO.convert("L"), middle, middle])
    data = pictures.encode(stored, {"CMYK": "JPEG", "F": "TIFF", "LAB": "TIFF"}.get(mode, "PNG"))
    pixels = colours(images.view(io.BytesIO(data), width=64, height=48, max_pixels=LIMIT))
    expected = PHOTO if mode in {"P", "CMYK"} else pictures.grey(PHOTO).convert("RGB")
    assert difference(pixels, np.asarray(expected.resize((64, 48), Image.Resampling.BILINEAR))) < 12


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_large_views_have_the_same_pixels(orientation: int, subsampling: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightness and chroma decoded one after the other are those of the whole: blocks are hardly a level off."""
    stored = pictures.as_held(pictures.photo(5, (1600, 1200)).resize((3200, 2400)), orientation)
    data = pictures.encode(stored, exif=pictures.exif(orientation=orientation), subsampling=subsampling)
    part = images.view(io.BytesIO(data), width=2000, height=1500, max_pixels=LIMIT)
    monkeypatch.setattr(images, "_LARGE_IN_COLOUR", LIMIT)
    whole = images.view(io.BytesIO(data), width=2000, height=1500, max_pixels=LIMIT)
    np.testing.assert_array_equal(part.luma, whole.luma)
    assert not np.array_equal(part.chroma, whole.chroma)  # or both were decoded in one way
    blocks = [view.chroma[:372, :498].reshape(62, 6, 83, 6, 2).mean(axis=(1, 3)) for view in (part, whole)]
    assert np.abs(blocks[0] - blocks[1]).max() < 2


def test_view_of_what_is_transparent() -> None:
    """Below what is transparent a view shows a white page."""
    clear = PHOTO.copy()
    clear.putalpha(0)
    view = images.view(io.BytesIO(pictures.encode(clear, "PNG")), width=64, height=48, max_pixels=LIMIT)
    assert (colours(view) == 255).all()


def test_view_refuses_as_read_does() -> None:
    """Bombs and broken files have the same reasons when they are viewed."""
    for data in (pictures.declaring("PNG", 60_000, 60_000), pictures.encode(PHOTO)[:3000], b"text"):
        with pytest.raises(PictureError) as caught:
            images.view(io.BytesIO(data), width=64, height=48, max_pixels=LIMIT)
        assert str(caught.value) == problem(data)


# Modes


def sixteen_bits(picture: Image.Image, scale: int = 257) -> Image.Image:
    return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * scale)


@pytest.mark.parametrize("name", ["PNG", "TIFF", "JPEG2000"])
def test_grey_of_16_bits(name: str) -> None:
    """16-bit grey looks like the same picture of 8 bits, not white."""
    found = read(pictures.encode(sixteen_bits(PHOTO), name))
    assert found.facts.grey
    assert difference(found.grey, plain(PHOTO)) < 1.5


def test_grey_of_16_bits_in_other_dresses() -> None:
    """Big-endian order and a transparent grey change nothing; what fills 12 bits of 16 is no darker for it."""
    deep = sixteen_bits(PHOTO)
    big_endian = Image.frombytes("I;16B", PHOTO.size, np.asarray(deep).astype(">u2").tobytes())
    assert difference(read(pictures.encode(big_endian, "TIFF")).grey, plain(PHOTO)) < 1.5
    assert difference(read(pictures.encode(deep, "PNG", transparency=0)).grey, plain(PHOTO)) < 1.5
    for scale in (1, 4, 16, 64):
        assert difference(read(pictures.encode(sixteen_bits(PHOTO, scale), "PNG")).grey, plain(PHOTO)) < 1.5
    assert read(pictures.encode(Image.new("I;16", (40, 40)), "PNG")).grey.max() == 0


def test_colour_of_16_bits() -> None:
    """A 48-bit PNG looks like its 24-bit twin."""
    deep = (np.asarray(PHOTO).astype(">u2") * 257).tobytes()
    found = read(pictures.png(*PHOTO.size, bits=16, colour=2, pixels=deep))
    assert difference(found.grey, plain(PHOTO)) < 1.5
    assert not found.facts.grey


def test_inks_are_no_negative() -> None:
    """CMYK comes out as one sees it: Adobe's inverted inks, plain inks, and inks in a TIFF."""
    inks = PHOTO.convert("CMYK")
    adobe = pictures.encode(inks)
    plainly = pictures.encode(ImageChops.invert(inks))
    start = plainly.index(b"\xff\xee")
    without_mark = plainly[:start] + plainly[start + 16 :]
    assert b"Adobe" in adobe
    assert b"Adobe" not in without_mark
    for data in (adobe, without_mark, pictures.encode(inks, "TIFF")):
        assert difference(read(data).grey, plain(PHOTO)) < 1.5


@pytest.mark.parametrize("told", ["by a mark", "by its components"])
@pytest.mark.parametrize("size", [(640, 480), (3200, 2400)])
def test_jpegs_of_red_green_and_blue(told: str, size: tuple[int, int]) -> None:
    """A JPEG that holds no lightness and chroma, of which libjpeg makes none, is read and viewed all the same."""
    photo = PHOTO.resize(size, Image.Resampling.BILINEAR)
    data = pictures.encode(photo, keep_rgb=True)
    if told == "by its components":
        start = data.index(b"\xff\xee")
        data = data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4]) :]
    expected = read(pictures.encode(photo))
    assert read(data).facts == expected.facts
    assert apart(read(data), expected) <= 0.10
    width = size[0] * 5 // 8
    views = [
        images.view(io.BytesIO(one), width=width, height=width * 3 // 4, max_pixels=LIMIT)
        for one in (data, pictures.encode(photo))
    ]
    assert difference(colours(views[0]), colours(views[1])) < 2


def test_palettes_and_few_greys() -> None:
    """A palette, 1 bit, grey with alpha, Lab and YCbCr show the photo."""
    lab = Image.merge("LAB", [PHOTO.convert("L"), Image.new("L", PHOTO.size, 128), Image.new("L", PHOTO.size, 128)])
    for data, close in (
        (pictures.encode(PHOTO.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), 3),
        (pictures.encode(PHOTO.convert("P", palette=Image.Palette.ADAPTIVE), "BMP"), 3),
        (pictures.encode(PHOTO.convert("1"), "PNG"), 50),
        (pictures.encode(PHOTO.convert("1"), "TIFF", compression="group4"), 50),
        (pictures.encode(PHOTO.convert("LA"), "PNG"), 1),
        (pictures.encode(PHOTO.convert("YCbCr"), "TIFF"), 1.5),
        (pictures.encode(lab, "TIFF"), 1.5),
    ):
        found = read(data)
        assert difference(found.grey, plain(PHOTO)) < close
        assert apart(found, REFERENCE) <= 0.12


@pytest.mark.parametrize("top", [1.0, 255.0, 1e9])
def test_floating_point_and_wide_integers_are_spread(top: float) -> None:
    """Grey without an agreed range is spread over black to white, whatever its unit."""
    values = np.asarray(PHOTO.convert("L")).astype(np.float32)
    spread = (values - values.min()) / (values.max() - values.min())
    found = read(pictures.encode(Image.fromarray((spread * top).astype(np.float32)), "TIFF"))
    assert found.facts.grey
    assert apart(found, REFERENCE) <= 0.10
    whole = read(pictures.encode(Image.fromarray((spread * max(top, 255)).astype(np.int32)), "TIFF"))
    assert apart(whole, REFERENCE) <= 0.10


def test_odd_floating_point_values() -> None:
    """Not-a-number and infinity, some or all over, neither warn nor crash."""
    values = np.asarray(PHOTO.convert("F")).copy()
    values[3, 5], values[50, 7], values[200, 9] = np.nan, np.inf, -np.inf
    assert apart(read(pictures.encode(Image.fromarray(values), "TIFF")), REFERENCE) <= 0.15
    for everywhere in (np.nan, np.inf, -np.inf, 3e38, 0.0):
        flat = Image.fromarray(np.full((40, 40), everywhere, np.float32))
        assert not signature.goldberg(read(pictures.encode(flat, "TIFF")).grey).any()


def test_progressive_interlaced_and_subsampled_pictures() -> None:
    """Progressive JPEG, every chroma sampling and restart markers show the photo."""
    for options in ({"progressive": True}, {"subsampling": 0}, {"subsampling": 2}, {"restart_marker_rows": 1}):
        assert difference(read(pictures.encode(PHOTO, **options)).grey, REFERENCE.grey) < 1.5


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF", "HEIF", "AVIF", "JPEG2000"])
def test_transparency_shows_a_white_page(name: str) -> None:
    """Where a picture is transparent, white shows, and no trace of the colours stored there."""
    alpha = Image.new("L", PHOTO.size, 255)
    alpha.paste(0, (0, 0, 160, 240))
    found = []
    for hidden in (PHOTO, Image.new("RGB", PHOTO.size, "black"), Image.new("RGB", PHOTO.size, "white")):
        picture = PHOTO.copy()
        picture.paste(hidden, (0, 0), Image.eval(alpha, lambda value: 255 - value))
        picture.putalpha(alpha)
        found.append(read(pictures.encode(picture, name, **({"lossless": True} if name == "WEBP" else {}))).grey)
    for grey in found:
        assert grey[:, :60].min() >= 250
        assert difference(grey[:, 68:], plain(PHOTO)[:, 68:]) < 3
    if name in {"PNG", "TIFF"}:
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])


def test_wholly_transparent_pictures_are_blank() -> None:
    """A photo that is transparent all over shows nothing: a white page without features."""
    clear = PHOTO.copy()
    clear.putalpha(0)
    np.testing.assert_array_equal(read(pictures.encode(clear, "PNG")).grey, WHITE)
    grey_alpha = clear.convert("LA")
    np.testing.assert_array_equal(read(pictures.encode(grey_alpha, "PNG")).grey, WHITE)


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF", "HEIF", "AVIF", "JPEG2000"])
def test_a_view_tells_whether_the_ground_shows_through(name: str) -> None:
    """One corner is enough; an alpha channel that hides nothing is none."""
    for picture, lowest, expected in ((PHOTO, None, False), (PHOTO, 255, False), (PHOTO, 0, True)):
        stored = picture.copy()
        if lowest is not None:
            alpha = Image.new("L", PHOTO.size, 255)
            alpha.paste(lowest, (0, 0, 60, 60))
            stored.putalpha(alpha)
        data = io.BytesIO(pictures.encode(stored, name))
        on_black = images.view(data, width=160, height=120, ground="black", max_pixels=LIMIT)
        assert on_black.transparent is expected
        assert bool(on_black.luma[:20, :20].max() < 20) is expected


def test_a_transparent_colour_is_flattened() -> None:
    """Palette entries and single colours declared transparent show white."""
    picture = PHOTO.quantize(16)
    picture.paste(15, (0, 0, 160, 240))
    for data in (
        pictures.encode(picture, "PNG", transparency=15),
        pictures.encode(picture, "GIF", transparency=15),
    ):
        assert (read(data).grey[:, :60] == 255).all()
    half = PHOTO.copy()
    half.paste((1, 2, 3), (0, 0, 160, 240))
    assert (read(pictures.encode(half, "PNG", transparency=(1, 2, 3))).grey[:, :60] == 255).all()


@pytest.mark.parametrize("name", images.FORMATS)
def test_grey_is_told_from_colour(name: str) -> None:
    """A picture that shows no colour is grey, also where it is stored in colour; a colourful one never is."""
    assert not read(pictures.encode(PHOTO, name)).facts.grey
    assert read(pictures.encode(pictures.grey(PHOTO), name)).facts.grey
    assert read(pictures.encode(pictures.grey(PHOTO).convert("RGB"), name)).facts.grey


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_a_line_of_ink_is_colour(name: str) -> None:
    """A grey page on which somebody wrote in blue is no grey page, wherever that is."""
    page, _, _ = pages.pair("letter-200", 3)
    page = page.convert("L").convert("RGB")
    assert read(pictures.encode(page, name)).facts.grey
    rng = np.random.default_rng(6)
    for _ in range(6):
        signed = page.copy()
        x, y = (int(rng.integers(50, side - 250)) for side in page.size)
        ImageDraw.Draw(signed).line((x, y, x + 90, y - 30, x + 110, y + 20, x + 200, y), fill=(20, 40, 200), width=4)
        assert not read(pictures.encode(signed, name)).facts.grey


@pytest.mark.parametrize("mode", ["1", "LA", "P", "RGBA", "CMYK", "F", "I;16"])
def test_grey_is_told_from_colour_in_every_mode(mode: str) -> None:
    """Modes without colour are grey, modes with colour when they show none."""
    name = {"CMYK": "JPEG", "F": "TIFF"}.get(mode, "PNG")
    grey = pictures.grey(PHOTO).convert("RGB")
    stored = {"I;16": sixteen_bits(grey), "P": grey.quantize()}.get(mode) or grey.convert(mode)
    assert read(pictures.encode(stored, name)).facts.grey
    if mode in {"P", "RGBA", "CMYK"}:
        assert not read(pictures.encode(PHOTO.convert(mode), name)).facts.grey


# Frames


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "TIFF", "AVIF", "HEIF"])
def test_frames_are_counted_and_the_first_one_counts(name: str) -> None:
    """Animations, pages and bursts tell how many frames they hold; the first one is the picture."""
    others = [pictures.photo(seed) for seed in (8, 9)]
    found = read(pictures.encode(PHOTO, name, save_all=True, append_images=others))
    assert found.facts.frames == 3
    assert difference(found.grey, plain(PHOTO)) < 6


def test_stereo_pictures_are_jpegs_of_two_frames() -> None:
    """An MPO is named JPEG and counts its views."""
    out = io.BytesIO()
    PHOTO.save(out, "MPO", save_all=True, append_images=[pictures.photo(8)])
    facts = read(out.getvalue()).facts
    assert (facts.format, facts.frames) == ("JPEG", 2)


@pytest.mark.parametrize(
    ("xmp", "frames"),
    [
        (b'<x GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"/>', 2),
        (b"<x><GCamera:MicroVideo>1</GCamera:MicroVideo></x>", 2),
        (b'<x GCamera:MotionPhoto="0" GCamera:MotionPhotoVersion="1"/>', 1),
        (b"<x/>", 1),
    ],
)
def test_the_film_of_a_motion_photo_is_a_frame(xmp: bytes, frames: int) -> None:
    """It goes with the file, so nothing but the same bytes is a copy of it."""
    data = pictures.encode(pictures.photo(1), "JPEG", xmp=xmp)
    assert read(data + b"a film").facts.frames == frames


def test_many_frames_cost_no_decoding() -> None:
    """Of an animation of 2,000 frames only the first is decoded."""
    screen = Image.new("P", (2000, 2000))
    frames = [Image.new("P", (2000, 2000), number % 2) for number in range(2)]
    data = pictures.encode(screen, "GIF", save_all=True, append_images=frames, optimize=False)
    with Image.open(io.BytesIO(data)) as image:
        assert sum(1 for _ in ImageSequence.Iterator(image)) >= 2
    tail = b"!\xf9\x04\0\1\0\0\0," + b"\0\0\0\0\1\0\1\0\0" + b"\2\2D\1\0"  # a frame of one pixel
    start = time.process_time()
    found = read(data[:-1] + tail * 2000 + b";")
    assert found.facts.frames >= 2000
    assert time.process_time() - start < 3


# Damage, bombs and reasons


@pytest.mark.parametrize("name", images.FORMATS)
def test_truncated_files_are_refused_with_a_reason(name: str) -> None:
    """A file of which a part is missing is never taken for the whole picture; the reason is one printable line."""
    data = pictures.encode(PHOTO, name)
    for share in (0.02, 0.3, 0.6, 0.95):
        reason = problem(data[: int(len(data) * share)])
        assert reason.startswith(("cannot be decoded: ", "not a picture"))
        assert reason.isprintable()
        assert len(reason) < 300


@pytest.mark.parametrize("name", images.FORMATS)
def test_scrambled_files_decode_or_are_refused(name: str) -> None:
    """Flipped bytes anywhere end as some picture or as PictureError, nothing else, and soon."""
    data = pictures.encode(pictures.photo(5, (64, 48)), name)
    rng = np.random.default_rng(6)
    start = time.process_time()
    for _ in range(60):
        scrambled = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 12)):
            scrambled[at] = rng.integers(256)
        with suppress(PictureError):
            read(bytes(scrambled), max_pixels=1_000_000)
    assert time.process_time() - start < 20


@pytest.mark.parametrize("data", [b"", b"\xff", b"a text", bytes(50_000), b"%PDF-1.4\n", b"\xff\xd8", b"<html></html>"])
def test_what_is_no_picture(data: bytes) -> None:
    """Empty files, text and zeros are named for what they are not."""
    assert "picture" in problem(data) or "decoded" in problem(data)


@pytest.mark.parametrize("name", images.FORMATS)
def test_bombs_are_refused_by_their_header(name: str) -> None:
    """A header that declares more than the limit is refused at once, with both sizes, before memory is asked for."""
    side = {"WEBP": 16383, "AVIF": 16384}.get(name, 60_000)
    data = pictures.declaring(name, side, side)

    def reserve(size: int) -> AbstractContextManager[object]:
        raise AssertionError(f"{size} bytes asked for")

    start = time.process_time()
    with pytest.raises(PictureError) as caught:
        images.read(io.BytesIO(data), max_pixels=LIMIT, reserve=reserve)
    assert time.process_time() - start < 0.5
    assert str(caught.value) == (
        f"{side} x {side} pixels are more than analysis.max_megapixels allows (250 megapixels)"
    )


def test_the_limit_itself_is_allowed() -> None:
    """As many pixels as the limit says are read, one more is not."""
    data = pictures.encode(PHOTO, "PNG")
    assert read(data, max_pixels=320 * 240).facts.pixels == 320 * 240
    assert "megapixels" in problem(data, max_pixels=320 * 240 - 1)


def test_impossible_sizes() -> None:
    """Pictures without width or of the greatest width are refused."""
    assert problem(pictures.png(0, 0, bits=8, colour=2))
    assert "2147483647 x 1" in problem(pictures.png(2147483647, 1, bits=8, colour=2))


def test_text_and_profiles_that_inflate_are_refused() -> None:
    """A PNG whose text or colour profile inflates to 200 MB is refused without inflating it all."""
    import zlib

    deflate = zlib.compressobj(9)
    packed = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(200)) + deflate.flush()
    for chunk in (
        pictures.png_chunk(b"zTXt", b"Comment\0\0" + packed),
        pictures.png_chunk(b"iCCP", b"profile\0\0" + packed),
        pictures.png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + packed),
    ):
        start = time.process_time()
        data = pictures.png(8, 8, bits=8, colour=0, pixels=bytes(64), before=chunk)
        assert "too large" in problem(data)
        assert time.process_time() - start < 2


def with_scans(data: bytes, times: int) -> bytes:
    """Repeat the last scan of a JPEG that often."""
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * times + data[-2:]


def test_scan_floods_are_refused() -> None:
    """A progressive JPEG with a thousand scans, which costs a pass over all pixels each, is refused at once."""
    usual = pictures.encode(PHOTO, progressive=True)
    flood = with_scans(usual, 1000)
    start = time.process_time()
    assert problem(flood) == "a JPEG with more than 200 scans"
    assert time.process_time() - start < 0.5
    assert read(with_scans(usual, 20)).facts.width == 320


def one_scan_per_colour(times: int) -> bytes:
    """Return a baseline JPEG, 800 x 800, whose colours come in scans of their own, over and over and all but empty."""
    data = pictures.encode(Image.new("L", (800, 800)))
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    layers = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    header = b"\xff\xc0\0\x11" + data[frame + 4 : frame + 9] + b"\3" + layers
    scans = b"".join(b"\xff\xda\0\x08\1" + bytes((number, 0)) + b"\0\x3f\0\0\0" for number in (1, 2, 3))
    after_frame = data[frame + 2 + int.from_bytes(data[frame + 2 : frame + 4]) : scan]
    return data[:frame] + header + after_frame + scans * times + b"\xff\xd9"


def test_scan_floods_without_progression_are_refused() -> None:
    """Colours stored in scans of their own can be repeated just as well."""
    assert read(one_scan_per_colour(2)).facts.width == 800
    assert problem(one_scan_per_colour(400)) == "a JPEG with more than 200 scans"


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_films_behind_a_picture_are_no_scans(options: dict[str, Any]) -> None:
    """What a phone appends behind the end of a JPEG is not searched for scans, nor is an EXIF thumbnail."""
    film = b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 1000
    whole = pictures.encode(PHOTO, **options)
    assert read(whole + film * 20).facts.width == 320
    hidden = b"\xff\xe2" + (len(film) + 2).to_bytes(2) + film
    assert read(whole[:2] + hidden + whole[2:]).facts.width == 320


def test_reasons_are_one_line() -> None:
    """Decoder messages that span lines come as one."""
    data = pictures.encode(PHOTO, "HEIF")
    reason = problem(data[: len(data) // 2])
    assert reason == " ".join(reason.split())
    assert reason.startswith("cannot be decoded: ")


class Failing(io.BytesIO):
    """A stream on a disk that fails behind some byte."""

    def __init__(self, data: bytes, good: int) -> None:
        super().__init__(data)
        self._good = good

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = len(self.getbuffer()) if size is None or size < 0 else size
        if self.tell() + wanted > self._good:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(size)


@pytest.mark.parametrize("good", [0, 700, 4000])
@pytest.mark.parametrize("name", ["PNG", "BMP", "WEBP", "JPEG"])
def test_disk_errors_may_pass(name: str, good: int) -> None:
    """A disk that fails, from the start or while decoding, is no fault of the picture: NotNow, with the reason."""
    with pytest.raises(NotNow, match="Input/output error"):
        images.read(Failing(pictures.encode(PHOTO, name), good), max_pixels=LIMIT)


def test_lack_of_memory_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little memory is no fault of the picture: NotNow."""

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "resize", no_memory)
    with pytest.raises(NotNow, match="not enough memory"):
        read(pictures.encode(PHOTO))


def test_memory_is_held_while_decoding_and_given_back() -> None:
    """The reservation spans the decode, also one that fails."""
    held: list[str] = []

    @contextmanager
    def reserve(size: int) -> Iterator[None]:
        held.append(f"+{size > 0}")
        try:
            yield
        finally:
            held.append("-")

    data = pictures.encode(PHOTO)
    images.read(io.BytesIO(data), max_pixels=LIMIT, reserve=reserve)
    with pytest.raises(PictureError):
        images.read(io.BytesIO(data[:-2000]), max_pixels=LIMIT, reserve=reserve)
    assert held == ["+True", "-"] * 2


MEASURE = """
import contextlib, io, json, sys
from py_image_dedup import images

def kilobytes(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key))

def reserve(size):
    asked.append(size)
    return contextlib.nullcontext()

width = int(sys.argv[1])
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        data = io.BytesIO(file.read())
    asked = []
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
    before = kilobytes("VmRSS")
    if width:
        images.view(data, width=width, height=width * 3 // 4, max_pixels=10**9, reserve=reserve)
    else:
        images.read(data, max_pixels=10**9, reserve=reserve)
    print(json.dumps([path, asked[0], (kilobytes("VmHWM") - before) * 1024]))
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="no way to measure peak memory here")
def test_memory_asked_for_is_what_a_decode_takes(tmp_path: Path) -> None:
    """For every format and many modes, the bytes reserved are no less than the peak of reading and of viewing."""
    warm_up = [pictures.write(tmp_path / "small" / name, PHOTO, name) for name in images.FORMATS]
    tmp_path /= "large"
    large = pictures.photo(1, (1200, 900))
    for name in images.FORMATS:
        pictures.write(tmp_path / name, large, name)
    small_effort = {"compress_level": 0}
    for mode in ("L", "LA", "P", "RGBA"):
        pictures.write(tmp_path / f"PNG {mode}", large.convert(mode), "PNG", **small_effort)
    pictures.write(tmp_path / "PNG P transparent", large.convert("P"), "PNG", transparency=0, **small_effort)
    pictures.write(tmp_path / "PNG I;16", sixteen_bits(large), "PNG", **small_effort)
    pictures.write(tmp_path / "JPEG progressive", large, progressive=True, subsampling=0)
    pictures.write(tmp_path / "JPEG CMYK", large.convert("CMYK"))
    pictures.write(tmp_path / "TIFF F", large.convert("F"), "TIFF")
    pictures.write(tmp_path / "TIFF CMYK", large.convert("CMYK"), "TIFF")
    pictures.write(tmp_path / "TIFF LZW", large, "TIFF", compression="tiff_lzw")
    pictures.write(tmp_path / "WEBP RGBA", large.convert("RGBA"), "WEBP")
    files = sorted(tmp_path.iterdir())
    for width in (0, 800):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(width), *warm_up, *files],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
        )
        measured = [json.loads(line) for line in done.stdout.splitlines()[len(warm_up) :]]
        assert len(measured) == len(files)
        for path, asked, taken in measured:
            what = f"{os.path.basename(path)} {width or ''}: {asked >> 10} KB asked for, {taken >> 10} KB taken"
            assert taken <= asked + (2 << 20), what


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="no way to measure peak memory here")
def test_a_large_view_takes_less_than_the_picture_in_colour(tmp_path: Path) -> None:
    """A page of 12 megapixels, which Pillow holds as 48 MB of colour, is viewed in less than 30 MB."""
    files = [tmp_path / name for name in ("small", "large")]
    for file, size in zip(files, ((640, 480), (4000, 3000)), strict=True):
        pictures.write(file, pictures.photo(1, (640, 480)).resize(size))
    done = subprocess.run([sys.executable, "-c", MEASURE, "2400", *files], check=True, capture_output=True, text=True)
    _, _, taken = json.loads(done.stdout.splitlines()[-1])
    assert taken < 30e6
