"""The last look: copies agree, and nothing else does, be it one digit, one colour or one object."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pages
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from py_image_dedup import verification
from py_image_dedup.model import View
from py_image_dedup.verification import FIRST_SIDE, Comparison, compare, is_duplicate, is_open, text_share


def scene(seed: int, width: int = 640, height: int = 480) -> Image.Image:
    """Make a colourful picture with structure of every size, as photos have it."""
    rng = np.random.default_rng(seed)
    out = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((3, 90), (8, 50), (20, 30), (60, 20), (160, 12)):
        rough = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        out += (np.asarray(rough.resize((width, height), Image.Resampling.BICUBIC), np.float32) - 128) * strength / 74
    return Image.fromarray(np.clip(out + 128, 0, 255).astype(np.uint8))


def verdict(a: Image.Image, b: Image.Image) -> bool:
    return pages.settle(a, b)[0]


def passport(seed: int) -> Image.Image:
    """Draw one form with another face on it; the text is the same."""
    rng = random.Random(seed)
    image = Image.new("RGB", (900, 640), (222, 228, 214))
    draw = ImageDraw.Draw(image)
    for k, line in enumerate(("PASSPORT", "SURNAME", "GIVEN NAMES", "NATIONALITY", "DATE OF BIRTH")):
        draw.text((380, 60 + 80 * k), line, (40, 40, 60), pages.font(pages.FACES[0], 26))
    skin, hair = (
        rng.choice(((236, 200, 170), (198, 150, 110), (120, 80, 60))),
        rng.choice(((40, 30, 20), (150, 110, 50))),
    )
    draw.rectangle((50, 60, 340, 440), (235, 235, 240))
    draw.ellipse((100, 100, 290, 380), hair)
    wide = rng.randrange(55, 80)
    draw.ellipse((195 - wide, 150, 195 + wide, 390), skin)
    eyes, apart, mouth = rng.randrange(225, 250), rng.randrange(24, 40), rng.randrange(15, 35)
    for x in (195 - apart, 195 + apart):
        draw.ellipse((x - 9, eyes - 5, x + 9, eyes + 5), (30, 30, 30))
    draw.line((195, eyes + 10, 195 + rng.randrange(-8, 8), eyes + 60), (90, 60, 50), 4)
    draw.arc((195 - mouth, 320, 195 + mouth, 345), 0, 180, (150, 50, 50), 4)
    return image


def chart(colours: tuple[pages.Colour, ...]) -> Image.Image:
    """Draw a bar chart in these colours."""
    image = Image.new("RGB", (800, 600), "white")
    draw = ImageDraw.Draw(image)
    for k, fill in enumerate(colours):
        draw.rectangle((80 + 160 * k, 500 - 90 * (k + 1), 190 + 160 * k, 500), fill)
        draw.text((100 + 160 * k, 520), f"{9.5 * (k + 1):.1f}", "black", pages.font(pages.FACES[0], 28))
    return image


def product(colour: pages.Colour) -> Image.Image:
    """Show a shaded mug of this colour on white."""
    image = Image.new("RGB", (700, 700), "white")
    shade = Image.linear_gradient("L").rotate(90).resize((300, 380)).point(lambda level: 120 + level // 2)
    body = Image.merge("RGB", [shade.point(lambda level, part=part: level * part // 255) for part in colour])
    image.paste(body, (180, 160))
    ImageDraw.Draw(image).ellipse((470, 250, 600, 430), outline=colour, width=30)
    return image


@pytest.mark.parametrize("kind", pages.MAKERS)
def test_pages_that_differ_in_one_spot_are_no_duplicates_and_re_encoded_ones_are(kind: str) -> None:
    """A digit, number, word or point changed is seen, re-encoded or not; the page itself written anew is recognised."""
    seed = sorted(pages.MAKERS).index(kind)
    page, twin, change = pages.pair(kind, seed)
    assert not verdict(page, twin), change
    assert not verdict(pages.shrunk(page, 0.5), pages.through(pages.shrunk(twin, 0.6), "JPEG", quality=60)), change
    assert verdict(page, pages.through(page, "JPEG", quality=85))


@pytest.mark.parametrize("kind", ["table-200", "table-300"])
def test_one_digit_of_eight_points_is_seen_at_200_and_300_dpi(kind: str) -> None:
    """6 for 8, 3 for 8, 7 for 1: every look-alike digit counts in small print."""
    dpi = int(kind.rpartition("-")[2])
    size = round(8 * dpi / 72)

    def sheet(digit: str) -> Image.Image:
        lines = [f"{k}. received {k * 37}.{k}0 of {digit if k == 9 else 5}{k}4.20" for k in range(20)]
        marks = tuple(pages.Text(dpi, dpi + k * size * 2, line, size) for k, line in enumerate(lines))
        return pages.Page(kind, round(8.27 * dpi), round(11.69 * dpi), (255, 255, 255), marks).draw()

    drawn = {digit: sheet(digit) for digit in "13678"}
    for one, other in (("6", "8"), ("3", "8"), ("1", "7")):
        assert not verdict(drawn[one], pages.through(drawn[other], "JPEG", quality=75)), (one, other)
    assert verdict(drawn["6"], pages.through(drawn["6"], "JPEG", quality=75))


@pytest.mark.parametrize("share", [0.5, 0.25, 0.15, 0.1])
def test_where_digits_cannot_be_read_pages_are_no_duplicates(share: float) -> None:
    """A smaller copy of a twin is never a duplicate, however well it seems to agree."""
    for kind in ("receipt", "form", "letter-200"):
        page, twin, _ = pages.pair(kind, 3, "digit")
        assert not verdict(page, pages.shrunk(twin, share)), kind


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "the same": lambda image: image.copy(),
    "q30": lambda image: pages.through(image, "JPEG", quality=30),
    "webp": lambda image: pages.through(image, "WEBP", quality=60),
    "half": lambda image: pages.shrunk(image, 0.5),
    "quarter": lambda image: pages.through(pages.shrunk(image, 0.25), "JPEG", quality=80),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "less colour": lambda image: ImageEnhance.Color(image).enhance(0.7),
    "gamma": lambda image: image.point(lambda level: round(255 * (level / 255) ** 1.25)),
    "sharper": lambda image: image.filter(ImageFilter.UnsharpMask(2, 60, 2)),
}


@pytest.mark.parametrize("way", COPIES)
def test_copies_of_photos_are_duplicates(way: str) -> None:
    """What messengers, converters and light edits do to a photo leaves it the same photo."""
    image = scene(1)
    same, look = pages.settle(image, COPIES[way](image))
    assert same, look


def test_another_photo_is_no_duplicate() -> None:
    """Two pictures of one palette and texture have nothing in common."""
    assert not verdict(scene(1), scene(2))


def test_a_small_object_added_is_seen() -> None:
    """A disc, or a piece of the picture itself, of a twentieth of the width makes another picture."""
    for seed in range(4):
        image = scene(seed)
        other = image.copy()
        ImageDraw.Draw(other).ellipse((300, 200, 332, 232), (250, 240, 40))
        assert not verdict(image, other)
        other = image.copy()
        other.paste(image.crop((10, 10, 42, 42)), (400, 300))
        assert not verdict(image, other)


def test_two_faces_in_one_layout_are_no_duplicates() -> None:
    """Passports share everything but the face."""
    faces = [passport(seed) for seed in range(5)]
    for i, one in enumerate(faces):
        assert verdict(one, pages.through(one, "JPEG", quality=80))
        for other in faces[i + 1 :]:
            assert not verdict(one, other)


def test_other_colours_make_another_picture() -> None:
    """Red and blue swapped, a hue turned, a mug or a chart in another colour: lightness alone would not tell."""
    image = scene(3)
    assert not verdict(image, Image.fromarray(np.asarray(image)[..., ::-1].copy()))
    hue, saturation, value = image.convert("HSV").split()
    turned = hue.point(lambda level: (level + 43) % 256)
    assert not verdict(image, Image.merge("HSV", (turned, saturation, value)).convert("RGB"))
    mugs = [product(colour) for colour in ((200, 40, 40), (40, 60, 200), (30, 140, 60), (220, 160, 30))]
    assert not any(verdict(one, other) for i, one in enumerate(mugs) for other in mugs[i + 1 :])
    one = chart(((200, 40, 40), (40, 60, 200), (30, 140, 60), (220, 160, 30)))
    other = chart(((200, 40, 40), (30, 140, 60), (40, 60, 200), (220, 160, 30)))
    assert not verdict(one, other)
    assert verdict(one, pages.through(one, "JPEG", quality=80))


def test_dark_pictures_are_told_apart_and_recognised() -> None:
    """What is nearly black is judged by what little there is to see."""
    dark = [ImageEnhance.Brightness(scene(seed)).enhance(0.06) for seed in range(3)]
    assert verdict(dark[0], pages.through(dark[0], "JPEG", quality=90))
    assert not verdict(dark[0], dark[1])
    assert not verdict(dark[1], dark[2])


def test_blank_pages_are_no_duplicates_of_a_page_with_a_line() -> None:
    """A blank scan and one with a single line of faint print are two pages."""
    blank = pages.Page("blank", 1240, 1754, (245, 245, 245), ())
    lines = [pages.Page("line", 1240, 1754, (245, 245, 245), (pages.Text(300, 900, text, 30, (150, 150, 150)),))
             for text in ("page 36 of 40", "page 38 of 40")]  # fmt: skip
    drawn = [pages.scanned(one.draw(), seed) for seed, one in enumerate((blank, *lines))]
    assert not verdict(drawn[0], drawn[1])
    assert not verdict(drawn[1], drawn[2])
    assert not verdict(*(one.draw() for one in lines))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 2000), (2000, 7), (23, 25), (49, 12)])
def test_any_shape_can_be_compared(size: tuple[int, int]) -> None:
    """Shapes thinner than a block, and single pixels, agree with themselves and not with their negative."""
    image = scene(5).resize(size)
    view = pages.as_view(image)
    assert is_duplicate(compare(view, view), full=True)
    look = compare(view, pages.as_view(ImageOps.invert(image)))
    assert look.structure < 0.8 or look.colour > 12 or min(size) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_a_look_is_symmetric_and_perfect_for_equal_pictures(height: int, width: int, seed: int, text: float) -> None:
    """The order of the two does not matter but for ``grey``; equal pictures score 1 and differ by no colour."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    noisy = np.clip(pixels + rng.normal(0, rng.uniform(0, 60), pixels.shape), 0, 255).astype(np.uint8)
    a, b = (pages.as_view(Image.fromarray(array)) for array in (pixels, noisy))
    one, other = compare(a, b, text=text), compare(b, a, text=text)
    assert one.structure == pytest.approx(other.structure, abs=1e-9)
    assert one.colour == pytest.approx(other.colour, abs=1e-6)
    assert one.detail == pytest.approx(other.detail, abs=1e-9)
    assert (one.text, one.text_height, one.grey) == (other.text, other.text_height, other.grey[::-1])
    assert -1.0001 <= one.structure <= 1
    same = compare(a, a)
    assert same.structure == pytest.approx(1, abs=1e-9)
    assert same.colour == pytest.approx(0, abs=1e-6)


def test_grey_pictures_are_told() -> None:
    """Which of the two has no colour is part of the look, and no difference in colour is held against them."""
    image = pages.as_view(scene(6))
    grey = pages.as_view(scene(6).convert("L").convert("RGB"))
    assert compare(image, grey).grey == (False, True)
    assert compare(grey, image).grey == (True, False)
    assert compare(grey, grey).grey == (True, True)
    assert is_duplicate(compare(image, grey), full=True)


def test_a_page_is_decided_at_full_size_only() -> None:
    """At the first size a page-like pair is open, never a duplicate; photos are decided at once."""
    page, twin, _ = pages.pair("letter-200", 0)
    x, y, own = pages.together(page, page, FIRST_SIDE)
    look = compare(x, y)
    assert not own
    assert look.page
    assert not is_duplicate(look, full=False)
    assert is_open(look, full=False)
    assert not is_open(look, full=True)
    x, y, _ = pages.together(page, twin, FIRST_SIDE)
    assert not is_duplicate(compare(x, y), full=False)
    photo = pages.as_view(scene(1))
    assert not compare(photo, photo).page
    assert is_duplicate(compare(photo, photo), full=False)


@pytest.mark.parametrize("kind", [kind for kind in pages.MAKERS if not kind.endswith("300")])
def test_pages_are_known_as_pages(kind: str) -> None:
    """Letters, dark chats, coloured slides and unevenly lit scans all show text on plain ground; photos do not."""
    page, _, _ = pages.pair(kind, 2)
    assert text_share(pages.together(page, page, FIRST_SIDE)[0]) >= verification.SOME_TEXT
    assert text_share(pages.as_view(scene(len(kind)))) < verification.SOME_TEXT


def _view(luma: tuple[int, ...], chroma: tuple[int, ...], dtype: type = np.uint8) -> View:
    return View(np.zeros(luma, dtype), np.zeros(chroma, dtype))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (_view((4, 4), (1, 1, 2)), _view((4, 5), (1, 2, 2))),
        (_view((4, 4, 3), (1, 1, 2)), _view((4, 4, 3), (1, 1, 2))),
        (_view((4, 4), (4, 4, 2)), _view((4, 4), (4, 4, 2))),
        (_view((0, 4), (0, 1, 2)), _view((0, 4), (0, 1, 2))),
        (_view((4, 4), (1, 1, 2), float), _view((4, 4), (1, 1, 2), float)),
    ],
)
def test_what_cannot_be_compared_is_refused(a: View, b: View) -> None:
    """Other shapes and types are an error of the caller, told at once."""
    with pytest.raises(ValueError, match=r"shape|no view"):
        compare(a, b)


def test_the_verdict_follows_from_the_look_alone() -> None:
    """A stored look gives the verdict again, without the pictures."""
    good = Comparison(structure=0.9, colour=1.0, text=0.0, grey=(False, False))
    assert is_duplicate(good, full=False)
    page = Comparison(structure=0.99, colour=1.0, text=1.0, grey=(True, True), detail=0.9, text_height=8)
    assert is_duplicate(page, full=True)
    assert not is_duplicate(page, full=False)
    assert not is_duplicate(Comparison(0.99, 1.0, 1.0, (True, True), detail=0.9, text_height=5), full=True)
    assert not is_duplicate(Comparison(0.99, 13.0, 0.0, (False, False)), full=True)


def flattest(image: Image.Image, side: int) -> tuple[int, int]:
    """Return the upper left corner of the square in which least happens."""
    grey = np.asarray(image.convert("L"), float)
    height, width = grey.shape
    corners = ((x, y) for y in range(0, height - side, side // 2) for x in range(0, width - side, side // 2))
    return min(corners, key=lambda corner: grey[corner[1] : corner[1] + side, corner[0] : corner[0] + side].std())


@pytest.mark.parametrize("what", ["words", "small words", "a line", "a dot"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_added_on_flat_ground_is_seen(what: str, seed: int) -> None:
    """In a sky there is nothing that could disagree with a bird, a meteor or a name: that it is flat must do."""
    image = Image.fromarray(np.asarray(scene(seed)) // 2 + 64)
    x, y = flattest(image, side := min(image.size) // 5)
    image.paste(image.crop((x, y, x + side, y + side)).resize((1, 1)).resize((side, side)), (x, y))
    other = image.copy()
    draw = ImageDraw.Draw(other)
    match what:
        case "words" | "small words":
            size = side / 4 if what == "words" else side / 8
            draw.text((x + 2, y + side // 3), "GATE 7", font=ImageFont.load_default(size), fill=(40, 40, 40))
        case "a line":
            draw.line((x + side * 0.1, y + side * 0.2, x + side * 0.9, y + side * 0.7), fill="black", width=2)
        case "a dot":
            middle, radius = (x + side // 2, y + side // 2), max(3, side // 25)
            draw.circle(middle, radius, fill="black")

    assert not pages.settle(image, other)[0]
    assert not pages.settle(other, pages.through(image, "JPEG", quality=85))[0]
    assert pages.settle(other, pages.through(other, "JPEG", quality=85))[0]


@pytest.mark.parametrize("ink", ["black", (130, 130, 130), (30, 50, 170)])
def test_a_note_in_the_gap_of_a_page_is_seen(ink: str | tuple[int, int, int]) -> None:
    """Who signed what: nothing, or something else, stood there before."""
    page = Image.new("RGB", (1240, 1754), "white")
    draw = ImageDraw.Draw(page)
    text = "the parties agree that what is written here holds"
    for line in range(60):
        if not 26 <= line < 34:
            draw.text((90, 80 + 26 * line), f"{line} {text} {line * 7919}", font=ImageFont.load_default(22), fill=0)
    no, yes = page.copy(), page.copy()
    ImageDraw.Draw(no).text((200, 845), "I do not agree. J. Doe", font=ImageFont.load_default(28), fill=ink)
    ImageDraw.Draw(yes).text((200, 845), "Agreed and paid. M. Roe", font=ImageFont.load_default(28), fill=ink)

    for one, other in ((page, no), (page, yes), (no, yes)):
        assert not pages.settle(one, other)[0]
        assert not pages.settle(one, pages.through(other, "JPEG", quality=85))[0]
    assert pages.settle(no, pages.through(no, "JPEG", quality=85))[0]
