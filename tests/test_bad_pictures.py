"""Difficult files, made by code, through the real command: each ends as it should, and the run ends well."""

from __future__ import annotations

import io
import os
import resource
import shutil
import subprocess
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pictures
import pytest
from command import Command, Finished
from PIL import Image, ImageChops

PHOTO = pictures.photo(1)
EXTENSIONS = {
    "JPEG": "jpg",
    "PNG": "png",
    "HEIF": "heic",
    "WEBP": "webp",
    "AVIF": "avif",
    "TIFF": "tif",
    "BMP": "bmp",
    "GIF": "gif",
    "JPEG2000": "jp2.jpg",  # not among the extensions that are looked at by default; the bytes decide
}

DECODES, ERROR, UNSEEN, LINK = "decodes", "is named with a reason", "is not looked at", "is skipped as no regular file"


class Album:
    """A folder of difficult files, and how each must end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.expected: dict[str, str] = {}

    def add(self, name: str, data: bytes, expected: str = DECODES) -> None:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.expected[name] = expected

    def add_all(self, prefix: str, made: dict[str, bytes], expected: str = DECODES) -> None:
        """Write several files into one folder."""
        for name, data in made.items():
            self.add(f"{prefix}/{name}", data, expected)

    def named(self, *expected: str) -> list[str]:
        """Return the files that must end so."""
        return sorted(name for name, one in self.expected.items() if one in expected)


def noise(data: bytes, seed: int, times: int) -> bytes:
    """Change that many bytes of a file, not its first hundred."""
    changed = bytearray(data)
    for at in np.random.default_rng(seed).integers(100, len(data), times):
        changed[at] ^= 0x55
    return bytes(changed)


def with_exif(block: bytes) -> bytes:
    """Return the photo as a JPEG with these bytes as its EXIF segment."""
    data = pictures.encode(PHOTO)
    return data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2) + block + data[2:]


def exif_entries(*entries: bytes, count: int | None = None, after: bytes = bytes(4)) -> bytes:
    """Put an EXIF block together from raw directory entries of 12 bytes."""
    number = len(entries) if count is None else count
    return b"Exif\0\0MM\0*\0\0\0\x08" + number.to_bytes(2) + b"".join(entries) + after


def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
    """Return a raw directory entry."""
    return tag.to_bytes(2) + kind.to_bytes(2) + count.to_bytes(4) + value


def several(name: str, *frames: Image.Image, lossless: bool = True) -> bytes:
    """Return a file of several frames."""
    options = {"lossless": True} if name == "WEBP" and lossless else {}
    return pictures.encode(frames[0], name, save_all=True, append_images=list(frames[1:]), **options)


def mpo(*views: Image.Image) -> bytes:
    """Return a stereo picture."""
    out = io.BytesIO()
    views[0].save(out, "MPO", save_all=True, append_images=list(views[1:]))
    return out.getvalue()


def inflating(kind: bytes, head: bytes) -> bytes:
    """Return a PNG of 8x8 pixels with a chunk that inflates to 200 MB."""
    deflate = zlib.compressobj(9)
    packed = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(200)) + deflate.flush()
    return pictures.png(8, 8, bits=8, colour=0, pixels=bytes(64), before=pictures.png_chunk(kind, head + packed))


def make(folder: Path) -> Album:
    """Make the whole album."""
    album = Album(folder)
    whole = {name: pictures.encode(PHOTO, name) for name in EXTENSIONS}
    jpeg, png = whole["JPEG"], whole["PNG"]
    for name, extension in EXTENSIONS.items():
        album.add(f"reference/ok.{extension}", whole[name])
        album.add(f"truncated/half.{extension}", whole[name][: len(whole[name]) // 2], ERROR)
        album.add(f"truncated/head.{extension}", whole[name][:24], ERROR)
    album.add_all(
        "damaged",
        {
            "zeros.jpg": bytes(50_000),
            "tail_missing.jpg": jpeg[: len(jpeg) * 9 // 10],
            "zero_padded.jpg": jpeg[: len(jpeg) // 2] + bytes(len(jpeg) // 2),
            "bad_crc.png": noise(png, 1, 3),
            "corrupted.heic": whole["HEIF"][:200] + bytes(len(whole["HEIF"]) - 200),
            "junk_before.jpg": b"junk" + jpeg,
        },
        ERROR,
    )
    album.add("damaged/junk_behind.jpg", jpeg + np.random.default_rng(1).bytes(200_000))
    album.add("damaged/jpeg_behind.jpg", jpeg + pictures.encode(pictures.photo(9)))
    album.add_all(
        "wrong",
        {
            "empty.jpg": b"",
            "one_byte.png": b"\x89",
            "text.jpg": b"no picture\n",
            "page.jpg": b"<!DOCTYPE html><title>404</title>",
            "random.jpg": np.random.default_rng(2).bytes(5000),
            "pdf.jpg": b"%PDF-1.4\n%%EOF\n",
            "zip.jpg": b"PK\5\6" + bytes(18),
            "film.heic": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x08mdat",
            "._IMG_0002.png.jpg": b"",
        },
        ERROR,
    )
    album.expected["wrong/._IMG_0002.png.jpg"] = UNSEEN
    album.add_all(
        "wrong",
        {
            "._IMG_0001.jpg": jpeg,
            ".hidden.jpg": jpeg,
            ".originals/a.jpg": jpeg,
            "no_extension": jpeg,
            "photo.jpg.bak": jpeg,
            "film.mp4": b"\0\0\0\x18ftypmp42",
            "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "Thumbs.db": bytes(100),
        },
        UNSEEN,
    )
    album.add_all(
        "wrong",
        {"png.jpg": png, "jpeg.png": jpeg, "heic.jpg": whole["HEIF"], "webp.jpg": whole["WEBP"], "UPPER.JPG": jpeg},
    )
    bombs = {
        f"declared.{EXTENSIONS[name]}": pictures.declaring(name, side, side)
        for name in EXTENSIONS
        for side in [{"WEBP": 16383, "AVIF": 16384}.get(name, 60_000)]
    }
    progressive = pictures.encode(PHOTO, progressive=True)
    last_scan = progressive.rindex(b"\xff\xda")
    bombs |= {
        "wide.png": pictures.png(2147483647, 1, bits=8, colour=2),
        "nothing.png": pictures.png(0, 0, bits=8, colour=2),
        "text.png": inflating(b"zTXt", b"Comment\0\0"),
        "profile.png": inflating(b"iCCP", b"profile\0\0"),
        "scans.jpg": progressive[:last_scan] + progressive[last_scan:-2] * 1500 + progressive[-2:],
    }
    album.add_all("bomb", bombs, ERROR)
    add_modes(album)
    add_small_and_flat(album)
    add_frames(album)
    add_exif(album)
    add_names(album)
    return album


def add_modes(album: Album) -> None:
    """Add the photo in odd modes, and pictures that show nothing of it."""
    inks = PHOTO.convert("CMYK")
    plain_inks = pictures.encode(ImageChops.invert(inks))
    mark = plain_inks.index(b"\xff\xee")
    clear, half, blank = PHOTO.copy(), PHOTO.copy(), Image.new("RGB", PHOTO.size, "white")
    clear.putalpha(0)
    blank.putalpha(0)
    alpha = Image.new("L", PHOTO.size, 255)
    alpha.paste(0, (0, 0, 160, 240))
    half.putalpha(alpha)
    deep = Image.fromarray(np.asarray(PHOTO.convert("L")).astype(np.uint16) * 257)
    album.add_all(
        "mode",
        {
            "inks.jpg": pictures.encode(inks),
            "inks_without_mark.jpg": plain_inks[:mark] + plain_inks[mark + 16 :],
            "grey.jpg": pictures.encode(pictures.grey(PHOTO)),
            "progressive.jpg": pictures.encode(PHOTO, progressive=True),
            "grey16.png": pictures.encode(deep, "PNG"),
            "grey16.tif": pictures.encode(deep, "TIFF"),
            "float.tif": pictures.encode(PHOTO.convert("F"), "TIFF"),
            "palette.png": pictures.encode(PHOTO.quantize(), "PNG"),
            "grey_alpha.png": pictures.encode(PHOTO.convert("LA"), "PNG"),
            "bits.png": pictures.encode(PHOTO.convert("1"), "PNG"),
            "hidden_colours.png": pictures.encode(half, "PNG"),
            "clear_photo.png": pictures.encode(clear, "PNG"),
            "clear_white.png": pictures.encode(blank, "PNG"),
        },
    )


def add_small_and_flat(album: Album) -> None:
    """Add pictures of a few pixels, of one colour, and of a lens cap; one of each kind twice."""
    pixel = Image.new("RGB", (1, 1), "grey")
    for name, extension in EXTENSIONS.items():
        if name not in {"HEIF", "AVIF", "JPEG2000"}:
            album.add(f"tiny/1x1.{extension}", pictures.encode(pixel, name))
    small = {f"{w}x{h}.png": pictures.encode(pictures.photo(3, (w, h)), "PNG") for w, h in ((2, 2), (1, 900), (900, 1))}
    album.add_all("tiny", small | {"2x2 again.png": small["2x2.png"]})
    album.add("tiny/panorama.jpg", pictures.encode(pictures.photo(4, (3000, 100))))
    flat = {}
    for colour in ("black", "white", "grey", "red", "blue"):
        flat[f"{colour}.jpg"] = pictures.encode(Image.new("RGB", (800, 600), colour))
        flat[f"{colour}.png"] = pictures.encode(Image.new("RGB", (640, 480), colour), "PNG")
    flat["red again.png"] = flat["red.png"]
    flat |= {f"lens_cap_{n}.jpg": pictures.encode(pictures.noise(n, (640, 480), high=4)) for n in (1, 2)}
    flat["lens_cap_1 again.jpg"] = flat["lens_cap_1.jpg"]
    ramp = np.tile(np.linspace(0, 255, 320), (240, 1))
    for name, values in {"right": ramp, "left": ramp[:, ::-1], "down": ramp.T}.items():
        flat[f"ramp_{name}.png"] = pictures.encode(pictures.from_array(values), "PNG")
    album.add_all("flat", flat)


def add_frames(album: Album) -> None:
    """Add files of several frames or pages, one of them twice, beside their first frame as a still."""
    first, second, third = (pictures.photo(seed, (200, 160)) for seed in (21, 22, 23))
    frames = {
        f"moving.{EXTENSIONS[name]}": several(name, first, second, third)
        for name in ("GIF", "WEBP", "PNG", "TIFF", "AVIF", "HEIF")
    }
    frames |= {"stereo.jpg": mpo(first, second), "other_pages.tif": several("TIFF", first, third)}
    frames["moving again.tif"] = frames["moving.tif"]
    album.add_all("frames", frames | {"still.png": pictures.encode(first, "PNG"), "still.jpg": pictures.encode(first)})


def add_exif(album: Album) -> None:
    """Add the photo with broken EXIF, and one held in every way."""
    loop = entry(0x8769, 4, 1, (8).to_bytes(4))
    album.add_all(
        "exif",
        {
            "self_loop.jpg": with_exif(exif_entries(after=(8).to_bytes(4))),
            "exif_loop.jpg": with_exif(exif_entries(loop)),
            "out_of_range.jpg": with_exif(exif_entries(entry(0x010F, 2, 99, (1 << 30).to_bytes(4)))),
            "count_overflow.jpg": with_exif(exif_entries(entry(0x9003, 12, 0xFFFFFFFF, bytes(4)))),
            "too_many.jpg": with_exif(exif_entries(count=65535)),
            "text.jpg": with_exif(b"Exif\0\0no TIFF header at all"),
            "empty.jpg": with_exif(b"Exif\0\0"),
            "orientation_0.jpg": with_exif(pictures.exif(orientation=0)),
            "orientation_9.jpg": with_exif(pictures.exif(orientation=9)),
            "orientation_text.jpg": with_exif(exif_entries(entry(0x0112, 2, 2, b"6\0\0\0"))),
            "long_note.jpg": with_exif(pictures.exif(maker="x" * 60_000)),
            "place.jpg": with_exif(pictures.exif(gps=True)),
        },
    )
    held = pictures.photo(31)
    for orientation in range(1, 9):
        block = pictures.exif(orientation=orientation)
        stored = pictures.as_held(held, orientation)
        album.add(f"orientation/{orientation}.jpg", pictures.encode(stored, exif=block))
        if orientation == 6:
            for name in ("PNG", "WEBP", "TIFF", "HEIF"):
                album.add(f"orientation/6.{EXTENSIONS[name]}", pictures.encode(stored, name, exif=block))


def add_names(album: Album) -> None:
    """Add difficult names, links, a FIFO, and a folder named like a picture."""
    data = pictures.encode(pictures.photo(41))
    for name in (
        "with space.jpg",
        'quote\'s "double".jpg',
        "comma, semicolon; tab\t.jpg",
        "star*question?[set].jpg",
        "$HOME `id` $(id);&|.jpg",
        "%s %n {0} {{x}} [bold]x[/bold].jpg",
        "=1+1 @SUM.jpg",
        "<img src=x onerror=alert(1)>.jpg",
        "line\nbreak.jpg",
        "esc\x1b[31mred.jpg",
        "\u202egpj.exe.jpg",
        os.fsdecode(b"bad\xff\xfe.jpg"),
        "n" * 251 + ".jpg",
        "-rf.jpg",
        "folder.jpg/inside.jpg",
    ):
        album.add(f"names/{name}", data)
    album.add("names/a.jpg", data)
    album.add("names/A.jpg", pictures.encode(pictures.photo(42)))
    for name, goal in {"link.jpg": "a.jpg", "dangling.jpg": "nowhere", "loop.jpg": "loop.jpg"}.items():
        (album.folder / "names" / name).symlink_to(goal)
        album.expected[f"names/{name}"] = LINK
    (album.folder / "names/up").symlink_to("..")
    os.mkfifo(album.folder / "names/fifo.jpg")
    album.expected["names/fifo.jpg"] = LINK


@dataclass(frozen=True)
class Result:
    """The album and one run over it."""

    album: Album
    done: Finished

    @property
    def reasons(self) -> dict[str, str]:
        """Why files were skipped, by name below the album."""
        return {self._name(one["path"]): one["reason"] for one in self.done.json["skipped"]}

    def copies(self, *, of: str, prefix: str = "") -> set[str]:
        """Return the files that are in one group with this one, at level duplicate or as its keeper."""
        for group in self.done.json["groups"]:
            members = [group["keeper"], *(one for one in group["duplicates"] if one["level"] == "duplicate")]
            names = {self._name(one["path"]) for one in members}
            if of in names:
                return {name for name in names if name.startswith(prefix)}
        return {of}

    def _name(self, path: str) -> str:
        return os.path.relpath(path, self.album.folder)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One dry run over the whole album."""
    base = tmp_path_factory.mktemp("bad")
    album = make(base / "album")
    start = time.monotonic()
    done = Command(base / "home").run("deduplicate", album.folder)
    assert time.monotonic() - start < 60
    return Result(album, done)


def test_the_run_ends_well(result: Result) -> None:
    """However bad the files, the exit code is 0 and nothing is traced."""
    assert result.done.code == 0, result.done.err
    assert "Traceback" not in result.done.err + result.done.out


def test_every_bad_file_is_named_with_a_reason(result: Result) -> None:
    """Exactly the files that can't be read, the links and the special files are in "skipped", each with a reason."""
    assert sorted(result.reasons) == result.album.named(ERROR, LINK)
    assert all(reason and reason.isprintable() for reason in result.reasons.values())
    for name in result.album.named(LINK):
        assert result.reasons[name] in {"a symbolic link, not followed", "not a regular file"}


def test_every_good_file_is_decoded(result: Result) -> None:
    """All others are analysed; what is out of scope is not looked at."""
    counts, album = result.done.counts, result.album
    assert counts["files"] == counts["analysed"] == len(album.named(DECODES, ERROR))
    contents = {(album.folder / name).read_bytes() for name in album.named(DECODES)}
    assert counts["decoded"] >= len(contents)
    assert counts["skipped"] == len(album.named(ERROR, LINK))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bomb/declared.png", "60000 x 60000 pixels are more than analysis.max_megapixels allows"),
        ("bomb/scans.jpg", "a JPEG with more than 200 scans"),
        ("bomb/text.png", "too large"),
        ("wrong/text.jpg", "not a picture in a supported format"),
        ("wrong/empty.jpg", "not a picture in a supported format"),
        ("truncated/half.jpg", "truncated"),
        ("damaged/bad_crc.png", "cannot be decoded"),
    ],
)
def test_reasons(result: Result, name: str, reason: str) -> None:
    """The reason says what is wrong with the file."""
    assert reason in result.reasons[name]


def test_bad_files_are_in_no_group(result: Result) -> None:
    """A file that could not be read is neither keeper nor copy."""
    grouped = [
        os.path.relpath(one["path"], result.album.folder)
        for group in result.done.json["groups"]
        for one in (group["keeper"], *group["duplicates"])
    ]
    assert not set(grouped) & set(result.album.named(ERROR, LINK, UNSEEN))


def test_one_photo_is_one_group(result: Result) -> None:
    """The photo in every format, with junk behind it, under a wrong extension or with broken EXIF, is one group."""
    copies = result.copies(of="reference/ok.png")
    alike = [
        name
        for name in result.album.named(DECODES)
        if name.startswith(("reference/", "wrong/", "exif/", "damaged/")) or name == "mode/progressive.jpg"
    ]
    assert set(alike) <= copies
    assert all(name.split("/")[0] in {"reference", "wrong", "exif", "damaged", "mode"} for name in copies)


def test_hidden_colours_are_not_the_photo(result: Result) -> None:
    """What is transparent is white: half a photo is no copy of the whole, and a clear one shows nothing."""
    for name in ("hidden_colours", "clear_photo", "clear_white"):
        assert result.copies(of=f"mode/{name}.png") == {f"mode/{name}.png"}


@pytest.mark.parametrize("name", ["inks.jpg", "inks_without_mark.jpg", "grey16.png", "float.tif", "palette.png"])
def test_modes_show_the_photo(result: Result, name: str) -> None:
    """In odd modes the photo is found beside the others of its group, as duplicate or similar."""
    found = [
        {os.path.relpath(one["path"], result.album.folder) for one in (group["keeper"], *group["duplicates"])}
        for group in result.done.json["groups"]
    ]
    assert any({f"mode/{name}", "reference/ok.png"} <= group for group in found)


def test_flat_pictures_group_by_equal_bytes_only(result: Result) -> None:
    """Red is not blue, black not white: pictures of one colour and lens caps are copies of equal bytes only."""
    for name in result.album.named(DECODES):
        if name.startswith("flat/") and "again" not in name:
            again = os.path.splitext(name)[0] + " again" + os.path.splitext(name)[1]
            expected = {name, again} & set(result.album.expected)
            assert result.copies(of=name) == expected


def test_tiny_pictures_group_by_equal_bytes_only(result: Result) -> None:
    """Pictures of a few pixels are copies of equal bytes only."""
    for name in result.album.named(DECODES):
        if name.startswith("tiny/") and not name.startswith("tiny/2x2"):
            assert result.copies(of=name) == {name}
    assert result.copies(of="tiny/2x2.png") == {"tiny/2x2.png", "tiny/2x2 again.png"}


def test_files_of_several_frames_group_by_equal_bytes_only(result: Result) -> None:
    """An animation, a scan of pages or a burst is no copy of its first frame, nor of another with the same first."""
    for name in result.album.named(DECODES):
        if name.startswith(("frames/moving", "frames/stereo", "frames/other")):
            twins = {"frames/moving.tif", "frames/moving again.tif"}
            assert result.copies(of=name) == (twins if name in twins else {name})
    assert result.copies(of="frames/still.png") == {"frames/still.png", "frames/still.jpg"}


def test_every_orientation_is_one_group(result: Result) -> None:
    """A photo held in all eight ways, and in other formats, is one group."""
    copies = result.copies(of="orientation/1.jpg")
    assert copies == {name for name in result.album.expected if name.startswith("orientation/")}


def test_difficult_names_come_through(result: Result) -> None:
    """Names of odd bytes and characters are in their group as they are, and on the terminal without control codes."""
    copies = result.copies(of="names/a.jpg")
    assert copies == {name for name in result.album.named(DECODES) if name.startswith("names/")} - {"names/A.jpg"}
    printed = result.done.out + result.done.err
    assert not {"\x1b", "\u202e", "\x07"} & set(printed)


def test_a_second_run_names_the_same_files_unread(result: Result, tmp_path: Path) -> None:
    """What could not be read is remembered: the next run names it again without trying."""
    folder = tmp_path / "album"
    shutil.copytree(result.album.folder / "truncated", folder)
    command = Command(tmp_path / "home")
    first, second = (command.run("deduplicate", folder) for _ in range(2))
    assert first.json["skipped"] == second.json["skipped"]
    assert len(second.json["skipped"]) == len(list(folder.iterdir()))
    assert (first.counts["analysed"], second.counts["analysed"]) == (len(list(folder.iterdir())), 0)


def limited(megabytes: int) -> Callable[[], None]:
    """Return what limits a process to this much memory."""
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))


def test_bombs_take_neither_time_nor_memory(result: Result, tmp_path: Path) -> None:
    """In 1.5 GB of address space all bombs are refused soon, and for what they are, not for lack of memory."""
    command = Command(tmp_path / "home")
    start = time.monotonic()
    done = subprocess.run(
        command.arguments("analyse", result.album.folder / "bomb", "--threads", "2"),
        check=False,
        capture_output=True,
        text=True,
        env=command.environment | {"OPENBLAS_NUM_THREADS": "1"},
        cwd=command.home,
        preexec_fn=limited(1536),
    )
    assert time.monotonic() - start < 15
    assert done.returncode == 0, done.stderr
    number = sum(name.startswith("bomb/") for name in result.album.expected)
    assert f"{number} files: {number} analysed, 0 unchanged, {number} skipped." in done.stdout
    assert "not enough memory" not in done.stdout + done.stderr
