"""Many matches in little memory."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from py_image_dedup.model import Match, Turn
from py_image_dedup.stores.matches import ManyMatches

HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
MATCHES = st.lists(st.builds(Match, HASHES, HASHES, st.floats(0, 1), st.sampled_from(Turn), st.booleans()))


def many(matches: list[Match]) -> ManyMatches:
    kept = ManyMatches()
    for match in matches:
        kept.append(match)
    return kept


@given(MATCHES, st.slices(8))
def test_they_are_as_in_a_list(matches: list[Match], some: slice) -> None:
    """Each comes back as it was put in, by number, by slice and in turn; a turn is one, not a number."""
    kept = many(matches)
    assert len(kept) == len(matches)
    assert list(kept) == matches
    assert kept[some] == matches[some]
    assert [kept[-1 - k] for k in range(len(matches))] == matches[::-1]
    assert {type(match.turn) for match in kept} <= {Turn}
    rows = [(bytes.fromhex(a), bytes.fromhex(b), distance, int(turn)) for a, b, distance, turn, _ in matches]
    assert sorted(kept.in_order()) == sorted(rows)
    assert [row[:2] for row in kept.in_order()] == sorted(row[:2] for row in rows)
    with pytest.raises(IndexError):
        kept[len(matches)]


def test_a_match_takes_less_than_a_hundred_bytes() -> None:
    """Ten million of them fit into 1 GB."""
    number = 20_000
    tracemalloc.start()
    try:
        kept = ManyMatches()
        for k in range(number):
            a, b = (hashlib.sha256(f"{end}{k}".encode()).hexdigest() for end in "ab")
            kept.append(Match(a, b, k / number))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) == number
    assert size < 100 * number
