"""py-image-dedup: finds pictures that show the same thing, and moves or deletes the lesser copies.

``build``, ``search``, ``pairs`` and ``leaks`` are the library (docs/library.md); they are loaded when first used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py_image_dedup.library import Collection, Copies, Copy, Pair, Picture, Search, build, leaks, pairs, search

__all__ = ["Collection", "Copies", "Copy", "Pair", "Picture", "Search", "build", "leaks", "pairs", "search"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in __all__:
            return getattr(importlib.import_module("py_image_dedup.library"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
