"""The exact radius join: every pair within the distance, none missed, none twice."""

import threading
import time
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from py_image_dedup.model import Turn
from py_image_dedup.signature import LENGTH, Signature, distance, distances, norms, turned
from py_image_dedup.stores import axes as directions
from py_image_dedup.stores import join as module
from py_image_dedup.stores import tiles
from py_image_dedup.stores.join import Pairs, join
from py_image_dedup.stores.rows import row_keys

RADII = (0.0, 1e-9, 0.1, 0.25, 0.35, 0.6, 0.99, 1.0)


def brute_force(signatures: Signature, within: float) -> dict[tuple[int, int], float]:
    """Compare every row to every other one, the slow way; rows that are all zero match nothing."""
    directed = np.asarray(signatures.any(axis=1))
    found = {}
    for a in range(len(signatures) - 1):
        apart = distances(signatures[a], signatures[a + 1 :])
        for step in np.flatnonzero((apart <= within) & directed[a] & directed[a + 1 :]).tolist():
            found[a, a + 1 + step] = float(apart[step])
    return found


def joined(signatures: Signature, within: float, **options: Any) -> dict[tuple[int, int], float]:
    """Return what the join yields, once it is made sure that each pair comes once and in order."""
    found: dict[tuple[int, int], float] = {}
    for pairs in join(signatures, within=within, **options):
        assert pairs.a.dtype == pairs.b.dtype == np.int64
        assert pairs.distances.dtype == np.float64
        assert pairs.turns.dtype == np.uint8
        assert (pairs.turns == Turn.UPRIGHT).all()
        for a, b, apart in zip(pairs.a.tolist(), pairs.b.tolist(), pairs.distances.tolist(), strict=True):
            assert a < b
            assert (a, b) not in found
            found[a, b] = apart
    return found


def noisy(rng: np.random.Generator, base: Signature, changes: int) -> Signature:
    """Change some values of a signature."""
    out = base.copy()
    out[rng.choice(LENGTH, changes, replace=False)] = rng.integers(-2, 3, changes)
    return out


def pictures(rng: np.random.Generator, count: int) -> Signature:
    """Make signatures as real pictures have them: all values -2..2, many related, some alike, some faint."""
    rows = [rng.integers(-2, 3, LENGTH).astype(np.int8) for _ in range(max(1, count // 4))]
    while len(rows) < count:
        base = rows[rng.integers(len(rows))]
        rows.append(noisy(rng, base, int(rng.choice([0, 1, 5, 40, 150, 400]))))
    return np.array(rows[:count])


def adversarial(rng: np.random.Generator, count: int) -> Signature:
    """Make signatures that are hard on bounds: zero, one-hot, faint, opposite, parallel, equal, of few kinds."""
    rows = [np.zeros(LENGTH, np.int8)]
    while len(rows) < count:
        kind = rng.integers(7)
        row = np.zeros(LENGTH, np.int8)
        if kind == 0:
            row[rng.integers(6)] = rng.choice([-2, -1, 1, 2])
        elif kind == 1:
            row[rng.choice(LENGTH, 3)] = rng.choice([-1, 1], 3)
        elif kind == 2:
            row = -rows[rng.integers(len(rows))]
        elif kind == 3:
            row = np.clip(2 * rows[rng.integers(len(rows))].astype(int), -2, 2).astype(np.int8)
        elif kind == 4:
            row = rows[rng.integers(len(rows))].copy()
        elif kind == 5:
            row[: rng.integers(LENGTH)] = rng.choice([-2, -1, 1, 2])
        else:
            row = noisy(rng, rows[rng.integers(len(rows))], int(rng.integers(1, 50)))
        rows.append(row)
    return np.array(rows)


MAKERS = (pictures, adversarial)


Axes = npt.NDArray[np.float64]


def any_axes(signatures: Signature, *, count: int) -> Axes:
    """Return orthonormal axes that take no look at the signatures: the bound must hold with these too."""
    del signatures
    return np.eye(LENGTH, count)


def tight_axes(signatures: Signature, *, count: int) -> Axes:
    """Return orthonormal axes that hold the signatures whole, so that the bound is as near the truth as can be."""
    axes = np.zeros((LENGTH, count))
    for number, row in enumerate(signatures[:count].astype(np.float64)):
        rest = row
        for axis in (*axes.T[:number], *axes.T[:number]):  # twice: once leaves an error of rounding
            rest = rest - (rest * axis).sum() * axis
        length = np.sqrt((rest * rest).sum())
        if length > 1e-6:
            axes[:, number] = rest / length
    return axes


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare with the tightest bound there is."""
    monkeypatch.setattr(directions, "_principal_axes", tight_axes)


@pytest.fixture
def small_blocks(small_blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """Take no time to find axes, either."""
    monkeypatch.setattr(directions, "_principal_axes", any_axes)


@pytest.mark.parametrize("axes", [any_axes, tight_axes])
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("within", RADII)
def test_equals_brute_force(
    monkeypatch: pytest.MonkeyPatch,
    within: float,
    make: Callable[[np.random.Generator, int], Signature],
    axes: Callable[..., Axes],
) -> None:
    """The join finds the pairs that comparing all with all finds, with the same distances to the last bit.

    It does so whatever the axes are: they only decide how many pairs are looked at twice.
    """
    monkeypatch.setattr(directions, "_principal_axes", axes)
    signatures = make(np.random.default_rng(round(100 * within)), 200)
    assert joined(signatures, within) == brute_force(signatures, within)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("within", [0.1, 0.35, 1.0])
def test_equals_brute_force_with_axes_of_its_own(
    within: float, make: Callable[[np.random.Generator, int], Signature]
) -> None:
    """The join, as it is, finds the pairs that comparing all with all finds."""
    signatures = make(np.random.default_rng(20), 250)
    assert joined(signatures, within) == brute_force(signatures, within)


@pytest.mark.parametrize("rows", [1, 10, 1000])
@pytest.mark.parametrize("count", [16, 141])
def test_axes_are_orthonormal(rows: int, count: int) -> None:
    """The axes are at right angles and of length 1, or nothing where there are fewer signatures than axes."""
    for make in MAKERS:
        signatures = make(np.random.default_rng(1), rows)
        axes = directions._principal_axes(signatures.astype(np.float64), count=count)
        assert axes.shape == (LENGTH, count)
        products = axes.T @ axes
        assert np.abs(products - np.diag(np.rint(np.diag(products)))).max() < 1e-9
        if rows < count:
            assert np.abs(norms(signatures) - np.sqrt(((signatures @ axes) ** 2).sum(axis=1))).max() < 1e-6


def test_equals_brute_force_where_axes_come_from_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Axes that were found on a few of the rows only lose no pair of the others."""
    monkeypatch.setattr(directions, "SAMPLE", 20)
    signatures = pictures(np.random.default_rng(11), 250)
    assert joined(signatures, 0.35) == brute_force(signatures, 0.35)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 31, 32, 33, 48, 49])
@pytest.mark.parametrize("make", MAKERS)
def test_equals_brute_force_around_block_borders(
    make: Callable[[np.random.Generator, int], Signature], count: int
) -> None:
    """No pair is lost or met twice where the rows fill their blocks exactly, nearly, or by one more."""
    for seed in range(2):
        signatures = make(np.random.default_rng(seed), count)
        for within in (0.1, 0.35, 1.0):
            expected = brute_force(signatures, within)
            for threads in (1, 2, 5):
                assert joined(signatures, within, threads=threads) == expected


@given(
    st.lists(
        st.lists(st.integers(-2, 2), min_size=6, max_size=6).map(tuple),
        max_size=12,
    ),
    st.integers(1, 108),
    st.sampled_from(RADII) | st.floats(0, 1),
)
@settings(max_examples=80, deadline=None)
def test_equals_brute_force_on_anything(rows: list[tuple[int, ...]], times: int, within: float) -> None:
    """Any rows, faint and strong, with few different values, join as comparing all with all does."""
    signatures = np.zeros((len(rows), LENGTH), np.int8)
    for row, values in enumerate(rows):
        signatures[row, : 6 * times] = values * times
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directions, "_principal_axes", any_axes)
        assert joined(signatures, within) == brute_force(signatures, within)


def two_vectors(length: int, apart: int) -> Signature:
    """Make two signatures of squared length `length` whose difference has the squared length `apart`."""
    a, b = np.zeros((2, LENGTH), np.int8)
    a[:length] = 1
    common = length - apart // 2
    if common >= 0:
        b[:common] = 1
        b[length : 2 * length - common] = 1
    else:
        b[:-common] = -1
        b[length : 2 * length + common] = 1
    assert (b.astype(int) ** 2).sum() == length
    assert ((a.astype(int) - b) ** 2).sum() == apart
    return np.array([a, b])


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize(
    ("length", "apart", "within"),
    [
        (100, 4, 0.1),
        (400, 16, 0.1),
        (25, 4, 0.2),
        (16, 4, 0.25),
        (400, 196, 0.35),
        (4, 4, 0.5),
        (100, 144, 0.6),
        (25, 64, 0.8),
        (100, 400, 1.0),
        (1, 4, 1.0),
    ],
)
def test_exactly_on_the_radius(length: int, apart: int, within: float) -> None:
    """A pair at exactly the distance asked for is found, and not found for the next smaller number."""
    pair = two_vectors(length, apart)
    assert distance(pair[0], pair[1]) == within
    others = np.zeros((5, LENGTH), np.int8)
    others[:, -7:] = np.arange(1, 36).reshape(5, 7) % 3
    signatures = np.concatenate([others, pair])
    for nudged, there in ((within, True), (np.nextafter(within, 0), False), (np.nextafter(within, 1), True)):
        assert ((5, 6) in joined(signatures, float(nudged))) is there


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("target", [0.02, 0.1, 0.25, 0.35, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("scale", [1, 2])
def test_any_distance_as_radius(target: float, scale: int) -> None:
    """Whatever the distance of a pair is to the last bit, it is found at that radius and not just below."""
    rng = np.random.default_rng(7)
    base = (scale * rng.choice([-1, 1], LENGTH)).astype(np.int8)
    other = base.copy()
    for place in rng.permutation(LENGTH):
        other[place] = -other[place]
        if distance(base, other) >= target:
            break
    exact = distance(base, other)
    assert abs(exact - target) < 0.05
    pair = np.array([base, other])
    assert joined(pair, exact) == {(0, 1): exact}
    assert joined(pair, float(np.nextafter(exact, 0))) == {}


@pytest.mark.usefixtures("tight")
def test_smallest_difference_there_can_be() -> None:
    """The nearest two different signatures are apart, however small the radius, until it reaches their distance."""
    row = np.full(LENGTH, 2, np.int8)
    other = row.copy()
    other[0] = 1
    pair = np.array([row, other])
    exact = distance(row, other)
    assert 0 < exact < 0.01
    assert joined(pair, 0.0) == joined(pair, 1e-12) == joined(pair, float(np.nextafter(exact, 0))) == {}
    assert joined(pair, exact) == {(0, 1): exact}


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("within", RADII)
def test_opposite_signatures(within: float) -> None:
    """A signature and its opposite are at distance 1 exactly, and match at no smaller radius."""
    row = np.random.default_rng(1).integers(-2, 3, LENGTH).astype(np.int8)
    assert joined(np.array([row, -row]), within) == ({(0, 1): 1.0} if within == 1.0 else {})


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("within", RADII)
def test_featureless_rows_match_nothing(within: float) -> None:
    """Rows that are all zero match neither each other nor anything else, at any radius."""
    signatures = np.zeros((6, LENGTH), np.int8)
    signatures[2, 5] = signatures[4, 5] = 1
    assert joined(signatures, within) == {(2, 4): 0.0}


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("rows", [0, 1, 2, 50])
def test_nothing_to_compare(rows: int) -> None:
    """No rows, one row, and nothing but featureless rows give no pairs and no error."""
    assert joined(np.zeros((rows, LENGTH), np.int8), 1.0) == {}
    assert joined(np.ones((min(rows, 1), LENGTH), np.int8), 1.0) == {}


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("within", [0.0, 0.1, 1.0])
def test_equal_rows_all_meet(within: float) -> None:
    """All pairs of equal rows are found at distance 0, also where other rows lie between them."""
    signatures = np.ones((30, LENGTH), np.int8)
    signatures[::3, :300] = -1
    signatures[1::3, :310] = -1
    assert joined(signatures, within) == brute_force(signatures, within)
    assert len(joined(signatures, 0.0)) == 3 * 45


@pytest.mark.usefixtures("small_blocks")
def test_many_copies_of_many_rows() -> None:
    """Groups of equal rows that match other such groups are found in full, however they are cut into parts."""
    rng = np.random.default_rng(3)
    kinds = pictures(rng, 12)
    signatures = kinds[rng.integers(len(kinds), size=80)]
    for within in (0.0, 0.25, 1.0):
        assert joined(signatures, within) == brute_force(signatures, within)


@pytest.mark.usefixtures("tight")
def test_order_of_rows_does_not_matter() -> None:
    """Rows in another order give the same pairs under their new numbers."""
    rng = np.random.default_rng(5)
    signatures = pictures(rng, 120)
    order = rng.permutation(len(signatures))
    moved = joined(signatures[order], 0.35)
    back = {(min(order[a], order[b]), max(order[a], order[b])): apart for (a, b), apart in moved.items()}
    assert back == joined(signatures, 0.35)


@pytest.mark.usefixtures("tight")
def test_input_is_left_alone() -> None:
    """Signatures that may not be written to, or are a view with gaps, are joined and stay as they are."""
    wide = np.repeat(pictures(np.random.default_rng(2), 60), 2, axis=1)
    view = wide[:, ::2]
    before = view.copy()
    view.flags.writeable = False
    assert joined(view, 0.35) == brute_force(before, 0.35)
    assert (view == before).all()


def test_signatures_with_one_key_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the keys of different rows are equal by chance, nothing is lost, taken for equal, or met twice."""
    monkeypatch.setattr(module, "row_keys", lambda rows: row_keys(rows) % np.uint64(3))
    rng = np.random.default_rng(8)
    signatures = np.concatenate([pictures(rng, 60), adversarial(rng, 60)])[rng.integers(120, size=200)]
    for within in (0.0, 0.25, 1.0):
        assert joined(signatures, within) == brute_force(signatures, within)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 1.0])
def test_pairs_with_a_new_row(make: Callable[[np.random.Generator, int], Signature], share: float) -> None:
    """With some rows new, exactly the pairs that hold one of them are found, copies of copies included."""
    rng = np.random.default_rng(21)
    for count in (2, 17, 120):
        signatures = make(rng, count)
        signatures = signatures[rng.integers(count, size=count)]
        new = rng.random(count) < share
        for within in (0.0, 0.25, 1.0):
            expected = {pair: apart for pair, apart in brute_force(signatures, within).items() if new[[*pair]].any()}
            for threads in (1, 3):
                assert joined(signatures, within, new=new, threads=threads) == expected


Found = tuple[float, Turn]


def turned_brute_force(signatures: Signature, within: float, turns: set[Turn]) -> dict[tuple[int, int], Found]:
    """Compare every row to all turns of every other one, the slow way."""
    found: dict[tuple[int, int], Found] = {}
    for turn in sorted(turns):
        others = turned(signatures, turn)
        for a in range(len(signatures) - 1):
            apart = distances(signatures[a], others[a + 1 :])
            wanted = (apart <= within) & signatures[a].any() & signatures[a + 1 :].any(axis=1)
            for step in np.flatnonzero(wanted).tolist():
                pair = a, a + 1 + step
                found[pair] = min(found.get(pair, (2.0, Turn.UPRIGHT)), (float(apart[step]), turn))
    return found


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("orientations", "turns"),
    [
        (tuple(Turn), set(Turn)),
        ((Turn.CLOCKWISE,), {Turn.UPRIGHT, Turn.CLOCKWISE, Turn.COUNTERCLOCKWISE}),
        ((Turn.HALF, Turn.HALF, Turn.MIRRORED), {Turn.UPRIGHT, Turn.HALF, Turn.MIRRORED}),
    ],
)
def test_turned_copies(
    make: Callable[[np.random.Generator, int], Signature], orientations: tuple[Turn, ...], turns: set[Turn]
) -> None:
    """Each pair comes once with the turn that brings it nearest, whether rows are new or not, symmetric ones too."""
    rng = np.random.default_rng(22)
    upright = make(rng, 40)
    symmetric = np.clip(upright[:8].astype(int) + turned(upright[:8], Turn.HALF), -2, 2).astype(np.int8)
    upright = np.concatenate([upright, symmetric])
    copies = [turned(upright[row : row + 1], Turn(int(rng.integers(1, 9))))[0] for row in rng.integers(48, size=80)]
    signatures = rng.permutation(np.concatenate([upright, np.array(copies)]))
    new = rng.random(len(signatures)) < 0.3
    for within in (0.0, 0.25, 1.0):
        expected = turned_brute_force(signatures, within, turns)
        found = joined_turned(signatures, within, orientations=orientations)
        assert found == expected
        found = joined_turned(signatures, within, orientations=orientations, new=new, threads=3)
        assert found == {pair: how for pair, how in expected.items() if new[[*pair]].any()}


def joined_turned(signatures: Signature, within: float, **options: Any) -> dict[tuple[int, int], Found]:
    """Return what the join yields with turns."""
    found: dict[tuple[int, int], Found] = {}
    for pairs in join(signatures, within=within, **options):
        columns = (pairs.a.tolist(), pairs.b.tolist(), pairs.distances.tolist(), pairs.turns.tolist())
        for a, b, apart, turn in zip(*columns, strict=True):
            assert a < b
            assert (a, b) not in found
            found[a, b] = apart, Turn(turn)
    return found


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("count", [2, 16, 17, 100])
def test_progress_grows_to_its_total(make: Callable[[np.random.Generator, int], Signature], count: int) -> None:
    """Progress never goes back, its total stays, and it ends there."""
    signatures = make(np.random.default_rng(0), count)
    signatures[:2, 0] = 1
    told: list[tuple[int, int]] = []
    for _ in join(signatures, within=0.25, progress=lambda done, total: told.append((done, total))):
        pass
    done, totals = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert len(set(totals)) == 1
    assert done[-1] == totals[-1] > 0


@pytest.mark.usefixtures("small_blocks")
def test_pairs_do_not_wait_for_the_end_in_several_threads() -> None:
    """Where all match all, pairs come while tiles are left, and a join that is given up leaves no thread behind."""
    rng = np.random.default_rng(8)
    base = rng.integers(-2, 3, LENGTH).astype(np.int8)
    signatures = np.array([noisy(rng, base, 3) for _ in range(200)])
    far: list[int] = []
    found = join(signatures, within=0.2, threads=3, progress=lambda done, total: far.append(total - done))
    with closing(cast("Generator[Pairs, None, None]", found)) as running:
        assert len(next(running).a)
        assert not far or far[-1] > 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("join")]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("threads", [1, 3])
def test_what_fails_in_a_thread_fails_the_join(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """An error while a tile is compared is not swallowed: pairs would be missing."""
    hits = tiles.Tile.hits
    tops = iter(range(1000))

    def fail_once(*arguments: Any) -> Any:
        if next(tops) == 17:
            raise MemoryError
        return hits(*arguments)

    monkeypatch.setattr(tiles.Tile, "hits", fail_once)
    with pytest.raises(MemoryError):
        joined(pictures(np.random.default_rng(9), 100), 0.2, threads=threads)


def peak_megabytes(signatures: Signature, within: float, **options: Any) -> tuple[int, float]:
    """Return how many pairs a join yields and how much memory it takes at most, beside the signatures."""
    tracemalloc.start()
    try:
        pairs = sum(len(found.a) for found in join(signatures, within=within, **options))
        return pairs, tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_memory_is_bounded_for_many_rows() -> None:
    """20,000 pictures join within 100 MB and in seconds."""
    signatures = pictures(np.random.default_rng(4), 20_000)
    started = time.process_time()
    pairs, megabytes = peak_megabytes(signatures, 0.1)
    assert pairs > 1000
    assert megabytes < 100
    assert time.process_time() - started < 60


def test_memory_is_bounded_for_thousands_of_equal_rows() -> None:
    """2,000 equal signatures, and 800 nearly equal ones, give their millions of pairs within 300 MB."""
    rng = np.random.default_rng(6)
    base = rng.integers(-2, 3, LENGTH).astype(np.int8)
    near = np.array([noisy(rng, base, 3) for _ in range(800)])
    signatures = np.concatenate([np.repeat(base[None], 2000, axis=0), near])
    started = time.process_time()
    pairs, megabytes = peak_megabytes(signatures, 0.2)
    assert pairs == 2800 * 2799 // 2
    assert megabytes < 300
    assert time.process_time() - started < 60


@pytest.mark.parametrize("threads", [1, 3])
def test_memory_is_bounded_where_every_turn_fits(threads: int) -> None:
    """600 signatures that look nearly the same from all sides give each pair once, within 300 MB."""
    rng = np.random.default_rng(7)
    signatures = np.array([noisy(rng, np.ones(LENGTH, np.int8), 3) for _ in range(600)])
    different = len(np.unique(signatures, axis=0))
    assert different > 500
    pairs, megabytes = peak_megabytes(signatures, 0.2, orientations=list(Turn), threads=threads)
    assert pairs == 600 * 599 // 2
    assert megabytes < 300
