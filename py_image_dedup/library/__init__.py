"""The library: pictures of some folders are signed (``build``), compared (``search``), and the lesser copies moved.

``parameters.py`` checks what is handed in, ``building.py`` reads pictures into a :class:`Collection`, ``searching.py``
compares them, ``streaming.py`` yields near pairs one by one, ``listing.py`` puts matches into the shape of difPy,
``result.py`` is what a search returns, and ``acting.py`` moves or deletes by a plan of the program.
"""

from py_image_dedup.library.building import build
from py_image_dedup.library.collection import Collection
from py_image_dedup.library.result import Copies, Copy, Picture, Search
from py_image_dedup.library.searching import search
from py_image_dedup.library.streaming import Pair, leaks, pairs

__all__ = ["Collection", "Copies", "Copy", "Pair", "Picture", "Search", "build", "leaks", "pairs", "search"]
