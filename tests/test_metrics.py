"""Metrics are documented, and dashboard and alerts name only what exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from records import digest, record
from ruamel.yaml import YAML

from py_image_dedup.actions import Result
from py_image_dedup.errors import StoreError
from py_image_dedup.events import PHASES
from py_image_dedup.metrics import Metrics
from py_image_dedup.model import Cause, File, Skipped
from py_image_dedup.stores.interface import Store
from py_image_dedup.stores.measured import measured
from py_image_dedup.stores.sqlite import SqliteStore

ROOT = Path(__file__).parent.parent


def used() -> Metrics:
    """Metrics that have heard of everything there is to hear of."""
    metrics = Metrics()
    for number, title in enumerate(PHASES, 1):
        metrics.phase(title, number, len(PHASES))
    for cause in Cause:
        metrics.skipped(Skipped("/a.jpg", "why", cause))
    for result in Result:
        metrics.acted("/a.jpg", action="move", result=result, detail="/b.jpg")
    metrics.store("near", 0.1, failed=True)
    for kind in ("everything", "changes"):
        with metrics.passing(kind):
            pass
    return metrics


def samples(metrics: Metrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """All samples, by name and by labels, as Prometheus's parser reads them."""
    content_type, page = metrics.page("")
    assert content_type.startswith("text/plain")
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def documented() -> dict[str, tuple[str, str]]:
    """Type and text of each metric in the table."""
    text = (ROOT / "docs/daemon.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", text, re.MULTILINE)
    return {name: (kind, told) for name, kind, told in rows}


def test_every_metric_is_documented_and_nothing_else() -> None:
    """The table in docs/daemon.md has name, type, text and labels of all there are."""
    table = documented()
    there = {}
    for family in text_string_to_metric_families(used().page("")[1].decode()):
        if family.name.endswith("_created"):
            continue
        there[family.name + "_total" * (family.type == "counter")] = family
    assert table.keys() == there.keys()
    for name, (kind, told) in table.items():
        assert kind == there[name].type
        assert told.startswith(there[name].documentation.rstrip(".")), name
        labels = {label for sample in there[name].samples for label in sample.labels} - {"le"}
        assert set(re.findall(r"`(\w+)`", told)) == labels, name


def test_values_of_labels_are_documented() -> None:
    """Reasons, phases and kinds are those of the table."""
    table = documented()
    for name, label in (("files_skipped_total", "reason"), ("phase_seconds_count", "phase"), ("passes_total", "kind")):
        values = {dict(labels)[label] for labels in samples(used())[f"py_image_dedup_{name}"]}
        told = table[f"py_image_dedup_{name.replace('_count', '')}"][1]
        assert re.findall(rf"`{label}`: ([\w, ]+)", told)[0].split(", ") == sorted(values, key=told.index)


def expressions() -> Iterator[tuple[str, str]]:
    """Where something is asked of Prometheus, and what."""
    board = json.loads((ROOT / "contrib/grafana/dashboard.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]
    rules = YAML(typ="safe").load((ROOT / "contrib/prometheus/alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert {"alert", "expr", "labels", "annotations"} <= rule.keys()
            yield rule["alert"], rule["expr"]


@pytest.mark.parametrize(("where", "expression"), [*expressions()])
def test_dashboard_and_alerts_name_only_what_exists(where: str, expression: str) -> None:
    """Metrics, labels and their values."""
    there = samples(used())
    named = re.findall(r"\b((?:py_image_dedup|process)_\w+)(?:\{([^}]*)\})?", expression)
    assert named, where
    for name, selector in named:
        assert name in there, name
        known = [dict(labels) for labels in there[name]]
        for label, _, value in re.findall(r'(\w+)(=~?)"([^"]*)"', selector):
            if label != "job":
                values = {one[label] for one in known}
                assert set(value.split("|")) <= values, f"{where}: {label}={value}"
    labels = {label for name, _ in named for one in there[name] for label, _ in one}
    for by in re.findall(r"by \(([^)]*)\)", expression):
        assert set(by.split(", ")) <= labels, where


def test_panels_do_not_overlap() -> None:
    """Each has a place and a number of its own."""
    panels = json.loads((ROOT / "contrib/grafana/dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)


def test_a_pass_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts, and is to be tried again until one succeeds; the time of the last success stays."""
    metrics = Metrics()
    clock = count(100.0)
    monkeypatch.setattr("py_image_dedup.metrics.time.monotonic", lambda: next(clock))

    def fail() -> None:
        with metrics.passing("changes"):
            metrics.phase(PHASES[2], 3, 6)
            raise StoreError("away")

    with pytest.raises(StoreError):
        fail()
    found = samples(metrics)
    assert found["py_image_dedup_passes_total"] == {(("kind", "changes"), ("result", "failed")): 1}
    assert found["py_image_dedup_retrying"] == {(): 1}
    assert "py_image_dedup_last_success_timestamp_seconds" not in found
    assert found["py_image_dedup_phase_seconds_sum"] == {(("phase", "analyse"),): 1}
    with metrics.passing("changes"):
        pass
    found = samples(metrics)
    assert found["py_image_dedup_retrying"] == {(): 0}
    assert found["py_image_dedup_last_success_timestamp_seconds"][("kind", "changes"),] > 1.7e9


def test_a_store_is_measured(tmp_path: Path) -> None:
    """It does what it did, and each operation is told with its time and whether it failed, streams at their end."""
    told: list[tuple[str, bool]] = []

    def hear(operation: str, seconds: float, failed: bool) -> None:  # noqa: FBT001 - a listener's signature
        assert 0 <= seconds < 5
        told.append((operation, failed))

    store = measured(lambda: SqliteStore.open(str(tmp_path / "a.sqlite"), origin="here"), hear)
    store.put([record("/a.jpg")])
    files = store.files(["/"])
    assert next(files).path == "/a.jpg"
    assert told == [("open", False), ("put", False)]
    assert [*files] == []
    assert store.has_content(digest("/a.jpg"))
    with store.lease(print) as lease:
        lease.check()
    store.close()
    assert [name for name, _ in told[2:]] == ["files", "has_content", "lease", "close"]
    with pytest.raises(StoreError):
        measured(lambda: SqliteStore.open(str(tmp_path), origin="here"), hear)
    assert told[-1] == ("open", True)


def test_failures_of_a_store_are_told() -> None:
    """At once, and in the middle of what is streamed."""
    told: list[tuple[str, bool]] = []

    class Failing:
        def known(self, _: object) -> dict[str, File]:
            raise StoreError("away")

        def files(self, _: object) -> Iterator[File]:
            yield File("here", "/a.jpg", 1, 1, "")
            raise StoreError("away")

    def opened() -> Store:
        return Failing()  # type: ignore[return-value] # as much of a store as is asked

    store = measured(opened, lambda name, _, failed: told.append((name, failed)))
    with pytest.raises(StoreError):
        store.known(["/a.jpg"])
    with pytest.raises(StoreError):
        [*store.files(["/"])]
    assert told == [("open", False), ("known", True), ("files", True)]
