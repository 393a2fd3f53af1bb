"""The map of the program: six short phases in order.

Data flows one way: files on disk -> records in the store -> matches -> groups -> plan -> acts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from py_image_dedup import actions, files, images
from py_image_dedup.analysis import Analyser
from py_image_dedup.config import Settings
from py_image_dedup.errors import LeaseLost, RootError, StoreError
from py_image_dedup.events import Observer
from py_image_dedup.grouping import Connected, Grouping, Kept, group
from py_image_dedup.journal import Journal
from py_image_dedup.looks import LastLook, in_register
from py_image_dedup.model import Candidate, File, Group, Match, Record, Seen, Skipped, Turn
from py_image_dedup.parts import find_parts
from py_image_dedup.plan import Action, Plan, make_plan
from py_image_dedup.stores.interface import Lease, Store

PHASES: Final = (
    "Cleaning the database",
    "Counting files",
    "Analysing",
    "Finding duplicates",
    "Moving or deleting duplicates",
    "Removing empty folders",
)

ORIENTATIONS: Final = {
    "off": (),
    "rotations": (Turn.HALF, Turn.CLOCKWISE, Turn.COUNTERCLOCKWISE),
    "all": tuple(turn for turn in Turn if turn is not Turn.UPRIGHT),
}
"""Which turned copies are looked for, by the values of ``analysis.orientations``."""

_BATCH = 1000  # files looked up in, or written to, the store at once


@dataclass(frozen=True, slots=True)
class Report:
    """What acting on a plan did."""

    outcomes: tuple[actions.Outcome, ...]
    removed_folders: tuple[str, ...]
    journal: str | None

    @property
    def complete(self) -> bool:
        """Tell whether every act was done."""
        return all(outcome.result is actions.Result.DONE for outcome in self.outcomes)


class Pipeline:
    """Runs the phases over parts that are handed in; `counts` tells afterwards what was seen and done."""

    def __init__(
        self, settings: Settings, store: Store, analyser: Analyser, last_look: LastLook, observer: Observer
    ) -> None:
        self._settings = settings
        self._store = store
        self._analyser = analyser
        self._last_look = last_look
        self._observer = observer
        self._roots = settings.analysis.source_directories
        self._protected = files.FolderSet(settings.deduplication.protected_directories)
        self._skipped: dict[str, Skipped] = {}
        self.counts: Counter[str] = Counter()

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files and folders that could not be used, in order of path."""
        return tuple(self._skipped[path] for path in sorted(self._skipped))

    def analyse(self) -> None:
        """Phases 1 to 3: bring the store up to date with the disk."""
        files.check_roots(self._roots)
        with self._lease():
            self._clean_up()
            total = self._count()
            self._analyse(total)

    def make_plan(self, *, analyse: bool = True) -> Plan:
        """Phases 1 to 4: find out what would be done.  Without `analyse` the records are taken as they are."""
        files.check_roots(self._roots)
        with self._lease():
            self._clean_up()
            total = self._count()
            if analyse:
                self._analyse(total)
            return self._query()

    def execute(self, plan: Plan) -> Report:
        """Phases 5 and 6: do what the plan says, as far as the disk still agrees."""
        if next(plan.acts(), None) is None:
            return Report((), (), None)
        with self._lease() as lease:
            journal = Journal.open(self._settings.state_directory)
            try:
                outcomes = self._act(plan, journal, lease)
                removed = self._prune(plan, outcomes, journal)
            finally:
                journal.close()
        return Report(outcomes, removed, journal.path)

    def _lease(self) -> AbstractContextManager[Lease]:
        """Keep other runs off the files of this origin, wherever they run."""
        return self._store.lease(self._observer.note)

    def _clean_up(self) -> None:
        """Phase 1: forget files of this origin below these roots that are gone from the disk."""
        self._phase(1)
        for root in self._roots:
            if files.is_empty(root) and next(self._store.files([root]), None) is not None:
                raise RootError(
                    f"the folder {files.printable(root)} is empty, but pictures are recorded below it: is a disk not "
                    "mounted? Mount it, or take the folder out of analysis.source_directories"
                )
        recorded = self._store.files(self._roots)
        while batch := list(islice(recorded, _BATCH)):
            if gone := [file.path for file in batch if files.vanished(file.path)]:
                self._store.remove(gone)
                self._tally("removed", len(gone))

    def _count(self) -> int:
        """Phase 2: count the files, so that progress can be shown."""
        self._phase(2)
        self._tally("files", sum(isinstance(found, Seen) for found in self._walk()))
        return self.counts["files"]

    def _analyse(self, total: int) -> None:
        """Phase 3: analyse files that are new or changed, and write their records in bulk."""
        self._phase(3)
        records: list[Record] = []
        try:
            for found in self._analyser.analyse(self._new_or_changed(total)):
                if isinstance(found, Skipped):
                    self._skip(found)
                    continue
                records.append(found)
                self._tally("analysed")
                if found.content is not None:
                    self._tally("decoded")
                if found.file.problem:
                    self._skip(Skipped(found.file.path, found.file.problem))
                if len(records) >= _BATCH:
                    self._store.put(records)
                    records = []
        finally:
            self._store.put(records)  # also when interrupted: what is done need not be done again

    def _new_or_changed(self, total: int) -> Iterator[Seen]:
        """Yield the files on disk that the store does not know as they are; report the others as done."""
        walk = self._walk()
        done = 0
        while batch := list(islice(walk, _BATCH)):
            seen = [found for found in batch if isinstance(found, Seen)]
            for found in batch:
                if isinstance(found, Skipped):
                    self._skip(found)
            known = self._store.known([file.path for file in seen])
            for file in seen:
                recorded = known.get(file.path)
                done += 1
                self._observer.progress(done, max(done, total))
                if recorded is None or not recorded.unchanged(file) or self._worth_another_try(recorded):
                    yield file
                else:
                    self._tally("unchanged")
                    if recorded.problem:
                        self._skip(Skipped(file.path, recorded.problem))

    def _query(self) -> Plan:
        """Phase 4: matches among the recorded contents, groups, and the plan that follows."""
        self._phase(4)
        settings = self._settings
        by_content: defaultdict[str, list[File]] = defaultdict(list)
        for file in self._store.files(self._roots):
            if not file.problem:
                by_content[file.content].append(file)
        limits = (settings.elasticsearch.max_distance, settings.deduplication.review_distance)
        self._tell_elsewhere(by_content.keys())
        matches = list(self._matches(by_content.keys(), limits))
        wanted = {content for match in matches for content in (match.a, match.b)}
        wanted.update(content for content, holders in by_content.items() if len(holders) > 1)
        age = settings.deduplication.max_file_modification_time_diff
        grouping = Grouping(
            rules=settings.deduplication.prioritization_rules,
            max_distance=limits[0],
            review_distance=limits[1],
            max_mtime_difference_ns=None if age is None else round(age.total_seconds() * 1e9),
            across_roots=settings.analysis.across_dirs,
        )
        candidates = self._candidates([file for content in wanted for file in by_content[content]])
        plan = make_plan(
            self._group(candidates, matches, by=grouping),
            origin=settings.origin,
            roots=self._roots,
            action=Action(settings.deduplication.action),
            target=settings.deduplication.duplicates_target_directory,
            protected=self._protected.holds,
        )
        if settings.remove_empty_folders:
            going = [act.file.path for _, act in plan.acts()]
            plan = replace(plan, empty_folders=tuple(files.folders_left_empty(going, self._roots)))
        for name in ("duplicates", "similar", "reclaimable"):
            self._tally(name if name != "reclaimable" else "reclaimable_bytes", getattr(plan, name))
        self._tally("groups", len(plan.groups))
        return replace(plan, skipped=self.skipped)

    def _tell_elsewhere(self, contents: Collection[str]) -> None:
        """Tell what other machines have too; their files never stay in place of one of ours, and never go."""
        for origin, number in sorted(self._store.elsewhere(contents).items()):
            name = files.printable(origin)
            self._observer.note(f'{number} files of origin "{name}" have the same bytes as pictures here.')

    def _matches(self, contents: Collection[str], limits: tuple[float, float]) -> Iterator[Match]:
        """Find the pairs that may be duplicates, and those further apart that may be shown as similar."""
        found = self._store.similar(
            contents,
            within=max(limits),
            orientations=ORIENTATIONS[self._settings.analysis.orientations],
            progress=self._observer.progress,
        )
        far = []
        met = set()
        for match in found:
            met.add((match.a, match.b))
            if match.distance <= limits[0]:
                yield match
            else:
                far.append(match)
        if self._settings.analysis.crops:
            parts = find_parts(self._store, contents, within=max(limits), progress=self._observer.progress)
            far += [match for match in parts if (match.a, match.b) not in met]
        yield from in_register(self._store, far, progress=self._observer.progress)

    def _group(self, candidates: Sequence[Candidate], matches: Sequence[Match], *, by: Grouping) -> list[Group]:
        """Form groups, looking at each pair of near files before it is called a duplicate."""
        look = self._last_look
        look.recall(match for match in matches if match.distance <= by.max_distance)
        pool = ThreadPoolExecutor(self._settings.analysis.threads, "look")

        def run(form: Callable[[Connected], Kept], sets: Iterable[Connected]) -> Iterator[Kept]:
            waiting = list(sets)
            for done, kept in enumerate(pool.map(form, waiting), 1):
                self._observer.progress(done, len(waiting))
                yield kept

        try:
            return group(candidates, matches, by=by, same=look.same, run=run)
        finally:
            pool.shutdown(cancel_futures=True)
            look.save()
            self._tally("looked", look.taken)
            for skipped in look.unreadable.values():
                self._skip(skipped)

    def _act(self, plan: Plan, journal: Journal, lease: Lease) -> tuple[actions.Outcome, ...]:
        """Phase 5: move or delete; the store forgets what went."""
        self._phase(5)
        total = sum(1 for _ in plan.acts())
        outcomes: list[actions.Outcome] = []
        gone: list[str] = []
        try:
            for outcome in self._one_by_one(plan, journal, lease):
                outcomes.append(outcome)
                self._observer.progress(len(outcomes), total)
                if outcome.result is actions.Result.DONE:
                    gone.append(outcome.act.file.path)
                    self._tally("moved" if outcome.act.action is Action.MOVE else "deleted")
                    self._tally("freed_bytes", outcome.act.file.size)
                else:
                    self._tally(str(outcome.result))
        finally:
            self._forget(gone)
        return tuple(outcomes)

    def _one_by_one(self, plan: Plan, journal: Journal, lease: Lease) -> Iterator[actions.Outcome]:
        """Act while no other run can; what is left when that is no longer certain is refused."""
        acting = actions.execute(plan, journal, protected=self._protected.holds)
        for _, act in plan.acts():
            try:
                lease.check()
            except LeaseLost as lost:
                yield actions.Outcome(act, actions.Result.REFUSED, str(lost))
            else:
                yield next(acting)

    def _forget(self, gone: Collection[str]) -> None:
        """Remove the records of files that went; the report on these is not to be lost because the store fails."""
        try:
            self._store.remove(gone)
        except StoreError as error:
            self._observer.note(f"The files that went are still recorded; the next run removes them: {error}")

    def _prune(self, plan: Plan, outcomes: Sequence[actions.Outcome], journal: Journal) -> tuple[str, ...]:
        """Phase 6: remove the folders that this run emptied."""
        self._phase(6)
        removed = tuple(actions.remove_folders(plan, outcomes, journal))
        self._tally("removed_folders", len(removed))
        return removed

    def _candidates(self, recorded: Sequence[File]) -> list[Candidate]:
        """Keep the recorded files that are on disk now as recorded; hard links to one inode are one file."""
        facts = self._store.facts({file.content for file in recorded})
        by_inode: dict[tuple[int, int], Candidate] = {}
        for file in sorted(recorded, key=lambda file: file.path):
            inode = files.look(file.path)
            if inode is None or (inode.size, inode.mtime_ns) != (file.size, file.mtime_ns):
                self._skip(Skipped(file.path, "changed since it was analysed"))
                continue
            known = facts[file.content]
            if not self._settings.analysis.use_exif_data:
                known = replace(known, exif_count=0)
            candidate = Candidate(file, known, self._root_of(file.path))
            by_inode.setdefault((inode.device, inode.number), candidate)
        return list(by_inode.values())

    def _root_of(self, path: str) -> str:
        """Return the innermost root above a path."""
        return max((root for root in self._roots if files.is_below(path, [root])), key=len)

    def _walk(self) -> Iterator[Seen | Skipped]:
        analysis = self._settings.analysis
        select = files.Selector(
            extensions=frozenset(analysis.file_extensions),
            exclusions=analysis.exclusions,
            hidden=analysis.include_hidden,
            recursive=analysis.recursive,
        )
        target = self._settings.deduplication.duplicates_target_directory
        return files.walk(self._roots, select=select, avoid=target)

    def _worth_another_try(self, file: File) -> bool:
        """Tell whether a file that could not be read may be readable by now: there are other decoders."""
        return bool(file.problem) and file.reader != images.READER

    def _phase(self, number: int) -> None:
        self._observer.phase(PHASES[number - 1], number, len(PHASES))

    def _skip(self, skipped: Skipped) -> None:
        if skipped.path not in self._skipped:
            self._skipped[skipped.path] = skipped
            self._tally("skipped")
            self._observer.skipped(skipped)

    def _tally(self, name: str, by: int = 1) -> None:
        if by:
            self.counts[name] += by
            self._observer.counted(name, by)
