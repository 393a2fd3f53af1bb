"""Phases 5 and 6: a plan is carried out as far as the disk still agrees, and the store forgets what went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from py_image_dedup import actions, companions, files, objections
from py_image_dedup.config import Settings
from py_image_dedup.errors import LeaseLost, PlanError, StoreError
from py_image_dedup.events import Observer, Tally
from py_image_dedup.journal import Journal, acting
from py_image_dedup.looks import LastLook
from py_image_dedup.model import Decisions
from py_image_dedup.plan import Action, Plan, with_empty_folders
from py_image_dedup.stores.interface import FileRecords, Lease

DONE: Final = {
    Action.MOVE: "moved",
    Action.TRASH: "trashed",
    Action.DELETE: "deleted",
    Action.HARDLINK: "hardlinked",
    Action.REFLINK: "reflinked",
}
"""Under which name each act is counted."""


@dataclass(frozen=True, slots=True)
class Report:
    """What acting on a plan did."""

    outcomes: tuple[actions.Outcome, ...]
    removed_folders: tuple[str, ...]
    journal: str | None
    run: str = ""
    """The name of the run, by which it can be taken back."""

    @property
    def undoable(self) -> bool:
        """Tell whether any of it can be taken back."""
        return bool(self.removed_folders) or any(
            outcome.result is actions.Result.DONE and outcome.act.action is not Action.DELETE
            for outcome in self.outcomes
        )

    @property
    def complete(self) -> bool:
        """Tell whether every act was done."""
        return all(outcome.result is actions.Result.DONE for outcome in self.outcomes)


class Execution:
    """Carries out plans over parts that are handed in; `tally` tells afterwards what was done."""

    def __init__(
        self,
        settings: Settings,
        store: FileRecords,
        last_look: LastLook,
        observer: Observer,
        *,
        tally: Tally,
        trash: actions.Trash,
        decisions: Decisions | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._last_look = last_look
        self._observer = observer
        self._tally = tally
        self._trash = trash
        self._decisions = decisions or Decisions()
        self._protected = files.FolderSet(settings.deduplication.protected_directories)

    def adopt(self, plan: Plan) -> Plan:
        """Take over a plan that was saved earlier; :class:`PlanError` for one of another origin.

        What belongs to files that a person let go, and which folders will be empty, is looked up anew.
        """
        if plan.origin != self._settings.origin:
            raise PlanError(
                f'the plan is of origin "{plan.origin}", and this is "{self._settings.origin}": apply it there, or set '
                "the key origin if both names mean the same disk"
            )
        files.check_roots(plan.roots)
        plan = companions.attach(plan, pictures=self._settings.analysis.file_extensions, anew=False)
        return with_empty_folders(plan) if self._settings.remove_empty_folders else replace(plan, empty_folders=())

    def objections(self, plan: Plan) -> Iterator[actions.Outcome]:
        """Yield the acts that would be refused now, with the reasons; nothing is touched."""
        return objections.of_now(
            plan, self._decisions, protected=self._protected.holds, decodable=self._last_look.decodes
        )

    def execute(self, plan: Plan, *, kind: str = "deduplicate") -> Report:
        """Phases 5 and 6: do what the plan says, as far as the disk and what a person has decided still agree.

        `kind` names the run in its journal.
        """
        refused = tuple(objections.of_decisions(plan, self._decisions))
        self._tally.add("refused", len(refused))
        for outcome in refused:
            self._tell(outcome)
        plan = plan.without(outcome.act.id for outcome in refused)
        if next(plan.acts(), None) is None:
            return Report(refused, (), None)
        with acting(self._settings.state_directory), self._store.lease(self._observer.note) as lease:
            self._settle()
            journal = Journal.open(
                self._settings.state_directory, kind=kind, origin=plan.origin, roots=plan.roots, target=plan.target
            )
            try:
                outcomes = self._act(plan, journal, lease)
                removed = self._prune(plan, outcomes, journal)
                journal.end()
            finally:
                journal.close()
        return Report((*refused, *outcomes), removed, journal.path, journal.run)

    def settle(self) -> None:
        """Take back acts at which earlier runs were cut off, so that their files are searched like all others."""
        with acting(self._settings.state_directory):
            self._settle()

    def _settle(self) -> None:
        for left in actions.settle(self._settings.state_directory):
            self._observer.note(f"{files.printable(left.act.path)}: {left.detail}")

    def _act(self, plan: Plan, journal: Journal, lease: Lease) -> tuple[actions.Outcome, ...]:
        """Phase 5: move or delete; the store forgets what went or became a link."""
        self._tally.phase(5)
        total = sum(1 for _ in plan.acts())
        outcomes: list[actions.Outcome] = []
        changed: list[str] = []
        try:
            for outcome in self._one_by_one(plan, journal, lease):
                outcomes.append(outcome)
                if outcome.result is actions.Result.DONE:
                    changed += outcome.gone or [outcome.act.file.path]
                    self._tally.add(DONE[outcome.act.action])
                    self._tally.add("freed_bytes", outcome.freed)
                else:
                    self._tally.add(str(outcome.result))
                self._tell(outcome)
                self._observer.progress(len(outcomes), total)  # a listener may end the run here, between two acts
        finally:
            self._forget(changed)
        return tuple(outcomes)

    def _tell(self, outcome: actions.Outcome) -> None:
        act = outcome.act
        self._observer.acted(act.file.path, action=str(act.action), result=str(outcome.result), detail=outcome.detail)

    def _one_by_one(self, plan: Plan, journal: Journal, lease: Lease) -> Iterator[actions.Outcome]:
        """Act while no other run can; what is left when that is no longer certain is refused."""
        acts = actions.execute(
            plan,
            journal,
            protected=self._protected.holds,
            decodable=self._last_look.decodes,
            trash=self._trash,
        )
        lost = ""
        for _, act in plan.acts():
            try:
                lease.check()
            except LeaseLost as error:
                lost = str(error)  # also if it comes back: others may have acted meanwhile
            yield actions.Outcome(act, actions.Result.REFUSED, lost) if lost else next(acts)

    def _forget(self, paths: Sequence[str]) -> None:
        """Remove the records of files that went; the report on these is not to be lost because the store fails."""
        try:
            self._store.remove(paths)
        except StoreError as error:
            self._observer.note(f"The files that went are still recorded; the next run removes them: {error}")

    def _prune(self, plan: Plan, outcomes: Sequence[actions.Outcome], journal: Journal) -> tuple[str, ...]:
        """Phase 6: remove the folders that this run emptied."""
        self._tally.phase(6)
        removed = tuple(actions.remove_folders(plan, outcomes, journal))
        self._tally.add("removed_folders", len(removed))
        return removed
