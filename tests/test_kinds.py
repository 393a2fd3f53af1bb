"""Kinds of signatures: each means what its docstring says, and the exact join misses no pair of any of them."""

from __future__ import annotations

import io
from collections.abc import Collection
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pictures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from py_image_dedup import images
from py_image_dedup.kinds.goldberg import GOLDBERG
from py_image_dedup.kinds.interface import Kind, Signed, Vectors
from py_image_dedup.kinds.mean import Mean
from py_image_dedup.kinds.tensor import Tensor
from py_image_dedup.model import Turn
from py_image_dedup.stores.join import join

ROTATIONS = (Turn.HALF, Turn.CLOCKWISE, Turn.COUNTERCLOCKWISE)
KINDS = (GOLDBERG, Tensor(), Tensor(side=13), Tensor(side=10, grey=True), Mean())

Found = dict[tuple[int, int], tuple[float, Turn]]


def signed(kind: Kind, data: bytes) -> Signed:
    return kind.sign(io.BytesIO(data), max_pixels=10**8, reserve=lambda _: io.BytesIO())


def apart(kind: Kind, a: Vectors, b: Vectors) -> float:
    """Measure one pair by plain arithmetic in float64, as the kind's docstring says it."""
    one, other = a.astype(np.float64), b.astype(np.float64)
    if isinstance(kind, Tensor):
        return float(((one - other) ** 2).sum() / kind.length)
    return float(np.abs(one - other).max())


def brute_force(kind: Kind, rows: Vectors, within: float, turns: Collection[Turn] = (Turn.UPRIGHT,)) -> Found:
    """Compare every row to all turns of every other one, the slow way."""
    found: Found = {}
    for turn in sorted(turns):
        others = kind.turned(rows, turn)
        for a, b in combinations(range(len(rows)), 2):
            distance = apart(kind, rows[a], others[b])
            if distance <= within:
                found[a, b] = min(found.get((a, b), (np.inf, turn)), (distance, turn))
    return found


def joined(kind: Kind, rows: Vectors, within: float, **options: Any) -> Found:
    """Return what the join yields, once it is made sure that each pair comes once."""
    found: Found = {}
    for pairs in join(rows, within=within, kind=kind, **options):
        columns = pairs.a.tolist(), pairs.b.tolist(), pairs.distances.tolist(), pairs.turns.tolist()
        for a, b, distance, turn in zip(*columns, strict=True):
            assert (a, b) not in found
            found[a, b] = distance, Turn(turn)
    return found


def adversarial(kind: Tensor, rng: np.random.Generator, count: int) -> Vectors:
    """Make tensors that are hard on bounds: black, white, one value off, shifted, chequered, turned, equal."""
    rows = [np.zeros(kind.length, np.uint8), np.full(kind.length, 255, np.uint8), np.full(kind.length, 128, np.uint8)]
    while len(rows) < count:
        row = rows[rng.integers(len(rows))].copy()
        match rng.integers(7):
            case 0:
                row[rng.integers(kind.length)] ^= 255
            case 1:
                row += np.uint8(rng.choice([1, 2, 16, 255]))  # a shift of the whole, with values that wrap around
            case 2:
                row[:: rng.integers(2, 5)] = rng.integers(256)
            case 3:
                row = rng.integers(0, 256, kind.length).astype(np.uint8)
            case 4:
                row = kind.turned(row[None], Turn(int(rng.integers(1, 9))))[0]
            case 5:
                row = 255 - row
            case _:
                row = np.clip(row + rng.integers(-3, 4, kind.length), 0, 255).astype(np.uint8)
        rows.append(row)
    return np.array(rows[:count])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", [Tensor(side=10), Tensor(side=13), Tensor(side=40), Tensor(side=10, grey=True)])
@pytest.mark.parametrize("within", [0.0, 0.5, 5.0, 200.0, 20_000.0, 65_025.0])
@pytest.mark.parametrize("turns", [(), ROTATIONS, tuple(Turn)])
def test_tensors_equal_brute_force(kind: Tensor, within: float, turns: tuple[Turn, ...]) -> None:
    """Every pair within a mean squared error is found with that error to the last bit, and with its best turn."""
    rows = adversarial(kind, np.random.default_rng(int(within)), 70)

    found = joined(kind, rows, within, orientations=turns, threads=1 + len(turns) % 3)
    assert found == brute_force(kind, rows, within, {Turn.UPRIGHT, *turns})


@given(
    st.lists(st.lists(st.integers(0, 255), min_size=5, max_size=5), min_size=2, max_size=12),
    st.integers(1, 20),
    st.sampled_from([0.0, 5.0, 200.0]) | st.floats(0, 65_025),
)
@settings(max_examples=150, deadline=None)
def test_any_tensors_equal_brute_force(values: list[list[int]], times: int, within: float) -> None:
    """Any tensors of few different values join as comparing all with all does."""
    kind = Tensor(side=10, grey=True)
    rows = np.zeros((len(values), kind.length), np.uint8)
    for row, some in enumerate(values):
        rows[row, : 5 * times] = some * times

    assert joined(kind, rows, within) == brute_force(kind, rows, within)


@pytest.mark.parametrize("kind", [Tensor(side=10), Tensor()])
def test_a_pair_at_exactly_the_error_asked_for(kind: Tensor) -> None:
    """The smallest differences there are, of one value, are found at their error and not just below it."""
    rng = np.random.default_rng(1)
    for base in (np.zeros(kind.length, np.uint8), rng.integers(0, 255, kind.length).astype(np.uint8)):
        other = base.copy()
        other[7] += 1
        error = 1 / kind.length
        rows = np.stack([base, other])
        assert joined(kind, rows, error) == {(0, 1): (error, Turn.UPRIGHT)}
        assert joined(kind, rows, float(np.nextafter(error, 0))) == {}


@pytest.mark.parametrize("kind", [Tensor(), Tensor(side=200), Tensor(side=182, grey=True)])
def test_an_error_that_wraps_in_bytes_is_whole(kind: Tensor) -> None:
    """A uniform shift of 16 is an error of 256, not 0, and the largest error there is does not overflow."""
    rows = np.zeros((3, kind.length), np.uint8)
    rows[1], rows[2] = 16, 255

    assert joined(kind, rows, 0.0) == {}
    assert joined(kind, rows, 65_025.0) == {
        (0, 1): (256.0, Turn.UPRIGHT), (0, 2): (65_025.0, Turn.UPRIGHT), (1, 2): (239.0**2, Turn.UPRIGHT)
    }  # fmt: skip


@given(
    st.lists(st.tuples(*[st.floats(0, 255) | st.sampled_from([0.0, 127.5, 127.51, 255.0])] * 3), max_size=20),
    st.sampled_from([0.0, 0.01, 0.5]) | st.floats(0, 255),
)
@settings(max_examples=150, deadline=None)
def test_any_means_equal_brute_force(values: list[tuple[float, ...]], within: float) -> None:
    """Any means join as comparing all with all does, those exactly at the border included."""
    rows = np.array(values, np.float64).reshape(-1, 3)

    assert joined(Mean(), rows, within) == brute_force(Mean(), rows, within)


def test_only_pairs_with_a_new_row() -> None:
    """With some rows new, exactly the pairs that hold one of them are found."""
    kind = Tensor(side=10)
    rng = np.random.default_rng(3)
    rows = adversarial(kind, rng, 60)
    new = rng.random(60) < 0.3
    expected = {pair: how for pair, how in brute_force(kind, rows, 200.0).items() if new[[*pair]].any()}

    assert expected
    assert joined(kind, rows, 200.0, new=new) == expected


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_a_kind_promises_the_join(kind: Kind) -> None:
    """Sketches are no longer than points and no farther apart; turning them is turning the points; reach is kept."""
    rng = np.random.default_rng(5)
    low, high = (-2, 3) if kind is GOLDBERG else (0, 256)
    rows = rng.integers(low, high, (30, kind.length)).astype(kind.dtype)
    squares, sketches = kind.squares(rows), kind.sketches(rows)
    if kind.directions_only:
        sketches /= np.sqrt(squares)[:, None]
        squares = np.ones(len(rows))

    assert ((sketches**2).sum(axis=1) <= squares * (1 + 1e-12)).all()
    for turn in Turn:
        seen = kind.sketches(kind.turned(rows, turn))
        np.testing.assert_allclose(kind.turned_sketches(kind.sketches(rows), turn), seen, atol=1e-9)
        np.testing.assert_array_equal(kind.squares(kind.turned(rows, turn)), kind.squares(rows))
        np.testing.assert_array_equal(kind.turned(kind.turned(rows, turn), turn.inverse), rows)
    for a, b in combinations(range(len(rows)), 2):
        one, other = rows[a : a + 1], rows[b : b + 1]
        distance = float(kind.distances(one, other, kind.squares(one), kind.squares(other))[0])
        assert 0 <= kind.share(distance) <= 1
        assert ((sketches[a] - sketches[b]) ** 2).sum() <= kind.reach(distance) * (1 + 1e-9)


SOURCES: list[tuple[str, Image.Image, dict[str, Any]]] = [
    ("JPEG", pictures.photo(1), {}),
    ("JPEG", pictures.photo(2).convert("L"), {}),
    ("JPEG", pictures.photo(3).convert("CMYK"), {}),
    ("PNG", pictures.photo(4), {}),
    ("PNG", pictures.photo(5).convert("P"), {}),
    ("PNG", pictures.photo(6).convert("1"), {}),
    ("PNG", pictures.photo(7).convert("RGBA"), {}),
    ("BMP", pictures.photo(8, (30, 20)), {}),
    ("GIF", pictures.photo(9).convert("P"), {}),
    ("WEBP", pictures.photo(10), {}),
]


@pytest.mark.parametrize(("name", "picture", "options"), SOURCES)
def test_tensor_is_that_of_difpy(name: str, picture: Image.Image, options: dict[str, Any]) -> None:
    """The pixels are, to the bit, those that difPy compares: RGB, resized by Pillow's bicubic filter."""
    data = pictures.encode(picture, name, **options)
    with Image.open(io.BytesIO(data)) as image:
        theirs = image if image.getbands() == ("R", "G", "B") else image.convert("RGB")
        expected = np.asarray(theirs.resize((50, 50), Image.Resampling.BICUBIC))
    facts, tensor = signed(Tensor(), data)

    np.testing.assert_array_equal(tensor.reshape(50, 50, 3), expected)
    assert (facts.width, facts.height) == picture.size


def test_what_shows_through_is_compared_not_what_is_hidden() -> None:
    """Icons that differ in their transparency only are different; difPy, which drops it, sees one black square."""
    black = np.zeros((64, 64, 4), np.uint8)
    icons = []
    for some in (slice(0, 20), slice(30, 60)):
        icon = black.copy()
        icon[some, :, 3] = 255
        icons.append(signed(Tensor(), pictures.encode(Image.fromarray(icon), "PNG")).signature)

    assert apart(Tensor(), *icons) > 5000


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tensor_is_upright(orientation: int) -> None:
    """A picture turned by its EXIF tag is signed as people see it: resized as stored, then turned without loss."""
    photo = pictures.photo(11)
    held = pictures.encode(pictures.as_held(photo, orientation), "PNG", exif=pictures.exif(orientation=orientation))
    facts, tensor = signed(Tensor(), held)
    upright = signed(Tensor(), pictures.encode(photo, "PNG")).signature

    assert (facts.width, facts.height) == photo.size
    assert apart(Tensor(), tensor, upright) < 1


def test_grey_tensor() -> None:
    """In grey there is one value a pixel, and colours of one brightness are equal."""
    photo = pictures.photo(12)
    kind = Tensor(grey=True)
    one, other = (signed(kind, pictures.encode(some, "PNG")).signature for some in (photo, photo.convert("L")))

    assert one.shape == (2500,)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("name", "picture", "options"), SOURCES)
def test_means_are_those_of_all_pixels(name: str, picture: Image.Image, options: dict[str, Any]) -> None:
    """The means are, to the last bit, what numpy tells of all pixels in RGB."""
    data = pictures.encode(picture, name, **options)
    with Image.open(io.BytesIO(data)) as image:
        expected: npt.NDArray[np.float64] = np.asarray(image.convert("RGB")).mean(axis=(0, 1))

    assert signed(Mean(), data).signature.tolist() == expected.tolist()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_memory_for_a_decode_is_asked_for(kind: Kind) -> None:
    """A kind that decodes pictures whole asks for the memory of all pixels of a large JPEG."""
    asked: list[int] = []

    def reserve(size: int) -> io.BytesIO:
        asked.append(size)
        return io.BytesIO()

    data = pictures.encode(pictures.photo(13, (1200, 900)))
    kind.sign(io.BytesIO(data), max_pixels=10**8, reserve=reserve)

    assert len(asked) == 1
    assert (asked[0] > 3 * 1200 * 900) is (kind is not GOLDBERG)


def test_a_picture_is_signed_as_the_commands_do() -> None:
    """The default kind gives the signature of the canonical picture."""
    data = pictures.encode(pictures.photo(14))
    picture = images.read(io.BytesIO(data), max_pixels=10**8)
    facts, signature = signed(GOLDBERG, data)

    assert facts == picture.facts
    assert signature.any()
    assert signature.dtype == GOLDBERG.dtype
