"""This program and its peers on the same files in one run: ``python -m bench.peers --help``."""
