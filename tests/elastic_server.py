"""A real Elasticsearch for tests: the integ-test distribution from Maven Central, on loopback, no Docker."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

VERSION = "9.5.0"
OLDEST_JAVA = 21
_GROUP = "org.elasticsearch.distribution.integ-test-zip"
_NAME = "elasticsearch"


class Unavailable(Exception):
    """A part needed to run the server is missing on this machine; the message says which."""


class ElasticServer:
    """One node on loopback.  `options` are further ``-E`` settings; they win over the defaults.

    `heap`: its memory; `short_lived`: it starts in half the time, and is slower in the long run.

    ``start()`` returns when the node answers (``wait=False``: when it has been launched; a node of a cluster
    may have to wait for the others).  Between construction and start, files (users, certificates) may be put into
    ``config``.  ``stop()`` ends the node and removes its folder; stopping twice is no error.
    """

    def __init__(
        self,
        options: Mapping[str, str] | None = None,
        *,
        version: str = VERSION,
        heap: str = "512m",
        short_lived: bool = False,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._java = find_java()
        self._options = dict(options or {})
        self._java_options = f"-Xms{heap} -Xmx{heap}" + " -XX:TieredStopAtLevel=1" * short_lived
        self._folder = Path(tempfile.mkdtemp(prefix="elasticsearch-"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.home = _unpack(distribution(version), self._folder)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self.config = self.home / "config"
        self.log = self._folder / "output.log"

    def start(self, *, wait: bool = True) -> None:
        settings = {
            "http.port": str(self.port),
            "network.host": "127.0.0.1",
            "discovery.type": "single-node",
            "xpack.security.enabled": "false",
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            "path.data": str(self._folder / "data"),
            "path.logs": str(self._folder / "logs"),
        } | self._options
        command = [str(self.home / "bin" / "elasticsearch")]
        command += [word for key, value in settings.items() for word in ("-E", f"{key}={value}")]
        temporary = self._folder / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("ES_", "JAVA_"))}
        environment |= {
            "ES_JAVA_HOME": str(self._java),
            "ES_JAVA_OPTS": self._java_options,
            "HOME": str(self._folder),
            "ES_TMPDIR": str(temporary),
        }
        user = _unprivileged()
        if user is not None:
            _give(self._folder, *user)
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self._folder,
                start_new_session=True,
                user=user and user[0],
                group=user and user[1],
                extra_groups=[] if user else None,
            )
        if wait:
            self.wait()

    def wait(self, seconds: float = 240) -> None:
        """Return when the node answers; raise RuntimeError with the end of its log when it dies or stays silent."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                if self.ask("GET", "/_cluster/health")["status"] != "red":
                    return
            time.sleep(0.2)
        tail = self.log.read_text(errors="replace")[-3000:]
        self.stop()
        raise RuntimeError(f"Elasticsearch did not start:\n{tail}")

    def cpu_seconds(self) -> float:
        """Return the CPU seconds, user and system, that the node has taken so far."""
        assert self._process is not None
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[3]) == self._process.pid:  # the launcher's session
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def ask(self, method: str, path: str, body: object = None, *, seconds: float = 5) -> Any:
        """Send a request as somebody who may do everything, and return the answer; a refusal is an OSError."""
        request = urllib.request.Request(self.url + path, method=method, headers={"Content-Type": "application/json"})
        request.data = None if body is None else json.dumps(body).encode()
        try:
            with self._opener().open(request, timeout=seconds) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                raise OSError(f"{method} {path}: {refused.status} {refused.read().decode()}") from None

    def _opener(self) -> urllib.request.OpenerDirector:
        return urllib.request.build_opener()

    def stop(self) -> None:
        self.halt()
        shutil.rmtree(self._folder, ignore_errors=True)

    def halt(self) -> None:
        """End the node and keep what it holds; it may be started again."""
        if self._process is not None:
            # The launcher and the server it starts share a session of their own: both are ours.
            for number, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 15)):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=patience)
                    break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process = None


def remove_indices(url: str, index: str) -> None:
    """Delete all indices of one set: those whose names begin so."""
    with urllib.request.urlopen(f"{url}/_alias", timeout=30) as answer:
        names = [name for name in json.load(answer) if name == index or name.startswith(f"{index}-")]
    for name in names:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/{name}", method="DELETE"), timeout=30):
            pass


@functools.cache
def missing() -> str:
    """Tell which part is missing to have a server, or return the empty string."""
    if not os.environ.get("ELASTICSEARCH_URL"):
        try:
            find_java()
            distribution()
        except Unavailable as reason:
            return str(reason)
    return ""


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Give the URL of a server: the one that ``ELASTICSEARCH_URL`` names, else one of our own, stopped at the end."""
    given = os.environ.get("ELASTICSEARCH_URL")
    if given:
        yield given.rstrip("/")
        return
    server = ElasticServer()
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def find_java() -> Path:
    """Return the home of a JDK that is new enough: the one the environment names, else the newest installed."""
    named = [Path(os.environ[key]) for key in ("ES_JAVA_HOME", "JAVA_HOME") if os.environ.get(key)]
    for home in named:
        if _java_version(home) >= OLDEST_JAVA:
            return home
    installed = [*Path("/usr/lib/jvm").glob("*")]
    on_path = shutil.which("java")
    if on_path:
        installed.append(Path(on_path).resolve().parent.parent)
    newest = max(installed, key=_java_version, default=None)
    if newest is None or _java_version(newest) < OLDEST_JAVA:
        raise Unavailable(f"Elasticsearch needs a JDK {OLDEST_JAVA} or newer and none was found (set ES_JAVA_HOME)")
    return newest


def distribution(version: str = VERSION) -> Path:
    """Return the zip in the local Maven repository, downloaded if it is not there yet."""
    maven = shutil.which("mvn")
    target = Path(_GROUP.replace(".", "/")) / _NAME / version / f"{_NAME}-{version}.zip"
    default = Path.home() / ".m2" / "repository"
    if (default / target).is_file():
        return default / target
    if maven is None:
        raise Unavailable("Elasticsearch for tests comes by Maven, and there is no mvn (or set ELASTICSEARCH_URL)")
    with tempfile.NamedTemporaryFile("r") as told:  # on its standard output Maven mixes in what sets colours
        settings = [maven, "help:evaluate", "-Dexpression=settings.localRepository", "-q", f"-Doutput={told.name}"]
        asked = subprocess.run(settings, capture_output=True, check=False)
        repository = Path(told.read().strip() or default) if asked.returncode == 0 else default
    if not (repository / target).is_file():
        artifact = f"-Dartifact={_GROUP}:{_NAME}:{version}:zip"
        get = [maven, "-q", "-B", "dependency:get", "-Dtransitive=false", artifact]
        done = subprocess.run(get, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable(f"Maven could not get Elasticsearch {version}: {done.stdout.strip()[:500]}")
    return repository / target


def _java_version(home: Path) -> int:
    """Return the major version that the ``release`` file of a JDK states, 0 if it states none."""
    try:
        stated = re.search(r'^JAVA_VERSION="(\d+)', (home / "release").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(stated[1]) if stated and (home / "bin" / "java").exists() else 0


def _unpack(archive: Path, folder: Path) -> Path:
    """Unzip with the permissions that the archive states, and return the one folder at its top."""
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            path = Path(packed.extract(entry, folder))
            if not entry.is_dir():
                path.chmod((entry.external_attr >> 16) & 0o777 or 0o644)
        top = packed.infolist()[0].filename.split("/")[0]
    return folder / top


def _unprivileged() -> tuple[int, int] | None:
    """Elasticsearch refuses to run as root: return the ids of ``nobody`` when we are, else None."""
    if os.geteuid() != 0:
        return None
    import pwd

    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _give(folder: Path, user: int, group: int) -> None:
    os.chown(folder, user, group)
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            os.chown(os.path.join(parent, name), user, group)


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
