"""``python -m py_image_dedup``."""

from py_image_dedup.cli import main

main()
