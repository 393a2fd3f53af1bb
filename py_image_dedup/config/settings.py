"""The settings as frozen data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSettings:
    """What to look at, and how hard; ``file_extensions`` has those of raw files too if ``raw``."""

    source_directories: tuple[str, ...]
    across_dirs: bool
    recursive: bool
    file_extensions: tuple[str, ...]
    raw: bool
    exclusions: tuple[re.Pattern[str], ...]
    include_hidden: bool
    threads: int
    use_exif_data: bool
    max_file_size: int
    max_megapixels: int
    crops: bool
    orientations: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeduplicationSettings:
    """What counts as a duplicate, which copy stays, and what becomes of the others.

    ``action`` is one of those of the table but auto, which is resolved.
    """

    action: str
    delete_without_asking: bool
    duplicates_target_directory: str | None
    max_file_modification_time_diff: timedelta | None
    preset: str
    prioritization_rules: tuple[str, ...]
    protected_directories: tuple[str, ...]
    report_gain: bool
    review_distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticsearchSettings:
    """Where the server is and how to log in; `max_distance` holds for every store.

    ``host`` is None unless it was set.  ``urls`` is what to connect to; a login never stands in it.
    """

    auto_create_index: bool
    host: str | None
    port: int
    urls: tuple[str, ...]
    index: str
    max_distance: float
    user: str | None
    password: str | None = field(repr=False)
    api_key: str | None = field(repr=False)
    ca_file: str | None
    ca_fingerprint: str | None
    timeout: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSettings:
    """How the daemon watches."""

    processing_timeout: timedelta
    file_observer: str
    full_pass_interval: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSettings:
    """Workers elsewhere, when to use them, and what one picture may cost there; sizes in bytes."""

    mode: str
    broker_url: str | None = field(repr=False)
    result_url: str | None = field(repr=False)
    ca_file: str | None
    timeout: timedelta
    max_file_size: int
    in_flight: int
    max_load: float
    min_memory: int
    max_temperature: int
    time_limit: timedelta
    memory_limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSettings:
    """Where the review page is offered, and to whom."""

    host: str
    port: int
    token: str | None = field(repr=False)
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsSettings:
    """Prometheus metrics and probes."""

    enabled: bool
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How what the daemon does is written down."""

    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, checked and frozen.

    ``store`` is sqlite or elasticsearch: auto is resolved.
    """

    analysis: AnalysisSettings
    deduplication: DeduplicationSettings
    elasticsearch: ElasticsearchSettings
    daemon: DaemonSettings
    remote: RemoteSettings
    review: ReviewSettings
    stats: StatsSettings
    log: LogSettings
    store: str
    database: str
    state_directory: str
    origin: str
    dry_run: bool
    remove_empty_folders: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings, and where they came from.

    ``sources`` tells for every dotted key: "default", "environment PY_IMAGE_DEDUP_X", the path of the YAML
    file, or "command line --x".  ``file`` is the YAML file that was read.  ``values`` may hold secrets.
    """

    settings: Settings
    sources: Mapping[str, str]
    warnings: tuple[str, ...]
    file: str | None
    values: Mapping[str, object] = field(repr=False)
