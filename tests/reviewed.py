"""A plan of thousands of groups on the review page: what looking at it costs, with pictures never shown before."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pictures
from command import Command
from reviewing import Review, reviewing

GROUPS = 10_000
ON_A_PAGE = 20  # groups
_SIDE = (4000, 3000)
_TICKS = os.sysconf("SC_CLK_TCK")


def make(folder: Path, *, groups: int, files: int, on_disk: int) -> Path:
    """Write a plan of so many groups of so many files, of which the first groups are on disk; return its path.

    The pictures have 12 megapixels; each has bytes of its own, behind the end of the JPEG.
    """
    album = folder / "album"
    album.mkdir(parents=True)
    bases = [pictures.encode(pictures.photo(seed, _SIDE), quality=30) for seed in range(3)]
    data = [_group(album, number, files, bases, on_disk=number < on_disk) for number in range(groups)]
    plan = folder / "plan.json"
    head = {"version": 1, "origin": "test", "roots": [str(album)], "action": "move", "target": str(folder / "target")}
    plan.write_text(json.dumps(head | {"groups": data, "empty_folders": [], "skipped": []}))
    return plan


def _group(album: Path, number: int, files: int, bases: list[bytes], *, on_disk: bool) -> dict[str, Any]:
    folder = album / f"{number // 100:04}"
    folder.mkdir(exist_ok=True)
    facts = []
    for position in range(files):
        path = folder / f"IMG_{number:06}_{position}.jpg"
        data = bases[number % len(bases)] + f"{number}.{position}".encode()
        if on_disk:
            path.write_bytes(data)
        digest = hashlib.sha256(data if on_disk else str(path).encode()).hexdigest()
        mtime = path.stat().st_mtime_ns if on_disk else 1
        shape = {"format": "JPEG", "width": _SIDE[0], "height": _SIDE[1]}
        # The groups on disk free most, so that they come first.
        facts.append(
            {"path": str(path), "size": len(data) if on_disk else 1000, "mtime_ns": mtime, "sha256": digest} | shape
        )
    act = {
        "distance": 0.01,
        "turn": "upright",
        "part": False,
        "level": "duplicate",
        "action": "move",
        "destination": None,
    }
    act |= {"rule": "more-pixels", "companions": [], "gain": []}
    said = f"more pixels (12.00 MP against {number / 1000:.2f} MP)"
    acts = [{"id": f"{number + 1}.{at}", "reason": said} | act | one for at, one in enumerate(facts[1:], 1)]
    return {"keeper": facts[0], "duplicates": acts}


def page_through(home: Path, plan: Path, *, pages: int) -> dict[str, float]:
    """Look at so many pages with all their pictures, as a browser does; return what that cost."""
    with reviewing(Command(home), plan) as review:
        pid = review.process.pid
        start = _cpu(pid)
        assert review.ask("/").code == 200
        first = _cpu(pid) - start
        highest = max(_look(review, pid, page) for page in range(1, pages + 1))
        before = _cpu(pid)
        assert review.choose(1, "all").code == 303
        return {
            "CPU ms of the first page": 1000 * first,
            "MB at most": highest,
            "CPU ms of a page with its pictures": 1000 * (before - start) / pages,
            "CPU ms of a choice": 1000 * (_cpu(pid) - before),
        }


def _look(review: Review, pid: int, page: int) -> float:
    """Fetch a page and its pictures, six at a time; return the most memory that was seen, in MB."""
    answer = review.ask(f"/?page={page}")
    wanted = re.findall(r'src="(/picture/[\d.]+)"', answer.text)
    assert len(wanted) >= 2 * ON_A_PAGE
    with ThreadPoolExecutor(6) as browser:
        seen = [_memory(pid) for got in browser.map(review.ask, wanted) if _is_picture(got.code)]
    return max(seen)


def _is_picture(code: int) -> bool:
    assert code == 200
    return True


def _cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has taken, its children too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def _memory(pid: int) -> float:
    """Return the memory of a process and its children, in MB."""
    return sum(_resident(one) for one in [pid, *_children(pid)]) / 1e6


def _resident(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (task / "children").read_text().split())
