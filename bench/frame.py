"""Nights of a picture frame: python -m bench.frame [--photos DIR] [--pictures 10000] [--cache DIR] [--check].

An album of 1920x1200 JPEGs is made from the photos in DIR (without: from made-up ones), one in twenty a
copy of another.  The program runs over it with contrib/picture-frame.yaml: a first night, a second one with nothing
new, a third one with ten new pictures.  Beside it runs the script that it replaces, which does everything again each
night (one night of it is measured, and stands for all).  What is moved goes into the cache folder; the album is made
once.

Prints a table.  With --check the exit code is 1 if the program takes more than 150 MB, more than a third of the
script's CPU in the first night, or more than a hundredth in a later one.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from bench import corpus
from bench.peers import measure

_SIZE = (1920, 1200)
_COPY_EVERY = 20  # one picture in so many is a copy of the one before
_NEW = 10  # pictures that come before the third night
_ROOT = Path(__file__).parent.parent
_MOST_MB, _FIRST, _LATER = 150, 1 / 3, 1 / 100  # what --check demands


@dataclass(frozen=True, slots=True)
class Night:
    """What a night took: CPU seconds, highest memory in MB, and the last line that was printed."""

    name: str
    cpu: float
    megabytes: float
    said: str


def picture(photos: Sequence[str], folder: str, number: int) -> None:
    """Write one picture: parts of two photos side by side, with the grain of a camera; or a copy of the one before."""
    copied = number % _COPY_EVERY == _COPY_EVERY - 1
    rng = random.Random(number - copied)
    width = round(_SIZE[0] * rng.uniform(0.3, 0.7))
    whole = Image.new("RGB", _SIZE)
    for left, right in ((0, width), (width, _SIZE[0])):
        part = corpus.cut(rng, corpus.opened(rng.choice(photos)), (right - left, _SIZE[1]))
        whole.paste(part, (left, 0))
    whole = corpus.grained(rng, whole)
    if copied and number % (2 * _COPY_EVERY) == _COPY_EVERY - 1:
        whole = whole.resize((1280, 800), Image.Resampling.LANCZOS)
    place = os.path.join(folder, f"{number // 500:03}")
    os.makedirs(place, exist_ok=True)
    whole.save(os.path.join(place, f"{number:05}.jpg"), quality=70 if copied else 88)


def album(photos: Sequence[str], folder: str, numbers: range) -> None:
    """Write pictures; the same photos and numbers give the same ones."""
    with get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.imap_unordered(partial(picture, photos, folder), numbers, chunksize=50):
            pass


def nights(cache: str, pictures: str, photos: Sequence[str], count: int) -> list[Night]:
    """Run the script once and the program three times."""
    base = os.path.join(cache, "pi")
    shutil.rmtree(base, ignore_errors=True)
    os.makedirs(base)
    # Hard links: runs move files, and the album is to be there the next time.
    shutil.copytree(pictures, os.path.join(base, "Pictures"), copy_function=os.link)
    script = _night("the script, every night", [sys.executable, "-m", "bench.drivers.channel_means", pictures], cache)
    configuration = os.path.join(base, "frame.yaml")
    text = (_ROOT / "contrib" / "picture-frame.yaml").read_text(encoding="utf-8")
    Path(configuration).write_text(text.replace("/home/pi", base), encoding="utf-8")
    run = [sys.executable, "-m", "py_image_dedup", "deduplicate", "--quiet", "--config", configuration]
    ours = [_night("first night", run, base), _night("second night, nothing new", run, base)]
    album(photos, os.path.join(base, "Pictures", "new"), range(count, count + _NEW))
    return [script, *ours, _night(f"third night, {_NEW} new pictures", run, base)]


def _night(name: str, command: Sequence[str], directory: str) -> Night:
    home = {"HOME": directory, "PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1"}
    cost = measure.run(command, directory=directory, environment=home)
    if cost.problem:
        sys.exit(f"{name}: {cost.problem}")
    return Night(name, cost.cpu, cost.peak_pss / 1e6, (cost.output.splitlines() or [""])[-1])


def table(measured: Sequence[Night]) -> str:
    """Return the figures in Markdown; the share is of the script's CPU."""
    script = measured[0].cpu
    rows = [
        f"| {one.name} | {one.cpu:.2f} | {one.cpu / script:.4f} | {one.megabytes:.0f} |".replace(" 1.0000 ", " 1 ")
        for one in measured
    ]
    return "\n".join(["| night | CPU s | share | MB |", "|---|---:|---:|---:|", *rows])


def objections(measured: Sequence[Night]) -> list[str]:
    """Name what is above what is promised."""
    script, first, *later = measured
    limits = [(first, _FIRST), *((night, _LATER) for night in later)]
    return [
        *(f"{one.name}: {one.megabytes:.0f} MB" for one in (first, *later) if one.megabytes > _MOST_MB),
        *(f"{one.name}: {one.cpu:.2f} s of CPU" for one, share in limits if one.cpu > share * script.cpu),
    ]


def main() -> int:
    """Make what is not there yet, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", help="photos that the album is made from")
    parser.add_argument("--pictures", type=int, default=10_000, help="how many (default 10,000)")
    parser.add_argument("--cache", default="build/bench-frame", help="holds the album and the runs")
    parser.add_argument("--check", action="store_true", help="fail if it takes more than is promised")
    options = parser.parse_args()
    cache = os.path.abspath(options.cache)
    photos = options.photos or os.path.join(cache, "photos")
    if not options.photos:
        corpus.invent(photos, 30)
    sources = corpus.sources(photos)
    pictures = os.path.join(cache, f"album-{corpus.fingerprint(sources)}-{options.pictures}")
    if not os.path.exists(pictures):
        album(sources, f"{pictures}.part", range(options.pictures))
        os.rename(f"{pictures}.part", pictures)
    measured = nights(cache, pictures, sources, options.pictures)
    for night in measured[1:]:
        print(f"{night.name}: {night.said}")
    print(f"\n{table(measured)}")
    wrong = objections(measured) if options.check else []
    for one in wrong:
        print(f"too much: {one}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
