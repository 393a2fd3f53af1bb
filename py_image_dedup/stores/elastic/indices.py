"""The indices of a server: found, made, checked and replaced, each behind an alias that stays while they change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from elasticsearch import ApiError, AuthorizationException, BadRequestError, Elasticsearch

from py_image_dedup.errors import StoreMismatch
from py_image_dedup.stores.elastic.failures import Failures, reason_of

Document = dict[str, Any]

_OPTIONAL: Final = ("dense_vector.hnsw_enable_early_termination", "mapping.exclude_source_vectors")
"""Settings that not every version 9 knows; one that does not know them does as they say."""
_PAUSES: Final = (0.2, 1, 3)  # seconds before a server is asked again for what it could not do
_SIZE: Final = ("number_of_shards", "number_of_replicas")
_UNKNOWN: Final = "unknown (the login may not ask)"


class Indices:
    """The indices of one server.  ``aliases``: names that are known to stand for an index of another name."""

    def __init__(self, client: Elasticsearch, failures: Failures) -> None:
        self.aliases: set[str] = set()
        self._client = client
        self._failures = failures
        self._translated = failures.translated

    def prepare(self, name: str, layout: Document, *, create: bool) -> None:
        """Check that an index is there and carries the mark of `layout` (its ``_meta``), or make it."""
        found = self.find(name)
        if not found and create:
            self.create(f"{name}-000001", layout, alias=name)
            found = self._made(name)
        if not found:
            raise StoreMismatch(
                f"the index {name} does not exist, and elasticsearch.auto_create_index is off: switch it on, or "
                "choose another elasticsearch.index"
            )
        for state in found.values():
            if flaw := flaw_of(state, layout):
                raise StoreMismatch(f"the index {name} {flaw}")
        self.refresh(name, needed=False)
        if name not in found:
            self.aliases.add(name)

    def refresh(self, *names: str, needed: bool = True) -> None:
        """Make what anybody wrote visible to searches; if not `needed`, who may only read sees what is a second old."""
        for _ in _tries():
            with self._translated():
                try:
                    shards = self._client.indices.refresh(index=names, ignore_unavailable=not needed)["_shards"]
                except AuthorizationException:
                    if needed:
                        raise
                    return
                except ApiError as error:  # where every shard failed, so did the request
                    if not isinstance(error.body, dict) or "_shards" not in error.body:
                        raise
                    shards = error.body["_shards"]
            # A shard that nobody leads, as far as this node knows, is passed over in silence: what was last written may
            # be hidden then.
            if shards["successful"] and not shards["failed"]:
                return
        why = "".join(f" ({reason_of(one['reason'])})" for one in shards.get("failures", [])[:1])
        raise self._failures.failed(503, f"can't show what was last written to {', '.join(names)}{why}")

    def find(self, name: str) -> dict[str, Document]:
        """Return what there is under a name, be it an alias or an index: index by index, what it is like."""
        with self._translated():
            return dict(self._client.indices.get(index=name, ignore_unavailable=True).body)

    def _made(self, name: str) -> dict[str, Document]:
        """Find what has been made just now."""
        for _ in _tries():
            if found := self.find(name):
                return found
        raise self._failures.failed(503, f"the index {name} was made, but can't be found")

    def exists(self, name: str) -> bool:
        """Tell whether there is an index or alias of this name, as far as we may know."""
        with self._translated(), suppress(AuthorizationException):
            return bool(self._client.indices.exists(index=name))
        return False

    def change(self, name: str, properties: Document, settings: Document, *, unless: Document) -> bool:
        """Change fields and settings of an index, for what is written or merged from now on, and tell whether that was.

        `unless`: what its fields have where there is no need.  Where we may not, they stay.
        """
        if all(_holds(state["mappings"]["properties"], unless) for state in self.find(name).values()):
            return False
        with self._translated(), suppress(AuthorizationException):
            self._client.indices.put_settings(index=name, settings=settings)
            self._client.indices.put_mapping(index=name, properties=properties)
            return True
        return False

    def rewrite(self, name: str) -> None:
        """Let the server merge all that an index holds, in its own time."""
        with self._translated(), suppress(AuthorizationException):
            self._client.indices.forcemerge(index=name, max_num_segments=1, wait_for_completion=False)

    def create(
        self, index: str, layout: Document, *, alias: str | None = None, as_large_as: Document | None = None
    ) -> None:
        """Make an index, and an alias for it; one that another process has made meanwhile is no error.

        `as_large_as`: what an index is like that has as many shards and replicas as this one is to have.
        """
        settings = dict(layout["settings"]["index"])
        if as_large_as is not None:
            settings |= {name: as_large_as["settings"]["index"][name] for name in _SIZE}
        aliases = {alias: {"is_write_index": True}} if alias else {}
        mappings = layout["mappings"]
        with self._translated():
            while True:
                try:
                    self._client.indices.create(index=index, settings=settings, mappings=mappings, aliases=aliases)
                except BadRequestError as error:
                    if error.message == "resource_already_exists_exception":
                        return
                    unknown = [name for name in _OPTIONAL if name in settings and name in str(error)]
                    if not unknown:
                        raise
                    for name in unknown:
                        del settings[name]
                else:
                    return

    def close_to_writing(self, index: str) -> None:
        """Let an index be read only, after the writes that are under way, and make all of it visible to searches."""
        with self._translated():
            self._client.indices.add_block(index=index, block="write")
        self.refresh(index)

    def replace(self, old: str, new: str, *, alias: str) -> None:
        """Delete an index and give its name to another, at once or not at all."""
        add = {"add": {"index": new, "alias": alias, "is_write_index": True}}
        with self._translated():
            self._client.indices.update_aliases(actions=[add, {"remove_index": {"index": old}}])
        self.aliases.add(alias)

    def drop(self, index: str) -> None:
        """Delete an index."""
        with self._translated():
            self._client.indices.delete(index=index)

    def expunge(self, name: str) -> None:
        """Give back the room of documents that were deleted."""
        with self._translated():
            self._client.indices.forcemerge(index=name, only_expunge_deletes=True)

    def size(self, name: str) -> int:
        """Return how many bytes an index takes, its replicas not counted; -1 if we may not know."""
        with self._translated(), suppress(AuthorizationException):
            stats = self._client.indices.stats(index=name, metric="store")
            return int(stats["_all"]["primaries"]["store"]["size_in_bytes"])
        return -1

    def health(self, names: list[str]) -> str:
        """Return the health of indices (green, yellow, red)."""
        with self._translated(), suppress(AuthorizationException):
            return str(self._client.cluster.health(index=names, timeout="1s")["status"])
        return _UNKNOWN

    def software(self) -> list[str]:
        """Return the versions of the servers; none if we may not know."""
        with self._translated(), suppress(AuthorizationException):
            try:
                return [self._client.info()["version"]["number"]]
            except ApiError as error:
                if error.status_code not in {404, 405}:
                    raise
                nodes = self._client.nodes.info(node_id="_all", metric="none")["nodes"]
                return sorted({node["version"] for node in nodes.values()})
        return []


def _tries() -> Iterator[None]:
    """Let something be tried at once and after each pause: a node may take a moment to hear of what another one did."""
    yield
    for pause in _PAUSES:
        time.sleep(pause)
        yield


def _holds(found: object, wanted: object) -> bool:
    """Tell whether all that is wanted is there; the server tells what it chose by itself, too."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return all(_holds(found.get(key), value) for key, value in wanted.items())
    return found == wanted


def flaw_of(state: Document, layout: Document) -> str:
    """Say why an index can't be used: it is not ours, of another version, or about to be replaced; else nothing."""
    mark, meta = layout["mappings"]["_meta"], state["mappings"].get("_meta", {})
    found, used = meta.get("version"), mark["version"]
    if meta.get("application") != mark["application"]:
        return f"was not made by {mark['application']} 3: choose another elasticsearch.index, or delete the index"
    if found != used:
        remedy = "upgrade the program" if found > used else "run py-image-dedup index migrate"
        return f"has version {found}, and this program uses version {used}: {remedy}"
    if closed_to_writing(state):
        return "is closed to writing: if a migration broke off, end it with py-image-dedup index migrate"
    return ""


def closed_to_writing(state: Document) -> bool:
    """Tell whether an index may be read only."""
    return bool(state["settings"]["index"].get("blocks", {}).get("write") == "true")
