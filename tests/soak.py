"""The daemon under load: a writer that does whatever is done to folders, and a server that comes and goes.

Run by ``test_soak.py`` for some minutes and by ``scripts/check-long soak`` for an hour.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pictures
from command import Command
from daemons import Daemon
from elastic_server import ElasticServer
from PIL import Image

from py_image_dedup.stores.elastic import ElasticStore

_SETTLED_S = 2.0
_WARM = 0.25  # of the time; what memory is held after it counts as the daemon's own


class _Begun(NamedTuple):
    """A file of which only the beginning is written."""

    due: float
    path: Path
    rest: bytes
    file: FileIO

    def finish(self) -> None:
        """Write the rest."""
        with self.path.open("ab", buffering=0) if self.file.closed else self.file as file:
            file.write(self.rest)


class Writer:
    """Does things to a folder until it is told to stop; the same seed does the same."""

    def __init__(self, root: Path, out: Path, *, seed: int, files: int) -> None:
        self.done: Counter[str] = Counter()
        self._root = root
        self._out = out
        self._random = random.Random(seed)
        self._files = files
        self._number = 0
        self.whole: set[str] = set()
        """The SHA-256 of every picture that was ever written to its end."""
        self._slow: list[_Begun] = []

    def act(self) -> None:
        """Do one thing."""
        there = self._all(self._root)
        kinds: list[Callable[[list[Path]], None]] = (
            [self._create] * 6 if len(there) < self._files else [self._delete] * 3
        )
        kinds += [self._create, self._rewrite, self._slowly, self._rename, self._from_temporary, self._delete]
        kinds += [self._copy, self._touch, self._move_out, self._move_in]
        if self._random.random() < 0.02:
            self.finish_some(everything=True)
            kinds = [self._move_folder, self._move_folder, self._folder_out, self._folder_in, self._delete_folder]
        kind = self._random.choice(kinds)
        with contextlib.suppress(IndexError):  # there was nothing to do it to
            kind(there)
            self.done[kind.__name__.strip("_")] += 1
        self.finish_some()

    def finish_some(self, *, everything: bool = False) -> None:
        """Write the rest of files that were begun a while ago."""
        now = time.monotonic()
        for begun in self._slow[:]:
            if everything or begun.due < now:
                self._slow.remove(begun)
                begun.finish()

    def _picture(self) -> bytes:
        """A picture like no other."""
        few = np.frombuffer(self._random.randbytes(6 * 8 * 3), np.uint8).reshape(6, 8, 3)
        picture = pictures.encode(pictures.from_array(few).resize((96, 72), Image.Resampling.BICUBIC))
        self.whole.add(hashlib.sha256(picture).hexdigest())
        return picture

    def _all(self, folder: Path) -> list[Path]:
        begun = {one.path for one in self._slow}
        return [path for path in self._every(folder) if path not in begun]

    def _every(self, folder: Path) -> list[Path]:
        return [Path(above, name) for above, _, names in os.walk(folder) for name in names if name.endswith(".jpg")]

    def _folder(self) -> Path:
        path = self._root / self._random.choice(
            ["a", "b", "c", "a/deep", "b/deep/er", f"n{self._random.randrange(20)}"]
        )
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _new(self) -> Path:
        self._number += 1
        return self._folder() / f"{self._number}.jpg"

    def _create(self, _: list[Path]) -> None:
        self._new().write_bytes(self._picture())

    def _rewrite(self, there: list[Path]) -> None:
        self._random.choice(there).write_bytes(self._picture())

    def _slowly(self, _: list[Path]) -> None:
        """Begin a file; the rest comes a little later, or later than files have to be still if it is kept open."""
        path, picture = self._new(), self._picture()
        kept_open = self._random.random() < 0.5
        file = path.open("wb", buffering=0)
        file.write(picture[:1000])
        if not kept_open:
            file.close()
        patience = _SETTLED_S * self._random.uniform(0, 2 if kept_open else 0.7)
        self._slow.append(_Begun(time.monotonic() + patience, path, picture[1000:], file))

    def _rename(self, there: list[Path]) -> None:
        self._random.choice(there).rename(self._new())

    def _from_temporary(self, _: list[Path]) -> None:
        path = self._new()
        path.with_suffix(".tmp").write_bytes(self._picture())
        path.with_suffix(".tmp").rename(path)

    def _delete(self, there: list[Path]) -> None:
        self._random.choice(there).unlink()

    def _copy(self, there: list[Path]) -> None:
        shutil.copy2(self._random.choice(there), self._new())

    def _touch(self, there: list[Path]) -> None:
        when = self._random.randrange(10**9)
        os.utime(self._random.choice(there), ns=(when, when))

    def _move_out(self, there: list[Path]) -> None:
        self._random.choice(there).rename(self._out / f"{uuid.UUID(int=self._random.getrandbits(128))}.jpg")

    def _move_in(self, _: list[Path]) -> None:
        self._random.choice(self._all(self._out)).rename(self._new())

    def _folders(self) -> list[Path]:
        return [Path(above) for above, _, _ in os.walk(self._root) if above != str(self._root)]

    def _move_folder(self, _: list[Path]) -> None:
        self._number += 1
        self._random.choice(self._folders()).rename(self._root / f"moved{self._number}")

    def _folder_out(self, _: list[Path]) -> None:
        self._number += 1
        self._random.choice(self._folders()).rename(self._out / f"folder{self._number}")

    def _folder_in(self, _: list[Path]) -> None:
        self._number += 1
        folders = [path for path in self._out.iterdir() if path.is_dir()]
        self._random.choice(folders).rename(self._root / f"back{self._number}")

    def _delete_folder(self, _: list[Path]) -> None:
        shutil.rmtree(self._random.choice(self._folders()))


class Soak:
    """One run: a daemon, a writer and a server; `figures` tell what was measured."""

    def __init__(self, place: Path, *, seconds: float, files: int, outages: int, seed: int = 1) -> None:
        self.figures: dict[str, float] = {}
        self._seconds = seconds
        self._outages = outages
        self._root, out = place / "photos", place / "out"
        self._root.mkdir()
        out.mkdir()
        self._files = files
        self._writer = Writer(self._root, out, seed=seed, files=files)
        self._command = Command(place / "home")
        self._index = f"soak-{uuid.uuid4().hex}"

    def run(self) -> None:
        """Run to the end, and compare; AssertionError if anything is amiss."""
        server = ElasticServer()
        server.start()
        try:
            self._run(server)
        finally:
            server.stop()

    def _run(self, server: ElasticServer) -> None:
        settings: dict[str, Any] = {
            "elasticsearch.urls": [server.url],
            "elasticsearch.index": self._index,
            "elasticsearch.timeout": "5s",
            "daemon.processing_timeout": f"{_SETTLED_S}s",
            "deduplication.action": "report",
        }
        with Daemon(self._command, self._root, **settings) as daemon:
            daemon.wait_until_ready()
            time.sleep(1)  # an answer has a thread of its own for a moment
            threads = daemon.threads()
            stopping = threading.Thread(target=self._come_and_go, args=(server,))
            stopping.start()
            began = time.monotonic()
            memory: list[tuple[float, float]] = []
            pause = max(0.0, self._seconds / max(8000, 4 * self._files) - 0.005)  # about as long as an act takes
            while (spent := time.monotonic() - began) < self._seconds or stopping.is_alive():
                self._writer.act()
                time.sleep(pause)
                memory.append((spent, daemon.resident_megabytes()))
                assert daemon.process.poll() is None, daemon.text()[-3000:]
            stopping.join()
            self._writer.finish_some(everything=True)
            daemon.wait_for(lambda: daemon.metric("files_waiting") == 0 and daemon.metric("retrying") == 0, 120)
            time.sleep(_SETTLED_S + 1)
            daemon.wait_for(lambda: daemon.metric("files_waiting") == 0, 120)
            daemon.wait_for(lambda: daemon.threads() == threads, 120)  # a pass that is still on its way has its own
            self._compare(server)
            whole = memory[-1][0]  # it takes longer than planned where the server needs its time to start
            memory = [(spent / whole, held) for spent, held in memory]
            warm, last = _highest(memory, 0, _WARM), _highest(memory, 1 - _WARM, 1)
            self.figures |= {
                "memory growth MB": last - warm,
                "memory MB": last,
                **{f"memory MB in tenth {k}": _highest(memory, k / 10, (k + 1) / 10) for k in range(10)},
                "failed passes": daemon.metric("passes_total", kind="changes", result="failed")
                + daemon.metric("passes_total", kind="everything", result="failed"),
                "passes": daemon.metric("passes_total", kind="changes", result="done"),
                "threads": threads,
                "half-written": daemon.metric("files_skipped_total", reason="no_picture"),
                "renewals": daemon.metric("watch_renewals_total"),
                "CPU seconds": daemon.cpu_seconds(),
                "files": len(self._on_disk()),
            }
            self.figures |= {f"did {name}": number for name, number in sorted(self._writer.done.items())}
            assert daemon.leave() == 0

    def _come_and_go(self, server: ElasticServer) -> None:
        """Stop and start the server, evenly over the time; it keeps what it holds."""
        pause = self._seconds / (self._outages + 1)
        for _ in range(self._outages):
            time.sleep(pause * 0.8)
            server.halt()
            time.sleep(pause * 0.1)
            server.start()

    def _on_disk(self) -> dict[str, tuple[int, int, str]]:
        found = {}
        for above, _, names in os.walk(self._root):
            for name in names:
                path = os.path.join(above, name)
                facts = os.stat(path)
                digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
                found[path] = facts.st_size, facts.st_mtime_ns, digest
        return found

    def _compare(self, server: ElasticServer) -> None:
        """The store must hold exactly what is on disk."""
        store = ElasticStore.open(urls=[server.url], index=self._index, origin="test", auto_create_index=False)
        try:
            held = {file.path: (file.size, file.mtime_ns, file.content) for file in store.files([str(self._root)])}
            broken = {file.path for file in store.files([str(self._root)]) if file.problem}
            read = {name for page in store._connection.scan(store._contents, fields=[]) for name, _ in page}
        finally:
            store.close()
        there = self._on_disk()
        assert broken == set()
        assert read - self._writer.whole == set(), "something was read half-written"
        assert {path: there[path] for path in there.keys() - held.keys()} == {}
        assert {path: held[path] for path in held.keys() - there.keys()} == {}
        assert held == there


def _highest(memory: list[tuple[float, float]], begin: float, end: float) -> float:
    """Return the most megabytes that were held in a part of the time."""
    return max((held for share, held in memory if begin <= share <= end), default=0.0)
