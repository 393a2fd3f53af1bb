"""What a search returns: matches as difPy tells them, and groups of copies with keepers, distances and reasons."""

from __future__ import annotations

import html
import importlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, overload

from py_image_dedup.files import printable
from py_image_dedup.gallery import thumbnail
from py_image_dedup.library import acting, parameters
from py_image_dedup.library.acting import Acted
from py_image_dedup.library.collection import Collection, Stats
from py_image_dedup.library.listing import Listed
from py_image_dedup.library.parameters import Path
from py_image_dedup.model import Candidate, Group
from py_image_dedup.plan import Action, Plan
from py_image_dedup.report import loss
from py_image_dedup.words import counted, megabytes

_SHOWN = 50  # groups in a notebook
_THUMBNAIL = 160  # pixels


@dataclass(frozen=True, slots=True)
class Picture:
    """A file with a picture: where it is, how large (bytes and pixels), and the SHA-256 of its bytes."""

    path: str
    size: int
    width: int
    height: int
    format: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Copy(Picture):
    """A picture that could go, seen from the one that stays.

    `distance` is to that one, by the collection's kind; `turn`: what has to be done to it to look like that one, as
    "half" or "upright"; `reason`: why the other is better.
    """

    distance: float
    turn: str
    reason: str


@dataclass(frozen=True, slots=True)
class Copies:
    """A group: the best picture, and those that match it."""

    keeper: Picture
    copies: tuple[Copy, ...]

    def __len__(self) -> int:
        """Count all pictures, the keeper included."""
        return 1 + len(self.copies)

    def __iter__(self) -> Iterator[Picture]:
        """Yield all pictures, the keeper first."""
        yield self.keeper
        yield from self.copies

    def _repr_html_(self) -> str:
        """Show thumbnails in a notebook."""
        return f'<div style="display:flex;flex-wrap:wrap;gap:8px">{"".join(map(_figure, self))}</div>'


def _warn(done: Acted, what: str) -> None:
    """Warn whoever called :meth:`Search.move_to` or :meth:`Search.delete`."""
    for path, reason in done.refused.items():
        warnings.warn(f"Could not {what} file: {printable(path)}: {reason}", stacklevel=3)


def _figure(picture: Picture) -> str:
    about = [picture.path, f"{picture.width}x{picture.height}, {megabytes(picture.size)}"]
    if isinstance(picture, Copy):
        about.append(f"{picture.distance:.3g} apart; {picture.reason}")
    lines = "<br>".join(html.escape(printable(line)) for line in about)
    return (
        f'<figure style="margin:0;max-width:{_THUMBNAIL}px">{thumbnail(picture.path, side=_THUMBNAIL)}{lines}</figure>'
    )


class Search(Sequence[Copies]):
    """All groups, and the same in the shape of difPy.

    ``result``: by path ``[[path, distance], ...]`` of the pictures that it was first to match, by folder around that
    if folders are not compared with each other.  ``lower_quality``: the paths of all copies that could go; for each
    one a better picture that it matches stays.  ``stats``: figures.
    """

    def __init__(
        self,
        collection: Collection,
        groups: Sequence[Group],
        result: Listed,
        stats: Stats,
        *,
        looked: bool,
    ) -> None:
        """Take `groups` by real paths; `looked`: whether each pair was decoded and compared once more."""
        self._collection = collection
        self._groups = groups
        self._looked = looked
        self._names = {
            picture.file.path: name for picture, name in zip(collection.pictures, collection.names, strict=True)
        }
        self.result = result
        self.stats = stats
        self.lower_quality = [self._names[path] for path in acting.going(groups)]

    @property
    def invalid_files(self) -> Mapping[str, str]:
        """By path why a file was not compared."""
        return self._collection.invalid_files

    def __len__(self) -> int:
        """Count the groups."""
        return len(self._groups)

    @overload
    def __getitem__(self, number: int) -> Copies: ...
    @overload
    def __getitem__(self, number: slice) -> list[Copies]: ...
    def __getitem__(self, number: int | slice) -> Copies | list[Copies]:
        """Return one group, or some."""
        if isinstance(number, slice):
            return [self._copies(one) for one in self._groups[number]]
        return self._copies(self._groups[number])

    def __iter__(self) -> Iterator[Copies]:
        """Yield the groups, one made after the other."""
        return (self._copies(one) for one in self._groups)

    def plan(self, action: str = "report", target: Path | None = None) -> Plan:
        """Return what moving (``move``, to a `target`), deleting or another action would do; nothing is touched.

        :func:`py_image_dedup.report.write_json` saves it for the commands ``show``, ``report`` and ``apply``.
        """
        return self._work(parameters.action_of(action), target).plan

    def act(self, action: str, target: Path | None = None) -> Acted:
        """Do what the plan of an action says, as far as the disk still agrees.

        Each file and its keeper are looked at again right before; what changed since stays.  There is a journal, and
        the command ``undo`` takes all back but deleting.
        """
        return self._work(parameters.action_of(action), target).carry_out()

    def move_to(self, destination_path: Path) -> Acted:
        """Move the lesser copies into one folder, which is made if needed; a name that is taken gets a counter.

        What stays, and why, comes as a warning.  ``lower_quality`` tells afterwards where the files are.
        """
        done = self.act(Action.MOVE, destination_path)
        _warn(done, "move")
        self.lower_quality = [done.done.get(path, path) for path in self.lower_quality]
        return done

    def delete(self, silent_del: bool = False) -> Acted | None:  # noqa: FBT001, FBT002 - difPy's signature
        """Delete the lesser copies, after asking unless `silent_del`; None if the answer was no.

        What stays, and why, comes as a warning.
        """
        if self.lower_quality and not silent_del:
            answer = input(f"{loss(len(self.lower_quality))}. Go on? (y/n) ")
            if answer.strip().lower() != "y":
                return None
        done = self.act(Action.DELETE)
        _warn(done, "delete")
        return done

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame with a row for each picture: group, keeper or copy, distance, reason, facts.

        Raises ImportError where pandas is not installed.
        """
        rows = [
            {"group": number, "keeper": one is copies.keeper, **asdict(one)}
            for number, copies in enumerate(self)
            for one in copies
        ]
        columns = ["group", "keeper", *(one.name for one in fields(Copy))]
        return importlib.import_module("pandas").DataFrame(rows, columns=columns)

    def _repr_html_(self) -> str:
        """Show the first groups in a notebook."""
        more = len(self) - _SHOWN
        rest = f"<p>... and {counted(more, 'more group')}</p>" if more > 0 else ""
        return "".join(one._repr_html_() for one in self[:_SHOWN]) + rest

    def _work(self, action: Action, target: Path | None) -> acting.Work:
        return acting.Work.of(
            self._collection, self._groups, self._names, action=action, target=target, looked=self._looked
        )

    def _copies(self, group: Group) -> Copies:
        return Copies(
            Picture(**self._facts(group.keeper)),
            tuple(
                Copy(
                    **self._facts(member.candidate),
                    distance=member.distance,
                    turn=member.turn.name.lower(),
                    reason=member.reason,
                )
                for member in group.members
            ),
        )

    def _facts(self, picture: Candidate) -> dict[str, Any]:
        file, facts = picture.file, picture.facts
        return {
            "path": self._names[file.path],
            "size": file.size,
            "width": facts.width,
            "height": facts.height,
            "format": facts.format,
            "sha256": file.content,
        }
