"""Which contents hang together, when asking for the neighbours of one is fast but may leave some out.

A pair that a search leaves out is found all the same as long as some chain of neighbours leads from one to the
other: every two members of a cluster are compared afterwards.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from hashlib import blake2b

from py_image_dedup.signature import Signature
from py_image_dedup.stores.interface import Progress

Near = Callable[[Signature], Iterable[tuple[int, list[str]]]]
"""Takes signatures, shape (n, 648), none of them zero; gives row numbers with contents near that row."""


def clusters(
    contents: Sequence[str],
    asked: Sized,
    pages: Iterable[tuple[list[str], Signature]],
    near: Near,
    *,
    progress: Progress | None = None,
) -> Iterator[list[str]]:
    """Yield the contents that hang together, two or more at a time.

    `pages` are those that are `asked` about, all or some of the contents, with their signatures, one row each.  Of
    contents with equal signatures one is asked for.
    """
    number_of = {content: number for number, content in enumerate(contents)}
    links = Links(len(contents))
    first_of: dict[bytes, int] = {}
    done = 0
    for page, signatures in pages:
        singled = []
        for row, content in enumerate(page):
            number = number_of[content]
            first = first_of.setdefault(blake2b(signatures[row].tobytes(), digest_size=16).digest(), number)
            links.add(number, first)
            if first == number and signatures[row].any():
                singled.append(row)
        for row, neighbours in near(signatures[singled]):
            here = number_of[page[singled[row]]]
            for neighbour in neighbours:
                if neighbour in number_of:  # the store holds others too
                    links.add(here, number_of[neighbour])
        done += len(page)
        if progress is not None:
            progress(done, len(asked))
    for cluster in links.clusters():
        yield [contents[number] for number in cluster]


class Links:
    """Union-find over things numbered 0 to `size` - 1, at first each by itself."""

    def __init__(self, size: int) -> None:
        self._above = array("q", range(size))

    def add(self, one: int, other: int) -> None:
        """Link two things, and so everything linked to either."""
        self._above[self._top(one)] = self._top(other)

    def clusters(self) -> Iterator[list[int]]:
        """Yield what is linked, two or more at a time."""
        members: defaultdict[int, list[int]] = defaultdict(list)
        for number, above in enumerate(self._above):
            if above != number:
                members[self._top(number)].append(number)
        for top, others in members.items():
            yield [top, *others]

    def _top(self, number: int) -> int:
        above = self._above
        while above[number] != number:
            above[number] = above[above[number]]  # halve the way for whoever asks next
            number = above[number]
        return number
