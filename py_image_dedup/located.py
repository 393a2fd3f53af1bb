"""JSON read strictly: every value knows where it stands, so that a mistake is told with its place.

What a person may have edited is not trusted to have the right shape: no key may be missing, unknown or there twice, a
number is no text, and true is no number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from typing import Any, NoReturn, Self, TypeVar

from py_image_dedup.errors import PlanError

E = TypeVar("E", bound=Enum)

_LONGEST_SHOWN = 200


class Located:
    """A value of a JSON file and its place, as in ``groups[3].duplicates[0].action``."""

    def __init__(self, value: object, *, file: str, place: str = "") -> None:
        self._value = value
        self._file = file
        self._place = place

    @classmethod
    def load(cls, file: str) -> Self:
        """Read a file; :class:`PlanError` if it can't be read or is no JSON."""
        try:
            with open(file, encoding="utf-8") as stream:
                text = stream.read()
            value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
        except OSError as error:
            raise PlanError(f"{_shown(file)} can't be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise PlanError(f"{_shown(file)} is no plan: it is no UTF-8 text") from None
        except (ValueError, RecursionError) as error:
            raise PlanError(f"{_shown(file)} is no plan: it is no JSON ({error})") from None
        return cls(value, file=file)

    def wrong(self, why: str) -> NoReturn:
        """Raise :class:`PlanError` with file and place."""
        where = f"{_shown(self._file)}: {self._place}" if self._place else _shown(self._file)
        raise PlanError(f"{where}: {why}")

    def of(self, required: Collection[str], optional: Collection[str] = ()) -> Mapping[str, Self]:
        """Return the values of an object that has these keys and no others."""
        if not isinstance(self._value, dict):
            self._expected("an object")
        for key in required:
            if key not in self._value:
                self.wrong(f'the key "{key}" is missing')
        found = {}
        for key, value in self._value.items():
            if key not in required and key not in optional:
                self.wrong(f"the key {_shown(key)} is unknown; known are {', '.join((*required, *optional))}")
            found[key] = type(self)(value, file=self._file, place=f"{self._place}.{key}" if self._place else key)
        return found

    def get(self, key: str) -> Self:
        """Return one value of an object, whatever else it holds."""
        if not isinstance(self._value, dict) or key not in self._value:
            self.wrong(f'the key "{key}" is missing')
        return type(self)(self._value[key], file=self._file, place=key)

    def items(self) -> list[Self]:
        """Return the values of a list."""
        return [self._item(number, value) for number, value in enumerate(self._list())]

    def taken(self) -> Iterator[Self]:
        """Yield the values of a list and forget each, so that a long one is not in memory twice."""
        values = self._list()
        for number in range(len(values)):
            value, values[number] = values[number], None
            yield self._item(number, value)

    def _list(self) -> list[object]:
        if not isinstance(self._value, list):
            self._expected("a list")
        return self._value

    def _item(self, number: int, value: object) -> Self:
        return type(self)(value, file=self._file, place=f"{self._place}[{number}]")

    @property
    def is_null(self) -> bool:
        """Tell whether nothing is given."""
        return self._value is None

    def text(self) -> str:
        """Return a text."""
        if not isinstance(self._value, str):
            self._expected("a text")
        return self._value

    def flag(self) -> bool:
        """Return true or false."""
        if not isinstance(self._value, bool):
            self._expected("true or false")
        return self._value

    def whole(self, least: int = 0, most: int = 2**63 - 1) -> int:
        """Return a whole number of at least and at most so much."""
        if not isinstance(self._value, int) or isinstance(self._value, bool) or not least <= self._value <= most:
            self._expected(f"a whole number from {least} to {most}")
        return self._value

    def fraction(self) -> float:
        """Return a number from 0 to 1."""
        if not isinstance(self._value, int | float) or isinstance(self._value, bool) or not 0 <= self._value <= 1:
            self._expected("a number from 0 to 1")
        return float(self._value)

    def choice(self, values: Mapping[str, E]) -> E:
        """Return what a text stands for."""
        text = self.text()
        if text not in values:
            self.wrong(f"{_shown(text)} is none of {', '.join(values)}")
        return values[text]

    def path(self) -> str:
        """Return an absolute path that is written without detours."""
        path = self.text()
        try:
            kept = os.fsdecode(os.fsencode(path)) == path and "\0" not in path
        except UnicodeEncodeError:
            kept = False
        if not kept:
            self.wrong(f"{_shown(path)} is no path: it holds a character that no file name can hold")
        if not path.startswith("/") or path.startswith("//") or os.path.normpath(path) != path:
            self.wrong(f'{_shown(path)} is no absolute path without ".", "..", "//" and "/" at its end')
        return path

    def _expected(self, what: str) -> NoReturn:
        self.wrong(f"{_shown(self._value)} is not {what}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {_shown(twice)} is there twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _shown(value: object) -> str:
    """Quote a value as JSON does, shortened, on one line."""
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
