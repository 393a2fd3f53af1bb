"""Groups of thousands come back whole from both stores, whatever other machines have."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pictures
import pytest
from command import Command
from elastic_server import remove_indices
from machines import Machine

COPIES = 10_000
REENCODED = 1_000
QUALITIES = range(60, 100)

Boot = Callable[[str], Command]


@pytest.fixture(params=["sqlite", pytest.param("elasticsearch", marks=pytest.mark.elasticsearch)])
def boot(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Boot]:
    """Makes machines that share a store, by origin."""
    name = f"large-{uuid.uuid4().hex}"
    url = request.getfixturevalue("elasticsearch_url") if request.param == "elasticsearch" else ""

    def boot_one(origin: str) -> Command:
        if url:
            return Machine(tmp_path / origin, origin=origin, url=url, index=name)
        command = Command(tmp_path / origin)
        command.environment |= {
            "PY_IMAGE_DEDUP_ORIGIN": origin,
            "PY_IMAGE_DEDUP_DATABASE": str(tmp_path / "store.sqlite"),
        }
        return command

    yield boot_one
    if url:
        remove_indices(url, name)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Byte-identical copies of one picture, re-encodings of another one, and pictures that are neither."""
    folder = tmp_path / "album"
    for name in ("copies", "re-encoded", "others"):
        (folder / name).mkdir(parents=True)
    one, other = pictures.photo(1, (160, 120)), pictures.photo(2, (320, 240))
    same = pictures.encode(one, quality=90)
    for number in range(COPIES):
        (folder / "copies" / f"{number}.jpg").write_bytes(same)
    for number in range(REENCODED):
        less, quality = divmod(number, len(QUALITIES))
        size = (320 - 4 * less, 240 - 3 * less)
        (folder / "re-encoded" / f"{number}.jpg").write_bytes(
            pictures.encode(other.resize(size), quality=QUALITIES[quality])
        )
    for number in range(300):
        (folder / "others" / f"{number}.jpg").write_bytes(pictures.encode(pictures.photo(10 + number, (160, 120))))
    return folder


def test_large_groups_come_back_whole(boot: Boot, album: Path, tmp_path: Path) -> None:
    """All copies and all re-encodings form one group each, on the origin that has them and no other."""
    elsewhere = shutil.copytree(album / "others", tmp_path / "elsewhere")
    (elsewhere / "copy.jpg").write_bytes((album / "copies" / "0.jpg").read_bytes())
    laptop = boot("laptop")
    assert laptop.run("analyse", elsewhere).code == 0

    run = boot("nas").run("deduplicate", album)

    assert run.code == 0, run.err
    assert run.counts["files"] == COPIES + REENCODED + 300
    sizes = {group["keeper"]["path"].split("/")[-2]: len(group["duplicates"]) for group in run.json["groups"]}
    assert sizes == {"copies": COPIES - 1, "re-encoded": REENCODED - 1}
    assert run.counts["duplicates"] == COPIES + REENCODED - 2
    assert 'Elsewhere: 301 files of origin "laptop" with the same bytes as pictures here.' in run.err
    again = laptop.run("deduplicate", elsewhere)
    assert (again.counts["unchanged"], again.counts["duplicates"]) == (301, 0)
