"""A store that tells how long each of its operations takes, and which fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, cast

from py_image_dedup.errors import StoreError
from py_image_dedup.stores.interface import Store

Heard = Callable[[str, float, bool], None]
"""Called with (operation, seconds, whether it failed)."""


def measured(open_store: Callable[[], Store], heard: Heard) -> Store:
    """Open a store and return it; of what is streamed only the time spent in the store counts."""
    watch = _StopWatch()
    try:
        with watch:
            store = open_store()
    except StoreError:
        heard("open", watch.seconds, True)
        raise
    heard("open", watch.seconds, False)
    return cast("Store", _Measured(store, heard))


class _Measured:
    def __init__(self, store: Store, heard: Heard) -> None:
        self._store = store
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._store, name)
        return self._timed(name, member) if callable(member) else member

    def _timed(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*positional: Any, **named: Any) -> Any:
            watch = _StopWatch()
            try:
                with watch:
                    answer = operation(*positional, **named)
            except StoreError:
                self._heard(name, watch.seconds, True)
                raise
            if isinstance(answer, Iterator):
                return self._streamed(name, answer, watch)
            self._heard(name, watch.seconds, False)
            return answer

        return run

    def _streamed(self, name: str, items: Iterator[Any], watch: _StopWatch) -> Iterator[Any]:
        failed = False
        try:
            while True:
                try:
                    with watch:
                        item = next(items)
                except StopIteration:
                    return
                except StoreError:
                    failed = True
                    raise
                yield item
        finally:
            self._heard(name, watch.seconds, failed)


class _StopWatch:
    """Adds up the time spent in ``with`` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._began
