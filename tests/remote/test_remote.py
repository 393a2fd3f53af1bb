"""Pictures described by real workers over a real Redis: the same records, whatever fails on the way."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
from analysed import analyse, disturbed, fill
from command import Command
from secured_server import make_certificates
from workers import PROGRAM, RedisServer, Worker, running, wait_until

pytestmark = pytest.mark.redis

ROOT = Path(__file__).resolve().parent.parent.parent


def test_local_remote_and_mixed_analysis_give_equal_records(tmp_path: Path, server: RedisServer) -> None:
    """Two thousand pictures: every record is the same to the bit, wherever it was made."""
    (tmp_path / "album").mkdir()
    album = fill(tmp_path / "album", 2000)
    with running(Worker(tmp_path / "worker", server.url)):
        here, expected, _ = analyse(tmp_path / "never", album, "never", server.url)
        there, remote, _ = analyse(tmp_path / "always", album, "always", server.url)
        both, mixed, _ = analyse(tmp_path / "auto", album, "auto", server.url)
    assert len(expected[0]) == 2004
    assert remote == expected
    assert mixed == expected
    assert here.counts["analysed_remotely"] == 0
    assert there.counts["analysed_remotely"] == there.counts["decoded"] == 2000 + 1
    assert 0 < both.counts["analysed_remotely"] < 2000
    assert not server.client.keys("*bytes*"), "nothing is left in Redis"


def test_a_second_run_sends_nothing(tmp_path: Path, server: RedisServer, album: Path) -> None:
    """What the store knows by its hash does not leave the machine, even under another name."""
    with running(Worker(tmp_path / "worker", server.url)):
        analyse(tmp_path / "home", album, "always", server.url)
        moved = tmp_path / "moved"
        moved.mkdir()
        for path in album.glob("*.jpeg"):
            (moved / f"other {path.name}").write_bytes(path.read_bytes())
        again, _, _ = analyse(tmp_path / "home", moved, "always", server.url)
    assert again.counts["analysed"] > 0
    assert again.counts["analysed_remotely"] == 0


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://192.0.2.1:6379/0"])
def test_without_a_broker_all_is_done_here(tmp_path: Path, album: Path, local: list[Any], url: str) -> None:
    """A broker that refuses, or never answers, costs seconds, and one line that says so."""
    done, records, seconds = analyse(tmp_path, album, "always", url)
    assert records == local
    assert done.err.count("Pictures are described on this machine: no way to the workers") == 1
    assert seconds < 60


def test_what_analyses_nothing_asks_for_no_broker(tmp_path: Path, album: Path) -> None:
    """Explaining two pictures goes without one, whatever the mode."""
    command = Command(tmp_path)
    done = command.run("explain", album / "1.jpeg", album / "copy.jpg", PY_IMAGE_DEDUP_REMOTE_MODE="always")
    assert (done.code, done.err) == (0, "")


def test_without_workers_all_is_done_here(tmp_path: Path, redis: RedisServer, album: Path, local: list[Any]) -> None:
    """Nobody answers: after remote.timeout the work is done here, and nobody will find the jobs later."""
    done, records, seconds = analyse(tmp_path / "home", album, "always", redis.url, timeout="3s")
    assert records == local
    assert "no worker answered within 3 s" in done.err
    assert seconds < 60
    assert not redis.client.keys("*bytes*")


def test_a_child_killed_in_the_middle(tmp_path: Path, redis: RedisServer, album: Path, local: list[Any]) -> None:
    """The picture it worked on goes to another, and nothing is missing or skipped."""
    worker = Worker(tmp_path / "worker", redis.url, wraps="poisoned", ONCE=str(tmp_path / "once"))
    with running(worker):
        done, records, _ = analyse(tmp_path / "home", album, "always", redis.url)
    assert (tmp_path / "once").exists()
    assert records == local
    assert done.counts["analysed_remotely"] == done.counts["decoded"]


def test_all_workers_killed(tmp_path: Path, redis: RedisServer, album: Path, local: list[Any]) -> None:
    """What they had, and all the rest, is done here."""
    log = tmp_path / "described"
    worker = Worker(tmp_path / "worker", redis.url, wraps="poisoned", SLOW="0.2", LOG=str(log))

    def kill() -> None:
        wait_until(lambda: log.exists() and len(log.read_text().splitlines()) > 5)  # its children work at two
        worker.kill()

    with running(worker):
        done, records = disturbed(tmp_path / "home", album, redis.url, kill)
    assert records == local
    assert 0 < done.counts["analysed_remotely"] < done.counts["decoded"]


def test_redis_restarted(tmp_path: Path, redis: RedisServer, album: Path, local: list[Any]) -> None:
    """All it held is gone; the run goes on, and ends with the same records."""
    worker = Worker(tmp_path / "worker", redis.url, wraps="poisoned", SLOW="0.2")

    def restart() -> None:
        wait_until(lambda: redis.client.keys("*bytes*"))
        time.sleep(1)
        redis.stop(signal.SIGKILL)
        time.sleep(2)
        redis.start()

    with running(worker):
        _, records = disturbed(tmp_path / "home", album, redis.url, restart)
    assert records == local


def test_redis_hangs(tmp_path: Path, redis: RedisServer, album: Path, local: list[Any]) -> None:
    """A Redis that takes connections and never answers is given up in time."""
    assert redis.process is not None
    process = redis.process

    def freeze() -> None:
        wait_until(lambda: redis.client.keys("*bytes*"))
        process.send_signal(signal.SIGSTOP)

    try:
        with running(Worker(tmp_path / "worker", redis.url, wraps="poisoned", SLOW="0.2")) as worker:
            _, records = disturbed(tmp_path / "home", album, redis.url, freeze)
            worker.kill()
    finally:
        process.send_signal(signal.SIGCONT)
    assert records == local


def test_a_full_redis(tmp_path: Path, album: Path, local: list[Any]) -> None:
    """A Redis that takes no more bytes says so, and the pictures stay here."""
    server = RedisServer(tmp_path / "redis", "--maxmemory", "1mb", "--maxmemory-policy", "noeviction")
    server.start()
    try:
        with running(Worker(tmp_path / "worker", server.url)):
            done, records, seconds = analyse(tmp_path / "home", album, "always", server.url, timeout="5s")
    finally:
        server.stop(signal.SIGKILL)
    assert records == local
    assert "maxmemory" in done.err
    assert seconds < 60


def test_a_poisonous_picture_costs_itself_only(
    tmp_path: Path, redis: RedisServer, album: Path, local: list[Any]
) -> None:
    """What kills its decoder twice is skipped with the reason; it neither goes round for ever nor reaches us."""
    poison = hashlib.sha256((album / "7.jpeg").read_bytes()).hexdigest()
    with running(Worker(tmp_path / "worker", redis.url, wraps="poisoned", POISON=poison)):
        done, records, _ = analyse(tmp_path / "home", album, "always", redis.url)
    (skipped,) = [one for one in done.json["skipped"] if one["path"].endswith("/7.jpeg")]
    assert "ended 2 workers that were to describe it: WorkerLostError" in skipped["reason"]
    assert records[1] == [row for row in local[1] if bytes.fromhex(poison) not in row]
    assert len(records[0]) == len(local[0]) - 1


def test_a_picture_that_takes_too_long(tmp_path: Path, redis: RedisServer, album: Path) -> None:
    """A worker's process that works too long is ended, and the picture skipped."""
    only = tmp_path / "only"
    only.mkdir()
    (only / "1.jpeg").write_bytes((album / "1.jpeg").read_bytes())
    worker = Worker(tmp_path / "worker", redis.url, wraps="poisoned", SLOW="60", PY_IMAGE_DEDUP_REMOTE_TIME_LIMIT="2s")
    with running(worker):
        done, _, seconds = analyse(tmp_path / "home", only, "always", redis.url)
    assert "ended 2 workers" in done.json["skipped"][0]["reason"]
    assert "TimeLimitExceeded" in done.json["skipped"][0]["reason"]
    assert seconds < 40


def test_a_lying_worker(tmp_path: Path, redis: RedisServer, album: Path, local: list[Any]) -> None:
    """An answer that is not what it should be never reaches the store; test_message.py has many."""
    with running(Worker(tmp_path / "worker", redis.url, wraps="poisoned", LIE="another picture")):
        done, records, _ = analyse(tmp_path / "home", album, "always", redis.url, timeout="20s")
    assert records == local
    assert "the answer of a worker is refused: it is the answer to another job" in done.err
    assert done.counts["analysed_remotely"] == 0


def test_a_forged_answer(tmp_path: Path, redis: RedisServer, album: Path, local: list[Any]) -> None:
    """Pickled answers that somebody puts into Redis are not even opened."""
    marker = tmp_path / "opened"
    pickled = b"cos\nsystem\n(S'touch %s'\ntR." % os.fsencode(marker)
    done = threading.Event()

    def forge() -> None:
        while not done.is_set():
            for key in redis.client.keys("*bytes:*"):
                job = os.fsdecode(key).rpartition(":")[2]
                redis.client.set(f"py-image-dedup:celery-task-meta-{job}", pickled)
            time.sleep(0.01)

    forger = threading.Thread(target=forge)
    forger.start()
    try:
        _, records, _ = analyse(tmp_path / "home", album, "always", redis.url, timeout="5s")
    finally:
        done.set()
        forger.join()
    assert records == local
    assert not marker.exists()


def documented_user() -> list[str]:
    """Return the line of docs/agent.md that limits a user of Redis, as options of the server."""
    text = (ROOT / "docs/agent.md").read_text(encoding="utf-8")
    line = re.search(r"printf '(user default off)\\n(user dedup on [^\\']*)\\n'", text)
    assert line
    return [word for one in line.groups() for word in ("--user", *one.split()[1:])]


def test_a_user_limited_to_our_keys_is_enough(tmp_path: Path, album: Path, local: list[Any]) -> None:
    """With exactly the rights that docs/agent.md gives; other keys are out of reach, and strangers are refused."""
    server = RedisServer(tmp_path / "redis", *documented_user())
    server.start()
    url = server.url.replace("redis://", "redis://dedup:a-long-password@")
    try:
        with running(Worker(tmp_path / "worker", url)):
            done, records, _ = analyse(tmp_path / "home", album, "always", url)
        _, refused, _ = analyse(tmp_path / "stranger", album, "always", server.url)
        client = redis_client.Redis.from_url(url)
        with pytest.raises(redis_client.exceptions.NoPermissionError):
            client.set("another", "x")
    finally:
        server.stop()
    assert records == refused == local
    assert done.counts["analysed_remotely"] == done.counts["decoded"]
    assert done.err == ""


def test_over_tls(tmp_path: Path, album: Path, local: list[Any]) -> None:
    """With the authority's certificate in remote.ca_file; without it nobody is trusted, and nothing is sent."""
    keys = tmp_path / "keys"
    keys.mkdir()
    make_certificates(keys)
    server = RedisServer(
        tmp_path / "redis",
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        str(keys / "node.pem"),
        "--tls-key-file",
        str(keys / "node.key"),
        "--tls-ca-cert-file",
        str(keys / "authority.pem"),
    )
    server.use_tls(keys / "authority.pem")
    server.start()
    authority = {"PY_IMAGE_DEDUP_REMOTE_CA_FILE": str(keys / "authority.pem")}
    try:
        with running(Worker(tmp_path / "worker", server.url, **authority)):
            done, records, _ = analyse(
                tmp_path / "home", album, "always", server.url, ca_file=str(keys / "authority.pem")
            )
            suspicious, others, _ = analyse(tmp_path / "another", album, "always", server.url)
    finally:
        server.stop()
    assert records == others == local
    assert done.counts["analysed_remotely"] == done.counts["decoded"]
    assert suspicious.counts["analysed_remotely"] == 0
    assert "certificate" in suspicious.err


def test_redis_is_there() -> None:
    """Where these tests run, there is a server to run them with."""
    assert PROGRAM
