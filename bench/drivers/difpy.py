"""difPy: build, search, take its result and its list of lower quality.

--method names the way: "duplicates" (as shipped) or "similar" (also of other dimensions, as a near-duplicate needs).
A sweep takes difPy's own measure of every pair, because its result is no table: a file belongs to its first match.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

from bench.drivers import common


class _Measure:
    """Compares pairs of small pictures as difPy does."""

    def __init__(self, pictures: list[Any], widest: float) -> None:
        self._pictures = pictures
        self._widest = widest

    def __call__(self, first: int) -> list[tuple[int, int, float]]:
        from difPy.dif import _compare_imgs as own

        rows = []
        for second in range(first + 1, len(self._pictures)):
            apart = float(own._compute_mse(self._pictures[first], self._pictures[second], rotate=True))  # noqa: SLF001
            if apart <= self._widest:
                rows.append((first, second, apart))
        return rows


def main() -> None:
    """Build, search, write."""
    options = common.arguments(threshold=-1, widest=1500)
    import difPy

    built = difPy.build(options.folder, recursive=True, show_progress=False, processes=options.processes)
    failed = [(str(path), reason) for path, reason in built._invalid_files.items()]  # noqa: SLF001
    if options.sweep:
        names = {number: str(path) for number, path in built._filename_dictionary.items()}  # noqa: SLF001
        pictures = [built._tensor_dictionary[number] for number in names]  # noqa: SLF001
        numbers = [str(number) for number in range(len(pictures))]
        measure = _Measure(pictures, options.widest)
        _, rows, problems = common.hashed(numbers, _Numbered(measure), options.processes)
        common.finish(options, list(names.values()), (row for some in rows for row in some), failed + problems)
        return
    similar = options.method == "similar"
    done = difPy.search(
        built,
        similarity="similar" if similar else "duplicates",
        same_dim=not similar,
        show_progress=False,
        processes=options.processes,
    )
    groups = [[str(name), *(str(match[0]) for match in matches)] for name, matches in done.result.items()]
    pairs = sorted({tuple(sorted(pair)) for group in groups for pair in combinations(group, 2)})
    common.write(options.out, pairs=pairs, remove=[str(path) for path in done.lower_quality], failed=failed)


class _Numbered:
    """Turns the text of a number back into it."""

    def __init__(self, measure: _Measure) -> None:
        self._measure = measure

    def __call__(self, number: str) -> Any:
        return self._measure(int(number))


if __name__ == "__main__":
    main()
