"""A real cluster of three nodes that are killed, cut off and filled up: no answer is a part of the truth.

After each fault the disk is as the reports say, and the next run ends what the one before could not.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import cluster as three
import documented
import pictures
import pytest
from cluster import Cluster
from command import Finished
from forwarder import forwarder
from machines import Machine, after, fill, held_up, tree
from records import record, records, signatures

from py_image_dedup.errors import StoreError, StoreUnavailable
from py_image_dedup.model import Record
from py_image_dedup.stores.elastic import ElasticStore

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

Open = Callable[..., ElasticStore]


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    with three.running() as cluster:
        yield cluster


@pytest.fixture
def cluster(shared: Cluster) -> Cluster:
    """The cluster, whole, whatever the test before has done to it."""
    shared.heal()
    return shared


@pytest.fixture
def index(cluster: Cluster) -> Iterator[str]:
    name = f"faults-{uuid.uuid4().hex}"
    yield name
    cluster.heal()
    cluster.remove(name)


@pytest.fixture
def open_store(cluster: Cluster, index: str) -> Iterator[Open]:
    opened: list[ElasticStore] = []

    def open_one(urls: list[str] | None = None, **options: Any) -> ElasticStore:
        fixed: dict[str, Any] = {"index": index, "origin": "here", "auto_create_index": True, "timeout_s": 10}
        opened.append(ElasticStore.open(urls=urls or cluster.urls, **(fixed | options)))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def nas(cluster: Cluster, index: str, tmp_path: Path) -> Machine:
    machine = Machine(tmp_path / "nas", origin="nas", url=",".join(cluster.urls), index=index)
    machine.environment["PY_IMAGE_DEDUP_ELASTICSEARCH_TIMEOUT"] = "10s"
    return machine


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something to come true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


class Reader(threading.Thread):
    """Asks the same again and again meanwhile: each answer is as the first, or refused, and never a part."""

    def __init__(self, store: ElasticStore, below: str) -> None:
        super().__init__()
        files = list(store.files([below]))
        paths, hashes = [one.path for one in files], [one.content for one in files]
        self._questions: list[Callable[[], object]] = [
            lambda: sorted(store.similar(hashes, within=1.0)),
            lambda: list(store.files([below])),
            lambda: store.known(paths),
            lambda: store.facts(hashes),
        ]
        self._true = [ask() for ask in self._questions]
        self._over = threading.Event()
        self._told: set[int] = set()
        self._wrong: list[object] = []

    def run(self) -> None:
        while not self._over.is_set():
            for number, ask in enumerate(self._questions):
                try:
                    answer = ask()
                except StoreError:
                    continue
                except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
                    answer = error
                if answer == self._true[number]:
                    self._told.add(number)
                else:
                    self._wrong.append(answer)

    def is_answered(self) -> None:
        """Return when each question was answered once more."""
        self._told.clear()
        until(lambda: len(self._told) == len(self._questions) or self._wrong)

    def __enter__(self) -> Self:
        self.start()
        self.is_answered()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        assert self._wrong == []


def test_a_node_is_killed_while_others_write_and_read(cluster: Cluster, open_store: Open, index: str) -> None:
    """What was acknowledged is there, what could not be written is an error, and no reader is told a part only."""
    store = open_store()
    old = records(list(signatures(200, seed=1)))
    store.put(old)
    cluster.settle()
    victim = cluster.holder(f"{index}-contents")
    batches = [[record(f"/new/{batch}/{number}") for number in range(50)] for batch in range(40)]
    written: list[list[Record]] = []
    failed: list[list[Record]] = []
    with Reader(open_store(), "/photos") as reader:
        for number, batch in enumerate(batches):
            if number == 10:
                victim.kill()
            try:
                store.put(batch)
                written.append(batch)
            except StoreError:
                failed.append(batch)
        reader.is_answered()
    assert len(written) > 10

    victim.start(wait=False)
    cluster.settle()
    there = {one.path for one in store.files(["/new"])}
    assert {one.file.path for batch in written for one in batch} <= there
    for batch in failed:
        store.put(batch)
    assert [one.path for one in store.files(["/new"])] == sorted(one.file.path for batch in batches for one in batch)


def lose_the_master(cluster: Cluster, _: str) -> None:
    cluster.master().kill()


def lose_the_majority(cluster: Cluster, _: str) -> None:
    for name in ("node-0", "node-1"):
        cluster.nodes[name].kill()


@pytest.mark.parametrize("strike", [lose_the_master, lose_the_majority, Cluster.remove])
def test_what_befalls_the_server_while_files_are_moved_costs_none(
    cluster: Cluster, nas: Machine, index: str, tmp_path: Path, strike: Callable[[Cluster, str], None]
) -> None:
    """A run that acts ends its work while its lease is fresh, and says what it did; the next one finds all in order."""
    album, target = fill(tmp_path / "album", range(60)), tmp_path / "target"
    before, plan = tree(album), tmp_path / "plan.json"
    process = nas.start("deduplicate", "--no-dry-run", "--target", target, "--json", plan, album)
    until(lambda: tree(target) or process.poll() is not None)
    with held_up(process):
        assert len(tree(target)) < 60
        strike(cluster, index)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    first = Finished(process.returncode, out, err, json.loads(plan.read_text()))
    assert first.counts["moved"] == 60
    assert tree(album, target) == after(before, first)
    assert "Traceback" not in err
    if strike is not lose_the_master:  # a new one may be there in time
        assert "The files that went are still recorded" in err

    cluster.heal()
    second = nas.run("deduplicate", "--no-dry-run", "--target", target, album)
    assert second.code == 0, second.err
    assert second.counts["duplicates"] == 0
    assert tree(album, target) == after(before, first)


def test_a_node_that_hangs_costs_time_but_no_truth(cluster: Cluster, open_store: Open, index: str) -> None:
    """A stopped node answers nothing: in time there is an error or the whole answer, and later all is well."""
    store = open_store(timeout_s=2)
    some = [record(f"/a/{number:03}") for number in range(100)]
    store.put(some)
    cluster.settle()
    hanging = cluster.holder(f"{index}-files")
    hanging.sleep(on=True)
    try:
        outcomes: list[str] = []
        end = time.monotonic() + 40
        longest = 0.0
        while time.monotonic() < end and outcomes[-3:] != ["whole"] * 3:
            started = time.monotonic()
            try:
                assert len(list(store.files(["/a"]))) == 100
                outcomes.append("whole")
            except StoreUnavailable:
                outcomes.append("unavailable")
            longest = max(longest, time.monotonic() - started)
    finally:
        hanging.sleep(on=False)
    assert outcomes[-3:] == ["whole"] * 3, outcomes
    assert 1 < longest < 15
    cluster.settle()
    assert len(list(store.files(["/a"]))) == 100


def test_slow_answers(cluster: Cluster, nas: Machine, tmp_path: Path) -> None:
    """Slower than the timeout is an error, and nothing is moved; slow, but in time, is the whole truth."""
    album, target = fill(tmp_path / "album", range(3)), tmp_path / "target"
    before = tree(album)
    act = ["deduplicate", "--no-dry-run", "--target", str(target), str(album)]
    with forwarder(cluster.urls[0], delay_s=0.3) as (url, _):
        nas.environment["PY_IMAGE_DEDUP_ELASTICSEARCH_URLS"] = url
        late = nas.run(*act, PY_IMAGE_DEDUP_ELASTICSEARCH_TIMEOUT="0.1s")
        assert late.code == 4, late.out
        assert "can't be reached: Connection timed out" in late.err
        assert tree(album, target) == before
        run = nas.run(*act)
    assert (run.code, run.counts["moved"]) == (0, 3), run.err
    assert tree(album, target) == after(before, run)


def watermarks(cluster: Cluster, free: str | None) -> None:
    """Let disks with less than so much free space count as full; None as before."""
    disk = "cluster.routing.allocation.disk"
    settings = {f"{disk}.watermark.{name}": free for name in ("low", "high", "flood_stage")}
    settings |= {f"{disk}.watermark.flood_stage.max_headroom": None, f"{disk}.threshold_enabled": free and "true"}
    settings["cluster.info.update.interval"] = free and "10s"
    cluster.ask("PUT", "/_cluster/settings", {"persistent": settings})


def test_a_full_disk_of_the_server(cluster: Cluster, nas: Machine, index: str, tmp_path: Path) -> None:
    """Past the flood stage nothing is written, nothing is moved, and the message says why; then all goes on."""
    album, target = fill(tmp_path / "album", range(5)), tmp_path / "target"
    before = tree(album)
    assert nas.run("analyse", album).code == 0
    blocks = f"/{index}-leases/_settings/index.blocks*?flat_settings=true"
    watermarks(cluster, "100pb")
    try:
        until(lambda: "true" in json.dumps(cluster.ask("GET", blocks)))
        acting = ["deduplicate", "--no-dry-run", "--target", str(target), str(album)]
        for arguments in (["analyse", str(album)], acting):
            full = nas.run(*arguments)
            assert full.code == 4, full.out
            assert "its disk is full: make room there" in full.err
        assert tree(album, target) == before
    finally:
        watermarks(cluster, None)
    until(lambda: "true" not in json.dumps(cluster.ask("GET", blocks)))
    run = nas.run("deduplicate", "--no-dry-run", "--target", target, album)
    assert run.code == 0, run.err
    assert tree(album, target) == after(before, run)


def test_a_red_shard(cluster: Cluster, nas: Machine, open_store: Open, index: str, tmp_path: Path) -> None:
    """An index whose only copy is on a node that is down is not taken for an empty one; with the node all is back."""
    album, target = fill(tmp_path / "album", range(5)), tmp_path / "target"
    before = tree(album)
    assert nas.run("analyse", album).code == 0
    for part in ("files", "contents", "looks", "leases"):
        cluster.ask("PUT", f"/{index}-{part}/_settings", {"index.number_of_replicas": 0})
    cluster.settle()
    store = open_store(origin="nas")
    (first, *_) = list(store.files([str(album)]))
    down = cluster.holder(f"{index}-contents")
    reads: list[Callable[[], object]] = [
        lambda: store.known([first.path]),
        lambda: store.facts([first.content]),
        lambda: store.has_content(first.content),
        lambda: store.content(first.content),
        lambda: list(store.similar([first.content], within=0.1)),
        store.status,
    ]
    with Reader(open_store(origin="nas"), str(album)) as reader:
        down.kill()
        until(lambda: cluster.ask("GET", "/_cluster/health")["status"] == "red")
        for read in reads:
            with pytest.raises(StoreError):
                read()
        for arguments in (["analyse"], ["deduplicate", "--no-dry-run", "--target", str(target)]):
            red = nas.run(*arguments, album)
            assert red.code == 4, red.out
            assert "Error: Elasticsearch at" in red.err
        assert tree(album, target) == before
        down.start(wait=False)
        cluster.settle()
        reader.is_answered()
    run = nas.run("deduplicate", "--no-dry-run", "--target", target, album)
    assert (run.code, run.counts["analysed"], run.counts["moved"]) == (0, 0, 5), run.err
    assert tree(album, target) == after(before, run)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """So many pictures that their records are written in two parts."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1400):
        (folder / f"{number:04}.jpg").write_bytes(pictures.encode(pictures.photo(number, (64, 48)), quality=85))
    return folder


def counted(cluster: Cluster, index: str) -> int:
    """Return how many files are recorded."""
    try:
        cluster.ask("POST", f"/{index}-files/_refresh")
        return int(cluster.ask("GET", f"/{index}-files/_count")["count"])
    except OSError:
        return 0


def half_written(cluster: Cluster, index: str, process: subprocess.Popen[str]) -> None:
    """Return when the first part of the records is written."""
    until(lambda: counted(cluster, index) >= 1000 or process.poll() is not None)


def test_the_index_is_deleted_under_a_run(cluster: Cluster, nas: Machine, index: str, many: Path) -> None:
    """The run ends with an error, no index of another kind is left in place, and the next run begins anew."""
    process = nas.start("analyse", many)
    half_written(cluster, index, process)
    with held_up(process):
        cluster.remove(index)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 4, out + err
    assert "no such index" in err
    assert cluster.indices(index) == []
    assert nas.run("analyse", many).code == 0
    assert counted(cluster, index) == 1400


def test_a_run_that_was_killed_half_way_is_taken_up(cluster: Cluster, nas: Machine, index: str, many: Path) -> None:
    """What was written before SIGKILL is not analysed again; the lease is taken over without a wait."""
    process = nas.start("analyse", many)
    half_written(cluster, index, process)
    with held_up(process):
        process.kill()
    process.communicate()
    written = counted(cluster, index)
    assert 1000 <= written < 1400
    run = nas.run("deduplicate", many)
    assert run.code == 0, run.err
    assert "Waiting" not in run.err
    assert (run.counts["files"], run.counts["unchanged"]) == (1400, written)
    assert counted(cluster, index) == 1400


def test_a_snapshot_brings_lost_indices_back(cluster: Cluster, nas: Machine, index: str, tmp_path: Path) -> None:
    """As documented: what changed on disk since the snapshot is all that the next run has to analyse or forget."""
    album, target = fill(tmp_path / "album", range(4)), tmp_path / "target"
    assert nas.run("analyse", album).code == 0
    prepare, take, *restore = documented.requests("Backup", images=index, **{"/mnt/backups": cluster.backups})
    assert cluster.ask(*prepare)["acknowledged"]
    assert cluster.ask(*take)["snapshot"]["state"] == "SUCCESS"
    assert nas.run("deduplicate", "--no-dry-run", "--target", target, album).counts["moved"] == 4
    fill(album, range(4, 5))
    cluster.remove(index)
    for request in restore:
        assert cluster.ask(*request)["snapshot"]["shards"]["failed"] == 0

    before = tree(album, target)
    run = nas.run("deduplicate", "--no-dry-run", "--target", target, album)

    assert run.code == 0, run.err
    assert {name: run.counts[name] for name in ("removed", "unchanged", "analysed", "moved")} == {
        "removed": 4, "unchanged": 4, "analysed": 2, "moved": 1
    }  # fmt: skip
    assert tree(album, target) == after(before, run)


def test_contents_that_got_lost_are_made_again(cluster: Cluster, nas: Machine, index: str, tmp_path: Path) -> None:
    """Files without what is known of them are skipped with a reason, and none is moved, until they are analysed."""
    album, target = fill(tmp_path / "album", range(2)), tmp_path / "target"
    shutil.copyfile(album / "0.jpg", album / "0 again.jpg")
    assert nas.run("analyse", album).code == 0
    cluster.remove(f"{index}-contents")
    before = tree(album)
    act = ["deduplicate", "--no-dry-run", "--target", str(target), str(album)]
    hasty = nas.run(*act, "--skip-analyse-phase")
    assert (hasty.code, hasty.counts["duplicates"], hasty.counts["skipped"]) == (0, 0, 2), hasty.err
    assert {one["reason"] for one in hasty.json["skipped"]} == {
        "what is in it is not recorded any more: it has to be analysed"
    }
    assert tree(album, target) == before
    run = nas.run(*act)
    assert (run.code, run.counts["analysed"], run.counts["moved"]) == (0, 5, 3), run.err
    assert tree(album, target) == after(before, run)
