"""The daemon in the long run, shortened: ``scripts/check-long soak`` takes an hour."""

from __future__ import annotations

from pathlib import Path

import pytest
import soak


@pytest.mark.elasticsearch
@pytest.mark.timeout(600)
def test_the_store_equals_the_disk_after_a_hard_time(tmp_path: Path) -> None:
    """Whatever is written, renamed, moved and deleted while the server goes and comes back three times."""
    run = soak.Soak(tmp_path, seconds=45, files=1000, outages=3)
    run.run()
    assert run.figures["failed passes"] >= 3
    assert run.figures["memory growth MB"] < 10
