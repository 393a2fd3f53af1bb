"""What only a lesser copy tells is listed, so that nothing of it is lost unseen."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pictures
import pytest
from command import Command
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from py_image_dedup import metadata
from py_image_dedup.errors import PictureError
from py_image_dedup.gains import with_gains
from py_image_dedup.model import Level
from py_image_dedup.plan import Action, Plan, PlannedAct, PlannedFile, PlannedGroup

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmp:Rating="%d"><dc:subject><rdf:Bag><rdf:li>dog</rdf:li></rdf:Bag></dc:subject></rdf:Description>
</rdf:RDF></x:xmpmeta>"""


def exif(tags: dict[int, Any], *, details: dict[int, Any] | None = None, gps: bool = False) -> bytes:
    """Return EXIF data with these tags."""
    made = Image.Exif()
    made.update(tags)
    if details:
        made[IFD.Exif] = details
    if gps:
        made[IFD.GPSInfo] = {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (48.0, 8.0, 0.0)}
    return made.tobytes()


def told(picture: Image.Image, name: str = "JPEG", **options: Any) -> set[str]:
    data = io.BytesIO()
    picture.save(data, name, **options)
    data.seek(0)
    return set(metadata.told(data, max_pixels=10**6))


PHOTO = pictures.photo(1, (64, 48))


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_exif_is_told_in_kinds(name: str) -> None:
    """Each kind of metadata is found in every format that holds EXIF."""
    data = exif(
        {Base.Make: "Some", Base.Artist: "Me", Base.ImageDescription: "Dog", Base.Rating: 4, Base.XPKeywords: b"d\0"},
        details={Base.DateTimeOriginal: "2024:05:01 12:00:00"},
        gps=True,
    )
    every = {"GPS position", "capture date", "description", "keywords", "rating", "camera", "author"}
    assert told(PHOTO, name, exif=data) == every
    assert told(PHOTO, name) == set()


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF"])
def test_xmp_is_told_in_kinds(name: str) -> None:
    """Rating and keywords that a photo manager wrote are found; a rating of 0 is none."""

    def packet(rating: int) -> dict[str, Any]:
        text = (XMP % rating).encode()
        if name != "PNG":
            return {"xmp": text}
        info = pictures_info()
        info.add_itxt("XML:com.adobe.xmp", text.decode())
        return {"pnginfo": info}

    assert told(PHOTO, name, **packet(3)) == {"rating", "keywords"}
    assert told(PHOTO, name, **packet(0)) == {"keywords"}


def pictures_info() -> Any:
    from PIL.PngImagePlugin import PngInfo

    return PngInfo()


def test_empty_tags_tell_nothing() -> None:
    """Places that cameras keep free for a text, a date or a rating are not told."""
    data = exif(
        {Base.ImageDescription: "   ", Base.Rating: 0, Base.Artist: "\0"},
        details={Base.UserComment: b"ASCII\0\0\0" + b"\0" * 40, Base.DateTimeOriginal: " "},
    )
    assert told(PHOTO, exif=data) == set()
    comment = exif({}, details={Base.UserComment: b"ASCII\0\0\0Dog"})
    assert told(PHOTO, exif=comment) == {"description"}


def file(path: str) -> PlannedFile:
    return PlannedFile(path, 1, 1, path[-1] * 64, "JPEG", 1, 1)


def planned(*members: PlannedFile) -> Plan:
    acts = tuple(
        PlannedAct(f"1.{n}", member, 0.1, Level.DUPLICATE, Action.DELETE, None, "path", "")
        for n, member in enumerate(members, 1)
    )
    groups = (PlannedGroup(file("/k"), acts),)
    return Plan(origin="here", roots=("/",), action=Action.DELETE, target=None, groups=groups)


def gains(plan: Plan, facts: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """Return the gain of each act; a file without facts can't be read."""
    asked: list[str] = []

    def tell(path: str) -> frozenset[str]:
        asked.append(path)
        if path not in facts:
            raise PictureError("broken") if path == "/b" else OSError
        return frozenset(facts[path])

    made = with_gains(plan, told=tell)
    assert len(asked) == len(set(asked))
    return [act.gain for group in made.groups for act in group.duplicates]


def test_only_what_the_keeper_lacks_is_a_gain() -> None:
    """What both tell is none, and the kinds come in order."""
    plan = planned(file("/a"), file("/b"))
    assert gains(plan, {"/k": {"camera"}, "/a": {"rating", "camera", "author"}, "/b": {"camera"}}) == [
        ("author", "rating"),
        (),
    ]


def test_equal_bytes_are_not_read() -> None:
    """A copy with the same bytes has nothing of its own, so neither it nor its keeper is opened."""
    assert gains(planned(PlannedFile("/a", 1, 1, "k" * 64, "JPEG", 1, 1)), {}) == [()]


def test_what_can_not_be_read_ends_nothing() -> None:
    """Of a file that fails nothing is said; without the keeper's facts nothing of the whole group."""
    plan = planned(file("/a"), file("/b"), file("/c"))
    assert gains(plan, {"/k": set(), "/c": {"rating"}}) == [(), (), ("rating",)]
    assert gains(plan, {"/a": {"rating"}, "/b": set(), "/c": set()}) == [(), (), ()]


def test_the_command_lists_gains_if_it_is_asked_to(command: Command, tmp_path: Path) -> None:
    """With the key the table and the plan tell what only the lesser copy has; by default nobody looks."""
    album = tmp_path / "album"
    album.mkdir()
    photo = pictures.photo(1, (640, 480))
    photo.save(album / "large.jpg", quality=92)
    photo.resize((320, 240)).save(album / "small.jpg", quality=90, exif=exif({Base.ImageDescription: "Dog"}, gps=True))
    silent = command.run("deduplicate", album)
    assert silent.json["groups"][0]["duplicates"][0]["gain"] == []
    assert "only it has" not in silent.out
    plan = command.home / "plan.json"
    run = command.run("deduplicate", album, "--plan", plan, PY_IMAGE_DEDUP_DEDUPLICATION_REPORT_GAIN="true")
    assert run.json["groups"][0]["duplicates"][0]["gain"] == ["GPS position", "description"]
    for out in (run.out, command.run("show", plan).out):
        assert "only it has: GPS position, description" in " ".join(out.split())
