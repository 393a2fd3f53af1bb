"""difPy itself, in a process of its own, which is told folders and options as JSON.

Prints its result, lower quality and statistics as JSON.  It lists folders in the order of the disk; here it is given
them in order of name, so that two runs, and another program, can be compared with it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

_ANSWER = "difPy says: "


def difpy(*directory: str, build: dict[str, Any] | None = None, search: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run difPy; `directory`, and the options of its two functions."""
    asked = {"directory": directory, "build": build or {}, "search": search or {}}
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(asked)], check=True, capture_output=True, text=True, timeout=3600
    )
    told = next(line for line in done.stdout.splitlines() if line.startswith(_ANSWER))
    answer: dict[str, Any] = json.loads(told.removeprefix(_ANSWER))
    return answer


def main() -> None:
    """Answer what the command line asks."""
    from difPy import dif

    asked = json.loads(sys.argv[1])
    listing: Callable[..., list[str]] = dif.glob
    dif.glob = lambda *names, **options: sorted(listing(*names, **options))
    built = dif.build(asked["directory"], show_progress=False, **asked["build"])
    found = dif.search(built, show_progress=False, **asked["search"])
    answer = {"result": found.result, "lower_quality": found.lower_quality, "stats": found.stats}
    sys.stdout.write(_ANSWER + json.dumps(answer, default=float) + "\n")


if __name__ == "__main__":
    main()
