"""The map of the program: phases 1 to 4 in order; `execution.py` has the last two, which change the disk.

Data flows one way: files on disk -> records in the store -> matches -> groups -> plan -> acts.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice
from sys import intern
from typing import Final, TypeVar

from py_image_dedup import companions, files, images, walking
from py_image_dedup.analysis import Analyser
from py_image_dedup.config import Settings
from py_image_dedup.errors import RootError
from py_image_dedup.events import Observer, Tally
from py_image_dedup.gains import with_gains
from py_image_dedup.grouping import Grouping, group
from py_image_dedup.looks import LastLook, in_register
from py_image_dedup.model import Candidate, Cause, Decisions, File, Group, Match, Record, Seen, Skipped, Turn
from py_image_dedup.neighbourhood import neighbourhood
from py_image_dedup.parts import find_parts
from py_image_dedup.plan import Action, Plan, make_plan, with_empty_folders
from py_image_dedup.stores.interface import Lease, Store
from py_image_dedup.stores.matches import ManyMatches
from py_image_dedup.words import counted

ORIENTATIONS: Final = {
    "off": (),
    "rotations": (Turn.HALF, Turn.CLOCKWISE, Turn.COUNTERCLOCKWISE),
    "all": tuple(turn for turn in Turn if turn is not Turn.UPRIGHT),
}
"""Which turned copies are looked for, by the values of ``analysis.orientations``."""

A = TypeVar("A")
B = TypeVar("B")

_BATCH = 1000  # files looked up in, or written to, the store at once


def grouping(settings: Settings, decisions: Decisions) -> Grouping:
    """Return what makes a match and which copy stays, by these settings."""
    age = settings.deduplication.max_file_modification_time_diff
    return Grouping(
        rules=settings.deduplication.prioritization_rules,
        max_distance=settings.elasticsearch.max_distance,
        review_distance=settings.deduplication.review_distance,
        max_mtime_difference_ns=None if age is None else round(age.total_seconds() * 1e9),
        across_roots=settings.analysis.across_dirs,
        decisions=decisions,
    )


def scope(settings: Settings) -> walking.Scope:
    """Return which files are looked at, by these settings."""
    analysis = settings.analysis
    return walking.Scope(
        roots=analysis.source_directories,
        select=walking.Selector(
            extensions=frozenset(analysis.file_extensions),
            exclusions=analysis.exclusions,
            hidden=analysis.include_hidden,
            recursive=analysis.recursive,
        ),
        avoid=settings.deduplication.duplicates_target_directory,
    )


class Pipeline:
    """Runs the phases 1 to 4 over parts that are handed in; `tally` tells afterwards what was seen."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        analyser: Analyser,
        last_look: LastLook,
        observer: Observer,
        *,
        tally: Tally,
        decisions: Decisions | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._analyser = analyser
        self._last_look = last_look
        self._observer = observer
        self._tally = tally
        self._decisions = decisions or Decisions()
        self._roots = settings.analysis.source_directories
        self._scope = scope(settings)
        self._protected = files.FolderSet(settings.deduplication.protected_directories)

    def analyse(self) -> None:
        """Phases 1 to 3: bring the store up to date with the disk."""
        files.check_roots(self._roots)
        with self._lease():
            self._clean_up()
            self._analyse(self._scope.walk(), total=self._count())

    def make_plan(self, *, analyse: bool = True, different_pictures: bool = False) -> Plan:
        """Phases 1 to 4: find out what would be done.

        Without `analyse` the records are taken as they are.  With `different_pictures` similar files go too.
        """
        files.check_roots(self._roots)
        with self._lease():
            self._clean_up()
            total = self._count()
            if analyse:
                self._analyse(self._scope.walk(), total=total)
            return self._query(different_pictures=different_pictures)

    def make_plan_for(self, paths: Collection[str]) -> Plan:
        """Phases 1 to 4 for a few files that came, changed or went; they may also be folders that went.

        Only they and what is near to them are looked at: the plan says what one of everything would say of these.
        """
        files.check_roots(self._roots)
        with self._lease():
            self._tally.phase(1)
            self._forget_gone(paths)
            there = [Seen(path, now.size, now.mtime_ns) for path in paths if (now := files.look(path)) is not None]
            self._tally.add("files", len(there))
            self._analyse(iter(there), total=len(there))
            self._tally.phase(4)
            recorded = self._store.known([file.path for file in there]).values()
            hood = neighbourhood(
                self._store,
                {file.content for file in recorded if not file.problem},
                covers=self._scope.coverage(),
                within=self._settings.elasticsearch.max_distance,
                orientations=ORIENTATIONS[self._settings.analysis.orientations],
            )
            return self._plan(hood.holders, hood.matches)

    def _lease(self) -> AbstractContextManager[Lease]:
        """Keep other runs off the files of this origin, wherever they run."""
        return self._store.lease(self._observer.note)

    def _clean_up(self) -> None:
        """Phase 1: forget files of this origin below these roots that are gone from the disk."""
        self._tally.phase(1)
        self._check_mounted()
        recorded = self._store.files(self._roots)
        done = 0
        while batch := list(islice(recorded, _BATCH)):
            self._forget(file.path for file in batch if files.vanished(file.path))
            done += len(batch)
            self._observer.progress(done, 0)

    def _forget_gone(self, paths: Collection[str]) -> None:
        """Forget files that are gone from the disk, these and those recorded below these folders.

        A folder may be there again, another one under the old name, so what was below it is looked at file by file.
        """
        pictures = [path for path in paths if self._scope.wants(path)]  # that a folder has such a name is too rare
        recorded = (file.path for path in frozenset(paths).difference(pictures) for file in self._store.files([path]))
        self._forget(path for path in (*pictures, *recorded) if files.vanished(path))

    def _forget(self, gone: Iterable[str]) -> None:
        """Remove records of files that are gone; looks first whether it is the disk that is gone."""
        if paths := list(gone):
            self._check_mounted()
            known = self._store.known(paths)
            self._store.remove(paths)  # also those with signatures of another version, which are not known
            self._tally.add("removed", len(known))

    def _check_mounted(self) -> None:
        """Raise :class:`RootError` if a folder is missing, or empty while pictures are recorded below it."""
        files.check_roots(self._roots)
        for root in self._roots:
            if files.is_empty(root) and next(self._store.files([root]), None) is not None:
                raise RootError(
                    f"the folder {files.printable(root)} is empty, but pictures are recorded below it: is a disk not "
                    "mounted? Mount it, or take the folder out of analysis.source_directories"
                )

    def _count(self) -> int:
        """Phase 2: count the files, so that progress can be shown."""
        self._tally.phase(2)
        walk = self._scope.walk()
        while batch := list(islice(walk, _BATCH)):
            self._tally.add("files", sum(isinstance(found, Seen) for found in batch))
            self._observer.progress(self._tally.counts["files"], 0)
        return self._tally.counts["files"]

    def _analyse(self, found: Iterator[Seen | Skipped], *, total: int) -> None:
        """Phase 3: analyse files that are new or changed, and write their records in bulk."""
        self._tally.phase(3)
        records: list[Record] = []
        elsewhere = self._analyser.elsewhere
        try:
            for record in self._analyser.analyse(self._new_or_changed(found, total)):
                if isinstance(record, Skipped):
                    self._tally.skip(record)
                    continue
                records.append(record)
                self._tally.add("analysed")
                if record.content is not None:
                    self._tally.add("decoded")
                if record.file.problem:
                    self._tally.skip(Skipped(record.file.path, record.file.problem))
                if len(records) >= _BATCH:
                    self._store.put(records)
                    records = []
        finally:
            self._store.put(records)  # also when interrupted: what is done need not be done again
            self._tally.add("analysed_remotely", self._analyser.elsewhere - elsewhere)

    def _new_or_changed(self, found: Iterator[Seen | Skipped], total: int) -> Iterator[Seen]:
        """Yield the files on disk that the store does not know as they are; report the others as done."""
        done = 0
        while batch := list(islice(found, _BATCH)):
            seen = [one for one in batch if isinstance(one, Seen)]
            for one in batch:
                if isinstance(one, Skipped):
                    self._tally.skip(one)
            known = self._store.known([file.path for file in seen])
            for file in seen:
                recorded = known.get(file.path)
                done += 1
                self._observer.progress(done, max(done, total))
                if recorded is None or not recorded.unchanged(file) or self._worth_another_try(recorded):
                    yield file
                else:
                    self._tally.add("unchanged")
                    if recorded.problem:
                        self._tally.skip(Skipped(file.path, recorded.problem))

    def _query(self, *, different_pictures: bool) -> Plan:
        """Phase 4: matches among all recorded contents, groups, and the plan that follows."""
        self._tally.phase(4)
        settings = self._settings
        by_content: defaultdict[str, list[File]] = defaultdict(list)
        covers = self._scope.coverage()  # what an earlier run met, of other folders or kinds, is none of this one's
        for file in self._store.files(self._roots):
            if not file.problem and covers(file.path):
                by_content[file.content].append(file)
        limits = (settings.elasticsearch.max_distance, settings.deduplication.review_distance)
        self._tell_elsewhere(by_content.keys())
        found = self._matches(by_content.keys(), limits)
        # One picture may be in thousands of matches.
        matches = [Match(intern(a), intern(b), distance, turn, part) for a, b, distance, turn, part in found]
        return self._plan(by_content, matches, different_pictures=different_pictures)

    def _plan(
        self, by_content: Mapping[str, Sequence[File]], matches: Collection[Match], *, different_pictures: bool = False
    ) -> Plan:
        """Form groups of recorded files, by their contents and how these match, and say what becomes of each."""
        settings = self._settings
        self._tally.add("matches", len(matches))
        wanted = {content for match in matches for content in (match.a, match.b)}
        wanted.update(content for content, holders in by_content.items() if len(holders) > 1)
        candidates = self._candidates([file for content in wanted for file in by_content[content]])
        plan = make_plan(
            self._group(candidates, matches, by=grouping(settings, self._decisions)),
            origin=settings.origin,
            roots=self._roots,
            action=Action(settings.deduplication.action),
            target=settings.deduplication.duplicates_target_directory,
            protected=self._protected.holds,
            decisions=self._decisions,
            different_pictures=different_pictures,
        )
        plan = companions.attach(plan, pictures=settings.analysis.file_extensions)
        if settings.remove_empty_folders:
            plan = with_empty_folders(plan)
        if settings.deduplication.report_gain:
            plan = with_gains(plan, told=self._last_look.told)
        for name in ("duplicates", "similar", "reclaimable"):
            self._tally.add(name if name != "reclaimable" else "reclaimable_bytes", getattr(plan, name))
        self._tally.add("groups", len(plan.groups))
        return replace(plan, skipped=self._tally.skipped)

    def _tell_elsewhere(self, contents: Collection[str]) -> None:
        """Tell what other machines have too; their files never stay in place of one of ours, and never go."""
        for origin, number in sorted(self._store.elsewhere(contents).items()):
            name, found = files.printable(origin), counted(number, "file")
            self._observer.note(f'Elsewhere: {found} of origin "{name}" with the same bytes as pictures here.')

    def _matches(self, contents: Collection[str], limits: tuple[float, float]) -> Iterator[Match]:
        """Find the pairs that may be duplicates, and those further apart that may be shown as similar."""
        analysis, progress = self._settings.analysis, self._observer.progress
        turns = ORIENTATIONS[analysis.orientations]
        found = self._store.similar(
            contents, within=max(limits), orientations=turns, threads=analysis.threads, progress=progress
        )
        far = ManyMatches()
        met = set()
        for match in found:
            if analysis.crops:
                met.add(bytes.fromhex(match.a + match.b))
            if match.distance <= limits[0]:
                yield match
            else:
                far.append(match)
        if analysis.crops:
            parts = find_parts(self._store, contents, within=max(limits), threads=analysis.threads, progress=progress)
            for match in parts:
                if bytes.fromhex(match.a + match.b) not in met:
                    far.append(match)
        yield from in_register(self._store, far, threads=analysis.threads, progress=progress)

    def _group(self, candidates: Sequence[Candidate], matches: Collection[Match], *, by: Grouping) -> list[Group]:
        """Form groups, looking at each pair of near files before it is called a duplicate."""
        look = self._last_look
        look.recall(match for match in matches if match.distance <= by.max_distance)
        pool = ThreadPoolExecutor(self._settings.analysis.threads, "look")
        given_up = threading.Event()

        def same(a: Candidate, b: Candidate, turn: Turn = Turn.UPRIGHT) -> bool:
            if given_up.is_set():  # or a large set would be looked through to its end
                raise CancelledError
            return look.same(a, b, turn)

        done = known = 0  # of all calls: a large set takes one for every keeper, and no bar shall start anew for each

        def run(function: Callable[[A], B], things: Iterable[A]) -> Iterator[B]:
            nonlocal done, known
            waiting = list(things)
            known += len(waiting)
            for found in pool.map(function, waiting):
                done += 1
                self._observer.progress(done, known)
                yield found

        try:
            return group(candidates, matches, by=by, same=same, run=run)
        except BaseException:
            given_up.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            look.save()
            self._tally.add("looked", look.taken)
            for skipped in look.unreadable.values():
                self._tally.skip(skipped)

    def _candidates(self, recorded: Sequence[File]) -> list[Candidate]:
        """Keep the recorded files that are on disk now as recorded; hard links to one inode are one file."""
        facts = self._store.facts({file.content for file in recorded})
        by_inode: dict[tuple[int, int], Candidate] = {}
        for file in sorted(recorded, key=lambda file: file.path):
            inode = files.look(file.path)
            if inode is None or (inode.size, inode.mtime_ns) != (file.size, file.mtime_ns):
                self._tally.skip(Skipped(file.path, "changed since it was analysed", Cause.CHANGED))
                continue
            known = facts.get(file.content)
            if known is None:
                self._tally.skip(Skipped(file.path, "what is in it is not recorded any more: it has to be analysed"))
                continue
            if not self._settings.analysis.use_exif_data:
                known = replace(known, exif_count=0)
            candidate = Candidate(file, known, self._root_of(file.path), inode.links)
            by_inode.setdefault((inode.device, inode.number), candidate)
        return list(by_inode.values())

    def _root_of(self, path: str) -> str:
        """Return the innermost root above a path."""
        return max((root for root in self._roots if files.is_below(path, [root])), key=len)

    def _worth_another_try(self, file: File) -> bool:
        """Tell whether a file that could not be read may be readable by now: other decoders, or larger pictures."""
        return bool(file.problem) and file.reader != images.reader(self._settings.analysis.max_megapixels * 1_000_000)
