"""The text of ``py_image_dedup_reference.yaml``."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from py_image_dedup.config.table import ENTRIES, SECTIONS
from py_image_dedup.config.values import ROOT


def reference_yaml() -> str:
    """Return the text of ``py_image_dedup_reference.yaml``: every key with its meaning and default."""
    lines = [
        "# Every setting of py-image-dedup. What is not commented out has its default here.",
        "# Generated from the table of settings; docs/configuration.md says more.",
        f"{ROOT}:",
    ]
    current = ""
    for entry in ENTRIES:
        section, _, name = entry.key.rpartition(".")
        indent = "    " if section else "  "
        if section and section != current:
            lines += ["", *_comment(SECTIONS[section], "  "), f"  {section}:"]
        elif section != current:
            lines.append("")
        current = section
        commented = entry.example is not None
        default = f" Default: {entry.otherwise.replace('`', '')}." if not entry.default else ""
        lines += _comment(entry.meaning + default, indent)
        shown = _yaml(name, entry.example if commented else entry.default)
        lines += [f"{indent}{'# ' if commented else ''}{line}" for line in shown]
    return "\n".join(lines) + "\n"


def _comment(text: str, indent: str) -> list[str]:
    prefix = f"{indent}# "
    return textwrap.wrap(
        text,
        100,
        initial_indent=prefix,
        subsequent_indent=prefix,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _yaml(name: str, value: str | Sequence[str] | None) -> list[str]:
    if isinstance(value, str):
        return [f"{name}: {_quoted(value)}"]
    return [f"{name}:", *(f"  - {_quoted(item)}" for item in value or ())]


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w./][\w./:-]*", text) else "'" + text.replace("'", "''") + "'"
