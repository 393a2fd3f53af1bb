"""Numbers in words: the same everywhere, in what is printed, on pages and in notes."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """Print a number of things, of which `noun` is one; `plural` where it does not end in s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def megabytes(size: int) -> str:
    """Print a number of bytes in MB (10^6 bytes)."""
    return f"{size / 1e6:,.2f} MB" if size < 100e6 else f"{size / 1e6:,.0f} MB"
