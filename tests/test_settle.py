"""Files are ready once they were still for long enough; with a clock and a disk made of numbers."""

from __future__ import annotations

from py_image_dedup.daemon.settle import Settling


class Desk:
    """A made-up disk, and what settles on it."""

    def __init__(self) -> None:
        self.facts: dict[str, int] = {}
        self.busy: set[str] = set()
        self.settling = Settling(10, look=self.facts.get, in_use=self.busy.__contains__)

    def ready(self, now: float, most: int = 100) -> list[str]:
        return self.settling.ready(now, most)


def test_a_file_is_ready_once_it_is_still() -> None:
    """Not a moment before, and until it is done."""
    desk = Desk()
    desk.settling.heard("a", 5)
    assert desk.settling.next_at() == 15
    assert desk.ready(14.9) == []
    assert desk.ready(15) == ["a"]
    assert desk.ready(16) == ["a"]
    assert desk.settling.next_at() == 0
    desk.settling.done(["a", "never heard of"])
    assert (desk.ready(99), len(desk.settling), desk.settling.next_at()) == ([], 0, float("inf"))


def test_each_event_begins_anew() -> None:
    """Who is heard of again waits again, also one that was ready."""
    desk = Desk()
    desk.settling.heard("a", 0)
    desk.settling.heard("b", 1)
    desk.settling.heard("a", 9)
    assert desk.ready(11) == ["b"]
    desk.settling.heard("b", 12)
    assert desk.ready(19) == ["a"]
    assert len(desk.settling) == 2
    assert desk.ready(22) == ["a", "b"]


def test_a_change_that_nobody_told_of_is_seen() -> None:
    """What looks different at the end of its time waits again, and is compared with what it was then."""
    desk = Desk()
    desk.settling.heard("a", 0)
    desk.facts["a"] = 1
    assert desk.ready(10) == []
    desk.facts["a"] = 2
    assert desk.ready(20) == []
    assert desk.ready(29) == []
    assert desk.ready(30) == ["a"]


def test_a_file_that_is_written_waits() -> None:
    """However still it is, as long as somebody has it open."""
    desk = Desk()
    desk.busy.add("a")
    desk.settling.heard("a", 0)
    assert desk.ready(10) == desk.ready(20) == []
    desk.busy.clear()
    assert desk.ready(29) == []
    assert desk.ready(30) == ["a"]


def test_tells_so_many_at_once() -> None:
    """The rest comes when these are done."""
    desk = Desk()
    for number in range(5):
        desk.settling.heard(str(number), 0)
    assert desk.ready(10, 2) == ["0", "1"]
    desk.settling.done(["0", "1"])
    assert desk.ready(10, 2) == ["2", "3"]
    desk.settling.clear()
    assert desk.ready(99) == []
