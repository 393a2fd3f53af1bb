"""From a collection to what in it is the same: all near pairs, exactly, and the groups that follow."""

from __future__ import annotations

import copy
import datetime as dt
import math
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from py_image_dedup import files
from py_image_dedup.events import Observer
from py_image_dedup.grouping import Grouping, Neighbours, group
from py_image_dedup.library import parameters
from py_image_dedup.library.building import duration, watching
from py_image_dedup.library.collection import Collection
from py_image_dedup.library.listing import counts, listed
from py_image_dedup.library.records import last_look
from py_image_dedup.library.result import Search
from py_image_dedup.model import Candidate, Group, Match, Turn
from py_image_dedup.stores.matches import matches as all_matches

_ROTATIONS = (Turn.HALF, Turn.CLOCKWISE, Turn.COUNTERCLOCKWISE)
_BEST_FIRST = ("higher-pixel-count", "bigger-file-size")


def search(
    collection: Collection,
    similarity: str | float = "duplicates",
    *,
    rotate: bool = True,
    same_dim: bool = True,
    last_look: bool | None = None,
    show_progress: bool = True,
    processes: int | None = None,
    chunksize: int | None = None,
    lazy: bool | None = None,
) -> Search:
    """Find the pictures of a collection that are the same, or near each other.

    `similarity`: ``duplicates``, ``similar``, or the largest distance by the collection's kind (mean squared error for
    tensors).  `rotate`: also if one is turned by 90, 180 or 270 degrees.  `same_dim`: only those of one width and
    height, in either order.  `last_look`: before two pictures match, decode both and compare them block by block, so
    that what differs in a word does not; None for what suits the kind (only ``goldberg`` needs it).  `processes`: how
    many threads compare and decode.  `chunksize` is told in the statistics and changes nothing.  `lazy` is what
    versions of difPy before 4.2 call `same_dim`.

    Pictures with several frames or pages and cameras' raw files match only if their bytes are the same.
    """
    started = dt.datetime.now()  # noqa: DTZ005 - local time, as difPy tells it
    if lazy is not None:
        warnings.warn("lazy is called same_dim since difPy 4.2", DeprecationWarning, stacklevel=2)
        same_dim = lazy
    within = parameters.distance_of(similarity, collection.kind)
    threads = parameters.threads_of(processes)
    looks = collection.kind.directions_only if last_look is None else last_look
    by_content = {picture.file.content: picture for picture in collection.pictures}
    with watching(show=show_progress) as observer:
        observer.phase("Comparing pictures", 2, 2)
        found = near_pairs(collection, within, rotate=rotate, same_dim=same_dim, threads=threads, observer=observer)
        matches = [*(_looked_at(found, by_content, threads) if looks else found)]
    result = listed(collection, Neighbours(matches, whole=dict.fromkeys(by_content, True)))
    stats = copy.deepcopy(collection.stats)
    stats["process"]["search"] = {
        "duration": duration(started),
        "parameters": {
            "similarity_mse": within,
            "rotate": rotate,
            "same_dim": same_dim,
            "processes": threads,
            "chunksize": chunksize,
        },
        "files_searched": len(collection),
        "matches_found": counts(result, in_folder=collection.in_folder),
    }
    return Search(collection, _groups(collection, matches), result, stats, looked=looks)


def near_pairs(
    collection: Collection, within: float, *, rotate: bool, same_dim: bool, threads: int, observer: Observer
) -> Iterator[Match]:
    """Yield the pairs of contents that are near by their signatures; their sizes must allow it, and single frames."""
    contents = [*collection.rows]
    sizes: dict[str, object] = {picture.file.content: _size(picture) for picture in collection.pictures}
    if not same_dim:
        sizes = {content: size is not None for content, size in sizes.items()}
    for match in all_matches(
        contents,
        collection.signatures,
        within=within,
        kind=collection.kind,
        orientations=_ROTATIONS if rotate else (),
        threads=threads,
        progress=observer.progress,
    ):
        if sizes[match.a] == sizes[match.b] and sizes[match.a]:
            yield match if match.a < match.b else Match(match.b, match.a, match.distance, match.turn.inverse)


def _size(picture: Candidate) -> tuple[int, int] | None:
    """Return the shorter and the longer side; None for a picture that is equal to others by its bytes only."""
    width, height = picture.facts.width, picture.facts.height
    by_bytes_only = picture.facts.frames > 1 or picture.facts.is_raw
    return None if by_bytes_only else (min(width, height), max(width, height))


def _looked_at(matches: Iterable[Match], by_content: dict[str, Candidate], threads: int) -> Iterator[Match]:
    """Yield the matches whose files show the same, as far as can be told by decoding both."""
    look = last_look()
    waiting = [*matches]

    def same(match: Match) -> bool:
        return look.same(by_content[match.a], by_content[match.b], match.turn)

    with ThreadPoolExecutor(threads, "look") as pool:
        yield from (match for match, agrees in zip(waiting, pool.map(same, waiting), strict=True) if agrees)


def _groups(collection: Collection, matches: Iterable[Match]) -> list[Group]:
    """Form groups around the best picture of each: most pixels, then most bytes."""
    by = Grouping(
        rules=_BEST_FIRST,
        max_distance=math.inf,
        review_distance=0.0,
        across_roots=not collection.in_folder,
        most_stretch=math.inf,
    )
    return group([*_one_per_file(collection.pictures)], matches, by=by)


def _one_per_file(pictures: Iterable[Candidate]) -> Iterator[Candidate]:
    """Leave out further names of one file (hard links)."""
    met = set()
    for picture in pictures:
        inode = files.look(picture.file.path) if picture.links > 1 else None
        if inode is None or (inode.device, inode.number) not in met:
            met.add((inode.device, inode.number) if inode else None)
            yield picture
