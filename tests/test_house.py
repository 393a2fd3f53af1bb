"""Rules of the house that no linter checks: what must agree agrees, and what is public says what it is."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from py_image_dedup import cli, config, errors, events, images, ranking, report
from py_image_dedup.config.names import DEFAULT_EXTENSIONS, DEFAULT_RULES

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "py_image_dedup"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> Iterator[tuple[str, click.Command]]:
    return iter(cli.cli.commands.items())


def public(
    node: ast.Module | ast.ClassDef, name: str
) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef]]:
    """Yield a module or class and what is public in it, functions' insides left out."""
    yield name, node
    for inner in node.body:
        if isinstance(inner, ast.ClassDef | ast.FunctionDef) and not inner.name.startswith("_"):
            if isinstance(inner, ast.ClassDef):
                yield from public(inner, f"{name}:{inner.name}")
            else:
                yield f"{name}:{inner.name}", inner


def test_rules_of_configuration_and_ranking_are_the_same() -> None:
    """Every rule that may be configured exists, and every rule that exists may be configured."""
    assert set(config.RULE_NAMES) == set(ranking.RULES)
    assert set(DEFAULT_RULES) <= set(ranking.RULES)


def test_default_extensions_are_those_of_the_formats() -> None:
    """A format is looked for under its usual extensions, and no extension without a format."""
    assert set(DEFAULT_EXTENSIONS) == {one for extensions in images.FORMATS.values() for one in extensions}


def test_every_counter_of_the_pipeline_reaches_the_json() -> None:
    """A name that the pipeline counts under is one of the counts in JSON."""
    source = "".join((PACKAGE / name).read_text(encoding="utf-8") for name in ("pipeline.py", "execution.py"))
    counted = set(re.findall(r'_tally\.add\("(\w+)"', source))

    assert counted
    assert counted <= set(report.COUNTS)


def test_phases_are_the_six_of_the_readme() -> None:
    """README explains the six phases under the names that the progress bar shows."""
    told = re.findall(r"^\d\. \*\*([^*]+)\*\*", README, flags=re.MULTILINE)

    assert len(events.PHASES) == 6
    assert tuple(told) == events.PHASES


def test_every_command_is_in_the_readme_and_nothing_else() -> None:
    """The table of commands lists exactly the commands there are."""
    told = set(re.findall(r"^\| `(\w+)[ `]", README, flags=re.MULTILINE))

    assert told == {name for name, _ in commands()}


def test_every_part_of_a_command_is_in_the_readme_and_nothing_else() -> None:
    """A command that has parts, such as index, has a row for each, and each has help."""
    for name, command in commands():
        if isinstance(command, click.Group):
            told = set(re.findall(rf"^\| `{name} (\w+)[ `]", README, flags=re.MULTILINE))
            assert told == set(command.commands), name
            assert all(part.help for part in command.commands.values()), name


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_option_is_in_the_readme_and_has_help(name: str) -> None:
    """Each option of a command is documented there and in --help."""
    for parameter in cli.cli.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            for option in (*parameter.opts, *parameter.secondary_opts):
                assert f"`{option}" in README or f"/{option}`" in README, option
    assert cli.cli.commands[name].help


def test_readme_names_no_option_that_does_not_exist() -> None:
    """Every long option in README is one of some command."""
    known = {
        option
        for _, command in commands()
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }

    assert set(re.findall(r"(?<![\w-])--[a-z][a-z_-]+", README)) <= known


def test_exit_codes_are_in_the_readme() -> None:
    """The table of exit codes lists the code of every error class and the two of the command itself."""
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE)}
    raised = {
        value.exit_code
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.DedupError)
    }

    assert told == raised | {0, errors.EXIT_REFUSED, errors.EXIT_INTERRUPTED, errors.EXIT_NO_READER}


def test_everything_public_has_a_docstring() -> None:
    """Modules, and public functions, classes and methods say what they are for."""
    silent = []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, node in public(tree, path.name):
            if not ast.get_docstring(node):
                silent.append(name)

    assert silent == []


def test_modules_are_small() -> None:
    """No module is longer than 400 lines."""
    sizes = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}

    assert {name: size for name, size in sizes.items() if size > 400} == {}


def test_every_module_is_in_the_architecture() -> None:
    """CONTRIBUTING names every module or its folder."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    modules = {module.name for module in pkgutil.iter_modules([str(PACKAGE)])} - {"__main__"}

    assert {name for name in modules if f"`{name}.py`" not in text and f"`{name}/`" not in text} == set()


def test_every_module_can_be_imported_first() -> None:
    """No module needs another to be imported before it."""
    for module in pkgutil.walk_packages([str(PACKAGE)], "py_image_dedup."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
