"""What runs did, line by line on disk: one file per run below ``runs/`` of the state directory.

``write.py`` appends, ``read.py`` reads, ``step.py`` is what both speak of, ``lock.py`` lets one process act at a time.
"""

from py_image_dedup.journal.lock import acting
from py_image_dedup.journal.read import UNDO, RecordedAct, Run, State, last_to_undo, read, runs, unsettled
from py_image_dedup.journal.step import Step
from py_image_dedup.journal.write import Journal

__all__ = [
    "UNDO",
    "Journal",
    "RecordedAct",
    "Run",
    "State",
    "Step",
    "acting",
    "last_to_undo",
    "read",
    "runs",
    "unsettled",
]
