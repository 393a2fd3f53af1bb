"""The command from outside: what it prints, what it leaves on disk, how it ends."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pictures
import pytest
from command import Command, Finished
from opened import opened_below

from py_image_dedup.cli.daily import _ResultFile
from py_image_dedup.errors import ConfigError


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three photos; the first with a smaller and a byte-identical copy, the second with a recompressed one."""
    folder = tmp_path / "album"
    (folder / "holiday").mkdir(parents=True)
    (folder / "sent").mkdir()
    first, second, third = (pictures.photo(seed, (640, 480)) for seed in (1, 2, 3))
    first.save(folder / "holiday/a.jpg", quality=92)
    shutil.copyfile(folder / "holiday/a.jpg", folder / "holiday/a copy.jpg")
    first.resize((320, 240)).save(folder / "sent/a small.jpg", quality=90)
    second.save(folder / "holiday/b.jpg", quality=92)
    second.save(folder / "sent/b.jpg", quality=60)
    third.save(folder / "holiday/c.png")
    return folder


def snapshot(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Path, size, mtime and hash of every file below a folder."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_size,
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def going(run: Finished) -> dict[str, str]:
    """Path and keeper of every file that a run's plan moves or deletes."""
    return {
        one["path"]: group["keeper"]["path"]
        for group in run.json["groups"]
        for one in group["duplicates"]
        if one["action"] in {"move", "delete"}
    }


def test_dry_run_shows_groups_and_touches_nothing(command: Command, album: Path) -> None:
    """The default run prints groups with keeper, distance and reason, and the disk stays as it was."""
    before = snapshot(album)

    run = command.run("deduplicate", album)

    assert run.code == 0, run.err
    assert sorted(map(sorted, run.groups())) == [["a copy.jpg", "a small.jpg", "a.jpg"], ["b.jpg"]]
    assert "more pixels" in run.out
    assert "keeper" in run.out
    assert "2 groups with 3 duplicates" in run.out
    assert snapshot(album) == before


def test_pictures_folder_gets_nothing_beside_the_pictures(command: Command, album: Path) -> None:
    """Neither database nor journal nor anything else is written beside the user's pictures."""
    entries = sorted(path.name for path in album.rglob("*"))

    command.run("deduplicate", album)

    assert sorted(path.name for path in album.rglob("*")) == entries


def test_unchanged_folder_is_not_opened_again(command: Command, album: Path) -> None:
    """A second run over an unchanged folder opens no picture, as the kernel sees it."""
    broken = album / "broken.jpg"
    broken.write_bytes(b"no picture")
    first = command.run("deduplicate", album)

    with opened_below(album) as opened:
        second = command.run("deduplicate", album)

    assert opened == []
    assert second.counts["analysed"] == 0
    assert second.counts["unchanged"] == 7
    assert second.json["groups"] == first.json["groups"]
    assert second.json["skipped"] == first.json["skipped"] != []


def test_the_watch_sees_opened_pictures(command: Command, album: Path) -> None:
    """The watch of the test above is able to fail: the first run opens every picture."""
    with opened_below(album) as opened:
        command.run("deduplicate", album)

    assert {Path(path).name for path in opened} == {"a.jpg", "a copy.jpg", "a small.jpg", "b.jpg", "c.png"}


def test_touched_replaced_renamed_and_deleted_files(command: Command, album: Path) -> None:
    """A touched or renamed file is read but not decoded, a replaced one analysed, a deleted one forgotten."""
    command.run("deduplicate", album)
    os.utime(album / "holiday/a.jpg")
    shutil.copyfile(album / "holiday/c.png", album / "sent/b.jpg.new")
    os.replace(album / "sent/b.jpg.new", album / "sent/b.jpg")
    os.rename(album / "holiday/b.jpg", album / "holiday/renamed.jpg")
    os.unlink(album / "sent/a small.jpg")
    pictures.photo(9, (640, 480)).save(album / "sent/new.jpg")

    run = command.run("deduplicate", album)

    assert run.counts["analysed"] == 4
    assert run.counts["decoded"] == 1
    assert run.counts["removed"] == 2
    assert sorted(map(sorted, run.groups())) == [["a copy.jpg", "a.jpg"], ["b.jpg", "c.png"]]


def test_real_run_moves_exactly_what_the_dry_run_listed(command: Command, album: Path, tmp_path: Path) -> None:
    """Every listed file is below the target with its bytes, mode and time, and its keeper stayed."""
    target = tmp_path / "target"
    dry = command.run("deduplicate", album, "--target", target)
    before = snapshot(album)

    run = command.run("deduplicate", album, "--target", target, "--no-dry-run")

    assert run.code == 0, run.err
    assert going(run) == going(dry) != {}
    after, moved = snapshot(album), snapshot(target)
    gone = {str(Path(path).relative_to(album)) for path in going(dry)}
    assert before.keys() - after.keys() == gone
    assert {name: before[name] for name in after} == after
    assert moved == {str(album.relative_to("/") / name): before[name] for name in gone}
    assert all(Path(keeper).is_file() for keeper in going(dry).values())
    assert "Journal:" in run.out


def test_second_real_run_finds_nothing_left(command: Command, album: Path) -> None:
    """After a run there are no duplicates, and the target is not searched even inside the root."""
    target = album / "duplicates"
    first = command.run("deduplicate", album, "--target", target, "--no-dry-run")

    second = command.run("deduplicate", album, "--target", target, "--no-dry-run")

    assert first.counts["moved"] == 3
    assert second.json["groups"] == []
    assert second.counts["files"] == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ANALYSIS_EXCLUSIONS", "/aside/"),
        ("ANALYSIS_RECURSIVE", "false"),
        ("ANALYSIS_FILE_EXTENSIONS", ".png"),
        ("DEDUPLICATION_DUPLICATES_TARGET_DIRECTORY", "{album}/aside"),
    ],
)
def test_what_only_an_earlier_run_met_takes_no_part(command: Command, album: Path, key: str, value: str) -> None:
    """Files that are recorded, and left out by now, neither go nor make others go."""
    shutil.copytree(album, album / "aside")
    for path in (album / "aside").rglob("*.jpg"):
        path.rename(path.with_name(f"a longer name wins {path.name}"))
    environment = {
        "PY_IMAGE_DEDUP_DEDUPLICATION_DUPLICATES_TARGET_DIRECTORY": str(command.home / "target"),
        f"PY_IMAGE_DEDUP_{key}": value.format(album=album),
    }
    expected = command.run("deduplicate", album, "--database", command.home / "fresh.sqlite", **environment)
    before = command.run("deduplicate", album)
    assert any("longer" in group["keeper"]["path"] for group in before.json["groups"])

    run = command.run("deduplicate", album, **environment)

    assert run.code == 0
    assert run.json["groups"] == expected.json["groups"]


def test_results_go_into_a_pipe_in_a_folder_that_nobody_may_write_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As /dev/stdout is, and what a shell makes of >(jq)."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(os, "access", lambda path, _: not os.path.isdir(path))
    _ResultFile("--json", str(tmp_path / "pipe")).check()
    with pytest.raises(ConfigError, match="is no folder that can be written to"):
        _ResultFile("--json", str(tmp_path / "file")).check()


def test_without_target_nothing_is_deleted_unasked(command: Command, album: Path) -> None:
    """--no-dry-run without a target or an action only reports, and one message says so."""
    before = snapshot(album)

    run = command.run("deduplicate", album, "--no-dry-run")

    assert run.code == 0
    assert "only reported" in run.err
    assert snapshot(album) == before


def test_delete_needs_confirmation(command: Command, album: Path) -> None:
    """Without a terminal --action delete refuses to act unless --yes is given."""
    before = snapshot(album)

    refused = command.run("deduplicate", album, "--no-dry-run", "--action", "delete", answer="y\n")

    assert refused.code == 2
    assert "--yes" in refused.err
    assert snapshot(album) == before

    done = command.run("deduplicate", album, "--no-dry-run", "--action", "delete", "--yes")

    assert done.code == 0
    assert done.counts["deleted"] == 3
    assert before.keys() - snapshot(album).keys() == {"holiday/a.jpg", "sent/a small.jpg", "sent/b.jpg"} or (
        before.keys() - snapshot(album).keys() == {"holiday/a copy.jpg", "sent/a small.jpg", "sent/b.jpg"}
    )


def test_acts_that_fail_are_named_and_the_rest_goes_on(command: Command, album: Path, tmp_path: Path) -> None:
    """A move that cannot be done is named, the others are done, and the exit code is 5."""
    target = tmp_path / "target"
    blocked = target / album.relative_to("/") / "sent"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where a folder is needed")

    run = command.run("deduplicate", album, "--target", target, "--no-dry-run")

    assert run.code == 5
    assert run.counts["failed"] == 2
    assert run.counts["moved"] == 1
    assert (album / "sent/b.jpg").is_file()
    assert "sent/b.jpg" in run.out


def test_unwritable_state_directory_stops_before_the_first_act(command: Command, album: Path, tmp_path: Path) -> None:
    """Without a journal nothing is moved, and the message names the key."""
    (tmp_path / "file").write_text("no folder")
    state = tmp_path / "file" / "state"
    before = snapshot(album)

    run = command.run(
        "deduplicate", album, "--target", tmp_path / "t", "--no-dry-run", PY_IMAGE_DEDUP_STATE_DIRECTORY=str(state)
    )

    assert run.code == 3
    assert "state_directory" in run.err.lower()
    assert snapshot(album) == before


def test_protected_folder_keeps_everything(command: Command, album: Path, tmp_path: Path) -> None:
    """Files below a protected folder stay, also when an alias of the folder is configured."""
    alias = tmp_path / "alias"
    alias.symlink_to(album / "sent")

    run = command.run(
        "deduplicate",
        album,
        "--target",
        tmp_path / "t",
        "--no-dry-run",
        PY_IMAGE_DEDUP_DEDUPLICATION_PROTECTED_DIRECTORIES=str(alias),
    )

    assert run.code == 0
    assert sorted(path.name for path in (album / "sent").iterdir()) == ["a small.jpg", "b.jpg"]
    assert run.counts["moved"] == 1


def test_empty_folders_are_removed_only_when_asked(command: Command, album: Path, tmp_path: Path) -> None:
    """The folder that the run emptied goes with remove_empty_folders; other empty folders and roots stay."""
    (album / "empty before").mkdir()

    run = command.run(
        "deduplicate", album, "--target", tmp_path / "t", "--no-dry-run", PY_IMAGE_DEDUP_REMOVE_EMPTY_FOLDERS="true"
    )

    assert not (album / "sent").exists()
    assert (album / "empty before").is_dir()
    assert run.json["empty_folders"] == [str(album / "sent")]
    assert run.counts["removed_folders"] == 1


def test_suddenly_empty_root_is_refused(command: Command, album: Path, tmp_path: Path) -> None:
    """A root that lost all its pictures is taken for an unmounted disk: nothing is forgotten, exit code 3."""
    command.run("deduplicate", album)
    os.rename(album, tmp_path / "elsewhere")
    album.mkdir()

    run = command.run("deduplicate", album)

    assert run.code == 3
    assert "mounted" in run.err
    album.rmdir()
    os.rename(tmp_path / "elsewhere", album)
    assert command.run("deduplicate", album).counts["analysed"] == 0


def test_across_dirs(command: Command, album: Path) -> None:
    """Configured roots are searched each for itself unless across_dirs is set; folders as arguments as one."""
    roots = f"{album}/holiday,{album}/sent"
    apart = command.run("deduplicate", PY_IMAGE_DEDUP_ANALYSIS_SOURCE_DIRECTORIES=roots)
    across = command.run(
        "deduplicate", PY_IMAGE_DEDUP_ANALYSIS_SOURCE_DIRECTORIES=roots, PY_IMAGE_DEDUP_ANALYSIS_ACROSS_DIRS="true"
    )
    named = command.run("deduplicate", album / "holiday", album / "sent")

    assert apart.groups() == [{"a.jpg", "a copy.jpg"}]
    assert len(across.groups()) == 2
    assert named.groups() == across.groups()


def test_skip_analyse_phase_takes_records_as_they_are(command: Command, album: Path) -> None:
    """With -sap new files are not looked at, and a changed file is neither keeper nor duplicate."""
    command.run("analyse", album)
    pictures.photo(1, (640, 480)).save(album / "new.jpg")
    (album / "sent/b.jpg").write_bytes((album / "holiday/c.png").read_bytes())

    run = command.run("deduplicate", album, "-sap")

    assert sorted(map(sorted, run.groups())) == [["a copy.jpg", "a small.jpg", "a.jpg"]]
    assert [Path(one["path"]).name for one in run.json["skipped"]] == ["b.jpg"]


def test_two_runs_at_once(command: Command, tmp_path: Path) -> None:
    """A second run on the same database is told so and ends with exit code 4."""
    album = tmp_path / "album"
    album.mkdir()
    for seed in range(300):
        pictures.photo(seed, (320, 240)).save(album / f"{seed}.jpg")
    first = command.start("analyse", album, "-t", "1")
    try:
        lock = command.home / ".local/share/py-image-dedup/signatures.sqlite.lock"
        _wait_for(lambda: lock.exists() and lock.read_text().strip() != "")
        first.send_signal(signal.SIGSTOP)  # or it may be through before the second has begun

        second = command.run("analyse", album)

        assert second.code == 4
        assert f"process {first.pid}" in second.err
    finally:
        first.send_signal(signal.SIGCONT)
        first.communicate(timeout=60)
    assert first.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_it_is_loaded(command: Command, tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C before a command runs is told in one line, even where an import swallows what is raised in it."""
    (tmp_path / "click.py").write_text(
        f"import os\ntry:\n    os.kill(os.getpid(), {int(number)})\nexcept KeyboardInterrupt:\n    pass\n"
    )
    path = f"{tmp_path}:{command.environment['PYTHONPATH']}"

    run = command.run("--help", PYTHONPATH=path)

    assert (run.code, run.out, run.err) == (130, "", "Interrupted.\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_interrupted_analysis_goes_on_where_it_was(
    command: Command, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """However a run is ended, the database stays sound and the next run finishes the work."""
    album = tmp_path / "album"
    album.mkdir()
    for seed in range(400):
        pictures.photo(seed, (640, 480)).save(album / f"{seed}.jpg")
    size = sum(path.stat().st_size for path in album.iterdir())
    run = command.start("analyse", album, "-t", "1")
    with opened_below(album) as opened:
        lock = command.home / ".local/share/py-image-dedup/signatures.sqlite.lock"
        _wait_for(lambda: lock.exists() and lock.read_text().strip() != "")
        before = _bytes_read(run.pid)
        while _bytes_read(run.pid) < before + size // 5:
            run.send_signal(signal.SIGCONT)
            time.sleep(0.02)
            run.send_signal(signal.SIGSTOP)  # it may not get to its end while nobody looks
        run.send_signal(number)
        run.send_signal(signal.SIGCONT)
        run.communicate(timeout=30)
    assert run.returncode == code
    assert 0 < len(opened) < 400

    again = command.run("deduplicate", album)

    assert again.code == 0
    assert again.counts["files"] == 400
    assert again.counts["analysed"] + again.counts["unchanged"] == 400


def test_bad_usage_has_its_exit_codes(command: Command, album: Path, tmp_path: Path) -> None:
    """Each kind of mistake ends with its documented code and one line that names what is wrong."""
    missing = command.run("deduplicate", tmp_path / "missing")
    nothing = command.run("deduplicate")
    distance = command.run("deduplicate", album, "--max-distance", "far")
    threads = command.run("deduplicate", album, "--threads", "0")
    option = command.run("deduplicate", album, "--no-such-option")
    foreign = command.run("deduplicate", album, "--database", album / "holiday/a.jpg")

    assert (missing.code, "missing" in missing.err) == (3, True)
    assert (nothing.code, "folder" in nothing.err) == (2, True)
    assert (distance.code, "--max-distance" in distance.err) == (3, True)
    assert (threads.code, "--threads is '0'" in threads.err) == (3, True)
    assert (option.code, "--no-such-option" in option.err) == (2, True)
    assert (foreign.code, "a.jpg" in foreign.err) == (4, True)
    for run in (missing, nothing, distance, threads, foreign):
        assert len(run.err.strip().splitlines()) == 1
        assert "Traceback" not in run.err


def test_json_that_can_not_be_written_is_refused_at_once(command: Command, album: Path) -> None:
    """A result file in a missing folder is an error before anything is analysed."""
    run = command.run("deduplicate", album, "--json", album / "missing/x.json", "--database", album.parent / "db")

    assert run.code == 3
    assert "missing" in run.err
    assert not (album.parent / "db").exists()


def test_closed_pipe_is_no_error(command: Command, album: Path) -> None:
    """A reader that goes away (head) ends the run quietly."""
    line = shlex.join(command.arguments("deduplicate", album)) + " | head -n 1; exit ${PIPESTATUS[0]}"
    done = subprocess.run(
        ["bash", "-c", line], check=False, capture_output=True, text=True, env=command.environment, cwd=command.home
    )

    assert "Traceback" not in done.stderr
    assert done.returncode == 141


def test_colours_and_bars_stay_away_from_files(command: Command, album: Path) -> None:
    """Output that is no terminal holds no escape sequences and fits 80 columns."""
    run = command.run("deduplicate", album)

    assert "\x1b" not in run.out + run.err
    assert max(map(len, run.out.splitlines())) <= 80
    assert run.err == ""


def test_help_answers_without_heavy_imports(command: Command) -> None:
    """--help works on every command and loads neither numpy nor Pillow nor a store."""
    code = (
        "import sys\nfrom py_image_dedup.cli import cli\ncli.main(['--help'], standalone_mode=False)\n"
        "print(sorted({'numpy', 'PIL', 'elasticsearch', 'rich', 'container_app_conf'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.rstrip().endswith("[]")
    for name in ("analyse", "deduplicate", "config"):
        assert command.run(name, "-h").code == 0


def test_config_command_hides_secrets(command: Command) -> None:
    """The config command prints every key with its source and never a secret."""
    run = command.run("config", PY_IMAGE_DEDUP_ELASTICSEARCH_PASSWORD="s3cret", PY_IMAGE_DEDUP_ELASTICSEARCH_USER="me")

    assert run.code == 0
    assert "s3cret" not in run.out + run.err
    assert "max_distance" in run.out


def _bytes_read(pid: int) -> int:
    return int(Path(f"/proc/{pid}/io").read_text(encoding="ascii").split()[1])


def _wait_for(condition: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if callable(condition) and condition():
            return
        time.sleep(0.02)
    pytest.fail("waited in vain")
