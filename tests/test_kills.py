"""Real runs over real pictures are killed at random moments: nothing is lost, and undo restores all."""

from pathlib import Path

import kills


def test_kills_at_random_moments(tmp_path: Path) -> None:
    """Twenty moments over two hundred files, of which most hit a run between its first act and its last."""
    hit = kills.kill_many(tmp_path, moments=20, files=200)
    assert hit["between the first act and the last"] >= 12
