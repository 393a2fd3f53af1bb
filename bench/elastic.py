"""What the Elasticsearch store costs and finds: python bench/elastic.py [FOLDER] [--sizes 1000 10000 ...] [--out DIR].

Signatures are those of bench/join.py.  A server of its own, one node on loopback with --heap of memory, gets an index
of whole records for each of the sizes.  A process of its own

- `load`: writes the records, as analysing does,
- `files`: reads the list of all files, as cleaning up does,
- `near`: asks for what is near to --look-ups contents, after half as many others that warm the server up; from
  --graph-from contents on once the server has built its graph (`graph` tells how long that takes: the search works
  meanwhile, only slower).  For each of the --graphs (connections of a node / candidates while building) and of the
  --candidates (while searching): more of each find more and cost more,
- `all`: asks for every pair within the distance, but for the last --new contents,
- `new`: the same with these: what was found before is remembered,

and tells the client's CPU and wall seconds, and its highest memory, and the CPU seconds of the server's processes.
Recall is against comparing with all rows; that of `near` counts each content itself as one to be found, by the server
alone.  With --quick nothing but a trial of a minute.

Prints a table, writes DIR/elastic.json.  Exit code 1 if `all` misses a pair or anything has one too many.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import numpy as np
import skimage
from elasticsearch import Elasticsearch

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [ROOT, os.path.join(ROOT, "tests")]  # the server is that of the tests

from elastic_server import ElasticServer  # noqa: E402

from bench.join import batches, brute_force, cached_signatures, name_of, peak_megabytes  # noqa: E402
from py_image_dedup.model import Turn  # noqa: E402
from py_image_dedup.signature import Signature  # noqa: E402
from py_image_dedup.stores.elastic import ElasticStore, mapping  # noqa: E402
from py_image_dedup.stores.elastic import store as elastic_store  # noqa: E402

GRAPH = "{m}/{ef_construction}".format_map(mapping.GRAPH["signature"]["index_options"])

Figures = dict[str, Any]
Pairs = set[tuple[int, int]]


def main() -> int:
    """Start the server, measure step by step, check and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    samples = os.path.join(os.path.dirname(skimage.__file__), "data")
    parser.add_argument("folder", nargs="?", default=samples, help="photos")
    parser.add_argument("--sizes", nargs="+", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--within", nargs="+", type=float, default=[0.1, 0.25])
    parser.add_argument("--graph-from", type=int, default=100_000)
    parser.add_argument("--look-ups", type=int, default=4_000)
    parser.add_argument("--new", type=int, default=1_000)
    parser.add_argument("--graphs", nargs="+", default=[GRAPH], metavar="M/EF")
    parser.add_argument("--candidates", nargs="+", type=int, default=[elastic_store._CANDIDATES])  # noqa: SLF001
    parser.add_argument("--heap", default="4g")
    parser.add_argument("--out", default="build/bench-elastic", help="holds signatures and results")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="2,000 contents, a small server")
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)  # what the processes are started with
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sizes, arguments.graph_from, arguments.heap = [1_000, 2_000], 2_000, "512m"
        arguments.look_ups, arguments.new = 200, 100
    os.makedirs(arguments.out, exist_ok=True)
    folder = os.path.realpath(arguments.folder)
    signatures = cached_signatures(folder, max(arguments.sizes), arguments.seed, arguments.out)
    if arguments.measure:
        what, url, size, within, candidates = arguments.measure
        elastic_store._CANDIDATES = int(candidates)  # noqa: SLF001
        measure(what, url, signatures[: int(size)], float(within), arguments)
        return 0
    server = ElasticServer(heap=arguments.heap)
    server.start()
    try:
        rows = []
        for size in arguments.sizes:
            for row in measured(server, signatures[:size], arguments):
                print(row, file=sys.stderr)
                rows.append(row)
    finally:
        server.stop()
    with open(os.path.join(arguments.out, "elastic.json"), "w", encoding="utf-8") as file:
        json.dump({"cores": os.cpu_count(), "heap": arguments.heap, "rows": rows}, file, indent=1)
    print(table(rows))
    right = all(
        row.get("too many", 0) == 0 and (row["asked"] not in {"all", "new"} or row["recall"] == 1) for row in rows
    )
    return 0 if right else 1


def measured(server: ElasticServer, signatures: Signature, arguments: argparse.Namespace) -> Iterator[Figures]:
    """Yield the figures of every step with these signatures."""
    size = len(signatures)
    row_of = {name_of(row): row for row in range(size)}
    asked, _ = sampled(size, arguments.look_ups)
    truth = {within: set(brute_force(signatures, asked, within, [Turn.UPRIGHT])) for within in arguments.within}
    themselves = {(row, row) for row in asked if signatures[row].any()}

    def run(what: str, within: float = 0.0, candidates: int = 0) -> tuple[Figures, Pairs]:
        with charged(server) as cost:
            answer = child(what, server.url, size, within, candidates)
        found = {(min(pair), max(pair)) for pair in ((row_of[a], row_of[b]) for a, b in answer.pop("pairs"))}
        return {"asked": what, "contents": size, "within": within, **answer, **cost}, found

    def look_up(within: float, candidates: int) -> Figures:
        run("warm", within, candidates)
        figures, found = run("near", within, candidates)
        _, alone = run("alone", within, candidates)
        right = checked(found | alone, asked, truth[within] | themselves)
        return figures | {"candidates": candidates, "per s": round(len(asked) / figures["wall s"])} | right

    with suppress(FileNotFoundError):
        os.unlink(searches_of(size, arguments))
    loaded, _ = run("load")
    yield loaded | {"per s": round(size / loaded["wall s"])}
    yield run("files")[0]
    for graph in arguments.graphs if size >= arguments.graph_from else [""]:
        if graph:
            with charged(server) as cost:
                build_graph(server.url, graph, signatures)
            yield {"asked": "graph", "contents": size, "graph": graph, **cost}
        for candidates in arguments.candidates:
            yield from (look_up(within, candidates) | {"graph": graph} for within in arguments.within)
    within = max(arguments.within)
    old = size - arguments.new
    for what, known in (("all", old), ("new", size)):
        figures, found = run(what, within)
        expected = {pair for pair in truth[within] if max(pair) < known}
        yield figures | checked(found, asked, expected)


def child(what: str, url: str, *numbers: float) -> Figures:
    """Run one step in a process of its own, with the options of this one."""
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", what, url, *map(str, numbers)]
    answer: Figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return answer


def opened(url: str, size: int, memory: str | None = None) -> ElasticStore:
    """Open the store that holds so many contents."""
    return ElasticStore.open(
        urls=[url], index=f"bench-{size}", origin="bench", auto_create_index=True, timeout_s=600, memory=memory
    )


def searches_of(size: int, arguments: argparse.Namespace) -> str:
    """Return the file that remembers what was found among so many."""
    return os.path.join(arguments.out, f"searches-{size}.sqlite")


def measure(what: str, url: str, signatures: Signature, within: float, arguments: argparse.Namespace) -> None:
    """Do one step, and print what it took and what it found."""
    store = opened(url, len(signatures), searches_of(len(signatures), arguments))
    pairs: list[tuple[str, str]] = []
    cpu = wall = 0.0

    @contextmanager
    def timed() -> Iterator[None]:
        nonlocal cpu, wall
        started, before = time.monotonic(), _own_cpu()
        yield
        cpu += _own_cpu() - before
        wall += time.monotonic() - started

    if what == "load":
        for batch in batches(signatures, 1):
            with timed():
                store.put(batch)
            let_go(signatures)
    elif what == "files":
        with timed():
            assert sum(1 for _ in store.files(["/photos"])) == len(signatures)
    elif what in {"all", "new"}:
        contents = [name_of(row) for row in range(len(signatures) - (arguments.new if what == "all" else 0))]
        with timed():
            pairs = [(match.a, match.b) for match in store.similar(contents, within=within)]
    else:
        some, others = sampled(len(signatures), arguments.look_ups)
        asked = {name_of(row): row for row in (others if what == "warm" else some)}
        if what == "alone":  # what is asked about is always an answer; does the server's search find it, too?
            search = store._neighbours  # noqa: SLF001
            # A featureless one has no direction to search in.
            found = (
                name
                for name, row in asked.items()
                if signatures[row].any() and name in search(signatures[[row]], within)
            )
            pairs = [(name, name) for name in found]
        else:
            with timed():
                pairs = [(match.a, match.b) for match in store.near(asked, within=within)]
    json.dump(
        {"client CPU s": round(cpu, 2), "wall s": round(wall, 2), "client MB": peak_megabytes(), "pairs": pairs},
        sys.stdout,
    )


def let_go(signatures: Signature) -> None:
    """Let what was read of their file not count as memory of this process."""
    below: Any = signatures
    while not isinstance(below, mmap.mmap):
        below = below.base
    below.madvise(mmap.MADV_DONTNEED)


def sampled(size: int, look_ups: int) -> tuple[list[int], list[int]]:
    """Return rows to be looked up, and half as many others that warm the server up."""
    rows = np.random.default_rng(0).permutation(size).tolist()
    return rows[:look_ups], rows[look_ups : look_ups + look_ups // 2]


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def build_graph(url: str, graph: str, signatures: Signature) -> None:
    """Let the server put all vectors into a graph, and wait until it has."""
    m, ef = map(int, graph.split("/"))
    options = {"type": "hnsw", "m": m, "ef_construction": ef}
    with closing(opened(url, len(signatures))) as store, Elasticsearch(url, request_timeout=7200) as client:
        index = f"bench-{len(signatures)}-contents"
        properties = {"signature": mapping.GRAPH["signature"] | {"index_options": options}}
        client.indices.put_settings(index=index, settings=mapping.GRAPH_SETTINGS)
        client.indices.put_mapping(index=index, properties=properties)
        store.put(next(batches(signatures[:1], 1)))  # what is in one segment already is not merged again
        client.indices.refresh(index=index)
        client.indices.forcemerge(index=index, max_num_segments=1)


@contextmanager
def charged(server: ElasticServer) -> Iterator[Figures]:
    """Tell afterwards how many CPU seconds the server took, and how long it was."""
    cost: Figures = {}
    cpu, started = server.cpu_seconds(), time.monotonic()
    yield cost
    cost |= {"server CPU s": round(server.cpu_seconds() - cpu, 2), "took s": round(time.monotonic() - started, 1)}


def checked(found: Pairs, rows: list[int], expected: Pairs) -> Figures:
    """Tell what share of the expected pairs of these rows was found, and how many more."""
    of_rows = set(rows)
    mine = {pair for pair in found if of_rows & set(pair)}
    return {
        "true pairs": len(expected),
        "recall": round(len(mine & expected) / len(expected), 6) if expected else 1.0,
        "too many": len(mine - expected),
    }


def table(rows: list[Figures]) -> str:
    """Return the figures as a table in Markdown."""
    head = [*dict.fromkeys(name for row in rows for name in row)]
    lines = [head, ["---"] * len(head), *[[str(row.get(name, "")) for name in head] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
