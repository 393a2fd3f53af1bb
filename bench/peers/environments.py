"""The peers as their users get them: one virtual environment each, and one cargo root, in the cache folder.

What can't be had is kept as a reason in words, so that the report names it instead of leaving it out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
DRIVERS = os.path.join(os.path.dirname(HERE), "drivers")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to install one thing: packages of one or more pip calls (with options in front), or a crate."""

    name: str
    pip: tuple[tuple[str, ...], ...] = ()
    crate: str = ""
    shown: str = ""
    """The distribution whose version is shown."""

    @property
    def text(self) -> str:
        """The recipe as one line; another line means another environment."""
        return self.crate or " && ".join(" ".join(call) for call in self.pip)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("difpy", (("difPy==4.2.1",),), shown="difPy"),
        Recipe("imagededup", (("imagededup==0.3.3.post1",),), shown="imagededup"),
        Recipe(
            "image-match",
            # It pins old releases of what it needs, so it comes alone, beside current ones.
            (("scikit-image==0.26.0", "pillow==13.0.0"), ("--no-deps", "image-match==1.1.2")),
            shown="image-match",
        ),
        Recipe("imagehash", (("ImageHash==4.3.2", "pillow==13.0.0"),), shown="ImageHash"),
        Recipe("pdqhash", (("pdqhash==0.2.8", "numpy==2.4.6", "pillow==13.0.0"),), shown="pdqhash"),
        Recipe("simplejpeg", (("simplejpeg==1.9.0",),), shown="simplejpeg"),
        Recipe("pillow", (("pillow==13.0.0",),), shown="pillow"),
        Recipe("czkawka", crate="czkawka_cli@12.0.2"),
        Recipe("plots", (("-r", os.path.join("bench", "requirements.txt")),), shown="matplotlib"),
    )
}


@dataclass(frozen=True, slots=True)
class Environment:
    """An installed recipe: what to run, and its versions; or why there is none."""

    name: str
    executable: str = ""
    version: str = ""
    packages: tuple[str, ...] = ()
    problem: str = ""

    def as_data(self) -> dict[str, Any]:
        """Return what a report needs, without paths."""
        return {"name": self.name, "version": self.version, "packages": self.packages, "problem": self.problem}


def prepare(names: Collection[str], cache: str, *, install: bool) -> dict[str, Environment]:
    """Install what is missing (or, with `install` false, take what is there) and tell what there is."""
    return {name: _prepare(RECIPES[name], cache, install=install) for name in names}


def _prepare(recipe: Recipe, cache: str, *, install: bool) -> Environment:
    place = os.path.join(cache, "env", recipe.name)
    marker = os.path.join(place, "made.json")
    executable = os.path.join(place, "bin", "czkawka_cli" if recipe.crate else "python")
    if os.path.exists(marker) and os.path.exists(executable):
        with open(marker, encoding="utf-8") as file:
            made = json.load(file)
        if made["recipe"] == recipe.text:
            return Environment(recipe.name, executable, made["version"], tuple(made["packages"]))
    if not install:
        return Environment(recipe.name, problem="not installed")
    print(f"installing {recipe.name}: {recipe.text}", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(cache, exist_ok=True)
    problem = _cargo(recipe, place, cache) if recipe.crate else _pip(recipe, place)
    if problem:
        shutil.rmtree(place, ignore_errors=True)
        print(f"  not available: {problem.splitlines()[-1]}", file=sys.stderr, flush=True)
        return Environment(recipe.name, problem=problem)
    version, packages = _versions(recipe, executable)
    with open(marker, "w", encoding="utf-8") as file:
        json.dump({"recipe": recipe.text, "version": version, "packages": packages}, file)
    return Environment(recipe.name, executable, version, tuple(packages))


def _cargo(recipe: Recipe, place: str, cache: str) -> str:
    if not shutil.which("cargo"):
        return "there is no cargo to build it with"
    target = os.path.join(cache, "build", recipe.name)  # kept when a build fails, so that the next one goes on
    problem = _run(["cargo", "install", "--locked", "--root", place, "--target-dir", target, recipe.crate])
    if not problem:
        shutil.rmtree(target, ignore_errors=True)
    return problem


def _pip(recipe: Recipe, place: str) -> str:
    problem = _run([sys.executable, "-m", "venv", place])
    python = os.path.join(place, "bin", "python")
    for call in recipe.pip:
        problem = problem or _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *call])
    return problem


def _run(command: Sequence[str]) -> str:
    """Run a command from the project's folder; return the end of what it said if it failed."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        cwd=os.path.dirname(os.path.dirname(HERE)),
    )
    return "" if done.returncode == 0 else (done.stderr or done.stdout or f"exit code {done.returncode}").strip()[-600:]


def _versions(recipe: Recipe, executable: str) -> tuple[str, list[str]]:
    if recipe.crate:
        return recipe.crate.partition("@")[2], []
    frozen = subprocess.run(
        [executable, "-m", "pip", "freeze", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    packages = [line for line in frozen if "==" in line]
    versions = {
        name.lower().replace("_", "-"): version for name, _, version in (line.partition("==") for line in packages)
    }
    return versions.get(recipe.shown.lower().replace("_", "-"), "?"), packages
