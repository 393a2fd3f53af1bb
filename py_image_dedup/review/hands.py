"""What the page does beside changing the plan file, by the same ways as the commands: rehearse, apply, take back."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

from rich.console import Console

from py_image_dedup import actions, decisions, explanation, history, journal, report
from py_image_dedup.analysis import Analyser
from py_image_dedup.config import Settings
from py_image_dedup.errors import UsageError
from py_image_dedup.events import Observer
from py_image_dedup.execution import Execution
from py_image_dedup.files import printable, sha256
from py_image_dedup.looks import LastLook
from py_image_dedup.model import Decisions, Level
from py_image_dedup.plan import Plan, PlannedFile
from py_image_dedup.review.choices import Compared
from py_image_dedup.stores.interface import Store

_COLUMNS = 80


class Tools(NamedTuple):
    """What the work is done with, opened for a piece of work."""

    execution: Execution
    store: Store
    analyser: Analyser
    last_look: LastLook
    decisions: Decisions


OpenTools = Callable[[Observer], AbstractContextManager[Tools]]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What applying a plan would do: the plan, how many acts a person has to confirm, and whether there are any."""

    plan: Plan
    acts: int
    similar: int
    deleted: int


@dataclass(frozen=True, slots=True)
class Hands:
    """Does what was asked for, over parts that are opened each time."""

    settings: Settings
    open_tools: OpenTools

    def rehearse(self, plan: Plan, observer: Observer) -> tuple[Rehearsal, str]:
        """Return what applying would do, and the text of ``apply --dry-run``."""
        with self.open_tools(observer) as tools:
            adopted = tools.execution.adopt(plan)
            refused = tuple(tools.execution.objections(adopted))
        left = adopted.without(outcome.act.id for outcome in refused)
        text = _printed(lambda console: report.print_rehearsal(adopted, refused, console))
        return Rehearsal(plan, sum(1 for _ in left.acts()), left.risky, left.deleted), text

    def apply(self, plan: Plan, observer: Observer) -> tuple[str, str]:
        """Carry a plan out; return the name of the run, "" if nothing was done, and what came of it in words."""
        with self.open_tools(observer) as tools:
            done = tools.execution.execute(tools.execution.adopt(plan), kind="apply")
        return done.run, _printed(lambda to: report.print_outcomes(done.outcomes, to, removed=done.removed_folders))

    def undo(self, name: str, observer: Observer) -> str:
        """Take a run back; return what came of it in words."""
        state = self.settings.state_directory
        with journal.acting(state):
            for left in actions.settle(state):
                observer.note(f"{printable(left.act.path)}: {printable(left.detail)}")
            undone = actions.undo_whole(self.run(name), state)
        return _printed(lambda console: history.print_undone(undone, console))

    def runs(self) -> list[journal.Run]:
        """Return all past runs, the last one first."""
        return journal.runs(self.settings.state_directory)[::-1]

    def run(self, name: str) -> journal.Run:
        """Return the run of this name; :class:`UsageError` if there is none."""
        found = next((run for run in self.runs() if run.id == name), None)
        if found is None:
            raise UsageError(f'no run is named "{name}"')
        return found

    def compare(self, keeper: PlannedFile, file: PlannedFile) -> Compared:
        """Compare two files as a run over both would; what can't be compared is only similar."""
        with self.open_tools(Observer()) as tools:
            one, other = (
                explanation.read(name, one.path, store=tools.store, analyser=tools.analyser, settings=self.settings)
                for name, one in (("A", keeper), ("B", file))
            )
            for subject, planned in ((one, keeper), (other, file)):
                if subject.hash != planned.content:
                    raise UsageError(f"{printable(planned.path)} has changed since the plan was made")
            told = explanation.Explanation(one, other, self.settings, tools.decisions, tools.last_look)
            group = told.group()
            tools.last_look.save()
        if group is None:
            return Compared(told.distance, Level.SIMILAR)
        (member,) = group.members
        turn = member.turn if group.keeper is one.candidate else member.turn.inverse
        return Compared(member.distance, member.level, turn, member.part)

    # What a person says for good

    def said(self) -> Decisions:
        """Return what holds now."""
        return decisions.read(self.settings.state_directory)

    def tell_apart(self, *files: PlannedFile) -> None:
        """Remember that these are different pictures; :class:`UsageError` if they are not what the plan recorded."""
        for file in files:
            try:
                changed = sha256(file.path) != file.content
            except OSError as error:
                raise UsageError(f"{printable(file.path)} can't be read: {error.strerror}") from None
            if changed:
                raise UsageError(f"{printable(file.path)} has changed since the plan was made; make a new plan")
        decisions.tell_apart(self.settings.state_directory, [file.path for file in files])

    def forget_apart(self, *files: PlannedFile) -> None:
        """Take that back."""
        decisions.forget_apart(self.settings.state_directory, [file.path for file in files])


def _printed(tell: Callable[[Console], None]) -> str:
    """Return what is printed, as a terminal of 80 columns without colours shows it."""
    out = io.StringIO()
    tell(Console(file=out, width=_COLUMNS, highlight=False, markup=False, emoji=False, color_system=None))
    return out.getvalue()
