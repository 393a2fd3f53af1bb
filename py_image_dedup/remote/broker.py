"""The way to the workers and back: Celery carries jobs and answers, Redis holds the bytes.  The only door to both.

The settings follow what Celery's and kombu's own documentation says of tasks that may run twice, and a series of
failures that were tried: see docs/agent.md.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import amqp
import celery
import kombu.exceptions
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from py_image_dedup.config import RemoteSettings
from py_image_dedup.errors import ConfigError, DedupError
from py_image_dedup.remote.message import Data, Job

TASK: Final = "py_image_dedup.describe"
QUEUE: Final = "py-image-dedup"
PREFIX: Final = "py-image-dedup:"
"""Of every key in Redis, so that a user of it can be limited to them."""

_PATIENCE = 3  # seconds that connecting, or one command, may take where a picture waits for it
_KEPT = 600  # seconds that answers stay in Redis when nobody fetches them
_SENT_AGAIN_AFTER = 24 * 3600  # seconds after which Redis gives a job of a worker that vanished to another


class BrokerError(DedupError):
    """The broker, or the Redis that holds bytes and answers, can't be reached or refuses."""

    exit_code = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where broker and results are (a login may stand in the URLs), and which authority signed their certificates."""

    broker: str = field(repr=False)
    results: str = field(repr=False)
    ca_file: str | None = None


def addresses_of(remote: RemoteSettings) -> Addresses:
    """Return what the settings say; raises :class:`ConfigError` if they name no broker."""
    if remote.broker_url is None or remote.result_url is None:
        raise ConfigError("no workers are known: set remote.broker_url, such as redis://localhost:6379/0")
    return Addresses(broker=remote.broker_url, results=remote.result_url, ca_file=remote.ca_file)


def make_app(addresses: Addresses) -> celery.Celery:
    """Return the Celery application that senders and workers share."""
    app = celery.Celery(QUEUE, broker=addresses.broker, backend=addresses.results)
    app.conf.update(
        # Nothing but plain data: pickle would let whoever reaches the broker run code here.
        task_serializer="msgpack",
        result_serializer="msgpack",
        accept_content=["msgpack"],
        result_accept_content=["msgpack"],
        task_default_queue=QUEUE,
        result_expires=_KEPT,
        # A job is done when its answer is stored; one whose worker process dies is not given to the next on its own,
        # since a picture that kills decoders would go round for ever: who sent it decides.
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,
        task_reject_on_worker_lost=False,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport_options(addresses.broker),
        result_backend_transport_options={
            "global_keyprefix": PREFIX,
            "retry_policy": {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "timeout": _PATIENCE},
        },
        redis_socket_timeout=_PATIENCE,
        redis_socket_connect_timeout=_PATIENCE,
        **_encryption(addresses),
    )
    return app


def _transport_options(url: str) -> Data:
    if not url.startswith("redis"):
        return {}
    # One worker sees by its own clock how long another has had a job: were the time short, two whose clocks differ
    # would do the same work.  Whoever sent it loses patience much sooner.
    return {"global_keyprefix": PREFIX, "visibility_timeout": _SENT_AGAIN_AFTER}


def _impatience(url: str) -> Data:
    """Return how long a sender waits for the broker, as the transports call it."""
    if url.startswith("redis"):
        return {"socket_timeout": _PATIENCE, "socket_connect_timeout": _PATIENCE}
    return {"connect_timeout": _PATIENCE, "read_timeout": _PATIENCE, "write_timeout": _PATIENCE}


def _encryption(addresses: Addresses) -> Data:
    checked = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": addresses.ca_file}
    options: Data = {}
    if addresses.broker.startswith("rediss:"):
        options["broker_use_ssl"] = checked
    elif addresses.broker.startswith("amqps:"):
        options["broker_use_ssl"] = {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": addresses.ca_file}
    if addresses.results.startswith("rediss:"):
        options["redis_backend_use_ssl"] = checked
    return options


class Bytes:
    """The bytes of pictures, each under a key of its own until it is described or nobody wants it any more."""

    def __init__(self, addresses: Addresses) -> None:
        secured = {"ssl_ca_certs": addresses.ca_file} if addresses.results.startswith("rediss:") else {}
        self._redis = redis.Redis.from_url(
            addresses.results,
            socket_timeout=_PATIENCE,
            socket_connect_timeout=_PATIENCE,
            retry=Retry(NoBackoff(), 0),  # whoever waits here can do the work himself meanwhile
            **secured,
        )

    def put(self, key: str, data: bytes, *, seconds: float) -> None:
        """Store bytes; after so many seconds they vanish by themselves."""
        with translated():
            self._redis.set(f"{PREFIX}bytes:{key}", data, px=round(1000 * seconds))

    def get(self, key: str, *, size: int) -> bytes | None:
        """Return the bytes; None if they are gone, or more or less than `size`."""
        with translated():
            if self._redis.strlen(f"{PREFIX}bytes:{key}") != size:
                return None
            data = self._redis.get(f"{PREFIX}bytes:{key}")
            return data if isinstance(data, bytes) else None

    def remove(self, key: str) -> None:
        """Forget the bytes."""
        with translated():
            self._redis.delete(f"{PREFIX}bytes:{key}")

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


class Workers:
    """Sends jobs and fetches answers; may be used from several threads."""

    def __init__(self, addresses: Addresses) -> None:
        self._app = make_app(addresses)
        options = self._app.conf.broker_transport_options
        self._app.conf.broker_transport_options = options | _impatience(addresses.broker)
        self._bytes = Bytes(addresses)

    def put(self, job: Job, data: bytes, *, seconds: float) -> None:
        """Store the bytes of a job; after so many seconds no worker can begin with it any more.

        Celery could tell when a job expires, but by the clock of this machine, and workers would read it by theirs.
        """
        self._bytes.put(job.key, data, seconds=seconds)

    def ask(self, job: Job) -> None:
        """Send a job whose bytes are stored."""
        with translated():
            self._app.send_task(
                TASK,
                args=[job.as_data()],
                task_id=job.key,
                retry=True,
                retry_policy={"max_retries": 1, "interval_start": 0.2},
            )

    def answers(self, keys: Collection[str]) -> Iterator[tuple[str, Any]]:
        """Yield for each of these jobs that has ended its key, and what the worker returned or an :class:`Ended`."""
        backend = self._app.backend
        names = {backend.get_key_for_task(key): key for key in keys}
        with translated():
            found = zip(names.values(), backend.mget([*names]), strict=True)
        for key, encoded in found:
            if encoded is not None:
                try:
                    told = backend.decode(encoded)
                    answer = told["result"] if told["status"] == "SUCCESS" else _ended(**told["result"])
                except Exception as error:  # noqa: BLE001 - whatever lies there, it is no answer
                    answer = Ended(f"left an answer that can't be read ({type(error).__name__})")
                yield key, answer

    def forget(self, job: Job) -> None:
        """Remove what is left of a job."""
        self._bytes.remove(job.key)
        with translated():
            self._app.backend.delete(self._app.backend.get_key_for_task(job.key))

    def close(self) -> None:
        """Close all connections."""
        self._bytes.close()
        self._app.close()


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that ended without an answer, and how; ``violently`` if its process was killed or its time was up."""

    how: str
    violently: bool = False


_VIOLENT: Final = {"WorkerLostError", "TimeLimitExceeded", "Terminated"}


def _ended(*, exc_type: str, exc_message: object, **_: object) -> Ended:
    words = " ".join(str(part) for part in exc_message) if isinstance(exc_message, list | tuple) else str(exc_message)
    return Ended(f"{exc_type}: {words}"[:500], violently=exc_type in _VIOLENT)


_FAILURES: Final = (
    redis.RedisError, kombu.exceptions.KombuError, amqp.AMQPError, OSError, RuntimeError,
)  # fmt: skip


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the libraries raise into a :class:`BrokerError` with the remedy."""
    try:
        yield
    except _FAILURES as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise BrokerError(f"no way to the workers: {reason}; see remote.broker_url and remote.result_url") from error
