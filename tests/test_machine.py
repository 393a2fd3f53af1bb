"""Any history of a disk: plans, changes by others, acts, kills and undos in any order, and nothing is ever lost.

The state machine works on memory (/dev/shm) and on the disk of /tmp as a second file system.  A kill is an exception
that every further step on disk raises again, so that nothing is cleaned up.  Permissions are left to
``test_full_disks.py``, since they do not bind the user root.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from disks import Disk, sha256
from faults import Countdown, told
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from test_actions import changes, near_matches, relink, versions

from py_image_dedup import files, journal
from py_image_dedup.actions import settle, undo_whole
from py_image_dedup.plan import Action, Plan

NAMES = (
    *("a.png", "d/a.png", "d/a.xmp", "d/a.png.json", "d/a.cr2", "d/A.mov", "d/b.png", "d/b.xmp", "d/e/a.png"),
    *("f/a copy.png", "f/\udcff\n.png", "g/h/Grüße.png", "g/h/Grüße.XMP", "keep/a.png", "keep/a.cr2"),
)
PICTURES = tuple(name for name in NAMES if name.endswith(".png"))
BYTES = (*(f"{family}{version}".encode() for family, version in sorted(set(versions().values()))), b"raw", b"<xmp/>")
ACTIONS = (Action.MOVE, Action.TRASH, Action.DELETE, Action.HARDLINK)

Seen = dict[str, tuple[object, ...]]


class Killed(BaseException):
    """The process is gone; nothing may handle it."""


def kill() -> None:
    """Stop here, and at every further step."""
    raise Killed


def look(*folders: str) -> Seen:
    """Return all below some folders: hash, time and mode of files, goals of links, and folders."""
    found: Seen = {}
    for above in folders:
        for parent, inner, names in os.walk(above):
            for name in (*names, *inner):
                path = os.path.join(parent, name)
                facts = os.lstat(path)
                if os.path.islink(path):
                    found[path] = "link", os.readlink(path)
                elif name in inner:
                    found[path] = ("folder",)
                elif not name.endswith(".trashinfo"):
                    with open(path, "rb") as file:
                        found[path] = "file", sha256(file.read()), facts.st_mtime_ns, facts.st_mode
    return found


def hashes(seen: Seen) -> set[object]:
    """Return the hashes of all files."""
    return {what[1] for what in seen.values() if what[0] == "file"}


def is_hidden(path: str) -> bool:
    """Tell whether a file has a name that the program gives to what is not finished."""
    return os.path.basename(path).startswith(files.HIDDEN)


class AnyHistory(RuleBasedStateMachine):
    """Photos with a protected folder, a target that may be on another disk, and folders of others beside them."""

    @initialize(across=st.booleans(), alias=st.booleans())
    def start(self, across: bool, alias: bool) -> None:  # noqa: FBT001
        """Make an empty disk."""
        self.pictures: set[object] = set()
        self.base = tempfile.mkdtemp(dir="/dev/shm")
        self.elsewhere = tempfile.mkdtemp(dir="/tmp")
        self.disk = Disk(self.base, f"{self.elsewhere}/target" if across else None)
        os.makedirs(f"{self.disk.photos}/keep")
        os.mkdir(f"{self.base}/outside")
        with open(f"{self.base}/outside/a.png", "wb") as file:
            file.write(BYTES[0])
        os.symlink(f"{self.disk.photos}/keep", f"{self.base}/alias")
        self.protected = files.FolderSet([f"{self.base}/alias" if alias else f"{self.disk.photos}/keep"]).holds
        self.plan: Plan | None = None

    def teardown(self) -> None:
        """Remove all."""
        for folder in (getattr(self, "base", None), getattr(self, "elsewhere", None)):
            if folder:
                shutil.rmtree(folder)

    @rule(name=st.sampled_from(NAMES), data=st.sampled_from(BYTES), mtime=st.integers(1, 3))
    def write(self, name: str, data: bytes, mtime: int) -> None:
        """Somebody writes a file, under a new name or over an old one."""
        with suppress(OSError):
            self.disk.write(name, data, mtime=mtime)

    @rule(
        data=st.sampled_from(BYTES),
        names=st.sets(st.sampled_from(PICTURES), min_size=2, max_size=4),
        beside=st.sets(st.sampled_from([".xmp", ".cr2", ".png.json"])),
        own=st.booleans(),
    )
    def copies(self, data: bytes, names: set[str], beside: set[str], own: bool) -> None:  # noqa: FBT001
        """Somebody keeps several copies of a picture, with files that belong to them, each its own or all alike."""
        for mtime, name in enumerate(sorted(names), 1):
            self.write(name, data, mtime)
            for extension in beside:
                self.write(name.replace(".png", extension), extension.encode() + b"%d" % (mtime if own else 0), mtime)

    @rule(
        how=st.sampled_from([os.link, os.symlink, os.replace]), one=st.sampled_from(NAMES), other=st.sampled_from(NAMES)
    )
    def rename(self, how: Callable[[str, str], None], one: str, other: str) -> None:
        """Somebody renames a file or links to it."""
        with suppress(OSError):
            how(f"{self.disk.photos}/{one}", f"{self.disk.photos}/{other}")

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        """Somebody removes a file."""
        with suppress(OSError):
            os.unlink(f"{self.disk.photos}/{name}")

    @rule(folder=st.sampled_from(["d", "d/e", "f"]))
    def detour(self, folder: str) -> None:
        """Somebody moves a folder away and leaves a link to it."""
        path, goal = f"{self.disk.photos}/{folder}", f"{self.base}/outside/{folder.replace('/', '_')}"
        if os.path.isdir(path) and not os.path.islink(path) and not os.path.lexists(goal):
            os.rename(path, goal)
            os.symlink(goal, path)

    @rule(name=st.sampled_from(NAMES), data=st.sampled_from(BYTES))
    def in_the_target(self, name: str, data: bytes) -> None:
        """Somebody puts a file where a move would lead."""
        path = f"{self.disk.target}{self.disk.photos}/{name}"
        with suppress(OSError):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not os.path.lexists(path):
                with open(path, "wb") as file:
                    file.write(data)

    @rule(action=st.sampled_from(ACTIONS), near=st.booleans())
    def make_plan(self, action: Action, near: bool) -> None:  # noqa: FBT001
        """A dry run; its plan may be executed much later."""
        before = self.all()
        matches = near_matches() if near else ()
        self.plan = self.disk.plan(action, matches=matches, protected=self.protected, prune=True)
        assert self.all() == before

    @rule(steps=st.none() | st.integers(0, 60))
    def execute(self, steps: int | None) -> None:
        """The plan is executed, or killed in the middle of it."""
        if self.plan is not None:
            plan = self.plan
            self.watched(lambda: self.disk.run(plan, protected=self.protected), steps)

    @rule(
        action=st.sampled_from(ACTIONS),
        near=st.booleans(),
        change=st.sampled_from(changes),
        which=st.tuples(st.integers(0, 9), st.integers(0, 9)),
        steps=st.none() | st.integers(0, 60),
    )
    def execute_after_a_change(
        self,
        action: Action,
        near: bool,  # noqa: FBT001
        change: Callable[[Disk, str, str], None],
        which: tuple[int, int],
        steps: int | None,
    ) -> None:
        """Somebody changes a file of a plan, keeper or not, before it is executed."""
        self.make_plan(action, near)
        assert self.plan is not None
        paths = sorted({one.path for group, act in self.plan.acts() for one in (group.keeper, *act.unit)})
        if not paths:
            return
        path, other = (paths[number % len(paths)] for number in which)
        if f"{self.disk.photos}/keep/" not in path + other and files.look(path):
            change(self.disk, path, other)
        self.execute(steps)

    @rule(steps=st.none() | st.integers(0, 40))
    def undo(self, steps: int | None) -> None:
        """The last run is taken back, or killed in the middle of that."""
        self.watched(self.take_back, steps)

    @rule(action=st.sampled_from([Action.MOVE, Action.TRASH, Action.HARDLINK]), steps=st.none() | st.integers(0, 60))
    def there_and_back(self, action: Action, steps: int | None) -> None:
        """What a run did, whether killed or not, is taken back to the byte when nobody else was there in between."""
        self.watched(lambda: list(settle(self.disk.state)), None)
        before, known = look(self.disk.photos, self.disk.target), self.runs()
        plan = self.disk.plan(action, matches=near_matches(), protected=self.protected, prune=True)
        self.watched(lambda: self.disk.run(plan, protected=self.protected), steps)
        self.watched(lambda: list(settle(self.disk.state)), None)
        if any(run.to_undo() for run in journal.runs(self.disk.state) if run.id not in known):
            self.watched(self.take_back, None)
        after = look(self.disk.photos, self.disk.target)
        assert {path: what for path, what in after.items() if what != ("folder",)} == {
            path: what for path, what in before.items() if what != ("folder",)
        }
        assert {path for path in before if path.startswith(self.disk.photos)} <= after.keys()

    def runs(self) -> set[str]:
        return {run.id for run in journal.runs(self.disk.state)}

    def take_back(self) -> None:
        list(settle(self.disk.state))
        if run := journal.last_to_undo(journal.runs(self.disk.state)):
            undo_whole(run, self.disk.state)

    def all(self) -> Seen:
        return look(self.disk.photos, self.disk.target, f"{self.base}/Trash", f"{self.base}/outside")

    def watched(self, work: Callable[[], Any], steps: int | None) -> None:
        """Let the program do something, and check what it did to the disk."""
        before = self.all()
        try:
            with told(Countdown(10**9 if steps is None else steps, kill)):
                work()
        except Killed:
            pass
        after = self.all()
        deletions = [line for line in self.disk.lines("intent") if line["action"] == "delete" and line["steps"]]
        named = {
            path
            for line in self.disk.lines("intent")
            for one in line["steps"]
            for path in (one["path"], one.get("place"))
        }

        self.pictures |= hashes({path: what for path, what in before.items() if not is_hidden(path)})
        for lost in (hashes(before) & self.pictures) - hashes(after):  # a copy that a kill cut short is none
            assert any(lost == line["steps"][0]["sha256"] and self.still_there(line) for line in deletions), (
                f"{lost} is gone"
            )
        for path, what in before.items():
            now = after.get(path)
            if path not in named and what != ("folder",) and files.HIDDEN not in path:
                assert now == what, f"{path!r} was touched"
            if now is not None and what[0] == "file" and not is_hidden(path):  # what is not finished may be begun anew
                assert now[:2] == what[:2], f"{path!r} was overwritten"
            if path.startswith((f"{self.base}/outside", f"{self.disk.photos}/keep")):
                assert now == what, f"{path!r} is not to be touched"

    def still_there(self, line: dict[str, Any]) -> bool:
        """Tell whether the keeper of a deletion is on disk with its recorded bytes."""
        return files.look(line["keeper"]) is not None and files.sha256(line["keeper"]) == line["keeper_sha256"]


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(
    max_examples=int(os.environ.get("MACHINE_EXAMPLES", "1000")),
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def killed_and_detoured(history: AnyHistory) -> None:
    history.copies(beside=set(), data=b"x0", names={"a.png", "d/a.png"}, own=False)
    history.execute_after_a_change(action=Action.DELETE, change=relink, near=False, steps=16, which=(0, 0))
    history.detour(folder="d")
    history.execute(steps=None)


def detoured_and_undone(history: AnyHistory) -> None:
    history.copies(beside=set(), data=b"x0", names={"a.png", "d/a.png"}, own=False)
    history.execute_after_a_change(action=Action.HARDLINK, change=relink, near=False, steps=None, which=(0, 0))
    history.detour(folder="d")
    history.undo(steps=None)


def killed_twice_and_written_over(history: AnyHistory) -> None:
    history.copies(beside=set(), data=b"x1", names={"a.png", "d/a.png", "d/b.png"}, own=False)
    history.execute_after_a_change(action=Action.HARDLINK, change=relink, near=False, steps=19, which=(0, 0))
    history.execute_after_a_change(action=Action.MOVE, change=relink, near=False, steps=5, which=(1, 0))
    history.write(data=b"x0", mtime=1, name="a.png")
    history.execute(steps=None)


def killed_twice_while_copying(history: AnyHistory) -> None:
    history.copies(beside=set(), data=b"x0", names={"a.png", "d/a.png"}, own=False)
    history.execute_after_a_change(action=Action.HARDLINK, change=relink, near=False, steps=19, which=(0, 0))
    history.execute(steps=4)
    history.execute(steps=4)
    history.execute(steps=None)


def killed_before_somebody_puts_the_same_there(history: AnyHistory) -> None:
    history.copies(beside=set(), data=b"raw", names={"g/h/Grüße.png", "a.png"}, own=False)
    history.execute_after_a_change(action=Action.MOVE, change=relink, near=False, steps=14, which=(0, 0))
    history.in_the_target(data=b"raw", name="g/h/Grüße.png")
    history.there_and_back(action=Action.MOVE, steps=None)


@pytest.mark.parametrize(
    "what",
    [
        killed_and_detoured,
        detoured_and_undone,
        killed_twice_and_written_over,
        killed_twice_while_copying,
        killed_before_somebody_puts_the_same_there,
    ],
)
def test_histories_that_failed_once(what: Callable[[AnyHistory], None]) -> None:
    """Each was found by the machine, and shrunk by it."""
    history = AnyHistory()
    history.start(across=False, alias=False)
    try:
        what(history)
    finally:
        history.teardown()
