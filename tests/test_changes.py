"""Plans for a few files that changed: what one of everything would say of them, and no more of the store is read."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import pictures
import pytest

from py_image_dedup import images
from py_image_dedup.analysis import Limits, LocalAnalyser
from py_image_dedup.config import Override, load_settings
from py_image_dedup.errors import RootError
from py_image_dedup.events import Observer, Tally
from py_image_dedup.looks import LastLook
from py_image_dedup.model import Candidate, Turn
from py_image_dedup.pipeline import Pipeline
from py_image_dedup.plan import Plan
from py_image_dedup.stores.sqlite import SqliteStore


class Library:
    """Folders of pictures and a store of them."""

    def __init__(self, place: Path) -> None:
        self.roots = [place / "one", place / "two"]
        for number, root in enumerate(self.roots):
            (root / "deep").mkdir(parents=True)
            for seed in range(3):
                picture = pictures.photo(10 * number + seed, (160, 120))
                pictures.write(root / f"{seed}.jpg", picture, quality=95)
                pictures.write(root / "deep" / f"{seed} smaller.jpg", pictures.scaled(picture, 50), quality=90)
        shutil.copy(self.roots[0] / "0.jpg", self.roots[0] / "deep" / "0 again.jpg")
        self.store = SqliteStore.open(str(place / "store.sqlite"), origin="here")
        self.tally = Tally(Observer())

    def pipeline(self, observer: Observer | None = None) -> Pipeline:
        overrides = {
            "analysis.source_directories": Override("FOLDER", [str(root) for root in self.roots]),
            "origin": Override("", "here"),
        }
        settings = load_settings(overrides=overrides, environ=os.environ | {"HOME": "/nonexistent"}).settings
        observer = observer or Observer()
        self.tally = Tally(observer)
        limits = Limits(max_pixels=settings.analysis.max_megapixels * 1_000_000)
        analyser = LocalAnalyser(origin="here", threads=2, limits=limits, known=self.store.has_content)
        look = LastLook(self.store, max_pixels=10**9, reserve=lambda _: nullcontext())
        return Pipeline(settings, self.store, analyser, look, observer, tally=self.tally)

    def recorded(self) -> set[str]:
        return {file.path for file in self.store.files([str(root) for root in self.roots])}

    def on_disk(self) -> set[str]:
        return {str(path) for root in self.roots for path in root.rglob("*.jpg")}


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    made = Library(tmp_path)
    yield made
    made.store.close()


def goes(plan: Plan) -> set[tuple[str, str, str]]:
    """Keeper, duplicate and reason of each."""
    return {
        (group.keeper.path, act.file.path, act.reason)
        for group in plan.groups
        for act in group.duplicates
        if act.level == "duplicate"
    }


def test_says_what_a_plan_of_everything_says(library: Library) -> None:
    """Whichever file changed, its groups are those of a whole run, and those of other files are left out."""
    everything = goes(library.pipeline().make_plan())
    assert len(everything) == 7
    for path in sorted(library.on_disk()):
        found = goes(library.pipeline().make_plan_for([path]))

        assert found
        assert found == {
            one for one in everything if path in one or any(path in o for o in everything if o[0] == one[0])
        }


def test_what_the_settings_leave_out_joins_nothing(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is near to a file that came: it was recorded by other settings."""
    library.pipeline().make_plan()
    monkeypatch.setenv("PY_IMAGE_DEDUP_ANALYSIS_EXCLUSIONS", "/deep/")
    path = str(library.roots[0] / "0.jpg")

    assert goes(library.pipeline().make_plan_for([path])) == set()
    monkeypatch.undo()
    assert goes(library.pipeline().make_plan_for([path]))


def test_an_interrupted_search_does_not_look_through_a_large_set(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who presses Ctrl-C while one picture is compared with its many copies waits for one comparison, not for all."""
    picture = pictures.photo(99, (160, 120))
    for quality in range(50, 90):
        pictures.write(library.roots[0] / f"copy {quality}.jpg", picture, quality=quality)
    pipeline = library.pipeline()
    looked = []

    def interrupted(_: LastLook, one: Candidate, __: Candidate, ___: Turn) -> bool:
        if "copy" in one.file.path:
            looked.append(one)
            if len(looked) == 1:
                time.sleep(0.1)  # a signal that comes when the main thread is about to wait is seen once it wakes
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.2)
        return True

    monkeypatch.setattr(LastLook, "same", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pipeline.make_plan()
    assert 1 <= len(looked) < 10
    monkeypatch.undo()

    plan = library.pipeline().make_plan()
    assert len([one for one in goes(plan) if Path(one[0]).name.startswith("copy")]) == 39


def test_the_bar_does_not_start_anew_for_each_keeper(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long series of shots has many keepers, and for each of them the rest of it is looked at."""
    picture = pictures.photo(99, (160, 120))
    for quality in range(50, 90):
        pictures.write(library.roots[0] / f"shot {quality}.jpg", picture, quality=quality)
    told: list[int] = []

    class Bar(Observer):
        def progress(self, done: int, total: int) -> None:
            assert done <= total or not total  # not known yet while files are counted
            told.append(done)

    monkeypatch.setattr(LastLook, "same", lambda *_: False)
    plan = library.pipeline(Bar()).make_plan()

    assert sum(len(group.duplicates) for group in plan.groups if "shot" in group.keeper.path) == 39
    assert sum(later < sooner for sooner, later in pairwise(told)) <= 6  # phases, and what the search goes through


def test_reads_no_more_of_the_store_than_the_neighbours(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither all files nor all pairs are asked for, and no other file is read."""
    library.pipeline().make_plan()
    copy = library.roots[1] / "new.jpg"
    shutil.copy(library.roots[0] / "1.jpg", copy)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("everything was asked for")

    monkeypatch.setattr(library.store, "files", refuse)
    monkeypatch.setattr(library.store, "similar", refuse)
    library.pipeline().make_plan_for([str(copy)])

    assert library.tally.counts["files"] == library.tally.counts["analysed"] == 1
    assert library.tally.counts["decoded"] == 0


def test_what_could_not_be_read_is_tried_again_by_another_reader(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade may read what the version before could not; without one nothing is decoded twice."""
    (library.roots[0] / "broken.jpg").write_bytes(b"no picture at all")
    analysed = []
    for reader in ("older", "older", "newer", "newer"):
        monkeypatch.setattr(images, "READER", reader)
        library.pipeline().analyse()
        analysed.append(library.tally.counts["analysed"])
    assert analysed[1:] == [0, 1, 0]


def test_what_was_too_large_is_tried_again_when_more_is_allowed(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who raises the limit because a file was skipped for it gets that file; nothing is decoded twice else."""
    pictures.write(library.roots[0] / "large.jpg", pictures.photo(99, (1250, 1000)))
    analysed = []
    for limit in ("1", "1", "2", "2"):
        monkeypatch.setenv("PY_IMAGE_DEDUP_ANALYSIS_MAX_MEGAPIXELS", limit)
        library.pipeline().analyse()
        analysed.append((library.tally.counts["analysed"], library.tally.counts["skipped"]))
    assert analysed[1:] == [(0, 1), (1, 0), (0, 0)]


def test_is_the_same_after_it_was_cut_off(library: Library) -> None:
    """A file that was recorded before a failure is planned for when it is asked about again."""
    path = str(library.roots[0] / "0.jpg")
    library.pipeline().analyse()
    assert goes(library.pipeline().make_plan_for([path])) == goes(library.pipeline().make_plan_for([path])) != set()
    assert library.tally.counts["analysed"] == 0


def test_forgets_files_and_folders_that_went(library: Library) -> None:
    """What is gone is forgotten, a folder with all below it; one whose name only begins the same is not."""
    library.pipeline().make_plan()
    shutil.copytree(library.roots[0] / "deep", library.roots[0] / "deeper")
    library.pipeline().analyse()
    (library.roots[1] / "0.jpg").unlink()
    shutil.rmtree(library.roots[0] / "deep")
    library.pipeline().make_plan_for([str(library.roots[1] / "0.jpg"), str(library.roots[0] / "deep")])

    assert library.recorded() == library.on_disk()
    assert any("deeper" in path for path in library.recorded())
    assert library.tally.counts["removed"] == 5


def test_forgets_what_was_in_a_folder_whose_name_is_taken_again(library: Library) -> None:
    """Another folder under the old name does not stand for its files."""
    library.pipeline().make_plan()
    deep = library.roots[0] / "deep"
    shutil.rmtree(deep)
    deep.mkdir()
    pictures.write(deep / "1 smaller.jpg", pictures.photo(77))
    library.pipeline().make_plan_for([str(deep), str(deep / "1 smaller.jpg")])

    assert library.recorded() == library.on_disk()


@pytest.mark.parametrize("left", [False, True])
def test_forgets_nothing_when_a_disk_is_gone(library: Library, *, left: bool) -> None:
    """A folder that is missing or suddenly empty is a disk that is not mounted, whatever is said to have gone."""
    library.pipeline().make_plan()
    before = library.recorded()
    lost = [path for path in before if path.startswith(str(library.roots[0]))]
    pipeline = library.pipeline()
    shutil.rmtree(library.roots[0])
    if left:
        library.roots[0].mkdir()
    with pytest.raises(RootError, match="one"):
        pipeline.make_plan_for(lost)

    assert library.recorded() == before


def test_a_file_that_is_no_picture_is_told_and_left(library: Library) -> None:
    """Links, and files that can't be read as pictures, are no reason to fail."""
    bad = library.roots[0] / "bad.jpg"
    bad.write_bytes(b"no picture")
    link = library.roots[0] / "link.jpg"
    link.symlink_to(library.roots[0] / "0.jpg")
    plan = library.pipeline().make_plan_for([str(bad), str(link)])

    assert plan.groups == ()
    assert [one.path for one in plan.skipped] == [str(bad)]
    assert library.recorded() == {str(bad)}
