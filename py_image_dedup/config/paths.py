"""Paths as people write them into absolute paths: parsers like those of ``values``.

Paths are text with surrogate escapes, so that every name Linux allows survives; hence ``os.path``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from py_image_dedup.config.values import Refused, literal_list


class MissingFolder(Refused):
    """A folder that has to be there is not there, or can't be read."""


def xdg_folder(environ: Mapping[str, str], name: str, default: str) -> str:
    """Return a base folder of the XDG specification, which tells to ignore relative ones."""
    value = environ.get(name, "")
    return value if value.startswith("/") else default


def split_folders(raw: object) -> object:
    """Split at commas, unless the whole text is a folder that exists: its name may hold commas."""
    if not isinstance(raw, str):
        return raw
    if _is_folder(raw):
        return [raw]
    return literal_list(raw) or [part.strip() for part in raw.split(",")]


def path(text: str) -> str:
    """Return the absolute path; ``~`` is the home folder."""
    try:
        os.fsencode(text)
        expanded = os.path.expanduser(text)
        if "\0" in text or not text.strip():
            raise Refused("it must be a path")
        if expanded.startswith("~"):
            raise Refused("it must be a path; no such home folder is known")
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):  # else a folder called "smb:" would be made here
            raise Refused("it must be a path, not an address")
        return re.sub(r"^/+", "/", os.path.abspath(expanded))
    except UnicodeEncodeError:
        raise Refused("it must be a path; it holds a character that no file name can hold") from None
    except FileNotFoundError:
        raise Refused("it must be an absolute path, because the working folder no longer exists") from None


def folder(text: str) -> str:
    """Accept a folder that exists and can be read."""
    place = _real(text)
    if not os.path.lexists(place):
        raise MissingFolder("there is no such folder" if place == text else f"there is no folder {place!r}")
    if not _is_folder(place):
        raise MissingFolder("it must be a folder, and is none")
    if not os.access(place, os.R_OK | os.X_OK):
        raise MissingFolder("it must be a folder that you may read")
    return place


def new_folder(text: str) -> str:
    """Accept a folder, or a place where one can be made."""
    place = _real(text)
    if os.path.lexists(place) and not _is_folder(place):
        raise Refused("it must be a folder, and is none")
    return place


def new_file(text: str) -> str:
    """Accept a file, or a place where one can be made."""
    place = path(text)
    if text.endswith("/") or _is_folder(place):
        raise Refused("it must be a file, and is a folder")
    if os.path.exists(place) and not os.path.isfile(place):
        raise Refused("it must be a file, and is a pipe, a socket or a device")
    return place


def readable_file(text: str) -> str:
    """Accept a file that exists and can be read."""
    place = path(text)
    if not os.path.isfile(place) or not os.access(place, os.R_OK):
        raise Refused("it must be a file that exists and that you may read")
    return place


def _real(text: str) -> str:
    return os.path.realpath(path(text))


def _is_folder(text: str) -> bool:
    try:
        return os.path.isdir(os.path.expanduser(text))
    except ValueError:  # NUL, lone surrogates
        return False
