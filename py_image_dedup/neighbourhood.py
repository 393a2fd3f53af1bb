"""What a few contents hang together with: all that a plan for them has to look at, and nothing else of the store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from py_image_dedup.model import File, Match, Turn
from py_image_dedup.stores.interface import Store


class Neighbourhood(NamedTuple):
    """Files of here by their content, and the matches of these contents with each other."""

    holders: Mapping[str, Sequence[File]]
    matches: Collection[Match]


def neighbourhood(
    store: Store,
    contents: Collection[str],
    *,
    covers: Callable[[str], bool],
    within: float,
    orientations: Collection[Turn],
) -> Neighbourhood:
    """Return these contents, what is near to them, what is near to that, and so on.

    Who stays among pictures that hang together depends on all of them, so less would not do.  A content of which
    no file is covered (by its path) joins nothing.
    """
    holders: dict[str, list[File]] = {}
    matches: set[Match] = set()
    asked: set[str] = set()
    reached = set(contents)
    while reached:
        asked |= reached
        for file in store.holders(reached):
            if not file.problem and covers(file.path):
                holders.setdefault(file.content, []).append(file)
        found = set(store.near(reached & holders.keys(), within=within, orientations=orientations))
        matches |= found
        reached = {content for match in found for content in (match.a, match.b)} - asked
    return Neighbourhood(holders, [match for match in matches if match.a in holders and match.b in holders])
