"""Settings: where they come from, what they accept, what a mistake says, and that secrets stay secret.

``UPDATE_REFERENCE=1 pytest tests/test_config.py`` writes ``py_image_dedup_reference.yaml`` anew.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, dataclass, fields, is_dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from py_image_dedup.config import (
    ENTRIES,
    PRESETS,
    RULE_NAMES,
    Loaded,
    Override,
    Settings,
    describe,
    load_settings,
    reference_yaml,
    values,
)
from py_image_dedup.errors import ConfigError, RootError

PROJECT = Path(__file__).parents[1]
KEYS = [entry.key for entry in ENTRIES]


@dataclass(frozen=True)
class Place:
    """A home folder, and the working folder below it."""

    home: Path
    here: Path

    def write(self, text: str, name: str = "here/settings.yaml") -> str:
        file = self.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
        return str(file)

    def load(
        self,
        text: str | None = None,
        *,
        env: Mapping[str, str] | None = None,
        options: Mapping[str, object] | None = None,
    ) -> Loaded:
        """Load a file of this text, these variables, and these values of an option called --it."""
        return load_settings(
            config_file=None if text is None else self.write(text),
            environ=env or {},
            overrides={key: Override("--it", value) for key, value in (options or {}).items()},
        )

    def refusal(self, text: str | None = None, error: type[ConfigError] = ConfigError, **more: Any) -> str:
        """Load, and return the message of the error that has to come."""
        with pytest.raises(ConfigError) as caught:
            self.load(text, **more)
        assert type(caught.value) is error
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 3
        return str(caught.value)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Keep the tests away from the machine's own settings."""
    for name in list(os.environ):
        if name.startswith(("XDG_", "PY_IMAGE_DEDUP")):
            monkeypatch.delenv(name)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(here)
    return Place(tmp_path, here)


def yaml(key: str, text: str) -> str:
    """Return a file that holds one key, with its value in YAML."""
    section, _, name = key.rpartition(".")
    return f"py_image_dedup:\n  {section}:\n    {name}: {text}\n" if section else f"py_image_dedup:\n  {name}: {text}\n"


def value(loaded: Loaded, key: str) -> Any:
    """Return a setting by its dotted key."""
    found: Any = loaded.settings
    for name in key.split("."):
        found = getattr(found, name)
    return found


def variable(key: str) -> str:
    return "PY_IMAGE_DEDUP_" + key.replace(".", "_").upper()


# Defaults and precedence


def test_defaults(place: Place) -> None:
    """Nothing configured is a whole configuration: the embedded store, a dry run, reports only."""
    loaded = place.load()
    found = loaded.settings
    assert (found.store, found.dry_run, found.remove_empty_folders) == ("sqlite", True, False)
    assert found.database == str(place.home / ".local/share/py-image-dedup/signatures.sqlite")
    assert found.state_directory == str(place.home / ".local/state/py-image-dedup")
    assert found.origin == socket.gethostname()
    assert found.analysis.source_directories == found.analysis.exclusions == ()
    assert found.analysis.file_extensions[:3] == (".jpg", ".jpeg", ".png")
    assert len(found.analysis.file_extensions) == 17
    assert (found.analysis.across_dirs, found.analysis.recursive, found.analysis.include_hidden) == (
        False,
        True,
        False,
    )
    assert found.analysis.threads == len(os.sched_getaffinity(0))
    assert (found.analysis.max_file_size, found.analysis.max_megapixels) == (10**9, 250)
    assert found.deduplication.action == "report"
    assert found.deduplication.prioritization_rules[0] == "higher-pixel-count"
    assert found.deduplication.max_file_modification_time_diff is None
    assert (found.elasticsearch.max_distance, found.deduplication.review_distance) == (0.25, 0.45)
    assert (found.deduplication.preset, found.analysis.orientations) == ("standard", "off")
    assert (found.elasticsearch.host, found.elasticsearch.urls, found.elasticsearch.port) == (None, (), 9200)
    assert found.daemon.processing_timeout == found.elasticsearch.timeout == timedelta(seconds=30)
    assert (found.stats.enabled, found.stats.port, found.daemon.file_observer) == (True, 8000, "inotify")
    assert (loaded.file, loaded.warnings) == (None, ())
    assert set(loaded.sources.values()) == {"default"}


PRESET_VALUES = {
    "standard": (0.25, 0.45, "off"),
    "exact": (0.0, 0.0, "off"),
    "careful": (0.1, 0.45, "off"),
    "fast": (0.25, 0.25, "off"),
    "thorough": (0.25, 0.45, "all"),
}


def test_presets_give_what_is_not_set(place: Place) -> None:
    """A preset stands for defaults that go together; a value that is set itself wins, wherever it is set."""
    assert set(PRESET_VALUES) == set(PRESETS)
    for name, expected in PRESET_VALUES.items():
        loaded = place.load(options={"deduplication.preset": name})
        found = loaded.settings
        assert (
            found.elasticsearch.max_distance,
            found.deduplication.review_distance,
            found.analysis.orientations,
        ) == expected
        for key in PRESETS[name]:
            assert loaded.sources[key] == f"preset {name}"
    text = "py_image_dedup: {deduplication: {preset: exact, review_distance: 0.3}}"
    mixed = place.load(text)
    assert (mixed.settings.elasticsearch.max_distance, mixed.settings.deduplication.review_distance) == (0.0, 0.3)
    assert "'wild'" in place.refusal("py_image_dedup: {deduplication: {preset: wild}}")


def test_every_field_has_an_entry_and_the_other_way_round(place: Place) -> None:
    """The table and the dataclasses name the same settings; only the two secret files end in another field."""
    found = place.load().settings
    names = set()
    for one in fields(found):
        part = getattr(found, one.name)
        names |= {f"{one.name}.{f.name}" for f in fields(part)} if is_dataclass(part) else {one.name}
    assert set(KEYS) - names == {
        "elasticsearch.password_file", "elasticsearch.api_key_file", "remote.broker_url_file", "review.token_file",
    }  # fmt: skip
    assert names <= set(KEYS)
    assert len({variable(key) for key in KEYS}) == len(KEYS)


def test_option_over_environment_over_file_over_default(place: Place) -> None:
    """The four places rank as documented, and sources tell which one won."""
    key = "elasticsearch.max_distance"
    text, env, options = yaml(key, "0.2"), {variable(key): "0.3"}, {key: 0.4}
    expected: list[tuple[Loaded, float, str]] = [
        (place.load(), 0.25, "default"),
        (place.load(text), 0.2, str(place.here / "settings.yaml")),
        (place.load(text, env=env), 0.3, "environment PY_IMAGE_DEDUP_ELASTICSEARCH_MAX_DISTANCE"),
        (place.load(text, env=env, options=options), 0.4, "command line --it"),
    ]
    for loaded, number, source in expected:
        assert (value(loaded, key), loaded.sources[key]) == (number, source)


def test_only_the_winning_value_is_checked(place: Place) -> None:
    """A folder on the command line makes the missing one in the file irrelevant."""
    text = yaml("analysis.source_directories", "[/no/such/folder]")
    loaded = place.load(text, options={"analysis.source_directories": (place.here,)})
    assert loaded.settings.analysis.source_directories == (str(place.here),)


def test_options_that_were_not_given_do_not_count(place: Place) -> None:
    """None and empty lists, which a command line parser hands over for absent options, change nothing."""
    options: dict[str, object] = {"analysis.source_directories": (), "dry_run": None, "analysis.exclusions": []}
    assert place.load(yaml("dry_run", "false"), options=options).settings.dry_run is False


def test_typed_options(place: Place) -> None:
    """Options may hand over text or values that have their type already."""
    loaded = place.load(
        options={
            "dry_run": False,
            "analysis.threads": 3,
            "elasticsearch.max_distance": "0.25",
            "deduplication.max_file_modification_time_diff": timedelta(days=3, seconds=1.5),
            "analysis.source_directories": [place.here],
            "store": "SQLite",
        }
    )
    found = loaded.settings
    assert (found.dry_run, found.analysis.threads, found.elasticsearch.max_distance) == (False, 3, 0.25)
    assert found.deduplication.max_file_modification_time_diff == timedelta(days=3, seconds=1.5)
    assert found.analysis.source_directories == (str(place.here),)


def test_an_option_for_no_setting_is_our_own_defect(place: Place) -> None:
    """A wrong dotted key in the program is no mistake of the user's."""
    with pytest.raises(KeyError, match=r"analysis\.thread\b"):
        place.load(options={"analysis.thread": 1})


def test_loading_twice_gives_two_independent_results(place: Place) -> None:
    """There is no singleton: the second load sees nothing of the first."""
    first = place.load(yaml("analysis.threads", "3"))
    second = place.load(yaml("analysis.threads", "4"))
    assert (first.settings.analysis.threads, second.settings.analysis.threads) == (3, 4)
    assert place.load().settings.dry_run


def test_settings_are_frozen(place: Place) -> None:
    """Nobody changes settings after they are checked."""
    loaded = place.load()
    with pytest.raises(FrozenInstanceError):
        loaded.settings.dry_run = False  # type: ignore[misc]
    with pytest.raises(TypeError):
        loaded.sources["dry_run"] = "me"  # type: ignore[index]


def test_loading_writes_nothing(place: Place) -> None:
    """Neither folders nor a reference file appear because settings were loaded."""
    before = sorted(place.home.rglob("*"))
    place.load(options={"deduplication.duplicates_target_directory": "~/new", "database": "~/a/b.sqlite"})
    assert sorted(place.home.rglob("*")) == before


def test_the_process_environment_is_the_default(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping of their own, variables come from the process."""
    monkeypatch.setenv("PY_IMAGE_DEDUP_ANALYSIS_THREADS", "7")
    assert load_settings().settings.analysis.threads == 7
    assert place.load().settings.analysis.threads != 7


def test_the_classes_do_not_need_container_app_conf() -> None:
    """Importing the dataclasses leaves container-app-conf and its YAML parser unloaded."""
    code = (
        "import sys, py_image_dedup.config; "
        "sys.exit(any(name.startswith(('container_app_conf', 'ruamel')) for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=PROJECT)


# Where the file is found


def test_search_order(place: Place) -> None:
    """The working folder comes first, then XDG, then home; .yaml before .yml in each."""
    order = [
        "here/py_image_dedup.yaml",
        "here/py_image_dedup.yml",
        ".config/py_image_dedup.yaml",
        ".config/py_image_dedup.yml",
        "py_image_dedup.yaml",
        "py_image_dedup.yml",
    ]
    for number, name in reversed(list(enumerate(order, start=1))):
        place.write(yaml("analysis.threads", str(number)), name)
        loaded = place.load()
        assert loaded.file == str(place.home / name)
        assert loaded.settings.analysis.threads == number


def test_xdg_config_home(place: Place) -> None:
    """XDG_CONFIG_HOME replaces ~/.config; a relative one is ignored, as its specification says."""
    place.write(yaml("analysis.threads", "5"), "else where/py_image_dedup.yaml")
    place.write(yaml("analysis.threads", "6"), ".config/py_image_dedup.yaml")
    absolute = place.load(env={"XDG_CONFIG_HOME": str(place.home / "else where")})
    relative = place.load(env={"XDG_CONFIG_HOME": "../else where"})
    empty = place.load(env={"XDG_CONFIG_HOME": ""})
    assert [loaded.settings.analysis.threads for loaded in (absolute, relative, empty)] == [5, 6, 6]


def test_xdg_data_and_state_home(place: Place) -> None:
    """The database and the journal follow their XDG variables."""
    found = place.load(env={"XDG_DATA_HOME": "/d", "XDG_STATE_HOME": "/s"}).settings
    assert found.database == "/d/py-image-dedup/signatures.sqlite"
    assert found.state_directory == "/s/py-image-dedup"


def test_config_option_beats_the_search(place: Place) -> None:
    """A file given by name is the only one read, whatever it is called; ~ is the home folder."""
    place.write(yaml("analysis.threads", "5"), "here/py_image_dedup.yaml")
    place.write(yaml("analysis.threads", "6"), "other.conf")
    loaded = load_settings(config_file="~/other.conf", environ={})
    assert (loaded.settings.analysis.threads, loaded.file) == (6, str(place.home / "other.conf"))
    assert load_settings(config_file="../other.conf", environ={}).file == str(place.home / "other.conf")


@pytest.mark.parametrize("name", ["missing.yaml", "", ".", "file/below.yaml", "nul\0.yaml", "a" * 300])
def test_config_file_that_can_not_be_read(place: Place, name: str) -> None:
    """A file that was named must be there and be a file."""
    place.write("", "here/file")
    with pytest.raises(ConfigError, match="can't be read"):
        load_settings(config_file=name, environ={})


def test_a_folder_with_the_name_of_the_file_is_passed_over(place: Place) -> None:
    """The search takes files only."""
    (place.here / "py_image_dedup.yaml").mkdir()
    assert place.load().file is None


# What the file may hold


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "# only a comment\n",
        "---\n",
        "\ufeff# with a mark\n",
        "null\n",
        "{}\n",
        "[]\n",
        "py_image_dedup:\n",
        "py_image_dedup:\n  analysis:\n  stats: {}\n",
        "py_image_dedup: {analysis: {threads: , exclusions: ~}}\n",
    ],
)
def test_nothing_in_the_file_means_defaults(place: Place, text: str) -> None:
    """Empty files, sections and keys are harmless."""
    assert place.load(text).settings == place.load().settings
    assert place.load(text).file == str(place.here / "settings.yaml")


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("py_image_dedup: [", 1, 18),
        ("py_image_dedup:\n  dry_run: true\n   stats: {}\n", 3, 9),
        ("py_image_dedup:\n\tdry_run: true\n", 2, 1),
        ("py_image_dedup:\n  dry_run: true\n  dry_run: false\n", 3, 3),
        ("py_image_dedup: {}\npy_image_dedup: {}\n", 2, 1),
        ("py_image_dedup:\n  origin: *nothing\n", 2, 11),
        ("py_image_dedup:\n  origin: \x07\n", 2, 11),
        ("dry_run: true\n---\ndry_run: false\n", 2, 1),
        ("py_image_dedup:\n  origin: !!python/object/apply:os.system ['true']\n", 2, 11),
        ("py_image_dedup:\n  origin: !!python/name:os.system\n", 2, 11),
        ("py_image_dedup:\n  origin: !!binary aGVsbG8=\n", 2, 11),
        ("py_image_dedup: !!set {dry_run}\n", 1, 17),
        ("{a: b}: c\n", 1, 1),
    ],
)
def test_bad_yaml_names_line_and_column(place: Place, text: str, line: int, column: int) -> None:
    """What is no YAML, has a key twice, or a tag that would make an object, is refused where it stands."""
    message = place.refusal(text)
    assert message.startswith(f"{place.here}/settings.yaml is not valid YAML at line {line}, column {column}: "), (
        message
    )


def test_tab_is_named(place: Place) -> None:
    r"""The commonest mistake is told: a tab."""
    assert place.refusal("py_image_dedup:\n\tdry_run: true\n").endswith(
        "found character '\\t' that cannot start any token"
    )


def test_wrong_encoding(place: Place) -> None:
    """A file that is not UTF-8 says at which byte."""
    for content in ("py_image_dedup: {origin: ü}".encode("latin-1"), "a: b".encode("utf-16"), b"\x7fELF\xff"):
        file = place.here / "settings.yaml"
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"settings\.yaml is not UTF-8 text \(byte \d+\)"):
            load_settings(config_file=str(file), environ={})


def test_deep_nesting_and_aliases(place: Place) -> None:
    """Neither depth nor aliases of aliases nor an alias in itself bring the program down."""
    assert "nested too deeply" in place.refusal("[" * 5000)
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
    )
    assert len(place.refusal(bomb)) < 1000
    nested = bomb.replace("\n", "\n    ")
    assert len(place.refusal(f"py_image_dedup:\n  stats:\n    {nested}")) < 1000
    assert len(place.refusal("py_image_dedup: {analysis: {exclusions: &x [*x, *x]}}")) < 1000
    assert len(place.refusal("py_image_dedup: &x {analysis: *x}")) < 1000


@pytest.mark.parametrize("text", ["hello", "42", "- py_image_dedup", "true", "'': 1"])
def test_a_file_that_is_no_mapping(place: Place, text: str) -> None:
    """A file that holds something else than keys says so."""
    assert f"{place.here}/settings.yaml" in place.refusal(text)


@pytest.mark.parametrize("section", ["3", "[a]", "text", "true", "'a: b'"])
@pytest.mark.parametrize("name", ["py_image_dedup", "analysis", "stats"])
def test_a_section_that_is_no_mapping(place: Place, name: str, section: str) -> None:
    """A scalar or list in place of a section is refused with an example."""
    text = f"{name}: {section}" if name == "py_image_dedup" else f"py_image_dedup: {{{name}: {section}}}"
    message = place.refusal(text)
    assert f"{name} in {place.here}/settings.yaml must hold keys and values, such as '" in message


@pytest.mark.parametrize(
    ("text", "name", "meant"),
    [
        (yaml("analysis.thread", "3"), "py_image_dedup.analysis.thread", "py_image_dedup.analysis.threads"),
        (yaml("analysis.max_distance", "1"), "analysis.max_distance", "py_image_dedup.elasticsearch.max_distance"),
        (yaml("dryrun", "true"), "py_image_dedup.dryrun", "py_image_dedup.dry_run"),
        (yaml("elastic.host", "x"), "py_image_dedup.elastic", "py_image_dedup.elasticsearch"),
        ("analysis: {threads: 3}", "analysis", "py_image_dedup.analysis"),
        ("py-image-dedup: {dry_run: true}", "py-image-dedup", "py_image_dedup"),
        ("py_image_dedup: {Dry_Run: true}", "py_image_dedup.Dry_Run", "py_image_dedup.dry_run"),
    ],
)
def test_unknown_key(place: Place, text: str, name: str, meant: str) -> None:
    """A key that nothing reads is an error with the name that was probably meant."""
    message = place.refusal(text)
    assert f"{name} in {place.here}/settings.yaml is not a key of py-image-dedup" in message
    assert message.endswith(f"; did you mean '{meant}'?")


@pytest.mark.parametrize("text", ["quux: 1", "1: 2", "~: 2", "? [a, b]\n: c", "quux:"])
def test_unknown_key_that_is_like_nothing(place: Place, text: str) -> None:
    """A key without any likeness says where settings belong."""
    assert place.refusal(text).endswith("is not a key of py-image-dedup; all settings stand below py_image_dedup")


def test_merge_keys_and_anchors(place: Place) -> None:
    """YAML's own means of repetition work."""
    text = "py_image_dedup:\n  daemon: &d {file_observer: inotify}\n  stats: {enabled: &no 'no'}\n  dry_run: *no\n"
    found = place.load(text).settings
    assert (found.stats.enabled, found.dry_run) == (False, False)
    assert place.load("py_image_dedup:\n  <<: {dry_run: false}\n").settings.dry_run is False


def test_values_are_taken_as_written(place: Place) -> None:
    """YAML does not turn a password or a name into a number, a date or a truth value first."""
    for text in ("0123", "1e5", "1_000", "0x1F", "yes", "2024-01-02", "12:30:45", "=", "<<", "1.10", ".5", "+1"):
        for first in ("", "%YAML 1.1\n---\n"):
            login = f"py_image_dedup: {{elasticsearch: {{user: {text}, password: {text}}}, origin: {text}}}"
            found = place.load(first + login).settings
            assert (found.elasticsearch.user, found.elasticsearch.password, found.origin) == (text, text, text)


# Single values


def accepted(place: Place, key: str, text: str) -> list[Any]:
    """Return the value of a text in YAML (quoted), in the environment and as an option."""
    return [
        value(place.load(yaml(key, json.dumps(text))), key),
        value(place.load(env={variable(key): text}), key),
        value(place.load(options={key: text}), key),
    ]


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        *[("dry_run", word, True) for word in ("true", "True", "TRUE", "yes", "on", "1", "y", "t", " true ")],
        *[("dry_run", word, False) for word in ("false", "False", "no", "off", "0", "n", "f", "Off")],
        ("analysis.threads", "1", 1),
        ("analysis.threads", " 1024 ", 1024),
        ("analysis.max_file_size", "1", 1),
        ("analysis.max_file_size", "500MB", 500 * 10**6),
        ("analysis.max_file_size", "2GB", 2 * 10**9),
        ("analysis.max_file_size", "2 gb", 2 * 10**9),
        ("analysis.max_file_size", "1.5kB", 1500),
        ("analysis.max_file_size", "1GiB", 2**30),
        ("analysis.max_file_size", "1TB", 10**12),
        ("analysis.max_file_size", "12b", 12),
        ("elasticsearch.max_distance", "0", 0.0),
        ("elasticsearch.max_distance", "-0", 0.0),
        ("elasticsearch.max_distance", "1", 1.0),
        ("elasticsearch.max_distance", ".25", 0.25),
        ("elasticsearch.max_distance", "15%", 0.15),
        ("elasticsearch.max_distance", "1e-2", 0.01),
        ("daemon.processing_timeout", "0", timedelta(0)),
        ("daemon.processing_timeout", "90", timedelta(seconds=90)),
        ("daemon.processing_timeout", "1.5", timedelta(seconds=1.5)),
        ("daemon.processing_timeout", "30s", timedelta(seconds=30)),
        ("daemon.processing_timeout", "5m", timedelta(minutes=5)),
        ("daemon.processing_timeout", "5 Minutes", timedelta(minutes=5)),
        ("daemon.processing_timeout", "1h30m", timedelta(hours=1.5)),
        ("daemon.processing_timeout", "2 days, 1 hour", timedelta(days=2, hours=1)),
        ("daemon.processing_timeout", "1 day, 0:05:00", timedelta(days=1, minutes=5)),
        ("daemon.processing_timeout", "1:00:05:00", timedelta(days=1, minutes=5)),
        ("daemon.processing_timeout", "0:05:00", timedelta(minutes=5)),
        ("daemon.processing_timeout", "5:00", timedelta(minutes=5)),
        ("daemon.file_observer", "Inotify", "inotify"),
        ("stats.port", "65535", 65535),
        ("elasticsearch.index", "my-photos_2.0", "my-photos_2.0"),
        ("elasticsearch.host", "es", "es"),
        ("elasticsearch.host", "my_es.example.org", "my_es.example.org"),
        ("elasticsearch.host", "192.168.0.1", "192.168.0.1"),
        ("elasticsearch.host", "::1", "::1"),
        ("elasticsearch.host", "[fe80::1]", "fe80::1"),
        ("origin", " my nas ", "my nas"),
        ("store", "elasticsearch", "elasticsearch"),
    ],
)
def test_accepted_values(place: Place, key: str, text: str, expected: object) -> None:
    """Values mean the same in the file, the environment and on the command line."""
    assert accepted(place, key, text) == [expected] * 3


NO_FRACTIONS = ("-0.1", "1.1", "nan", ".nan", "inf", "-inf", "abc", "0,1", "101%", "%")
NO_TIMES = ("-5m", "5x", "5ms", "soon", "inf", "nan", "1:2", "999999999999w", "5m!", "5m 5")
NO_PORTS = ("0", "65536", "-1", "http")
NO_INDICES = (
    *("Images", "-a", "_a", "+a", ".a", ".", "..", "a b", "a/b", "a*", "a#", "a:b", 'a"', "a,b"),
    *("a" * 201, "ä" * 101),
)


@pytest.mark.parametrize(
    ("key", "texts", "accepts"),
    [
        ("dry_run", ("2", "maybe", "tru", "-1", "none"), "it must be true or false"),
        (
            "analysis.threads",
            ("0", "-1", "1025", "1.0", "1e2", "four", "1_0", "٣", "9" * 5000, "0x10", "nan"),
            "it must be a whole number from 1 to 1024",
        ),
        ("analysis.max_megapixels", ("0", "-5", "inf"), "it must be a whole number from 1 to 100000"),
        ("analysis.max_file_size", ("0", "-1", "1XB", "GB", "0.1", "inf"), "it must be a size such as 500MB, 2GB"),
        ("elasticsearch.max_distance", NO_FRACTIONS, "it must be a number from 0 to 1"),
        ("deduplication.review_distance", NO_FRACTIONS, "it must be a number from 0 to 1"),
        ("deduplication.max_file_modification_time_diff", NO_TIMES, "it must be a length of time"),
        ("daemon.processing_timeout", NO_TIMES, "it must be a length of time"),
        ("elasticsearch.timeout", ("0", "0s"), "it must be longer than zero"),
        ("daemon.file_observer", ("poll", "inotify2"), "it must be one of polling, inotify"),
        (
            "deduplication.action",
            ("shred", "keep"),
            "it must be one of auto, move, trash, delete, hardlink, reflink, report",
        ),
        ("store", ("mysql",), "it must be one of auto, sqlite, elasticsearch"),
        ("stats.port", NO_PORTS, "it must be a whole number from 1 to 65535"),
        ("elasticsearch.port", NO_PORTS, "it must be a whole number from 1 to 65535"),
        ("elasticsearch.index", NO_INDICES, "it must be the name of an Elasticsearch index"),
        (
            "elasticsearch.host",
            ("es:9200", "http://es", "a b", "es/", "user@es", "::g", "fe80::1%eth0", "a..b"),
            "it must be a host name or an IP address",
        ),
        ("database", ("sqlite:///var/lib/x.sqlite", "file:///x.sqlite"), "it must be a path, not an address"),
        ("deduplication.duplicates_target_directory", ("smb://nas/away",), "it must be a path, not an address"),
        ("origin", ("a\nb", "a" * 201, "a\x1b[31m"), "it must be a name"),
    ],
)
def test_refused_values(place: Place, key: str, texts: tuple[str, ...], accepts: str) -> None:
    """A wrong value gives one message with key, value, place and what is accepted, wherever it is written."""
    for text in texts:
        in_file = place.refusal(yaml(key, json.dumps(text)))
        in_environment = place.refusal(env={variable(key): text})
        as_option = place.refusal(options={key: text})
        assert in_file.startswith(f"py_image_dedup.{key} in {place.here}/settings.yaml is ")
        assert in_environment.startswith(f"{variable(key)} in the environment is ")
        assert as_option.startswith("--it is ")
        for message in (in_file, in_environment, as_option):
            assert f"; {accepts}" in message
            assert len(message) < 500
            assert "@" in text or len(text) > 200 or repr(text) in message


def test_message_word_for_word(place: Place) -> None:
    """This is how a mistake reads."""
    assert place.refusal(yaml("elasticsearch.max_distance", "abc")) == (
        f"py_image_dedup.elasticsearch.max_distance in {place.here}/settings.yaml is 'abc'; "
        "it must be a number from 0 to 1"
    )


@pytest.mark.parametrize("key", KEYS)
def test_wrong_shapes(place: Place, key: str) -> None:
    """A mapping is never a value, and a list is none where one value is wanted."""
    assert f"py_image_dedup.{key} in " in place.refusal(yaml(key, "{a: b}"))
    assert f"py_image_dedup.{key} in " in place.refusal(yaml(key, "[[a]]"))
    if next(entry.split for entry in ENTRIES if entry.key == key) is None:
        assert "it must be a single value" in place.refusal(yaml(key, "[a]"))


@pytest.mark.parametrize("key", KEYS)
def test_empty_counts_as_not_set(place: Place, key: str) -> None:
    """A key without value and an empty variable leave the default, and do not hide what ranks lower."""
    default = place.load()
    for loaded in (place.load(yaml(key, "")), place.load(yaml(key, "null")), place.load(env={variable(key): ""})):
        assert loaded.settings == default.settings
        assert loaded.sources[key] == "default"
    if key == "dry_run":
        assert place.load(yaml(key, "false"), env={variable(key): ""}).settings.dry_run is False


def test_version_1_1_times_are_not_base_60(place: Place) -> None:
    """0:05:00 is five minutes even in a file that declares itself YAML 1.1, where it would be a number."""
    text = yaml("deduplication.max_file_modification_time_diff", "0:05:00")
    for first in ("", "%YAML 1.1\n---\n", "%YAML 1.2\n---\n"):
        found = place.load(first + text).settings.deduplication.max_file_modification_time_diff
        assert found == timedelta(minutes=5)


@given(
    st.one_of(
        st.from_regex(r"\A([0-9]{1,3}(w|d|h|m|s)){1,3}\Z"),
        st.from_regex(r"\A[0-9]{1,2} ?(weeks?|days?|hrs?|hours?|mins?|minutes?|secs?|seconds?)\Z"),
        st.from_regex(r"\A[0-9]{1,3}:[0-5][0-9]:[0-5][0-9]\Z"),
        st.from_regex(r"\A[0-5]?[0-9]:[0-5][0-9]\Z"),
        st.from_regex(r"\A[0-9]{1,2} days?, [0-9]{1,2}:[0-5][0-9]:[0-5][0-9]\Z"),
    )
)
def test_times_mean_what_they_meant_in_version_2(text: str) -> None:
    """What the parser below container-app-conf's own time entries understands is understood in the same way."""
    parse: Callable[[str], float | None] = importlib.import_module("pytimeparse").parse
    expected = parse(text)
    if expected is not None:  # it wants units in falling order
        assert values.duration(text) == timedelta(seconds=expected)


# Lists


def test_extensions(place: Place) -> None:
    """Extensions may lack the dot, be upper case or come twice."""
    for text in ("[jpg, .PNG, '.JPG', HEIC]", "jpg,.PNG, HEIC", '["jpg", "png", "heic"]', '\'["jpg", "PNG", "heic"]\''):
        found = place.load(yaml("analysis.file_extensions", text)).settings.analysis.file_extensions
        assert found == (".jpg", ".png", ".heic")
    found = place.load(env={"PY_IMAGE_DEDUP_ANALYSIS_FILE_EXTENSIONS": ".png,.jpg,"}).settings.analysis.file_extensions
    assert found == (".png", ".jpg")
    for text in ("'*.jpg'", "a/b", "'.tar.gz'", "'j pg'"):
        assert "it must be a file extension such as .jpg" in place.refusal(yaml("analysis.file_extensions", text))


@pytest.mark.parametrize("key", ["analysis.file_extensions", "deduplication.prioritization_rules"])
def test_lists_that_must_not_be_empty(place: Place, key: str) -> None:
    """Without any extension or rule there would be nothing to do."""
    for text in ("[]", "['']", "[~]"):
        assert place.refusal(yaml(key, text)).endswith("is empty; it must hold at least one item")
    assert "is empty" in place.refusal(env={variable(key): "[]"})


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        (r"['.*/excluded/.*', 'IMG_\d{2,4}']", [".*/excluded/.*", r"IMG_\d{2,4}"]),
        (r"'.*/a/.*,.*/b/.*'", [".*/a/.*", ".*/b/.*"]),
        (r"'IMG_\d{2,4}'", [r"IMG_\d{2,4}"]),
        (r"'(a,b),[,c],d'", ["(a,b)", "[,c]", "d"]),
        (r"'[Tt]humbs'", ["[Tt]humbs"]),
        (r"'[0-9]'", ["[0-9]"]),
        (r"'[1]'", ["[1]"]),
        (r"""'["a,b", "\d+"]'""", ["a,b", r"\d+"]),
        ("[]", []),
        ("[~, '']", []),
    ],
)
def test_exclusions(place: Place, text: str, patterns: list[str]) -> None:
    """Patterns with commas and brackets survive, in lists and as one text; an empty one never excludes all."""
    found = place.load(yaml("analysis.exclusions", text)).settings.analysis.exclusions
    assert [pattern.pattern for pattern in found] == patterns


@pytest.mark.parametrize("text", ["a(", "*", "[", "(?P<n", "a{99999999999999}", "(" * 3000 + ")" * 3000])
def test_bad_pattern(place: Place, text: str) -> None:
    """What is no regular expression is refused with the reason."""
    assert "it must be a regular expression (" in place.refusal(yaml("analysis.exclusions", json.dumps([text, "b"])))


def test_a_pattern_that_python_frowns_upon_works(place: Place) -> None:
    """Python's warnings about a pattern are not the user's trouble."""
    assert place.load(yaml("analysis.exclusions", "['[[a]b']")).settings.analysis.exclusions[0].search("[b")


@pytest.mark.parametrize(
    "text",
    [
        "[bigger-file-size, lower-score]",
        "[{name: bigger-file-size}, {name: lower-score}]",
        "[bigger-file-size, {name: lower-score}]",
        "bigger-file-size,lower-score",
        '" Bigger-File-Size , lower-score, "',
        """"[{'name': 'bigger-file-size'}, {'name': 'lower-score'}]\"""",
        """'{"name": "bigger-file-size"},{"name": "lower-score"}'""",
        """'["bigger-file-size", "lower-score"]'""",
    ],
)
def test_rules_as_names_or_as_version_2_wrote_them(place: Place, text: str) -> None:
    """Plain names and version 2's dictionaries are the same, in the file and in the environment."""
    key = "deduplication.prioritization_rules"
    assert value(place.load(yaml(key, text)), key) == ("bigger-file-size", "lower-score")
    if text[0] in "\"'":
        assert value(place.load(env={variable(key): text[1:-1].replace('\\"', '"')}), key) == (
            "bigger-file-size",
            "lower-score",
        )


def test_all_rule_names(place: Place) -> None:
    """Every rule of version 2 is there, both directions; a rule and its reverse may be listed together."""
    found = place.load(yaml("deduplication.prioritization_rules", f"[{', '.join(RULE_NAMES)}]")).settings
    assert found.deduplication.prioritization_rules == RULE_NAMES
    assert len(set(RULE_NAMES)) == 20


@pytest.mark.parametrize("text", ["[bigger-file, lower-score]", "[{name: bigger-file}]", "bigger-file"])
def test_unknown_rule(place: Place, text: str) -> None:
    """An unknown rule is named alone, with the likeliest name."""
    message = place.refusal(yaml("deduplication.prioritization_rules", text))
    assert re.search(r"prioritization_rules in \S+ (is|has the item) 'bigger-file'; it must be one of ", message)
    assert message.endswith("; did you mean 'bigger-file-size'?")


@pytest.mark.parametrize("text", ["[{nme: bigger-file-size}]", "[{name: bigger-file-size, x: y}]", "[{name: [a]}]"])
def test_rule_of_another_shape(place: Place, text: str) -> None:
    """A dictionary without exactly a name is no rule."""
    assert "it must be a single value" in place.refusal(yaml("deduplication.prioritization_rules", text))


@pytest.mark.parametrize("name", ["contains-copy-in-file-name", "doesnt-contain-copy-in-file-name"])
def test_the_swapped_rules_are_told_once(place: Place, name: str) -> None:
    """Naming either rule on "copy" gives one line that says what both mean now."""
    key = "deduplication.prioritization_rules"
    both = "[contains-copy-in-file-name, doesnt-contain-copy-in-file-name]"
    for loaded in (
        place.load(yaml(key, f"[{name}]")),
        place.load(env={variable(key): name}),
        place.load(options={key: [name]}),
        place.load(yaml(key, both)),
    ):
        (warning,) = loaded.warnings
        assert name in warning
        assert 'doesnt-contain-copy-in-file-name keeps names without "copy" first' in warning
    assert place.load(yaml(key, "[bigger-file-size]")).warnings == ()


# Folders and files


def test_source_folders_are_real_and_unique(place: Place) -> None:
    """Folders end up absolute, without links, trailing slashes or repetition, in the order given."""
    for name in ("b", "a"):
        (place.here / name).mkdir()
    (place.here / "link").symlink_to("a")
    text = yaml("analysis.source_directories", f"[b/, ./a//, link, ~/here/b, '/{place.here}/a']")
    assert place.load(text).settings.analysis.source_directories == (str(place.here / "b"), str(place.here / "a"))


def test_folders_with_commas(place: Place) -> None:
    """A comma in a path does no harm: lists keep it, and a single text that is a folder is that folder."""
    (place.here / "a,b").mkdir()
    (place.here / "c").mkdir()
    key, odd, plain = "analysis.source_directories", str(place.here / "a,b"), str(place.here / "c")
    assert value(place.load(yaml(key, json.dumps([odd]))), key) == (odd,)
    assert value(place.load(yaml(key, json.dumps(odd))), key) == (odd,)
    assert value(place.load(yaml(key, f'"{plain}, {plain}"')), key) == (plain,)
    assert value(place.load(env={variable(key): odd}), key) == (odd,)
    assert value(place.load(env={variable(key): "~/here/a,b"}), key) == (odd,)
    assert value(place.load(env={variable(key): f"{plain}, {place.here},"}), key) == (plain, str(place.here))
    assert value(place.load(env={variable(key): json.dumps([odd, plain])}), key) == (odd, plain)
    assert value(place.load(options={key: [odd, plain]}), key) == (odd, plain)


def test_folders_with_odd_bytes(place: Place) -> None:
    """A name that is no UTF-8 survives from the environment and the command line."""
    odd = os.fsdecode(os.fsencode(place.here) + b"/\xff\xfe")
    os.mkdir(odd)
    key = "analysis.source_directories"
    loaded = place.load(env={variable(key): odd})
    assert value(loaded, key) == value(place.load(options={key: [odd]}), key) == (odd,)
    assert all(text.encode() for _, text, _ in describe(loaded))
    place.refusal(env={variable(key): f"{odd}x"}, error=RootError).encode()


@pytest.mark.parametrize("key", ["analysis.source_directories", "deduplication.protected_directories"])
def test_missing_folder(place: Place, key: str) -> None:
    """A folder that is not there, or is a file, is named with the place where it was configured."""
    place.write("", "here/file")
    os.symlink("loop", place.here / "loop")
    cases = {
        "/no/such/folder": "there is no such folder",
        "missing": f"there is no folder '{place.here}/missing'",
        "file": "it must be a folder, and is none",
        "loop": "it must be a folder, and is none",
    }
    for text, reason in cases.items():
        starts: dict[str, dict[str, Any]] = {
            f"py_image_dedup.{key} in {place.here}/settings.yaml has the item ": {"text": yaml(key, f"[., {text}]")},
            f"{variable(key)} in the environment is ": {"env": {variable(key): text}},
            "--it is ": {"options": {key: (text,)}},
        }
        for start, where in starts.items():
            assert place.refusal(**where, error=RootError) == f"{start}{text!r}; {reason}"


def test_unreadable_folder(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may not be read is refused (asked of the system, since root may read everything)."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RootError, match="it must be a folder that you may read"):
        place.load(yaml("analysis.source_directories", "[.]"))


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "~nobody-of-this-name/x", " "])
@pytest.mark.parametrize(
    "key",
    ["analysis.source_directories", "deduplication.duplicates_target_directory", "database", "elasticsearch.ca_file"],
)
def test_what_can_not_be_a_path(place: Place, key: str, text: str) -> None:
    """Characters that no file name holds, and homes that nobody has, are refused."""
    assert "it must be a path" in place.refusal(yaml(key, json.dumps([text] if "directories" in key else text)))


def test_relative_path_without_a_working_folder(place: Place) -> None:
    """When the working folder is gone, only absolute paths can be meant; everything else still works."""
    place.here.rmdir()
    assert place.load(options={"database": "/x.sqlite"}).settings.database == "/x.sqlite"
    assert "the working folder no longer exists" in place.refusal(options={"database": "x.sqlite"})


def test_target(place: Place) -> None:
    """The target need not exist, may lie inside a source folder, and is stored absolute and without links."""
    key, root = "deduplication.duplicates_target_directory", "analysis.source_directories"
    (place.home / "link").symlink_to("here")
    loaded = place.load(options={key: "~/link/new/", root: [place.here]})
    assert value(loaded, key) == str(place.here / "new")
    assert loaded.settings.deduplication.action == "move"
    place.write("", "here/file")
    assert "it must be a folder, and is none" in place.refusal(options={key: "file"})
    for target in (place.here, place.home, "/", "~/link"):
        message = place.refusal(options={key: target, root: [place.here]})
        assert str(place.here) in message
        assert "it must be another folder" in message
    similar = place.load(options={key: f"{place.here}2", root: [place.here]})
    assert value(similar, key) == f"{place.here}2"


@pytest.mark.parametrize("key", ["database", "state_directory"])
def test_state_paths(place: Place, key: str) -> None:
    """Database and state directory may be new, but not of the wrong kind."""
    place.write("", "here/file")
    wrong = "." if key == "database" else "file"
    assert "and is " in place.refusal(options={key: wrong})
    assert value(place.load(options={key: "~/new/x"}), key) == str(place.home / "new/x")
    if key == "database":
        assert "is a folder" in place.refusal(options={key: "new/"})
        os.mkfifo(place.here / "pipe")
        for device in ("pipe", "/dev/zero", "/dev/null"):  # SQLite would leave files beside it
            assert "is a pipe, a socket or a device" in place.refusal(options={key: device})


# Actions and stores


def test_action(place: Place) -> None:
    """auto becomes move with a target and report without; move needs a target, delete none."""
    target = "deduplication.duplicates_target_directory"
    action = "deduplication.action"
    assert value(place.load(options={action: "auto", target: "x"}), action) == "move"
    assert value(place.load(options={action: "auto"}), action) == "report"
    assert value(place.load(options={action: "delete"}), action) == "delete"
    assert value(place.load(options={action: "report", target: "x"}), action) == "report"
    message = place.refusal(yaml(action, "move"))
    assert message.endswith("it needs a folder to move to: py_image_dedup.deduplication.duplicates_target_directory")


@pytest.mark.parametrize(
    ("settings_", "store", "urls"),
    [
        ({}, "sqlite", ()),
        ({"port": "9201"}, "sqlite", ()),
        ({"host": "es"}, "elasticsearch", ("http://es:9200",)),
        ({"host": "::1", "port": "9201"}, "elasticsearch", ("http://[::1]:9201",)),
        ({"urls": "https://a:1/,http://b:2/es"}, "elasticsearch", ("https://a:1", "http://b:2/es")),
        ({"urls": "http://[::1]:9200", "host": "es"}, "elasticsearch", ("http://[::1]:9200",)),
        ({"urls": "[]"}, "sqlite", ()),
    ],
)
def test_store_auto(place: Place, settings_: dict[str, str], store: str, urls: tuple[str, ...]) -> None:
    """A host or an address that is named anywhere means Elasticsearch; nothing else does."""
    named = {f"elasticsearch.{name}": text for name, text in settings_.items()}
    in_file = "py_image_dedup:\n  elasticsearch:\n" + "".join(
        f"    {n}: {json.dumps(t)}\n" for n, t in settings_.items()
    )
    for loaded in (
        place.load(in_file),
        place.load(env={variable(key): text for key, text in named.items()}),
        place.load(options=named),
    ):
        assert (loaded.settings.store, loaded.settings.elasticsearch.urls) == (store, urls)
        assert loaded.settings.elasticsearch.host == (settings_["host"].strip("[]") if "host" in settings_ else None)


def test_store_named(place: Place) -> None:
    """A store that is named is taken, whatever else is set; Elasticsearch has version 2's default address."""
    found = place.load(options={"store": "elasticsearch"}).settings
    assert (found.store, found.elasticsearch.urls) == ("elasticsearch", ("http://127.0.0.1:9200",))
    assert found.elasticsearch.host is None
    assert place.load(options={"store": "sqlite", "elasticsearch.host": "es"}).settings.store == "sqlite"


@pytest.mark.parametrize(
    "text",
    [
        "es",
        "es:9200",
        "http://es",
        "ftp://es:1",
        "http://:9200",
        "http://es:0",
        "http://es:99999",
        "http://es:x",
        "http://e s:1",
        "http://es:1?a=b",
        "http://es:1#a",
        "http://user@es:1",
        "http://[::1:9200",
        "http://a/b:1",
        "http://e\ns:1",
    ],
)
def test_bad_address(place: Place, text: str) -> None:
    """An address needs scheme, host and port, and nothing that a server's address has not."""
    message = place.refusal(yaml("elasticsearch.urls", json.dumps(["http://good:1", text])))
    assert "it must be an address with its port, such as https://localhost:9200" in message


# Secrets

SECRET = "hunter2"


def everything(loaded: Loaded) -> str:
    """Return all that could be shown of settings."""
    return f"{loaded!r} {loaded.settings!r} {loaded!s} {describe(loaded)} {loaded.warnings} {loaded.sources}"


def test_secrets_are_never_shown(place: Place) -> None:
    """Passwords, keys and logins in addresses appear in no repr and no description."""
    for options in (
        {"elasticsearch.user": "me", "elasticsearch.password": SECRET},
        {"elasticsearch.api_key": SECRET},
        {"elasticsearch.urls": f"https://me:{SECRET}@es:9200,http://me:{SECRET}@es2:9200"},
        {"elasticsearch.user": "me", "elasticsearch.password_file": place.write(f"{SECRET}\n", "secret")},
        {"elasticsearch.api_key_file": place.write(f"{SECRET}\n", "secret")},
    ):
        loaded = place.load(options=options)
        assert SECRET in (loaded.settings.elasticsearch.password, loaded.settings.elasticsearch.api_key)
        assert SECRET not in everything(loaded)
        assert "(hidden)" in everything(loaded)


def test_a_login_in_the_address_becomes_user_and_password(place: Place) -> None:
    """Addresses in the settings can be printed by anyone: the login is taken out and decoded."""
    loaded = place.load(options={"elasticsearch.urls": "https://me:p%40ss%2F@[::1]:9200/x"})
    found = loaded.settings.elasticsearch
    assert (found.urls, found.user, found.password) == (("https://[::1]:9200/x",), "me", "p@ss/")
    assert ("elasticsearch.urls", "https://(hidden)@[::1]:9200/x", "command line --it") in describe(loaded)
    assert ("elasticsearch.password", "(hidden)", "command line --it") in describe(loaded)


@pytest.mark.parametrize(
    "settings_",
    [
        {"user": "me"},
        {"password": SECRET},
        {"user": "me", "password": SECRET, "api_key": "abc"},
        {"user": "me", "password": SECRET, "password_file": "secret"},
        {"api_key": SECRET, "api_key_file": "secret"},
        {"urls": [f"http://me:{SECRET}@a:1", "http://b:1"]},
        {"urls": [f"http://me:{SECRET}@a:1", f"http://me:{SECRET}2@b:1"]},
        {"urls": [f"http://me:{SECRET}@a:1"], "user": "me"},
        {"urls": [f"http://me:{SECRET}@a:1"], "password": SECRET},
        {"urls": [f"http://me:{SECRET}@a:1"], "api_key": SECRET},
        {"user": "me", "password_file": "missing"},
        {"user": "me", "password_file": "."},
        {"user": "me", "password_file": "empty"},
        {"user": "me", "password_file": "two"},
        {"user": "me", "password_file": "latin"},
        {"api_key_file": "two"},
        {"api_key": f"{SECRET} ü"},
        {"password": f"{SECRET}\n{SECRET}"},
        {"ca_file": "missing"},
    ],
)
def test_logins_that_can_not_be(place: Place, settings_: dict[str, object]) -> None:
    """Half a login, two logins at once and bad secret files are told without telling the secret."""
    place.write(SECRET, "here/secret")
    place.write("\n", "here/empty")
    place.write(f"{SECRET}\n{SECRET}\n", "here/two")
    (place.here / "latin").write_bytes(SECRET.encode() + b"\xff")
    message = place.refusal(options={f"elasticsearch.{name}": raw for name, raw in settings_.items()})
    assert SECRET not in message


@pytest.mark.parametrize(
    "text",
    [
        "password: [hunter2]",
        "password: {hunter2: hunter2}",
        "password: *hunter2",
        "password: !hunter2",
        "password: %hunter2",
        "password: @hunter2",
        "password: 'hunter2",
        'password: "hunter2',
        "password: hunter2: x",
        "password: 'x'\n    password: 'hunter2'",
        "password: hunter2\n    password: y",
        r'password: "\hunter2"',
        "password: hunter2\x07",
        "password: >hunter2",
        "api_key: [hunter2]",
        "api_key: 'hunter2 hunter2'",
        "urls: http://me:hunter2@es",
        "urls: http://me:hunter2/@es:1",
        "urls: [http://me:hunter2@es, {a: b}]",
        "urls: {http://me:hunter2@es: b}",
        "urls: [[http://me:hunter2@es:1]]",
        "urls: 'http://me:hunter2@es:1,http://me:hunter2@es2'",
        "urls: me:hunter2@es:9200",
        "host: me:hunter2@es",
        "host: http://me:hunter2@es:9200",
        "host: [http://me:hunter2@es:9200]",
    ],
)  # fmt: skip
def test_mistakes_do_not_tell_secrets(place: Place, text: str) -> None:
    """A mistake in or beside a secret is told without it, whether the YAML or the value is at fault."""
    message = place.refusal(f"py_image_dedup:\n  elasticsearch:\n    {text}\n")
    assert "hunter2" not in message
    assert str(place.here / "settings.yaml") in message


def test_container_app_conf_is_silent(
    place: Place, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A mistake is one exception; nothing is logged or printed beside it."""
    with caplog.at_level("DEBUG"):
        place.load()
        place.refusal(yaml("analysis.threads", "hunter2"))
        place.refusal("a: [")
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


# Warnings


def test_unknown_variable(place: Place) -> None:
    """A variable that looks like ours and is none is warned about, with the likeliest name."""
    env = {"PY_IMAGE_DEDUP_DRYRUN": "1", "py_image_dedup_dry_run": "1", "PY_IMAGE_DEDUP_PUID": "1000", "PUID": "1000"}
    warnings = place.load(env=env).warnings
    assert len(warnings) == 3
    assert warnings[0] == (
        "PY_IMAGE_DEDUP_DRYRUN in the environment is not a setting of py-image-dedup; "
        "did you mean 'PY_IMAGE_DEDUP_DRY_RUN'?"
    )


def test_daemon_timeout(place: Place) -> None:
    """The key of version 2's reference file counts as its successor, which wins when both are set."""
    old = place.load("py_image_dedup: {daemon: {timeout: 5m}}")
    assert old.settings.daemon.processing_timeout == timedelta(minutes=5)
    assert "py_image_dedup.daemon.timeout" in old.warnings[0]
    assert "is taken as py_image_dedup.daemon.processing_timeout" in old.warnings[0]
    both = place.load("py_image_dedup: {daemon: {timeout: 5m, processing_timeout: 7s}}")
    assert both.settings.daemon.processing_timeout == timedelta(seconds=7)
    assert "is ignored" in both.warnings[0]
    assert place.load("py_image_dedup: {daemon: {timeout: }}").warnings == ()
    assert "py_image_dedup.daemon.timeout in " in place.refusal("py_image_dedup: {daemon: {timeout: 5x}}")


# Version 2

VERSION_2 = """\
py_image_dedup:
  analysis:
    across_dirs: false
    file_extensions:
      - .png
      - .jpg
      - .jpeg
    recursive: true
    source_directories:
      - /home/myuser/pictures/
    exclusions:
      - ".*/excluded/.*"
    threads: 1
    use_exif_data: true
  deduplication:
    duplicates_target_directory: /home/myuser/pictures/duplicates/
    max_file_modification_time_diff: 0:05:00
    prioritization_rules:
      - name: "more-exif-data"
      - name: "less-exif-data"
      - name: "bigger-file-size"
      - name: "smaller-file-size"
      - name: "newer-file-modification-date"
      - name: "older-file-modification-date"
      - name: "smaller-distance"
      - name: "bigger-distance"
      - name: "longer-path"
      - name: "shorter-path"
      - name: "contains-copy-in-file-name"
      - name: "longer-file-name"
      - name: "shorter-file-name"
      - name: "longer-folder-path"
      - name: "shorter-folder-path"
      - name: "higher-score"
      - name: "lower-score"
  daemon:
    timeout: 30s
    file_observer: polling
  dry_run: true
  elasticsearch:
    auto_create_index: true
    host: 127.0.0.1
    port: 9200
    index: images
    max_distance: 0.1
  remove_empty_folders: false
  stats:
    enabled: true
    port: 8000
"""


def test_reference_file_of_version_2(place: Place) -> None:
    """The settings of version 2's reference file load unchanged and mean the same."""
    (place.home / "pictures").mkdir()
    loaded = place.load(VERSION_2.replace("/home/myuser", str(place.home)))
    found = loaded.settings
    assert len(loaded.warnings) == 2  # daemon.timeout, the rule on "copy"
    assert found.analysis.source_directories == (str(place.home / "pictures"),)
    assert found.analysis.file_extensions == (".png", ".jpg", ".jpeg")
    assert found.analysis.exclusions == (re.compile(".*/excluded/.*"),)
    assert found.analysis.threads == 1
    assert found.deduplication.duplicates_target_directory == str(place.home / "pictures/duplicates")
    assert found.deduplication.max_file_modification_time_diff == timedelta(minutes=5)
    assert len(found.deduplication.prioritization_rules) == 17
    assert (found.deduplication.action, found.dry_run, found.store) == ("move", True, "elasticsearch")
    assert (found.elasticsearch.host, found.elasticsearch.urls) == ("127.0.0.1", ("http://127.0.0.1:9200",))
    assert found.daemon.processing_timeout == timedelta(seconds=30)


def test_compose_environment_of_version_2(place: Place) -> None:
    """The variables of version 2's compose file load unchanged and without a warning."""
    (place.home / "source").mkdir()
    env = {
        "PUID": "1000",
        "PGID": "1000",
        "PY_IMAGE_DEDUP_DRY_RUN": "True",
        "PY_IMAGE_DEDUP_ANALYSIS_SOURCE_DIRECTORIES": f"{place.home}/source/",
        "PY_IMAGE_DEDUP_ANALYSIS_RECURSIVE": "True",
        "PY_IMAGE_DEDUP_ANALYSIS_ACROSS_DIRS": "True",
        "PY_IMAGE_DEDUP_ANALYSIS_FILE_EXTENSIONS": ".png,.jpg,.jpeg",
        "PY_IMAGE_DEDUP_ANALYSIS_THREADS": "8",
        "PY_IMAGE_DEDUP_ANALYSIS_USE_EXIF_DATA": "True",
        "PY_IMAGE_DEDUP_DEDUPLICATION_DUPLICATES_TARGET_DIRECTORY": f"{place.home}/duplicates/",
        "PY_IMAGE_DEDUP_ELASTICSEARCH_HOST": "elasticsearch",
        "PY_IMAGE_DEDUP_ELASTICSEARCH_PORT": "9200",
        "PY_IMAGE_DEDUP_ELASTICSEARCH_INDEX": "images",
        "PY_IMAGE_DEDUP_ELASTICSEARCH_AUTO_CREATE_INDEX": "True",
        "PY_IMAGE_DEDUP_ELASTICSEARCH_MAX_DISTANCE": "0.1",
        "PY_IMAGE_DEDUP_REMOVE_EMPTY_FOLDERS": "False",
        "PY_IMAGE_DEDUP_STATS_ENABLED": "True",
        "PY_IMAGE_DEDUP_STATS_PORT": "8000",
    }
    loaded = place.load(env=env)
    found = loaded.settings
    assert loaded.warnings == ()
    assert found.analysis.source_directories == (f"{place.home}/source",)
    assert found.deduplication.duplicates_target_directory == f"{place.home}/duplicates"
    assert (found.analysis.across_dirs, found.analysis.threads, found.remove_empty_folders) == (True, 8, False)
    assert (found.store, found.elasticsearch.urls) == ("elasticsearch", ("http://elasticsearch:9200",))


# Whatever is written: settings or one clear error

ODD = st.one_of(
    st.text(max_size=20),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        (".inf", "-.inf", ".nan", "0x1f", "0o7", "1e400", "null", "2001-01-01", "12:30:45", "!!int x", "*a")
    ),
    st.sampled_from(("[a, [b]]", "{a: {b: c}}", "[]", "{}", "|\n  a", "- a", "'", '"', "http://a:b@c:1", "~root", "~")),
)


def outcome(load: Callable[[], Loaded]) -> Loaded | ConfigError:
    """Return what loading ends in."""
    try:
        return load()
    except ConfigError as error:
        return error


@pytest.mark.parametrize("key", KEYS)
@given(text=ODD)
@example(text="[~, '', a]")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_is_accepted_or_refused(place: Place, key: str, text: str) -> None:
    """No text for any key, in the file or the environment, ends in anything but settings or a ConfigError."""
    attempts: list[Callable[[], Loaded]] = [
        lambda: place.load(yaml(key, text.encode("utf-8", "ignore").decode())),
        lambda: place.load(yaml(key, json.dumps(text))),
        lambda: place.load(env={variable(key): text}),
        lambda: place.load(options={key: [text, text]}),
    ]
    for attempt in attempts:
        found = outcome(attempt)
        if isinstance(found, Loaded):
            assert isinstance(found.settings, Settings)
            assert len(describe(found)) == len(ENTRIES)


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_accepted_or_refused(place: Place, text: str) -> None:
    """No text file at all ends in anything but settings or a ConfigError that names the file."""
    found = outcome(lambda: place.load(text.encode("utf-8", "ignore").decode()))
    assert isinstance(found, Loaded) or str(place.here / "settings.yaml") in str(found)


@given(st.binary(max_size=100))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_accepted_or_refused(place: Place, content: bytes) -> None:
    """No file of any bytes ends in anything but settings or a ConfigError that names the file."""
    file = place.here / "settings.yaml"
    file.write_bytes(content)
    found = outcome(lambda: load_settings(config_file=str(file), environ={}))
    assert isinstance(found, Loaded) or str(file) in str(found)


# Description, reference file, documentation


def test_describe(place: Place) -> None:
    """Every setting is shown as text, as it is in effect, with its source."""
    text = yaml("analysis.exclusions", r"['a{1,2}', '\.x']")
    loaded = place.load(text, env={"PY_IMAGE_DEDUP_DRY_RUN": "no"}, options={"elasticsearch.host": "es"})
    rows = {key: (shown, source) for key, shown, source in describe(loaded)}
    assert list(rows) == KEYS
    assert rows["analysis.exclusions"] == (r"a{1,2}, \.x", str(place.here / "settings.yaml"))
    assert rows["dry_run"] == ("false", "environment PY_IMAGE_DEDUP_DRY_RUN")
    assert rows["elasticsearch.host"] == ("es", "command line --it")
    assert rows["elasticsearch.urls"] == ("http://es:9200", "default")
    assert rows["store"] == ("elasticsearch", "default")
    assert rows["deduplication.action"] == ("report", "default")
    assert rows["daemon.processing_timeout"] == ("30s", "default")
    assert rows["deduplication.duplicates_target_directory"] == ("(not set)", "default")
    assert rows["analysis.source_directories"] == ("(none)", "default")
    assert rows["analysis.file_extensions"][0].startswith(".jpg, .jpeg, .png, ")


def test_the_reference_file_is_current() -> None:
    """The file in the repository is what the table of settings says."""
    file = PROJECT / "py_image_dedup_reference.yaml"
    if os.environ.get("UPDATE_REFERENCE"):
        file.write_text(reference_yaml(), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == reference_yaml()


def test_the_reference_file_is_the_same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine is in it, and no line is longer than 100 characters."""
    here = reference_yaml()
    monkeypatch.setenv("HOME", "/home/somebody-else")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(96)))
    assert reference_yaml() == here
    assert max(len(line) for line in here.splitlines()) <= 100
    for key in KEYS:
        assert re.search(rf"^ +(# )?{key.rpartition('.')[2]}:", here, re.MULTILINE), key


def test_the_reference_file_loads_and_changes_nothing(place: Place) -> None:
    """Copied as it is, it sets what is the default anyway."""
    loaded = place.load(reference_yaml())
    assert loaded.settings == place.load().settings
    assert loaded.warnings == ()


def test_the_examples_in_the_reference_file_are_valid(place: Place) -> None:
    """Uncommented one by one, the examples load, once the folders and files they name are there."""
    for entry in ENTRIES:
        if entry.example is None:
            continue
        home = str(place.home)
        examples = [entry.example] if isinstance(entry.example, str) else list(entry.example)
        examples = [re.sub(r"^(/home/myuser|/run|/etc|/var/lib)/", f"{home}/", text) for text in examples]
        for text in examples:
            if text.startswith(home):
                made = Path(text)
                made.parent.mkdir(parents=True, exist_ok=True)
                if entry.key.endswith("_file"):
                    made.write_text("redis://host/0" if "broker" in entry.key else "secret", encoding="utf-8")
                elif "directories" in entry.key:
                    made.mkdir(exist_ok=True)
        options: dict[str, object] = {entry.key: examples if entry.split else examples[0].replace(" ", "-")}
        login = {
            "elasticsearch.user": "password",
            "elasticsearch.password": "user",
            "elasticsearch.password_file": "user",
        }
        if entry.key in login:
            options[f"elasticsearch.{login[entry.key]}"] = "x"
        assert entry.key in place.load(options=options).sources


def documented_rows() -> list[str]:
    """Return the rows of the tables of settings in the documentation."""
    text = (PROJECT / "docs/configuration.md").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.startswith("| `")]


def row(entry: Any) -> str:
    """Return the row that the documentation must have for a setting."""
    default = entry.otherwise
    if entry.default:
        default = ", ".join(f"`{d}`" for d in ([entry.default] if isinstance(entry.default, str) else entry.default))
    return f"| `{entry.key}` | `{variable(entry.key)}` | {default} | {entry.meaning} |"


def test_every_setting_is_documented_and_nothing_else() -> None:
    """The tables in docs/configuration.md hold exactly the settings, with variable, default and meaning."""
    assert sorted(documented_rows()) == sorted(row(entry) for entry in ENTRIES)


def test_every_preset_is_documented() -> None:
    """The table of presets has a row for each, and no other."""
    text = (PROJECT / "docs/configuration.md").read_text(encoding="utf-8")
    table = text[text.index("### Presets") : text.index("## elasticsearch")]
    assert sorted(re.findall(r"^\| ([a-z]+) \|", table, re.MULTILINE)) == sorted(["preset", *PRESETS])


def test_the_documented_example_loads(place: Place) -> None:
    """The YAML in the documentation is valid."""
    text = (PROJECT / "docs/configuration.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (place.home / "pictures").mkdir()
    loaded = place.load(block.replace("/home/myuser", str(place.home)))
    assert loaded.settings.deduplication.action == "move"
