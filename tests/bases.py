"""Tools that build and run containers without Docker, and stand-ins for the images that ours are based on.

For ``scripts/build-image``.  The stand-ins bear the names of the real ones, which would come from a registry: Python's
is Debian with its Python, Elasticsearch's holds the server that the tests use.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import elastic_server

_OFFICIAL = "docker" + ".io/library"  # what engines put before the name of an official image
PYTHON: Final = f"{_OFFICIAL}/python:3.13-slim-trixie"
SERVER: Final = f"{_OFFICIAL}/elasticsearch:{elastic_server.VERSION}"
QUEUE: Final = f"{_OFFICIAL}/redis:7-bookworm"
IMAGE: Final = f"{_OFFICIAL}/py-image-dedup:3"

_TOOLS = ("aardvark-dns", "buildah", "debootstrap", "iptables", "netavark", "podman", "runc")
_COMPOSE = "github.com/docker/compose/v2@v2.40.3"
_PACKAGES = "ca-certificates,curl,python3,python3-pip,python3-venv"
_PATH = "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_STORAGE = '[storage]\ndriver = "overlay"\ngraphroot = "{0}/storage"\nrunroot = "{0}/run"\n'
_ENGINE = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "netavark"
network_config_dir = "{0}/networks"
"""
_START = """\
#!/bin/bash
# As the real image does: settings, and the password of the user elastic, from the environment; sh would drop names with
# dots.
set -eu
[ -e config/elasticsearch.keystore ] || bin/elasticsearch-keystore create
printf %s "$ELASTIC_PASSWORD" | bin/elasticsearch-keystore add --force --stdin bootstrap.password
exec bin/elasticsearch $(env | sed -n 's/^\\([a-z_]*\\.[a-z_.]*=.*\\)$/-E\\1/p')
"""


class Failed(Exception):
    """A command failed, or a check found what should not be."""


def run(*words: str | Path, **options: Any) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, words))[:200]}\n{(done.stdout + done.stderr).strip()[-3000:]}")
    return str(done.stdout)


def configure(cache: Path) -> None:
    """Let buildah and podman keep everything they write in one folder."""
    (cache / "networks").mkdir(parents=True, exist_ok=True)
    for variable, text in (("CONTAINERS_STORAGE_CONF", _STORAGE), ("CONTAINERS_CONF", _ENGINE)):
        path = cache / f"{variable.lower()}.toml"
        path.write_text(text.format(cache))
        os.environ[variable] = str(path)


def prepare(cache: Path) -> None:
    """Get the tools, Docker Compose and the bases, as far as they are not there yet."""
    if any(not shutil.which(name, path=f"{os.environ['PATH']}:/usr/lib/podman") for name in _TOOLS):
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *_TOOLS)
    if not (cache / "docker-compose").exists():
        _build_compose(cache)
    if not (cache / "root").exists():
        _make_root(cache)
    have = run("buildah", "images", "--format", "{{.Name}}:{{.Tag}}").split()
    if PYTHON not in have:
        _commit(PYTHON, {cache / "root": "0:0"}, ["--cmd", "python3"])
    if QUEUE not in have:
        with_redis = cache / "root-redis"
        if not with_redis.exists():
            run("cp", "-a", cache / "root", cache / "root-redis.part")
            run("chroot", cache / "root-redis.part", "apt-get", "install", "-y", "-qq", "redis-server")
            (cache / "root-redis.part/data").mkdir()
            (cache / "root-redis.part").rename(with_redis)
        _commit(QUEUE, {with_redis: "0:0"}, ["--workingdir", "/data", "--cmd", "redis-server"])
    if SERVER not in have:
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            files = _server_files(Path(folder))
            config = ["--user", "1000:0", "--workingdir", "/usr/share/elasticsearch", "--entrypoint", '["./start"]']
            _commit(SERVER, {cache / "root": "0:0", files: "1000:0"}, config)


def _build_compose(cache: Path) -> None:
    told = json.loads(run("go", "mod", "download", "-json", _COMPOSE, cwd=cache))
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        source = Path(folder, "source")
        run("cp", "-r", "--no-preserve=mode", told["Dir"], source)
        version = f"-X github.com/docker/compose/v2/internal.Version={told['Version']}"
        words = ("go", "build", "-ldflags", version, "-o", cache / "docker-compose", "./cmd")
        run(*words, cwd=source, env={**os.environ, "CGO_ENABLED": "0"})


def _make_root(cache: Path) -> None:
    """Make a Debian with Python where the official image has it, and with the certificates of this machine."""
    root = cache / "root.part"
    run("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "trixie", root, _mirror())
    for name, program in (("python", "python3"), ("python3", "python3"), ("pip", "pip3")):
        (root / "usr/local/bin" / name).symlink_to(f"/usr/bin/{program}")
    for path in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        path.unlink()
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/ca-certificates.crt")
    root.rename(cache / "root")


def _mirror() -> str:
    """Return where this machine has Debian's packages from."""
    told = run("apt-get", "indextargets", "--format", "$(ORIGIN) $(SUITE) $(REPO_URI)", "Created-By: Packages")
    words = (line.split() for line in told.splitlines() if line.startswith("Debian "))
    return next(where for _, suite, where in words if "-" not in suite)


def _server_files(folder: Path) -> Path:
    """Lay out the server of the tests as the real image has it."""
    shutil.unpack_archive(elastic_server.distribution(), folder, "zip")
    (home,) = folder.glob("elasticsearch-*")
    place = folder / "files/usr/share/elasticsearch"
    place.parent.mkdir(parents=True)
    home.rename(place)
    shutil.copytree(elastic_server.find_java(), place / "jdk", symlinks=True)
    (place / "config/elasticsearch.yml").write_text("network.host: 0.0.0.0\n")
    (place / "start").write_text(_START)
    (place / "data").mkdir()
    run("chmod", "-R", "+x", place / "bin", place / "start", place / "jdk/bin", place / "jdk/lib")
    return folder / "files"


def _commit(name: str, layers: dict[Path, str], config: list[str]) -> None:
    """Make an image of folders and whose they are to be."""
    made = run("buildah", "from", "scratch").strip()
    for folder, owner in layers.items():
        run("buildah", "add", "--quiet", "--chown", owner, made, folder, "/")
    run("buildah", "config", "--env", _PATH, *config, made)
    run("buildah", "commit", "--quiet", "--format", "docker", "--rm", made, name)
