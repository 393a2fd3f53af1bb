"""The agent as a process of its own, with a real Redis and real workers."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pictures
import pytest
from command import Command
from daemons import Daemon
from workers import RedisServer, Worker, addresses, running

from py_image_dedup.daemon.health import Health
from py_image_dedup.daemon.web import ask
from py_image_dedup.errors import NotRunning

pytestmark = pytest.mark.redis


class Agent(Daemon):
    """A daemon with workers."""

    name = "agent"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A few pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(8):
        pictures.photo(number, (160, 120)).save(folder / f"{number}.jpg", quality=92)
    return folder


def test_the_agent_uses_workers_as_they_come_and_go(tmp_path: Path, photos: Path, redis: RedisServer) -> None:
    """A copy that came is moved, whoever described it; workers that went are told of, and used again when back."""
    command = Command(tmp_path / "home")
    # So much memory is never left: the machine is strained, whatever the mode "auto" measures.
    agent = Agent(
        command,
        photos,
        remote__broker_url=addresses(redis.url)["PY_IMAGE_DEDUP_REMOTE_BROKER_URL"],
        remote__result_url=redis.url,
        remote__min_memory="1000TB",
        remote__timeout="2s",
        dry_run="false",
        deduplication__duplicates_target_directory=str(tmp_path / "target"),
    )
    elsewhere = "files_decoded_on_workers_total"

    def come(number: int) -> None:
        pictures.photo(number, (160, 120)).save(photos / f"new {number}.jpg", quality=92)

    with running(Worker(tmp_path / "worker", redis.url)) as worker, agent:
        agent.wait_until_ready()
        agent.wait_for_words("Pictures are described on workers: .* MB of memory left")
        assert (agent.metric(elsewhere), agent.metric("decoding", where="there")) == (8, 1)
        pictures.photo(3, (160, 120)).resize((120, 90)).save(photos / "small copy.jpg", quality=85)
        agent.wait_for(lambda: not (photos / "small copy.jpg").exists())
        told = command.run("agent", "status", "--config", agent.file)
        assert (told.code, told.out.splitlines()[0]) == (0, "All is well.")
        assert "Pictures are described on workers" in told.out
        worker.kill()
        come(20)
        agent.wait_for_words("Pictures are described on this machine: no worker answered within 2 s")
        agent.wait_for(lambda: agent.metric("files_decoded_total") == 10)
        assert (agent.metric(elsewhere), agent.metric("decoding", where="here")) == (9, 1)
        with running(Worker(tmp_path / "another", redis.url)):
            number = 30
            while agent.metric(elsewhere) == 9:
                assert number < 90, agent.text()
                come(number := number + 1)
                time.sleep(1.5)
        agent.leave()


def test_an_agent_needs_a_broker(tmp_path: Path, photos: Path) -> None:
    """Without one it says which key to set."""
    command = Command(tmp_path / "home")
    done = command.run("agent", PY_IMAGE_DEDUP_ANALYSIS_SOURCE_DIRECTORIES=str(photos))
    assert done.code == 3
    assert "set remote.broker_url" in done.err


def test_status_of_nobody(tmp_path: Path) -> None:
    """Where no agent runs, it is said."""
    done = Command(tmp_path / "home").run("agent", "status", PY_IMAGE_DEDUP_STATS_PORT="1")
    assert done.code == 4
    assert "nothing answers on 127.0.0.1 port 1" in done.err


@pytest.mark.parametrize("words", [b"HTTP/1.0 404 Not Found\r\n\r\n<html>", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_status_of_another_program(words: bytes) -> None:
    """What has the port may be anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(words)

        greeter = threading.Thread(target=greet)
        greeter.start()
        with pytest.raises(NotRunning, match=r"is another program; see stats\.host and stats\.port"):
            ask("127.0.0.1", server.getsockname()[1])
        greeter.join()


def test_status_tells_names_as_they_are() -> None:
    """Only the first letter becomes a capital."""
    health = Health()
    health.obstacle = "the folder /data/Pictures is not there"
    assert health.words().startswith("The folder /data/Pictures is not there\n")
