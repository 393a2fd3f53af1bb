"""The plan as a file: JSON that the dry run writes, a person may edit, and a later run executes."""

from __future__ import annotations

from typing import Any, Final

from py_image_dedup.plan import Companion, Plan, PlannedFile

VERSION: Final = 1


def as_data(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain data for JSON; odd bytes in paths are surrogate escapes."""
    return {
        "version": VERSION,
        "origin": plan.origin,
        "roots": list(plan.roots),
        "action": str(plan.action),
        "target": plan.target,
        "groups": [
            {
                "keeper": _file_data(group.keeper),
                "duplicates": [
                    {
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
                    for act in group.duplicates
                ],
            }
            for group in plan.groups
        ],
        "empty_folders": list(plan.empty_folders),
        "skipped": [{"path": skipped.path, "reason": skipped.reason} for skipped in plan.skipped],
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
