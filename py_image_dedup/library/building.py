"""From folders to a collection: files are found, read in threads, and signed."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import BinaryIO, Final

import numpy as np

from py_image_dedup import files, walking
from py_image_dedup.analysis import Limits, LocalAnalyser, MemoryBudget
from py_image_dedup.events import Observer
from py_image_dedup.helpers import Helpers
from py_image_dedup.images import FORMATS
from py_image_dedup.kinds.interface import Kind
from py_image_dedup.library import parameters
from py_image_dedup.library.collection import Collection, Rows, Stats
from py_image_dedup.library.parameters import Path, Place
from py_image_dedup.model import Candidate, Content, Facts, Seen, Skipped

_EXTENSIONS: Final = frozenset(extension for some in FORMATS.values() for extension in some)
_UNSUPPORTED: Final = "Unsupported file type"
_NO_THUMBNAIL: Final = np.empty((0, 0), np.uint8)


def build(
    *directory: Path | Iterable[Path],
    recursive: bool = True,
    in_folder: bool = False,
    limit_extensions: bool = True,
    px_size: int = 50,
    show_progress: bool = True,
    processes: int | None = None,
    kind: str | Kind = "tensor",
) -> Collection:
    """Sign the pictures in some folders, named one by one or in a list; single files may be named too.

    `recursive`: also those in folders below.  `in_folder`: pictures of different folders named here are not to be
    compared.  `limit_extensions`: only files with an extension of a picture are opened.  `px_size`: the side of a
    tensor in pixels, 10..5000.  `processes`: how many threads read; None for one a processor.  `kind`: ``tensor``,
    ``goldberg``, ``mean``, or a :class:`~py_image_dedup.kinds.interface.Kind` of your own.

    Raises :class:`~py_image_dedup.errors.UsageError` for a parameter that makes no sense, and
    :class:`~py_image_dedup.errors.RootError` for a folder that is not there.  A file that can't be used raises
    nothing: it is listed in ``invalid_files`` with the reason.
    """
    started = dt.datetime.now()  # noqa: DTZ005 - local time, as difPy tells it
    places = parameters.places(directory)
    work = _Building(places, parameters.kind_of(kind, px_size=px_size), parameters.threads_of(processes))
    with watching(show=show_progress) as observer:
        observer.phase("Reading pictures", 1, 2)
        work.find(recursive=recursive, limit_extensions=limit_extensions)
        with tempfile.TemporaryFile(prefix="py-image-dedup-") as file:
            rows = Rows(work.kind, file)
            work.sign(rows, observer)
            signatures = rows.finished()
    invalid = dict(sorted(work.invalid.items()))
    stats = {
        "directory": [place.given for place in places],
        "total_files": len(work.names) + len(invalid),
        "invalid_files": {"count": len(invalid), "logs": invalid},
        "process": {
            "build": {
                "duration": duration(started),
                "parameters": {
                    "recursive": recursive,
                    "in_folder": in_folder,
                    "limit_extensions": limit_extensions,
                    "px_size": px_size,
                    "processes": work.threads,
                },
            }
        },
    }
    return Collection(
        kind=work.kind,
        places=places,
        in_folder=in_folder,
        names=tuple(work.names.values()),
        pictures=tuple(work.pictures),
        rows=rows.of,
        signatures=signatures,
        invalid_files=dict(invalid),
        stats=stats,
    )


def duration(started: dt.datetime) -> Stats:
    """Return when something began and ended (now, in local time), and how many seconds it took."""
    ended = dt.datetime.now()  # noqa: DTZ005 - local time, as difPy tells it
    elapsed = round((ended - started).total_seconds(), 4)
    return {"start": started.isoformat(), "end": ended.isoformat(), "seconds_elapsed": elapsed}


def watching(*, show: bool) -> AbstractContextManager[Observer]:
    """Provide a listener: a bar on a terminal if it is to be shown, else a silent one."""
    if not show:
        return nullcontext(Observer())
    from rich.console import Console  # noqa: PLC0415 - nobody else here needs it

    from py_image_dedup.progress import ProgressBar  # noqa: PLC0415

    return ProgressBar(Console(stderr=True))


class _Building:
    """What is known while a collection is put together."""

    def __init__(self, places: tuple[Place, ...], kind: Kind, threads: int) -> None:
        self._places = places
        self._found: dict[str, tuple[Seen, str]] = {}
        self._facts: dict[str, Facts] = {}
        self.kind = kind
        self.threads = threads
        self.pictures: list[Candidate] = []
        self.names: dict[str, str] = {}
        """By real path the path as it is told; in order."""
        self.invalid: dict[str, str] = {}

    def find(self, *, recursive: bool, limit_extensions: bool) -> None:
        """List the files of every folder, in order of path; one in several of them belongs to the innermost."""
        roots = [place.real for place in self._places if place.is_folder]
        files.check_roots(roots)
        select = walking.Selector(extensions=None, recursive=recursive)
        found: dict[str, Seen | Skipped] = {one.path: one for one in walking.walk(roots, select=select)}
        for place in self._places:
            if place.is_folder:
                inside = [path for path in found if files.is_below(path, [place.real])]
                others = [root for root in roots if root != place.real and files.is_below(root, [place.real])]
                mine = sorted((path for path in inside if not files.is_below(path, others)), key=os.fsencode)
            else:
                mine = [place.real]
                found.setdefault(place.real, _look(place.real))
            for path in mine:
                self._sort_in(found[path], place, limit_extensions=limit_extensions)

    def _sort_in(self, one: Seen | Skipped, place: Place, *, limit_extensions: bool) -> None:
        name = place.name_of(one.path)
        if limit_extensions and os.path.splitext(name)[1].lower() not in _EXTENSIONS:
            self.invalid[name] = _UNSUPPORTED
        elif isinstance(one, Skipped):
            self.invalid[name] = one.reason
        elif one.path not in self.names:
            self.names[one.path] = name
            self._found[one.path] = one, place.folder

    def sign(self, rows: Rows, observer: Observer) -> None:
        """Read all files, and sign what is new in them."""
        signer = _Signer(self.kind)
        helpers = partial(Helpers, partial(_Signer, self.kind))
        ours = type(self.kind).__module__.startswith("py_image_dedup.")  # one's own may be where no helper finds it
        analyser = LocalAnalyser(
            origin="",
            threads=self.threads,
            limits=signer.limits,
            describer=signer,
            known=rows.of.__contains__,
            helpers=helpers if ours else None,
        )
        seen = [one for one, _ in self._found.values()]
        for done, record in enumerate(analyser.analyse(seen), 1):
            observer.progress(done, len(seen))
            if isinstance(record, Skipped):
                self.invalid[self.names.pop(record.path)] = record.reason
                continue
            file, content = record.file, record.content
            if file.problem:
                self.invalid[self.names.pop(file.path)] = file.problem
                continue
            if content is not None:
                rows.add(content.hash, content.signature)
                self._facts[content.hash] = content.facts
            inode = files.look(file.path)
            links = inode.links if inode else 1
            self.pictures.append(Candidate(file, self._facts[file.content], self._found[file.path][1], links))


def _look(path: str) -> Seen | Skipped:
    now = files.look(path)
    return Skipped(path, "not a regular file") if now is None else Seen(path, now.size, now.mtime_ns)


class _Signer:
    """Describes pictures by signatures of one kind, on this machine."""

    elsewhere = 0

    def __init__(self, kind: Kind, budget: MemoryBudget | None = None) -> None:
        self.limits = Limits()
        self._kind = kind
        self._budget = budget or MemoryBudget()

    def describe(self, content: str, source: BinaryIO) -> Content:
        """Sign what a stream holds."""
        facts, vector = self._kind.sign(source, max_pixels=self.limits.max_pixels, reserve=self._budget.reserve)
        return Content(content, facts, _NO_THUMBNAIL, vector)
