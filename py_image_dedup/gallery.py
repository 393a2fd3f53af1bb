"""A plan for people and spreadsheets: a web page in one file with the pictures in it, a table, or JSON."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
from collections.abc import Iterator, Sequence
from typing import Final

from py_image_dedup import files, images
from py_image_dedup.analysis import Limits
from py_image_dedup.errors import PictureError
from py_image_dedup.files import printable
from py_image_dedup.model import Level
from py_image_dedup.plan import Action, Plan, PlannedAct, PlannedFile
from py_image_dedup.planfile import as_data
from py_image_dedup.report import listed
from py_image_dedup.words import counted, megabytes

_SIDE = 240  # pixels of a picture on the page
_COLUMNS: Final = (
    *("group", "role", "path", "size", "width", "height", "format", "sha256"),
    *("distance", "action", "destination", "rule", "reason"),
)

_HEAD: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>py-image-dedup</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; }
section { border-top: 1px solid #8886; padding: 1rem 0; content-visibility: auto; contain-intrinsic-size: auto 340px; }
section > div { display: flex; flex-wrap: wrap; gap: 1rem; }
h2 { font-size: 1rem; margin: 0 0 .5rem; }
figure { margin: 0; width: 240px; overflow-wrap: anywhere; border-top: 4px solid #8886; padding-top: .4rem; }
figure.keeper { border-color: #2a8a3e; }
figure.goes { border-color: #c0392b; }
img, .gone { max-width: 240px; height: 240px; object-fit: contain; display: block; }
.gone { background: #8883; padding: 1rem; box-sizing: border-box; }
figcaption p { margin: .2rem 0; }
.role { font-weight: bold; }
</style>
</head>
<body>
"""


def page(plan: Plan) -> Iterator[str]:
    """Yield a web page in pieces: every group with its pictures as they are on disk now, and what would become of them.

    It needs no other file, no network and no script.
    """
    yield _HEAD
    yield f"<h1>{counted(len(plan.groups), 'group')}</h1>\n<p>{_totals(plan)}</p>\n"
    for number, group in enumerate(plan.groups, 1):
        yield f'<section id="group-{number}">\n<h2>Group {number}</h2>\n<div>\n'
        yield _figure(group.keeper, "keeper", "stays: the keeper", [])
        for act in group.duplicates:
            yield _figure(act.file, "goes" if act.action.acts else "stays", _role(act), _told(act))
        yield "</div>\n</section>\n"
    if plan.skipped:
        yield f"<section>\n<h2>Skipped: {counted(len(plan.skipped), 'file')}</h2>\n<ul>\n"
        yield from (f"<li>{_text(one.path)}: {_text(one.reason)}</li>\n" for one in plan.skipped)
        yield "</ul>\n</section>\n"
    yield "</body>\n</html>\n"


def table(plan: Plan) -> Iterator[str]:
    """Yield lines of CSV (RFC 4180): a header, then a line for each file; odd bytes in paths stay as they are."""
    yield _line(_COLUMNS)
    for number, group in enumerate(plan.groups, 1):
        yield _line([number, "keeper", *_facts(group.keeper), "", "", "", "", ""])
        for act in group.duplicates:
            decided = [act.distance, act.action, act.destination or "", act.rule, act.reason]
            yield _line([number, act.level, *_facts(act.file), *decided])


def data(plan: Plan) -> Iterator[str]:
    """Yield the plan as JSON, with totals."""
    counts = {
        "groups": len(plan.groups),
        "duplicates": plan.duplicates,
        "similar": plan.similar,
        "reclaimable_bytes": plan.reclaimable,
    }
    yield json.dumps({**as_data(plan), "counts": counts}, indent=1) + "\n"


def thumbnail(path: str, *, side: int) -> str:
    """Return a picture on disk as HTML that needs no file; the reason where it can't be read."""
    try:
        with files.open_regular(path) as file:
            picture = images.preview(file, side=side, max_pixels=Limits().max_pixels)
    except (OSError, PictureError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f'<div class="gone">{_text(reason)}</div>'
    encoded = base64.b64encode(picture).decode()
    return f'<img loading="lazy" alt="" src="data:image/jpeg;base64,{encoded}">'


def _figure(file: PlannedFile, css: str, role: str, told: list[str]) -> str:
    lines = [file.path, f"{file.width}x{file.height} {file.format}, {megabytes(file.size)}", *told]
    caption = "".join(f"<p>{_text(line)}</p>" for line in lines)
    picture = thumbnail(file.path, side=_SIDE)
    return f'<figure class="{css}">{picture}<figcaption><p class="role">{role}</p>{caption}</figcaption></figure>\n'


def _role(act: PlannedAct) -> str:
    role = {
        Action.MOVE: "to be moved",
        Action.TRASH: "to the trash",
        Action.DELETE: "to be deleted",
        Action.HARDLINK: "to become a hard link",
        Action.REFLINK: "to share the keeper's bytes",
        Action.REPORT: "could go",
        Action.KEEP: "stays",
    }[act.action]
    return f"{role} (only similar)" if act.level is Level.SIMILAR else role


def _told(act: PlannedAct) -> list[str]:
    words = [act.turn.words, "a part" if act.part else "", f"{act.distance:.3f} from the keeper"]
    told = [", ".join(filter(None, words)), f"keeper won by: {act.reason}"]
    if act.destination:
        told.append(f"goes to {act.destination}")
    if act.gain:
        told.append(f"only it has: {', '.join(act.gain)}")
    return told


def _totals(plan: Plan) -> str:
    roots = ", ".join(plan.roots)
    return _text(f"{listed(plan)} in {roots}; {megabytes(plan.reclaimable)} could be freed.")


def _facts(file: PlannedFile) -> list[object]:
    return [file.path, file.size, file.width, file.height, file.format, file.content]


def _line(cells: Sequence[object]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _text(text: str) -> str:
    return html.escape(printable(text))
