"""What is told of one setting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from py_image_dedup.config import values as v


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One setting.

    ``default`` and ``example`` are written as a user would.  Where the default is no text (not set, or a fact
    of the machine), ``otherwise`` says in words what holds.  ``split`` makes the setting a list.  ``hide``
    makes a value fit to be shown.  The reference file shows an entry with an example as a comment, as those of presets
    must be: what is written wins over a preset.
    """

    key: str
    parse: v.Parser
    meaning: str
    default: str | tuple[str, ...] | None = None
    otherwise: str = "not set"
    example: str | tuple[str, ...] | None = None
    split: v.Splitter | None = None
    hide: Callable[[str], str] = str
