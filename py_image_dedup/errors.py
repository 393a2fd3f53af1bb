"""Every error this program raises on purpose: one tree; and the exit codes that none of them stands for.

The first line of a class's docstring is its headline in the documentation, ``exit_code`` is what the command
ends with.  A message names the file, key or option at fault and the remedy.
"""

from __future__ import annotations

from typing import Final

EXIT_REFUSED: Final = 5
"""Some files could not be acted on; the rest was."""
EXIT_INTERRUPTED: Final = 130
EXIT_NO_READER: Final = 141
"""The reader of the output went away."""


class DedupError(Exception):
    """Something went wrong that the user can be told about."""

    exit_code = 1


class UsageError(DedupError):
    """An argument or option makes no sense."""

    exit_code = 2


class ConfigError(DedupError):
    """The configuration is wrong: unknown key, unknown rule, wrong type, missing folder."""

    exit_code = 3


class RootError(ConfigError):
    """A folder to work on is missing, unreadable, or suddenly empty."""


class StateDirectoryError(ConfigError):
    """The state directory can't be written, so nothing may be acted on."""


class PlanError(ConfigError):
    """A plan file is damaged, contradicts itself, is of a newer version or of another origin."""


class StoreError(DedupError):
    """The store refused or failed an operation."""

    exit_code = 4


class StoreUnavailable(StoreError):
    """The store can't be reached, or another process holds it."""


class StoreMismatch(StoreError):
    """The store holds data of another program or another version."""


class AnotherRun(DedupError):
    """Another process is moving or deleting files with the same state directory."""

    exit_code = 4


class NotRunning(DedupError):
    """No agent or daemon answers."""

    exit_code = 4


class LeaseLost(StoreError):
    """Another run may work on the same files, so nothing more may be done with them."""


class ActionRefused(DedupError):
    """An act was refused because the disk no longer agrees with the plan."""

    exit_code = 5


class PictureError(DedupError):
    """A file is no picture that can be read; the message is the reason, without the path."""


class NotNow(PictureError):
    """A picture could not be read for a reason that may pass (memory, I/O), so it is not remembered."""


def too_large(width: int, height: int, max_pixels: int) -> PictureError:
    """Say that a picture has more pixels than are allowed."""
    return PictureError(
        f"{width} x {height} pixels are more than analysis.max_megapixels allows ({max_pixels / 1e6:g} megapixels)"
    )


def to_install(extra: str) -> str:
    """Say how to add an extra of this package to it."""
    return f'sh scripts/install {extra} in a checkout, or pip install "py-image-dedup[{extra}]"'
