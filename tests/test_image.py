"""The image: every command of the Dockerfile and what the image starts, run here without Docker."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import containers
import pictures
import pytest
from command import Command
from containers import FOLDER, ROOT, image_environment, services
from daemons import Daemon
from privileges import NOBODY
from reviewing import reviewing

from py_image_dedup.config.values import variable

OWNER = 4321
PLACE = "/opt/py-image-dedup"
STATE = "/data/state"

Done = subprocess.CompletedProcess[str]


def python_for_all() -> str:
    """Return a Python that everybody may run: that of these tests may lie in root's home."""
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        user = NOBODY if os.geteuid() == 0 else None
        with contextlib.suppress(OSError):
            new = "import sys; sys.exit(sys.version_info < (3, 11))"
            if subprocess.run([python, "-c", new], check=False, capture_output=True, user=user).returncode == 0:
                return python
    pytest.fail("no Python 3.11 or newer that everybody may run")


class Image:
    """What the first stage of the Dockerfile makes, and of the rest what there can be without a container."""

    def __init__(self, folder: Path) -> None:
        self.place, self.source = folder / "installed", folder / "src"
        self.source.mkdir()
        # The base has a python and a pip of its own, and nothing else.
        base = folder / "base"
        subprocess.run([python_for_all(), "-m", "venv", "--without-pip", base], check=True)
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", base, "install", "--quiet", "pip"]
        subprocess.run(pip, check=True)
        self.build_path = f"{base}/bin:/usr/bin:/bin"

    def build(self) -> None:
        """Do what the instructions of the first stage say."""
        for step in containers.stages()[0]:
            if step.name == "COPY":
                *names, to = step.words.split()
                for name in names:
                    target = self.source / to
                    target = target if len(names) == 1 and (ROOT / name).is_dir() else target / Path(name).name
                    copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                    copy(ROOT / name, target)
            elif step.name == "RUN":
                words = step.words.replace(PLACE, str(self.place))
                environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
                environment["PATH"] = self.build_path
                done = subprocess.run(
                    ["sh", "-ec", words], cwd=self.source, env=environment, check=False, capture_output=True, text=True
                )
                assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"

    def run(self, *words: str | Path, state: Path, given: Mapping[str, str], user: int | None = None) -> Done:
        """Run the entrypoint with the environment of the image, as root unless a user is named."""
        paths = {"PATH": f"{self.place}/bin:/usr/bin:/bin"}
        environment = {name: value.replace(STATE, str(state)) for name, value in image_environment().items()}
        return subprocess.run(
            ["sh", str(FOLDER / "entrypoint"), *map(str, words)],
            env={**environment, **paths, **given},
            cwd=state,
            check=False,
            capture_output=True,
            text=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )


def ids(user: object, group: object) -> dict[str, str]:
    return {"PUID": str(user), "PGID": str(group)}


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The program, installed as the image has it; everybody may run it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = Image(Path(folder))
        made.build()
        yield made


@pytest.fixture
def root() -> None:
    """Tests of becoming somebody else need to be root."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("only root can become somebody else")


@pytest.fixture
def owned(open_folder: Path) -> Path:
    """A state directory that is root's, as a new volume is, and an album of the owner's with a copy in it."""
    (open_folder / "state").mkdir(mode=0o755)
    album = open_folder / "album"
    album.mkdir()
    pictures.photo(1, (320, 240)).save(album / "a.jpg", quality=92)
    shutil.copy(album / "a.jpg", album / "a copy.jpg")
    for path in (album, *album.iterdir()):
        os.chown(path, OWNER, OWNER)
    return open_folder


def normal(requirement: str) -> str:
    """Return the name of what is required, as the index writes it."""
    return re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0].lower().replace("_", "-").replace(".", "-")


def test_the_pins_are_all_that_the_program_needs(image: Image) -> None:
    """Whoever adds a dependency, to an extra too, runs scripts/pin."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [one for name, some in project["optional-dependencies"].items() if name != "dev" for one in some]
    wanted = {normal(one) for one in (*project["dependencies"], *extras)} - {"py-image-dedup"}
    assert wanted <= {normal(line) for line in (FOLDER / "requirements.txt").read_text().splitlines()}

    pip = [sys.executable, "-m", "pip", "--python", str(image.place), "check"]
    done = subprocess.run(pip, check=False, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "No broken requirements found.\n")


def test_the_build_leaves_out_everything_but_the_program(image: Image) -> None:
    """No pip and no build tool is in what the second stage copies; the program is, and starts."""
    found = {path.name.partition("-")[0].lower() for path in image.place.glob("lib/python*/site-packages/*")}

    assert "py_image_dedup" in found
    assert found.isdisjoint({"pip", "setuptools", "wheel", "pytest"})
    done = subprocess.run([image.place / "bin/py-image-dedup", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("py-image-dedup, version ")


@pytest.mark.usefixtures("root")
def test_everything_is_done_as_the_owner(image: Image, owned: Path) -> None:
    """With PUID and PGID, root hands over the state directory; what is moved and written is the owner's."""
    words = ("deduplicate", "--no-dry-run", "--target", owned / "album/out", owned / "album")
    done = image.run(*words, state=owned / "state", given=ids(OWNER, OWNER))

    assert done.returncode == 0, done.stderr
    moved = [path for path in (owned / "album/out").rglob("*") if path.is_file()]
    written = [path for path in (owned / "state").rglob("*") if path.is_file()]
    assert len(moved) == 1
    assert {"acting.lock", "signatures.sqlite"} <= {path.name for path in written}
    assert {path.stat().st_uid for path in (*moved, *written, owned / "state")} == {OWNER}


@pytest.mark.usefixtures("root")
def test_the_owner_of_the_state_may_change(image: Image, owned: Path) -> None:
    """A volume that was somebody else's is handed over whole."""
    before = image.run("deduplicate", owned / "album", state=owned / "state", given=ids(99, 100))
    after = image.run("deduplicate", owned / "album", state=owned / "state", given=ids(OWNER, OWNER))

    assert (before.returncode, after.returncode) == (0, 0), before.stderr + after.stderr
    assert {path.stat().st_uid for path in (owned / "state").rglob("*")} == {OWNER}


@pytest.mark.usefixtures("root")
def test_nothing_of_root_is_left(image: Image, owned: Path) -> None:
    """No group of root's and no way back."""
    told = owned / "told"
    program = owned / "py-image-dedup"
    program.write_text(f"#!/bin/sh\ncat /proc/self/status > {told}\n")
    program.chmod(0o755)
    image.run(state=owned / "state", given={**ids(OWNER, 77), "PATH": f"{owned}:/usr/bin:/bin"})

    status = dict(re.findall(r"^(\w+):[ \t]*(.*?)[ \t]*$", told.read_text(), flags=re.MULTILINE))
    assert status["Uid"].split() == [str(OWNER)] * 4
    assert status["Gid"].split() == ["77"] * 4
    assert (status["Groups"], status["NoNewPrivs"]) == ("", "1")
    assert int(status["CapEff"], 16) == 0


@pytest.mark.usefixtures("root")
def test_somebody_else_stays_who_he_is(image: Image, owned: Path) -> None:
    """Started as no root, as with `user:` or in Kubernetes, PUID means nothing."""
    os.chown(owned / "state", OWNER, OWNER)
    done = image.run("deduplicate", owned / "album", state=owned / "state", given=ids(99, 100), user=OWNER)

    assert done.returncode == 0, done.stderr
    assert (owned / "state/signatures.sqlite").stat().st_uid == OWNER


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(("user", "group"), [("me", 1000), (1000, ""), ("", 1000), (-1, 1000)])
def test_ids_that_are_none_are_refused(image: Image, owned: Path, user: object, group: object) -> None:
    done = image.run("config", state=owned / "state", given=ids(user, group))

    assert done.returncode == 3
    assert "PUID and PGID must be" in done.stderr


def test_a_mounted_file_of_version_2_comes_first(image: Image, owned: Path) -> None:
    """/app/py_image_dedup.yaml, the working directory, wins over the file in the image; the volume stays the volume."""
    app = owned / "state"  # stands for /app: the folder the program is started in
    (app / "py_image_dedup.yaml").write_text("py_image_dedup:\n  analysis:\n    threads: 7\n")
    shutil.copy(FOLDER / "py_image_dedup.yaml", owned)
    given = {**ids(os.geteuid(), os.getegid()), "XDG_CONFIG_HOME": str(owned)}
    told = image.run("config", state=app, given=given).stdout

    assert "\nanalysis.threads: 7  # " in told
    assert "/data/in" not in told
    assert f"\nstate_directory: {app}  # environment PY_IMAGE_DEDUP_STATE_DIRECTORY" in told


def test_the_file_in_the_image_is_one(image: Image, owned: Path) -> None:
    """Without any other it names the folders; here they do not exist, and that is said."""
    shutil.copy(FOLDER / "py_image_dedup.yaml", owned)
    given = {**ids(os.geteuid(), os.getegid()), "XDG_CONFIG_HOME": str(owned)}
    done = image.run("deduplicate", state=owned / "state", given=given)

    assert done.returncode == 3
    assert "analysis.source_directories" in done.stderr
    assert "/data/in" in done.stderr


# Health


def checked(image: Image, *words: str, **environment: str) -> Done:
    """Run the health check of the image."""
    (step,) = (step for step in containers.stages()[-1] if step.name == "HEALTHCHECK")
    assert step.words.endswith(" CMD healthcheck")
    assert [services()[name]["healthcheck"]["test"] for name in ("daemon", "review")] == [
        "healthcheck",
        "healthcheck review",
    ]
    environment["PATH"] = f"{image.place}/bin:/usr/bin:/bin"
    command: list[str | Path] = [FOLDER / "healthcheck", *words]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


def test_a_daemon_is_healthy_until_it_ends(image: Image, command: Command, tmp_path: Path) -> None:
    """The check asks the real daemon; where nobody answers it says so."""
    (tmp_path / "album").mkdir()
    with Daemon(command, tmp_path / "album") as daemon:
        port = {variable("stats.port"): str(daemon.port)}
        daemon.wait_until_ready()
        well = checked(image, **port)
        daemon.leave()
    gone = checked(image, **port)

    assert (well.returncode, well.stderr) == (0, "")
    assert gone.returncode == 1
    assert gone.stderr.startswith("no answer: ")


def test_a_review_page_is_healthy_until_it_ends(image: Image, command: Command, tmp_path: Path) -> None:
    """Also where a token is asked for."""
    plan = tmp_path / "plan.json"
    (tmp_path / "album").mkdir()
    assert command.run("deduplicate", tmp_path / "album", "--dry-run", "--plan", plan).code == 0
    with reviewing(command, plan, **{variable("review.token"): "secret"}) as page:
        port = {variable("review.port"): str(page.port)}
        well = checked(image, "review", **port)
    gone = checked(image, "review", **port)

    assert (well.returncode, well.stderr) == (0, "")
    assert gone.returncode == 1
    assert gone.stderr.startswith("no answer: ")


def test_a_daemon_without_probes_counts_as_healthy(image: Image) -> None:
    """As version 2 allowed: nobody can be asked then."""
    assert checked(image, **{variable("stats.enabled"): "False", variable("stats.port"): "1"}).returncode == 0


def test_a_daemon_that_hangs_is_not_healthy(image: Image) -> None:
    """Any answer but 200 is none; the reason is passed on."""

    class Hanging(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()
            self.wfile.write(b"nothing was heard for 601 s")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Hanging) as server:
        threading.Thread(target=server.handle_request).start()
        told = checked(image, **{variable("stats.port"): str(server.server_port)})

    assert told.returncode == 1
    assert "503" in told.stderr
    assert "601 s" in told.stderr
