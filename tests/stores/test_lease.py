"""Leases on an Elasticsearch server: one run at a time, whoever dies, sleeps or loses the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from elastic_server import remove_indices
from forwarder import forwarder

from py_image_dedup.errors import LeaseLost, StoreUnavailable
from py_image_dedup.stores.elastic import ElasticStore, lease, mapping
from py_image_dedup.stores.elastic.connection import Connection
from py_image_dedup.stores.elastic.lease import Leases
from py_image_dedup.stores.holder import Holder

pytestmark = pytest.mark.elasticsearch
Open = Callable[..., ElasticStore]


@pytest.fixture
def open_store(elasticsearch_url: str) -> Iterator[Open]:
    """Opens stores on one index, for any origin."""
    index = f"lease-{uuid.uuid4().hex}"
    with ExitStack() as opened:

        def open_one(origin: str = "nas", url: str = elasticsearch_url) -> ElasticStore:
            store = ElasticStore.open(urls=[url], index=index, origin=origin, auto_create_index=True)
            opened.callback(store.close)
            return store

        yield open_one
    remove_indices(elasticsearch_url, index)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases are renewed, trusted and taken over a tenth as late as in real life."""
    monkeypatch.setattr(lease, "RENEWED_S", 0.5)
    monkeypatch.setattr(lease, "TRUSTED_S", 3.0)
    monkeypatch.setattr(lease, "SILENCE_S", 5.0)
    monkeypatch.setattr(lease, "_LOOK_S", 0.1)


def silent(text: str) -> None:
    raise AssertionError(f"a note was not to be told: {text}")


def leases(store: ElasticStore) -> Leases:
    return store._leases


def documents(store: ElasticStore) -> list[dict[str, Any]]:
    return [document for page in store._connection.scan(leases(store)._index) for _, document in page]


def test_a_second_run_on_one_origin_is_told_who_works_there(open_store: Open) -> None:
    """The message names the process, the machine and the time, comes in seconds, and the first run keeps its lease."""
    first, second = open_store(), open_store()
    with first.lease(silent) as held:
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(StoreUnavailable) as refused, second.lease(silent):
                pytest.fail("two runs hold one lease")
            assert time.monotonic() - started < 3
            assert str(refused.value).startswith(
                f'another run works on the origin "nas": process {os.getpid()} on {os.uname().nodename}, since 20'
            )
        held.check()
    with second.lease(silent) as held:
        held.check()
    assert documents(second) == []


def test_other_origins_are_not_concerned(open_store: Open) -> None:
    """Runs on two origins work at once, also where one is named like the beginning of the other."""
    with open_store("nas").lease(silent) as one, open_store("nas2").lease(silent) as other:
        one.check()
        other.check()


def test_of_many_that_come_at_once_one_gets_it(open_store: Open) -> None:
    """Of eight runs that start together exactly one holds the lease while the others are refused."""
    stores = [open_store() for _ in range(8)]
    start, over = threading.Barrier(len(stores)), threading.Barrier(len(stores))
    told: list[str] = []

    def run(store: ElasticStore) -> None:
        start.wait()
        try:
            with store.lease(silent):
                told.append("held")
                over.wait()
        except StoreUnavailable:
            told.append("refused")
            over.wait()

    threads = [threading.Thread(target=run, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["held"] + ["refused"] * 7


HOLDER = """
import sys, time
from py_image_dedup.errors import LeaseLost
from py_image_dedup.stores.elastic import ElasticStore, lease
lease.RENEWED_S, lease.TRUSTED_S, lease.SILENCE_S = 0.5, 3.0, 5.0
url, index = sys.argv[1:]
store = ElasticStore.open(urls=[url], index=index, origin="nas", auto_create_index=True)
with store.lease(print) as held:
    print("held", flush=True)
    sys.stdin.readline()
    try:
        held.check()
    except LeaseLost as lost:
        print("lost:", lost, flush=True)
    else:
        print("still held", flush=True)
"""


@pytest.fixture
def holder(elasticsearch_url: str, open_store: Open) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lease."""
    index = open_store()._files.removesuffix("-files")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, elasticsearch_url, index],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with process:
        yield process
        process.kill()


def test_a_lease_is_taken_over_at_once_from_a_process_of_this_machine_that_was_killed(
    open_store: Open, holder: subprocess.Popen[str]
) -> None:
    """After SIGKILL nobody waits: that the process is gone can be seen."""
    with pytest.raises(StoreUnavailable, match=f"process {holder.pid} on"), open_store().lease(silent):
        pass
    holder.kill()
    holder.wait()
    started = time.monotonic()
    with open_store().lease(silent) as held:
        held.check()
        assert time.monotonic() - started < 2


def test_a_lease_is_taken_over_from_a_holder_that_sleeps_and_that_holder_knows(
    open_store: Open, holder: subprocess.Popen[str]
) -> None:
    """A stopped process is taken for dead after a while; when it wakes it does not trust its lease any more."""
    holder.send_signal(signal.SIGSTOP)
    notes: list[str] = []
    started = time.monotonic()
    with open_store().lease(notes.append) as held:
        assert 5 <= time.monotonic() - started < 9
        assert len(notes) == 1
        assert notes[0].startswith(f"Waiting: process {holder.pid} on ")
        holder.send_signal(signal.SIGCONT)
        out, _ = holder.communicate("\n")
        assert out.startswith("lost: ")
        time.sleep(1.5)  # the sleeper's renewals and its release change nothing
        held.check()
        assert [one["pid"] for one in documents(open_store())] == [os.getpid()]


def test_a_machine_that_went_away_is_taken_over_after_its_silence(
    open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a holder on another machine, only that it says nothing any more can be seen."""
    there = replace(Holder.me(), host="tower", pid=1, machine="another boot")
    gone = lease.ElasticLease(leases(open_store())._connection, leases(open_store())._index, "nas", there)
    assert gone._put(None)  # never renewed
    for name, seconds in (("RENEWED_S", 0.2), ("SILENCE_S", 2.0)):
        monkeypatch.setattr(lease, name, seconds)
    notes: list[str] = []
    with open_store().lease(notes.append) as held:
        held.check()
    assert len(notes) == 1
    assert "process 1 on tower" in notes[0]


def test_who_could_not_give_it_back_has_it_again_at_once(open_store: Open) -> None:
    """The daemon takes one lease after the other; one that the server did not hear the end of is no obstacle to it."""
    store, me = open_store(), Holder.me()
    left = lease.ElasticLease(leases(store)._connection, leases(store)._index, "nas", me)
    assert left._put(None)
    started = time.monotonic()
    with Leases(leases(store)._connection, leases(store)._index, me).of("nas", silent) as held:
        held.check()
    assert time.monotonic() - started < 2
    assert documents(store) == []


def test_a_renewal_whose_answer_got_lost_is_no_loss(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server took a write, and the client did not hear of it: the lease goes on, and is released at the end."""
    write = Connection.write_if
    deaf = threading.Event()

    def lose(self: Connection, *arguments: Any) -> Any:
        done = write(self, *arguments)
        return None if deaf.is_set() else done

    monkeypatch.setattr(Connection, "write_if", lose)
    store = open_store()
    with store.lease(silent) as held:
        deaf.set()
        time.sleep(1.2)
        deaf.clear()
        time.sleep(3.5)
        held.check()
    assert documents(store) == []


def test_who_can_not_reach_the_server_stops_trusting_its_lease_before_others_take_it(
    elasticsearch_url: str, open_store: Open
) -> None:
    """A run that is cut off does nothing more, before the time at which somebody else may begin."""
    with forwarder(elasticsearch_url) as (url, cut):
        lost = open_store(url=url)
        with lost.lease(silent) as held:
            cut()
            started = time.monotonic()
            with pytest.raises(LeaseLost, match="could not say"):  # noqa: PT012 - asked until it is so
                while time.monotonic() - started < 10:
                    held.check()
                    time.sleep(0.05)
            assert 2 < time.monotonic() - started < 4


def test_a_deleted_index_ends_the_lease_and_stays_deleted(open_store: Open, elasticsearch_url: str) -> None:
    """Renewing does not make an index anew, without its mapping."""
    store = open_store()
    with store.lease(silent) as held:
        remove_indices(elasticsearch_url, store._files.removesuffix("-files"))
        time.sleep(4)
        with pytest.raises(LeaseLost):
            held.check()
        assert store._connection.indices.find(leases(store)._index) == {}


def test_care_of_the_index_keeps_all_runs_away_and_they_keep_it_away(open_store: Open) -> None:
    """While one origin is worked on, nobody gets everything; while somebody has everything, no run begins."""
    store, other = open_store("nas"), open_store("laptop")
    here, everything = store.lease(silent), leases(other).of_everything(silent)
    with here, pytest.raises(StoreUnavailable, match='the origin "nas"'), everything:
        pytest.fail("a run is under way")
    here, everything = store.lease(silent), leases(other).of_everything(silent)
    with everything, pytest.raises(StoreUnavailable, match="the care of the index: process"), here:
        pytest.fail("the index is being cared for")
    with store.lease(silent) as held:
        held.check()


def test_a_process_id_that_is_used_again_is_another_process() -> None:
    """Same number, other start: the holder died. Another machine: nobody knows."""
    me = Holder.me()
    assert not me.has_died()
    assert replace(me, started="1").has_died()
    assert not replace(me, started="1", machine="another boot").has_died()
    assert not replace(me, started="1", machine="").has_died()
    assert Holder.me().token != me.token


def test_ids_of_leases_differ() -> None:
    """Odd origins have leases of their own, apart from that of everything."""
    assert len({mapping.lease_id(origin) for origin in ("", "a", "\udcff", "/", "a" * 2000)}) == 5
