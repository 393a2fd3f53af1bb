"""Benchmarks: scripts that measure; nothing here is part of the program."""
