"""The plan file, written again after each choice.

A plan of a hundred thousand files is 60 MB of JSON; to encode it anew takes seconds.  So where each group stands in
the file is remembered, and what did not change is copied as it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import replace
from io import BufferedRandom
from typing import BinaryIO, NamedTuple

from py_image_dedup.errors import PlanError
from py_image_dedup.files import look, open_regular, printable, replacing
from py_image_dedup.plan import Plan, PlannedGroup
from py_image_dedup.planfile import as_data, group_data


class Stretch(NamedTuple):
    """Where something stands in a file: its first byte, and how many."""

    start: int
    length: int


class SavedPlan:
    """A plan file that this process alone is to change: if another did, nothing is written over that."""

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)
        self._seen = look(self.path)
        self._stretches: list[Stretch] = []

    @property
    def is_ours(self) -> bool:
        """Tell whether the file is the one that was read or written last."""
        return look(self.path) == self._seen

    def write(self, plan: Plan, changed: Collection[int]) -> None:
        """Write the plan, of which these groups changed (counted from 0), whole or not at all.

        Raises :class:`PlanError` if another program changed the file, or it can't be written.
        """
        if not self.is_ours:
            raise PlanError(f"{printable(self.path)} was changed by another program; start the review again")
        try:
            self._stretches = self._write(plan, frozenset(changed))
        except OSError as error:
            raise PlanError(f"{printable(self.path)} can't be written: {error.strerror}") from None
        self._seen = look(self.path)

    def _write(self, plan: Plan, changed: frozenset[int]) -> list[Stretch]:
        stretches = []
        rest = _without_groups(plan)
        with open_regular(self.path) as before, replacing(self.path) as file:
            file.write(rest.encode()[:-1] + b',\n"groups": [')
            for number, group in enumerate(plan.groups):
                file.write(b",\n" if number else b"\n")
                known = self._stretches[number] if self._stretches and number not in changed else None
                stretches.append(_copied(before, known, file) if known else _written(group, file))
            file.write(b"\n]}\n")
        return stretches


def _without_groups(plan: Plan) -> str:
    """Return all but the groups as a JSON object, a key a line."""
    data = as_data(replace(plan, groups=()))
    del data["groups"]
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in data.items())
    return "{" + ",\n".join(lines) + "}"


def _copied(before: BinaryIO, stretch: Stretch, file: BufferedRandom) -> Stretch:
    start = file.tell()
    before.seek(stretch.start)
    file.write(before.read(stretch.length))
    return Stretch(start, stretch.length)


def _written(group: PlannedGroup, file: BufferedRandom) -> Stretch:
    """Write a group, a file a line, so that a person can edit it."""
    data = group_data(group)
    acts = ",\n  ".join(map(json.dumps, data["duplicates"]))
    start = file.tell()
    text = f'{{"keeper": {json.dumps(data["keeper"])},\n "duplicates": [\n  {acts}\n ]}}'
    file.write(text.encode())
    return Stretch(start, file.tell() - start)
