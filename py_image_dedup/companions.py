"""Files that belong to a picture by their name (sidecars, raw files, clips) and go where it goes, or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from py_image_dedup import files
from py_image_dedup.config.names import RAW_EXTENSIONS
from py_image_dedup.files import destination_below
from py_image_dedup.plan import Action, Companion, Plan, PlannedAct, PlannedGroup

SIDECARS: Final = frozenset({".xmp", ".aae", ".json", ".pp3", ".dop", ".thm", ".on1", ".exif", ".acr"})
"""What programs and phones write beside a picture: edits, ratings, places; Takeout's JSON."""
RAW: Final = frozenset(RAW_EXTENSIONS)
CLIPS: Final = frozenset({".mov", ".mp4", ".mp", ".wav"})
"""The moving half of a Live Photo or a motion photo, and what was spoken to a picture."""
_WITH_FILM: Final = re.compile(r"mvimg_.+|.+\.mp")
"""The stem of a motion photo, whose film may be called just that: ``PXL_1.MP`` of ``PXL_1.MP.jpg``."""
_BEFORE_EDIT: Final = re.compile(r"img_o(\d+)\.aae")
"""What an iPhone calls the first of two edits: ``IMG_O1.AAE`` of ``IMG_1.HEIC``."""
_TAKEOUT: Final = ".supplemental-metadata"
"""What Takeout puts before ".json", cut to any length that fits, also to none."""
_MOST_OF_TAKEOUT: Final = 46
"""Characters before ".json" at which Takeout cuts a name."""
_NUMBERED: Final = re.compile(r"(?P<stem>.+)(?P<number>\(\d+\))")
"""How Takeout calls the second file of a name: ``b(1)``."""
_NUMBERED_SIDECAR: Final = re.compile(r"(?P<stem>[^.]+)\..+(?P<number>\(\d+\))\.json")
"""And its sidecar, with the number behind the whole name: ``b.jpg(1).json``."""

Neighbours = Callable[[str], Iterable[str]]
"""From the path of a picture to the names in its folder, all or those that may belong to it."""


def belongs(name: str, picture: str) -> bool:
    """Tell whether a file of this name belongs to the picture of that name in the same folder.

    ``b.xmp``, ``b.cr2`` and ``b.mov`` belong to ``b.jpg`` by its stem; ``b.jpg.xmp`` by its whole name.  What belongs
    to a raw file or clip of the picture, such as ``b.cr2.xmp``, belongs to the picture too.  Case does not count.
    """
    name, picture = name.lower(), picture.lower()
    stem, extension = os.path.splitext(picture)
    if name == _cut(picture) or (name == stem and _WITH_FILM.fullmatch(stem)):
        return True
    if edit := _BEFORE_EDIT.fullmatch(name):
        return stem in {name.removesuffix(".aae"), f"img_{edit[1]}"}
    if (numbered := _NUMBERED.fullmatch(stem)) and name.startswith(numbered["stem"] + extension):
        owner, _, last = name[len(numbered["stem"] + extension) :].rpartition(".")
        rest = owner.removesuffix(numbered["number"])
        return last == "json" and rest != owner and _TAKEOUT.startswith(rest)
    if name == picture or not name.startswith(stem):
        return False
    rest = name[len(stem) :]
    if rest in SIDECARS or ((rest in RAW or rest in CLIPS) and extension not in RAW):
        return True
    owner, _, last = rest.rpartition(".")
    return (f".{last}" in SIDECARS and (owner == extension or owner in RAW or owner in CLIPS)) or (
        rest.startswith(extension + ".") and last == "json" and _TAKEOUT.startswith(owner.removeprefix(extension))
    )


def _cut(picture: str) -> str:
    """Return the name of Takeout's sidecar of a picture whose own name is too long for it."""
    whole = picture + _TAKEOUT
    return whole[:_MOST_OF_TAKEOUT] + ".json" if len(picture) > _MOST_OF_TAKEOUT else ""


def by_stem(name: str, picture: str) -> bool:
    """Tell whether it belongs to every picture of this stem, and not to the one of this whole name alone."""
    return not name.lower().startswith(picture.lower() + ".")


def attach(plan: Plan, *, pictures: Collection[str], anew: bool = True) -> Plan:
    """Add to every act what belongs to its file, or, if not `anew`, to the acts that have nothing yet.

    An act that its companions forbid becomes ``keep``, with the reason.

    `pictures`: the extensions of pictures.  What belongs to another picture of the stem that stays, stays.
    Each folder is listed once, and only companions of files that act are read.
    """
    work = _Attaching(plan, pictures)
    return replace(
        plan,
        groups=tuple(
            replace(
                group,
                duplicates=tuple(
                    work.attached(group, act) if anew or not act.companions else act for act in group.duplicates
                ),
            )
            for group in plan.groups
        ),
    )


def forbidden(act: PlannedAct, keeper: str, neighbours: Neighbours) -> str | None:
    """Return why an act must not take the companions with it; None where nothing speaks against it.

    What is deleted must be beside the keeper byte for byte.  So must a raw file that goes to the trash, since only
    the JPEG made from it was compared.
    """
    if act.action not in {Action.DELETE, Action.TRASH}:
        return None
    critical = [one for one in act.companions if act.action is Action.DELETE or _extension(one.path) in RAW]
    if not critical:
        return None
    beside = set(_hashes(keeper, neighbours, {one.size for one in critical}))
    for one in critical:
        if one.content not in beside:
            return f"{files.printable(os.path.basename(one.path))} belongs to it and is not beside the keeper"
    return None


def names_beside(picture: str) -> Iterable[str]:
    """List the folder of a picture; one that can't be listed holds nothing."""
    try:
        return os.listdir(os.path.dirname(picture))
    except OSError:
        return ()


class _Attaching:
    """What is known while companions are attached to one plan."""

    def __init__(self, plan: Plan, pictures: Collection[str]) -> None:
        self._target = plan.target
        self._pictures = pictures
        self._listed: dict[str, dict[str, list[str]]] = {}
        self._keepers = {group.keeper.path for group in plan.groups}
        self._last = {act.file.path: number for number, (_, act) in enumerate(plan.acts()) if act.action.removes}
        members = {act.file.path for group in plan.groups for act in group.duplicates}
        self._in_plan = self._keepers | members

    def attached(self, group: PlannedGroup, act: PlannedAct) -> PlannedAct:
        if not act.action.removes:
            return act
        try:
            found = tuple(self._companion(path, act) for path in self._belonging(act.file.path))
        except OSError as error:
            return _kept(act, f"a file that belongs to it can't be read: {error.strerror}")
        act = replace(act, companions=found)
        reason = forbidden(act, group.keeper.path, self._neighbours)
        return _kept(act, reason) if reason else act

    def _belonging(self, path: str) -> Iterator[str]:
        folder, picture = os.path.split(path)
        same_stem = self._neighbours(path)
        others = [name for name in same_stem if name != picture and _extension(name) in self._pictures]
        for name in same_stem:
            one = os.path.join(folder, name)
            if belongs(name, picture) and one not in self._in_plan and files.look(one) is not None:
                sharing = [other for other in others if other != name and belongs(name, other)]
                if not by_stem(name, picture) or self._goes_last(path, folder, sharing):
                    yield one

    def _goes_last(self, path: str, folder: str, others: Iterable[str]) -> bool:
        """Tell whether all pictures that share a companion go, this one last."""
        mine = self._last[path]
        return all(self._last.get(os.path.join(folder, other), mine + 1) < mine for other in others)

    def _companion(self, path: str, act: PlannedAct) -> Companion:
        seen = files.look(path)
        if seen is None:
            raise FileNotFoundError(path)
        move = act.action is Action.MOVE and self._target is not None
        destination = destination_below(self._target, path) if move and self._target else None
        return Companion(path, seen.size, seen.mtime_ns, files.sha256(path), destination)

    def _neighbours(self, picture: str) -> Sequence[str]:
        """Return the names that share what comes before the first dot, as companions do; lists a folder once."""
        folder, name = os.path.split(picture)
        if folder not in self._listed:
            listed: dict[str, list[str]] = {}
            for one in sorted(names_beside(picture)):
                listed.setdefault(_stem(one), []).append(one)
            self._listed[folder] = listed
        return self._listed[folder].get(_stem(name), ())


def _kept(act: PlannedAct, why: str) -> PlannedAct:
    return replace(act, action=Action.KEEP, destination=None, companions=(), reason=f"{why}; else: {act.reason}")


def _hashes(picture: str, neighbours: Neighbours, sizes: Collection[int]) -> Iterator[str]:
    """Yield the hashes of what belongs to a picture and has one of these sizes."""
    folder, name = os.path.split(picture)
    for one in neighbours(picture):
        path = os.path.join(folder, one)
        if belongs(one, name) and (seen := files.look(path)) and seen.size in sizes:
            try:
                yield files.sha256(path)
            except OSError:
                continue


def _stem(name: str) -> str:
    name = name.lower().lstrip(".")
    numbered = _NUMBERED_SIDECAR.fullmatch(name)
    if edit := _BEFORE_EDIT.fullmatch(name):
        return f"img_{edit[1]}"
    return (numbered["stem"] + numbered["number"] if numbered else name.partition(".")[0])[:_MOST_OF_TAKEOUT]


def _extension(path: str) -> str:
    return os.path.splitext(path)[1].lower()
