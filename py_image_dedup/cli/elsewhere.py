"""The parts that describe pictures on other machines, if the settings name some."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from py_image_dedup.errors import UsageError, to_install

if TYPE_CHECKING:
    from py_image_dedup.config import Settings
    from py_image_dedup.remote.here_or_there import HereOrThere

_UNDER_WAY = 16  # pictures; the bytes are limited too


@contextmanager
def elsewhere_too(settings: Settings, changed: Callable[[str, str], None]) -> Iterator[HereOrThere | None]:
    """Provide what describes pictures here or on workers; None if there are none to be used.

    `changed` hears where they go in general, and why.
    """
    remote = settings.remote
    if remote.mode == "never":
        yield None
        return
    broker = broker_module()
    from py_image_dedup.analysis import Decoder
    from py_image_dedup.remote.here_or_there import HereOrThere, Terms
    from py_image_dedup.remote.placement import Limits, Placement, Strain
    from py_image_dedup.remote.senses import Senses

    slots, max_pixels = settings.analysis.threads, settings.analysis.max_megapixels * 1_000_000
    limits = Limits(max_load=remote.max_load, min_memory=remote.min_memory, max_temperature=remote.max_temperature)
    terms = Terms(
        slots=slots,
        under_way=_UNDER_WAY,
        max_pixels=max_pixels,
        max_file_size=remote.max_file_size,
        in_flight=remote.in_flight,
        timeout=remote.timeout.total_seconds(),
    )
    workers = broker.Workers(broker.addresses_of(remote))
    describer = HereOrThere(
        Decoder(max_pixels=max_pixels),
        workers,
        Placement(always=remote.mode == "always", slots=slots, clock=time.monotonic),
        Strain(limits),
        terms,
        feel=Senses().read,
        changed=changed,
    )
    try:
        yield describer
    finally:
        describer.close()
        workers.close()


def broker_module() -> ModuleType:
    """Return the module that knows the broker; says what to install where it can't be loaded."""
    try:
        from py_image_dedup.remote import broker
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed, which workers need: {to_install('remote')}") from error
    return broker
