"""Describing pictures on other machines: `message.py` is what crosses, `broker.py` the way, `worker.py` the far end.

`here_or_there.py` decides for each picture, by `placement.py` and what `senses.py` reads of this machine.
"""
