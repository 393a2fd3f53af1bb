"""Kinds of signatures: what is kept of a picture to compare it by, and how far apart two of a kind are.

``interface.py`` is the protocol; each other module is a kind.
"""
