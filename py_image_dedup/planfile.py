"""The plan as a file: JSON that the dry run writes, a person may edit, and a later run executes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from py_image_dedup.companions import belongs
from py_image_dedup.errors import PlanError
from py_image_dedup.files import destination_below, is_below, printable
from py_image_dedup.located import Located
from py_image_dedup.model import Level, Skipped, Turn
from py_image_dedup.plan import Action, Companion, Plan, PlannedAct, PlannedFile, PlannedGroup

VERSION: Final = 1
"""Raised when a program that knows only the version before would misread a plan."""

_FILE = ("path", "size", "mtime_ns", "sha256", "format", "width", "height")
_ACT = (
    "id",
    *_FILE,
    "distance",
    "turn",
    "part",
    "level",
    "action",
    "destination",
    "rule",
    "reason",
    "companions",
    "gain",
)
_COMPANION = ("path", "size", "mtime_ns", "sha256", "destination")
_PLAN = ("version", "origin", "roots", "action", "target", "groups", "empty_folders", "skipped")
_ACTIONS: Final = {str(action): action for action in Action}
_WHOLE_RUN: Final = {name: action for name, action in _ACTIONS.items() if action is not Action.KEEP}
_LEVELS: Final = {str(level): level for level in Level}
_TURNS: Final = {turn.name.lower(): turn for turn in Turn}
_ID = re.compile(r"[0-9]+\.[0-9]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def as_data(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain data for JSON; odd bytes in paths are surrogate escapes."""
    return {
        "version": VERSION,
        "origin": plan.origin,
        "roots": list(plan.roots),
        "action": str(plan.action),
        "target": plan.target,
        "groups": [group_data(group) for group in plan.groups],
        "empty_folders": list(plan.empty_folders),
        "skipped": [{"path": skipped.path, "reason": skipped.reason} for skipped in plan.skipped],
    }


def group_data(group: PlannedGroup) -> dict[str, Any]:
    """Return one group of a plan as plain data."""
    return {"keeper": _file_data(group.keeper), "duplicates": [_act_data(act) for act in group.duplicates]}


def _act_data(act: PlannedAct) -> dict[str, Any]:
    return {
        "id": act.id,
        **_file_data(act.file),
        "distance": act.distance,
        "turn": act.turn.name.lower(),
        "part": act.part,
        "level": str(act.level),
        "action": str(act.action),
        "destination": act.destination,
        "rule": act.rule,
        "reason": act.reason,
        "companions": [_companion_data(companion) for companion in act.companions],
        "gain": list(act.gain),
    }


def _file_data(file: PlannedFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "size": file.size,
        "mtime_ns": file.mtime_ns,
        "sha256": file.content,
        "format": file.format,
        "width": file.width,
        "height": file.height,
    }


def _companion_data(companion: Companion) -> dict[str, Any]:
    return {
        "path": companion.path,
        "size": companion.size,
        "mtime_ns": companion.mtime_ns,
        "sha256": companion.content,
        "destination": companion.destination,
    }


def read(path: str) -> Plan:
    """Read a plan that a person may have edited.

    Raises :class:`PlanError`, with file and place, for whatever has not the right shape, is of a newer version, or
    contradicts itself: paths and destinations outside the plan's folders, a file that goes twice or goes and stays.
    """
    whole = Located.load(path)
    version = whole.get("version")
    if version.whole(1) > VERSION:
        version.wrong(f"the plan is of a newer program, this one reads version {VERSION}; update py-image-dedup")
    plan = _plan(whole.of(_PLAN, ("counts",)))
    for place, why in contradictions(plan):
        raise PlanError(f"{printable(path)}: {place}: {why}")
    return plan


def _plan(at: Mapping[str, Located]) -> Plan:
    target = None if at["target"].is_null else at["target"].path()
    return Plan(
        origin=at["origin"].text(),
        roots=tuple(root.path() for root in at["roots"].items()),
        action=at["action"].choice(_WHOLE_RUN),
        target=target,
        groups=tuple(_group(group.of(("keeper", "duplicates")), target) for group in at["groups"].taken()),
        empty_folders=tuple(folder.path() for folder in at["empty_folders"].items()),
        skipped=tuple(
            Skipped(one["path"].path(), one["reason"].text())
            for one in (item.of(("path", "reason")) for item in at["skipped"].items())
        ),
    )


def _group(at: Mapping[str, Located], target: str | None) -> PlannedGroup:
    return PlannedGroup(
        _file(at["keeper"].of(_FILE)),
        tuple(_act(act.of(_ACT, ("result", "detail")), target) for act in at["duplicates"].items()),
    )


def _act(at: Mapping[str, Located], target: str | None) -> PlannedAct:
    action = at["action"].choice(_ACTIONS)
    file = _file(at)
    if not _ID.fullmatch(at["id"].text()):
        at["id"].wrong('an id is two numbers with a dot, as "12.1"')
    return PlannedAct(
        id=at["id"].text(),
        file=file,
        distance=at["distance"].fraction(),
        level=at["level"].choice(_LEVELS),
        action=action,
        destination=_destination(at["destination"], file.path, action, target),
        rule=sys.intern(at["rule"].text()),  # said of thousands of files in the same words
        reason=sys.intern(at["reason"].text()),
        turn=at["turn"].choice(_TURNS),
        part=at["part"].flag(),
        companions=tuple(_companion(one.of(_COMPANION), action, target) for one in at["companions"].items()),
        gain=tuple(kind.text() for kind in at["gain"].items()),
    )


def _file(at: Mapping[str, Located]) -> PlannedFile:
    return PlannedFile(
        path=at["path"].path(),
        size=at["size"].whole(),
        mtime_ns=at["mtime_ns"].whole(-(2**63)),
        content=_sha256(at["sha256"]),
        format=sys.intern(at["format"].text()),
        width=at["width"].whole(),
        height=at["height"].whole(),
    )


def _companion(at: Mapping[str, Located], action: Action, target: str | None) -> Companion:
    path = at["path"].path()
    return Companion(
        path=path,
        size=at["size"].whole(),
        mtime_ns=at["mtime_ns"].whole(-(2**63)),
        content=_sha256(at["sha256"]),
        destination=_destination(at["destination"], path, action, target),
    )


def _sha256(at: Located) -> str:
    if not _SHA256.fullmatch(at.text()):
        at.wrong("a SHA-256 is 64 digits of 0-9 and a-f")
    return at.text()


def _destination(at: Located, path: str, action: Action, target: str | None) -> str | None:
    """Return where a file goes: as written, or, where a person only changed the action, its place below the target."""
    given = None if at.is_null else at.path()
    if action is not Action.MOVE:
        return None
    if target is None:
        at.wrong("the file is to be moved, but the plan has no target")
    if given is None:
        return destination_below(target, path)
    if given == target or not is_below(given, [target]):
        at.wrong(f"{printable(given)} is not below the plan's target, {printable(target)}")
    return given


# What values mean together

Contradiction = tuple[str, str]
"""A place, and what is wrong there."""


def contradictions(plan: Plan) -> Iterator[Contradiction]:
    """Yield what a plan must not say: with none of these no chain of acts can take the last copy."""
    yield from _wrong_folders(plan)
    for place, file in _files(plan):
        if not is_below(file, plan.roots):
            yield f"{place}.path", f"{printable(file)} is not below the plan's roots"
    ids: dict[str, str] = {}
    for place, group, act in _acts(plan):
        if act.id in ids:
            yield f"{place}.id", f"{act.id} is the id of {ids[act.id]} too"
        ids[act.id] = place
        if act.file.path == group.keeper.path:
            yield f"{place}.path", "it is the keeper of its own group"
        for number, companion in enumerate(act.companions):
            if not _share_a_name(companion.path, act.file.path):
                why = f"{printable(companion.path)} does not belong to {printable(act.file.path)}: take it out"
                yield f"{place}.companions[{number}].path", why
    yield from _wrong_acts(plan)


def _wrong_folders(plan: Plan) -> Iterator[Contradiction]:
    if not plan.origin:
        yield "origin", "it is empty"
    if not plan.roots:
        yield "roots", "it is empty, but a plan is made for folders"
    if plan.target is None and plan.action is Action.MOVE:
        yield "target", "it is null, but the plan is to move files"
    if plan.target is not None and any(is_below(root, [plan.target]) for root in plan.roots):
        yield "target", "it is one of the roots, or holds one"
    for number, folder in enumerate(plan.empty_folders):
        if folder in plan.roots or not is_below(folder, plan.roots):
            yield f"empty_folders[{number}]", f"{printable(folder)} is not inside one of the plan's roots"


def _wrong_acts(plan: Plan) -> Iterator[Contradiction]:
    """Tell of what goes twice, or is a keeper."""
    keepers = {group.keeper.path: f"groups[{number}]" for number, group in enumerate(plan.groups)}
    goes: dict[str, str] = {}
    for place, _, act in _acts(plan):
        if act.action.acts:
            for path in (act.file.path, *(companion.path for companion in act.companions)):
                if path in keepers:
                    yield f"{place}.action", f"{printable(path)} is to go, but it is the keeper of {keepers[path]}"
                if path in goes:
                    yield f"{place}.action", f"{printable(path)} is to go, and goes already by {goes[path]}"
                goes[path] = place


def _share_a_name(companion: str, picture: str) -> bool:
    """Tell whether a file may belong to a picture; after keeper and duplicate were exchanged it may not any more."""
    (folder, name), (beside, other) = os.path.split(companion), os.path.split(picture)
    return folder == beside and belongs(name, other)


def _acts(plan: Plan) -> Iterator[tuple[str, PlannedGroup, PlannedAct]]:
    for number, group in enumerate(plan.groups):
        for position, act in enumerate(group.duplicates):
            yield f"groups[{number}].duplicates[{position}]", group, act


def _files(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the place and path of all files."""
    for number, group in enumerate(plan.groups):
        yield f"groups[{number}].keeper", group.keeper.path
    for place, _, act in _acts(plan):
        yield place, act.file.path
        for position, companion in enumerate(act.companions):
            yield f"{place}.companions[{position}]", companion.path
