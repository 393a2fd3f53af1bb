"""The review page in a real Chromium: the whole way by mouse, by keys alone, and on a phone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pictures
import pytest
from axe_playwright_python.sync_playwright import Axe
from command import Command
from playwright.sync_api import Browser, Page, expect
from reviewing import Kept, Review, acts, chromium, reviewing

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Three photos with a smaller copy each."""
    folder = tmp_path_factory.mktemp("browser") / "all"
    for seed in (1, 2, 3):
        photo = pictures.photo(seed, (640, 480))
        pictures.write(folder / f"album/{seed}.jpg", photo, quality=92)
        pictures.write(folder / f"album/{seed} small.jpg", photo.resize((400 - 20 * seed, 300 - 15 * seed)))
    command = Command(folder / "home")
    plan, target = folder / "home/plan.json", folder / "target"
    assert command.run("deduplicate", folder / "album", "--plan", plan, "--target", target).code == 0
    return Kept.keep(folder)


@pytest.fixture
def review(kept: Kept) -> Iterator[Review]:
    kept.bring_back()
    command = Command(kept.folder / "home")
    with reviewing(command, command.home / "plan.json") as running:
        yield running


@contextmanager
def looking(browser: Browser, review: Review, **how: Any) -> Iterator[Page]:
    """Open the page; whatever the browser complains of fails the test."""
    context = browser.new_context(**how)
    page = context.new_page()
    page.set_default_timeout(15_000)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(review.url)
    yield page
    context.close()
    assert complaints == []


def check_accessible(page: Page) -> None:
    """Have axe look at the page, at rest."""
    page.wait_for_load_state("networkidle")
    found = Axe().run(page).response
    assert found["passes"]  # it did look
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []


def names(kept: Kept) -> set[str]:
    return set(os.listdir(kept.folder / "album"))


ALL = {f"{seed}{kind}.jpg" for seed in (1, 2, 3) for kind in ("", " small")}


def group_of(page: Page, name: str) -> Any:
    return page.locator(".group", has=page.get_by_role("heading", name=name, exact=True))


def walk(page: Page, kept: Kept, press: Callable[[str], None]) -> None:
    """Change a keeper, refuse a pair, apply, see the files moved, undo, see them back; `press` activates by name."""
    plan = kept.folder / "home/plan.json"
    expect(page.locator(".file.keeper")).to_have_count(3)
    expect(page.locator("img")).to_have_count(6)
    for picture in page.locator("img").all():  # the page's own rules forbid to wait for a script's answer
        expect(picture).to_have_js_property("complete", value=True)
        expect(picture).not_to_have_js_property("naturalWidth", 0)
    press("Make keeper 1 small.jpg")
    expect(group_of(page, "1 small.jpg").locator(".keeper .name")).to_have_text("1 small.jpg")
    press("Not a duplicate 2 small.jpg")
    expect(group_of(page, "2 small.jpg").locator(".file.stays")).to_contain_text("different, you said so")
    assert acts(plan) == {
        "1 small.jpg": "keeper",
        "1.jpg": "move",
        "2.jpg": "keeper",
        "2 small.jpg": "keep",
        "3.jpg": "keeper",
        "3 small.jpg": "move",
    }
    check_accessible(page)
    press("Apply")
    press("Show what will happen")
    expect(page.get_by_label("What will happen")).to_contain_text("2 files would be moved", timeout=30_000)
    check_accessible(page)
    assert names(kept) == ALL
    press("Do it now: 2 files")
    expect(page.locator("pre").first).to_contain_text("Moved 2 files", timeout=30_000)
    assert names(kept) == ALL - {"1.jpg", "3 small.jpg"}
    press("See this run, or take it back")
    expect(page.get_by_role("button", name="Take it back: 2 acts")).to_be_visible()  # or the old page is looked at
    check_accessible(page)
    press("Take it back: 2 acts")
    expect(page.locator("pre").first).to_contain_text("Brought back 2 files", timeout=30_000)
    assert names(kept) == ALL
    press("Back to the groups")
    expect(page.locator(".file.keeper")).to_have_count(3)


def by_name(page: Page) -> Any:
    def find(name: str) -> Any:
        return page.get_by_role("button", name=name, exact=True).or_(page.get_by_role("link", name=name, exact=True))

    return find


@pytest.mark.parametrize("how", [{}, {"color_scheme": "dark"}], ids=["light", "dark"])
def test_the_whole_way_by_mouse(browser: Browser, review: Review, kept: Kept, how: dict[str, Any]) -> None:
    with looking(browser, review, **how) as page:
        walk(page, kept, lambda name: by_name(page)(name).click())


def test_the_whole_way_on_a_phone(browser: Browser, review: Review, kept: Kept) -> None:
    """By touch; no page is wider than the screen, and what is touched is large enough."""
    with looking(browser, review, **PHONE) as page:
        walk(page, kept, lambda name: by_name(page)(name).tap())
        for where in ("", "overview", "apply", "history", "job", "group/1", "group/1/loupe/1"):
            page.goto(review.url + where)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), where
            for button in page.get_by_role("button").all():
                box = button.bounding_box()
                assert box is None or box["height"] >= 40


def test_the_whole_way_by_keys_alone(browser: Browser, review: Review, kept: Kept) -> None:
    """Groups and files by their keys, all else by Tab and Enter; where one was is kept over each choice."""
    plan = kept.folder / "home/plan.json"

    def tab_to(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            here = page.evaluate("document.activeElement.textContent.replace(/\\s+/g, ' ').trim()")
            if here == name:
                with page.expect_navigation():
                    page.keyboard.press("Enter")
                return
        raise AssertionError(name)

    def group_key(name: str, key: str) -> None:
        """Go to the group of a file by j, and press a key there."""
        page.keyboard.press("k")
        page.keyboard.press("k")
        for _ in range(4):
            if page.locator(".group.current", has=page.get_by_role("heading", name=name, exact=True)).count():
                break
            page.keyboard.press("j")
        with page.expect_navigation():
            page.keyboard.press(key)
        assert page.evaluate("document.activeElement.closest('.group').classList.contains('current')")

    with looking(browser, review) as page:
        group_key("1.jpg", "1")
        assert acts(plan)["1 small.jpg"] == "keeper"
        group_key("2.jpg", "n")
        assert acts(plan)["2 small.jpg"] == "keep"
        group_key("3.jpg", "x")
        assert acts(plan)["3 small.jpg"] == "keep"
        with page.expect_navigation():
            page.keyboard.press("x")
        assert acts(plan)["3 small.jpg"] == "move"
        group_key("3.jpg", "a")
        assert acts(plan)["3 small.jpg"] == "keep"
        with page.expect_navigation():
            page.keyboard.press("l")
        check_accessible(page)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        tab_to("Apply")
        tab_to("Show what will happen")
        expect(page.get_by_label("What will happen")).to_contain_text("1 file would be moved", timeout=30_000)
        tab_to("Do it now: 1 file")
        expect(page.locator("pre").first).to_contain_text("Moved 1 file (", timeout=30_000)
        assert names(kept) == ALL - {"1.jpg"}
        tab_to("See this run, or take it back")
        tab_to("Take it back: 1 act")
        expect(page.locator("pre").first).to_contain_text("Brought back 1 file (", timeout=30_000)
    assert names(kept) == ALL


def test_the_loupe_lays_two_pictures_over_each_other(browser: Browser, review: Review) -> None:
    """At the same place and size; their difference is nearly black, and both are moved and enlarged as one."""
    with looking(browser, review) as page:
        page.goto(f"{review.url}group/1/loupe/1")
        page.wait_for_load_state("networkidle")
        one, other = page.locator(".one img"), page.locator(".other img")
        for mode in ("Overlay", "Blink", "Difference"):
            page.get_by_label(mode).check()
            a, b = one.bounding_box(), other.bounding_box()
            assert a is not None
            assert a == b
        shown = np.asarray(pictures.opened(page.locator("#stage").screenshot()).convert("L"))
        assert shown.mean() < 60
        page.get_by_label("Side by side").check()
        one.hover(position={"x": 20, "y": 30})
        page.get_by_label("Zoom").fill("4")
        style = "image => [image.style.transform, image.style.transformOrigin]"
        assert one.evaluate(style) == other.evaluate(style)
        assert one.evaluate(style)[0] == "scale(4)"
        check_accessible(page)


def test_it_works_without_scripts(browser: Browser, review: Review, kept: Kept) -> None:
    with looking(browser, review, java_script_enabled=False) as page:
        page.get_by_role("button", name="Let stay 1 small.jpg").click()
        expect(group_of(page, "1 small.jpg").locator(".file.stays")).to_have_count(1)
    assert acts(kept.folder / "home/plan.json")["1 small.jpg"] == "keep"


@pytest.mark.parametrize("where", ["overview", "history", "job", "nowhere", "group/1"])
def test_every_page_is_accessible(browser: Browser, review: Review, where: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(review.url + where)
    check_accessible(page)
    context.close()
