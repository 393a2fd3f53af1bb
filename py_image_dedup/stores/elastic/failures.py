"""What went wrong with a server, in our words: each error of the client becomes one of ours that names the remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import elastic_transport
from elasticsearch import TransportError, UnsupportedProductError

from py_image_dedup.errors import StoreError, StoreMismatch, StoreUnavailable

OLDEST: Final = 9
"""The major version of the oldest server that will do."""

_FULL_DISK: Final = "flood-stage"


@dataclass(frozen=True, slots=True)
class Failures:
    """Errors of one server.  ``location``: its URLs; ``login``: the keys that the login came from, if there is one."""

    location: str
    login: Sequence[str] = ()

    @property
    def here(self) -> str:
        """Say where it happened."""
        return f"Elasticsearch at {self.location}"

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise ours in place of the client's."""
        try:
            yield
        except (elastic_transport.ApiError, TransportError) as error:
            raise self.translate(error) from error

    def translate(self, error: elastic_transport.ApiError | TransportError) -> StoreError:
        """Return the error of ours that stands for one of the client's."""
        if isinstance(error, UnsupportedProductError):
            return StoreMismatch(f"{self.too_old()}, or is not Elasticsearch at all; see elasticsearch.urls")
        if isinstance(error, elastic_transport.ApiError):
            return self._refusal(error)
        if isinstance(error, elastic_transport.SerializationError):
            return StoreError(f"what {self.here} sent, or was to be sent, is malformed: {error}")
        cause = error.errors[0] if error.errors else error
        if isinstance(error, elastic_transport.TlsError):
            return StoreUnavailable(
                f"{self.here} is not trusted: {cause}; name the authority that signed its certificate with "
                "elasticsearch.ca_file, or the certificate with elasticsearch.ca_fingerprint"
            )
        return StoreUnavailable(
            f"{self.here} can't be reached: {_in_short(cause) or cause}; see elasticsearch.host, "
            "elasticsearch.port and elasticsearch.urls"
        )

    def _refusal(self, error: elastic_transport.ApiError) -> StoreError:
        stated = error.body.get("error", error.body) if isinstance(error.body, dict) else error.message
        reason, status = reason_of(stated), error.meta.status
        if error.message == "media_type_header_exception":  # what version 8 says to our client
            return StoreMismatch(f"{self.too_old()} ({reason}); upgrade it")
        if status in {401, 403} and error.message != "cluster_block_exception":
            return self._no_entry(status, reason, stated)
        return self.failed(status, f"answered {status}: {reason}")

    def _no_entry(self, status: int, reason: str, stated: Any) -> StoreError:
        """Tell who may not come in from who may not do something."""
        login = " and ".join(self.login)
        if not login:
            return StoreError(
                f"{self.here} asks for a login ({reason}); set elasticsearch.api_key, or elasticsearch.user and "
                "elasticsearch.password"
            )
        if status == 401:
            details = stated.get("additional_unsuccessful_credentials") if isinstance(stated, dict) else None
            return StoreError(f"{self.here} does not accept the login: {details or reason}; see {login}")
        return StoreError(
            f"{self.here} does not allow this: {reason}; docs/elasticsearch.md lists the privileges that the login "
            f"needs, see {login}"
        )

    def refused(self, records: int, index: str, error: Any) -> StoreError:
        """Return the error for records that the server did not take."""
        reason = reason_of(error)
        if isinstance(error, dict) and error.get("type") == "security_exception":
            return self._no_entry(403, reason, error)
        return self.failed(0, f"refused {records} of the records for {index}: {reason}")

    def failed(self, status: int, what: str) -> StoreError:
        """Return the error for what a server said that understood us and is ours to use."""
        kind = StoreUnavailable if status in {429, 502, 503, 504} else StoreError
        remedy = "; its disk is full: make room there" if _FULL_DISK in what else ""
        return kind(f"{self.here} {what}{remedy}")

    def whole(self, answer: dict[str, Any]) -> Any:
        """Return the answer of a search; one that leaves out a part of the index is an error, not a smaller answer."""
        if "error" in answer:
            raise self.failed(answer["status"], f"failed a search: {reason_of(answer['error'])}")
        if answer.get("timed_out") or answer["_shards"]["failed"]:
            raise StoreError(f"{self.here} answered for a part of the index only; see the health of the cluster")
        return answer

    def too_old(self) -> str:
        """Say that the server will not do."""
        return f"the server at {self.location} is older than Elasticsearch {OLDEST}"


def reason_of(error: Any) -> str:
    """Return the innermost reason that an error of the server gives."""
    if not isinstance(error, dict):
        return str(error)
    cause = error
    while isinstance(cause.get("caused_by"), dict):
        cause = cause["caused_by"]
    return str(cause.get("reason") or error.get("reason") or cause.get("type") or error)


def _in_short(error: BaseException | None) -> str:
    """Return what the system said below all that the client made of it, if it said something."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        inner = getattr(error, "errors", ())
        error = inner[0] if inner else error.__cause__ or error.__context__
    return ""
