"""Results for people and programs: tables, totals, and the JSON file."""

import errno
import io
import json
import os
import re
import stat
import threading
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from py_image_dedup import report
from py_image_dedup.actions import Outcome, Result
from py_image_dedup.model import Level, Skipped
from py_image_dedup.plan import Action, Plan, PlannedAct, PlannedFile, PlannedGroup

HOSTILE = "\x1b[31mred\x1b]8;;http://x\x07 \u202egpj.exe \u200f\u2066 \r\n\x9b1m\udcff.jpg"
REASON = "newer (2020-09-13 12:26:40 against 1970-01-01 00:00:00)"


def file(path: str, *, size: int = 3_210_000, content: str = "b", width: int = 4000, height: int = 3000) -> PlannedFile:
    return PlannedFile(path, size, 7, content * 64, "JPEG", width, height)


def act(
    path: str,
    *,
    number: str = "1.1",
    level: Level = Level.DUPLICATE,
    action: Action = Action.MOVE,
    reason: str = REASON,
    content: str = "b",
    size: int = 3_210_000,
) -> PlannedAct:
    destination = f"/target{path}" if action is Action.MOVE else None
    planned = file(path, content=content, size=size)
    return PlannedAct(number, planned, 0.0456, level, action, destination, "newer-file-modification-date", reason)


def plan(*acts: PlannedAct, keeper: str = "/photos/keeper.jpg", groups: int = 1, target: str = "/target") -> Plan:
    """Plan with the same group once or more often."""
    return Plan(
        origin="here",
        roots=("/photos",),
        action=Action.MOVE,
        target=target,
        groups=(PlannedGroup(file(keeper, content="a"), acts),) * groups,
    )


class Screen:
    """A console whose output can be read."""

    def __init__(self, width: int = 80, *, colour: bool = False) -> None:
        self._file = io.StringIO()
        self.console = Console(file=self._file, width=width, highlight=False, force_terminal=colour)

    @property
    def text(self) -> str:
        return self._file.getvalue()


def columns(line: str) -> int:
    """Count the columns that a line takes on a terminal."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in line
    )


def table(made: Plan, width: int = 80, *, everything: bool = False) -> str:
    screen = Screen(width)
    report.print_plan(made, screen.console, everything=everything)
    return screen.text


def summary(made: Plan, *, dry_run: bool = True, **counts: int) -> str:
    screen = Screen(1000)
    report.print_summary(made, Counter(counts), screen.console, dry_run=dry_run)
    return screen.text


def test_table_shows_keeper_members_distances_and_reasons() -> None:
    """A group's table tells its keeper, each file with its distance to it, and the rule that decided."""
    text = table(
        plan(
            act("/photos/trip/copy.jpg"),
            act("/photos/same.jpg", content="a"),
            act("/photos/other.jpg", level=Level.SIMILAR, action=Action.KEEP, reason="more pixels (2 px against 1 px)"),
        )
    )
    assert "Folders below /photos" in text
    rows = {line.split()[0]: line for line in text.splitlines() if ".jpg" in line and not line.startswith("Folders")}
    assert set(rows) == {"keeper.jpg", "trip/copy.jpg", "same.jpg", "other.jpg"}
    assert rows["keeper.jpg"].split()[1:] == ["3.21", "MB", "4000x3000", "keeper"]
    assert rows["trip/copy.jpg"].split()[1:] == ["3.21", "MB", "4000x3000", "0.046", "newer"]
    assert rows["same.jpg"].split()[4] == "same"
    assert rows["other.jpg"].split()[4:] == ["0.046", "similar", "more", "pixels"]


def test_wide_table_tells_the_values_that_decided() -> None:
    """Where there is room, the reason tells both values, and the names keep room enough to be read."""
    protected = act("/photos/b.jpg", action=Action.KEEP, reason=f"protected folder; else: {REASON}")
    text = table(plan(act("/photos/a long enough name.jpg"), protected), 120)
    assert "a long enough name.jpg" in text
    assert "newer (2020-09-13 12:26:40 against" in text
    assert max(map(columns, text.splitlines())) <= 120


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize(
    "name",
    [
        "漢字" * 60 + ".jpg",
        "x" * 255,
        "a b " * 60,
        "💾📷" * 30,
        "e\u0301" * 100 + ".jpg",
        HOSTILE,
        "[bold]no markup[/] :smile: [/b].jpg",
        "שלום.jpg",
    ],
)
def test_table_never_exceeds_its_width(name: str, width: int) -> None:
    """However long or wide a name is, however large the numbers are, no line is wider than the terminal."""
    huge = act(f"/photos/{name}", size=10**13, level=Level.SIMILAR, reason="farther from the others " + REASON)
    text = table(plan(huge, act("/photos/b.jpg"), keeper=f"/photos/deep/{name}"), width)
    assert max(map(columns, text.splitlines())) <= width
    assert "0.046 similar" in text
    assert "10,000,000 MB" in text


@given(st.text(st.sampled_from("ab /é漢💾\u0301א\x00\x1b\x7f\x9b\u200b\u202e\ufeff\udc80\udcff[]\\:"), min_size=1))
@settings(max_examples=60, deadline=None)
def test_no_name_can_steer_the_terminal(name: str) -> None:
    """Whatever is in a name, only characters that can be seen are printed, within 80 columns."""
    made = plan(act(f"/photos/{name}", reason=name), keeper=f"/photos/{name}")
    screen = Screen()
    report.print_plan(made, screen.console)
    report.print_skipped([Skipped(f"/photos/{name}", name)], screen.console)
    report.print_outcomes([Outcome(act(f"/photos/{name}"), Result.REFUSED, name)], screen.console)
    assert all(character.isprintable() or character == "\n" for character in screen.text)
    screen.text.encode()
    assert max(map(columns, table(made).splitlines())) <= 80


def test_hostile_names_come_out_escaped() -> None:
    """Escape sequences, direction marks and odd bytes are shown as what they are, in tables and in lines."""
    screen = Screen(400)
    report.print_plan(plan(act(f"/photos/{HOSTILE}")), screen.console)
    report.print_skipped([Skipped(f"/photos/{HOSTILE}", "broken")], screen.console)
    report.print_outcomes([Outcome(act(f"/photos/{HOSTILE}"), Result.FAILED, HOSTILE)], screen.console)
    report.print_summary(plan(act("/photos/b"), target=f"/{HOSTILE}"), Counter(), screen.console, dry_run=True)
    shown = r"\x1b[31mred\x1b]8;;http://x\x07 \u202egpj.exe \u200f\u2066 \r\n\x9b1m\udcff.jpg"
    assert screen.text.count(shown) == 5


@pytest.mark.parametrize("name", ["[/b]", "[bold]x[/bold]", ":smile:", "[link=http://x]y[/link]", "a\\[b"])
def test_brackets_and_colons_in_names_are_no_markup(name: str) -> None:
    """Names are printed as they are, also where they look like the markup of the library that prints them."""
    screen = Screen(300)
    made = plan(act(f"/photos/{name}.jpg"), target=f"/target {name}")
    report.print_plan(made, screen.console)
    report.print_summary(made, Counter(), screen.console, dry_run=True)
    report.print_skipped([Skipped(f"/photos/{name}", f"odd {name}")], screen.console)
    report.print_outcomes([Outcome(act(f"/photos/{name}"), Result.REFUSED, f"why {name}")], screen.console)
    for expected in (f"{name}.jpg", f"/target {name} with", f"odd {name}", f"why {name}"):
        assert expected in screen.text


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR set a terminal gets no colours; without it, it does."""

    def colours() -> list[str]:
        screen = Screen(colour=True)
        made = plan(act("/photos/b.jpg"))
        report.print_plan(made, screen.console)
        report.print_summary(made, Counter(), screen.console, dry_run=True)
        report.print_skipped([Skipped("/photos/c.jpg", "broken")], screen.console)
        report.print_outcomes([Outcome(act("/photos/b.jpg"), Result.REFUSED, "gone")], screen.console)
        codes = ";".join(re.findall(r"\x1b\[([0-9;]*)m", screen.text)).split(";")
        return [code for code in codes if re.fullmatch(r"[349]\d|10[0-7]", code)]

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert colours()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours()


def test_nothing_is_styled_where_there_is_no_terminal() -> None:
    """Output into a file or pipe is plain text."""
    assert "\x1b" not in table(plan(act("/photos/b.jpg")))


def test_only_so_many_files_of_a_group_are_printed() -> None:
    """A large group prints its first 100 files and says how to see the rest; all of them on request."""
    copies = [act(f"/photos/{number}.jpg") for number in range(102)]
    text = table(plan(*copies))
    assert text.count("0.046") == 100
    assert "... and 2 more files in this group (--all prints them, --json saves them)." in text
    assert table(plan(*copies), everything=True).count("0.046") == 102
    for some in (table(plan(*copies), everything=True), table(plan(*copies[:100]))):
        assert "more files" not in some


def test_only_so_many_groups_are_printed() -> None:
    """A long plan prints its first 100 groups and says how to see the rest; all of them on request."""
    long = plan(act("/photos/b.jpg"), groups=103)
    text = table(long)
    assert text.count("keeper.jpg") == 100
    assert text.rstrip().endswith("... and 3 more groups (--all prints them, --json saves them).")
    text = table(long, everything=True)
    assert text.count("keeper.jpg") == 103
    assert "more groups" not in text
    assert "more groups" not in table(plan(act("/photos/b.jpg"), groups=100))


def test_an_empty_plan_prints_no_table() -> None:
    """Without groups there is no table and no heading."""
    assert table(plan(groups=0)) == ""


def test_folders_are_named_relative_to_what_all_roots_share() -> None:
    """Names are shortened by the folder that holds all roots, and whole where there is none."""
    one = PlannedGroup(file("/data/new/a.jpg"), (act("/data/old/b.jpg"),))
    made = Plan(origin="here", roots=("/data/new", "/data/old"), action=Action.REPORT, target=None, groups=(one,))
    text = table(made)
    assert "Folders below /data\n" in text
    assert "\nnew/a.jpg " in text
    assert "\nold/b.jpg " in text
    apart = Plan(origin="here", roots=("/data", "/mnt"), action=Action.REPORT, target=None, groups=(one,))
    assert "\n/data/new/a.jpg " in table(apart)
    assert "Folders below" not in table(apart)


def test_summary_of_a_dry_run() -> None:
    """A dry run says what it saw, what it would do and how to do it, and that nothing was touched."""
    similar = act("/photos/c.jpg", level=Level.SIMILAR, action=Action.KEEP)
    text = summary(plan(act("/photos/b.jpg"), similar, groups=2), files=12, analysed=5, unchanged=6, skipped=1)
    assert text.splitlines() == [
        "12 files: 5 analysed, 6 unchanged, 1 skipped.",
        "2 groups with 2 duplicates and 2 similar pictures; 6.42 MB could be freed.",
        "Dry run: nothing was touched. 2 files would be moved to /target with --no-dry-run.",
    ]


def test_summary_names_what_a_dry_run_would_delete_and_prune() -> None:
    """A dry run says "deleted" where it would delete, and counts the folders that would be empty."""
    made = Plan(
        origin="here",
        roots=("/photos",),
        action=Action.DELETE,
        target="/target",
        groups=plan(act("/photos/b.jpg", action=Action.DELETE)).groups,
        empty_folders=("/photos/x", "/photos/y"),
    )
    assert summary(made).splitlines()[-2:] == [
        "Dry run: nothing was touched. 1 file would be deleted with --no-dry-run.",
        "2 folders would be empty then and be removed.",
    ]


def test_summary_promises_nothing_else() -> None:
    """A real run and one that only reports say nothing about a dry run."""
    assert "Dry run" not in summary(plan(act("/photos/b.jpg")), dry_run=False)
    assert "Dry run" not in summary(plan(act("/photos/b.jpg", action=Action.REPORT)))
    assert "similar" not in summary(plan(act("/photos/b.jpg")))


def many_skipped(number: int) -> Sequence[Skipped]:
    return [Skipped(f"/photos/{one:03}.jpg", f"reason {one}") for one in range(number)]


def test_every_skipped_file_is_named_with_its_reason() -> None:
    """Up to 50 skipped files are named, the rest on request, and never one without saying how many there are."""
    screen = Screen()
    report.print_skipped(many_skipped(50), screen.console)
    assert screen.text.splitlines() == [
        "Skipped (50):",
        *(f"  /photos/{one:03}.jpg: reason {one}" for one in range(50)),
    ]
    screen = Screen()
    report.print_skipped(many_skipped(60), screen.console)
    assert screen.text.count(".jpg: reason") == 50
    assert "Skipped (60):" in screen.text
    assert "... and 10 more (--all prints them, --json saves them)." in screen.text
    screen = Screen()
    report.print_skipped(many_skipped(60), screen.console, everything=True)
    assert screen.text.count(".jpg: reason") == 60


def test_nothing_skipped_prints_nothing() -> None:
    """Where nothing was skipped there is no heading."""
    screen = Screen()
    report.print_skipped([], screen.console)
    assert screen.text == ""


def test_long_lines_are_not_broken() -> None:
    """A skipped or refused file is on one line, however long, so that it can be searched for and copied."""
    screen = Screen()
    path = "/photos/" + "long name " * 20
    report.print_skipped([Skipped(path, "broken")], screen.console)
    report.print_outcomes([Outcome(act(path), Result.FAILED, "disk full")], screen.console)
    assert f"  {path}: broken\n" in screen.text
    assert f"failed: {path}: disk full\n" in screen.text


def test_outcomes_name_what_did_not_happen_and_count_the_rest() -> None:
    """What was done is counted with its bytes; each act that was refused or failed is named."""
    screen = Screen()
    outcomes = [
        Outcome(act("/photos/a.jpg"), Result.DONE, "/target/photos/a.jpg"),
        Outcome(act("/photos/b.jpg"), Result.REFUSED, "the keeper is gone"),
        Outcome(act("/photos/c.jpg"), Result.DONE, "/target/photos/c.jpg"),
        Outcome(act("/photos/d.jpg"), Result.FAILED, "Permission denied"),
    ]
    report.print_outcomes(outcomes, screen.console)
    assert screen.text.splitlines() == [
        "Moved 2 files (6.42 MB).",
        "refused: /photos/b.jpg: the keeper is gone",
        "failed: /photos/d.jpg: Permission denied",
    ]
    screen = Screen()
    report.print_outcomes([Outcome(act("/photos/a.jpg", action=Action.DELETE), Result.DONE, "deleted")], screen.console)
    assert screen.text == "Deleted 1 file (3.21 MB).\n"


def written(folder: Path, made: Plan, *outcomes: Outcome, **counts: int) -> dict[str, object]:
    path = folder / "result.json"
    report.write_json(str(path), made, Counter(counts), outcomes=outcomes)
    data = json.loads(path.read_bytes())
    assert isinstance(data, dict)
    return data


def test_json_holds_every_count(tmp_path: Path) -> None:
    """All counts are in the JSON file, each 0 where nothing was counted."""
    data = written(tmp_path, plan(), files=3, decoded=2)
    assert data["counts"] == {name: {"files": 3, "decoded": 2}.get(name, 0) for name in report.COUNTS}
    expected = {"files", "analysed", "analysed_remotely", "decoded", "unchanged", "skipped", "groups", "duplicates",
                "similar", "reclaimable_bytes", "moved", "deleted", "refused", "failed", "freed_bytes"}  # fmt: skip
    assert expected <= set(report.COUNTS)


def test_json_holds_groups_and_skipped_however_many(tmp_path: Path) -> None:
    """What the table leaves out for its length is in the JSON file whole."""
    made = plan(act("/photos/b.jpg"), groups=103)
    made = Plan(
        origin=made.origin,
        roots=made.roots,
        action=made.action,
        target=made.target,
        groups=made.groups,
        skipped=tuple(many_skipped(60)),
    )
    data = written(tmp_path, made)
    assert isinstance(data["groups"], list)
    assert len(data["groups"]) == 103
    assert data["skipped"] == [{"path": one.path, "reason": one.reason} for one in many_skipped(60)]
    assert data["version"] == 1


def test_json_tells_what_came_of_each_act(tmp_path: Path) -> None:
    """After a real run each act has its result and where the file went or why it did not; others have none."""
    moved, kept = act("/photos/b.jpg"), act("/photos/c.jpg", number="1.2", action=Action.KEEP)
    data = written(tmp_path, plan(moved, kept), Outcome(moved, Result.DONE, "/target/photos/b (1).jpg"))
    assert isinstance(data["groups"], list)
    first, second = data["groups"][0]["duplicates"]
    assert (first["result"], first["detail"]) == ("done", "/target/photos/b (1).jpg")
    assert "result" not in second


def test_json_keeps_odd_bytes(tmp_path: Path) -> None:
    """Names of any bytes come back from the file as they are on disk, and the file is plain ASCII."""
    path = os.fsdecode(b"/photos/\xff\x1b \xc3(.jpg")
    data = written(tmp_path, plan(act(path)))
    assert isinstance(data["groups"], list)
    assert os.fsencode(data["groups"][0]["duplicates"][0]["path"]) == b"/photos/\xff\x1b \xc3(.jpg"
    assert (tmp_path / "result.json").read_bytes().isascii()


def test_write_replaces_a_file_whole(tmp_path: Path) -> None:
    """A written file holds the new text, can be read by whom the umask lets, and nothing else is left behind."""
    path = tmp_path / "result.json"
    path.write_text("old and longer")
    report.write_whole(str(path), "new ü")
    assert path.read_text(encoding="utf-8") == "new ü"
    assert os.listdir(tmp_path) == ["result.json"]
    umask = os.umask(0o022)
    try:
        report.write_whole(str(path), "")
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("step", ["fsync", "fchmod", "replace"])
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """If any step fails, as on a full disk, the old file is whole and there is no litter."""
    path = tmp_path / "result.json"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        report.write_whole(str(path), "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of writing leaves the old file and no litter."""
    path = tmp_path / "result.json"
    path.write_text("old")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        report.write_whole(str(path), "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


@pytest.mark.parametrize("place", ["folder", "missing/result.json", "file/result.json"])
def test_an_impossible_place_is_an_error(tmp_path: Path, place: str) -> None:
    """Where no file can be written there is an error, and nothing is left behind."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"."):
        report.write_whole(str(tmp_path / place), "new")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert os.listdir(tmp_path / "folder") == []


def test_writing_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    """A result file that is a symbolic link stays one, and the file it names is replaced."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link.json").symlink_to("real/result.json")
    for text in ("first", "second"):
        report.write_whole(str(tmp_path / "link.json"), text)
        assert (tmp_path / "real" / "result.json").read_text() == text
    assert (tmp_path / "link.json").is_symlink()
    assert os.listdir(tmp_path / "real") == ["result.json"]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """A pipe, as /dev/stdout is in a pipeline, gets the text and is still a pipe."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    report.write_whole(str(path), "text")
    reader.join()
    assert read == ["text"]
    assert stat.S_ISFIFO(path.stat().st_mode)
