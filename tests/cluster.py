"""A real cluster of three nodes on loopback, each of which can be killed, stopped and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from elastic_server import ElasticServer, free_port

NODES = 3


class Node(ElasticServer):
    """One of the nodes."""

    def kill(self) -> None:
        """End the node at once, as a power cut does; its data stays."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def is_dead(self) -> bool:
        """Whether the node was killed and not started again."""
        return self._process is None or self._process.poll() is not None

    def sleep(self, *, on: bool) -> None:
        """Let the node stop in the middle of whatever it does, or go on."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP if on else signal.SIGCONT)


class Cluster:
    """Three nodes, by name.  ``urls`` are the addresses of all; snapshots may be stored below ``backups``."""

    def __init__(self) -> None:
        self.backups = tempfile.mkdtemp(prefix="backups-")
        os.chmod(self.backups, 0o777)  # the nodes may run as another user
        ports = [free_port() for _ in range(NODES)]
        seeds = ",".join(f"127.0.0.1:{port}" for port in ports)
        names = [f"node-{number}" for number in range(NODES)]
        self.nodes: dict[str, Node] = {}
        for name, port in zip(names, ports, strict=True):
            self.nodes[name] = Node(
                {
                    "node.name": name,
                    "cluster.name": "faults",
                    "discovery.type": "multi-node",
                    "discovery.seed_hosts": seeds,
                    "cluster.initial_master_nodes": ",".join(names),
                    "transport.port": str(port),
                    "path.repo": self.backups,
                    # A node that is gone is to be missed soon.
                    "cluster.fault_detection.leader_check.interval": "1s",
                    "cluster.fault_detection.leader_check.timeout": "2s",
                    "cluster.fault_detection.leader_check.retry_count": "2",
                    "cluster.fault_detection.follower_check.interval": "1s",
                    "cluster.fault_detection.follower_check.timeout": "2s",
                    "cluster.fault_detection.follower_check.retry_count": "2",
                },
                short_lived=True,
            )

    @property
    def urls(self) -> list[str]:
        """The addresses of all nodes."""
        return [node.url for node in self.nodes.values()]

    def start(self) -> None:
        """Return when all nodes are there."""
        for node in self.nodes.values():
            node.start(wait=False)
        for node in self.nodes.values():
            node.wait()
        self.settle()

    def stop(self) -> None:
        """End all nodes and remove their data."""
        for node in self.nodes.values():
            node.stop()
        shutil.rmtree(self.backups, ignore_errors=True)

    def heal(self) -> None:
        """Start and wake whatever a test has left dead or asleep."""
        for node in self.nodes.values():
            if node.is_dead:
                node.start(wait=False)
            else:
                node.sleep(on=False)
        self.settle("yellow")

    def settle(self, status: str = "green", seconds: float = 120) -> None:
        """Return when all nodes are there and all indices are whole."""
        until = time.monotonic() + seconds
        wanted = f"/_cluster/health?wait_for_nodes={NODES}&wait_for_status={status}&timeout=1s"
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                if not self.ask("GET", wanted)["timed_out"]:
                    return
        raise AssertionError(f"the cluster did not become {status}: {self.ask('GET', '/_cluster/health')}")

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send a request to the first node that does as it is told."""
        refused = OSError("there is no node")
        for node in self.nodes.values():
            try:
                return node.ask(method, path, body, seconds=30)
            except OSError as error:
                refused = error
        raise refused

    def remove(self, index: str) -> None:
        """Delete all indices of one set: those whose names begin so."""
        for name in self.indices(index):
            self.ask("DELETE", f"/{name}")

    def indices(self, index: str) -> list[str]:
        """Return the names of the indices that begin so."""
        return sorted(name for name in self.ask("GET", "/_alias") if name.startswith(index))

    def master(self) -> Node:
        """Return the node that leads."""
        state = self.ask("GET", "/_cluster/state/master_node,nodes")
        return self.nodes[state["nodes"][state["master_node"]]["name"]]

    def holder(self, index: str) -> Node:
        """Return the node that has the only, or the primary, shard of an index."""
        (shards,) = self.ask("GET", f"/_cluster/state/routing_table,nodes/{index}")["routing_table"]["indices"].values()
        (primary,) = (one for one in shards["shards"]["0"] if one["primary"])
        return self.nodes[self.ask("GET", "/_cluster/state/nodes")["nodes"][primary["node"]]["name"]]


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    """Give a cluster, ended afterwards."""
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
