"""Image and stack: every command that Dockerfile and docker-compose.yml run is run here, without Docker.

``scripts/build-image`` builds the image and brings the stack up; its log must be of the files as they are.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import containers
import pictures
import pytest
from command import Command
from containers import FOLDER, ROOT, image_environment, services
from daemons import Daemon
from elastic_server import ElasticServer, find_java
from privileges import NOBODY
from programs import need

from py_image_dedup.config.table import ENTRIES
from py_image_dedup.config.values import variable

OWNER = 4321
PREFIX = "PY_IMAGE_DEDUP_"
PLACE = "/opt/py-image-dedup"
STATE = "/data/state"


Done = subprocess.CompletedProcess[str]

# The image


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


def checked(image: Image, **environment: str) -> Done:
    """Run the health check of the image."""
    (words,) = (step.words for step in containers.stages()[-1] if step.name == "HEALTHCHECK")
    assert words.endswith(" CMD healthcheck")
    assert services()["daemon"]["healthcheck"]["test"] == "healthcheck"
    environment["PATH"] = f"{image.place}/bin:/usr/bin:/bin"
    return subprocess.run([FOLDER / "healthcheck"], env=environment, check=False, capture_output=True, text=True)


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


# Settings


def test_variables_are_settings() -> None:
    """What the image, the stack and their documentation set in the environment are settings of the program."""
    known = {variable(entry.key) for entry in ENTRIES}
    text = "".join((ROOT / name).read_text() for name in ("Dockerfile", "docker-compose.yml", "docs/containers.md"))
    used = set(re.findall(rf"{PREFIX}[A-Z_]+", text))

    assert len(used) > 10
    assert used <= known


def test_the_example_names_what_the_stack_takes() -> None:
    """env.example has a line for each variable that docker-compose.yml takes, and no other."""
    given = re.findall(r"^(\w+)=", (FOLDER / "env.example").read_text(), flags=re.MULTILINE)

    assert set(given) == set(containers.variables())
    assert set(given) <= set(re.findall(r"`(\w+)`", (ROOT / "docs/containers.md").read_text()))


# The stack


def compose(folder: Path, text: str, *words: str, **given: str) -> Done:
    """Run Debian's docker-compose, which needs no engine to check a file."""
    program = need("docker-compose", package="docker-compose")
    # It is older than this key; scripts/build-image runs a newer one on the whole file.
    (folder / "docker-compose.yml").write_text(text.replace("        bind: {create_host_path: false}\n", ""))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **given}
    return subprocess.run([program, *words], cwd=folder, env=environment, check=False, capture_output=True, text=True)


@pytest.fixture
def stack() -> str:
    return (ROOT / "docker-compose.yml").read_text()


def test_the_stack_is_valid_once_it_is_filled_in(tmp_path: Path, stack: str) -> None:
    """With the example and a password; without, what is missing is named."""
    example = (FOLDER / "env.example").read_text()
    (tmp_path / ".env").write_text(example)
    empty = compose(tmp_path, stack, "config", "--quiet")
    (tmp_path / ".env").write_text(example.replace("ELASTIC_PASSWORD=", "ELASTIC_PASSWORD=secret"))
    full = compose(tmp_path, stack, "config", "--quiet")
    wrong = compose(tmp_path, stack.replace("mem_limit", "memory_limit"), "config", "--quiet")

    assert empty.returncode != 0
    assert "set it in .env" in empty.stderr
    assert (full.returncode, full.stderr) == (0, "")
    assert "memory_limit" in wrong.stderr


@pytest.mark.parametrize("name", services())
def test_every_service_is_watched_limited_and_restarted(name: str) -> None:
    service = services()[name]

    assert {"healthcheck", "mem_limit", "cpus", "pids_limit", "restart"} <= set(service)
    assert "no-new-privileges:true" in service["security_opt"]


def test_nothing_is_offered_beyond_this_machine() -> None:
    """Elasticsearch is on an inner network only; what is published is on the loopback address."""
    published = {name: service.get("ports", []) for name, service in services().items()}

    assert published["elasticsearch"] == []
    assert services()["elasticsearch"]["networks"] == ["backend"]
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


class StackServer(ElasticServer):
    """Elasticsearch with the settings and the password that docker-compose.yml gives it."""

    def __init__(self, password: str) -> None:
        environment = services()["elasticsearch"]["environment"]
        super().__init__({key: value for key, value in environment.items() if "." in key})
        self.login = f"elastic:{password}"
        # As the entrypoint of the real image does with ELASTIC_PASSWORD.
        keystore = [str(self.home / "bin/elasticsearch-keystore")]
        java = {"PATH": os.environ["PATH"], "ES_JAVA_HOME": str(find_java()), "CLI_JAVA_OPTS": "-Xmx128m"}
        subprocess.run([*keystore, "create"], env=java, check=True, capture_output=True)
        add = [*keystore, "add", "--stdin", "bootstrap.password"]
        subprocess.run(add, input=password.encode(), env=java, check=True, capture_output=True)

    def _opener(self) -> urllib.request.OpenerDirector:
        opener = urllib.request.build_opener()
        opener.addheaders = [("Authorization", f"Basic {base64.b64encode(self.login.encode()).decode()}")]
        return opener


@pytest.fixture(scope="module")
def server() -> Iterator[StackServer]:
    made = StackServer("pass word'$1")
    try:
        made.start()
        yield made
    finally:
        made.stop()


def healthy(server: StackServer, password: str) -> bool:
    """Run the health check of docker-compose.yml."""
    need("curl", package="curl")
    words = containers.filled(services()["elasticsearch"]["healthcheck"]["test"])
    assert "localhost:9200" in words
    words = words.replace("localhost:9200", f"127.0.0.1:{server.port}")
    environment = {"PATH": os.environ["PATH"], "ELASTIC_PASSWORD": password}
    return subprocess.run(["sh", "-c", words], env=environment, check=False, capture_output=True).returncode == 0


@pytest.mark.elasticsearch
def test_the_server_is_healthy_and_lets_nobody_in_without_the_password(server: StackServer) -> None:
    assert healthy(server, server.login.partition(":")[2])
    assert not healthy(server, "another")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{server.url}/_cluster/health", timeout=10)


@pytest.mark.elasticsearch
def test_the_program_finds_the_server_by_the_environment_of_the_stack(
    server: StackServer, command: Command, tmp_path: Path
) -> None:
    """Host, user and password as docker-compose.yml gives them; with another password it ends with exit code 4."""
    album = tmp_path / "album"
    album.mkdir()
    for name in ("a.jpg", "b.jpg"):
        pictures.photo(1, (320, 240)).save(album / name, quality=92)
    given = services()["daemon"]["environment"]
    names = [f"{PREFIX}ELASTICSEARCH_{name}" for name in ("HOST", "USER", "PASSWORD")]
    password = server.login.partition(":")[2]
    own = {name: containers.filled(given[name], ELASTIC_PASSWORD=password) for name in names}
    assert own[names[0]] in services()
    own |= {names[0]: "127.0.0.1", f"{PREFIX}ELASTICSEARCH_PORT": str(server.port)}

    right = command.run("deduplicate", album, **own)
    wrong = command.run("deduplicate", album, **own | {names[2]: "another"})

    assert (right.code, right.groups()) == (0, [{"a.jpg", "b.jpg"}])
    assert wrong.code == 4
    held = server.ask("GET", "/images-files/_count")
    assert json.loads(json.dumps(held))["count"] == 2


# The log of the last build


def test_image_and_stack_were_built_as_they_are() -> None:
    """Whoever changes one of these files runs scripts/build-image again."""
    log = containers.LOG.read_text().splitlines()

    assert [line for line in containers.hashes() if line not in log] == []
    assert not [line for line in log if line.startswith("failed")]
