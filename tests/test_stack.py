"""The stack: docker-compose.yml is valid, and every command in it is run here, without Docker.

``scripts/build-image`` builds the image and brings the stack up; its log must be of the files as they are.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import containers
import pictures
import pytest
from command import Command
from containers import FOLDER, ROOT, services
from elastic_server import ElasticServer, find_java
from programs import need
from workers import RedisServer, Worker, running

from py_image_dedup.config.table import ENTRIES
from py_image_dedup.config.values import variable

PREFIX = "PY_IMAGE_DEDUP_"


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


def compose(folder: Path, text: str, *words: str, **given: str) -> subprocess.CompletedProcess[str]:
    """Run Debian's docker-compose, which needs no engine to check a file."""
    program = need("docker-compose", package="docker-compose")
    # It is older than this key; scripts/build-image runs a newer one on the whole file.
    (folder / "docker-compose.yml").write_text(re.sub(r" +bind: \{create_host_path: false\}\n", "", text))
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
    half = compose(tmp_path, stack, "config", "--quiet")
    (tmp_path / ".env").write_text(re.sub(r"(PASSWORD)=$", r"\1=secret", example, flags=re.MULTILINE))
    full = compose(tmp_path, stack, "config", "--quiet")
    wrong = compose(tmp_path, stack.replace("mem_limit", "memory_limit"), "config", "--quiet")

    assert empty.returncode != 0
    assert "set it in .env" in empty.stderr
    assert half.returncode != 0
    assert "REDIS_PASSWORD" in half.stderr
    assert (full.returncode, full.stderr) == (0, "")
    assert "memory_limit" in wrong.stderr


@pytest.mark.parametrize("name", services())
def test_every_service_is_watched_limited_and_restarted(name: str) -> None:
    service = services()[name]

    assert {"healthcheck", "mem_limit", "cpus", "pids_limit", "restart"} <= set(service)
    assert "no-new-privileges:true" in service["security_opt"]


def test_nothing_is_offered_beyond_this_machine() -> None:
    """Elasticsearch and Redis are on an inner network only; what is published is on the loopback address."""
    published = {name: service.get("ports", []) for name, service in services().items()}

    for name in ("elasticsearch", "redis", "worker"):
        assert published[name] == []
        assert services()[name]["networks"] == ["backend"]
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
    assert server.ask("GET", "/images-files/_count")["count"] == 2


# Redis and the worker


@pytest.mark.redis
def test_redis_and_the_worker_run_as_the_stack_says(tmp_path: Path, command: Command) -> None:
    """Their commands and health checks, with the password that docker-compose.yml gives them."""
    password = {"REDIS_PASSWORD": "s3cret"}
    redis, worker = services()["redis"], services()["worker"]
    words = containers.filled(redis["command"], **password).split()
    assert (words[0], words[1:3]) == ("redis-server", ["--requirepass", "s3cret"])
    server = RedisServer(tmp_path / "redis", *words[1:])
    server.start()

    def is_healthy(password: str) -> bool:
        check = str(redis["healthcheck"]["test"]).replace("redis-cli", f"redis-cli -p {server.port}")
        given = {"PATH": os.environ["PATH"], "REDISCLI_AUTH": password}
        return subprocess.run(["sh", "-c", check], env=given, check=False, capture_output=True).returncode == 0

    try:
        assert is_healthy("s3cret")
        assert not is_healthy("another")
        url = containers.filled(next(iter(worker["environment"].values())), **password)
        assert url == containers.filled(services()["daemon"]["environment"][f"{PREFIX}REMOTE_BROKER_URL"], **password)
        url = url.replace("redis:6379", f"127.0.0.1:{server.port}")
        check = worker["healthcheck"]["test"].split()[1:]
        nobody = command.run(*check, **{f"{PREFIX}REMOTE_BROKER_URL": url, "PYTHONWARNINGS": ""})
        # As in the image, whose configuration names folders that this container has not.
        shutil.copy(FOLDER / "py_image_dedup.yaml", tmp_path / "py_image_dedup.yaml")
        with running(Worker(tmp_path / "worker", url, XDG_CONFIG_HOME=str(tmp_path))):
            somebody = command.run(*check, **{f"{PREFIX}REMOTE_BROKER_URL": url, "PYTHONWARNINGS": ""})
        stranger = url.replace("s3cret", "wrong")
        refused = command.run(*check, **{f"{PREFIX}REMOTE_BROKER_URL": stranger, "PYTHONWARNINGS": ""})
    finally:
        server.stop()
    assert (nobody.code, "no worker answered within 10 s" in nobody.err) == (4, True)
    assert (somebody.code, somebody.out) == (0, "A worker answers.\n")
    assert (refused.code, "remote.broker_url" in refused.err) == (4, True)


# The log of the last build


def test_image_and_stack_were_built_as_they_are() -> None:
    """Whoever changes one of these files runs scripts/build-image again."""
    log = containers.LOG.read_text().splitlines()

    assert [line for line in containers.hashes() if line not in log] == []
    assert not [line for line in log if line.startswith("failed")]
