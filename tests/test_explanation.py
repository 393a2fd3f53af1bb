"""Why two files are, or are not, duplicates: what is told is what a run does."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pages
import pictures
import pytest
from command import Command
from PIL import Image
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import IFDRational


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A photo in several versions, and others."""
    folder = tmp_path / "album"
    folder.mkdir()
    photo = pictures.photo(1, (640, 480))
    photo.save(folder / "a.jpg", quality=92)
    shutil.copyfile(folder / "a.jpg", folder / "same.jpg")
    os.link(folder / "a.jpg", folder / "linked.jpg")
    photo.resize((320, 240)).save(folder / "small.jpg", quality=90)
    photo.resize((640, 200)).save(folder / "stretched.jpg", quality=90)
    photo.rotate(90, expand=True).save(folder / "turned.jpg", quality=90)
    photo.crop((20, 15, 620, 465)).save(folder / "cropped.jpg", quality=90)
    pictures.photo(2, (640, 480)).save(folder / "other.jpg", quality=90)
    Image.new("RGB", (64, 64), "red").save(folder / "red.png")
    photo.save(folder / "moving.gif", save_all=True, append_images=[pictures.photo(3, (640, 480))])
    return folder


class Told:
    """What explain said of two files, by what it was about."""

    def __init__(self, command: Command, one: Path, other: Path, *options: str, **environment: str) -> None:
        run = command.run("explain", one, other, *options, **environment)
        assert run.code == 0, run.err
        self.out = run.out
        assert max(map(len, run.out.splitlines())) <= 80
        self._said: dict[str, str] = {}
        about = ""
        for line in run.out.split("\n\n", 1)[1].splitlines():
            found = re.match(r"(\S.*?)  +(.*)", line)
            about, words = (found[1], found[2]) if found else (about, line)
            self._said[about] = f"{self._said.get(about, '')} {words.strip()}".strip()

    def __getitem__(self, about: str) -> str:
        return self._said[about]

    def __contains__(self, about: str) -> bool:
        return about in self._said


def test_a_smaller_copy(command: Command, album: Path) -> None:
    """Distance, last look, rule with its values, and from which distance on they are duplicates."""
    told = Told(command, album / "a.jpg", album / "small.jpg")
    assert 0 < float(told["distance"]) < 0.1
    assert told["last look"].startswith("the same: the worst part agrees to ")
    assert told["better one"] == "A: more pixels (307200 px against 76800 px)"
    assert told["result"] == "duplicates: A stays, B may go"
    for fact in ("640x480", "320x240", "JPEG", str(album)[:20]):
        assert fact in told.out


def test_the_order_of_the_two_does_not_matter(command: Command, album: Path) -> None:
    """A and B change places in all that is said."""
    told = Told(command, album / "small.jpg", album / "a.jpg")
    assert told["better one"].startswith("B: more pixels")
    assert told["result"] == "duplicates: B stays, A may go"


def test_the_least_distance_is_the_least(command: Command, album: Path) -> None:
    """With the max_distance that is named the two are duplicates, with a thousandth less they are not."""
    two = album / "a.jpg", album / "small.jpg"
    found = re.fullmatch(r"duplicates from (0\.\d+) on; it is 0\.25", Told(command, *two)["max_distance"])
    assert found
    least = float(found[1])
    for folder_limit, together in ((least, True), (least - 0.001, False)):
        told = Told(command, *two, "--max-distance", f"{folder_limit:.3f}")
        assert told["result"].startswith("duplicates") is together
        for name in os.listdir(album):
            if album / name not in two:
                (album / name).unlink()
        run = command.run("deduplicate", album, "--max-distance", f"{folder_limit:.3f}")
        assert (run.json["counts"]["duplicates"] == 1) is together


def test_another_picture(command: Command, album: Path) -> None:
    """Where the last look refuses no distance helps, and that is said."""
    told = Told(command, album / "a.jpg", album / "other.jpg")
    assert told["last look"].startswith("not the same")
    assert told["max_distance"] == "none makes them duplicates: the last look"
    assert told["result"] == "unrelated: neither is listed with the other"
    wide = {"PY_IMAGE_DEDUP_DEDUPLICATION_REVIEW_DISTANCE": "0.9"}
    told = Told(command, album / "a.jpg", album / "other.jpg", **wide)
    assert told["laid over"].endswith(": too little to be shown")
    assert told["result"] == "unrelated: neither is listed with the other"
    assert not any("other.jpg" in found for found in command.run("deduplicate", album, **wide).groups())


def test_two_shots(command: Command, tmp_path: Path) -> None:
    """What tells them apart is said, as it stands in their EXIF."""
    for seconds, seed in ((60, 1), (30, 2)):
        grain = np.random.default_rng(seed).normal(0, 2, (480, 640, 3))
        shot = np.clip(np.asarray(pictures.photo(1, (640, 480))) + grain, 0, 255).astype(np.uint8)
        details = {Base.DateTimeOriginal: "2024:05:01 12:00:07", Base.ExposureTime: IFDRational(1, seconds)}
        data = pictures.encode(Image.fromarray(shot), quality=92, exif=pictures.exif(details=details))
        (tmp_path / f"{seconds}.jpg").write_bytes(data)
    told = Told(command, tmp_path / "60.jpg", tmp_path / "30.jpg")
    assert told["last look"] == "two shots: A 2024-05-01 12:00:07, 1/60 s; B 2024-05-01 12:00:07, 1/30 s"
    assert told["result"].startswith("similar: ")


def test_a_flattened_copy(command: Command, tmp_path: Path) -> None:
    """Where the ground shows through, that is said."""
    image = pictures.photo(1, (640, 480)).convert("RGBA")
    hole = Image.new("L", image.size, 255)
    hole.paste(0, (200, 150, 420, 330))
    image.putalpha(hole)
    image.save(tmp_path / "clear.png")
    flat = Image.new("RGBA", image.size, "white")
    flat.alpha_composite(image)
    flat.convert("RGB").save(tmp_path / "flat.png")
    told = Told(command, tmp_path / "clear.png", tmp_path / "flat.png")
    assert told["last look"].startswith("not the same on white or on black, which show through: ")


def test_a_page_with_another_word(command: Command, tmp_path: Path) -> None:
    """Near in distance, but the last look refuses at any."""
    one, other, _ = pages.pair("letter-200", 1, "word")
    one.save(tmp_path / "one.png")
    other.save(tmp_path / "other.png")
    told = Told(command, tmp_path / "one.png", tmp_path / "other.png")
    assert float(told["distance"]) < 0.25
    assert told["last look"].startswith("not")
    assert told["max_distance"] == "none makes them duplicates: the last look"
    assert told["result"].startswith("similar: ")


def test_equal_bytes(command: Command, album: Path) -> None:
    """Two files with the same bytes are duplicates, whatever else."""
    told = Told(command, album / "a.jpg", album / "same.jpg")
    assert told["bytes"].startswith("the same in both")
    assert told["result"].startswith("duplicates: ")
    assert "last look" not in told


@pytest.mark.parametrize("name", ["linked.jpg", "a.jpg"])
def test_one_file_under_two_names(command: Command, album: Path, name: str) -> None:
    """Hard links, and a file with itself, are one file."""
    told = Told(command, album / "a.jpg", album / name)
    assert told["same file"].startswith("both names lead to one file")
    assert "result" not in told


def test_turned_pictures(command: Command, album: Path) -> None:
    """With orientations every way up is measured, and the nearest one counts."""
    told = Told(command, album / "a.jpg", album / "turned.jpg")
    assert told["result"].startswith("unrelated")
    assert "orientations" not in told
    told = Told(command, album / "a.jpg", album / "turned.jpg", "--orientations", "rotations")
    assert told["distance"].endswith(", turned")
    assert re.findall(r"[a-z]+(?= 0)", told["orientations"]) == ["upright", "half", "clockwise", "counterclockwise"]
    assert told["result"].startswith("duplicates: ")


@pytest.mark.parametrize(
    ("name", "about", "words"),
    [
        ("stretched.jpg", "shape", "stretched 2.40 times"),
        ("moving.gif", "frames", "B of several: matched by equal bytes only"),
        ("red.png", "features", "one is of one even colour or tiny"),
    ],
)
def test_other_reasons(command: Command, album: Path, name: str, about: str, words: str) -> None:
    """What keeps two files apart whatever their distance is named."""
    told = Told(command, album / "a.jpg", album / name)
    assert told[about].startswith(words)
    assert told["max_distance"].startswith("none makes them duplicates: ")
    assert not told["result"].startswith("duplicates")


def test_a_crop(command: Command, album: Path) -> None:
    """What is beyond max_distance is similar if it can be laid over the other, and otherwise not shown."""
    told = Told(command, album / "a.jpg", album / "cropped.jpg", "--max-distance", "0.01")
    assert told["laid over"].endswith(": similar")
    assert told["result"] == "similar: B is shown below A, and none goes by itself"
    run = command.run("deduplicate", album, "--max-distance", "0.01")
    (shown,) = [
        (os.path.basename(act["path"]), act["level"])
        for found in run.json["groups"]
        for act in found["duplicates"]
        if act["path"].endswith("cropped.jpg")
    ]
    assert shown == ("cropped.jpg", "similar")


def test_settings_that_keep_them_apart(command: Command, album: Path) -> None:
    """Times that differ too much and different source folders are told."""
    os.utime(album / "small.jpg", (1, 1))
    told = Told(
        command, album / "a.jpg", album / "small.jpg", PY_IMAGE_DEDUP_DEDUPLICATION_MAX_FILE_MODIFICATION_TIME_DIFF="5m"
    )
    assert "max_file_modification_time_diff is 300 s" in told["modified"]
    assert told["max_distance"] == "none makes them duplicates: their times"
    (album / "in").mkdir()
    (album / "small.jpg").rename(album / "in/small.jpg")
    told = Told(
        command,
        album / "a.jpg",
        album / "in/small.jpg",
        PY_IMAGE_DEDUP_ANALYSIS_SOURCE_DIRECTORIES=f"{album},{album}/in",
    )
    assert told["max_distance"] == "none makes them duplicates: their folders"
    assert told["result"].startswith("unrelated")


def test_decisions_are_told(command: Command, album: Path) -> None:
    """What a person has said is named and decides."""
    command.run("keep", album / "small.jpg")
    told = Told(command, album / "a.jpg", album / "small.jpg")
    assert told["you said"] == "B: kept"
    assert told["max_distance"].startswith("none makes them duplicates: the lesser one is kept")
    assert told["result"].startswith("similar")
    assert Told(command, album / "small.jpg", album / "a.jpg")["you said"] == "A: kept"

    command.run("keep", "--forget", album / "small.jpg")
    command.run("keep", album / "a.jpg")
    told = Told(command, album / "a.jpg", album / "small.jpg")
    assert told["result"] == "duplicates: A stays, B may go"
    assert told["max_distance"].startswith("duplicates from")

    command.run("different", album / "a.jpg", album / "small.jpg")
    told = Told(command, album / "a.jpg", album / "small.jpg")
    assert "none makes them duplicates: you said that they are different" in told["max_distance"]
    assert told["result"].startswith("unrelated")


def test_protected_and_kept_copies(command: Command, album: Path) -> None:
    """A duplicate that stays says why."""
    (album / "safe").mkdir()
    (album / "small.jpg").rename(album / "safe/small.jpg")
    protect = {"PY_IMAGE_DEDUP_DEDUPLICATION_PROTECTED_DIRECTORIES": str(album / "safe")}
    told = Told(command, album / "a.jpg", album / "safe/small.jpg", **protect)
    assert told["result"] == "duplicates: A stays, B too, in a protected folder"
    command.run("keep", album / "a.jpg", album / "same.jpg")
    assert "because you said so" in Told(command, album / "a.jpg", album / "same.jpg")["result"]


def test_nothing_is_recorded_or_touched(command: Command, album: Path) -> None:
    """Files that are not recorded are analysed for the occasion."""
    Told(command, album / "a.jpg", album / "small.jpg")
    run = command.run("deduplicate", album)
    assert run.counts["analysed"] == run.counts["files"]


def test_recorded_files_are_not_decoded_again(command: Command, album: Path) -> None:
    """What is recorded is taken as it is; a file that changed since is looked at anew."""
    command.run("analyse", album)
    before = Told(command, album / "a.jpg", album / "other.jpg")
    shutil.copyfile(album / "small.jpg", album / "other.jpg")
    after = Told(command, album / "a.jpg", album / "other.jpg")
    assert before["result"].startswith("unrelated")
    assert after["result"].startswith("duplicates")


@pytest.mark.parametrize("name", ["missing.jpg", ".", "text.jpg", "pipe"])
def test_what_is_no_picture_is_refused(command: Command, album: Path, name: str) -> None:
    """A file that is missing, no file or no picture is told with its name."""
    (album / "text.jpg").write_text("no picture")
    os.mkfifo(album / "pipe")
    run = command.run("explain", album / "a.jpg", album / name)
    assert run.code == 2
    assert str(album) in run.err
