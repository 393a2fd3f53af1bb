"""What was measured, and on what: said with every figure."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from typing import Any

_ASK = """
import hashlib, importlib.metadata as m, json, os, py_image_dedup, sys
folder = os.path.dirname(py_image_dedup.__file__)
digest = hashlib.sha256()
for place, folders, names in os.walk(folder):
    folders.sort()
    for name in sorted(names):
        if name.endswith(".py"):
            with open(os.path.join(place, name), "rb") as file:
                digest.update(file.read())
packages = {name: m.version(name) for name in ("numpy", "pillow", "pillow-heif")}
print(json.dumps({"version": m.version("py-image-dedup"), "digest": digest.hexdigest()[:12],
                  "python": sys.version.split()[0], "packages": packages, "folder": folder}))
"""


def describe() -> dict[str, Any]:
    """Return processor, memory, system and Python."""
    model = _field("/proc/cpuinfo", "model name") or platform.machine()
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int((_field("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 1e6, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _field(path: str, name: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith(name)), "")


def program(command: Sequence[str]) -> dict[str, Any]:
    """Ask an interpreter for the version of this program, a digest of its source, and the commit if there is one."""
    done = subprocess.run(
        [*command, "-c", _ASK], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd="/"
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} can't run py_image_dedup: {done.stderr.strip()[-400:]}")
    data: dict[str, Any] = json.loads(done.stdout)
    folder = data.pop("folder")
    asked = subprocess.run(
        ["git", "-C", folder, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return {**data, "commit": asked.stdout.strip()}
