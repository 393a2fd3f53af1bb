"""What the documentation tells people to send to the server, so that tests can send just that."""

from __future__ import annotations

import json
import re
from pathlib import Path

_PAGE = Path(__file__).parent.parent / "docs" / "elasticsearch.md"

Request = tuple[str, str, object]
"""Method, path and body, None if there is none."""


def requests(heading: str, **names: str) -> list[Request]:
    """Return the requests in the first block of code below a heading, with names that hold here."""
    text = _PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^##+ {heading}$.*?^```\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert found, heading
    block = found[1]
    for documented, name in names.items():
        assert documented in block, documented
        block = block.replace(documented, name)
    sent = re.findall(r"^([A-Z]+) (\S+)\n((?:[ {].*\n)*)", block, flags=re.MULTILINE)
    return [(method, path, json.loads(body) if body else None) for method, path, body in sent]
