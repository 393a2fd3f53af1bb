"""A secured server: who is let in with what, and what each refusal says."""

from __future__ import annotations

import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import documented
import pictures
import pytest
from command import Command, Finished
from records import file, record
from secured_server import PASSWORD, SecuredServer

from py_image_dedup.errors import StoreError, StoreUnavailable
from py_image_dedup.stores.elastic import ElasticStore

pytestmark = pytest.mark.elasticsearch

FIRST_RUN = ["read", "write", "manage"]
"""What docs/elasticsearch.md says that a login needs until the indices are there, and for their care."""
DAILY = ["read", "write", "maintenance", "view_index_metadata"]
"""What it says that every other run needs."""

Open = Callable[..., ElasticStore]


@pytest.fixture(scope="module")
def server() -> Iterator[SecuredServer]:
    server = SecuredServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def open_store(server: SecuredServer) -> Iterator[Open]:
    """Opens stores; they trust the authority unless told otherwise."""
    with ExitStack() as opened:

        def open_one(**options: Any) -> ElasticStore:
            trust = {} if "ca_fingerprint" in options else {"ca_file": str(server.authority)}
            fixed: dict[str, Any] = {"urls": [server.url], "index": "images", "origin": "here", **trust}
            store = ElasticStore.open(**(fixed | {"auto_create_index": True} | options))
            opened.callback(store.close)
            return store

        yield open_one


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for name, quality in (("a.jpg", 95), ("b.jpg", 60)):
        pictures.write(folder / name, pictures.photo(1), quality=quality)
    return folder


def listed(heading: str) -> list[str]:
    """Return the privileges that the documentation lists behind a word."""
    text = (Path(__file__).parents[2] / "docs" / "elasticsearch.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| {heading} \| (.*?) \|$", text, flags=re.MULTILINE)
    assert found, heading
    return re.findall(r"`(\w+)`", found[1])


def test_the_documented_privileges_are_those_tested() -> None:
    """The table in docs/elasticsearch.md names exactly the privileges that the commands get here."""
    assert listed("the first run, and care of the indices") == FIRST_RUN
    assert listed("every other run") == DAILY


@pytest.mark.parametrize("lacking", range(len(FIRST_RUN)), ids=FIRST_RUN.__getitem__)
def test_each_privilege_of_the_first_run_is_needed(
    server: SecuredServer, album: Path, tmp_path: Path, lacking: int
) -> None:
    """A key that lacks one of them is told so."""
    key = server.api_key(FIRST_RUN[:lacking] + FIRST_RUN[lacking + 1 :])
    refused = run_with(key, server, tmp_path, "analyse", album, index=f"images-{uuid.uuid4().hex}")
    assert refused.code == 4, refused.out
    assert "does not allow this: " in refused.err


@pytest.mark.parametrize("lacking", range(len(DAILY)), ids=DAILY.__getitem__)
def test_each_daily_privilege_is_needed(server: SecuredServer, album: Path, tmp_path: Path, lacking: int) -> None:
    """With all of them a run does its work on indices that are there; a key that lacks one of them is told so."""
    index = f"images-{uuid.uuid4().hex}"
    assert run_with(server.api_key(FIRST_RUN), server, tmp_path, "analyse", album, index=index).code == 0
    pictures.write(album / "new.jpg", pictures.photo(2))
    key = server.api_key(DAILY[:lacking] + DAILY[lacking + 1 :])
    refused = run_with(key, server, tmp_path, "deduplicate", album, index=index)
    assert refused.code == 4, refused.out
    assert "does not allow this: " in refused.err
    assert run_with(server.api_key(DAILY), server, tmp_path, "deduplicate", album, index=index).code == 0


def run_with(key: str, server: SecuredServer, home: Path, *arguments: str | Path, index: str = "images") -> Finished:
    """Run the command with an API key."""
    return Command(home / "home").run(
        *arguments,
        PY_IMAGE_DEDUP_ELASTICSEARCH_URLS=server.url,
        PY_IMAGE_DEDUP_ELASTICSEARCH_INDEX=index,
        PY_IMAGE_DEDUP_ELASTICSEARCH_CA_FINGERPRINT=server.fingerprint,
        PY_IMAGE_DEDUP_ELASTICSEARCH_API_KEY=key,
    )


def test_keys_limited_to_the_indices_do_for_all_commands(server: SecuredServer, album: Path, tmp_path: Path) -> None:
    """One key makes the indices and cares for them, a lesser one is enough for each day; the pictures are moved."""
    first = server.api_key(FIRST_RUN)
    (making_it,) = documented.requests("Security")
    daily = server.ask(*making_it)["encoded"]

    def run(key: str, *arguments: str | Path) -> Finished:
        done = run_with(key, server, tmp_path, *arguments)
        assert done.code == 0, done.err
        return done

    run(first, "analyse", album)
    run(daily, "analyse", album)
    run(daily, "deduplicate", album)
    moved = run(daily, "deduplicate", "--no-dry-run", "--target", tmp_path / "target", album)
    assert moved.counts["moved"] == 1
    assert [path.name for path in album.iterdir()] == ["a.jpg"]
    told = run(daily, "index", "status").out
    assert 'origin "test": 1 file\n' in told
    assert "health: unknown (the login may not ask)" in told
    run(first, "index", "compact")
    run(first, "index", "rebuild")
    run(first, "index", "migrate")
    run(daily, "analyse", album)
    assert 'origin "test": 1 file\n' in run(first, "index", "status").out


def test_users_with_passwords_are_let_in(server: SecuredServer, open_store: Open) -> None:
    """Basic authentication, with the authority's certificate or its fingerprint in any writing."""
    open_store(user="admin", password=PASSWORD).put([record("/a/1")])
    for fingerprint in (server.fingerprint, server.fingerprint.replace(":", "").lower()):
        store = open_store(user="admin", password=PASSWORD, ca_fingerprint=fingerprint)
        assert store.known(["/a/1"]) == {"/a/1": file("/a/1")}


def test_a_wrong_password(open_store: Open) -> None:
    with pytest.raises(StoreError) as refused:
        open_store(user="admin", password="wrong")
    assert "does not accept the login: " in str(refused.value)
    assert str(refused.value).endswith("see elasticsearch.user and elasticsearch.password")
    assert "wrong" not in str(refused.value)


def test_no_login(open_store: Open) -> None:
    with pytest.raises(
        StoreError, match=r"asks for a login .*; set elasticsearch\.api_key, or elasticsearch\.user and"
    ):
        open_store()


def test_a_key_that_is_none(open_store: Open) -> None:
    with pytest.raises(StoreError, match=r"does not accept the login: .*; see elasticsearch\.api_key$"):
        open_store(api_key="bm8ga2V5OmF0IGFsbA==")


def test_an_expired_key_also_during_a_run(server: SecuredServer, open_store: Open) -> None:
    """The message says that the key expired and which setting to change; nothing is taken for empty."""
    store = open_store(api_key=server.api_key(FIRST_RUN, expires="5s"))
    store.put([record("/a/1")])
    time.sleep(6)
    for act in (lambda: store.known(["/a/1"]), lambda: list(store.files(["/"])), lambda: store.put([record("/a/2")])):
        with pytest.raises(StoreError, match=r"does not accept the login: .*expired.*; see elasticsearch\.api_key$"):
            act()


def test_a_login_that_may_only_read(server: SecuredServer, open_store: Open) -> None:
    """It sees what is there; a run, which must write, says which setting to change before it does anything."""
    open_store(user="admin", password=PASSWORD).put([record("/a/1")])
    for login, key in (
        ({"api_key": server.api_key(["read", "view_index_metadata"])}, r"elasticsearch\.api_key$"),
        ({"user": "reader", "password": PASSWORD}, r"elasticsearch\.user and elasticsearch\.password$"),
    ):
        store = open_store(**login)
        assert store.known(["/a/1"])
        said = rf"does not allow this: action .*; docs/elasticsearch\.md lists the privileges .*, see {key}"
        with pytest.raises(StoreError, match=said):
            store.put([record("/a/2")])
        with pytest.raises(StoreError, match=said), store.lease(pytest.fail):
            pass


def test_a_key_for_other_indices(server: SecuredServer, open_store: Open) -> None:
    """It is not taken for a server without indices: nothing is made or read."""
    with pytest.raises(StoreError, match=r"does not allow this: .*elasticsearch\.api_key$"):
        open_store(api_key=server.api_key(FIRST_RUN, names="photos*"))


def test_a_certificate_that_nobody_trusts(open_store: Open) -> None:
    """Without the authority's certificate, and with a wrong fingerprint, nothing is sent."""
    for trust in ({"ca_file": None}, {"ca_fingerprint": "00" * 32}):
        with pytest.raises(StoreUnavailable) as refused:
            open_store(user="admin", password=PASSWORD, **trust)
        assert "is not trusted: " in str(refused.value)
        assert "elasticsearch.ca_file" in str(refused.value)
        assert "elasticsearch.ca_fingerprint" in str(refused.value)


def test_plain_http_to_a_secured_port(server: SecuredServer, open_store: Open) -> None:
    """Addresses that do without TLS are named, whether it was asked for or not."""
    plain = {"urls": [server.url.replace("https", "http")], "user": "admin", "password": PASSWORD}
    with pytest.raises(StoreUnavailable, match=r"can't be reached: .*elasticsearch\.urls"):
        open_store(**plain, ca_file=None)
    with pytest.raises(StoreError, match=r"can't be used: .*https.*; see elasticsearch\.urls"):
        open_store(**plain)


def test_of_several_addresses_one_may_be_down(server: SecuredServer, open_store: Open) -> None:
    """A host that is not there is passed over, at the start and later."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening
        down = f"https://127.0.0.1:{taken.getsockname()[1]}"
        for urls in ([down, server.url], [server.url, down]):
            store = open_store(urls=urls, user="admin", password=PASSWORD)
            for number in range(6):
                store.put([record(f"/several/{number}")])
                assert store.known([f"/several/{number}"])
