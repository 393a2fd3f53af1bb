"""Real runs, killed with SIGKILL at random moments between their first and their last act, or while they are undone.

``scripts/check-long kill`` does it at length, ``test_kills.py`` briefly.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pictures
from command import Command
from disks import sha256

from py_image_dedup import journal

_DATABASE = ".local/share/py-image-dedup"


@dataclass
class Kills:
    """An album in which most files are copies or re-encodings of others, and what was killed over it so far."""

    home: Path
    files: int
    seed: int = 1
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.command = Command(self.home / "home")
        self.album, self.target = self.home / "album", self.home / "target"
        self.state = str(self.home / "home/.local/state/py-image-dedup")
        self._fill()
        done = self.command.run("deduplicate", self.album)
        assert done.code == 0, done.err
        shutil.copytree(self.home / "home" / _DATABASE, self.home / "database")
        self.before = whole(self.album)
        self.contents = {what[0] for what in self.before.values()}

    def _fill(self) -> None:
        """Write families of five: original, two copies, a smaller one with its sidecar, a recompressed one."""
        for number in range(self.files // 5):
            folder = self.album / f"{number % 17}" / f"{number}"
            folder.mkdir(parents=True)
            photo = pictures.photo(number, (200, 150))
            photo.save(folder / "original.jpg", quality=92)
            shutil.copyfile(folder / "original.jpg", self.album / f"{number % 17}/copy {number}.jpg")
            (self.album / "copies" / f"{number % 3}").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / "original.jpg", self.album / f"copies/{number % 3}/{number}.jpg")
            photo.resize((160, 120)).save(folder / "small.jpg", quality=90)
            (folder / "small.jpg.xmp").write_text(f"<xmp>{number}</xmp>")
            photo.save(folder / "recompressed.jpg", quality=70)

    def kill_a_run(self, action: str) -> None:
        """Kill a run between its first and its last act, see that nothing is lost, and undo it."""
        arguments = ["deduplicate", str(self.album), "-sap", "--no-dry-run", "--yes"]
        arguments += ["--target", str(self.target)] if action == "move" else ["--action", action]
        self._kill(arguments, self._acts_at_most(action))
        self._check(f"{action} was killed")
        self._undo()

    def kill_an_undo(self) -> None:
        """Kill the undo of a whole run, see that nothing is lost, and undo it again."""
        done = self.command.run("deduplicate", self.album, "-sap", "--no-dry-run", "--target", self.target)
        assert done.code == 0, done.err
        self._kill(["undo"], done.counts["moved"])
        self._check("undo was killed")
        self._undo()

    def _acts_at_most(self, action: str) -> int:
        return self.files // 5 * (2 if action == "hardlink" else 4)

    def _kill(self, arguments: list[str], acts: int) -> None:
        """Start the command, and kill it when its journal has so many lines, or a little later."""
        known = set(self._journals())
        lines = self.random.randrange(2, 2 * acts - 2)
        process = self.command.start_unheard(*arguments, PY_IMAGE_DEDUP_REMOVE_EMPTY_FOLDERS="true")
        deadline = time.monotonic() + 300
        while process.poll() is None:
            assert time.monotonic() < deadline, "the run hangs"
            written = [path.read_bytes().count(b"\n") for path in self._journals() if path not in known]
            if written and written[0] > lines:
                time.sleep(self.random.random() * 0.004)
                break
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        fresh = [path for path in self._journals() if path not in known]
        run = journal.read(str(fresh[0])) if fresh else None
        inside = run is not None and not run.ended and len(run.acts) < acts and process.returncode == -signal.SIGKILL
        self.counts["between the first act and the last" if inside else "elsewhere"] += 1
        if run is not None:
            self.counts["in the middle of an act"] += any(act.state is journal.State.OPEN for act in run.acts.values())

    def _journals(self) -> list[Path]:
        return sorted(Path(self.state, "runs").glob("*.jsonl"))

    def _check(self, story: str) -> None:
        """See that every content is still somewhere."""
        here = {what[0] for folder in (self.album, self.target, self._trash()) for what in whole(folder).values()}
        assert here >= self.contents, story

    def _trash(self) -> Path:
        return self.home / "home/.local/share/Trash"

    def _undo(self) -> None:
        """Take back what is left, and compare the album byte for byte; then forget the run."""
        done = self.command.run("undo")
        assert done.code == 0, done.out + done.err
        after = whole(self.album)
        assert after == self.before, sorted(after.items() ^ self.before.items())[:5]
        assert not [path for path in whole(self.target) if "small" in path or "copy" in path]
        assert not whole(self.target)
        shutil.rmtree(self.state)
        shutil.rmtree(self.home / "home" / _DATABASE)
        shutil.copytree(self.home / "database", self.home / "home" / _DATABASE)


def whole(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Return hash, mode and time of every file below a folder."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            facts = os.lstat(path)
            found[path] = sha256(Path(path).read_bytes()), facts.st_mode, facts.st_mtime_ns
    return found


def kill_many(home: Path, *, moments: int, files: int, told: Callable[[str], None] = print) -> Counter[str]:
    """Kill runs at this many moments, a quarter of them while undoing, and return what was hit."""
    kills = Kills(home, files)
    for number in range(moments):
        if number % 4 == 3:
            kills.kill_an_undo()
        else:
            kills.kill_a_run(("move", "trash", "hardlink", "move")[number % 12 // 3])
        if number % 20 == 19:
            told(f"{number + 1} of {moments} moments: {dict(kills.counts)}")
    return kills.counts
