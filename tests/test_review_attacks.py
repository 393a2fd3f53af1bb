"""Attacks on the review page: nothing leaks, nothing runs, nothing is acted on."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pictures
import pytest
from command import Command
from reviewing import Answer, Kept, Review, reviewing

EVIL = "<img src=x onerror=alert(1)>"
TOKEN = "a token that is long enough"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Two photos with smaller copies; names and EXIF hold HTML."""
    folder = tmp_path_factory.mktemp("attacks") / "all"
    first, second = (pictures.photo(seed, (640, 480)) for seed in (1, 2))
    block = pictures.exif(taken='"><script>a()', maker=f'"{EVIL}')
    pictures.write(folder / f"album/{EVIL}.jpg", first, quality=92, exif=block)
    pictures.write(folder / 'album/"onload="alert(2)" \u202e\udcff.jpg', first.resize((320, 240)))
    pictures.write(folder / "album/b.jpg", second, quality=92)
    pictures.write(folder / "album/deep/b small.jpg", second.resize((320, 240)))
    command = Command(folder / "home")
    plan, target = folder / "home/plan.json", folder / "target"
    assert command.run("deduplicate", folder / "album", "--plan", plan, "--target", target).code == 0
    return Kept.keep(folder)


@pytest.fixture
def plan(kept: Kept) -> Path:
    """The plan as it was made, for a review of one's own."""
    kept.bring_back()
    return kept.folder / "home/plan.json"


@pytest.fixture(scope="module")
def running(kept: Kept) -> Iterator[Review]:
    home = kept.folder / "home"
    with reviewing(Command(home), home / "plan.json") as running:
        yield running


@pytest.fixture
def review(running: Review, kept: Kept) -> Iterator[Review]:
    """A running review; whatever is tried, the plan and the album are the same afterwards."""
    plan = kept.folder / "home/plan.json"
    before, files = plan.read_bytes(), _files(kept.folder)
    yield running
    assert plan.read_bytes() == before
    assert _files(kept.folder) == files


def _files(folder: Path) -> set[str]:
    return {os.path.join(where, name) for where, _, names in os.walk(folder / "album") for name in names}


def group_of(kept: Kept, name: str) -> int:
    groups = json.loads((kept.folder / "home/plan.json").read_text())["groups"]
    return next(at for at, group in enumerate(groups, 1) if os.path.basename(group["keeper"]["path"]) == name)


# Other sites


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8090", "127.0.0.1.evil.example", "", "[", "a@b:c:d"])
def test_a_name_that_is_not_ours_is_refused(review: Review, host: str) -> None:
    """As with DNS rebinding: a page elsewhere has its own name lead here, and must neither read nor act."""
    for path in ("/", "/picture/1.0", "/static/review.js", "/job.json", "/login", "/nowhere"):
        answer = review.ask(path, Host=host)
        assert answer.code in {400, 421}, path
        assert b"album" not in answer.body
    form = f"csrf={review.csrf()}&group=1&do=all&seen={review.mark(1)}"
    assert review.ask("/choose", method="POST", body=form, Host=host).code in {400, 421}


def test_our_names_are_known(review: Review) -> None:
    for host in ("localhost", f"localhost:{review.port}", "127.0.0.1", f"127.0.0.1:{review.port}", "[::1]:1"):
        assert review.ask("/", Host=host).code == 200, host


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": ""},
    ],
    ids=str,
)
def test_a_form_on_another_site_changes_nothing(review: Review, headers: dict[str, str]) -> None:
    """Even one that knows all secrets."""
    form = f"csrf={review.csrf()}&group=1&do=all&seen={review.mark(1)}"
    for path in ("/choose", "/rehearse", "/carry_out", "/stop", "/history/x/undo", "/login"):
        assert review.ask(path, method="POST", body=form, **headers).code == 403, path


@pytest.mark.parametrize("mode", ["no-cors", "cors", "same-origin", ""])
def test_another_site_can_not_embed_anything(review: Review, mode: str) -> None:
    for path in ("/", "/picture/1.0", "/job.json"):
        assert review.ask(path, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode=mode).code == 403


@pytest.mark.parametrize("csrf", ["", "x", "ä", "\udcff", "0" * 32])
def test_a_forged_form_changes_nothing(review: Review, csrf: str) -> None:
    for path in ("/choose", "/rehearse", "/carry_out", "/stop", "/history/x/undo"):
        assert review.post(path, csrf=csrf.encode("utf-8", "replace").decode(), group=1, do="all").code == 403
    assert review.ask("/choose", method="POST", body="{}", Content_Type="application/json").code == 403


def test_looking_changes_nothing(review: Review) -> None:
    """What changes something can't be asked for by GET, as links and pictures do."""
    for path in ("/choose?group=1&do=all", "/rehearse", "/carry_out?job=1", "/stop", "/history/x/undo"):
        assert review.ask(path).code in {404, 405}


def test_every_answer_tells_the_browser_what_it_must_not_do(review: Review) -> None:
    """Also errors, pictures and refusals; nothing inline, nothing from elsewhere, no frames."""
    for path, host in (("/", ""), ("/picture/1.0", ""), ("/nowhere", ""), ("/static/review.css", ""), ("/", "evil")):
        answer = review.ask(path, **({"Host": host} if host else {}))
        policy = answer.headers["content-security-policy"]
        for said in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert said in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


# Paths


@pytest.mark.parametrize(
    "path",
    [
        "/picture/../../../etc/passwd",
        "/picture/%2e%2e/%2e%2e/etc/passwd",
        "/picture//etc/passwd",
        "/picture/1.0/../../plan.json",
        "/picture/1.-1",
        "/picture/-1.0",
        "/picture/0.0",
        "/picture/1.9",
        "/picture/99999999999999999999.0",
        "/picture/1.0%00.jpg",
        "/static/../web.py",
        "/static/%2e%2e/web.py",
        "/static/..%2fweb.py",
        "/static//etc/passwd",
        "/history/..%2f..%2fplan",
        "/history/../../plan",
        "/group/1/loupe/..",
        "//evil.example/",
    ],
)
def test_only_pictures_of_the_plan_are_served(review: Review, path: str) -> None:
    answer = review.ask(path)
    assert answer.code in {308, 400, 404}
    assert not answer.headers.get("location", "/").startswith(("//", "http://evil"))
    for secret in (b"root:", b"import flask", b'"sha256"'):
        assert secret not in answer.body


def _refused(answer: Answer) -> str:
    """Return what the picture says that stands in for one that is not shown."""
    assert (answer.code, answer.headers["content-type"]) == (404, "image/svg+xml")
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text)).strip()


def test_a_link_that_was_swapped_in_is_not_followed(review: Review, kept: Kept, tmp_path: Path) -> None:
    """Neither for a file nor for a folder above it, even if all that the plan recorded but the bytes is alike."""
    number = group_of(kept, "b.jpg")
    secret = pictures.write(tmp_path / "b small.jpg", pictures.photo(9, (64, 64)))
    album = kept.folder / "album"
    picture, keeper = album / "deep/b small.jpg", album / "b.jpg"
    for path in (picture, keeper):
        path.rename(path.with_name("aside"))
        path.symlink_to(secret)
    assert "a link leads there now" in _refused(review.ask(f"/picture/{number}.0"))
    assert "a link leads there now" in _refused(review.ask(f"/picture/{number}.1?size=large"))
    for path in (picture, keeper):
        path.unlink()
        path.with_name("aside").rename(path)

    facts = picture.stat()
    shutil.copyfile(picture, secret)
    os.utime(secret, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    (album / "deep").rename(album / "deep aside")
    (album / "deep").symlink_to(tmp_path)
    assert "a link leads there now" in _refused(review.ask(f"/picture/{number}.1"))
    (album / "deep").unlink()
    (album / "deep aside").rename(album / "deep")
    assert review.ask(f"/picture/{number}.1").code == 200


def test_other_bytes_are_not_shown_though_size_and_time_agree(review: Review, kept: Kept) -> None:
    number = group_of(kept, "b.jpg")
    path = kept.folder / "album/b.jpg"
    whole, facts = path.read_bytes(), path.stat()
    path.write_bytes(whole[:-100] + bytes(98) + whole[-2:])
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert "it has changed since the plan was made" in _refused(review.ask(f"/picture/{number}.0"))
    path.write_bytes(whole)
    assert "it has changed since the plan was made" in _refused(review.ask(f"/picture/{number}.0"))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert review.ask(f"/picture/{number}.0").code == 200


def test_a_pipe_does_not_hold_the_server(review: Review, kept: Kept) -> None:
    number = group_of(kept, "b.jpg")
    path = kept.folder / "album/b.jpg"
    path.rename(path.with_name("aside"))
    os.mkfifo(path)
    assert "Not shown" in _refused(review.ask(f"/picture/{number}.0"))
    path.unlink()
    path.with_name("aside").rename(path)


def test_html_in_names_and_exif_is_text(review: Review, kept: Kept) -> None:
    """On every page that shows them; odd bytes and marks that turn the direction of writing are escaped."""
    number = group_of(kept, f"{EVIL}.jpg")
    review.post("/rehearse")
    review.wait()
    for path in (
        "/",
        f"/group/{number}",
        f"/group/{number}/loupe/1",
        "/overview",
        "/apply",
        "/job",
        f"/?folder={EVIL}",
    ):
        text = review.ask(path.replace(" ", "%20").replace("<", "%3C").replace(">", "%3E")).text
        assert "<img src=x" not in text
        assert "<script>" not in text
        assert 'onload="alert(2)"' not in text
        assert "\u202e" not in text
    page = review.ask("/").text
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "\\u202e\\udcff" in page


def test_what_is_too_long_or_makes_no_sense_is_refused(review: Review) -> None:
    """And the next one is served."""
    csrf, mark = review.csrf(), review.mark(1)
    assert review.ask("/choose", method="POST", body="x" * 100_000).code in {400, 413}
    for form in (
        "",
        "group=1",
        "group=x&do=all",
        "group=1&do=keeper:9",
        "group=1&do=keeper:-1",
        "group=1&do=go:%C2%B2",
    ):
        body = f"csrf={csrf}&seen={mark}&{form}"
        assert review.ask("/choose", method="POST", body=body).code in {400, 409}, form
    for form in ("", "job=999", "job=x"):
        assert review.ask("/carry_out", method="POST", body=f"csrf={csrf}&{form}").code == 409
    assert review.ask("/history/nope/undo", method="POST", body=f"csrf={csrf}").code == 400
    with socket.create_connection(("127.0.0.1", review.port)) as rude:
        rude.sendall(b"\x00\xff\r\n\r\n")
        assert b"400" in rude.recv(1000)
    assert review.ask("/").code == 200


# With a review of one's own


@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_bomb_is_not_decoded(plan: Path, kept: Kept, name: str) -> None:
    """A file that declares more pixels than allowed is named in the plan by somebody who made it."""
    data = json.loads(plan.read_text())
    path = plan.parent.parent / "album/b.jpg"
    path.write_bytes(pictures.declaring(name, 16_000, 16_000))
    keeper = data["groups"][group_of(kept, "b.jpg") - 1]["keeper"]
    keeper |= {"size": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}
    keeper["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    plan.write_text(json.dumps(data))
    with reviewing(Command(plan.parent), plan) as review:
        words = _refused(review.ask(f"/picture/{group_of(kept, 'b.jpg')}.0?size=large"))
        assert "16000 x 16000 pixels are more" in words
        assert review.ask("/").code == 200


def test_where_to_go_back_to_stays_here(plan: Path) -> None:
    with reviewing(Command(plan.parent), plan) as review:
        for back in ("//evil.example", "http://evil.example/?page=2", "\r\nSet-Cookie: a=b", "folder=%0d%0aX: y"):
            answer = review.post("/choose", group=1, do="all", seen=review.mark(1), back=back)
            assert answer.code == 303
            assert re.fullmatch(r"/(\?[\w=%+.&-]*)?#f1-0", answer.headers["location"]), back
            assert "x" not in answer.headers
            assert "set-cookie" not in answer.headers


# Who is let in


def test_another_address_asks_for_a_token(plan: Path) -> None:
    """One is made and printed; without it nothing is seen, and with it there is a cookie that no script reads."""
    with reviewing(Command(plan.parent), plan, PY_IMAGE_DEDUP_REVIEW_HOST="0.0.0.0") as review:
        found = re.search(r"\?token=([\w-]{32,})\n", review.said)
        assert found, review.said
        _check_closed(review)
        wrong = review.ask("/?token=wrong")
        assert wrong.headers["location"] == "/login"
        answer = review.ask(f"/?token={found[1]}")
        assert (answer.code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert found[1] not in cookie
        review.headers["Cookie"] = cookie.partition(";")[0]
        assert review.ask("/").code == 200
        assert review.ask("/", Host="192.0.2.1:8090").code == 200
        assert review.ask("/", Host="evil.example").code == 421


def test_a_token_holds_on_this_machine_too(plan: Path) -> None:
    """If one is set, from a file as well; the form takes it, and does not take guesses without end."""
    secret = plan.parent / "token"
    secret.write_text(f"{TOKEN.replace(' ', '-')}\n")
    names = {"PY_IMAGE_DEDUP_REVIEW_TOKEN_FILE": str(secret), "PY_IMAGE_DEDUP_REVIEW_NAMES": "nas.local"}
    with reviewing(Command(plan.parent), plan, **names) as review:
        _check_closed(review)
        token = secret.read_text().strip()
        answer = review.ask("/login", method="POST", body=f"token={token}", Host="nas.local")
        assert answer.code == 303
        for _ in range(10):
            assert review.ask("/login", method="POST", body="token=guess").code == 401
        assert review.ask("/login", method="POST", body=f"token={token}").code == 401
        review.headers["Cookie"] = answer.headers["set-cookie"].partition(";")[0]
        assert review.ask("/").code == 200  # who is in stays in


def _check_closed(review: Review) -> None:
    """Whoever has no session, or a forged one, sees nothing and changes nothing."""
    for cookie in ("", "py-image-dedup=", "py-image-dedup=forged", "py-image-dedup=\u00e4"):
        review.headers["Cookie"] = cookie
        for path in ("/", "/picture/1.0", "/job.json", "/overview", "/history", "/group/1", "/nowhere"):
            answer = review.ask(path)
            assert (answer.code, answer.headers["location"]) == (303, "/login"), path
        for path in ("/choose", "/carry_out", "/rehearse"):
            assert review.ask(path, method="POST", body="group=1&do=all").code == 401
    del review.headers["Cookie"]
    assert review.ask("/login").code == 200
