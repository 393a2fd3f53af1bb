"""Score the JSON of a run against a truth.csv: python bench/score.py RESULT.json FOLDER.

`truth.csv` in FOLDER has the columns path, group_id, relation: two files are copies if they share group_id.
Prints, per relation, how many copies are in one group with their original, and every group that mixes pictures.
Exit code 1 if a group holds two group_ids, or fewer than 95 % of the plain copies are with their original.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections import defaultdict

PLAIN = ("resized", "recompressed", "format-converted", "grayscale")
LEAST = 0.95


def main() -> int:
    """Score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", help="what deduplicate --json wrote")
    parser.add_argument("folder", help="the folder that was searched, with truth.csv in it")
    arguments = parser.parse_args()
    folder = os.path.realpath(arguments.folder)
    with open(os.path.join(folder, "truth.csv"), newline="", encoding="utf-8") as file:
        truth = {os.path.join(folder, row["path"]): row for row in csv.DictReader(file)}
    with open(arguments.result, encoding="utf-8") as file:
        result = json.load(file)

    group_of: dict[str, int] = {}
    mixed = []
    for number, group in enumerate(result["groups"]):
        members = [group["keeper"], *(one for one in group["duplicates"] if one["level"] == "duplicate")]
        paths = [member["path"] for member in members]
        group_of.update(dict.fromkeys(paths, number))
        if len({truth[path]["group_id"] for path in paths}) > 1:
            mixed.append(paths)

    originals = {row["group_id"]: path for path, row in truth.items() if row["relation"] == "original"}
    found: defaultdict[str, int] = defaultdict(int)
    total: defaultdict[str, int] = defaultdict(int)
    for path, row in truth.items():
        original = originals.get(row["group_id"])
        if original is None or original == path:
            continue
        total[row["relation"]] += 1
        found[row["relation"]] += path in group_of and group_of[path] == group_of.get(original)
    print(f"{'relation':20} {'found':>5} {'of':>5} {'share':>6}")
    for relation in sorted(total):
        print(f"{relation:20} {found[relation]:5} {total[relation]:5} {found[relation] / total[relation]:6.3f}")
    plain = sum(found[kind] for kind in PLAIN) / max(1, sum(total[kind] for kind in PLAIN))
    print(f"\nplain copies (resized, recompressed, converted, grey) with their original: {plain:.3f}")
    print(f"groups: {len(result['groups'])}, of them with different pictures: {len(mixed)}")
    for paths in mixed:
        print("  mixed:", *paths, sep="\n    ")
    return 1 if mixed or plain < LEAST else 0


if __name__ == "__main__":
    sys.exit(main())
