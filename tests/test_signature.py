"""The signature against the real image-match package, and distances against plain arithmetic."""

from __future__ import annotations

import importlib
import math
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pictures
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from py_image_dedup import signature
from py_image_dedup.model import Turn

Grey = npt.NDArray[np.float64]
Oracle = Callable[[Grey], npt.NDArray[np.int8]]


def _load_oracle() -> Oracle:
    """Return image-match's own signature of a grey array; its reading and conversion of pictures is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        goldberg = importlib.import_module("image_match.goldberg")
    generator = goldberg.ImageSignature()
    generator.preprocess_image = lambda grey, **_: grey

    def oracle(grey: Grey) -> npt.NDArray[np.int8]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(generator.generate_signature(grey.copy()))

    return oracle


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    """The real image-match; without it these tests fail in CI and are skipped elsewhere."""
    try:
        return _load_oracle()
    except ImportError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"image-match can't be imported ({error}): pip install --no-deps image-match==1.1.2")


def _enlarged(values: npt.NDArray[Any], block: tuple[int, int]) -> Grey:
    return np.repeat(np.repeat(values.astype(np.float64), block[0], axis=0), block[1], axis=1)


def _levels(rng: np.random.Generator, rows: int, columns: int) -> Grey:
    return rng.integers(0, 256, (rows, columns)) / 255.0


def _smooth(rng: np.random.Generator, rows: int, columns: int) -> Grey:
    return np.asarray(np.cumsum(np.cumsum(rng.normal(size=(rows, columns)), 0), 1) % 255 / 255.0)


def _checkers(rng: np.random.Generator, rows: int, columns: int) -> Grey:
    side = int(rng.integers(1, 30))
    board = np.add.outer(np.arange(rows) // side, np.arange(columns) // side) % 2
    return board.astype(np.float64)


def _black_and_white(rng: np.random.Generator, rows: int, columns: int) -> Grey:
    return _enlarged(rng.integers(0, 2, (9, 9)), (1 + rows // 9, 1 + columns // 9))


def _one_dot(rng: np.random.Generator, rows: int, columns: int) -> Grey:
    grey = np.zeros((rows, columns))
    grey[rng.integers(rows), rng.integers(columns)] = rng.random()
    return grey


def _flat(rng: np.random.Generator, rows: int, columns: int) -> Grey:
    return np.full((rows, columns), rng.random())


def _faint(rng: np.random.Generator, rows: int, columns: int) -> Grey:
    return np.asarray(np.clip(rng.normal(128, 2, (rows, columns)), 0, 255).astype(np.uint8) / 255.0)


KINDS: dict[str, Callable[[np.random.Generator, int, int], Grey]] = {
    "noise": _levels,
    "smooth": _smooth,
    "checkers": _checkers,
    "black and white": _black_and_white,
    "one dot": _one_dot,
    "featureless": _flat,
    "faint": _faint,
}


@pytest.mark.parametrize("kind", KINDS)
def test_equals_image_match_on_seeded_arrays(oracle: Oracle, kind: str) -> None:
    """40 arrays of each kind, of any size from one pixel to 300 x 300, have image-match's signature."""
    rng = np.random.default_rng(20)
    for number in range(40):
        rows, columns = rng.integers(1, 300 if number % 2 else 24, 2)
        grey = KINDS[kind](rng, int(rows), int(columns))
        np.testing.assert_array_equal(signature.goldberg(grey.copy()), oracle(grey), f"{kind} {grey.shape}")


def test_equals_image_match_on_canonical_photos(oracle: Oracle) -> None:
    """Photos of the size the program uses have image-match's signature."""
    photos = [pictures.sample(name) for name in pictures.SAMPLES] + [pictures.photo(seed) for seed in range(20)]
    for photo in photos:
        grey = np.asarray(photo.convert("L").resize((256, 256))) / 255.0
        found = signature.goldberg(grey)
        np.testing.assert_array_equal(found, oracle(grey))
        assert set(np.unique(found)) == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (2, 1), (2, 2), (1, 300), (300, 1), (2, 300), (300, 2), (9, 9), (3, 256)]
)
def test_equals_image_match_on_rows_columns_and_tiny_arrays(oracle: Oracle, shape: tuple[int, int]) -> None:
    """Single rows and columns and arrays of a few pixels have image-match's signature."""
    rng = np.random.default_rng(3)
    for kind in (_levels, _smooth, _checkers, _flat):
        grey = kind(rng, *shape)
        np.testing.assert_array_equal(signature.goldberg(grey.copy()), oracle(grey))


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 60),
    columns=st.integers(1, 60),
    few=st.sampled_from([2, 3, 4, 16, 256]),
    block=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
)
@example(rows=1, columns=1, few=2, block=1, seed=0)
@example(rows=9, columns=9, few=2, block=8, seed=1)
def test_equals_image_match_on_any_array(  # noqa: PLR0917  # as hypothesis draws them
    oracle: Oracle, rows: int, columns: int, few: int, block: int, seed: int
) -> None:
    """Arrays of few levels in blocks, where differences of exactly 1, ties and equal halves are common, agree too."""
    coarse = np.random.default_rng(seed).integers(0, few, (rows, columns)) / (few - 1)
    grey = _enlarged(coarse, (block, block))
    np.testing.assert_array_equal(signature.goldberg(grey.copy()), oracle(grey))


def test_differences_of_exactly_one_follow_image_match(oracle: Oracle) -> None:
    """Black beside white: the strongest difference is exactly 1, where image-match's order of steps shows."""
    seen = 0
    rng = np.random.default_rng(7)
    for _ in range(40):
        grey = _enlarged(rng.integers(0, 2, (6, 6)), (40, 40))
        grey[rng.random(grey.shape) < 0.01] = 0.5
        found = signature.goldberg(grey)
        np.testing.assert_array_equal(found, oracle(grey))
        seen += int(np.abs(found).max() == 2)
    assert seen


def test_featureless_arrays_have_no_direction() -> None:
    """One grey all over gives zeros only, whatever the grey."""
    for level in (0.0, 1 / 255, 0.5, 1.0):
        assert not signature.goldberg(np.full((256, 256), level)).any()


@settings(max_examples=100, deadline=None)
@given(
    levels=st.sampled_from([2, 4, 30, 256]),
    top=st.integers(0, 128),
    right=st.integers(0, 128),
    side=st.sampled_from([64, 128, 300]),
    seed=st.integers(0, 2**32 - 1),
)
def test_levels_0_to_255_are_fractions(  # noqa: PLR0917  # as hypothesis draws them
    oracle: Oracle, levels: int, top: int, right: int, side: int, seed: int
) -> None:
    """A picture as the decoder hands it over has the signature of its fractions, and flat borders end where they do."""
    grey = np.random.default_rng(seed).integers(0, levels, (side, side)).astype(np.uint8)
    grey[:top] = 7
    grey[:, side - min(right, side) :] = 9
    np.testing.assert_array_equal(signature.goldberg(grey), oracle(grey / 255.0))


def test_shape_type_and_input() -> None:
    """A signature is int8 of 648 values -2..2, and the array it is made of stays as it was."""
    grey = np.random.default_rng(1).random((256, 256))
    before = grey.copy()
    found = signature.goldberg(grey)
    assert found.dtype == np.int8
    assert found.shape == (signature.LENGTH,)
    assert found.min() >= -2
    assert found.max() <= 2
    np.testing.assert_array_equal(grey, before)


def test_points_beyond_the_border_count_nothing() -> None:
    """Neighbours that the border points lack are zeros: the upper row has none above, the left column none beside."""
    grid = signature.goldberg(np.random.default_rng(1).random((256, 256))).reshape(9, 9, 8)
    assert not grid[0, :, :3].any()
    assert not grid[-1, :, 5:].any()
    assert not grid[:, 0, [0, 3, 5]].any()
    assert not grid[:, -1, [2, 4, 7]].any()
    assert grid[1:-1, 1:-1].any()


signatures = st.builds(
    lambda seed, zeros: (
        np.random.default_rng(seed).integers(-2, 3, signature.LENGTH)
        * (np.random.default_rng(seed + 1).random(signature.LENGTH) >= zeros)
    ).astype(np.int8),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.5, 0.99, 1.0]),
)


def _plain_distance(a: npt.NDArray[np.int8], b: npt.NDArray[np.int8]) -> float:
    x, y = a.astype(np.float64), b.astype(np.float64)
    length = math.sqrt(float(x @ x)) + math.sqrt(float(y @ y))
    return math.sqrt(float((x - y) @ (x - y))) / length if length else 1.0


@settings(deadline=None)
@given(signatures, signatures)
def test_distance_is_the_formula(a: npt.NDArray[np.int8], b: npt.NDArray[np.int8]) -> None:
    """The distance is ||a-b|| / (||a|| + ||b||) in float64, symmetric, 0 for equal ones, 1 where both are zero."""
    found = signature.distance(a, b)
    assert found == pytest.approx(_plain_distance(a, b), abs=1e-15)
    assert found == signature.distance(b, a)
    assert 0 <= found <= 1
    assert signature.distance(a, a) == (0 if a.any() else 1)


def test_distance_never_exceeds_one() -> None:
    """Opposite signatures are at distance 1, also where rounding alone would make it a little more."""
    for length in range(1, signature.LENGTH + 1):
        a = np.zeros(signature.LENGTH, np.int8)
        a[:length] = 1
        assert signature.distance(a, -2 * a) == pytest.approx(1, abs=1e-15)
        assert signature.distance(a, -2 * a) <= 1


def test_zero_vectors() -> None:
    """A featureless picture is at distance 1 from everything, another featureless one included."""
    zero = np.zeros(signature.LENGTH, np.int8)
    other = signature.goldberg(np.random.default_rng(1).random((256, 256)))
    assert signature.distance(zero, zero) == 1
    assert signature.distance(zero, other) == 1
    assert list(signature.distances(zero, np.stack([zero, other]))) == [1, 1]


def test_many_distances_equal_single_ones() -> None:
    """One against many and row by row give the same numbers as pair by pair."""
    rng = np.random.default_rng(5)
    a, b = (rng.integers(-2, 3, (60, signature.LENGTH)).astype(np.int8) for _ in range(2))
    b[7] = 0
    assert list(signature.distances(a[0], b)) == [signature.distance(a[0], row) for row in b]
    assert list(signature.row_distances(a, b)) == [signature.distance(*rows) for rows in zip(a, b, strict=True)]
    assert signature.distances(a[0], b[:0]).shape == (0,)


def test_norms_are_exact() -> None:
    """Norms are the square root of an exact integer, the largest possible one included."""
    rng = np.random.default_rng(6)
    rows = rng.integers(-4, 5, (50, signature.LENGTH)).astype(np.int8)
    rows[0], rows[1] = 0, 4
    exact = [math.sqrt(sum(int(value) ** 2 for value in row)) for row in rows]
    assert list(signature.norms(rows)) == exact
    assert signature.norms(rows)[1] == math.sqrt(16 * signature.LENGTH)


# Turned pictures

TURNS = [pytest.param(turn, id=turn.name.lower()) for turn in Turn]


@pytest.mark.parametrize("turn", TURNS)
def test_turned_differences_are_the_differences_of_the_turned_grid(turn: Turn) -> None:
    """On one and the same grid a turned picture gives exactly the turned signature, levels and all."""
    for seed in range(5):
        levels = np.random.default_rng(seed).integers(0, 9, (signature.GRID, signature.GRID)) / 9
        upright, expected = (
            signature._quantised(signature._differences(grid))
            for grid in (levels, np.ascontiguousarray(pictures.TURNED[turn](levels)))
        )
        assert (signature.turned(upright.reshape(1, -1), turn) == expected.reshape(1, -1)).all()


@pytest.mark.parametrize("turn", TURNS)
def test_turned_signature_is_near_that_of_the_turned_picture(turn: Turn) -> None:
    """Photos turned by pixels are near the turned signature, and none of the other turns is nearer."""
    greys = [np.asarray(pictures.photo(seed).convert("L").resize((256, 256))) / 255 for seed in range(12)]
    signatures = np.array([signature.goldberg(grey) for grey in greys])
    real = np.array([signature.goldberg(np.ascontiguousarray(pictures.TURNED[turn](grey))) for grey in greys])
    apart = {other: signature.row_distances(signature.turned(signatures, other), real) for other in Turn}
    assert np.median(apart[turn]) < 0.13
    assert (apart[turn] < 0.25).all()
    for other in set(Turn) - {turn}:
        assert (apart[turn] < apart[other]).all()
    if turn is Turn.TRANSPOSED:  # rows and columns are cut alike
        assert (apart[turn] == 0).all()


@pytest.mark.parametrize("turn", TURNS)
def test_turns_can_be_taken_back(turn: Turn) -> None:
    """A turn and its inverse give the signature itself; norms and distances stay, to the last bit."""
    signatures = np.random.default_rng(1).integers(-2, 3, (20, signature.LENGTH)).astype(np.int8)
    others = signatures[::-1]
    there = signature.turned(signatures, turn)
    assert there.dtype == np.int8
    assert (signature.turned(there, turn.inverse) == signatures).all()
    assert (signature.norms(there) == signature.norms(signatures)).all()
    back = signature.turned(others, turn.inverse)
    assert (signature.row_distances(there, others) == signature.row_distances(signatures, back)).all()


@pytest.mark.parametrize("turn", TURNS)
def test_the_inverse_takes_pixels_back(turn: Turn) -> None:
    """What a turn does to pixels its inverse undoes."""
    pixels = np.arange(12).reshape(3, 4)
    assert (pictures.TURNED[turn.inverse](pictures.TURNED[turn](pixels)) == pixels).all()
