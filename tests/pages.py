"""Pages, receipts, chats, slides and forms made by code, each with a twin that differs in one readable spot.

Everything follows from a seed.  Fonts: DejaVu where it is installed, else the one that comes with Pillow.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from py_image_dedup.model import CELL, View
from py_image_dedup.verification import FIRST_SIDE, PAGE_SIDE, Comparison, compare, is_duplicate, is_open, text_share

Colour = tuple[int, int, int]

WORDS = [
    *("able", "account", "address", "after", "again", "agree", "amount", "annual", "answer", "april", "balance"),
    *("before", "between", "board", "bring", "building", "business", "called", "card", "carry", "charge", "claim"),
    *("clear", "close", "common", "company", "contract", "copy", "could", "country", "customer", "date", "december"),
    *("deliver", "department", "detail", "direct", "document", "early", "eight", "enclosed", "evening", "every"),
    *("expect", "family", "february", "figure", "final", "first", "follow", "form", "free", "friday", "garden"),
    *("general", "given", "great", "group", "hand", "help", "house", "hundred", "include", "interest", "invoice"),
    *("january", "july", "june", "kind", "large", "later", "leave", "letter", "level", "light", "little", "long"),
    *("made", "manager", "march", "matter", "member", "minute", "monday", "money", "month", "morning", "must"),
    *("name", "near", "never", "november", "number", "october", "offer", "office", "only", "order", "other", "paid"),
    *("paper", "part", "payment", "people", "period", "person", "place", "please", "point", "policy", "present"),
    *("price", "public", "rate", "reason", "receipt", "received", "record", "reply", "report", "request", "return"),
    *("right", "room", "sale", "saturday", "school", "second", "section", "september", "service", "seven", "short"),
    *("sign", "small", "south", "state", "street", "sunday", "supply", "tax", "telephone", "terms", "thank", "their"),
    *("third", "thousand", "thursday", "today", "total", "town", "travel", "tuesday", "under", "until", "value"),
    *("water", "wednesday", "week", "wish", "with", "work", "write", "year"),
]
LOOKALIKES = {
    "0": "86",
    "1": "74",
    "2": "73",
    "3": "89",
    "4": "91",
    "5": "63",
    "6": "80",
    "7": "12",
    "8": "630",
    "9": "84",
}
"""Digits that are easily taken for one another."""
FACES = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "DejaVuSans-Bold.ttf", "")
CHANGES = ("digit", "number", "word", "point")


@cache
def font(face: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a face of DejaVu, or Pillow's own where it is missing (or `face` is empty); `size` in pixels."""
    if face:
        try:
            return ImageFont.truetype(face, size)
        except OSError:
            pass
    return ImageFont.load_default(size)


@dataclass(frozen=True)
class Text:
    """A run of text; x, y in pixels, `size` of the font in pixels."""

    x: int
    y: int
    text: str
    size: int
    fill: Colour = (0, 0, 0)
    face: str = FACES[0]
    right: bool = False


@dataclass(frozen=True)
class Box:
    """A filled rectangle (or its outline), x0, y0, x1, y1 in pixels."""

    corners: tuple[int, int, int, int]
    fill: Colour | None = None
    outline: Colour | None = None
    radius: int = 0


@dataclass(frozen=True)
class Page:
    """A page as a list of what is drawn on it, in order."""

    kind: str
    width: int
    height: int
    ground: Colour
    marks: tuple[Text | Box, ...]

    def draw(self) -> Image.Image:
        """Draw it: RGB."""
        image = Image.new("RGB", (self.width, self.height), self.ground)
        draw = ImageDraw.Draw(image)
        for mark in self.marks:
            if isinstance(mark, Box):
                draw.rounded_rectangle(mark.corners, mark.radius, fill=mark.fill, outline=mark.outline, width=2)
                continue
            face = font(mark.face, mark.size)
            x = mark.x - (draw.textlength(mark.text, face) if mark.right else 0)
            draw.text((x, mark.y), mark.text, mark.fill, face)
        return image

    def twin(self, change: str, rng: random.Random) -> Page:
        """Return the same page with one digit, number, word or decimal point changed."""
        pattern = {"digit": r"\d", "number": r"\d{2,}", "word": r"\b[a-z]{4,}\b", "point": r"\d\.\d"}[change]
        spots = [
            (i, found)
            for i, mark in enumerate(self.marks)
            if isinstance(mark, Text) and mark.y + mark.size < self.height  # what falls off the page can't be read
            for found in re.finditer(pattern, mark.text)
        ]
        i, found = rng.choice(spots)
        mark = self.marks[i]
        assert isinstance(mark, Text)
        text = mark.text[: found.start()] + _other(found.group(), change, rng) + mark.text[found.end() :]
        return replace(self, marks=(*self.marks[:i], replace(mark, text=text), *self.marks[i + 1 :]))


def _other(old: str, change: str, rng: random.Random) -> str:
    if change == "digit":
        return rng.choice(LOOKALIKES[old])
    if change == "number":
        while (new := str(rng.randrange(10 ** (len(old) - 1), 10 ** len(old)))) == old:
            pass
        return new
    if change == "word":
        return rng.choice([word for word in WORDS if word != old and abs(len(word) - len(old)) <= 1] or WORDS)
    return rng.choice((old.replace(".", ""), f".{old[0]}{old[2]}", f"{old[0]}{old[2]}."))


def _sentence(rng: random.Random, words: int) -> str:
    parts = rng.choices(WORDS, k=words)
    for _ in range(max(1, words // 6)):
        parts[rng.randrange(words)] = rng.choice((str(rng.randrange(10, 9999)), _money(rng), _date(rng)))
    return " ".join(parts)


def _money(rng: random.Random) -> str:
    return f"{rng.randrange(1, 900)}.{rng.randrange(100):02}"


def _date(rng: random.Random) -> str:
    return f"{rng.randrange(1, 29):02}/{rng.randrange(1, 13):02}/{rng.randrange(2015, 2030)}"


def _a4(kind: str, dpi: int, marks: list[Text | Box], ground: Colour = (255, 255, 255)) -> Page:
    return Page(f"{kind}-{dpi}", round(8.27 * dpi), round(11.69 * dpi), ground, tuple(marks))


def letter(rng: random.Random, dpi: int) -> Page:
    """Make a letter of running text, 8 to 12 pt."""
    size, face = round(rng.choice((8, 9, 10, 11, 12)) * dpi / 72), rng.choice(FACES)
    left, line = round(dpi * 0.9), round(size * 1.4)
    marks: list[Text | Box] = [
        Text(left, dpi // 2, "The Example Company", round(dpi * 0.25), (20, 50, 120), FACES[3]),
        Text(left, dpi, f"Reference {rng.randrange(10**6):06} of {_date(rng)}", size, face=face),
    ]
    y = round(dpi * 1.6)
    per_line = round(6.4 * dpi / (size * 0.62) / 6.6)
    for _ in range(rng.randrange(1, 7)):
        for _ in range(rng.randrange(2, 7)):
            marks.append(Text(left, y, _sentence(rng, per_line), size, face=face))
            y += line
        y += line
    return _a4("letter", dpi, marks)


def table(rng: random.Random, dpi: int) -> Page:
    """Make a table of numbers with lines, 8 to 10 pt."""
    size = round(rng.choice((8, 8, 9, 10)) * dpi / 72)
    face = rng.choice(FACES)
    columns, row = rng.randrange(4, 8), round(size * 1.7)
    width, left, top = round(6.6 * dpi / columns), round(dpi * 0.8), dpi
    marks: list[Text | Box] = [Text(left, dpi // 2, "Report " + _date(rng), round(size * 1.6), face=FACES[3])]
    for r in range(rng.randrange(12, 45)):
        for c in range(columns):
            x, y = left + c * width, top + r * row
            shade = (225, 230, 240) if r % 2 == 0 else (255, 255, 255)
            marks.append(Box((x, y, x + width, y + row), shade, (120, 120, 120)))
            text = rng.choice(WORDS) if c == 0 else _money(rng)
            marks.append(Text(x + (8 if c == 0 else width - 8), y + size // 3, text, size, face=face, right=c > 0))
    return _a4("table", dpi, marks)


def invoice(rng: random.Random, dpi: int) -> Page:
    """Make an invoice: one form, few lines, 8 to 11 pt."""
    size, face = round(rng.choice((8, 9, 10, 11)) * dpi / 72), rng.choice(FACES[:3])
    left, right, step = round(dpi * 0.9), round(dpi * 7.3), round(size * 1.6)
    marks: list[Text | Box] = [
        Box((left, dpi // 2, left + dpi, dpi), (200, 60, 40)),
        Text(left + round(dpi * 1.2), dpi // 2, "INVOICE", round(dpi * 0.3), (60, 60, 60), FACES[3]),
        Text(right, dpi, f"No. {rng.randrange(10**8):08}", size, face=face, right=True),
        Text(right, dpi + step, _date(rng), size, face=face, right=True),
    ]
    y = round(dpi * 2.2)
    for _ in range(rng.randrange(2, 12)):
        marks.append(Text(left, y, " ".join(rng.choices(WORDS, k=3)), size, face=face))
        marks.append(Text(right - dpi * 2, y, str(rng.randrange(1, 99)), size, face=face, right=True))
        marks.append(Text(right, y, _money(rng), size, face=face, right=True))
        y += step
    marks.append(Box((left, y, right, y + 3), (0, 0, 0)))
    marks.append(Text(right, y + step, f"Total {_money(rng)}", round(size * 1.2), face=FACES[3], right=True))
    return _a4("invoice", dpi, marks)


def receipt(rng: random.Random) -> Page:
    """Make a till receipt, 500 pixels wide, in a typewriter face."""
    size, face, width = rng.choice((17, 19, 22)), FACES[2], 500
    marks: list[Text | Box] = [Text(130, 30, "THE CORNER SHOP", 26, (30, 30, 30), FACES[3])]
    marks.append(Text(20, 80, f"{_date(rng)}  {rng.randrange(8, 20):02}:{rng.randrange(60):02}", size, face=face))
    y = 130
    for _ in range(rng.randrange(4, 30)):
        marks.append(Text(20, y, " ".join(rng.choices(WORDS, k=2)), size, (40, 40, 40), face))
        marks.append(Text(width - 20, y, _money(rng), size, (40, 40, 40), face, right=True))
        y += round(size * 1.45)
    marks.append(Text(20, y + 20, f"TOTAL {_money(rng)}", round(size * 1.5), (30, 30, 30), FACES[3]))
    return Page("receipt", width, y + 120, rng.choice(((250, 250, 248), (244, 240, 232))), tuple(marks))


def chat(rng: random.Random) -> Page:
    """Make a screenshot of a chat on a phone, light or dark."""
    dark = rng.random() < 0.5
    width, height = rng.choice(((1080, 2340), (720, 1560), (1170, 2532)))
    size = round(width / rng.choice((24, 26, 29)))
    ground, ink = ((11, 20, 26), (233, 237, 239)) if dark else ((236, 229, 221), (17, 27, 33))
    mine, theirs = ((0, 92, 75), (32, 44, 51)) if dark else ((217, 253, 211), (255, 255, 255))
    bar = (32, 44, 51) if dark else (0, 128, 105)
    marks: list[Text | Box] = [Box((0, 0, width, width // 8), bar)]
    marks.append(Text(width // 6, width // 28, rng.choice(WORDS).title(), round(size * 1.3), (255, 255, 255), FACES[3]))
    y = width // 8 + size
    while y < height - 6 * size:
        lines = [_sentence(rng, rng.randrange(2, 5)) for _ in range(rng.randrange(1, 4))]
        own = rng.random() < 0.5
        x = width // 5 if own else width // 30
        bottom = y + round(size * (1.35 * len(lines) + 1.6))
        marks.append(Box((x, y, x + round(width * 0.76), bottom), mine if own else theirs, radius=size // 2))
        marks += [
            Text(x + size // 2, y + round(size * (0.4 + 1.35 * k)), line, size, ink) for k, line in enumerate(lines)
        ]
        stamp = f"{rng.randrange(24):02}:{rng.randrange(60):02}"
        fade = (134, 150, 160) if dark else (102, 119, 129)
        marks.append(Text(x + round(width * 0.73), bottom - size, stamp, round(size * 0.7), fade, right=True))
        y = bottom + size // 2
    return Page("chat-dark" if dark else "chat-light", width, height, ground, tuple(marks))


def slide(rng: random.Random) -> Page:
    """Make a slide: coloured ground, few large lines, a bar chart."""
    ground, ink, bars = rng.choice(
        (
            ((20, 40, 90), (255, 255, 255), (240, 170, 40)),
            ((255, 255, 255), (30, 30, 30), (40, 110, 190)),
            ((250, 214, 90), (40, 30, 10), (160, 40, 60)),
            ((24, 110, 90), (240, 250, 240), (230, 230, 120)),
            ((110, 30, 60), (255, 240, 240), (250, 190, 200)),
        )
    )
    marks: list[Text | Box] = [Text(90, 60, _sentence(rng, 5), 64, ink, FACES[3])]
    marks += [
        Text(120, 220 + k * 90, "\N{BULLET} " + _sentence(rng, 5), rng.choice((34, 40)), ink)
        for k in range(rng.randrange(2, 6))
    ]
    for k in range(rng.randrange(3, 8)):
        high = rng.randrange(60, 300)
        marks.append(Box((140 + k * 220, 1000 - high, 280 + k * 220, 1000), bars))
        marks.append(Text(150 + k * 220, 1010, f"{high / 10:.1f}", 30, ink))
    marks.append(Text(1880, 1040, str(rng.randrange(10, 99)), 24, ink, right=True))
    return Page("slide", 1920, 1080, ground, tuple(marks))


def form(rng: random.Random) -> Page:
    """Make a screenshot of a form in a window, light or dark."""
    dark = rng.random() < 0.4
    ground, ink, field = (
        ((30, 30, 32), (222, 222, 222), (45, 45, 48)) if dark else ((242, 243, 245), (40, 40, 40), (255, 255, 255))
    )
    width, height, size = 1366, 768, rng.choice((13, 15, 17))
    marks: list[Text | Box] = [
        Box((0, 0, width, 40), (60, 90, 160)),
        Text(16, 10, _sentence(rng, 4), 17, (255, 255, 255)),
    ]
    for k in range(rng.randrange(5, 14)):
        y, x = 70 + (k % 12) * 52, 40 if k < 12 else 720
        marks.append(Text(x, y + 6, rng.choice(WORDS).title(), size, ink))
        marks.append(Box((x + 170, y, x + 600, y + 34), field, (150, 150, 150), 4))
        marks.append(Text(x + 180, y + 7, rng.choice((_money(rng), _date(rng), _sentence(rng, 4))), size, ink))
    marks.append(Box((40, 700, 160, 740), (40, 120, 220), radius=6))
    marks.append(Text(70, 710, "Send", 17, (255, 255, 255)))
    marks.append(
        Text(
            1340, 712, f"{rng.randrange(1, 90)}.{rng.randrange(10)} of {rng.randrange(100, 900)}", size, ink, right=True
        )
    )
    return Page("form", width, height, ground, tuple(marks))


MAKERS: dict[str, Callable[[random.Random], Page]] = {
    "letter-200": lambda rng: letter(rng, 200),
    "letter-300": lambda rng: letter(rng, 300),
    "table-200": lambda rng: table(rng, 200),
    "table-300": lambda rng: table(rng, 300),
    "invoice-200": lambda rng: invoice(rng, 200),
    "invoice-300": lambda rng: invoice(rng, 300),
    "receipt": receipt,
    "chat": chat,
    "slide": slide,
    "form": form,
}


def page(kind: str, seed: int) -> Page:
    """Make the page of this kind and seed."""
    return MAKERS[kind](random.Random(f"{kind} {seed}"))


def pair(kind: str, seed: int, change: str | None = None) -> tuple[Image.Image, Image.Image, str]:
    """Return a page, its twin (RGB, same size) and what was changed; every third pair as if scanned."""
    rng = random.Random(f"twin {kind} {seed}")
    one = page(kind, seed)
    change = change or CHANGES[seed % len(CHANGES)]
    try:
        other = one.twin(change, rng)
    except IndexError:  # nothing of that sort on this page
        change = "digit"
        other = one.twin(change, rng)
    images = one.draw(), other.draw()
    if seed % 3 == 2:
        images = scanned(images[0], seed), scanned(images[1], seed)
    return *images, change


def scanned(image: Image.Image, seed: int) -> Image.Image:
    """Show a page as a scanner or a steady camera does: soft, unevenly lit, noisy; equal for equal seeds."""
    rng = np.random.default_rng(seed)
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(max(image.size) / 4000)), np.float32)
    height, width = soft.shape[:2]
    low, across, down = rng.uniform(0.7, 0.95), rng.uniform(-0.15, 0.15), rng.uniform(-0.15, 0.15)
    light = low + across * np.linspace(-1, 1, width)[None, :] + down * np.linspace(-1, 1, height)[:, None]
    noisy = soft * light[..., None].astype(np.float32) + rng.normal(0, 2.5, (height, width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def through(image: Image.Image, format_: str, **options: int | bool) -> Image.Image:
    """Write and read back."""
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    with Image.open(buffer) as again:
        return again.convert("RGB")


def shrunk(image: Image.Image, share: float, resample: Image.Resampling = Image.Resampling.LANCZOS) -> Image.Image:
    """Resize to this share of width and height."""
    return image.resize((round(image.width * share), round(image.height * share)), resample)


REENCODINGS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg q90": lambda image: through(image, "JPEG", quality=90),
    "jpeg q75": lambda image: through(image, "JPEG", quality=75),
    "jpeg q50": lambda image: through(image, "JPEG", quality=50),
    "jpeg q30": lambda image: through(image, "JPEG", quality=30),
    "webp q80": lambda image: through(image, "WEBP", quality=80),
    "png 256 colours": lambda image: through(image.quantize(256), "PNG"),
    "grey": lambda image: through(ImageOps.grayscale(image), "JPEG", quality=85),
    "brighter 10 %": lambda image: through(ImageEnhance.Brightness(image).enhance(1.1), "JPEG", quality=85),
    "darker 10 %": lambda image: through(ImageEnhance.Brightness(image).enhance(0.9), "JPEG", quality=85),
    "75 %": lambda image: through(shrunk(image, 0.75), "JPEG", quality=85),
    "50 %": lambda image: through(shrunk(image, 0.5), "JPEG", quality=85),
    "50 % bilinear": lambda image: through(shrunk(image, 0.5, Image.Resampling.BILINEAR), "JPEG", quality=80),
    "25 %": lambda image: through(shrunk(image, 0.25), "JPEG", quality=85),
}
"""What copies of a page go through; each returns RGB."""


def as_view(image: Image.Image) -> View:
    """Turn an upright RGB picture into a view of its own size."""
    luma, *chroma = image.convert("YCbCr").split()
    cells = -(-image.width // CELL), -(-image.height // CELL)
    return View(
        np.asarray(luma), np.dstack([np.asarray(layer.resize(cells, Image.Resampling.BOX)) for layer in chroma])
    )


def together(a: Image.Image, b: Image.Image, side: int) -> tuple[View, View, bool]:
    """Bring both to the size of the smaller, long side at most `side`; also whether that is the smaller one's own."""
    small = min((a, b), key=lambda image: image.width * image.height)
    share = min(1.0, side / max(small.size))
    size = max(1, round(small.width * share)), max(1, round(small.height * share))
    x, y = (
        as_view(image if image.size == size else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))
        for image in (a, b)
    )
    return x, y, share == 1.0


def settle(a: Image.Image, b: Image.Image) -> tuple[bool, Comparison]:
    """Compare two upright RGB pictures as the program does: the verdict, and the look it rests on."""
    x, y, own = together(a, b, FIRST_SIDE)
    text, big = 0.0, max((a, b), key=lambda image: image.width * image.height)
    if max(x.luma.shape) < FIRST_SIDE and big.size != x.luma.shape[::-1]:  # small: does the larger one show text?
        text = text_share(together(big, big, FIRST_SIDE)[0])
    look = compare(x, y, text=text)
    if is_open(look, full=own):
        x, y, _ = together(a, b, PAGE_SIDE)
        look, own = compare(x, y, text=look.text), True
    return is_duplicate(look, full=own), look
