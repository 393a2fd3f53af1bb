"""Steps whose results are kept, so that a run that was cut off goes on where it stopped."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


class Steps:
    """Results by name, one JSON file each; a result counts only for the parameters it was made with."""

    def __init__(self, folder: str, hidden: Mapping[str, str]) -> None:
        """`hidden`: paths of this machine and what to write instead, so that results can be shown anywhere."""
        self._folder = folder
        self._hidden = sorted(hidden.items(), key=lambda one: -len(one[0]))
        self._start = time.monotonic()
        os.makedirs(folder, exist_ok=True)

    def get(self, name: str, parameters: Mapping[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the result of a step, made now if need be; what failed is made again, what was too slow is not."""
        path = os.path.join(self._folder, re.sub(r"[^\w.-]+", "_", name) + ".json")
        given = json.loads(json.dumps(parameters))
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                kept = json.load(file)
            value: dict[str, Any] = kept["value"]
            if kept["parameters"] == given and (not value.get("problem") or value.get("timed_out")):
                return value
        self.say(name)
        value = make()
        if value.get("problem"):
            value["problem"] = self.scrub(value["problem"])
            self.say(f"  {name}: {value['problem']}")
        value["date"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with open(f"{path}.part", "w", encoding="utf-8", errors="surrogateescape") as file:
            json.dump({"name": name, "parameters": given, "value": value}, file)
        os.replace(f"{path}.part", path)
        return value

    def say(self, text: str) -> None:
        """Tell what is going on."""
        print(f"[{time.monotonic() - self._start:7.1f} s] {self.scrub(text)}", file=sys.stderr, flush=True)

    def scrub(self, text: str) -> str:
        """Replace paths of this machine."""
        for path, instead in self._hidden:
            text = text.replace(path, instead)
        return text
