"""What the documents of the Elasticsearch indices look like, and how files and contents become documents."""

from __future__ import annotations

import hashlib
import re
from binascii import a2b_base64, b2a_base64
from dataclasses import fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from py_image_dedup import signature
from py_image_dedup.model import Content, Facts, File
from py_image_dedup.stores.interface import Thumbnail

Document = dict[str, Any]

APPLICATION: Final = "py-image-dedup"
META: Final = {"application": APPLICATION, "version": 1}
"""Marks an index as ours.

Where an index made before can't be used any more, give its layout a mark with the next version, and let
:func:`renewed` turn its documents into those of the new one.
"""

FACTS: Final = [field.name for field in fields(Facts)]
_FILE: Final = [field.name for field in fields(File)]

_UNSEARCHED: Final = {"type": "keyword", "index": False, "doc_values": False}


def _unindexed(kind: str) -> Document:
    """Return the mapping of what no search of ours asks for; searches of others look through all its values.

    To index these fields, too, would cost the server a tenth of its time in loading.
    """
    return {"type": kind, "index": False}


FILES: Final[Document] = {
    # Sorted by path, the next page of a listing is read off, not searched for: three times as fast at 600,000 files.
    "settings": {"index": {"number_of_shards": 1, "sort.field": "path", "sort.order": "asc"}},
    "mappings": {
        "dynamic": "strict",
        "_meta": META,
        "properties": {
            "origin": {"type": "keyword"},
            "path": {"type": "keyword"},
            "size": _unindexed("long"),
            "mtime_ns": _unindexed("long"),
            "content": {"type": "keyword"},
            "problem": _UNSEARCHED,
            "reader": _UNSEARCHED,
        },
    },
}

CONTENTS: Final[Document] = {
    "settings": {
        "index": {
            "number_of_shards": 1,
            "dense_vector.hnsw_enable_early_termination": False,
            # By the usual codec a third of the server's time goes into finding that thumbnails can't be compressed.
            # By this one it takes half a millisecond to read any part of a document, its id included: what is read of
            # many contents is read as doc values.
            "codec": "best_compression",
            # Taking the vector out of each document takes longer than writing it with the rest.
            "mapping.exclude_source_vectors": False,
        }
    },
    "mappings": {
        "dynamic": "strict",
        "_meta": META | {"version": 2},
        "properties": {
            "sha256": {"type": "binary", "doc_values": True},
            "format": _unindexed("keyword"),
            "width": _unindexed("integer"),
            "height": _unindexed("integer"),
            "frames": _unindexed("integer"),
            "exif_count": _unindexed("integer"),
            "taken": _unindexed("keyword"),
            "grey": _unindexed("boolean"),
            "thumbnail": {"type": "binary"},
            # For searching only.
            "signature": {
                "type": "dense_vector",
                "dims": signature.LENGTH,
                "element_type": "byte",
                "similarity": "cosine",
                "index": True,
                "index_options": {"type": "flat"},
            },
            # For reading back: doc values are eight times as quick to read, and a tenth as large as the whole document.
            "signature_bytes": {"type": "binary", "doc_values": True},
            "signature_version": {"type": "integer"},
        },
    },
}

GRAPH: Final[Document] = {
    "signature": CONTENTS["mappings"]["properties"]["signature"]
    | {"index_options": {"type": "hnsw", "m": 32, "ef_construction": 100}}
}
"""What ``signature`` becomes in an index so large that reading all vectors for each question takes too long.

Until then there is no graph: building it takes longer than all other writing together.  With fewer ways from each node,
as the server would have it by itself (16), single pictures are left that hardly any leads to (``bench/elastic.py``).
"""

HAS_GRAPH: Final[Document] = {"signature": {"index_options": {"type": "hnsw"}}}
"""What tells that there is one, by whatever numbers."""

GRAPH_SETTINGS: Final[Document] = {"index": {"merge": {"policy": {"max_merged_segment": "50gb"}}}}
"""What goes with it: every segment has a graph of its own, which is built and searched by itself."""

LOOKS: Final[Document] = {
    "settings": {"index": {"number_of_shards": 1}},
    "mappings": {
        "dynamic": "strict",
        "_meta": META,
        "properties": {
            "a": {"type": "keyword"},
            "b": {"type": "keyword"},
            "version": {"type": "integer"},
            "structure": _unindexed("double"),
            "colour": _unindexed("double"),
            "duplicate": {"type": "boolean"},
        },
    },
}


LEASES: Final[Document] = {
    "settings": {"index": {"number_of_shards": 1}},
    "mappings": {
        "dynamic": "strict",
        "_meta": META,
        "properties": {
            "origin": {"type": "keyword"},
            "token": _UNSEARCHED,
            "host": _UNSEARCHED,
            "pid": _unindexed("long"),
            "since": _UNSEARCHED,
            "machine": _UNSEARCHED,
            "started": _UNSEARCHED,
        },
    },
}

PARTS: Final = {"files": FILES, "contents": CONTENTS, "looks": LOOKS, "leases": LEASES}
"""The indices, by the end of their names."""


def lease_id(origin: str) -> str:
    """Return the id of the document of an origin's lease."""
    return hashlib.sha256(_raw(origin)).hexdigest()


def version(layout: Document) -> int:
    """Return the version of a layout."""
    return int(layout["mappings"]["_meta"]["version"])


def current() -> Document:
    """Return what asks for contents that have a signature of the current version."""
    return {"term": {"signature_version": signature.VERSION}}


def renewed(part: str, name: str, document: Document) -> Document:
    """Return the document of this id of an older layout, as read back, in the present one.

    A server may leave the vector out of what it gives back: it is made again.
    """
    if part != "contents":
        return document
    document = without_vector(document) | {"sha256": _sha256(name)}
    vector = a2b_base64(document.get("signature_bytes", ""))
    return document | ({"signature": vector.hex()} if any(vector) else {})


def without_vector(document: Document) -> Document:
    """Return a content's document without what is searched."""
    return {name: value for name, value in document.items() if name != "signature"}


def without_signature(document: Document) -> Document:
    """Return a content's document that says that it has to be analysed anew."""
    kept = {name: value for name, value in without_vector(document).items() if name != "signature_bytes"}
    return kept | {"signature_version": 0}


def look_id(a: str, b: str) -> str:
    """Return the id of the document of a look at two contents, ``a < b``."""
    return hashlib.sha256(f"{a} {b}".encode()).hexdigest()


def file_id(origin: str, path: str) -> str:
    """Return the id of a file's document: no longer than ids may be, however long the path."""
    return hashlib.sha256(_raw(origin) + b"\0" + _raw(path)).hexdigest()


def file_document(file: File) -> Document:
    """Return what is written for a file."""
    document = {name: getattr(file, name) for name in _FILE}  # dataclasses.asdict() takes ten times as long
    for name in ("origin", "path", "problem", "reader"):  # each may hold a path or a part of one
        document[name] = encode_path(document[name])
    return document


def file_of(document: Document) -> File:
    """Return the file that a document tells of."""
    text = {name: decode_path(document[name]) for name in ("origin", "path", "problem", "reader")}
    return File(**(document | text))


def content_document(content: Content) -> Document:
    """Return what is written for a content.  A featureless picture gets no vector: it has no direction."""
    vector = content.signature.tobytes()
    document = {name: getattr(content.facts, name) for name in FACTS}
    document |= {
        "sha256": _sha256(content.hash),
        "thumbnail": _base64(content.thumbnail.tobytes()),
        "signature_bytes": _base64(vector),
        "signature_version": signature.VERSION,
    }
    if any(vector):  # of bytes: a tenth of what asking the array takes
        document["signature"] = vector.hex()
    return document


def told(hit: Document) -> tuple[str, Document]:
    """Return the content that a hit with doc values is of, and what they tell."""
    values = {name: value for name, (value,) in hit["fields"].items()}
    return a2b_base64(values.pop("sha256")).hex(), values


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def _sha256(content: str) -> str:
    return _base64(bytes.fromhex(content))


def content_of(content: str, document: Document) -> Content:
    """Return the content that a document tells of."""
    vector = np.frombuffer(a2b_base64(document["signature_bytes"]), np.int8)
    return Content(content, facts_of(document), thumbnail_of(document), vector)


def thumbnail_of(document: Document) -> Thumbnail:
    """Return the thumbnail in a content's document."""
    thumbnail = np.frombuffer(a2b_base64(document["thumbnail"]), np.uint8)
    side = int(len(thumbnail) ** 0.5)
    return thumbnail.reshape(side, side)


def facts_of(document: Document) -> Facts:
    """Return the facts in a content's document."""
    return Facts(**{name: document[name] for name in FACTS})


def signatures_of(encoded: list[str]) -> npt.NDArray[np.int8]:
    """Return signatures, shape (n, 648), from base64."""
    return np.frombuffer(b"".join(map(a2b_base64, encoded)), np.int8).reshape(-1, signature.LENGTH)


# JSON can't carry the lone surrogates U+DC80..U+DCFF that stand for odd bytes in a path.  Private-use characters
# U+10FF80..U+10FFFF go in their place, one per byte; where a path truly holds such a character, its bytes are odd too.
_SHIFT: Final = 0x10FF00
_PRIVATE: Final = re.compile("[\U0010ff80-\U0010ffff]")
_ODD: Final = re.compile("[\udc80-\udcff\U0010ff80-\U0010ffff]")


def encode_path(path: str) -> str:
    """Return a path (with surrogate escapes) as text that JSON can carry; it sorts by its own UTF-8 bytes."""
    return _ODD.sub(lambda odd: "".join(chr(_SHIFT + byte) for byte in _raw(odd[0])), path)


def decode_path(text: str) -> str:
    """Return the path that :func:`encode_path` made this text of."""
    if not _PRIVATE.search(text):
        return text
    odd = _PRIVATE.sub(lambda private: chr(ord(private[0]) - _SHIFT + 0xDC00), text)
    return _raw(odd).decode("utf-8", "surrogateescape")


def _raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
