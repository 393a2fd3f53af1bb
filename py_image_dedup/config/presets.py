"""Sets of settings under one name: what counts as a duplicate, and what is only shown."""

from __future__ import annotations

PRESETS: dict[str, dict[str, str]] = {
    "standard": {},
    "exact": {"elasticsearch.max_distance": "0", "deduplication.review_distance": "0"},
    "careful": {"elasticsearch.max_distance": "0.1"},
    "fast": {"deduplication.review_distance": "0.25"},
    "thorough": {"analysis.orientations": "all", "analysis.crops": "true"},
}
"""Defaults of settings that go together, by the values of ``deduplication.preset``; what is set wins over them."""
