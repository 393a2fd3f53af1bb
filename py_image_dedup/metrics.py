"""What a long-running process tells Prometheus; a listener of events.  The one door to prometheus_client."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from py_image_dedup.events import PHASES, Observer
from py_image_dedup.model import Skipped

_COUNTERS: Final = {
    "files": ("files_seen", "Files looked at."),
    "analysed": ("files_analysed", "Files read and recorded, because they were new or had changed."),
    "decoded": ("files_decoded", "Pictures decoded to be analysed: those with bytes not met before."),
    "analysed_remotely": ("files_decoded_on_workers", "Pictures decoded on other machines."),
    "unchanged": ("files_unchanged", "Files found as they were recorded."),
    "removed": ("files_removed", "Records removed, of files that are gone."),
    "looked": ("pairs_looked_at", "Pairs of pictures decoded and compared block by block."),
    "matches": ("matches", "Pairs of contents that were near."),
    "groups": ("groups", "Groups of pictures formed."),
    "duplicates": ("duplicates", "Duplicates found; one that stays counts each time it is found."),
    "similar": ("similar", "Similar pictures found; each time they are found."),
    "freed_bytes": ("freed_bytes", "Bytes that the folders hold less."),
    "removed_folders": ("folders_removed", "Empty folders removed."),
}
"""By the name that is counted: the metric without prefix and suffix, and what it tells."""

_PHASE_SECONDS: Final = (0.01, 0.1, 1, 10, 60, 600, 3600, 6 * 3600)
_STORE_SECONDS: Final = (0.001, 0.01, 0.1, 0.5, 1, 5, 30, 300)


class Metrics(Observer):
    """Counts what it hears of, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters = {name: self._counter(*told) for name, told in _COUNTERS.items()}
        self._skipped = self._counter("files_skipped", "Files and folders that could not be used.", "reason")
        self._acts = self._counter("acts", "Acts on files, by kind and result.", "action", "result")
        self._passes = self._counter("passes", "Passes: of everything, or of what changed.", "kind", "result")
        self._renewals = self._counter("watch_renewals", "How often watching folders had to begin anew.")
        self._store_errors = self._counter("store_errors", "Operations of the store that failed.", "operation")
        self._phase = self._histogram("phase_seconds", "Duration of the phases of a pass.", _PHASE_SECONDS, "phase")
        self._store = self._histogram(
            "store_seconds", "Duration of operations of the store.", _STORE_SECONDS, "operation"
        )
        self._waiting = self._gauge("files_waiting", "Files that changed and wait to be looked at.")
        self._describing = self._gauge("decoding", "1 for where pictures are decoded: here, there or both.", "where")
        self._lost = self._gauge("folders_lost", "Source folders that are not there, such as disks not mounted.")
        self._retrying = self._gauge("retrying", "1 while the last pass failed and is to be tried again, else 0.")
        self._success = self._gauge("last_success_timestamp_seconds", "When a pass last succeeded.", "kind")
        self._gauge("build_info", "1, with the version of the program.", "version").labels(
            version("py-image-dedup")
        ).set(1)
        self.describes("here")
        ProcessCollector(registry=self._registry)
        self._current: tuple[str, float] | None = None

    # What is told by the core

    def phase(self, title: str, number: int, of: int) -> None:  # noqa: ARG002 - a listener's signature
        """End the phase before, begin this one."""
        self._end_phase()
        self._current = title, time.monotonic()

    def skipped(self, skipped: Skipped) -> None:
        """Count a file by the reason."""
        self._skipped.labels(skipped.cause).inc()

    def counted(self, name: str, by: int = 1) -> None:
        """Count what has a metric of its own here."""
        if name in self._counters:
            self._counters[name].inc(by)

    def acted(self, path: str, *, action: str, result: str, detail: str) -> None:  # noqa: ARG002 - a listener's signature
        """Count an act."""
        self._acts.labels(action, result).inc()

    # What is told by whoever runs it

    def store(self, operation: str, seconds: float, failed: bool) -> None:  # noqa: FBT001 - a listener's signature
        """Take note of an operation of the store."""
        self._store.labels(operation).observe(seconds)
        if failed:
            self._store_errors.labels(operation).inc()

    @contextmanager
    def passing(self, kind: str) -> Iterator[None]:
        """Take note of a pass and whether it succeeded."""
        try:
            yield
        except BaseException:
            self._passes.labels(kind, "failed").inc()
            self._retrying.set(1)
            raise
        else:
            self._passes.labels(kind, "done").inc()
            self._success.labels(kind).set_to_current_time()
            self._retrying.set(0)
        finally:
            self._end_phase()

    def is_waiting(self, files: int) -> None:
        """Take note of the length of the queue."""
        self._waiting.set(files)

    def describes(self, where: str) -> None:
        """Take note of where pictures are decoded."""
        for one in ("here", "there", "both"):
            self._describing.labels(one).set(one == where)

    def are_lost(self, folders: int) -> None:
        """Take note of source folders that are missing."""
        self._lost.set(folders)

    def has_renewed(self) -> None:
        """Take note that watching began anew."""
        self._renewals.inc()

    def page(self, accept: str) -> tuple[str, bytes]:
        """Return content type and text of everything, in the format that a request accepts."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self._registry)

    def _end_phase(self) -> None:
        if self._current is not None:
            title, began = self._current
            self._current = None
            self._phase.labels(_LABELS[title]).observe(time.monotonic() - began)

    def _counter(self, name: str, told: str, *labels: str) -> Counter:
        return Counter(f"py_image_dedup_{name}", told, labels, registry=self._registry)

    def _gauge(self, name: str, told: str, *labels: str) -> Gauge:
        return Gauge(f"py_image_dedup_{name}", told, labels, registry=self._registry)

    def _histogram(self, name: str, told: str, buckets: tuple[float, ...], label: str) -> Histogram:
        return Histogram(f"py_image_dedup_{name}", told, [label], registry=self._registry, buckets=buckets)


_LABELS: Final = dict(zip(PHASES, ("clean_up", "count", "analyse", "find", "act", "prune"), strict=True))
