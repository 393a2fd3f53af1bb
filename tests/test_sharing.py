"""One store, several machines: two runs never act at once, and nobody touches what is another's."""

from __future__ import annotations

import json
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from command import Command, Finished
from elastic_server import remove_indices
from machines import Machine, after, fill, tree

from py_image_dedup.actions import Result
from py_image_dedup.cli.wiring import open_run
from py_image_dedup.config import Loaded, Override, load_settings
from py_image_dedup.errors import LeaseLost, StoreUnavailable
from py_image_dedup.stores.elastic import ElasticStore
from py_image_dedup.stores.sqlite import SqliteStore

Boot = Callable[[str, str], Machine]


@pytest.fixture
def index(elasticsearch_url: str) -> Iterator[str]:
    name = f"sharing-{uuid.uuid4().hex}"
    yield name
    remove_indices(elasticsearch_url, name)


@pytest.fixture
def boot(elasticsearch_url: str, index: str, tmp_path: Path) -> Boot:
    """Makes machines on one server, by name and origin."""

    def boot_one(name: str, origin: str) -> Machine:
        return Machine(tmp_path / name, origin=origin, url=elasticsearch_url, index=index)

    return boot_one


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return fill(tmp_path / "album", range(6))


@pytest.mark.elasticsearch
def test_while_one_run_works_the_other_is_told_and_does_nothing(
    boot: Boot, elasticsearch_url: str, index: str, album: Path, tmp_path: Path
) -> None:
    """The other one ends with exit code 4 and a message; once the first has ended it does its work."""
    nas = boot("second", "nas")
    act: list[str | Path] = ["deduplicate", "--no-dry-run", "--target", tmp_path / "target", album]
    first = ElasticStore.open(urls=[elasticsearch_url], index=index, origin="nas", auto_create_index=True)
    before = tree(album)
    with first.lease(pytest.fail):
        others: list[list[str | Path]] = [["deduplicate", album], ["analyse", album]]
        for arguments in (act, *others):
            refused = nas.run(*arguments)
            assert refused.code == 4
            assert 'Error: another run works on the origin "nas": process ' in refused.err
            assert "Wait for it to end, or stop it there" in refused.err
        assert tree(album, nas.home / "target") == before
        assert boot("laptop", "laptop").run("analyse", album).code == 0
    first.close()
    run = nas.run(*act)
    assert run.code == 0, run.err
    assert run.counts["moved"] == 6
    assert tree(album, tmp_path / "target") == after(before, run)


@pytest.mark.elasticsearch
def test_two_machines_that_begin_at_once_move_each_file_once(boot: Boot, album: Path, tmp_path: Path) -> None:
    """Whoever comes second is refused, or finds all done; the disk is as the reports say."""
    target = tmp_path / "target"
    before = tree(album)
    runs = []
    for name in ("one", "other"):
        machine = boot(name, "nas")
        result = machine.home / "plan.json"
        runs.append((machine.start("deduplicate", "--no-dry-run", "--target", target, "--json", result, album), result))
    ended = []
    for process, result in runs:
        out, err = process.communicate(timeout=120)
        assert process.returncode in {0, 4}, err
        ended.append(Finished(process.returncode, out, err, json.loads(result.read_text()) if result.exists() else {}))
    assert sum(run.counts["moved"] for run in ended if run.json) == 6
    assert tree(album, target) == after(before, *ended)
    assert len(tree(album)) == 6


@pytest.mark.elasticsearch
def test_a_machine_remembers_what_it_compared(boot: Boot, album: Path) -> None:
    """Beside its database; what has come since is found, and another machine finds the same without that memory."""
    nas = boot("nas", "nas")
    first = nas.run("deduplicate", album)
    (memory,) = nas.home.rglob("searches-*.sqlite")
    with closing(sqlite3.connect(memory)) as database:
        ((contents,),) = database.execute("SELECT count(*) FROM searched")
        ((matches,),) = database.execute("SELECT count(*) FROM matches")
    assert contents == len({path.read_bytes() for path in album.iterdir()})
    assert matches >= len(first.groups()) == 6
    assert nas.run("deduplicate", album).groups() == first.groups()
    fill(album, range(6, 8))
    later = nas.run("deduplicate", album).groups()
    assert len(later) == 8
    assert boot("other", "nas").run("deduplicate", album).groups() == later


@pytest.mark.elasticsearch
def test_the_same_paths_on_two_machines_never_mix(boot: Boot, tmp_path: Path) -> None:
    """Records of the laptop neither vanish, nor keep, nor go, when the NAS has other files under the same names."""
    album, target = tmp_path / "album", tmp_path / "target"
    nas, laptop = boot("nas", "nas"), boot("laptop", "laptop")
    fill(album, range(4))
    assert laptop.run("analyse", album).code == 0
    disk_of_laptop = album.rename(tmp_path / "disk of the laptop")
    fill(album, range(3, 7))  # the NAS has its own files below the same path, one picture in common
    (album / "4 lesser.jpg").unlink()
    before = tree(album)

    run = nas.run("deduplicate", "--no-dry-run", "--target", target, album)

    assert run.code == 0, run.err
    assert run.counts["moved"] == 3
    assert tree(album, target) == after(before, run)
    assert 'Elsewhere: 2 files of origin "laptop" with the same bytes as pictures here.' in run.err
    status = nas.run("index", "status").out
    assert 'origin "laptop": 8 files' in status
    assert 'origin "nas": 4 files' in status

    shutil.rmtree(album)
    disk_of_laptop.rename(album)
    before = tree(album, target)
    again = laptop.run("deduplicate", album)
    assert again.code == 0, again.err
    assert again.counts["unchanged"] == again.counts["files"] == 8
    assert again.counts["removed"] == 0
    assert again.counts["duplicates"] == 4
    assert tree(album, target) == before


def test_origins_of_one_file_never_mix(tmp_path: Path) -> None:
    """SQLite too holds several origins; each has its own files, and is told of the others."""
    album = fill(tmp_path / "album", range(2))
    command = Command(tmp_path / "home")
    assert command.run("analyse", album, PY_IMAGE_DEDUP_ORIGIN="old name").code == 0
    assert "same bytes" not in command.run("analyse", album, PY_IMAGE_DEDUP_ORIGIN="old name").err
    run = command.run("deduplicate", album)
    assert (run.code, run.counts["duplicates"]) == (0, 2)
    assert 'Elsewhere: 4 files of origin "old name" with the same bytes as pictures here.' in run.err
    assert 'origin "old name": 4 files' in command.run("index", "status").out
    assert command.run("index", "compact").out.startswith("Dropped 0 contents")


def settings(album: Path, place: Path) -> Loaded:
    """Return settings with everything below one folder."""
    wishes: dict[str, object] = {
        "analysis.source_directories": [str(album)],
        "deduplication.duplicates_target_directory": str(place / "target"),
        "database": str(place / "store.sqlite"),
        "state_directory": str(place / "state"),
    }
    return load_settings(overrides={key: Override("--test", value) for key, value in wishes.items()}, environ={})


@pytest.mark.parametrize("lost", [(3,), (3, 4, 5, 6)])
def test_what_is_left_when_a_lease_is_lost_is_refused_and_reported(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: tuple[int, ...]
) -> None:
    """Two acts are done, the others are refused with the reason; no folder goes, and the disk is as reported.

    Also if the lease comes back: others may have acted meanwhile.
    """
    loaded = settings(album, tmp_path)
    asked: list[int] = []

    def check(_: SqliteStore) -> None:
        asked.append(1)
        if len(asked) in lost:
            raise LeaseLost("another run has taken over these pictures")

    before = tree(album)
    with open_run(loaded) as run:
        plan = run.pipeline.make_plan()
        monkeypatch.setattr(SqliteStore, "check", check)
        report = run.execution.execute(plan)
    results = [outcome.result for outcome in report.outcomes]
    assert results == [Result.DONE] * 2 + [Result.REFUSED] * 4
    assert {outcome.detail for outcome in report.outcomes[2:]} == {"another run has taken over these pictures"}
    assert not report.complete
    assert run.tally.counts["refused"] == 4
    gone = {outcome.act.file.path: outcome.detail for outcome in report.outcomes[:2]}
    assert tree(album, tmp_path / "target") == {gone.get(path, path): content for path, content in before.items()}


def test_what_was_done_is_reported_when_the_store_fails_afterwards(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That records can't be removed any more does not hide what became of the files."""
    loaded = settings(album, tmp_path)

    def fail(*_: object) -> None:
        raise StoreUnavailable("the server went away")

    with open_run(loaded) as run:
        plan = run.pipeline.make_plan()
        with monkeypatch.context() as broken:
            broken.setattr(SqliteStore, "remove", fail)
            report = run.execution.execute(plan)
        assert report.complete
        assert len(report.outcomes) == 6
        run.pipeline.make_plan()
        assert run.tally.counts["removed"] == 6
