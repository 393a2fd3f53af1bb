"""The parts that describe pictures on other machines, if the settings name some."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from py_image_dedup.errors import UsageError

if TYPE_CHECKING:
    from py_image_dedup.analysis import Describer
    from py_image_dedup.config import Settings
    from py_image_dedup.events import Tally

_ON_THEIR_WAY = 16  # pictures; the bytes are limited too


@contextmanager
def elsewhere_too(
    settings: Settings, here: Describer, *, tally: Tally, note: Callable[[str], None]
) -> Iterator[tuple[Describer, int]]:
    """Provide what describes pictures, and how many threads keep it busy."""
    remote, slots = settings.remote, settings.analysis.threads
    if remote.mode == "never":
        yield here, slots
        return
    broker = broker_module()
    from py_image_dedup.remote.here_or_there import HereOrThere, Terms
    from py_image_dedup.remote.placement import Limits, Placement, Strain
    from py_image_dedup.remote.senses import Senses

    workers = broker.Workers(broker.addresses_of(remote))
    describer = HereOrThere(
        here,
        workers,
        Placement(always=remote.mode == "always", slots=slots, clock=time.monotonic),
        Strain(Limits(max_load=remote.max_load, min_memory=remote.min_memory, max_temperature=remote.max_temperature)),
        Terms(
            max_pixels=settings.analysis.max_megapixels * 1_000_000,
            max_file_size=remote.max_file_size,
            in_flight=remote.in_flight,
            timeout=remote.timeout.total_seconds(),
        ),
        slots=slots,
        feel=Senses().read,
        note=note,
        counted=tally.add,
    )
    try:
        yield describer, slots + _ON_THEIR_WAY
    finally:
        describer.close()
        workers.close()


def broker_module() -> ModuleType:
    """Return the module that knows the broker; says what to install where it can't be loaded."""
    try:
        from py_image_dedup.remote import broker
    except ImportError as error:
        raise UsageError(
            f"{error.name} is not installed, which workers need: pip install 'py-image-dedup[remote]'"
        ) from error
    return broker
