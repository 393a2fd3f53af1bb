"""Reports on a plan: the web page in a real browser, the table, and JSON."""

from __future__ import annotations

import csv
import io
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
from playwright.sync_api import Page
from reviewing import chromium

HOSTILE = "<script>alert(1)</script>'\"&\u202e\n,;=1+1.png"


@pytest.fixture
def plan(tmp_path: Path, command: Command) -> Path:
    """A saved plan: copies, one of them turned by its EXIF tag, one similar, one with a hostile name, one broken."""
    folder = tmp_path / "photos"
    photo = pictures.photo(1, (640, 480))
    pictures.write(folder / "large.png", photo, "PNG")
    pictures.write(folder / "small.jpg", pictures.scaled(photo, 50))
    held = pictures.as_held(pictures.scaled(photo, 75), 6)
    pictures.write(folder / "held.jpg", held, exif=pictures.exif(orientation=6))
    other = pictures.photo(2, (640, 480))
    pictures.write(folder / "other.png", other, "PNG")
    pictures.write(folder / HOSTILE, pictures.scaled(other, 60), "PNG")
    framed = Image.new("RGB", (672, 512), "white")
    framed.paste(other, (16, 16))
    pictures.write(folder / "framed.png", framed, "PNG")
    (folder / "broken.jpg").write_bytes(b"no picture")
    odd = os.path.join(os.fsencode(folder), b"odd\xff.png")
    shutil.copy(folder / "other.png", os.fsdecode(odd))
    saved = tmp_path / "plan.json"
    assert command.run("deduplicate", folder, "--target", tmp_path / "target", "--plan", saved).code == 0
    return saved


class Window:
    """A page in a browser, and what the browser complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))


@pytest.fixture
def window() -> Iterator[Window]:
    with chromium() as browser:
        yield Window(browser.new_page())


def names(plan: Path) -> list[str]:
    groups = json.loads(plan.read_text())["groups"]
    return [one["path"] for group in groups for one in (group["keeper"], *group["duplicates"])]


def test_page_in_a_browser(plan: Path, command: Command, tmp_path: Path, window: Window) -> None:
    """The page shows every picture of the plan, upright, without an error, a script or anything from elsewhere."""
    page = tmp_path / "page.html"
    assert command.run("report", plan, "--output", page).code == 0
    window.page.goto(page.as_uri())
    shown = window.page.evaluate(
        """() => {
        for (const image of document.images) image.loading = 'eager';
        return Promise.all(Array.from(document.images, image => image.decode())).then(() => ({
            sizes: Array.from(document.images, image => [image.naturalWidth, image.naturalHeight]),
            visible: Array.from(document.images, image => image.getBoundingClientRect().height > 50),
            captions: Array.from(document.querySelectorAll('figcaption'), one => one.textContent),
            scripts: document.scripts.length,
            requests: performance.getEntriesByType('resource').filter(one => !one.name.startsWith('data:')).length,
            wide: document.documentElement.scrollWidth <= innerWidth,
        }))}
        """
    )

    assert window.complaints == []
    assert (shown["scripts"], shown["requests"]) == (0, 0)
    assert shown["wide"]
    assert len(shown["sizes"]) == len(names(plan)) == 7
    assert all(shown["visible"])
    assert all(max(size) == 240 and size[0] > size[1] for size in shown["sizes"])
    captions = "\n".join(shown["captions"])
    assert "<script>alert(1)</script>'\"&\\u202e\\n,;=1+1.png" in captions
    assert "odd\\udcff.png" in captions
    assert captions.count("to be moved") == 4
    assert captions.count("stays: the keeper") == 2
    assert "keeper won by: more pixels" in captions
    assert "broken.jpg" in window.page.content()


def test_page_after_files_went(plan: Path, command: Command, tmp_path: Path, window: Window) -> None:
    """What is no longer there, or no picture any more, is named with the reason instead of shown."""
    os.unlink(tmp_path / "photos" / "large.png")
    (tmp_path / "photos" / "small.jpg").write_bytes(b"no picture any more")
    page = tmp_path / "page.html"
    assert command.run("report", plan, "-o", page).code == 0
    window.page.goto(page.as_uri())

    told = window.page.locator(".gone").all_text_contents()
    assert sorted(told) == ["No such file or directory", "not a picture in a supported format"]
    assert window.complaints == []


def test_page_needs_no_other_file(plan: Path, command: Command, tmp_path: Path) -> None:
    """No address stands in the page but data; it is written to standard output too."""
    page = tmp_path / "page.html"
    assert command.run("report", plan, "--output", page).code == 0
    text = page.read_text(encoding="utf-8")

    assert re.findall(r'(?:src|href)=(?!"data:)|url\(', text) == []
    assert "http" not in text.replace("http-equiv", "")
    assert command.run("report", plan, "--format", "html").out == text


def test_table(plan: Path, command: Command, tmp_path: Path) -> None:
    """The table has a line for each file; any CSV reader gets back the very paths."""
    table = tmp_path / "table.csv"
    assert command.run("report", plan, "--output", table).code == 0
    rows = [*csv.DictReader(io.StringIO(table.read_bytes().decode("utf-8", "surrogateescape"), newline=""))]

    assert [row["path"] for row in rows] == names(plan)
    assert any("odd\udcff" in row["path"] for row in rows)
    assert {row["role"] for row in rows} == {"keeper", "duplicate", "similar"}
    moved = [row for row in rows if row["action"] == "move"]
    assert len(moved) == 4
    assert all(row["destination"].startswith(str(tmp_path / "target")) for row in moved)
    assert all(float(row["distance"]) <= 0.45 for row in rows if row["role"] != "keeper")
    assert len({row["group"] for row in rows}) == 2
    printed = command.run("report", plan, "--format", "csv").out
    assert printed == table.read_bytes().decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def test_json(plan: Path, command: Command) -> None:
    """The plan comes with totals, and may be read as a plan again."""
    done = command.run("report", plan, "--format", "json")
    told = json.loads(done.out)

    assert told["counts"]["groups"] == len(told["groups"]) == 2
    assert (told["counts"]["duplicates"], told["counts"]["similar"]) == (4, 1)
    assert (
        told.items() >= {key: value for key, value in json.loads(plan.read_text()).items() if key != "counts"}.items()
    )
    again = plan.with_name("again.json")
    again.write_text(done.out)
    assert command.run("show", again).out == command.run("show", plan).out.replace(plan.name, again.name)


def test_what_can_not_be_written(plan: Path, command: Command, tmp_path: Path) -> None:
    """A folder that is not there is named with the option, and what a file holds is not lost halfway."""
    done = command.run("report", plan, "--output", tmp_path / "nowhere" / "page.html")
    assert (done.code, done.out) == (3, "")
    assert "--output" in done.err
    page = tmp_path / "page.html"
    page.write_text("precious")
    assert command.run("report", tmp_path / "no plan.json", "--output", page).code == 3
    assert page.read_text() == "precious"


def test_memory_of_a_large_page(tmp_path: Path) -> None:
    """A plan of many groups is written piece by piece, never held whole."""
    import tracemalloc

    from py_image_dedup import gallery
    from py_image_dedup.plan import Action, Plan, PlannedFile, PlannedGroup

    path = str(pictures.write(tmp_path / "a.png", pictures.photo(1, (640, 480)), "PNG"))
    group = PlannedGroup(PlannedFile(path, 1, 1, "0" * 64, "PNG", 640, 480), ())
    plan = Plan(origin="x", roots=("/",), action=Action.REPORT, target=None, groups=(group,) * 500)
    tracemalloc.start()
    size = sum(map(len, gallery.page(plan)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert size > 5_000_000
    assert peak < 3_000_000
