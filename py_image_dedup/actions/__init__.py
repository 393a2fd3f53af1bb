"""Everything that changes the disk: looks again, journals, acts, and takes back.

``execute.py`` carries out a plan: ``checks.py`` knows what must hold right before an act, ``unit.py`` does a picture
and its companions whole or not at all, ``steps.py`` one file at a time, by ``relocation.py``, ``trash.py`` and
``links.py``.  ``prune.py`` removes emptied folders, ``undo.py`` takes a run back.
"""

from py_image_dedup.actions.checks import Checks
from py_image_dedup.actions.execute import execute
from py_image_dedup.actions.outcome import Outcome, Result
from py_image_dedup.actions.prune import remove_folders
from py_image_dedup.actions.trash import Trash
from py_image_dedup.actions.undo import Undone, chosen, deleted, settle, undo, undo_whole

__all__ = [
    "Checks",
    "Outcome",
    "Result",
    "Trash",
    "Undone",
    "chosen",
    "deleted",
    "execute",
    "remove_folders",
    "settle",
    "undo",
    "undo_whole",
]
