"""Moving and deleting the lesser copies: by a plan of the program, which looks again and keeps a journal."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from py_image_dedup import companions, decisions
from py_image_dedup.actions import Result, Trash
from py_image_dedup.config import Override, Settings, load_settings
from py_image_dedup.errors import UsageError
from py_image_dedup.events import Observer, Tally
from py_image_dedup.execution import Execution
from py_image_dedup.files import FolderSet
from py_image_dedup.kinds.interface import Kind
from py_image_dedup.library.collection import Collection
from py_image_dedup.library.parameters import Path, target_of
from py_image_dedup.library.records import NoRecords, last_look
from py_image_dedup.model import Group, Level, Member
from py_image_dedup.plan import Action, Plan, PlannedAct, make_plan


@dataclass(frozen=True, slots=True)
class Acted:
    """What became of the lesser copies, all by their paths as the search told them.

    ``done``: where each went, or that it was deleted; ``refused``: why others stayed; ``run``: the name by which
    ``py-image-dedup undo`` takes it back, empty if nothing was done.
    """

    done: Mapping[str, str]
    refused: Mapping[str, str]
    run: str


def going(groups: Sequence[Group]) -> Iterator[str]:
    """Yield the real paths of the lesser copies."""
    return (member.candidate.file.path for group in groups for member in group.members)


@dataclass(frozen=True, slots=True)
class Work:
    """A plan, and what it takes to carry it out.  ``names``: by real path the path as the search tells it."""

    plan: Plan
    settings: Settings
    names: Mapping[str, str]

    @classmethod
    def of(
        cls,
        collection: Collection,
        groups: Sequence[Group],
        names: Mapping[str, str],
        *,
        action: Action,
        target: Path | None,
        looked: bool,
    ) -> Work:
        """Say what an action would do.  The settings are those of the commands, for protected folders and the journal.

        Copies that were not looked at once more are only similar, unless their bytes are the same.
        """
        if action is Action.MOVE and target is None:
            raise UsageError("move needs a target: the folder to move to")
        settings = _settings(collection.roots, action, target)
        plan = make_plan(
            [_told(group, collection.kind, looked=looked) for group in groups],
            origin=settings.origin,
            roots=collection.roots,
            action=action,
            target=settings.deduplication.duplicates_target_directory if action is Action.MOVE else None,
            protected=FolderSet(settings.deduplication.protected_directories).holds,
            decisions=decisions.read(settings.state_directory),
            different_pictures=True,
        )
        plan = companions.attach(plan, pictures=settings.analysis.file_extensions)
        return cls(_flat(plan), settings, names)

    def carry_out(self) -> Acted:
        """Do what the plan says, as far as the disk still agrees."""
        observer = Observer()
        said = decisions.read(self.settings.state_directory)
        execution = Execution(
            self.settings,
            NoRecords(),
            last_look(),
            observer,
            tally=Tally(observer),
            trash=Trash.of(os.environ),
            decisions=said,
        )
        report = execution.execute(self.plan, kind="search")
        refused = {
            act.file.path: act.reason for group in self.plan.groups for act in group.duplicates if not act.action.acts
        }
        done: dict[str, str] = {}
        for outcome in report.outcomes:
            told = done if outcome.result is Result.DONE else refused
            told[outcome.act.file.path] = outcome.detail
        return Acted(self._named(done), self._named(refused), report.run)

    def _named(self, told: Mapping[str, str]) -> dict[str, str]:
        return {self.names[path]: text for path, text in told.items()}


def _settings(roots: Sequence[str], action: Action, target: Path | None) -> Settings:
    overrides = {
        "analysis.source_directories": Override("build()", list(roots)),
        "deduplication.action": Override("search", str(action)),
    }
    key = "deduplication.duplicates_target_directory"
    if target is None:
        return load_settings(overrides=overrides, leave_out=[key]).settings
    return load_settings(overrides={**overrides, key: Override("move_to()", target_of(target))}).settings


def _told(group: Group, kind: Kind, *, looked: bool) -> Group:
    """Bring distances to a scale from 0 to 1, and say how sure each match is."""

    def told(member: Member) -> Member:
        sure = looked or member.candidate.file.content == group.keeper.file.content
        level = Level.DUPLICATE if sure else Level.SIMILAR
        return replace(member, distance=kind.share(member.distance), level=level)

    return replace(group, members=tuple(map(told, group.members)))


def _flat(plan: Plan) -> Plan:
    """Let files keep their names only, below the target, as difPy does, and not their folders."""
    target = plan.target
    if target is None:
        return plan

    def place(path: str) -> str:
        return os.path.join(target, os.path.basename(path))

    def flat(act: PlannedAct) -> PlannedAct:
        if act.action is not Action.MOVE:
            return act
        along = tuple(replace(one, destination=place(one.path)) for one in act.companions)
        return replace(act, destination=place(act.file.path), companions=along)

    groups = tuple(replace(one, duplicates=tuple(map(flat, one.duplicates))) for one in plan.groups)
    return replace(plan, groups=groups)
