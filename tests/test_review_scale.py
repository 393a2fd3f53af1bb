"""The review page with thousands of groups; ``scripts/check-long review`` looks at a hundred pages."""

from __future__ import annotations

from pathlib import Path

import reviewed


def test_a_plan_of_ten_thousand_groups_stays_fluid(tmp_path: Path) -> None:
    """The first page takes less than 300 ms of CPU, a choice less than a second; memory stays below 250 MB."""
    plan = reviewed.make(tmp_path, groups=reviewed.GROUPS, files=2, on_disk=3 * reviewed.ON_A_PAGE)
    figures = reviewed.page_through(tmp_path / "home", plan, pages=3)
    assert figures["CPU ms of the first page"] < 300
    assert figures["CPU ms of a choice"] < 1000
    assert figures["MB at most"] < 250
