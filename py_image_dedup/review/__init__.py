"""The review page: a plan is looked at, changed, applied and taken back in a browser.

It is another front door: what it changes is the plan file (``desk.py``, ``choices.py``, ``saving.py``) and what a
person says for good (``decisions``); what it does goes through execution and journal (``hands.py``, in the background
by ``jobs.py``), as the commands do.  ``pictures.py`` shows files only as the plan recorded them.
``guard.py`` says who may ask, and ``gate.py`` stands there; ``sight.py``, ``shown.py`` and ``outlook.py`` are what
there is to see, ``pages.py`` answers, ``web.py`` serves.

Flask and waitress: both pure Python, kept well for years, synchronous as all of the program, with a fixed number of
threads and limits on what a request may cost.  Pages are made on the server and need no script; the one there is
(``static/review.js``) adds keys, the loupe and live progress.  Nothing comes from elsewhere.
"""
