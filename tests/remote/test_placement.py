"""Where pictures go, on a clock of the test: sooner wins, strain sends away, failure keeps here."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from py_image_dedup.remote.placement import Limits, Placement, Strain, Where
from py_image_dedup.remote.senses import Readings

MEGABYTE = 1_000_000
LIMITS = Limits(max_load=0.7, min_memory=200 * MEGABYTE, max_temperature=75)


@dataclass
class World:
    """Machines in simulated time: one core share here, workers there, and a line between."""

    here: float
    """Seconds that a picture takes here."""
    there: float
    """Seconds that it takes a worker."""
    line: float
    """Seconds that it is on the line."""
    workers: int = 4
    slots: int = 1
    threads: int = 17
    now: float = 0.0
    went: dict[Where, int] = field(default_factory=lambda: {Where.HERE: 0, Where.THERE: 0})

    def run(self, pictures: int, *, mode: str, strain: str = "") -> float:
        """Describe so many pictures and return the seconds that took."""
        start = self.now
        placement = Placement(always=mode == "always", slots=self.slots, clock=lambda: self.now)
        events: list[tuple[float, int, Where, float]] = []
        free = {Where.HERE: [self.now] * self.slots, Where.THERE: [self.now] * self.workers}
        line_free = self.now
        begun = 0
        while begun < pictures or events:
            where: Where | None = None
            if begun < pictures and len(events) < self.threads:
                others = min(pictures - begun, self.threads - len(events)) - 1
                where = placement.choose("JPEG", MEGABYTE, strain, waiting=others) if mode != "never" else Where.HERE
            if where is not None:
                begun += 1
                placement.began(where)
                self.went[where] += 1
                ready = self.now
                if where is Where.THERE:
                    ready = line_free = max(line_free, self.now) + self.line
                    placement.queued(MEGABYTE)
                    placement.left(MEGABYTE, self.line)
                takes = self.here if where is Where.HERE else self.there
                end = max(heappop(free[where]), ready) + takes
                heappush(free[where], end)
                heappush(events, (end, begun, where, takes if where is Where.HERE else end - ready))
            else:
                self.now, _, where, seconds = heappop(events)
                placement.ended(where, "JPEG", MEGABYTE, seconds)
        return self.now - start


@pytest.mark.parametrize(
    ("here", "there", "line"),
    [
        # Seconds here, there, and on the line.
        (0.021, 0.05, 0.73),  # a JPEG of 12 megapixels over 20 Mbit/s
        (0.17, 0.05, 0.01),  # an eighth of a core
        (1.6, 0.2, 0.5),  # HEIC on an eighth of a core over 20 Mbit/s
        (0.05, 0.05, 0.05),
        (0.02, 2.0, 0.01),
        (5.0, 0.01, 0.01),
    ],
)
def test_auto_is_as_fast_as_the_better_way(here: float, there: float, line: float) -> None:
    """Within a tenth, or much faster by using both."""
    never, always, auto = (World(here, there, line).run(2000, mode=mode) for mode in ("never", "always", "auto"))
    assert auto <= 1.1 * min(never, always)


def test_both_are_used_where_that_helps() -> None:
    """With equal speed here and there nobody is idle."""
    world = World(0.05, 0.05, 0.001, workers=1)
    assert world.run(400, mode="auto") < 0.65 * World(0.05, 0.05, 0.001, workers=1).run(400, mode="never")
    assert min(world.went.values()) > 100


def measured(*, toil: float) -> Placement:
    """Return a placement that knows 0.26 s here, and 0.07 s to send: `toil` of it for the processor."""
    placement = Placement(always=False, slots=1, clock=lambda: 0.0)
    for where in (Where.HERE, Where.THERE):
        placement.began(where)
    placement.ended(Where.HERE, "JPEG", MEGABYTE, 0.26)
    for seconds in (1.0, 0.07):  # the first makes the connection
        placement.queued(MEGABYTE)
        placement.left(MEGABYTE, seconds, toil * seconds)
    placement.ended(Where.THERE, "JPEG", MEGABYTE, 0.1)
    return placement


@pytest.mark.parametrize(("toil", "where"), [(0.9, Where.THERE), (0.1, Where.HERE)])
def test_a_processor_that_is_busy_with_sending_is_left_to_it(toil: float, where: Where) -> None:
    """Though what waits to leave would be done sooner here: the others would wait for it."""
    placement = measured(toil=toil)
    assert placement.choose("JPEG", MEGABYTE, "") is Where.THERE
    placement.queued(10 * MEGABYTE)
    assert placement.choose("JPEG", MEGABYTE, "") is where


def test_nobody_queues_here() -> None:
    """One picture may be ready to be next; others wait, and may still go there."""
    placement = measured(toil=0.1)
    placement.queued(10 * MEGABYTE)
    for _ in range(2):
        assert placement.choose("JPEG", MEGABYTE, "") is Where.HERE
        placement.began(Where.HERE)
    assert placement.choose("JPEG", MEGABYTE, "") is None
    placement.left(10 * MEGABYTE, None)
    assert placement.choose("JPEG", MEGABYTE, "") is Where.THERE


def test_a_strained_machine_sends_all_away() -> None:
    """Even if it would be sooner done here."""
    world = World(0.01, 0.5, 0.1)
    world.run(50, mode="auto", strain="80 degrees Celsius")
    assert world.went[Where.HERE] == 0


def test_after_a_failure_all_is_done_here_and_one_goes_to_see() -> None:
    """Pauses grow to a minute; whoever is back is used again."""
    now = 0.0
    placement = Placement(always=True, slots=1, clock=lambda: now)
    placement.failed("nobody answers")
    tried = []
    while now < 600:
        where = placement.choose("JPEG", 1, "")
        if where is Where.THERE:
            tried.append(now)
            placement.began(where)
            assert placement.choose("JPEG", 1, "") is Where.HERE, "one at a time"
            placement.ended(where, "JPEG", 1, None)
            placement.failed("still nobody")
        else:
            assert placement.situation("")[0] == "here"
        now += 1.0
    assert tried[0] == 5.0
    assert 55 <= tried[-1] - tried[-2] <= 61
    while placement.choose("JPEG", 1, "") is Where.HERE:
        now += 1.0
    placement.began(Where.THERE)
    placement.ended(Where.THERE, "JPEG", 1, 0.1)
    assert [placement.choose("JPEG", 1, "") for _ in range(5)] == [Where.THERE] * 5


@pytest.mark.parametrize(
    ("readings", "reason"),
    [
        (Readings(), ""),
        (Readings(load=0.7, memory=200 * MEGABYTE, temperature=74.9, on_battery=False), ""),
        (Readings(load=0.71), "71% of the cores busy with other things"),
        (Readings(memory=199 * MEGABYTE), "199 MB of memory left"),
        (Readings(temperature=75.0), "75 degrees Celsius"),
        (Readings(on_battery=True), "on battery"),
    ],
)
def test_strain(readings: Readings, reason: str) -> None:
    """Beyond any limit, and why."""
    strain = Strain(LIMITS)
    strain.feel(readings, 0.0)
    assert strain.reason == reason


@given(st.lists(st.sampled_from([0.5, 0.65, 0.69, 0.71, 0.9]), min_size=120, max_size=120))
def test_at_most_two_changes_a_minute(loads: list[float]) -> None:
    """Whatever the load does, even if it swings around the limit."""
    strain = Strain(LIMITS)
    changes = []
    before = ""
    for second, load in enumerate(loads):
        strain.feel(Readings(load=load), float(second))
        if bool(strain.reason) != bool(before):
            changes.append(second)
        before = strain.reason
    assert all(later - earlier >= 30 for earlier, later in pairwise(changes))


def test_strain_ends_well_below_the_limit_only() -> None:
    """What swings around the limit stays strained."""
    strain = Strain(LIMITS)
    for second, load in ((0, 0.8), (40, 0.69), (80, 0.65)):
        strain.feel(Readings(load=load), float(second))
        assert strain.reason
    strain.feel(Readings(load=0.5), 120.0)
    assert not strain.reason
