"""Runs by itself: watched folders -> paths that changed -> settled files -> pipeline.

`watching.py` notices changes (`inotify.py`, `polling.py`), `settle.py` waits until files are still, `work.py` finds out
what to do and does it, and `service.py` is the loop around them.
"""
