"""Reading journals: what each run did, what was cut off, and what has been undone since."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from py_image_dedup.errors import StateDirectoryError
from py_image_dedup.files import HIDDEN
from py_image_dedup.journal.step import Step
from py_image_dedup.journal.write import folder_of_runs

UNDO: Final = "undo"
"""The kind of a run that takes another one back."""
_TAIL: Final = 4096  # bytes that surely hold the last line of a run that ended


class State(StrEnum):
    """How far an act came, as its journal tells."""

    OPEN = "interrupted"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(slots=True)
class RecordedAct:
    """One act of a run.

    ``made``: folders that were made for it.  ``before`` and ``after``: modification times of the folders it changed.
    ``detail`` is where it went, or why not.
    """

    id: str
    action: str
    path: str
    steps: tuple[Step, ...] = ()
    keeper: str = ""
    made: tuple[str, ...] = ()
    before: Mapping[str, int] = field(default_factory=dict)
    after: Mapping[str, int] = field(default_factory=dict)
    state: State = State.OPEN
    detail: str = ""

    @property
    def size(self) -> int:
        """Bytes of the picture and of what belongs to it."""
        return sum(step.size for step in self.steps)


@dataclass(slots=True)
class Run:
    """A journal, read; ``undoes`` names the run that this one takes back, if it does."""

    path: str
    id: str
    kind: str = "deduplicate"
    started: str = ""
    origin: str = ""
    undoes: str = ""
    ended: bool = False
    acts: dict[str, RecordedAct] = field(default_factory=dict)
    undone: set[str] = field(default_factory=set)
    """Ids of acts that later runs took back."""
    half_undone: dict[str, Mapping[str, int]] = field(default_factory=dict)
    """Ids of acts at which an undo was cut off, with the times it meant to give back to folders."""

    def in_state(self, state: State) -> list[RecordedAct]:
        """Return the acts on pictures in this state (folders left out), in order."""
        return [act for act in self.acts.values() if act.state is state and act.action != "prune"]

    def to_undo(self) -> list[RecordedAct]:
        """Return what was done and can still be taken back, folders too, in order."""
        return [
            act
            for act in self.acts.values()
            if self.kind != UNDO and act.state is State.DONE and act.action != "delete" and act.id not in self.undone
        ]


def runs(state_directory: str) -> list[Run]:
    """Return all runs, oldest first, with what later ones undid of earlier ones."""
    found = {run.id: run for run in map(read, _journals(state_directory))}
    for run in found.values():
        if run.kind == UNDO and (undoes := found.get(run.undoes)):
            for act in run.acts.values():
                if act.state is State.DONE:
                    undoes.undone.add(act.id)
                elif act.state is State.OPEN:
                    undoes.half_undone[act.id] = act.before
    return list(found.values())


def last_to_undo(known: list[Run]) -> Run | None:
    """Return the last run of which something can still be taken back."""
    return next((run for run in reversed(known) if run.to_undo()), None)


def unsettled(state_directory: str) -> Iterator[Run]:
    """Yield the runs, newest first, that were cut off; undoing ones look at the disk by themselves."""
    for path in reversed(_journals(state_directory)):
        if not _ended(path) and (run := read(path)).kind != UNDO and not run.ended:
            yield run


def read(path: str) -> Run:
    """Read a journal of any version; lines that a power cut tore, or a disk lost, are left out.

    After a torn line no act followed.  An act of which the first line is lost has no steps.
    """
    run = Run(path, os.path.basename(path).removesuffix(".jsonl"))
    with _readable(path), open(path, "rb") as file:
        for number, text in enumerate(file):
            with suppress(AttributeError, KeyError, TypeError, ValueError):
                line = json.loads(text)
                run.started = run.started or str(line.get("time", ""))
                _take(run, number, line)
    return run


def _take(run: Run, number: int, line: Mapping[str, Any]) -> None:
    match line.get("event"):
        case "run":
            run.kind, run.origin = line.get("kind", run.kind), line.get("origin", "")
            run.undoes = line.get("undoes", "")
        case "intent":
            run.acts[line["id"]] = _act(line)
        case "prune":  # version 1: one line before the folder went
            step = Step(action="prune", path=line["path"], mode=line["mode"], mtime_ns=line["mtime_ns"])
            name = f"prune.{number}"
            run.acts[name] = RecordedAct(name, "prune", step.path, (step,), state=State.DONE)
        case "done" | "failed" | "refused" as event:
            act = run.acts.setdefault(line["id"], RecordedAct(line["id"], "", line["path"]))
            act.state = State(event)
            act.detail = line.get("detail") or line.get("reason") or ""
            act.after = line.get("folders", {})
            if event == "done" and act.action == "move" and len(act.steps) == 1 and act.steps[0].place != act.detail:
                act.steps = (_moved_to(act.steps[0], act.detail),)
        case "end":
            run.ended = True
        case _:
            pass  # a later version may tell more


def _act(line: Mapping[str, Any]) -> RecordedAct:
    steps = tuple(map(Step.from_data, line["steps"])) if "steps" in line else (_step_of_version_1(line),)
    return RecordedAct(
        line["id"],
        line["action"],
        line["path"],
        steps,
        line.get("keeper", ""),
        tuple(line.get("made", ())),
        line.get("folders", {}),
    )


def _step_of_version_1(line: Mapping[str, Any]) -> Step:
    return Step.from_data({**line, "place": line.get("destination"), "keeper": None, "hidden": f"{HIDDEN}{line['id']}"})


def _moved_to(step: Step, place: str) -> Step:
    """Return a step of version 1 with the name that it really got, which only its last line tells."""
    return Step.from_data({**step.as_data(), "place": place})


def _journals(state_directory: str) -> list[str]:
    folder = folder_of_runs(state_directory)
    try:
        with _readable(folder):
            names = os.listdir(folder)
    except FileNotFoundError:
        return []
    paths = [os.path.join(folder, name) for name in sorted(names) if name.endswith(".jsonl")]
    return [path for path in paths if os.path.exists(path)]  # and no link that leads nowhere


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Raise :class:`StateDirectoryError` where something of the journals is there and can't be read."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StateDirectoryError(f"{path} can't be read ({error.strerror}); see the key state_directory") from None


def _ended(path: str) -> bool:
    with _readable(path), open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _TAIL))
        lines = file.read().splitlines()
    return bool(lines) and lines[-1].startswith(b'{"event": "end"')
