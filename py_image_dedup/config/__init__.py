"""Configuration: YAML and environment, read by container-app-conf, checked, and frozen into Settings."""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Collection, Mapping
from dataclasses import fields
from datetime import timedelta
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final, TypeVar

from py_image_dedup.config import values as v
from py_image_dedup.config.entry import Entry
from py_image_dedup.config.names import RAW_EXTENSIONS, RULE_NAMES
from py_image_dedup.config.paths import MissingFolder, xdg_folder
from py_image_dedup.config.presets import PRESETS
from py_image_dedup.config.reference import reference_yaml
from py_image_dedup.config.settings import (
    AnalysisSettings,
    DaemonSettings,
    DeduplicationSettings,
    ElasticsearchSettings,
    Loaded,
    LogSettings,
    RemoteSettings,
    ReviewSettings,
    Settings,
    StatsSettings,
)
from py_image_dedup.config.table import ENTRIES
from py_image_dedup.config.values import ROOT, Given, Override
from py_image_dedup.errors import ConfigError, RootError, to_install

__all__ = [
    "ENTRIES",
    "FOLDERS",
    "PRESETS",
    "RULE_NAMES",
    "AnalysisSettings",
    "DaemonSettings",
    "DeduplicationSettings",
    "ElasticsearchSettings",
    "Loaded",
    "LogSettings",
    "Override",
    "RemoteSettings",
    "ReviewSettings",
    "Settings",
    "StatsSettings",
    "describe",
    "load_settings",
    "reference_yaml",
]

T = TypeVar("T")

FOLDERS: Final = (
    "analysis.source_directories",
    "deduplication.action",
    "deduplication.duplicates_target_directory",
    "deduplication.protected_directories",
)
"""What a machine without pictures has no use for, even if a file that it shares with others names it."""


def load_settings(
    *,
    config_file: str | None = None,
    overrides: Mapping[str, Override] = MappingProxyType({}),
    defaults: Mapping[str, str] = MappingProxyType({}),
    leave_out: Collection[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Read, check and freeze the settings: command line over environment over YAML over defaults.

    ``overrides`` holds by dotted key what the command line gave (None and empty lists count as not given), ``defaults``
    those that are others for this command.  What is written for the keys to ``leave_out`` is not even read.
    ``environ`` is the process's own unless given.  Raises :class:`ConfigError` or :class:`RootError`.
    """
    from py_image_dedup.config.sources import gather  # noqa: PLC0415 - who only needs the classes need not load it

    environ = os.environ if environ is None else environ
    written = gather([entry.key for entry in ENTRIES], config_file=config_file, environ=environ, overrides=overrides)
    machine = {**_machine_defaults(environ), **defaults}
    given = {e.key: written.given.get(e.key) or _default(e, machine) for e in ENTRIES}
    given |= {e.key: _default(e, machine) for e in ENTRIES if e.key in leave_out}
    _apply_preset(given)
    values = {e.key: _read(e, given[e.key]) for e in ENTRIES}
    sources = {key: one.source for key, one in given.items()}
    _check_folders(values, given)
    _resolve_action(values, given)
    _resolve_raw(values, given)
    _read_files(values, given, sources)
    _resolve_login(values, given, sources)
    _resolve_broker(values, given, sources)
    _resolve_store(values)
    return Loaded(
        settings=_freeze(values),
        sources=MappingProxyType(sources),
        warnings=(*written.warnings, *_copy_rules(values, given)),
        file=written.file,
        values=MappingProxyType(values),
    )


# From what was written to values


def _machine_defaults(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the defaults that are facts of this machine and user."""
    data = xdg_folder(environ, "XDG_DATA_HOME", "~/.local/share")
    state = xdg_folder(environ, "XDG_STATE_HOME", "~/.local/state")
    return {
        "analysis.threads": str(min(len(os.sched_getaffinity(0)), 1024)),
        "database": f"{data}/py-image-dedup/signatures.sqlite",
        "state_directory": f"{state}/py-image-dedup",
        "origin": os.uname().nodename or "localhost",
    }


def _default(entry: Entry, machine: Mapping[str, str]) -> Given:
    raw = machine.get(entry.key, entry.default)
    return Given(list(raw) if isinstance(raw, tuple) else raw, f"the default of {ROOT}.{entry.key}", "default")


def _apply_preset(given: dict[str, Given]) -> None:
    """Let the preset give what was not set; one that does not exist is refused when it is read."""
    name = given["deduplication.preset"].raw
    for key, raw in PRESETS.get(str(name), {}).items():
        if given[key].source == "default":
            given[key] = Given(raw, f"{ROOT}.{key} by the preset {name}", f"preset {name}")


def _read(entry: Entry, given: Given) -> Any:
    if given.raw is None:
        return None
    try:
        value = v.read(given.raw, entry.parse, entry.split)
    except v.Refused as refused:
        error = RootError if isinstance(refused, MissingFolder) else ConfigError
        at_fault = given.raw if refused.part is None else refused.part
        said = "is" if given.raw in (at_fault, [at_fault]) else "has the item"
        raise error(f"{given.place} {said} {_shown(entry, at_fault)}; {refused}") from None
    if value == () and entry.default:
        raise ConfigError(f"{given.place} is empty; it must hold at least one item")
    return value


def _shown(entry: Entry, raw: object) -> str:
    """Quote a value in a message: short, on one line, without secrets."""
    if isinstance(raw, str):
        shown = entry.hide(raw)
        return shown if shown == v.HIDDEN else repr(shown if len(shown) <= 200 else f"{shown[:200]}...")
    if entry.hide is not str:
        return v.HIDDEN
    return reprlib.repr(raw)


# What settings mean together


def _check_folders(values: Mapping[str, Any], given: Mapping[str, Given]) -> None:
    """Refuse a target that is a source folder or holds one: its own files would be looked for duplicates."""
    key = "deduplication.duplicates_target_directory"
    target = values[key]
    for root in values["analysis.source_directories"]:
        if target is not None and f"{root}/".startswith(f"{target.rstrip('/')}/"):
            what = "is the source folder" if root == target else "holds the source folder"
            raise ConfigError(
                f"{given[key].place} is {target!r}, which {what} {root!r} "
                f"({given['analysis.source_directories'].place}); it must be another folder"
            )


def _resolve_action(values: dict[str, Any], given: Mapping[str, Given]) -> None:
    target = values["deduplication.duplicates_target_directory"]
    action = values["deduplication.action"]
    if action == "move" and target is None:
        raise ConfigError(
            f"{given['deduplication.action'].place} is 'move'; it needs a folder to move to: "
            f"{ROOT}.deduplication.duplicates_target_directory"
        )
    if action == "auto":
        values["deduplication.action"] = "report" if target is None else "move"


def _resolve_raw(values: dict[str, Any], given: Mapping[str, Given]) -> None:
    if not values["analysis.raw"]:
        return
    if find_spec("rawpy") is None:
        raise ConfigError(f'{given["analysis.raw"].place} is on, which needs the extra "raw": {to_install("raw")}')
    named = values["analysis.file_extensions"]
    values["analysis.file_extensions"] = (*named, *(one for one in RAW_EXTENSIONS if one not in named))


def _resolve_login(values: dict[str, Any], given: Mapping[str, Given], sources: dict[str, str]) -> None:
    """Bring the ways to give a user and a password together; two at a time are refused."""
    user, password, urls = "elasticsearch.user", "elasticsearch.password", "elasticsearch.urls"
    logins = {v.split_login(url)[1] for url in values[urls]}
    if len(logins) > 1:
        raise ConfigError(f"{given[urls].place} holds different logins; all addresses must share one, or have none")
    login = logins.pop() if logins else None
    if login is not None:
        for key, part in zip((user, password), login, strict=True):
            _refuse_both(urls, key, values, given)
            values[key], sources[key] = part, sources[urls]
    if (values[user] is None) != (values[password] is None):
        have, lack = (user, password) if values[password] is None else (password, user)
        raise ConfigError(f"{given[have].place} is set, but {ROOT}.{lack} is not; a login needs both")
    _refuse_both("elasticsearch.api_key", user, values, given)
    _refuse_both("elasticsearch.ca_file", "elasticsearch.ca_fingerprint", values, given)


def _read_files(values: dict[str, Any], given: Mapping[str, Given], sources: dict[str, str]) -> None:
    """Take secrets from the files that hold them."""
    for key, parse in (
        ("elasticsearch.password", v.secret),
        ("elasticsearch.api_key", v.token),
        ("review.token", v.token),
    ):
        file = values[f"{key}_file"]
        if file is not None:
            _refuse_both(key, f"{key}_file", values, given)
            values[key], sources[key] = _secret_in(file, parse, given[f"{key}_file"]), f"the file {file}"


def _resolve_broker(values: dict[str, Any], given: Mapping[str, Given], sources: dict[str, str]) -> None:
    """Take the broker from its file, and its Redis for answers too if no other is named."""
    broker, file, results = "remote.broker_url", "remote.broker_url_file", "remote.result_url"
    if values[file] is not None:
        _refuse_both(broker, file, values, given)
        values[broker] = _secret_in(values[file], v.broker, given[file])
        sources[broker] = f"the file {values[file]}"
    if values[results] is None and values[broker] is not None:
        if not values[broker].startswith("redis"):
            raise ConfigError(
                f"{given[broker].place} is no Redis; name one that holds pictures and answers in {ROOT}.{results}"
            )
        values[results], sources[results] = values[broker], sources[broker]


def _refuse_both(one: str, other: str, values: Mapping[str, Any], given: Mapping[str, Given]) -> None:
    if values[one] and values[other]:
        what = f"{given[one].place} holds a login" if one.endswith("urls") else f"{given[one].place} is set"
        raise ConfigError(f"{what}, and {given[other].place} is set too; only one of them can hold")


def _secret_in(file: str, parse: v.Parser, given: Given) -> object:
    try:
        with open(file, encoding="utf-8") as stream:
            return parse(stream.read(10_000).strip("\r\n"))
    except UnicodeDecodeError:
        reason = "is not UTF-8 text"
    except OSError as error:
        reason = f"can't be read ({error.strerror})"
    except v.Refused as refused:
        reason = f"does not hold what it should: {refused}"
    raise ConfigError(f"{given.place} names {file!r}, which {reason}")


def _resolve_store(values: dict[str, Any]) -> None:
    named = values["elasticsearch.host"] or values["elasticsearch.urls"]
    if values["store"] == "auto":
        values["store"] = "elasticsearch" if named else "sqlite"
    if not values["elasticsearch.urls"] and (named or values["store"] == "elasticsearch"):
        host = values["elasticsearch.host"] or "127.0.0.1"
        values["elasticsearch.urls"] = (v.url_of(host, values["elasticsearch.port"]),)


def _copy_rules(values: Mapping[str, Any], given: Mapping[str, Given]) -> list[str]:
    """Tell who names a rule on "copy" what it does, since it did the opposite before."""
    key = "deduplication.prioritization_rules"
    named = [rule for rule in values[key] if "contain" in rule]
    if given[key].source == "default" or not named:
        return []
    was = "py-image-dedup 2 had the two rules swapped in effect"
    now = 'doesnt-contain-copy-in-file-name keeps names without "copy" first'
    other = "contains-copy-in-file-name those with it"
    return [f"{given[key].place} names {' and '.join(named)}: {was}; now {now}, {other}"]


def _freeze(values: Mapping[str, Any]) -> Settings:
    bare = {
        **values,
        "elasticsearch.urls": tuple(v.split_login(url)[0] for url in values["elasticsearch.urls"]),
    }
    return Settings(
        analysis=_section(AnalysisSettings, "analysis", bare),
        deduplication=_section(DeduplicationSettings, "deduplication", bare),
        elasticsearch=_section(ElasticsearchSettings, "elasticsearch", bare),
        daemon=_section(DaemonSettings, "daemon", bare),
        remote=_section(RemoteSettings, "remote", bare),
        review=_section(ReviewSettings, "review", bare),
        stats=_section(StatsSettings, "stats", bare),
        log=_section(LogSettings, "log", bare),
        **{entry.key: bare[entry.key] for entry in ENTRIES if "." not in entry.key},
    )


def _section(cls: type[T], name: str, values: Mapping[str, Any]) -> T:
    return cls(**{one.name: values[f"{name}.{one.name}"] for one in fields(cls)})  # type: ignore[arg-type] # a dataclass


# From values to text


def describe(loaded: Loaded) -> list[tuple[str, str, str]]:
    """Return (dotted key, value as text, source) of every setting; secrets are hidden, auto is resolved."""
    return [(e.key, _as_text(e, loaded.values[e.key]), loaded.sources[e.key]) for e in ENTRIES]


def _as_text(entry: Entry, value: object) -> str:
    match value:
        case None:
            return "(not set)"
        case tuple():
            return ", ".join(_as_text(entry, item) for item in value) or "(none)"
        case bool():
            return str(value).lower()
        case timedelta():
            return f"{value.total_seconds():.15g}s"
        case re.Pattern():
            text = value.pattern
        case _:
            text = str(value)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in entry.hide(text))
