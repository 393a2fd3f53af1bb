"""The review page over HTTP: what is chosen is saved, what is applied is done and can be taken back."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pictures
import pytest
from command import Command
from PIL import Image
from reviewing import Kept, Review, acts, reviewing


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A photo with an equal, a smaller and a framed copy, which is only similar; another with a smaller copy."""
    folder = tmp_path_factory.mktemp("review") / "all"
    album = folder / "album"
    first, second = (pictures.photo(seed, (640, 480)) for seed in (1, 2))
    pictures.write(album / "a.jpg", first, quality=92, exif=pictures.exif(taken="2024:05:01 12:00:00", maker="Canon"))
    pictures.write(album / "sent/small.jpg", first.resize((320, 240)))
    shutil.copyfile(album / "a.jpg", album / "sent/a copy.jpg")
    os.utime(album / "sent/a copy.jpg", (1, 1))
    framed = Image.new("RGB", (300, 230), "white")
    framed.paste(first.resize((280, 210)), (10, 10))
    pictures.write(album / "framed.jpg", framed)
    pictures.write(album / "b.jpg", second, quality=92)
    pictures.write(album / "sent/b small.jpg", second.resize((320, 240)))
    command = Command(folder / "home")
    run = command.run("deduplicate", album, "--plan", folder / "home/plan.json", "--target", folder / "target")
    assert run.code == 0, run.err
    return Kept.keep(folder)


@pytest.fixture
def command(kept: Kept) -> Command:
    """The command with the home where the plan is, all as it was made."""
    kept.bring_back()
    return Command(kept.folder / "home")


@pytest.fixture
def plan(command: Command) -> Path:
    return command.home / "plan.json"


@pytest.fixture
def album(command: Command) -> Path:
    return command.home.parent / "album"


@pytest.fixture
def review(command: Command, plan: Path) -> Iterator[Review]:
    with reviewing(command, plan) as running:
        yield running


def position(plan: Path, name: str) -> tuple[int, int]:
    """Return where a file is: its group, and its place there, both counted from 1."""
    for number, group in enumerate(json.loads(plan.read_text())["groups"], 1):
        for place, act in enumerate(group["duplicates"], 1):
            if os.path.basename(act["path"]) == name:
                return number, place
    raise AssertionError(name)


def choose(review: Review, plan: Path, what: str, name: str) -> None:
    group, place = position(plan, name)
    answer = review.choose(group, f"{what}:{place}")
    assert answer.code == 303, answer.text
    assert answer.headers["location"].endswith(f"#f{group}-{place}")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


ALL = {"a.jpg", "a copy.jpg", "small.jpg", "framed.jpg", "b.jpg", "b small.jpg"}


# Looking


def test_the_page_tells_what_is_known_of_each_file(review: Review) -> None:
    """Names, folders, sizes, dates, camera, distance, level and why the keeper is kept."""
    page = html.unescape(review.ask("/").text)
    for told in ("a copy.jpg", "/album/sent", "640 × 480 JPEG", "2024-05-01 12:00:00", "Canon", "same bytes"):
        assert told in page
    assert re.search(r"distance 0\.0\d\d, duplicate", page)
    assert re.search(r"distance 0\.\d\d\d, similar", page)
    assert "more pixels (307200 px against 76800 px)" in page
    assert review.said == f"The page is at {review.url}\n"


def test_groups_are_filtered(review: Review) -> None:
    """By folder or name, level, distance and bytes; what makes no sense counts as not given."""
    for query, shown in (
        ("", {"a.jpg", "b.jpg"}),
        ("level=similar", {"a.jpg"}),
        ("folder=b%20SMALL", {"b.jpg"}),
        ("folder=/nowhere", set()),
        ("least=0.2", {"a.jpg"}),
        ("most=0.2&least=0.0001&level=duplicate", {"a.jpg", "b.jpg"}),
        ("megabytes=50", set()),
        ("page=-7&least=nan&most=x&sort=../&level=%00", {"a.jpg", "b.jpg"}),
    ):
        page = review.ask(f"/?{query}").text
        assert set(re.findall(r'<img [^>]*alt="([ab]\.jpg)"', page)) == shown, query


def test_groups_are_sorted_by_what_they_free(review: Review, plan: Path) -> None:
    """Most first, whatever was chosen: a choice does not move a group away."""
    before = re.findall(r'id="g(\d+)"', review.ask("/").text)
    group, _ = position(plan, "a copy.jpg")
    assert before[0] == str(group)
    assert review.choose(group, "all").code == 303
    assert re.findall(r'id="g(\d+)"', review.ask("/").text) == before
    assert re.findall(r'id="g(\d+)"', review.ask("/?going=True").text) == before[1:]


def test_pictures_are_small_upright_and_asked_for_again(review: Review) -> None:
    """A picture is made once; a browser that has it is told so, after the file was looked at again."""
    answer = review.ask("/picture/1.0")
    assert (answer.code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.body[:2] == b"\xff\xd8"
    assert review.ask("/picture/1.0", If_None_Match=answer.headers["etag"]).code == 304


def test_the_overview_counts(review: Review) -> None:
    """Totals, distances and space by folder, each bar with its number."""
    page = review.ask("/overview").text
    for told in ("<dd>3</dd>", "album/sent</a>", "<rect", "Histogram"):
        assert told in page


# Choosing


def test_each_choice_is_in_the_plan_at_once(command: Command, review: Review, plan: Path) -> None:
    """The file holds it before the answer comes, reads as a plan, and is what the next review begins with."""
    choose(review, plan, "stay", "small.jpg")
    assert acts(plan)["small.jpg"] == "keep"
    choose(review, plan, "go", "framed.jpg")
    assert acts(plan)["framed.jpg"] == "move"
    assert command.run("show", plan).code == 0
    with reviewing(command, plan) as again:
        page = again.ask(f"/group/{position(plan, 'small.jpg')[0]}").text
        assert page.count("will be moved") == 2
    choose(review, plan, "go", "small.jpg")
    assert acts(plan)["small.jpg"] == "move"


def test_keep_all_lets_nothing_of_the_group_go(review: Review, plan: Path) -> None:
    group, _ = position(plan, "small.jpg")
    assert review.choose(group, "all").code == 303
    kept = {name: act for name, act in acts(plan).items() if name not in {"b.jpg", "b small.jpg"}}
    assert set(kept.values()) == {"keeper", "keep"}
    assert acts(plan)["b small.jpg"] == "move"


def test_another_keeper_is_compared_with_all_others(command: Command, review: Review, plan: Path) -> None:
    """The keeper of before goes for it, and what is only similar to it stays."""
    choose(review, plan, "keeper", "small.jpg")
    assert acts(plan) == {
        "small.jpg": "keeper",
        "a.jpg": "move",
        "a copy.jpg": "move",
        "framed.jpg": "keep",
        "b.jpg": "keeper",
        "b small.jpg": "move",
    }
    data = json.loads(plan.read_text())["groups"][position(plan, "a.jpg")[0] - 1]["duplicates"]
    distances = {os.path.basename(act["path"]): act["distance"] for act in data}
    assert distances["a.jpg"] == distances["a copy.jpg"] > 0
    done = command.run("apply", plan, "--dry-run")
    assert done.code == 0, done.out


def test_not_a_duplicate_is_remembered(command: Command, review: Review, plan: Path, album: Path) -> None:
    """The pair stands among the decisions, never matches again, and can be taken back."""
    choose(review, plan, "different", "b small.jpg")
    assert acts(plan)["b small.jpg"] == "keep"
    assert "b small.jpg" in command.run("different").out
    again = command.run("deduplicate", album)
    assert {"b.jpg", "b small.jpg"} not in again.groups()
    group, place = position(plan, "b small.jpg")
    assert "different, you said so" in review.ask(f"/group/{group}").text
    choose(review, plan, "forget", "b small.jpg")
    assert "b small.jpg" not in command.run("different").out
    assert place == 1


def test_equal_bytes_can_not_be_told_apart(review: Review, plan: Path) -> None:
    group, place = position(plan, "a copy.jpg")
    answer = review.choose(group, f"different:{place}")
    assert answer.code == 400
    assert "have the same bytes" in answer.text
    assert acts(plan)["a copy.jpg"] == "move"


def test_a_folder_is_preferred_after_one_has_seen_what_that_changes(review: Review, plan: Path, album: Path) -> None:
    """Its duplicates become keepers, compared with all others; what is only similar stays. What is saved was shown."""
    before = plan.read_bytes()
    assert review.post("/prefer", folder=f"{album}/sent/").code == 303
    shown = review.wait()
    assert f"A keeper below {album}/sent: for 2 groups." in shown
    assert "Files that go: 3 by the plan now, 3 then." in shown
    assert "sent/b small.jpg" in shown
    assert plan.read_bytes() == before

    job = re.findall(r'name="job" value="(\d+)"', shown)[0]
    assert review.post("/save_preference", job=int(job) + 1).code == 409
    assert plan.read_bytes() == before
    assert review.post("/save_preference", job=job).code == 303
    kept = acts(plan)
    assert {name for name, what in kept.items() if what == "keeper"} in (
        {"small.jpg", "b small.jpg"},
        {"a copy.jpg", "b small.jpg"},
    )
    assert (kept["a.jpg"], kept["b.jpg"], kept["framed.jpg"]) == ("move", "move", "keep")
    assert review.post("/save_preference", job=job).code == 409


def test_preferring_a_folder_that_the_plan_does_not_know_is_refused(review: Review, plan: Path, album: Path) -> None:
    """So is a part of a path; a folder whose files are keepers already changes nothing."""
    before = plan.read_bytes()
    for folder, told in (
        (f"{album}/elsewhere", f"no file of the plan is below {album}/elsewhere"),
        ("sent", "name the folder by its whole path"),
        (f"{album}", "There is nothing to change."),
    ):
        review.post("/prefer", folder=folder)
        assert told in review.wait()
    assert plan.read_bytes() == before


def test_two_browsers_do_not_overwrite_each_other(review: Review, plan: Path) -> None:
    """The second is told, sees how it is now, and nothing of it is saved; other groups are not in the way."""
    group, place = position(plan, "small.jpg")
    seen, other = review.mark(group), 3 - group
    seen_other = review.mark(other)
    assert review.choose(group, f"stay:{place}", seen=seen).code == 303
    before = plan.read_bytes()
    refused = review.choose(group, "all", seen=seen)
    assert refused.code == 409
    assert "somebody changed this group meanwhile" in refused.text
    assert review.mark(group) in refused.text
    assert plan.read_bytes() == before
    assert review.choose(other, "all", seen=seen_other).code == 303


def test_a_plan_that_another_program_changed_is_not_overwritten(review: Review, plan: Path) -> None:
    plan.write_text(plan.read_text() + "\n")
    before = plan.read_bytes()
    answer = review.choose(1, "all")
    assert answer.code == 409
    assert "was changed by another program" in answer.text
    assert plan.read_bytes() == before


def test_a_protected_file_can_not_go(command: Command, plan: Path, album: Path) -> None:
    """It is said so, no button offers it, and one who asks all the same is refused."""
    with reviewing(command, plan, PY_IMAGE_DEDUP_DEDUPLICATION_PROTECTED_DIRECTORIES=str(album / "sent")) as review:
        group, place = position(plan, "small.jpg")
        review.choose(group, f"stay:{place}")
        assert "it lies in a protected folder" in review.ask(f"/group/{group}").text
        assert review.choose(group, f"go:{place}").code == 400
        assert acts(plan)["small.jpg"] == "keep"


def test_a_plan_that_only_lists_stays_one(command: Command, album: Path) -> None:
    """Another keeper can be chosen; nothing is made to go."""
    plan = command.home / "plan.json"
    command.run("deduplicate", album, "--plan", plan)
    with reviewing(command, plan) as review:
        choose(review, plan, "keeper", "b small.jpg")
        group, place = position(plan, "b.jpg")
        assert review.choose(group, f"go:{place}").code == 400
        assert "This plan only lists duplicates" in review.ask("/apply").text
    assert (acts(plan)["b small.jpg"], acts(plan)["b.jpg"]) == ("keeper", "report")


# Applying


def apply(review: Review, **confirmed: int) -> str:
    """Look at what would happen, have it done, and return the page that tells of it."""
    assert review.post("/rehearse").code == 303
    page = review.wait()
    found = re.search(r'name="job" value="(\d+)"', page)
    assert found, page
    answer = review.post("/carry_out", job=found[1], **confirmed)
    assert answer.code == 303, answer.text
    return review.wait()


def test_apply_and_undo(command: Command, review: Review, plan: Path, album: Path) -> None:
    """What is shown is what the command shows; the files go; the run is in the history; undo brings them back."""
    choose(review, plan, "stay", "b small.jpg")
    review.post("/rehearse")
    page = review.wait()
    told = command.run("apply", plan, "--dry-run")
    assert told.out in html.unescape(page)
    assert names(album) == ALL

    page = apply(review)
    assert "Moved 2 files" in page
    assert names(album) == ALL - {"a copy.jpg", "small.jpg"}
    assert "not there any more" in review.ask("/").text

    (run,) = re.findall(r'href="/history/([^"/]+)"', review.ask("/history").text)
    assert review.post(f"/history/{run}/undo").code == 303
    assert "Brought back 2 files" in review.wait()
    assert names(album) == ALL
    assert "undo of" in review.ask("/history").text
    assert "Take it back" not in review.ask(f"/history/{run}").text


def test_what_is_only_similar_goes_when_that_is_confirmed(review: Review, plan: Path, album: Path) -> None:
    choose(review, plan, "go", "framed.jpg")
    review.post("/rehearse")
    (job,) = re.findall(r'name="job" value="(\d+)"', review.wait())
    for confirmed in ({}, {"similar": 2}):
        refused = review.post("/carry_out", job=job, **confirmed)
        assert refused.code == 400
        assert "was not confirmed" in refused.text
    assert names(album) == ALL
    assert review.post("/carry_out", job=job, similar=1).code == 303
    review.wait()
    assert names(album) == {"a.jpg", "b.jpg"}


def test_what_is_applied_is_what_was_shown(review: Review, plan: Path, album: Path) -> None:
    """After another choice one has to look again."""
    review.post("/rehearse")
    (job,) = re.findall(r'name="job" value="(\d+)"', review.wait())
    choose(review, plan, "stay", "small.jpg")
    answer = review.post("/carry_out", job=job)
    assert answer.code == 409
    assert "look again" in answer.text
    assert names(album) == ALL


def test_what_changed_since_is_refused_and_named(review: Review, plan: Path, album: Path) -> None:
    review.post("/rehearse")
    (job,) = re.findall(r'name="job" value="(\d+)"', review.wait())
    os.utime(album / "sent/small.jpg", (1, 1))
    review.post("/carry_out", job=job)
    page = review.wait()
    assert "refused" in page
    assert "small.jpg" in page
    assert "small.jpg" in names(album)
    assert names(album) == ALL - {"a copy.jpg", "b small.jpg"}
    assert acts(plan)["small.jpg"] == "move"


# Starting


def test_without_a_plan_the_configured_folders_are_searched_once(command: Command, album: Path) -> None:
    """The plan is kept in the state directory, and resumed; --renew makes it anew."""
    where = {"PY_IMAGE_DEDUP_ANALYSIS_SOURCE_DIRECTORIES": str(album)}
    own = command.home / ".local/state/py-image-dedup/review.json"
    with reviewing(command, **where) as review:
        assert review.choose(1, "all").code == 303
    chosen = own.read_bytes()
    with reviewing(command, **where):
        assert own.read_bytes() == chosen
    with reviewing(command, "--renew", **where):
        assert own.read_bytes() != chosen


def test_a_port_that_is_taken_is_told(command: Command, review: Review, plan: Path) -> None:
    run = command.run("review", plan, "--no-browser", "--port", str(review.port))
    assert run.code == 3
    assert "Address already in use; see review.host and review.port" in run.err


def test_a_damaged_plan_is_refused(command: Command, plan: Path) -> None:
    plan.write_text(plan.read_text().replace('"move"', '"mvoe"'))
    run = command.run("review", plan, "--no-browser")
    assert run.code == 3
    assert '"mvoe" is none of' in run.err
