"""The life of a saved plan, by the real command: saved, shown, edited, applied to a disk that has changed since."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pictures
import pytest
from command import Command, Finished
from PIL import Image

SCHEMA = json.loads((Path(__file__).parent.parent / "docs/plan.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Two photos; the first with a byte-identical, a smaller and a framed copy, which is only similar."""
    folder = tmp_path / "album"
    (folder / "sent").mkdir(parents=True)
    first, second = (pictures.photo(seed, (640, 480)) for seed in (1, 2))
    first.save(folder / "a.jpg", quality=92)
    shutil.copyfile(folder / "a.jpg", folder / "sent/a copy.jpg")
    os.utime(folder / "sent/a copy.jpg", (1, 1))
    first.resize((320, 240)).save(folder / "sent/small.jpg", quality=90)
    framed = Image.new("RGB", (300, 230), "white")
    framed.paste(first.resize((280, 210)), (10, 10))
    framed.save(folder / "framed.jpg", quality=90)
    second.save(folder / "b.jpg", quality=92)
    return folder


class Saved:
    """A plan that was saved by a dry run, to be edited and applied."""

    def __init__(self, command: Command, album: Path, *options: str | Path) -> None:
        self.command = command
        self.path = command.home / "plan.json"
        self.target = album.parent / "target"
        self.run = command.run("deduplicate", album, "--plan", self.path, "--target", self.target, *options)
        assert self.run.code == 0, self.run.err

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.path.read_text())
        return data

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        data = self.data
        change(data)
        self.path.write_text(json.dumps(data))

    def acts(self) -> dict[str, dict[str, Any]]:
        """Return what becomes of each file, by name."""
        return {os.path.basename(act["path"]): act for group in self.data["groups"] for act in group["duplicates"]}

    def apply(self, *options: str | Path, **environment: str) -> Finished:
        return self.command.run("apply", self.path, *options, **environment)


def act_on(data: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the act on the file of this name."""
    (found,) = [act for group in data["groups"] for act in group["duplicates"] if os.path.basename(act["path"]) == name]
    return found  # type: ignore[no-any-return]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


ALL = {"a.jpg", "a copy.jpg", "small.jpg", "framed.jpg", "b.jpg"}


# Saving and showing


def test_a_dry_run_saves_the_plan_it_shows(command: Command, album: Path) -> None:
    """The file holds what --json holds, conforms to the schema, and the output says how to apply it."""
    saved = Saved(command, album)
    assert saved.data == saved.run.json
    jsonschema.validate(saved.data, SCHEMA)
    assert {name: (act["level"], act["action"]) for name, act in saved.acts().items()} == {
        "a copy.jpg": ("duplicate", "move"),
        "small.jpg": ("duplicate", "move"),
        "framed.jpg": ("similar", "keep"),
    }
    assert f"Apply it with: py-image-dedup apply {saved.path}" in saved.run.out
    assert names(album) == ALL


def test_a_real_run_saves_what_it_is_about_to_do(command: Command, album: Path) -> None:
    """With --no-dry-run the plan is saved before the first act, as a dry run would have written it."""
    saved = Saved(command, album, "--no-dry-run")
    assert "result" not in saved.acts()["small.jpg"]
    assert act_on(saved.run.json, "small.jpg")["result"] == "done"
    jsonschema.validate(saved.run.json, SCHEMA)
    assert names(saved.target) == {"a copy.jpg", "small.jpg"}
    assert "Apply it with" not in saved.run.out


@pytest.mark.parametrize("option", ["--plan", "--json"])
def test_a_plan_that_can_not_be_written_is_refused_early(command: Command, album: Path, option: str) -> None:
    """Before anything is analysed or acted on."""
    run = command.run("deduplicate", album, option, album / "missing/plan.json", "--no-dry-run", "--target", "t")
    assert run.code == 3
    assert option in run.err
    assert "can't be written" in run.err
    assert "Analysing" not in run.err
    assert names(album) == ALL


def test_show_prints_what_the_dry_run_printed(command: Command, album: Path) -> None:
    """Groups, totals and how to apply it, from the file alone."""
    saved = Saved(command, album)
    shown = command.run("show", saved.path)
    assert shown.code == 0, shown.err
    told = saved.run.out.splitlines()
    for line in shown.out.splitlines():
        assert line in told
    assert "Group 1" in shown.out
    assert "similar" in shown.out
    assert max(map(len, shown.out.splitlines()[:-1])) <= 80


# Applying


def test_apply_does_what_the_plan_says(command: Command, album: Path) -> None:
    """The files are where the plan says, and the journal quotes the ids of its acts."""
    saved = Saved(command, album)
    run = saved.apply()
    assert run.code == 0, run.err
    assert names(album) == {"a.jpg", "framed.jpg", "b.jpg"}
    for name in ("a copy.jpg", "small.jpg"):
        assert Path(saved.acts()[name]["destination"]).is_file()
    (journal,) = (command.home / ".local/state/py-image-dedup/runs").iterdir()
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    done = {line["id"] for line in lines if line["event"] == "done"}
    assert done == {saved.acts()[name]["id"] for name in ("a copy.jpg", "small.jpg")}


def test_apply_is_refused_a_second_time(command: Command, album: Path) -> None:
    """What went already is refused line by line, and nothing else happens."""
    saved = Saved(command, album)
    saved.apply()
    before = names(album), names(saved.target)
    run = saved.apply()
    assert run.code == 5
    assert run.out.count("refused: ") == 2
    assert (names(album), names(saved.target)) == before


def test_the_store_forgets_what_went(command: Command, album: Path) -> None:
    """A search after applying does not meet files that are gone."""
    Saved(command, album).apply()
    run = command.run("deduplicate", album, "--skip-analyse-phase")
    assert run.counts["removed"] == 0
    assert run.json["skipped"] == []


def test_what_changed_since_is_refused_and_the_rest_goes(command: Command, album: Path) -> None:
    """A file that is not as recorded stays, with the reason; --dry-run tells so beforehand."""
    saved = Saved(command, album)
    pictures.photo(7, (640, 480)).save(album / "sent/small.jpg")
    dry = saved.apply("--dry-run")
    assert dry.code == 5
    assert f"refused: {album}/sent/small.jpg: the file changed since it was analysed" in dry.out
    assert "1 file would be moved" in dry.out
    assert names(album) == ALL
    run = saved.apply()
    assert run.code == 5
    assert "small.jpg: the file changed since" in run.out
    assert names(saved.target) == {"a copy.jpg"}


def test_a_keeper_that_is_gone_protects_its_group(command: Command, album: Path) -> None:
    """Without the keeper nothing of its group goes."""
    saved = Saved(command, album)
    (album / "a.jpg").unlink()
    run = saved.apply()
    assert run.code == 5
    assert run.out.count("the keeper is gone") == 2
    assert names(album) == ALL - {"a.jpg"}


def test_a_dry_run_of_apply_touches_nothing(command: Command, album: Path) -> None:
    """It tells what would be done, and exits with 0 where nothing would be refused."""
    run = Saved(command, album).apply("--dry-run")
    assert run.code == 0, run.err
    assert "Dry run: nothing was touched. 2 files would be moved" in run.out.replace("\n", " ")
    assert names(album) == ALL
    assert not (command.home / ".local/state/py-image-dedup/runs").exists()


def test_protected_folders_of_now_count(command: Command, album: Path) -> None:
    """A folder that was protected after the plan was made is not touched."""
    saved = Saved(command, album)
    protect = {"PY_IMAGE_DEDUP_DEDUPLICATION_PROTECTED_DIRECTORIES": str(album / "sent")}
    for options in ((), ("--dry-run",)):
        run = saved.apply(*options, **protect)
        assert run.code == 5
        assert run.out.count("it lies in a protected folder") == 2
    assert names(album) == ALL


def test_a_plan_of_another_origin_is_refused(command: Command, album: Path) -> None:
    """Paths of another machine say nothing about this one."""
    run = Saved(command, album).apply(PY_IMAGE_DEDUP_ORIGIN="laptop")
    assert run.code == 3
    assert 'the plan is of origin "test", and this is "laptop"' in run.err
    assert names(album) == ALL


def test_a_plan_whose_folders_are_not_here_is_refused(command: Command, album: Path) -> None:
    """A disk that is not mounted is told, with the origin of the plan."""
    saved = Saved(command, album)
    album.rename(album.parent / "elsewhere")
    run = saved.apply()
    assert run.code == 3
    assert 'of origin "test"' in run.err
    assert str(album) in run.err


def test_configured_folders_do_not_matter(command: Command, album: Path) -> None:
    """A plan brings its own folders; a configured one that is missing does not keep it from being applied."""
    run = Saved(command, album).apply(PY_IMAGE_DEDUP_ANALYSIS_SOURCE_DIRECTORIES="/missing")
    assert run.code == 0, run.err


def test_empty_folders_are_removed_if_set(command: Command, album: Path) -> None:
    """Folders that applying empties go if remove_empty_folders is set now."""
    run = Saved(command, album).apply(PY_IMAGE_DEDUP_REMOVE_EMPTY_FOLDERS="true")
    assert run.code == 0, run.err
    assert "Removed 1 empty folder." in run.out
    assert not (album / "sent").exists()


def test_empty_folders_stay_if_not_set(command: Command, album: Path) -> None:
    """The plan alone does not remove folders."""
    saved = Saved(command, album)
    saved.edit(lambda data: data.update(empty_folders=[str(album / "sent")]))
    saved.apply()
    assert (album / "sent").is_dir()


# Editing


def test_a_person_lets_a_similar_file_go(command: Command, album: Path) -> None:
    """Only its action is edited; applying asks, and without a terminal wants --yes."""
    saved = Saved(command, album)
    saved.edit(lambda data: act_on(data, "framed.jpg").update(action="move"))
    refused = saved.apply()
    assert refused.code == 2
    assert "1 file would go though only similar" in refused.err
    assert "--yes" in refused.err
    assert names(album) == ALL
    run = saved.apply("--yes")
    assert run.code == 0, run.err
    assert names(album) == {"a.jpg", "b.jpg"}


def test_the_key_for_deleting_does_not_answer_for_similar_files(command: Command, album: Path) -> None:
    """That question has to be answered each time."""
    saved = Saved(command, album)
    saved.edit(lambda data: act_on(data, "framed.jpg").update(action="delete"))
    assert saved.apply(PY_IMAGE_DEDUP_DEDUPLICATION_DELETE_WITHOUT_ASKING="true").code == 2
    assert names(album) == ALL


def test_a_person_keeps_a_duplicate(command: Command, album: Path) -> None:
    """A file whose action becomes "keep" stays, the others go."""
    saved = Saved(command, album)
    saved.edit(lambda data: act_on(data, "small.jpg").update(action="keep"))
    assert saved.apply().code == 0
    assert names(album) == ALL - {"a copy.jpg"}


def test_deleting_by_an_edit_is_asked_for(command: Command, album: Path) -> None:
    """A move that becomes "delete" is a deletion like any other."""
    saved = Saved(command, album)
    saved.edit(lambda data: act_on(data, "small.jpg").update(action="delete"))
    refused = saved.apply()
    assert refused.code == 2
    assert "1 file would be deleted" in refused.err
    assert names(album) == ALL
    assert saved.apply("--yes").code == 0
    assert names(saved.target) == {"a copy.jpg"}


def test_a_person_chooses_another_keeper(command: Command, album: Path) -> None:
    """Keeper and duplicate change places with their facts, and the former keeper goes."""
    saved = Saved(command, album)

    def swap(data: dict[str, Any]) -> None:
        (group,) = data["groups"]
        keeper, copy = group["keeper"], act_on(data, "a copy.jpg")
        for key in keeper:
            keeper[key], copy[key] = copy[key], keeper[key]
        copy["destination"] = None

    saved.edit(swap)
    run = saved.apply()
    assert run.code == 0, run.err
    assert names(album) == ALL - {"a.jpg", "small.jpg"}
    assert (saved.target / album.relative_to("/") / "a.jpg").is_file()


@pytest.mark.parametrize("to", ["/tmp/elsewhere/small.jpg", "{target}/../small.jpg", "{target}"])
def test_a_destination_outside_the_target_is_refused(command: Command, album: Path, to: str) -> None:
    """An edit can't send a file anywhere else, and nothing of such a plan is carried out."""
    saved = Saved(command, album)
    saved.edit(lambda data: act_on(data, "small.jpg").update(destination=to.format(target=saved.target)))
    for name in ("apply", "show"):
        run = command.run(name, saved.path)
        assert run.code == 3
        assert str(saved.path) in run.err
        assert "groups[0].duplicates[1].destination" in run.err
    assert names(album) == ALL


# Risk and decisions


def test_similar_files_go_by_a_named_risk(command: Command, album: Path, tmp_path: Path) -> None:
    """--risk-different-pictures lets them go, after it was confirmed; a dry run says how many."""
    options = ("deduplicate", album, "--target", tmp_path / "target", "--risk-different-pictures")
    dry = command.run(*options)
    assert "1 file would go though only similar" in dry.out
    refused = command.run(*options, "--no-dry-run")
    assert refused.code == 2
    assert "only similar" in refused.err
    assert names(album) == ALL
    assert command.run(*options, "--no-dry-run", "--yes").code == 0
    assert names(album) == {"a.jpg", "b.jpg"}


def test_a_decision_after_the_plan_holds(command: Command, album: Path) -> None:
    """What was kept, or told apart from its keeper, after the plan was saved is refused."""
    saved = Saved(command, album)
    assert command.run("keep", album / "sent/a copy.jpg").code == 0
    assert command.run("different", album / "sent/small.jpg", album / "a.jpg").code == 0
    for options in ((), ("--dry-run",)):
        run = saved.apply(*options)
        assert run.code == 5
        assert "a copy.jpg: you said that it is kept" in run.out
        assert "small.jpg: you said that it differs" in run.out
    assert names(album) == ALL
    assert command.run("keep", "--forget", album / "sent/a copy.jpg").code == 0
    assert command.run("different", "--forget", album / "a.jpg", album / "sent/small.jpg").code == 0
    assert saved.apply().code == 0
    assert names(saved.target) == {"a copy.jpg", "small.jpg"}


def test_kept_files_survive_every_run(command: Command, album: Path, tmp_path: Path) -> None:
    """A file that was kept stays under any name, and its copies go for it."""
    command.run("keep", album / "sent/a copy.jpg", album / "sent/small.jpg")
    (album / "sent/small.jpg").rename(album / "renamed.jpg")
    run = command.run("deduplicate", album, "--target", tmp_path / "target", "--no-dry-run")
    assert run.code == 0, run.err
    assert names(tmp_path / "target") == {"a.jpg"}
    assert act_on(run.json, "renamed.jpg")["reason"].startswith("kept: you said so")
    assert command.run("keep").out.count(str(album)) == 2


def test_pictures_told_apart_are_not_listed_again(command: Command, album: Path) -> None:
    """Neither as duplicates nor as similar ones, until it is taken back."""
    command.run("different", album / "framed.jpg", album / "a.jpg", album / "sent/small.jpg")
    assert command.run("deduplicate", album).groups() == [{"a.jpg", "a copy.jpg"}]
    assert command.run("different").out.count(str(album)) == 6
    refused = command.run("different", album / "a.jpg", album / "sent/a copy.jpg")
    assert refused.code == 2
    assert "the same bytes" in refused.err
    command.run("different", "--forget", album / "framed.jpg", album / "a.jpg")
    assert command.run("deduplicate", album).groups() == [{"a.jpg", "a copy.jpg", "framed.jpg"}]
