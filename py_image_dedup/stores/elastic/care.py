"""Care of the indices on a server: status, newer layouts behind the same aliases, and dropping what is unused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Self, Unpack

from py_image_dedup.errors import StoreError, StoreMismatch
from py_image_dedup.stores.care import Dropped, Inventory, Note, Part
from py_image_dedup.stores.elastic import mapping
from py_image_dedup.stores.elastic.connection import Connection, Login, at_once
from py_image_dedup.stores.elastic.indices import Document, closed_to_writing, flaw_of
from py_image_dedup.stores.elastic.lease import Leases

_RECORDS: Final = tuple(part for part in mapping.PARTS if part != "leases")


class ElasticCare:
    """Care of the indices of one name."""

    @classmethod
    def open(cls, *, urls: Sequence[str], index: str, **login: Unpack[Login]) -> Self:
        """Connect; :class:`StoreMismatch` if there are no indices of this name, or they are not ours."""
        connection = Connection.open(urls, **login)
        try:
            return cls(connection, index)
        except BaseException:
            connection.close()
            raise

    def __init__(self, connection: Connection, index: str) -> None:
        self._connection = connection
        self._indices = connection.indices
        self._names = {part: f"{index}-{part}" for part in mapping.PARTS}
        self._leases = Leases(connection, self._names["leases"])
        for part in _RECORDS:
            self._present(part)

    def inventory(self) -> Inventory:
        """Count what is there."""
        found = [(part, *self._present(part)) for part in _RECORDS]
        count = self._connection.count
        self._indices.refresh(*self._names.values(), needed=False)
        return Inventory(
            location=self._connection.location,
            software=" ".join(["Elasticsearch", *self._indices.software()]),
            health=self._indices.health(list(self._names.values())),
            parts=tuple(
                Part(index, _version(state), count(index, {"match_all": {}}), self._indices.size(index))
                for _, index, state in found
            ),
            origins=tuple(
                (mapping.decode_path(origin), files)
                for origin, files in self._connection.values(self._names["files"], "origin")
            ),
            outdated=count(self._names["contents"], {"bool": {"must_not": mapping.current()}}),
        )

    def migrate(self, note: Note) -> list[str]:
        """Renew the indices that are of an older version, have no alias yet, or were left closed to writing."""

        def wanted(part: str, index: str, state: Document) -> bool:
            return index == self._names[part] or bool(flaw_of(state, mapping.PARTS[part]))

        return self._renew(note, wanted)

    def rebuild(self, note: Note) -> list[str]:
        """Renew all indices."""
        return self._renew(note, lambda *_: True)

    def compact(self, note: Note) -> Dropped:
        """Drop contents that no file has, the signatures of old versions, and looks at contents that are gone."""
        self._indices.prepare(self._names["leases"], mapping.LEASES, create=True)
        with self._leases.of_everything(note):
            for part in _RECORDS:
                self._indices.prepare(self._names[part], mapping.PARTS[part], create=False)
            self._indices.refresh(*self._names.values())
            contents = self._drop(self._names["contents"], self._unused())
            signatures = self._strip_outdated()
            looks = self._drop(self._names["looks"], self._blind())
            for part in _RECORDS:
                self._indices.expunge(self._names[part])
        return Dropped(contents, signatures, looks)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _present(self, part: str) -> tuple[str, Document]:
        """Return the index behind a name, and what it is like."""
        name = self._names[part]
        found = self._indices.find(name)
        if not found:
            raise StoreMismatch(f"the index {name} does not exist: py-image-dedup analyse makes it")
        if len(found) > 1:
            raise StoreMismatch(f"{name} stands for {' and '.join(found)}: take the alias off all but one")
        ((index, state),) = found.items()
        if _version(state) == 0:
            raise StoreMismatch(f"the index {name} {flaw_of(state, mapping.PARTS[part])}")
        return index, state

    def _renew(self, note: Note, wanted: Callable[[str, str, Document], bool]) -> list[str]:
        self._indices.prepare(self._names["leases"], mapping.LEASES, create=True)
        done = []
        with self._leases.of_everything(note):
            found = [(part, *self._present(part)) for part in _RECORDS]
            for part, _, state in found:
                if _version(state) > mapping.version(mapping.PARTS[part]):
                    raise StoreMismatch(f"the index {self._names[part]} {flaw_of(state, mapping.PARTS[part])}")
            for part, index, state in found:
                if wanted(part, index, state):
                    self._renew_part(part, index, state, note)
                    done.append(self._names[part])
        return done

    def _renew_part(self, part: str, old: str, state: Document, note: Note) -> None:
        """Copy an index into a new one of today's layout, and let that take its name.

        Until the very last step, which happens as a whole or not at all, the old index serves.  It is closed to
        writing first, so that a copy that broke off is good as far as it got.
        """
        name, layout = self._names[part], mapping.PARTS[part]
        new = _next(name, old)
        begun = self._indices.find(new)
        if begun and not (closed_to_writing(state) and flaw_of(begun[new], layout) == ""):
            self._indices.drop(new)
            begun = {}
        self._indices.close_to_writing(old)
        self._indices.create(new, layout, as_large_as=state)
        total, done = self._connection.count(old, {"match_all": {}}), 0
        note(f"{old}: {total} documents are copied to {new}")

        def copy(some: list[tuple[str, Document]]) -> None:
            ids = {one for one, _ in some}
            wanted = self._connection.missing(new, ids) if begun else ids
            copies = ((one, mapping.renewed(part, one, document)) for one, document in some if one in wanted)
            self._connection.write(new, copies)

        for page in self._connection.scan(old):
            at_once(copy, page)
            done += len(page)
            note(f"{old}: {done} of {total}")
        copied = self._connection.count(new, {"match_all": {}})
        if copied != total:
            raise StoreError(f"{new} holds {copied} documents instead of the {total} of {old}, which stays as it is")
        self._indices.replace(old, new, alias=name)

    def _unused(self) -> Iterator[list[str]]:
        """Yield contents that no file of any origin has."""
        for page in self._connection.scan(self._names["contents"], fields=[]):
            ids = [content for content, _ in page]
            asked = {"terms": {"content": ids}}
            used = {value for value, _ in self._connection.values(self._names["files"], "content", asked, len(ids))}
            yield [content for content in ids if content not in used]

    def _blind(self) -> Iterator[list[str]]:
        """Yield looks at contents that are not there."""
        for page in self._connection.scan(self._names["looks"], fields=["a", "b"]):
            seen = {content for _, look in page for content in (look["a"], look["b"])}
            missing = self._connection.missing(self._names["contents"], sorted(seen))
            yield [look_id for look_id, look in page if {look["a"], look["b"]} & missing]

    def _drop(self, name: str, pages: Iterator[list[str]]) -> int:
        dropped = 0
        for ids in pages:
            self._connection.delete(name, ids)
            dropped += len(ids)
        return dropped

    def _strip_outdated(self) -> int:
        """Take the signatures of other versions from the contents; the facts are still of use."""
        name = self._names["contents"]
        outdated = {"bool": {"must_not": mapping.current(), "filter": {"exists": {"field": "signature_bytes"}}}}
        stripped = 0
        for page in self._connection.scan(name, outdated):
            self._connection.write(name, ((content, mapping.without_signature(document)) for content, document in page))
            stripped += len(page)
        return stripped


def _version(state: Document) -> int:
    """Return the version of an index of ours, 0 for any other."""
    meta = state["mappings"].get("_meta", {})
    return int(meta.get("version", 0)) if meta.get("application") == mapping.APPLICATION else 0


def _next(name: str, index: str) -> str:
    """Return the name of the index that comes after this one: they are counted."""
    counted = re.fullmatch(rf"{re.escape(name)}-(\d+)", index)
    return f"{name}-{int(counted[1]) + 1 if counted else 1:06}"
