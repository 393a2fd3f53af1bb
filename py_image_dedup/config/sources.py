"""Where settings are written: options, environment, YAML file; the one door to container-app-conf.

container-app-conf finds the file and puts the sources over one another.  It would read only the keys it
knows, turn text into values by rules of its own and log tracebacks; so here the YAML is checked as a whole
first, every value is passed on as the text that was written, and its loggers are silent.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import container_app_conf.entry
from container_app_conf import ConfigBase, ConfigEntry
from container_app_conf.source import DataSource
from container_app_conf.source.env_source import EnvSource
from container_app_conf.source.yaml_source import YamlSource
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from py_image_dedup.config.paths import xdg_folder
from py_image_dedup.config.values import PREFIX, ROOT, Given, Override, suggest, variable
from py_image_dedup.errors import ConfigError

# Keys that the reference file of py-image-dedup 2 has and its code does not know.
_OLD_KEYS = {"daemon.timeout": "daemon.processing_timeout"}

# The first of these is made with logging.Logger(...), so it has no parent to take a level from.
container_app_conf.entry.LOGGER.disabled = True
logging.getLogger("container_app_conf").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Written:
    """Everything that was written, by dotted key; what is not in ``given`` has its default."""

    given: Mapping[str, Given]
    warnings: tuple[str, ...]
    file: str | None


def gather(
    keys: Collection[str],
    *,
    config_file: str | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, Override],
) -> Written:
    """Collect what was written for these dotted keys: options over environment over file."""
    unknown = sorted(set(overrides) - set(keys))
    if unknown:
        raise KeyError(f"overrides for unknown keys: {', '.join(unknown)}")
    file = _File(keys, config_file, environ)
    sources = [_Options(overrides), _Environment(environ), file]
    entries = {key: _Key(key) for key in keys}
    configuration = type("Configuration", (ConfigBase,), entries)(data_sources=sources, validate=False, singleton=False)
    values = {key: getattr(configuration, key).value for key in keys}
    return Written(
        given={key: value for key, value in values.items() if value is not None},
        warnings=(*_unknown_variables(keys, environ), *file.warnings),
        file=file.path,
    )


def _unknown_variables(keys: Collection[str], environ: Mapping[str, str]) -> list[str]:
    known = {variable(key) for key in keys}
    return [
        f"{name} in the environment is not a setting of py-image-dedup{suggest(name, known)}"
        for name in sorted(environ)
        if name.upper().startswith(PREFIX) and name not in known
    ]


class _Key(ConfigEntry):  # type: ignore[misc] # container-app-conf has no types
    """A key whose value stays as it was written: text is made into values after the sources are merged."""

    def __init__(self, key: str) -> None:
        super().__init__(key_path=[ROOT, *key.split(".")])
        self.key = key

    def _value_to_type(self, value: Any) -> Any:
        return value


class _Options(DataSource):  # type: ignore[misc] # container-app-conf has no types
    """The command line."""

    def __init__(self, overrides: Mapping[str, Override]) -> None:
        super().__init__()
        self.overrides = overrides

    def _load(self) -> dict[str, object]:
        return {key: _as_written(o.value) for key, o in self.overrides.items() if o.value not in (None, (), [])}

    def has(self, entry: _Key) -> bool:
        return entry.key in self.root

    def get(self, entry: _Key) -> Given:
        option = self.overrides[entry.key].option
        return Given(self.root[entry.key], option, f"command line {option}")


def _as_written(value: object) -> object:
    """Turn a typed value back into text, so that it passes the same checks as all others."""
    if isinstance(value, list | tuple):
        return [_as_written(item) for item in value]
    if isinstance(value, timedelta):
        return str(value.total_seconds())
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


class _Environment(EnvSource):  # type: ignore[misc] # container-app-conf has no types
    """The environment; an empty variable counts as not set, as compose files write it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self.environ = environ

    def _load(self) -> dict[str, str]:
        return {name: value for name, value in self.environ.items() if value}

    def get(self, entry: _Key) -> Given:
        name = self.env_key(entry)
        return Given(super().get(entry), f"{name} in the environment", f"environment {name}")


class _File(YamlSource):  # type: ignore[misc] # container-app-conf has no types
    """The YAML file."""

    def __init__(self, keys: Collection[str], config_file: str | None, environ: Mapping[str, str]) -> None:
        super().__init__(ROOT, path=["./", xdg_folder(environ, "XDG_CONFIG_HOME", "~/.config"), "~/"])
        self.keys = keys
        self.config_file = config_file
        self.path: str | None = None
        self.warnings: list[str] = []
        self.old_names: dict[str, str] = {}

    def _find_config_file(self) -> str | None:
        found: str | None = super()._find_config_file() if self.config_file is None else self.config_file
        return found

    def _load_file(self, file_path: str) -> dict[str, Any]:
        text = _text_of(os.path.expanduser(file_path))
        self.path = os.path.abspath(os.path.expanduser(file_path))
        tree = _parse(text, self.path) or {}
        self._check_keys(tree, {ROOT: _tree([*self.keys, *_OLD_KEYS])}, "")
        self._rename_old_keys(tree)
        return tree

    def _check_keys(self, node: object, known: Mapping[str, Any], path: str) -> None:
        """Refuse a key that nothing would read, and a section that holds no keys."""
        if node is None:
            return
        if not isinstance(node, dict):
            what = f"{path} in {self.path}" if path else self.path
            raise ConfigError(f"{what} must hold keys and values, such as '{next(iter(known))}: ...'")
        for key, value in node.items():
            name = f"{path}.{key}" if path else str(key)
            if key not in known:
                hint = suggest(name, _names(self.keys)) or f"; all settings stand below {ROOT}" * (not path)
                raise ConfigError(f"{name} in {self.path} is not a key of py-image-dedup{hint}")
            if known[key] is not None:
                self._check_keys(value, known[key], name)

    def _rename_old_keys(self, tree: dict[str, Any]) -> None:
        for old, new in _OLD_KEYS.items():
            section, _, name = old.rpartition(".")
            values = (tree.get(ROOT) or {}).get(section) or {}
            value = values.pop(name, None)
            if value is None:
                continue
            new_name = new.rpartition(".")[2]
            place = f"{ROOT}.{old} in {self.path}"
            if values.get(new_name) is None:
                values[new_name] = value
                self.old_names[new] = old
                self.warnings.append(f"{place} is taken as {ROOT}.{new}, its name since py-image-dedup 3")
            else:
                self.warnings.append(f"{place} is ignored, because {ROOT}.{new} is set too")

    def get(self, entry: _Key) -> Given:
        name = self.old_names.get(entry.key, entry.key)
        return Given(super().get(entry), f"{ROOT}.{name} in {self.path}", str(self.path))


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start + 1})") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"the configuration file {path} can't be read: {reason}") from None


class _PlainText(SafeConstructor):
    """Leaves numbers, dates and booleans as they are written: a password of 0123 is no number.

    Tags that would make other objects are unknown to it, and refused.
    """


for _tag in ("bool", "int", "float", "timestamp", "value", "merge"):
    _PlainText.add_constructor(f"tag:yaml.org,2002:{_tag}", SafeConstructor.construct_yaml_str)
for _tag in ("binary", "omap", "pairs", "set"):
    _PlainText.add_constructor(f"tag:yaml.org,2002:{_tag}", SafeConstructor.construct_undefined)


def _parse(text: str, path: str) -> Any:
    """Parse YAML; errors are cut down to reason and place, as they quote lines that may hold secrets."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _PlainText
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        mark, reason = error.problem_mark or error.context_mark, _without_quotes(error.problem or "")
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{path} is not valid YAML{where}: {reason}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        raise ConfigError(f"{path} is not valid YAML at line {line}, column {column}: control character") from None
    except RecursionError:
        raise ConfigError(f"{path} is not valid YAML for a configuration: it is nested too deeply") from None
    except Exception as error:  # noqa: BLE001 - ruamel.yaml lets errors of Python's own conversions through
        raise ConfigError(f"{path} is not valid YAML ({type(error).__name__})") from None


def _without_quotes(problem: str) -> str:
    """Cut a parser's complaint before its first quotation that is longer than one character."""
    safe = re.match(r"""(?:[^'"]|'\\?.'|"\\?.")*""", problem)
    words = safe[0].strip() if safe else ""
    return words.removeprefix("but ").removesuffix("but found").rstrip(" ,") or "it can't be understood"


def _tree(keys: Collection[str]) -> dict[str, Any]:
    """Return dotted keys as nested dictionaries; a key that holds a value holds None here."""
    tree: dict[str, Any] = {}
    for key in keys:
        section, _, name = key.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = None
    return tree


def _names(keys: Collection[str]) -> list[str]:
    """Return every key and section as it is called in messages."""
    sections = dict.fromkeys(key.rpartition(".")[0] for key in keys if "." in key)
    return [ROOT, *(f"{ROOT}.{name}" for name in (*sections, *keys))]
